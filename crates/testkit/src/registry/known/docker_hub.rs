//! Docker Hub.

use super::super::{Access, Asked, Deletes, Pulls, Storage, TokenService, UploadRules, Ways};
use super::Recipe;

pub(super) fn recipe() -> Recipe {
    Recipe {
        name: "Docker Hub",
        domain: "docker.io",
        // The API is not where references say (docker, `registry/config.go`).
        hosts: &["registry-1.docker.io", "index.docker.io", "auth.docker.io", "production.cloudflare.docker.com"],
        repository: "acme/app",
        // An access token is a password (docs.docker.com, "Personal access tokens").
        account: ("acme", "dckr_pat-secret"),
        access: Access::Service(TokenService {
            asked: Asked::ByBoth,
            anonymous_pull: true,
            ..TokenService::new("https://auth.docker.io/token", "registry.docker.io", &[("acme", "dckr_pat-secret")])
        }),
        // CNCF Distribution's way.
        uploads: UploadRules { absolute_location: true, ..UploadRules::default() },
        ways: Ways {
            storage: Some(Storage {
                host: "production.cloudflare.docker.com",
                query: "verify=1700000000-signature-secret",
                second_proof: None,
            }),
            // docker/roadmap #724.
            referrers: false,
            // docker/hub-feedback #2360.
            deletes: Deletes::Nothing,
            // docs.docker.com, "Docker Hub usage and limits": a HEAD does not count.
            pulls: Some(Pulls { limit: 100, used: 24, window_seconds: 21600 }),
            headers: vec![
                ("Docker-Distribution-Api-Version", "registry/2.0"),
                ("docker-ratelimit-source", "198.51.100.7"),
            ],
            ..Ways::default()
        },
        tags_per_page: usize::MAX,
    }
}
