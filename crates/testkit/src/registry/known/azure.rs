//! Azure Container Registry.

use super::super::service::NAMELESS;
use super::super::{Access, Asked, Exchange, Storage, TokenService, UploadRules, Ways};
use super::Recipe;

/// Azure storage's words for a signed address that comes with credentials (Azure/acr #217).
const TWO_PROOFS: &str = "<Error><Code>InvalidAuthenticationInfo</Code><Message>Authentication information is not given \
                          in the correct format. Check the value of Authorization header.</Message></Error>";

pub(super) fn recipe() -> Recipe {
    Recipe {
        name: "Azure ACR",
        domain: "contoso.azurecr.io",
        hosts: &["contoso.azurecr.io", "eusmanaged1.blob.core.windows.net"],
        repository: "team/app",
        // A refresh token under the name of nobody (Azure/acr docs/AAD-OAuth.md).
        account: (NAMELESS, "acr-refresh-secret"),
        access: Access::Service(TokenService {
            asked: Asked::ByBoth,
            refresh_tokens: vec!["acr-refresh-secret".to_owned()],
            member: "access_token",
            // Azure/acr #466, #651.
            basic_too: true,
            exchange: Some(Exchange {
                directory_token: "directory-secret".to_owned(),
                refresh_token: "acr-refresh-secret".to_owned(),
            }),
            ..TokenService::new(
                "https://contoso.azurecr.io/oauth2/token",
                "contoso.azurecr.io",
                &[("contoso", "acr-password-secret")],
            )
        }),
        // Whole blobs of more than some 20 MB are rejected, parts are not (clowdhaus/ocync, `ocync-distribution`).
        uploads: UploadRules { put_bytes_max: 20_000_000, ..UploadRules::default() },
        ways: Ways {
            storage: Some(Storage {
                host: "eusmanaged1.blob.core.windows.net",
                query: "se=2026-01-01T00%3A00%3A00Z&sig=signature-secret&sp=r",
                second_proof: Some((400, TWO_PROOFS)),
            }),
            // learn.microsoft.com, "Manage OCI artifacts and supply chain artifacts with ORAS".
            referrers: true,
            ..Ways::default()
        },
        tags_per_page: 2,
    }
}
