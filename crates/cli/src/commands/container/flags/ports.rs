//! Ports of a container: those that programs outside are to reach, and those that it is said to listen on.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use clap::Args;
use dhow_ops::container::PortBinding;
use dhow_ops::strconv::parse_uint;

use crate::errors::{Failure, Outcome};
use crate::personality::Personality;

/// Options about ports.
#[derive(Args, Debug)]
pub(super) struct Ports {
    #[arg(short, long, hide = true, value_name = "list")]
    publish: Vec<String>,
    #[arg(short = 'P', long, hide = true)]
    publish_all: bool,
    #[arg(long, hide = true, value_name = "list")]
    expose: Vec<String>,
}

/// What is said of ports: nothing comes of it but what `inspect` and images of the container tell.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Said {
    /// Those that the container is said to listen on: `80/tcp`.
    pub(super) exposed: BTreeSet<String>,
    /// Where on the machine they were to be reached.
    pub(super) bindings: BTreeMap<String, Vec<PortBinding>>,
    /// Whether all of them were to be reached somewhere.
    pub(super) publishes_all: bool,
}

impl Ports {
    /// Whether ports are to be reached from outside.
    pub(super) fn publishes(&self) -> bool {
        self.publish_all || !self.publish.is_empty()
    }

    /// Whether ports are said to be used.
    pub(super) fn exposes(&self) -> bool {
        !self.expose.is_empty()
    }

    /// What is said of ports where the network that is asked for has none to publish: nothing with docker, but for the machine's.
    pub(super) fn told(&self, personality: Personality, network: Option<&str>) -> Option<String> {
        let network = network.filter(|_| self.publishes() && is_portless(personality, network))?;
        let network = network.split(':').next().unwrap_or_default();
        match personality {
            Personality::Podman => Some(format!(
                "Port mappings have been discarded because {network:?} network namespace mode does not support them"
            )),
            _ if network == "host" && !self.publish.is_empty() => {
                Some("WARNING: Published ports are discarded when using host network mode".to_owned())
            }
            _ => None,
        }
    }

    /// Refuses to publish ports, but where engines do not do it either.
    ///
    /// # Errors
    /// With what there is instead.
    pub(super) fn check(&self, personality: Personality, network: Option<&str>) -> Outcome {
        if !self.publishes() || is_portless(personality, network) {
            return Ok(());
        }
        let why = "a container has this machine's network, where its ports are open as they are, or none";
        Err(Failure::Client(format!("--publish is not supported: {why}")))
    }

    /// Reads them as docker's client does; podman's come from its images alone.
    ///
    /// # Errors
    /// In docker's words for what is no port.
    pub(super) fn read(&self, personality: Personality) -> Outcome<Said> {
        if personality == Personality::Podman {
            return Ok(Said::default());
        }
        let mut said = Said { publishes_all: self.publish_all, ..Said::default() };
        let short: Vec<String> = self.publish.iter().map(|text| shortened(text)).collect::<Outcome<_>>()?;
        for text in &short {
            for (port, binding) in published(text).map_err(Failure::Client)? {
                said.exposed.insert(port.clone());
                said.bindings.entry(port).or_default().push(binding);
            }
        }
        for text in &self.expose {
            if text.contains(':') {
                return Err(Failure::Client(format!("invalid port format for --expose: {text}")));
            }
            let (range, protocol) = split_protocol(text);
            let (first, last) = port_range(range)
                .map_err(|why| Failure::Client(format!("invalid range format for --expose: {text}, error: {why}")))?;
            said.exposed.extend((first..=last).map(|port| format!("{port}/{protocol}")));
        }
        Ok(said)
    }
}

/// Whether somebody asks for a network of which engines publish no ports, and says so rather than fail.
fn is_portless(personality: Personality, network: Option<&str>) -> bool {
    let joins = |mode: &str| personality == Personality::Podman && mode.starts_with("container:");
    network.is_some_and(|mode| matches!(mode, "host" | "none") || joins(mode))
}

/// The short form of `published=8080,target=80,protocol=tcp` (docker/cli, `convertToStandardNotation`).
fn shortened(text: &str) -> Outcome<String> {
    if !text.contains('=') {
        return Ok(text.to_owned());
    }
    let mut said = BTreeMap::from([("protocol", "tcp")]);
    for part in text.split(',') {
        match part.split_once('=').filter(|(name, _)| !name.is_empty()) {
            Some((name, value)) => drop(said.insert(name, value)),
            None => {
                let what = format!("invalid publish opts format (should be name=value but got '{part}')");
                return Err(Failure::Client(what));
            }
        }
    }
    let value = |name| said.get(name).copied().unwrap_or_default();
    Ok(format!("{}:{}/{}", value("published"), value("target"), value("protocol")))
}

/// Reads `[[address:][port of the machine]:]port[/protocol]`, with a range for each port (go-connections, `nat.ParsePortSpec`).
fn published(text: &str) -> Result<Vec<(String, PortBinding)>, String> {
    let (before, own) = text.rsplit_once(':').unwrap_or(("", text));
    let (address, machine_s) = before.rsplit_once(':').unwrap_or(("", before));
    let (own, protocol) = split_protocol(own);
    let address = bare_address(address)?;
    if own.is_empty() {
        return Err(format!("no port specified: {text}<empty>"));
    }
    let (first, last) = port_range(own).map_err(|_| format!("invalid containerPort: {own}"))?;
    let machine_s_range = match machine_s {
        "" => None,
        text => Some(port_range(text).map_err(|_| format!("invalid hostPort: {text}"))?),
    };
    let more = last - first;
    // One port of the container may be any of several of the machine's.
    if more != 0 && machine_s_range.is_some_and(|(first, last)| last - first != more) {
        return Err(format!("invalid ranges specified for container and host Ports: {own} and {machine_s}"));
    }
    let lower = protocol.to_lowercase();
    if !matches!(lower.as_str(), "tcp" | "udp" | "sctp") {
        return Err(format!("invalid proto: {protocol}"));
    }
    let port_of_machine = |number: u16| match machine_s_range {
        None => String::new(),
        Some((first, last)) if more == 0 && first != last => format!("{first}-{last}"),
        Some((first, _)) => (first + number).to_string(),
    };
    let bound = |number| {
        let binding = PortBinding { address: address.to_owned(), port: port_of_machine(number) };
        (format!("{}/{lower}", first + number), binding)
    };
    Ok((0..=more).map(bound).collect())
}

/// An address without the brackets that one of many colons may have.
fn bare_address(text: &str) -> Result<&str, String> {
    let bare = match text.strip_prefix('[') {
        None => text,
        Some(rest) => rest.strip_suffix(']').ok_or_else(|| {
            let why = if rest.contains(']') { "missing port in address" } else { "missing ']' in address" };
            format!("invalid IP address {text}: address {text}:: {why}")
        })?,
    };
    match bare.is_empty() || bare.parse::<IpAddr>().is_ok() {
        true => Ok(bare),
        false => Err(format!("invalid IP address: {bare}")),
    }
}

/// A port, or a range of them, and its protocol; nothing behind a second slash counts.
fn split_protocol(text: &str) -> (&str, &str) {
    let mut parts = text.split('/');
    let port = parts.next().unwrap_or_default();
    (port, parts.next().filter(|protocol| !protocol.is_empty()).unwrap_or("tcp"))
}

/// Go's `nat.ParsePortRange`.
fn port_range(text: &str) -> Result<(u16, u16), String> {
    if text.is_empty() {
        return Err("empty string specified for ports".to_owned());
    }
    let mut ends = text.split('-');
    let first = ends.next().unwrap_or_default();
    let last = ends.next().unwrap_or(first);
    let (first, last) = (parse_uint(first)?, parse_uint(last)?);
    match first <= last {
        true => Ok((first, last)),
        false => Err(format!("invalid range specified for port: {text}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(publish: &[&str]) -> Result<Said, String> {
        let publish = publish.iter().map(|text| (*text).to_owned()).collect();
        let ports = Ports { publish, publish_all: false, expose: Vec::new() };
        ports.read(Personality::Docker).map_err(|failure| match failure {
            Failure::Client(message) => message,
            other => panic!("{other:?}"),
        })
    }

    #[test]
    fn ports_are_read_as_docker_s_client_reads_them() {
        let check = |publish: &[&str], expected: &str| {
            let said = read(publish).expect("ports");
            let binding = |binding: &PortBinding| format!("{}>{}", binding.address, binding.port);
            let shown: Vec<String> = said
                .bindings
                .iter()
                .map(|(port, bindings)| {
                    format!("{port} {}", bindings.iter().map(binding).collect::<Vec<_>>().join(","))
                })
                .collect();
            assert_eq!(shown.join(" "), expected, "{publish:?}");
            assert_eq!(said.exposed, said.bindings.keys().cloned().collect());
        };
        check(&["80"], "80/tcp >");
        check(&["80/udp/x"], "80/udp >");
        check(&["8080:80/TCP", "80:80"], "80/tcp >8080,>80");
        check(&[":80/"], "80/tcp >");
        check(&["127.0.0.1::80", "[::1]:7:80", "::2:8:80"], "80/tcp 127.0.0.1>,::1>7,::2>8");
        check(&["80-82:90-92/sctp"], "90/sctp >80 91/sctp >81 92/sctp >82");
        check(&["65534-65535"], "65534/tcp > 65535/tcp >");
        check(&["80-90:80"], "80/tcp >80-90");
        check(&["published=80,target=90,mode=host"], "90/tcp >80");
        check(&["target=90,protocol=udp"], "90/udp >");
        check(&["0-65535:0"], "0/tcp >0-65535");
    }

    #[test]
    fn what_is_no_port_is_said_in_docker_s_words() {
        let check = |publish: &str, expected: &str| assert_eq!(read(&[publish]), Err(expected.to_owned()), "{publish}");
        check("", "no port specified: <empty>");
        check("80:", "no port specified: 80:<empty>");
        check("x", "invalid containerPort: x");
        check("99999", "invalid containerPort: 99999");
        check("9-8", "invalid containerPort: 9-8");
        check("x:80", "invalid hostPort: x");
        check("80/foo", "invalid proto: foo");
        check("80-90:80-95", "invalid ranges specified for container and host Ports: 80-95 and 80-90");
        check("80:80-95", "invalid ranges specified for container and host Ports: 80-95 and 80");
        check("1.2.3:80:80", "invalid IP address: 1.2.3");
        check("[::1:80:80", "invalid IP address [::1: address [::1:: missing ']' in address");
        check("published=80,target", "invalid publish opts format (should be name=value but got 'target')");
    }
}
