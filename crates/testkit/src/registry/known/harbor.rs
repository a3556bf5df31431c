//! Harbor.

use super::super::{Access, Refusal, TokenService, UploadRules, Ways};
use super::Recipe;

pub(super) fn recipe() -> Recipe {
    Recipe {
        name: "Harbor",
        domain: "harbor.example.com",
        hosts: &["harbor.example.com"],
        repository: "acme/app",
        // goharbor.io, "Create Project Robot Accounts".
        account: ("robot$acme+ci", "harbor-robot-secret"),
        access: Access::Service(TokenService {
            anonymous_pull: true,
            ..TokenService::new(
                "https://harbor.example.com/service/token",
                "harbor-registry",
                &[("robot$acme+ci", "harbor-robot-secret")],
            )
        }),
        uploads: UploadRules { absolute_location: true, ..UploadRules::default() },
        ways: Ways {
            referrers: true,
            // containers/image #2203: a code that the specification does not know.
            unknown_manifest: Some(Refusal {
                status: 404,
                code: "NOT_FOUND",
                message: "artifact {name}:{tag} not found",
            }),
            // A session that no client of the API needs.
            headers: vec![("Set-Cookie", "sid=session-secret; Path=/; HttpOnly")],
            ..Ways::default()
        },
        tags_per_page: 3,
    }
}
