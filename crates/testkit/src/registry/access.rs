//! Who may do what: nobody asked, passwords, or tokens.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use super::http::{Exchange, Head};
use super::service::{self, TokenService};

/// What the registry wants to see.
#[derive(Clone, Debug)]
pub enum Access {
    /// Nothing.
    Open,
    /// HTTP Basic with every request.
    Basic {
        /// Account name.
        user: String,
        /// Its password.
        password: String,
    },
    /// A token of the service at `/token`, asked for by name and password (GET or POST), by refresh token, or by nobody.
    Bearer {
        /// Account name.
        user: String,
        /// Its password.
        password: String,
        /// A refresh token that is accepted by POST, and given out at login.
        refresh_token: Option<String>,
        /// Whether somebody without an account gets tokens for reading.
        anonymous_pull: bool,
        /// Where the challenge says that the service is; its own `/token` when `None`.
        realm: Option<String>,
    },
    /// Tokens of a service as one of the well-known registries has it.
    Service(TokenService),
}

impl Access {
    /// Basic, with `user` and `password`.
    pub fn basic(user: &str, password: &str) -> Self {
        Access::Basic { user: user.to_owned(), password: password.to_owned() }
    }

    /// Tokens for `user` with `password`; reading needs no account.
    pub fn bearer(user: &str, password: &str) -> Self {
        Access::Bearer {
            user: user.to_owned(),
            password: password.to_owned(),
            refresh_token: None,
            anonymous_pull: true,
            realm: None,
        }
    }
}

/// Writes a token for a user and the scopes that are granted.
pub(super) type Signer = Box<dyn Fn(&str, &[String]) -> String + Send>;

/// The tokens given out, each with the scopes it is good for.
#[derive(Default)]
pub(super) struct Tokens {
    /// Writes tokens for another registry, which proves them itself.
    pub(super) signer: Option<Signer>,
    scopes: HashMap<String, (Vec<String>, Instant)>,
    given: usize,
    /// How long those given from now on live.
    pub(super) lifetime: Lifetime,
    /// The refresh token that is given out for the next use of the one before it, and takes its place.
    pub(super) next_refresh: Option<String>,
    refresh: Option<String>,
}

impl Tokens {
    pub(super) fn revoke(&mut self) {
        self.scopes.clear();
    }

    /// A new token for these scopes, which lives as long as the lifetime says.
    pub(super) fn give(&mut self, user: &str, scopes: Vec<String>) -> String {
        self.given += 1;
        let token = match &self.signer {
            Some(sign) => sign(user, &scopes),
            None => format!("token-{}-secret", self.given),
        };
        self.scopes.insert(token.clone(), (scopes, Instant::now() + self.lifetime.0));
        token
    }

    /// The scopes of a token that has not ended.
    pub(super) fn scopes(&self, token: &str) -> Option<&[String]> {
        let (scopes, end) = self.scopes.get(token)?;
        (*end > Instant::now()).then_some(scopes.as_slice())
    }
}

/// How long tokens live; five minutes unless something else is said.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lifetime(pub(super) Duration);

impl Default for Lifetime {
    fn default() -> Self {
        Lifetime(Duration::from_secs(300))
    }
}

impl std::fmt::Debug for Tokens {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Tokens").field("given", &self.given).finish_non_exhaustive()
    }
}

/// The challenge for a request that may not pass, or `None` when it may.
pub(super) fn refusal(
    access: &Access,
    tokens: &Tokens,
    own_url: &str,
    head: &Head,
    needed: &[(String, &'static str)],
) -> Option<Exchange> {
    let shown = head.header("authorization").unwrap_or_default();
    match access {
        Access::Open => None,
        Access::Service(service) => service::refusal(service, tokens, head, needed),
        Access::Basic { user, password } => {
            let right = shown == format!("Basic {}", base64(format!("{user}:{password}").as_bytes()));
            (!right).then(|| {
                Exchange::error(401, "UNAUTHORIZED", "authentication required")
                    .with("WWW-Authenticate", "Basic realm=\"scripted\"")
            })
        }
        Access::Bearer { realm, .. } => {
            let granted = shown.strip_prefix("Bearer ").and_then(|token| tokens.scopes(token));
            let covers = |granted: &[String]| needed.iter().all(|(name, action)| allows(granted, name, action));
            if granted.is_some_and(covers) {
                return None;
            }
            let realm = realm.clone().unwrap_or_else(|| format!("{own_url}/token"));
            let scope: Vec<String> =
                needed.iter().map(|(name, action)| format!("repository:{name}:{action}")).collect();
            let mut challenge = format!("Bearer realm=\"{realm}\",service=\"scripted\"");
            if !scope.is_empty() {
                challenge = format!("{challenge},scope=\"{}\"", scope.join(" "));
            }
            if granted.is_some() {
                challenge.push_str(",error=\"insufficient_scope\"");
            } else if shown.starts_with("Bearer ") {
                challenge.push_str(",error=\"invalid_token\"");
            }
            Some(Exchange::error(401, "UNAUTHORIZED", "authentication required").with("WWW-Authenticate", &challenge))
        }
    }
}

/// Whether scopes have this action on this repository; `*` is every action.
pub(super) fn allows(granted: &[String], name: &str, action: &str) -> bool {
    granted
        .iter()
        .filter_map(|scope| scope.strip_prefix("repository:")?.rsplit_once(':'))
        .any(|(of, actions)| of == name && actions.split(',').any(|granted| granted == action || granted == "*"))
}

/// The token service.
pub(super) fn token(access: &Access, tokens: &mut Tokens, head: &Head, body: &[u8]) -> Exchange {
    if let Access::Service(service) = access {
        return service::token(service, tokens, head, body);
    }
    let Access::Bearer { user, password, refresh_token, anonymous_pull, .. } = access else {
        return Exchange::error(404, "NAME_UNKNOWN", "there is no token service");
    };
    let fields = form(if head.method == "POST" { std::str::from_utf8(body).unwrap_or_default() } else { &head.query });
    let field = |name: &str| fields.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str());
    let known = if head.method == "POST" {
        match (field("refresh_token"), tokens.refresh.as_ref().or(refresh_token.as_ref())) {
            _ if field("grant_type") == Some("password") => {
                if field("username") != Some(user.as_str()) || field("password") != Some(password.as_str()) {
                    return Exchange::details(401, "incorrect username or password");
                }
                true
            }
            (Some(given), Some(expected)) if given == expected => true,
            (_, None) => return Exchange::new(405),
            _ => return Exchange::details(401, "invalid refresh token"),
        }
    } else {
        match head.header("authorization") {
            None => false,
            Some(shown) if shown == format!("Basic {}", base64(format!("{user}:{password}").as_bytes())) => true,
            Some(_) => return Exchange::details(401, "incorrect username or password"),
        }
    };
    let asked = fields.iter().filter(|(key, _)| key == "scope").flat_map(|(_, value)| value.split(' '));
    let granted: Vec<String> = asked
        .filter_map(|scope| {
            let (resource, actions) = scope.rsplit_once(':')?;
            let actions: Vec<&str> =
                actions.split(',').filter(|action| known || (*anonymous_pull && *action == "pull")).collect();
            (!actions.is_empty()).then(|| format!("{resource}:{}", actions.join(",")))
        })
        .collect();
    let to = if known { user.as_str() } else { "" };
    let seconds = tokens.lifetime.0.as_secs();
    let mut answer = serde_json::json!({ "token": tokens.give(to, granted), "expires_in": seconds });
    if let (Some(refresh), Some("true"), true) =
        (refresh_token, field("offline_token").or(field("access_type").map(|_| "true")), known)
    {
        answer["refresh_token"] = refresh.clone().into();
    }
    if let (Some(next), "POST") = (tokens.next_refresh.take(), head.method.as_str()) {
        answer["refresh_token"] = next.clone().into();
        tokens.refresh = Some(next);
    }
    Exchange::json(200, &answer)
}

/// `a=b&c=d`, decoded.
pub(super) fn form(text: &str) -> Vec<(String, String)> {
    let pairs = text.split('&').filter_map(|pair| pair.split_once('='));
    pairs.map(|(key, value)| (decode(key), decode(value))).collect()
}

fn decode(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        rest = after;
        match first {
            b'+' => bytes.push(b' '),
            b'%' if after.len() >= 2 => {
                let code = std::str::from_utf8(&after[..2]).ok().and_then(|hex| u8::from_str_radix(hex, 16).ok());
                bytes.push(code.unwrap_or(b'%'));
                rest = if code.is_some() { &after[2..] } else { after };
            }
            other => bytes.push(other),
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// RFC 4648 §4, by hand: the code under test uses a library for it.
pub fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let number = chunk.iter().fold(0_u32, |number, byte| number << 8 | u32::from(*byte)) << (8 * (3 - chunk.len()));
        for index in 0..4 {
            let digit = ALPHABET[(number >> (18 - 6 * index) & 63) as usize];
            text.push(if index <= chunk.len() { char::from(digit) } else { '=' });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_of_rfc_4648() {
        for (plain, coded) in [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foobar", "Zm9vYmFy")] {
            assert_eq!(base64(plain.as_bytes()), coded);
        }
    }

    #[test]
    fn forms_are_decoded() {
        let fields = form("scope=repository%3Aa%2Fb%3Apull+x&empty=&bad=%zz");
        let expected = [("scope", "repository:a/b:pull x"), ("empty", ""), ("bad", "%zz")];
        assert_eq!(fields, expected.map(|(key, value)| (key.to_owned(), value.to_owned())));
    }
}
