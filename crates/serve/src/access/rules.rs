//! Rules: who may do what where, and which tags stay.

use dhow_base::{Error, Kind, Result};
use serde::Deserialize;

use super::Caller;
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

/// Allows some users to do something in some repositories. What no rule allows is refused.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// Names, `*` for all that are logged in, `anonymous` for everybody.
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
        let parts: Vec<&str> = text.split(':').collect();
        let [users, actions, repositories] = parts.as_slice() else {
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

    pub(super) fn is_for_everybody(&self) -> bool {
        self.users.iter().all(|user| user == EVERYBODY)
    }

    fn concerns(&self, caller: &Caller) -> bool {
        self.users.iter().any(|user| match (user.as_str(), &caller.0) {
            (EVERYBODY, _) | (ANY_USER, Some(_)) => true,
            (user, Some(name)) => user == &**name,
            (_, None) => false,
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
    matches!(user, EVERYBODY | ANY_USER)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_of_one_line() {
        let rule = Rule::parse("alice,bob:pull,push:team/**").expect("a rule");
        let alice = Caller(Some("alice".into()));
        assert!(rule.allows(&alice, Action::Push, "team/app"));
        assert!(!rule.allows(&alice, Action::Delete, "team/app"));
        assert!(!rule.allows(&alice, Action::Push, "other/app"));
        assert!(!rule.allows(&Caller(Some("carol".into())), Action::Push, "team/app"));
        assert!(!rule.allows(&Caller::default(), Action::Pull, "team/app"));
        for bad in ["", "a:pull", "a:pull:b:c", "a:read:b", ":pull:b", "a:pull:", "a::b", "a,:pull:b"] {
            assert!(Rule::parse(bad).is_err(), "{bad}");
        }
        for bad in ["", "a", "a:", ":v*", "a:b,"] {
            assert!(ImmutableTags::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_star_is_for_users_and_anonymous_for_everybody() {
        let (nobody, alice) = (Caller::default(), Caller(Some("alice".into())));
        let everything = Rule::everything();
        assert!(everything.allows_everywhere(&alice, Action::Delete) && !everything.allows(&nobody, Action::Pull, "a"));
        let anonymous = Rule::anonymous_pull();
        assert!(anonymous.allows(&nobody, Action::Pull, "a/b") && anonymous.allows(&alice, Action::Pull, "a/b"));
        assert!(!anonymous.allows(&nobody, Action::Push, "a/b"));
    }
}
