//! Who may do what.
//!
//! An `Access` is made whole of a configuration and never changes; another one takes its place when the files do.

mod basic;
mod htpasswd;
mod pattern;
mod rules;

use std::sync::Arc;

use dhow_base::{Error, Kind, Result};
use dhow_spec::Tag;
use dhow_spec::digest::Digest;
use hyper::header::{AUTHORIZATION, HeaderValue, WWW_AUTHENTICATE};
use hyper::{HeaderMap, StatusCode};
use serde_json::json;

use crate::configuration::Configuration;
use crate::failure::{Code, Failure, Outcome};
use crate::name::RepositoryName;

pub use basic::credentials;
pub(crate) use htpasswd::Accounts;
pub use htpasswd::parse as parse_htpasswd;
pub use pattern::matches;
pub use rules::{Action, ImmutableTags, Rule};

/// What the clients' programs show when they ask for a password.
const REALM: &str = "dhow";

/// Everything that decides whether a request may be.
#[derive(Debug)]
pub(crate) struct Access {
    /// Nothing was configured: everybody may do everything.
    open: bool,
    accounts: Option<Accounts>,
    rules: Vec<Rule>,
    immutable: Vec<ImmutableTags>,
    challenge: HeaderValue,
}

/// Who sent a request. Cloning is cheap.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Caller(pub(crate) Option<Arc<str>>);

/// A caller and what counts for it, as long as one request lasts.
#[derive(Clone, Debug)]
pub(crate) struct Permit {
    pub(crate) access: Arc<Access>,
    pub(crate) caller: Caller,
}

impl Access {
    /// Puts together what a configuration says, and reads the file of accounts.
    ///
    /// # Errors
    /// [`Kind::Invalid`] that names the key or line which cannot be, else those of reading the file.
    pub(crate) fn load(configuration: &Configuration) -> Result<Self> {
        let section = &configuration.access;
        let accounts = section.htpasswd.as_deref().map(Accounts::load).transpose()?;
        let mut rules = section.rules.clone();
        rules.iter().try_for_each(Rule::check)?;
        configuration.immutable_tags.iter().try_for_each(ImmutableTags::check)?;
        let anonymous_pull = section.anonymous_pull.unwrap_or(false);
        let open = accounts.is_none() && rules.is_empty() && !anonymous_pull;
        if accounts.is_none() && rules.iter().any(|rule| !rule.is_for_everybody()) {
            let message = "access.rules names users, but there is no file of accounts";
            return Err(Error::new(Kind::Invalid, message)
                .with_hint("set access.htpasswd, or let the rules be for \"anonymous\" only"));
        }
        if accounts.is_some() && rules.is_empty() {
            rules.push(Rule::everything());
        }
        if anonymous_pull {
            rules.push(Rule::anonymous_pull());
        }
        let realm = section.realm.as_deref().unwrap_or(REALM);
        let is_plain = realm.bytes().all(|byte| matches!(byte, b' '..=b'~') && !matches!(byte, b'"' | b'\\'));
        let challenge = HeaderValue::from_str(&format!("Basic realm=\"{realm}\"")).ok().filter(|_| is_plain);
        let challenge = challenge.ok_or_else(|| {
            Error::new(Kind::Invalid, format!("access.realm {realm:?} holds quotes, backslashes or no ASCII"))
        })?;
        Ok(Self { open, accounts, rules, immutable: configuration.immutable_tags.clone(), challenge })
    }

    /// Whether passwords travel to this server.
    pub(crate) fn has_accounts(&self) -> bool {
        self.accounts.is_some()
    }

    /// Who sent a request with these headers. Nobody in particular when it holds no credentials.
    ///
    /// # Errors
    /// 401 when it holds some that are wrong.
    pub(crate) async fn identify(&self, headers: &HeaderMap) -> Outcome<Caller> {
        let (Some(accounts), Some(header)) = (&self.accounts, headers.get(AUTHORIZATION)) else {
            return Ok(Caller::default());
        };
        let (user, password) = header.to_str().ok().and_then(credentials).ok_or_else(|| self.unauthorized())?;
        // What podman and skopeo send when they are asked and have nothing; no account has an empty name.
        if user.is_empty() && password.is_empty() {
            return Ok(Caller::default());
        }
        match accounts.prove(&user, password).await {
            true => Ok(Caller(Some(user.into()))),
            false => Err(self.unauthorized()),
        }
    }

    /// 401, with the way to log in.
    fn unauthorized(&self) -> Box<Failure> {
        Failure::new(StatusCode::UNAUTHORIZED, Code::Unauthorized, "authentication required")
            .with_header(WWW_AUTHENTICATE, self.challenge.clone())
    }

    fn denied(&self, caller: &Caller) -> Box<Failure> {
        match caller.0.is_none() && self.accounts.is_some() {
            true => self.unauthorized(),
            false => Failure::new(StatusCode::FORBIDDEN, Code::Denied, "requested access to the resource is denied"),
        }
    }
}

impl Permit {
    /// Whether the caller may do this in a repository.
    pub(crate) fn allows(&self, action: Action, repository: &RepositoryName) -> bool {
        self.access.open || self.access.rules.iter().any(|rule| rule.allows(&self.caller, action, repository.as_str()))
    }

    /// Whether the caller may do this in every repository there is or will be.
    pub(crate) fn allows_everywhere(&self, action: Action) -> bool {
        self.access.open || self.access.rules.iter().any(|rule| rule.allows_everywhere(&self.caller, action))
    }

    /// Whether some repository could be there in which the caller may do this.
    pub(crate) fn allows_somewhere(&self, action: Action) -> bool {
        self.access.open || self.access.rules.iter().any(|rule| rule.allows_somewhere(&self.caller, action))
    }

    /// Refuses what the caller may not do: 401 to a caller without a name, 403 to one with. The answer is the same
    /// whether the repository is there or not.
    pub(crate) fn check(&self, action: Action, repository: &RepositoryName) -> Outcome<()> {
        let allowed = self.allows(action, repository);
        if allowed { Ok(()) } else { Err(self.access.denied(&self.caller)) }
    }

    /// Refuses callers for whom the catalogue could only be empty.
    pub(crate) fn check_catalogue(&self) -> Outcome<()> {
        let allowed = self.allows_somewhere(Action::Pull);
        if allowed { Ok(()) } else { Err(self.access.denied(&self.caller)) }
    }

    /// Refuses callers without an account, if there are accounts: `GET /v2/` is how clients find out whether they have
    /// to log in, and whether a password is right.
    pub(crate) fn check_login(&self) -> Outcome<()> {
        let anonymous = self.caller.0.is_none() && self.access.accounts.is_some();
        if anonymous { Err(self.access.unauthorized()) } else { Ok(()) }
    }

    /// Whether a tag, once set, stays what it is.
    pub(crate) fn is_immutable(&self, repository: &RepositoryName, tag: &Tag) -> bool {
        self.access.immutable.iter().any(|rule| rule.covers(repository.as_str(), tag.as_str()))
    }
}

/// 409: the tag is to stay.
pub(crate) fn immutable(repository: &RepositoryName, tag: &Tag, digest: &Digest) -> Box<Failure> {
    Failure::new(StatusCode::CONFLICT, Code::Denied, format!("the tag {tag} is immutable"))
        .with_detail(json!({ "name": repository.as_str(), "tag": tag.as_str(), "digest": digest.as_str() }))
}
