//! Which capabilities a container has.

use dhow_base::{Error, Kind, Result};
use dhow_sandbox::container::{CAPABILITIES, Habits, capability_number, default_capabilities};
use serde::{Deserialize, Serialize};

/// Changes to the capabilities that every container has.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Capabilities {
    /// More.
    pub add: Vec<String>,
    /// Fewer.
    pub drop: Vec<String>,
}

impl Capabilities {
    /// The numbers of those that are left (docker `oci/caps`): `ALL` first, single ones on top of it.
    ///
    /// # Errors
    /// [`Kind::Invalid`] in docker's words for one that there is not.
    pub fn numbers(&self, habits: Habits) -> Result<Vec<u8>> {
        let is_all = |name: &&String| name.eq_ignore_ascii_case("all");
        let named = |list: &str, names: &[String]| -> Result<Vec<u8>> {
            let number = |name: &String| {
                capability_number(name).ok_or_else(|| {
                    let message = format!("invalid {list}: unknown capability: {:?}", shown(name));
                    Error::new(Kind::Invalid, message)
                })
            };
            names.iter().filter(|name| !is_all(name)).map(number).collect()
        };
        let (add, drop) = (named("CapAdd", &self.add)?, named("CapDrop", &self.drop)?);
        let adds_all = self.add.iter().any(|name| is_all(&name));
        let drops_all = self.drop.iter().any(|name| is_all(&name));
        let mut numbers: Vec<u8> = match (adds_all, drops_all) {
            (true, _) => (0..CAPABILITIES.len() as u8).collect(),
            (false, true) => Vec::new(),
            (false, false) => default_capabilities(habits),
        };
        if !drops_all || adds_all {
            numbers.retain(|number| !drop.contains(number));
        }
        numbers.extend(add);
        numbers.sort_unstable();
        numbers.dedup();
        Ok(numbers)
    }

    /// The numbers of those that a program has which does not run as root: with podman, what was added (podman,
    /// `pkg/specgen/generate/security_linux.go`).
    ///
    /// # Errors
    /// As [`Self::numbers`].
    pub fn ambient(&self, habits: Habits) -> Result<Vec<u8>> {
        match habits {
            Habits::Docker => Ok(Vec::new()),
            Habits::Podman => Self { add: self.add.clone(), drop: vec!["ALL".to_owned()] }.numbers(habits),
        }
    }
}

fn shown(name: &str) -> String {
    let name = name.to_ascii_uppercase();
    if name.starts_with("CAP_") { name } else { format!("CAP_{name}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn capabilities_are_docker_s() {
        let check = |add: &[&str], drop: &[&str], expected: &str| {
            let list = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
            let got = match (Capabilities { add: list(add), drop: list(drop) }).numbers(Habits::Docker) {
                Ok(numbers) => format!("{numbers:?}"),
                Err(error) => error.to_string(),
            };
            assert_eq!(got, expected, "+{add:?} -{drop:?}");
        };
        check(&[], &[], "[0, 1, 3, 4, 5, 6, 7, 8, 10, 13, 18, 27, 29, 31]");
        check(&["NET_ADMIN"], &["cap_mknod"], "[0, 1, 3, 4, 5, 6, 7, 8, 10, 12, 13, 18, 29, 31]");
        check(&["chown"], &["ALL"], "[0]");
        check(&[], &["all"], "[]");
        check(&["nope"], &[], "invalid CapAdd: unknown capability: \"CAP_NOPE\"");
        let all = Capabilities { add: vec!["ALL".to_owned()], drop: vec!["SYS_ADMIN".to_owned()] };
        assert_eq!(all.numbers(Habits::Docker).map(|numbers| numbers.len()).ok(), Some(40));
    }

    #[test]
    fn podman_gives_what_was_added_to_every_user() {
        let list = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        let capabilities = Capabilities { add: list(&["net_raw", "CHOWN"]), drop: list(&["KILL"]) };
        let numbers = |got: Result<Vec<u8>>| got.unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(numbers(capabilities.numbers(Habits::Podman)), [0, 1, 3, 4, 6, 7, 8, 10, 13, 18, 31]);
        assert_eq!(numbers(capabilities.ambient(Habits::Podman)), [0, 13]);
        assert!(numbers(capabilities.ambient(Habits::Docker)).is_empty());
        assert!(numbers(Capabilities::default().ambient(Habits::Podman)).is_empty());
    }
}
