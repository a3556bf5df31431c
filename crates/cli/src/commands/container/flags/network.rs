//! The network of a container: its own, the machine's or another's.

use dhow_base::{Error, Kind};
use dhow_ops::container::{NamespaceKind, Network, Settings};

use super::Flags;
use super::namespaces::join;
use crate::errors::{Failure, Outcome};
use crate::personality::Personality;

/// Docker's words for another's network that has no name.
const NAMELESS: &str = "Invalid network mode: invalid container format container:<name|id>";

impl Flags {
    /// The network that is asked for, the first one if there are several.
    pub(super) fn asked_network(&self, personality: Personality) -> Option<&str> {
        self.network.first().map(|given| network_name(personality, given))
    }

    /// Refuses several networks of which one is no engine's: nobody can be in more than one of those.
    ///
    /// # Errors
    /// In each engine's words (docker/cli, `parseNetworkOpts`; moby, `Daemon.updateNetworkSettings`).
    pub(super) fn check_networks(&self, personality: Personality) -> Outcome {
        let names: Vec<&str> = self.network.iter().map(|given| network_name(personality, given)).collect();
        let [first, others @ ..] = names.as_slice() else { return Ok(()) };
        if others.is_empty() {
            return Ok(());
        }
        if personality == Personality::Podman {
            let mode = match first.split(':').next() {
                Some("") => "private",
                Some(mode @ ("host" | "none" | "private" | "container" | "ns" | "slirp4netns" | "pasta")) => mode,
                _ => return Ok(()),
            };
            return Err(Failure::Client(format!(
                "cannot set multiple networks without bridge network mode, selected mode {mode}: invalid argument"
            )));
        }
        for (number, name) in names.iter().enumerate() {
            if name.is_empty() {
                return Err(nameless());
            }
            if names[..number].contains(name) {
                return Err(Failure::Client(format!("network {name:?} is specified multiple times")));
            }
        }
        let is_user_s =
            |name: &&str| !matches!(*name, "default" | "bridge" | "host" | "none") && !name.starts_with("container:");
        let message = match names.iter().filter(|name| is_user_s(name)).count() {
            count if count == names.len() => return Ok(()),
            0 if names.iter().any(|name| *name == "host" || name.starts_with("container:")) => {
                "container sharing network namespace with another container or host cannot be connected to any other network"
            }
            0 => "container cannot be connected to multiple networks with one of the networks in private (none) mode",
            _ => {
                let what = "conflicting options: cannot attach both user-defined and non-user-defined network-modes";
                return Err(Failure::Client(what.to_owned()));
            }
        };
        Err(Error::new(Kind::Invalid, message).into())
    }

    /// The network that it has where it joins no other's.
    ///
    /// # Errors
    /// [`Kind::Unsupported`] for one of a container engine.
    pub(super) fn own_network(&self, personality: Personality) -> Outcome<Network> {
        match self.asked_network(personality) {
            Some("") if personality != Personality::Podman => Err(nameless()),
            None | Some("host" | "") => Ok(Network::Host),
            // A network of its own that leads nowhere is what `private` can be without an engine.
            Some("none" | "private") => Ok(Network::None),
            Some(_) if self.joined_network(personality).is_some() => Ok(Network::None),
            Some(other) => {
                let message = format!("network {other:?} is not supported: networks are for a container engine");
                let hint =
                    "--network host is this machine's network, --network none is a loopback interface and nothing else";
                Err(Error::new(Kind::Unsupported, message).with_hint(hint).into())
            }
        }
    }

    /// The mode of a network that is another's, by its container or, for podman, by a file.
    pub(super) fn joined_network(&self, personality: Personality) -> Option<&str> {
        let is_docker = matches!(personality, Personality::Docker | Personality::Docker29);
        let is_joined = |mode: &str| mode.starts_with("container:") || (mode.starts_with("ns:") && !is_docker);
        self.asked_network(personality).filter(|mode| is_joined(mode) || (is_docker && *mode == "container"))
    }

    /// Refuses what would be said of another's network.
    ///
    /// # Errors
    /// In each engine's words (moby, `runconfig.validateNetContainerMode`).
    pub(super) fn check_joined_network(&self, personality: Personality) -> Outcome {
        if personality == Personality::Podman {
            self.check_names_are_asked_for()?;
        }
        let Some(mode) = self.joined_network(personality) else { return Ok(()) };
        if personality == Personality::Podman {
            return match () {
                () if mode.starts_with("ns:") => Ok(()),
                () if !self.add_host.is_empty() => Err(Failure::Client(
                    "invalid config provided: cannot set extra host entries when the container is joined to another containers \
                     network namespace: invalid configuration"
                        .to_owned(),
                )),
                () => Ok(()),
            };
        }
        let conflicts = [
            (matches!(mode, "container" | "container:"), NAMELESS),
            (self.hostname.as_deref().is_some_and(|name| !name.is_empty()), "hostname and the network mode"),
            (!self.dns.is_empty(), "dns and the network mode"),
            (!self.add_host.is_empty(), "custom host-to-IP mapping and the network mode"),
            (self.ports.publishes(), "port publishing and the container type network mode"),
            (self.ports.exposes(), "port exposing and the container type network mode"),
        ];
        match conflicts.into_iter().find(|(is_so, _)| *is_so) {
            Some((_, NAMELESS)) => Err(Error::new(Kind::Invalid, NAMELESS).into()),
            Some((_, what)) => Err(Error::new(Kind::Invalid, format!("conflicting options: {what}")).into()),
            None => Ok(()),
        }
    }

    /// Has the container join what it is to join besides its own namespaces' modes: a network, and users.
    ///
    /// # Errors
    /// Podman's words for what is none.
    pub(super) fn join_others(&self, personality: Personality, settings: &mut Settings) -> Outcome {
        if let Some(mode) = self.joined_network(personality) {
            join(personality, NamespaceKind::Network, mode, NAMELESS, settings)?;
        }
        match self.engine.joined_users() {
            Some(mode) => join(personality, NamespaceKind::User, mode, "--userns: invalid USER mode", settings),
            None => Ok(()),
        }
    }

    /// Refuses name servers for a network that has none of its own, in podman's words.
    fn check_names_are_asked_for(&self) -> Outcome {
        let mode = match self.network.first().map(String::as_str) {
            Some("none") => "none",
            Some(mode) if mode.starts_with("container:") => "container",
            _ => return Ok(()),
        };
        match self.dns.is_empty() && self.dns_option.is_empty() && self.dns_search.is_empty() {
            true => Ok(()),
            false => Err(Failure::Client(format!("conflicting options: dns and the network mode: {mode}"))),
        }
    }
}

/// The name of a network: docker's long way to write it, `name=host`, is the same where nothing more is said in it (docker/cli,
/// `opts.NetworkOpt`).
fn network_name(personality: Personality, given: &str) -> &str {
    let name = given.strip_prefix("name=").filter(|name| !name.is_empty() && !name.contains([',', '=']));
    name.filter(|_| personality != Personality::Podman).unwrap_or(given)
}

fn nameless() -> Failure {
    Failure::Client("no name set for network".to_owned())
}
