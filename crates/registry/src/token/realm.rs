//! Where tokens are asked for.

use dhow_base::{Error, Kind, Result};
use url::Url;

use crate::challenge::Challenge;
use crate::host::{Reach, may_lead, reach, shown};

/// A Bearer challenge whose realm may be asked.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Realm {
    pub(super) url: Url,
    pub(super) service: Option<String>,
}

impl Realm {
    pub(crate) fn url(&self) -> &Url {
        &self.url
    }

    /// Reads a Bearer challenge and checks that its realm is a place that may see a credential.
    ///
    /// A hostile registry could name a realm on another machine, without TLS, or inside the user's network (CVE-2026-48978).
    pub(crate) fn from_challenge(challenge: &Challenge, registry: &Url, tls_verify: bool) -> Result<Self> {
        let refused = |why: &str| {
            let message = format!("{}: the registry's token realm is refused: {why}", shown(registry));
            Error::new(Kind::Denied, message)
        };
        let text = challenge.parameter("realm").ok_or_else(|| refused("it is missing"))?;
        let url = Url::parse(text).map_err(|error| refused(&format!("it is not a URL: {error}")))?;
        let name = shown(&url);
        match url.scheme() {
            "https" => {}
            // Plain HTTP as far as the registry itself is spoken to without TLS, and on this machine; not from here on
            // over a network that the user did not say to trust.
            "http" if registry.scheme() == "http" && (!tls_verify || reach(&url) == Reach::Loopback) => {}
            _ => return Err(refused(&format!("{name} is not reached over HTTPS"))),
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(refused("it contains a user name"));
        }
        if !may_lead(registry, &url) {
            return Err(refused(&format!("{name} is an address of a private network")));
        }
        Ok(Self { url, service: challenge.parameter("service").map(str::to_owned) })
    }
}
