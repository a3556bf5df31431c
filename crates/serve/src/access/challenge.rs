//! What clients without good credentials are told.

use std::str::FromStr;

use dhow_base::{Error, Kind, Result};
use serde::Deserialize;

/// Which ways to log in a server names that knows two.
///
/// Clients differ in what they make of two: podman, skopeo and containerd go the first that they know, while docker goes
/// both, one after the other, and fails when either is refused, or when it has no password. So naming accounts beside tokens helps
/// no client, and keeps docker from pulling what is for everybody: unless it is said otherwise, only tokens are named.
///
/// Browsers on the web page know passwords only, and are always asked for one where there are accounts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Challenge {
    /// Both, tokens first.
    Both,
    /// Accounts: for programs that have a token already, and people with a password.
    Basic,
    /// Tokens: for people who get theirs at the issuer, and programs that send their password unasked.
    Token,
}

impl Challenge {
    /// What was configured, if it can be.
    ///
    /// # Errors
    /// [`Kind::Invalid`] when it names a way that the server does not know.
    pub(super) fn checked(configured: Option<Self>, has_accounts: bool, has_issuer: bool) -> Result<Self> {
        let missing = match configured {
            Some(challenge) if challenge.names_accounts() && !has_accounts => "access.htpasswd",
            Some(challenge) if challenge.names_tokens() && !has_issuer => "access.token",
            Some(challenge) => return Ok(challenge),
            None if has_issuer => return Ok(Challenge::Token),
            None => return Ok(Challenge::Basic),
        };
        Err(Error::new(Kind::Invalid, format!("access.challenge names a way to log in for which {missing} is not set"))
            .with_hint("leave access.challenge out: it is for servers that have both"))
    }

    pub(super) fn names_accounts(self) -> bool {
        self != Challenge::Token
    }

    pub(super) fn names_tokens(self) -> bool {
        self != Challenge::Basic
    }
}

impl FromStr for Challenge {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match text {
            "both" => Ok(Challenge::Both),
            "basic" => Ok(Challenge::Basic),
            "token" => Ok(Challenge::Token),
            _ => Err(Error::new(Kind::Invalid, format!("invalid challenge {text:?}"))
                .with_hint("write both, basic or token")),
        }
    }
}
