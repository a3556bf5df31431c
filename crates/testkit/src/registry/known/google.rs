//! Google's Artifact Registry, with a habit of gcr.io, which it took the place of.

use super::super::{Access, TokenService, UploadRules, Ways};
use super::Recipe;

/// The key of a service account, as a password.
const KEY: &str = r#"{"type":"service_account","private_key_id":"key-secret"}"#;

pub(super) fn recipe() -> Recipe {
    // cloud.google.com, "Configure authentication to Artifact Registry for Docker".
    let accounts = [("oauth2accesstoken", "ya29-secret"), ("_json_key", KEY)];
    Recipe {
        name: "Google Artifact Registry",
        domain: "us-docker.pkg.dev",
        hosts: &["us-docker.pkg.dev", "gcr.io"],
        repository: "project/images/app",
        account: accounts[0],
        access: Access::Service(TokenService::new(
            "https://us-docker.pkg.dev/v2/token",
            "us-docker.pkg.dev",
            &accounts,
        )),
        uploads: UploadRules {
            // cloud.google.com, "Docker API": "does not support chunked uploads".
            chunks: false,
            // Mounts are seldom honoured (clowdhaus/ocync, `ocync-distribution`).
            mounts: false,
            // Nothing promises that a location is a page of the API (distribution spec, "Pushing blobs").
            opaque_location: true,
            absolute_location: true,
            ..UploadRules::default()
        },
        ways: Ways {
            // containers/image, `docker_client.go`: the real request's 401 may come without a challenge.
            silent_refusals: true,
            ..Ways::default()
        },
        tags_per_page: usize::MAX,
    }
}
