//! Rules: who may do what where, and which tags stay.

use dhow_base::{Error, Kind, Result};
use serde::Deserialize;

use super::Caller;
use super::certificate::names_certificate;
use super::pattern::matches;

/// Stands for every caller, logged in or not.
const EVERYBODY: &str = "anonymous";

/// Stands for every caller that is logged in.
const ANY_USER: &str = "*";

/// Stands for every repository.
const EVERYWHERE: &str = "**";

/// What a caller may be allowed to do in a repository.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    /// Read manifests, blobs, tags and referrers.
    Pull,
    /// Upload blobs and manifests, set tags.
    Push,
    /// Remove manifests, blobs and tags.
    Delete,
}

impl Action {
    /// Its name in rules and tokens.
    pub fn name(self) -> &'static str {
        match self {
            Action::Pull => "pull",
            Action::Push => "push",
            Action::Delete => "delete",
        }
    }

    /// Its name before that of a repository, in sentences.
    pub(super) fn words(self) -> &'static str {
        match self {
            Action::Pull => "pull from",
            Action::Push => "push to",
            Action::Delete => "delete in",
        }
    }

    /// What a client asks a token for that wants to do it: clients look at what is there before they push.
    pub(super) fn scope(self) -> &'static str {
        match self {
            Action::Push => "pull,push",
            other => other.name(),
        }
    }
}

/// Allows some users to do something in some repositories. What no rule allows is refused.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// Names, of accounts or of certificates (`cn=…`, `dns=…`, `uri=…`); `*` for all that are logged in, `anonymous` for
    /// everybody.
    pub users: Vec<String>,
    /// What they may do.
    pub allow: Vec<Action>,
    /// Patterns of names.
    pub repositories: Vec<String>,
}

/// Says which tags cannot be moved or deleted once they are set.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ImmutableTags {
    /// Patterns of names.
    pub repositories: Vec<String>,
    /// Patterns of tags.
    pub tags: Vec<String>,
}

impl Rule {
    /// Reads `<user>,…:<action>,…:<repository>,…`.
    ///
    /// # Errors
    /// [`Kind::Invalid`] that says what is wrong.
    pub fn parse(text: &str) -> Result<Self> {
        let invalid = |problem: String| {
            Error::new(Kind::Invalid, format!("invalid rule {text:?}: {problem}"))
                .with_hint("write <users>:<actions>:<repositories>, such as alice,bob:pull,push:team/**")
        };
        // From the end: a user may be a URI.
        let parts: Vec<&str> = text.rsplitn(3, ':').collect();
        let [repositories, actions, users] = parts.as_slice() else {
            return Err(invalid("it has not three parts".to_owned()));
        };
        let action = |name: &str| match name {
            "pull" => Ok(Action::Pull),
            "push" => Ok(Action::Push),
            "delete" => Ok(Action::Delete),
            _ => Err(invalid(format!("{name:?} is none of pull, push and delete"))),
        };
        let allow = actions.split(',').map(action).collect::<Result<_>>()?;
        let rule = Self { users: words(users), allow, repositories: words(repositories) };
        rule.check()?;
        Ok(rule)
    }

    /// Refuses a rule that can never count, which is a slip of the pen.
    pub(super) fn check(&self) -> Result<()> {
        let is_empty = self.users.is_empty() || self.allow.is_empty() || self.repositories.is_empty();
        if is_empty || self.users.iter().chain(&self.repositories).any(String::is_empty) {
            let message = "a rule of access.rules has no users, no actions or no repositories";
            return Err(Error::new(Kind::Invalid, message).with_hint("leave the rule out to allow nothing"));
        }
        Ok(())
    }

    pub(super) fn everything() -> Self {
        let allow = vec![Action::Pull, Action::Push, Action::Delete];
        Self { users: words(ANY_USER), allow, repositories: words(EVERYWHERE) }
    }

    pub(super) fn anonymous_pull() -> Self {
        Self { users: words(EVERYBODY), allow: vec![Action::Pull], repositories: words(EVERYWHERE) }
    }

    /// Whether it is for somebody who has a password.
    pub(super) fn names_users(&self) -> bool {
        self.users.iter().any(|user| !is_reserved(user))
    }

    pub(super) fn names_certificates(&self) -> bool {
        self.users.iter().any(|user| names_certificate(user))
    }

    /// Whether it is for this user, by name.
    pub(super) fn names(&self, user: &str) -> bool {
        self.users.iter().any(|named| named == user)
    }

    fn concerns(&self, caller: &Caller) -> bool {
        self.users.iter().any(|user| match user.as_str() {
            EVERYBODY => true,
            ANY_USER => caller.is_account(),
            user if names_certificate(user) => caller.certificate.names().iter().any(|name| name == user),
            user => caller.user.as_deref() == Some(user),
        })
    }

    pub(super) fn allows(&self, caller: &Caller, action: Action, repository: &str) -> bool {
        self.allows_somewhere(caller, action) && self.repositories.iter().any(|pattern| matches(pattern, repository))
    }

    pub(super) fn allows_everywhere(&self, caller: &Caller, action: Action) -> bool {
        self.allows_somewhere(caller, action) && self.repositories.iter().any(|pattern| pattern == EVERYWHERE)
    }

    pub(super) fn allows_somewhere(&self, caller: &Caller, action: Action) -> bool {
        self.allow.contains(&action) && self.concerns(caller)
    }
}

impl ImmutableTags {
    /// Reads `<repository>,…:<tag>,…`.
    ///
    /// # Errors
    /// [`Kind::Invalid`] that says what is wrong.
    pub fn parse(text: &str) -> Result<Self> {
        let Some((repositories, tags)) = text.split_once(':') else {
            return Err(Error::new(Kind::Invalid, format!("invalid rule {text:?} for immutable tags"))
                .with_hint("write <repositories>:<tags>, such as team/**:v*"));
        };
        let rule = Self { repositories: words(repositories), tags: words(tags) };
        rule.check()?;
        Ok(rule)
    }

    pub(super) fn check(&self) -> Result<()> {
        let is_empty = self.repositories.is_empty() || self.tags.is_empty();
        if is_empty || self.repositories.iter().chain(&self.tags).any(String::is_empty) {
            return Err(Error::new(Kind::Invalid, "an entry of immutable-tags has no repositories or no tags"));
        }
        Ok(())
    }

    pub(super) fn covers(&self, repository: &str, tag: &str) -> bool {
        self.repositories.iter().any(|pattern| matches(pattern, repository))
            && self.tags.iter().any(|pattern| matches(pattern, tag))
    }
}

fn words(text: &str) -> Vec<String> {
    text.split(',').map(str::to_owned).collect()
}

/// Whether a name means something in rules, so that no account can have it.
pub(super) fn is_reserved(user: &str) -> bool {
    matches!(user, EVERYBODY | ANY_USER) || names_certificate(user)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_of_one_line() {
        let rule = Rule::parse("alice,bob:pull,push:team/**").expect("a rule");
        let alice = Caller::of_user("alice");
        assert!(rule.allows(&alice, Action::Push, "team/app"));
        assert!(!rule.allows(&alice, Action::Delete, "team/app"));
        assert!(!rule.allows(&alice, Action::Push, "other/app"));
        assert!(!rule.allows(&Caller::of_user("carol"), Action::Push, "team/app"));
        assert!(!rule.allows(&Caller::default(), Action::Pull, "team/app"));
        for bad in ["", "a:pull", "a:pull:b:c", "a:read:b", ":pull:b", "a:pull:", "a::b", "a,:pull:b"] {
            assert!(Rule::parse(bad).is_err(), "{bad}");
        }
        let rule = Rule::parse("uri=spiffe://team/ci:push:team/**").expect("a rule");
        assert_eq!(rule.users, ["uri=spiffe://team/ci"]);
        assert!(rule.names_certificates() && !rule.names_users());
        for bad in ["", "a", "a:", ":v*", "a:b,"] {
            assert!(ImmutableTags::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_star_is_for_users_and_anonymous_for_everybody() {
        let (nobody, alice) = (Caller::default(), Caller::of_user("alice"));
        let everything = Rule::everything();
        assert!(everything.allows_everywhere(&alice, Action::Delete) && !everything.allows(&nobody, Action::Pull, "a"));
        let anonymous = Rule::anonymous_pull();
        assert!(anonymous.allows(&nobody, Action::Pull, "a/b") && anonymous.allows(&alice, Action::Pull, "a/b"));
        assert!(!anonymous.allows(&nobody, Action::Push, "a/b"));
    }
}
