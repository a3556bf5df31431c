//! Who may do what.
//!
//! An `Access` is made whole of a configuration and never changes; another one takes its place when the files do.

mod basic;
mod certificate;
mod challenge;
mod der;
mod htpasswd;
mod keys;
mod pattern;
mod rules;
mod token;

use std::fmt;
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
use crate::quota::Quota;
use token::bearer;

pub use basic::credentials;
pub(crate) use certificate::Identities;
pub use certificate::certificate_names;
pub use challenge::Challenge;
pub use der::common_name;
pub(crate) use htpasswd::Accounts;
pub use htpasswd::parse as parse_htpasswd;
pub use keys::Keys;
pub use pattern::matches;
pub use rules::{Action, ImmutableTags, Rule};
pub use token::{Grants, Issuer};

/// What the clients' programs show when they ask for a password.
const REALM: &str = "dhow";

/// Everything that decides whether a request may be.
#[derive(Debug)]
pub(crate) struct Access {
    /// Nothing was configured: everybody may do everything.
    open: bool,
    accounts: Option<Accounts>,
    issuer: Option<Issuer>,
    rules: Vec<Rule>,
    immutable: Vec<ImmutableTags>,
    quotas: Vec<Quota>,
    /// What the ways to log in are, and which of them are told.
    basic: HeaderValue,
    challenge: Challenge,
}

/// Who sent a request. Cloning is cheap.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Caller {
    /// Whose password was right.
    user: Option<Arc<str>>,
    /// What its token allows, and to whom it was issued.
    grants: Option<Arc<Grants>>,
    /// What rules know it by besides.
    certificate: Identities,
}

impl Caller {
    fn of_user(user: impl Into<Arc<str>>) -> Self {
        Self { user: Some(user.into()), ..Self::default() }
    }

    /// Whether it is somebody whom the configuration knows.
    fn is_account(&self) -> bool {
        self.user.is_some() || !self.certificate.names().is_empty()
    }

    /// Whether it is somebody, here or to the issuer of tokens.
    fn is_somebody(&self) -> bool {
        self.is_account() || self.grants.as_ref().is_some_and(|grants| grants.subject.is_some())
    }

    /// What it is called in logs.
    pub(crate) fn name(&self) -> Option<Arc<str>> {
        let subject = || self.grants.as_ref()?.subject.as_deref().map(Arc::from);
        let certificate = || self.certificate.names().first().map(|name| name.as_str().into());
        self.user.clone().or_else(subject).or_else(certificate)
    }
}

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
        let issuer = Issuer::load(&section.token)?;
        let challenge = Challenge::checked(section.challenge, accounts.is_some(), issuer.is_some())?;
        let mut rules = section.rules.clone();
        rules.iter().try_for_each(Rule::check)?;
        configuration.immutable_tags.iter().try_for_each(ImmutableTags::check)?;
        configuration.quotas.iter().try_for_each(Quota::check)?;
        let anonymous_pull = section.anonymous_pull.unwrap_or(false);
        let open = accounts.is_none() && issuer.is_none() && rules.is_empty() && !anonymous_pull;
        let names_certificates = rules.iter().any(Rule::names_certificates);
        let names_users = |rule: &Rule| rule.names_users() || (rule.names("*") && !names_certificates);
        if accounts.is_none() && rules.iter().any(names_users) {
            let message = "access.rules names users, but there is no file of accounts";
            return Err(Error::new(Kind::Invalid, message)
                .with_hint("set access.htpasswd, or let the rules be for \"anonymous\" only"));
        }
        if configuration.tls.client_ca.is_none() && names_certificates {
            let message = "access.rules names certificates, but no authority of clients is set";
            return Err(Error::new(Kind::Invalid, message).with_hint("set tls.client-ca"));
        }
        if accounts.is_some() && rules.is_empty() {
            rules.push(Rule::everything());
        }
        if anonymous_pull {
            rules.push(Rule::anonymous_pull());
        }
        let realm = section.realm.as_deref().unwrap_or(REALM);
        let is_plain = realm.bytes().all(|byte| matches!(byte, b' '..=b'~') && !matches!(byte, b'"' | b'\\'));
        let basic = HeaderValue::from_str(&format!("Basic realm=\"{realm}\"")).ok().filter(|_| is_plain);
        let basic = basic.ok_or_else(|| {
            Error::new(Kind::Invalid, format!("access.realm {realm:?} holds quotes, backslashes or no ASCII"))
        })?;
        let (immutable, quotas) = (configuration.immutable_tags.clone(), configuration.quotas.clone());
        Ok(Self { open, accounts, issuer, rules, immutable, quotas, basic, challenge })
    }

    /// How much namespaces may hold.
    pub(crate) fn quotas(&self) -> &[Quota] {
        &self.quotas
    }

    /// Whether passwords or tokens travel to this server.
    pub(crate) fn has_accounts(&self) -> bool {
        self.accounts.is_some() || self.issuer.is_some()
    }

    /// Who sent a request with these headers over a connection with this certificate. Nobody in particular when it holds
    /// no credentials.
    ///
    /// # Errors
    /// 401 when it holds some that are wrong.
    pub(crate) async fn identify(&self, headers: &HeaderMap, certificate: &Identities) -> Outcome<Caller> {
        let certificate = certificate.known(|name| self.rules.iter().any(|rule| rule.names(name)));
        let nobody = Caller { certificate, ..Caller::default() };
        let Some(header) = headers.get(AUTHORIZATION).map(|header| header.to_str().unwrap_or_default()) else {
            return Ok(nobody);
        };
        let token = bearer(header);
        // Where there are accounts, too, the scheme says which of both is meant.
        if let Some(issuer) = self.issuer.as_ref().filter(|_| token.is_some() || self.accounts.is_none()) {
            let grants = token.and_then(|token| issuer.prove_now(token));
            let grants = grants.ok_or_else(|| self.unauthorized(None, Some("invalid_token")))?;
            return Ok(Caller { grants: Some(grants), ..nobody });
        }
        let Some(accounts) = &self.accounts else { return Ok(nobody) };
        let (user, password) = credentials(header).ok_or_else(|| self.unauthorized(None, None))?;
        // What podman and skopeo send when they are asked and have nothing; no account has an empty name.
        if user.is_empty() && password.is_empty() {
            return Ok(nobody);
        }
        match accounts.prove(&user, password).await {
            true => Ok(Caller { certificate: nobody.certificate, ..Caller::of_user(user) }),
            false => Err(self.unauthorized(None, None)),
        }
    }

    /// 401, with the ways to log in, a header for each; where tokens are issued, with what a token has to allow.
    fn unauthorized(&self, scope: Option<&str>, error: Option<&str>) -> Box<Failure> {
        let issuer = self.issuer.as_ref().filter(|_| self.challenge.names_tokens());
        // Made of printable ASCII: names of repositories, and words that were looked through at the start.
        let bearer = issuer.and_then(|issuer| HeaderValue::from_str(&issuer.challenge(scope, error)).ok());
        let names_basic = self.issuer.is_none() || (self.accounts.is_some() && self.challenge.names_accounts());
        let basic = names_basic.then(|| self.basic.clone());
        let failure = Failure::new(StatusCode::UNAUTHORIZED, Code::Unauthorized, "authentication required");
        let challenges = bearer.into_iter().chain(basic);
        challenges.fold(failure, |failure, challenge| failure.with_header(WWW_AUTHENTICATE, challenge))
    }

    /// How browsers are asked to log in, if they can.
    pub(crate) fn browser_challenge(&self) -> Option<HeaderValue> {
        self.accounts.as_ref().map(|_| self.basic.clone())
    }

    /// Refuses what takes a token of this scope; `what` is that in words.
    fn denied(&self, caller: &Caller, scope: &str, what: fmt::Arguments<'_>) -> Box<Failure> {
        match (&self.issuer, caller.is_account()) {
            // As distribution's registry has it: whoever has a token may get one that allows more.
            (Some(_), false) => self.unauthorized(Some(scope), caller.grants.is_some().then_some("insufficient_scope")),
            (None, false) if self.accounts.is_some() => self.unauthorized(None, None),
            _ => {
                let name = caller.name();
                let name = name.as_deref().unwrap_or("nobody in particular");
                Failure::new(StatusCode::FORBIDDEN, Code::Denied, format!("{name} may not {what}"))
            }
        }
    }
}

impl Permit {
    /// Whether the caller may do this in a repository.
    pub(crate) fn allows(&self, action: Action, repository: &RepositoryName) -> bool {
        let repository = repository.as_str();
        self.access.open
            || self.caller.grants.as_ref().is_some_and(|grants| grants.allows(action, repository))
            || self.access.rules.iter().any(|rule| rule.allows(&self.caller, action, repository))
    }

    /// Whether the caller may see every repository in the catalogue.
    pub(crate) fn sees_everything(&self) -> bool {
        self.caller.grants.as_ref().is_some_and(|grants| grants.allows_catalogue())
            || self.allows_everywhere(Action::Pull)
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
        if allowed {
            return Ok(());
        }
        let scope = format!("repository:{repository}:{}", action.scope());
        Err(self.access.denied(&self.caller, &scope, format_args!("{} {repository}", action.words())))
    }

    /// Refuses callers for whom the catalogue could only be empty.
    pub(crate) fn check_catalogue(&self) -> Outcome<()> {
        let allowed = self.allows_somewhere(Action::Pull) || self.sees_everything();
        let what = format_args!("list the repositories");
        if allowed { Ok(()) } else { Err(self.access.denied(&self.caller, "registry:catalog:*", what)) }
    }

    /// Refuses callers without an account or a token, if there are such: `GET /v2/` is how clients find out whether they
    /// have to log in, and whether a password is right.
    pub(crate) fn check_login(&self) -> Outcome<()> {
        let is_known = self.caller.is_account() || self.caller.grants.is_some();
        if is_known || !self.access.has_accounts() { Ok(()) } else { Err(self.access.unauthorized(None, None)) }
    }

    /// Refuses callers who are nobody in particular, if there are accounts or tokens. A token may be issued to anybody.
    pub(crate) fn check_somebody(&self) -> Outcome<()> {
        let is_known = self.caller.is_somebody() || !self.access.has_accounts();
        if is_known { Ok(()) } else { Err(self.access.unauthorized(None, None)) }
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
