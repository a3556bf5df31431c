//! Token services as the well-known registries have them: who is asked how, with what, and for which answer.

use super::access::{Tokens, allows, base64, form};
use super::http::{Exchange as Answer, Head};

/// Paths of token services besides `/token`: Artifact Registry's, Quay's, Harbor's and Azure's.
const PATHS: [&str; 5] = ["/v2/token", "/v2/auth", "/service/token", "/oauth2/token", "/oauth2/exchange"];

/// Whether a path is one of a token service.
pub(super) fn is_path(path: &str) -> bool {
    PATHS.contains(&path)
}

/// By which method a service gives tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// `GET`, with a password or without one (distribution docs, "Token Authentication Specification").
    ByGet,
    /// `GET`, and `POST` as well ("OAuth2 Token Authentication").
    ByBoth,
}

/// How one kind of token becomes a refresh token (Azure's `POST /oauth2/exchange`).
#[derive(Clone, Debug)]
pub struct Exchange {
    /// What somebody has from the cloud's directory.
    pub directory_token: String,
    /// What it is exchanged for.
    pub refresh_token: String,
}

/// A token service.
#[derive(Clone, Debug)]
pub struct TokenService {
    /// Its address, as challenges say it.
    pub realm: String,
    /// Its name for the registry.
    pub service: String,
    /// User names and passwords, or what stands in for a password.
    pub accounts: Vec<(String, String)>,
    /// What a `POST` with `grant_type=refresh_token` may bring.
    pub refresh_tokens: Vec<String>,
    /// What a login that asks for a refresh token gets.
    pub gives_refresh: Option<String>,
    /// How it is asked.
    pub asked: Asked,
    /// Whether it gives tokens for reading to nobody in particular.
    pub anonymous_pull: bool,
    /// The member of the answer that has the token.
    pub member: &'static str,
    /// Whether the registry takes a name and password with its own pages, too.
    pub basic_too: bool,
    /// An action for which the whole request fails.
    pub refused_action: Option<&'static str>,
    /// How directory tokens are exchanged.
    pub exchange: Option<Exchange>,
}

impl TokenService {
    /// One at `realm` that gives `user` tokens by `GET`, and nobody else.
    pub fn new(realm: &str, service: &str, accounts: &[(&str, &str)]) -> Self {
        Self {
            realm: realm.to_owned(),
            service: service.to_owned(),
            accounts: accounts.iter().map(|(user, password)| ((*user).to_owned(), (*password).to_owned())).collect(),
            refresh_tokens: Vec::new(),
            gives_refresh: None,
            asked: Asked::ByGet,
            anonymous_pull: false,
            member: "token",
            basic_too: false,
            refused_action: None,
            exchange: None,
        }
    }

    fn knows(&self, user: &str, password: &str) -> bool {
        self.accounts.iter().any(|(known, secret)| known == user && secret == password)
            // A refresh token is the password of the user that has no name (Azure/acr docs/AAD-OAuth.md).
            || (user == NAMELESS && self.refresh_tokens.iter().any(|token| token == password))
    }

    /// Whether an `Authorization` header has the name and password of an account.
    fn is_basic(&self, shown: &str) -> bool {
        let accounts = self.accounts.iter().map(|(user, password)| (user.as_str(), password.as_str()));
        let nameless = self.refresh_tokens.iter().map(|token| (NAMELESS, token.as_str()));
        accounts.chain(nameless).any(|(user, password)| {
            debug_assert!(self.knows(user, password));
            shown == format!("Basic {}", base64(format!("{user}:{password}").as_bytes()))
        })
    }
}

/// The user name that goes with a refresh token (Azure/acr docs/AAD-OAuth.md).
pub(super) const NAMELESS: &str = "00000000-0000-0000-0000-000000000000";

/// The challenge for a request that may not pass, or `None` when it may.
pub(super) fn refusal(
    service: &TokenService,
    tokens: &Tokens,
    head: &Head,
    needed: &[(String, &'static str)],
) -> Option<Answer> {
    // Who cannot give a right does not ask for it either.
    let given = |action: &'static str| if service.refused_action == Some(action) { "push" } else { action };
    let needed: Vec<(&String, &str)> = needed.iter().map(|(name, action)| (name, given(action))).collect();
    let shown = head.header("authorization").unwrap_or_default();
    let granted = shown.strip_prefix("Bearer ").and_then(|token| tokens.scopes(token));
    let covers = |granted: &[String]| needed.iter().all(|(name, action)| allows(granted, name, action));
    if granted.is_some_and(covers) || (service.basic_too && service.is_basic(shown)) {
        return None;
    }
    let refused = |challenge: &str| {
        Answer::error(401, "UNAUTHORIZED", "authentication required").with("WWW-Authenticate", challenge)
    };
    if service.basic_too && shown.starts_with("Basic ") {
        // Azure/acr #651: who tried a password is told to try a password.
        return Some(refused("Basic realm=\"registry\""));
    }
    let mut challenge = format!("Bearer realm=\"{}\",service=\"{}\"", service.realm, service.service);
    let scopes: Vec<String> =
        needed.iter().map(|(name, action)| format!("repository:{name}:{}", wider(action))).collect();
    if !scopes.is_empty() {
        challenge = format!("{challenge},scope=\"{}\"", scopes.join(" "));
    }
    if granted.is_some() {
        challenge.push_str(",error=\"insufficient_scope\"");
    }
    Some(refused(&challenge))
}

/// Who writes also reads (distribution, `registry/handlers/app.go`).
fn wider(action: &str) -> &str {
    if action == "push" { "pull,push" } else { action }
}

/// What the service answers.
pub(super) fn token(service: &TokenService, tokens: &mut Tokens, head: &Head, body: &[u8]) -> Answer {
    let is_post = head.method == "POST";
    let fields = form(if is_post { std::str::from_utf8(body).unwrap_or_default() } else { &head.query });
    let field = |name: &str| fields.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str());
    if head.path == "/oauth2/exchange" {
        return exchange(service, &field);
    }
    let known = match (is_post, head.header("authorization")) {
        (true, _) if service.asked == Asked::ByGet => return Answer::new(405),
        (true, _) => match field("grant_type") {
            Some("password") => {
                service.knows(field("username").unwrap_or_default(), field("password").unwrap_or_default())
            }
            _ => service.refresh_tokens.iter().any(|token| Some(token.as_str()) == field("refresh_token")),
        },
        (false, Some(shown)) => service.is_basic(shown),
        (false, None) if service.anonymous_pull => false,
        (false, None) => return refused(),
    };
    if !known && (is_post || head.header("authorization").is_some()) {
        return refused();
    }
    if field("service") != Some(service.service.as_str()) {
        return Answer::error(400, "INVALID_SERVICE", "the service is another");
    }
    let asked: Vec<&str> =
        fields.iter().filter(|(key, _)| key == "scope").flat_map(|(_, value)| value.split(' ')).collect();
    let asks_for = |action: &str| {
        asked.iter().any(|scope| scope.rsplit_once(':').is_some_and(|(_, all)| all.split(',').any(|one| one == action)))
    };
    if service.refused_action.is_some_and(asks_for) {
        return Answer::error(400, "INVALID_SCOPE", "the scope cannot be asked for");
    }
    let granted = asked.iter().filter_map(|scope| granted(scope, known)).collect();
    let mut answer = serde_json::json!({ "expires_in": tokens.lifetime.0.as_secs() });
    answer[service.member] = tokens.give("", granted).into();
    let wants_refresh = field("offline_token") == Some("true") || field("access_type") == Some("offline");
    if let Some(refresh) = service.gives_refresh.as_ref().filter(|_| wants_refresh && known) {
        answer["refresh_token"] = refresh.clone().into();
    }
    Answer::json(200, &answer)
}

fn refused() -> Answer {
    Answer::details(401, "incorrect username or password")
}

/// As much of a scope as somebody gets: nobody in particular may read.
fn granted(scope: &str, known: bool) -> Option<String> {
    let (resource, actions) = scope.rsplit_once(':')?;
    let actions: Vec<&str> = actions.split(',').filter(|action| known || *action == "pull").collect();
    (!actions.is_empty()).then(|| format!("{resource}:{}", actions.join(",")))
}

fn exchange<'a>(service: &TokenService, field: &impl Fn(&str) -> Option<&'a str>) -> Answer {
    match &service.exchange {
        Some(exchange)
            if field("grant_type") == Some("access_token")
                && field("service") == Some(service.service.as_str())
                && field("access_token") == Some(exchange.directory_token.as_str()) =>
        {
            Answer::json(200, &serde_json::json!({ "refresh_token": exchange.refresh_token }))
        }
        Some(_) => refused(),
        None => Answer::error(404, "UNSUPPORTED", "no such page"),
    }
}
