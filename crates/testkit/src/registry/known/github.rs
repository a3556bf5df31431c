//! GitHub's container registry.

use super::super::{Access, Deletes, Storage, TokenService, UploadRules, Ways};
use super::Recipe;

pub(super) fn recipe() -> Recipe {
    Recipe {
        name: "GHCR",
        domain: "ghcr.io",
        hosts: &["ghcr.io", "pkg-containers.githubusercontent.com"],
        repository: "octocat/app",
        // A classic access token, or an action's own (docs.github.com, "Working with the Container registry").
        account: ("octocat", "ghp-secret"),
        access: Access::Service(TokenService {
            anonymous_pull: true,
            ..TokenService::new("https://ghcr.io/token", "ghcr.io", &[("octocat", "ghp-secret")])
        }),
        // The last of several PATCHes replaces those before it (clowdhaus/ocync, `ocync-distribution`).
        uploads: UploadRules { patch_overwrites: true, ..UploadRules::default() },
        ways: Ways {
            storage: Some(Storage {
                host: "pkg-containers.githubusercontent.com",
                query: "se=2026-01-01T00%3A00%3A00Z&sig=signature-secret&sp=r",
                second_proof: None,
            }),
            // projectbluefin/common #977.
            referrers: false,
            // containers/skopeo #1880.
            deletes: Deletes::Nothing,
            ..Ways::default()
        },
        tags_per_page: usize::MAX,
    }
}
