//! Quay.

use super::super::{Access, Storage, TokenService, UploadRules, Ways};
use super::Recipe;

pub(super) fn recipe() -> Recipe {
    // Robots, and names that say what kind of token the password is (quay, `auth/credential_consts.py`).
    let accounts = [("acme+robot", "quay-robot-secret"), ("$oauthtoken", "quay-oauth-secret")];
    Recipe {
        name: "Quay",
        domain: "quay.io",
        hosts: &["quay.io", "cdn01.quay.io"],
        repository: "acme/app",
        account: accounts[0],
        access: Access::Service(TokenService {
            anonymous_pull: true,
            // containers/image, `docker_image_src.go`: asking for `delete` fails the whole request.
            refused_action: Some("delete"),
            ..TokenService::new("https://quay.io/v2/auth", "quay.io", &accounts)
        }),
        uploads: UploadRules { absolute_location: true, ..UploadRules::default() },
        ways: Ways {
            storage: Some(Storage {
                host: "cdn01.quay.io",
                query: "Expires=1767225600&Signature=signature-secret&Key-Pair-Id=K",
                second_proof: None,
            }),
            referrers: true,
            ..Ways::default()
        },
        tags_per_page: 3,
    }
}
