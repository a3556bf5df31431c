//! Amazon's Elastic Container Registry.

use super::super::{Access, Refusal, Storage, UploadRules, Ways};
use super::Recipe;

/// S3's words for a signed address that comes with credentials (open-policy-agent/opa #6580).
const TWO_PROOFS: &str = "<Error><Code>InvalidArgument</Code><Message>Only one auth mechanism allowed; only the \
                          X-Amz-Algorithm query parameter, Signature query string parameter or the Authorization header \
                          should be specified</Message></Error>";

pub(super) fn recipe() -> Recipe {
    Recipe {
        name: "Amazon ECR",
        domain: "123456789012.dkr.ecr.us-east-1.amazonaws.com",
        hosts: &[
            "123456789012.dkr.ecr.us-east-1.amazonaws.com",
            "prod-us-east-1-starport-layer-bucket.s3.us-east-1.amazonaws.com",
        ],
        repository: "app",
        // What `aws ecr get-login-password` prints is good for 12 hours, under one name for everybody (AWS documentation,
        // "Private registry authentication").
        account: ("AWS", "eyJwYXlsb2Fk-secret"),
        // There is no token service: the password comes with every request.
        access: Access::basic("AWS", "eyJwYXlsb2Fk-secret"),
        uploads: UploadRules {
            absolute_location: true,
            // A setting of the account, which is off (AWS, January 2026).
            mounts: false,
            ..UploadRules::default()
        },
        ways: Ways {
            storage: Some(Storage {
                host: "prod-us-east-1-starport-layer-bucket.s3.us-east-1.amazonaws.com",
                query: "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Signature=signature-secret",
                second_proof: Some((400, TWO_PROOFS)),
            }),
            // Nobody's push makes a repository.
            missing_repository: Some(Refusal {
                status: 404,
                code: "NAME_UNKNOWN",
                message: "The repository with name '{name}' does not exist in the registry with id '123456789012'",
            }),
            // google/go-containerregistry #1862.
            unknown_manifest: Some(Refusal {
                status: 404,
                code: "MANIFEST_UNKNOWN",
                message: "Requested image not found",
            }),
            ..Ways::default()
        },
        tags_per_page: 2,
    }
}
