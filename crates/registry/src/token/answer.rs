//! What token services answer.

use std::time::{Duration, Instant};

use dhow_base::secret::Secret;
use dhow_base::{Error, Kind, Result};
use reqwest::StatusCode;
use serde::Deserialize;

/// How long a token lives when the service does not say (distribution docs, "Token Authentication Specification").
const LIFETIME_DEFAULT: Duration = Duration::from_secs(60);

/// Bounds of a stated lifetime. Below the least, every request would ask for a token of its own.
const LIFETIME_SECONDS: (f64, f64) = (1.0, 1e6);

/// How long before its end a token is no longer used. Docker Hub's live 300 s, so minutes would defeat the cache.
const RENEW_BEFORE_END: Duration = Duration::from_secs(15);

/// The same as a part of a short life.
const RENEW_FRACTION: u32 = 4;

/// What a token service answered.
#[derive(Clone, Debug)]
pub(crate) struct Token {
    pub(crate) access: Secret,
    /// A refresh token, when one was asked for.
    pub(crate) refresh: Option<Secret>,
    /// From when on another one is asked for, a little before its end.
    pub(super) renewal: Instant,
}

/// What a request to a token service came to.
pub(super) struct Response {
    pub(super) status: StatusCode,
    pub(super) body: Result<Vec<u8>, Error>,
    /// The service, for messages.
    pub(super) realm: String,
}

impl Response {
    /// Whether the service does not know this way of asking.
    pub(super) fn is_unknown_there(&self) -> bool {
        matches!(self.status.as_u16(), 404 | 405)
    }

    /// The refresh token, of an answer that has one.
    pub(super) fn refresh_token(self) -> Option<Secret> {
        let answer: Answer = serde_json::from_slice(&self.body.ok()?).ok()?;
        not_empty(answer.refresh_token).map(Secret::new)
    }

    pub(super) fn token(self) -> Result<Token> {
        let body = self.body?;
        let unusable = |why: String| {
            Error::new(Kind::Unavailable, format!("the token service {} answered without a token: {why}", self.realm))
        };
        let answer: Answer = serde_json::from_slice(&body)
            // Neither the body nor the parser's quotation of it may be shown: it may hold a token.
            .map_err(|error| {
                unusable(format!("not the JSON expected (line {}, column {})", error.line(), error.column()))
            })?;
        let access = not_empty(answer.access_token).or_else(|| not_empty(answer.token));
        let access = access.ok_or_else(|| unusable("neither \"token\" nor \"access_token\"".to_owned()))?;
        Ok(Token {
            access: Secret::new(access),
            refresh: not_empty(answer.refresh_token).map(Secret::new),
            renewal: Instant::now() + use_of(answer.expires_in),
        })
    }
}

/// A token service's answer. Some have `null` where they have nothing, as Go's decoder forgives.
#[derive(Deserialize)]
struct Answer {
    token: Option<String>,
    access_token: Option<String>,
    refresh_token: Option<String>,
    expires_in: Option<f64>,
}

fn not_empty(token: Option<String>) -> Option<String> {
    token.filter(|token| !token.is_empty())
}

/// The token of an answer that a token service gave to whom it let in.
///
/// # Errors
/// [`Kind::Unavailable`] when there is none in it.
pub(crate) fn of_answer(body: Vec<u8>) -> Result<Token> {
    Response { status: StatusCode::OK, body: Ok(body), realm: String::new() }.token()
}

/// How long a token is used that lives so many seconds.
fn use_of(expires_in: Option<f64>) -> Duration {
    let (least, most) = LIFETIME_SECONDS;
    let stated = expires_in.filter(|seconds| *seconds > 0.0);
    let lifetime = stated.map_or(LIFETIME_DEFAULT, |seconds| Duration::from_secs_f64(seconds.clamp(least, most)));
    lifetime.saturating_sub(RENEW_BEFORE_END.min(lifetime / RENEW_FRACTION))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_answer_has_not_may_be_null() {
        let token = |body: &str| {
            let response = Response { status: StatusCode::OK, body: Ok(body.into()), realm: String::new() };
            response.token().map(|token| (token.access, token.refresh))
        };
        let nulls = r#""refresh_token":null,"expires_in":null,"issued_at":null"#;
        for body in [r#"{"token":"t","access_token":null"#, r#"{"token":null,"access_token":"t""#, r#"{"token":"t""#] {
            assert_eq!(token(&format!("{body},{nulls}}}")).unwrap(), (Secret::new("t"), None), "{body}");
        }
        let error = token(&format!(r#"{{"token":null,{nulls}}}"#)).unwrap_err();
        assert!(error.to_string().contains("neither \"token\" nor \"access_token\""), "{error}");
    }

    #[test]
    fn lifetimes_have_a_least_and_a_most() {
        for (expires_in, expected) in [
            (None, 45.0),
            (Some(0.0), 45.0),
            (Some(300.0), 285.0),
            (Some(8.0), 6.0),
            (Some(0.1), 0.75),
            (Some(1e300), 1e6 - 15.0),
            (Some(-5.0), 45.0),
        ] {
            assert_eq!(use_of(expires_in).as_secs_f64(), expected, "{expires_in:?}");
        }
    }
}
