//! containerd's `hosts.toml`: for one registry, the hosts that are asked instead of it, in order.
//!
//! The form is that of containerd's `docs/hosts.md`.

use std::path::{Path, PathBuf};
use std::time::Duration;

use dhow_base::Result;
use dhow_base::secret::Secret;
use serde::Deserialize;
use toml::{Table, Value};
use url::Url;

use super::invalid;

/// What one `hosts.toml` says.
#[derive(Clone, Debug, Default)]
pub struct Hosts {
    /// The hosts that come first.
    pub(super) hosts: Vec<Host>,
    /// The registry itself, where the file says something of it.
    pub(super) server: Option<Host>,
    /// What is said of the registry without an address for it.
    pub(super) defaults: Host,
}

/// One host.
#[derive(Clone, Debug, Default)]
pub(super) struct Host {
    /// The root of its API: what stands before `/<repository>/manifests/…`.
    pub(super) api: Option<Url>,
    /// Whether it may say what a tag stands for.
    pub(super) resolves: bool,
    /// Whether content may come from it.
    pub(super) pulls: bool,
    pub(super) skip_verify: bool,
    /// Files of certificate authorities.
    pub(super) authorities: Vec<PathBuf>,
    /// Files of client certificates, and of keys where these are apart.
    pub(super) clients: Vec<(PathBuf, Option<PathBuf>)>,
    pub(super) headers: Vec<(String, Secret)>,
    /// How long a connection may take to be made.
    pub(super) dial_timeout: Option<Duration>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct RawHost {
    capabilities: Option<Vec<String>>,
    ca: Option<Value>,
    client: Option<Value>,
    skip_verify: bool,
    header: Table,
    override_path: bool,
    dial_timeout: Option<String>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct RawFile {
    server: String,
    host: Table,
    #[serde(flatten)]
    own: RawHost,
}

impl Hosts {
    /// Parses the file; paths in it are relative to `folder`.
    ///
    /// # Errors
    /// [`dhow_base::Kind::Invalid`] saying what is wrong in it.
    pub fn parse(bytes: &[u8], folder: &Path) -> Result<Self> {
        let raw: RawFile = super::toml(bytes)?;
        let mut hosts = Vec::new();
        for (address, value) in raw.host {
            let host: RawHost =
                value.try_into().map_err(|error| invalid(format!("host {address:?}: {}", super::one_line(&error))))?;
            hosts.push(host.check(Some(&address), folder)?);
        }
        let address = Some(raw.server.as_str()).filter(|server| !server.is_empty());
        let own = raw.own.check(address, folder)?;
        let (server, defaults) = if address.is_some() { (Some(own), Host::default()) } else { (None, own) };
        Ok(Self { hosts, server, defaults })
    }
}

impl RawHost {
    fn check(self, address: Option<&str>, folder: &Path) -> Result<Host> {
        let api = address.map(|address| api(address, self.override_path)).transpose()?;
        let can = |what: &str| self.capabilities.as_ref().is_none_or(|list| list.iter().any(|item| item == what));
        for capability in self.capabilities.iter().flatten() {
            if !matches!(capability.as_str(), "pull" | "resolve" | "push" | "referrers") {
                return Err(invalid(format!("unknown capability {capability:?}")));
            }
        }
        let mut headers = Vec::new();
        for (name, value) in &self.header {
            for text in
                texts(value).ok_or_else(|| invalid(format!("header {name:?} is neither a text nor a list of texts")))?
            {
                headers.push((name.clone(), Secret::new(text)));
            }
        }
        let ca = self
            .ca
            .as_ref()
            .map(|value| texts(value).ok_or_else(|| invalid("ca is neither a path nor a list of paths")));
        let authorities = ca.transpose()?.unwrap_or_default().iter().map(|path| folder.join(path)).collect();
        let clients = self.client.as_ref().map(|value| clients(value, folder)).transpose()?.unwrap_or_default();
        let (resolves, pulls) = (can("resolve"), can("pull"));
        let dial_timeout = match self.dial_timeout.as_deref() {
            None | Some("") => None,
            Some(text) => Some(duration(text).ok_or_else(|| {
                invalid(format!("dial_timeout {text:?} is no duration such as \"500ms\", \"5s\" or \"1m30s\""))
            })?),
        };
        // None at all is containerd's way to say that it does not matter.
        let dial_timeout = dial_timeout.filter(|timeout| !timeout.is_zero());
        Ok(Host { api, resolves, pulls, skip_verify: self.skip_verify, authorities, clients, headers, dial_timeout })
    }
}

/// A duration as Go writes it: numbers with units, one after another.
fn duration(text: &str) -> Option<Duration> {
    const UNITS: [(&str, f64); 7] =
        [("ns", 1e-9), ("us", 1e-6), ("µs", 1e-6), ("ms", 1e-3), ("s", 1.0), ("m", 60.0), ("h", 3600.0)];
    let (mut rest, mut seconds) = (text, 0.0);
    if text == "0" {
        return Some(Duration::ZERO);
    }
    while !rest.is_empty() {
        let digits = rest.find(|letter: char| !letter.is_ascii_digit() && letter != '.')?;
        let (number, behind) = rest.split_at(digits);
        let letters = behind.find(|letter: char| letter.is_ascii_digit() || letter == '.').unwrap_or(behind.len());
        let (unit, next) = behind.split_at(letters);
        let (_, factor) = UNITS.iter().find(|(name, _)| *name == unit)?;
        seconds += number.parse::<f64>().ok()? * factor;
        rest = next;
    }
    Duration::try_from_secs_f64(seconds).ok().filter(|_| !text.is_empty())
}

/// The root of a host's API: `/v2` below its address, unless that is the root already.
fn api(address: &str, is_root: bool) -> Result<Url> {
    let shown = crate::host::without_userinfo(address);
    let text = if address.contains("://") { address.to_owned() } else { format!("https://{address}") };
    let mut url = Url::parse(&text).map_err(|error| invalid(format!("host {shown:?}: {error}")))?;
    if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
        return Err(invalid(format!("host {shown:?}: no address of HTTP or HTTPS")));
    }
    if !url.username().is_empty() || url.password().is_some() || url.query().is_some() || url.fragment().is_some() {
        return Err(invalid(format!("host {shown:?}: only scheme, host, port and path are taken")));
    }
    let path = url.path().trim_end_matches('/').to_owned();
    let is_there = is_root || path.ends_with("/v2");
    url.set_path(&if is_there { path } else { format!("{path}/v2") });
    Ok(url)
}

fn texts(value: &Value) -> Option<Vec<String>> {
    match value {
        Value::String(text) => Some(vec![text.clone()]),
        Value::Array(items) => items.iter().map(|item| item.as_str().map(str::to_owned)).collect(),
        _ => None,
    }
}

/// A path, a list of paths, or a list of pairs: certificate and key.
fn clients(value: &Value, folder: &Path) -> Result<Vec<(PathBuf, Option<PathBuf>)>> {
    let refused = || invalid("client is neither a path, nor a list of paths or of pairs of them");
    let pair = |item: &Value| match item {
        Value::String(path) => Ok((folder.join(path), None)),
        Value::Array(_) => match texts(item).as_deref() {
            Some([certificate]) => Ok((folder.join(certificate), None)),
            Some([certificate, key]) if key.is_empty() => Ok((folder.join(certificate), None)),
            Some([certificate, key]) => Ok((folder.join(certificate), Some(folder.join(key)))),
            _ => Err(refused()),
        },
        _ => Err(refused()),
    };
    match value {
        Value::String(_) => Ok(vec![pair(value)?]),
        Value::Array(items) => items.iter().map(pair).collect(),
        _ => Err(refused()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Hosts> {
        Hosts::parse(text.as_bytes(), Path::new("/etc/containerd/certs.d/r"))
    }

    #[test]
    fn durations_are_those_of_go() {
        for (text, milliseconds) in [("500ms", 500), ("3s", 3000), ("1m30s", 90_000), ("1.5h", 5_400_000), ("0", 0)] {
            assert_eq!(duration(text), Some(Duration::from_millis(milliseconds)), "{text}");
        }
        for text in ["", "3", "s", "3 s", "-3s", "3d", "1..5s", "9999999999999999999h", "3s5"] {
            assert_eq!(duration(text), None, "{text}");
        }
    }

    const FULL: &str = r#"
server = "https://registry.example"

[host."https://z.mirror.example/prefix"]
  capabilities = ["pull", "resolve"]
  ca = ["ca.crt", "/abs/ca.crt"]
  client = [["c.pem", "c.key"], ["both.pem", ""]]
  [host."https://z.mirror.example/prefix".header]
    x-one = "1"
    x-two = ["2", "3"]

[host."http://a.mirror.example:5000/v2/root"]
  capabilities = ["pull"]
  override_path = true
  skip_verify = true
  dial_timeout = "2s"
"#;

    #[test]
    fn hosts_keep_their_order() {
        let hosts = parse(FULL).unwrap();
        let apis: Vec<&str> = hosts.hosts.iter().filter_map(|host| host.api.as_ref()).map(Url::as_str).collect();
        assert_eq!(apis, ["https://z.mirror.example/prefix/v2", "http://a.mirror.example:5000/v2/root"]);
        let [first, second] = hosts.hosts.as_slice() else { panic!("{hosts:?}") };
        assert!(first.resolves && first.pulls && !first.skip_verify);
        assert!(!second.resolves && second.pulls && second.skip_verify);
        assert_eq!((first.dial_timeout, second.dial_timeout), (None, Some(Duration::from_secs(2))));
        assert_eq!(first.authorities, ["/etc/containerd/certs.d/r/ca.crt", "/abs/ca.crt"].map(PathBuf::from));
        let folder = Path::new("/etc/containerd/certs.d/r");
        assert_eq!(
            first.clients,
            [(folder.join("c.pem"), Some(folder.join("c.key"))), (folder.join("both.pem"), None)]
        );
        let headers: Vec<(&str, &str)> =
            first.headers.iter().map(|(name, value)| (name.as_str(), value.expose())).collect();
        assert_eq!(headers, [("x-one", "1"), ("x-two", "2"), ("x-two", "3")]);
        assert_eq!(hosts.server.unwrap().api.unwrap().as_str(), "https://registry.example/v2");
    }

    #[test]
    fn what_is_said_of_the_registry_without_an_address() {
        let hosts = parse("skip_verify = true\nca = 'x.crt'\nclient = 'both.pem'\n").unwrap();
        assert!(hosts.server.is_none() && hosts.hosts.is_empty() && hosts.defaults.skip_verify);
        assert_eq!(hosts.defaults.clients.len(), 1);
        assert!(parse("").unwrap().defaults.api.is_none());
    }

    #[test]
    fn addresses_without_a_scheme_mean_https() {
        for (address, is_root, expected) in [
            ("m.example", false, "https://m.example/v2"),
            ("http://m.example:80/", false, "http://m.example/v2"),
            ("https://m.example/v2/", false, "https://m.example/v2"),
            ("https://m.example", true, "https://m.example/"),
            ("m.example:5000/a/b", false, "https://m.example:5000/a/b/v2"),
        ] {
            assert_eq!(api(address, is_root).unwrap().as_str(), expected, "{address}");
        }
    }

    #[test]
    fn mistakes() {
        for (text, expected) in [
            ("[host.'ftp://x']", "host \"ftp://x\": no address of HTTP or HTTPS"),
            ("[host.'https://u:hunter2@x']", "host \"https://x\": only scheme, host, port and path are taken"),
            ("[host.x]\ncapabilities = ['fly']", "unknown capability \"fly\""),
            ("[host.x]\nclient = 5", "client is neither a path, nor a list of paths or of pairs of them"),
            (
                "[host.x]\ndial_timeout = '3'",
                "dial_timeout \"3\" is no duration such as \"500ms\", \"5s\" or \"1m30s\"",
            ),
            ("[host.x]\nca = [1]", "ca is neither a path nor a list of paths"),
            ("[host.x.header]\na = 1", "header \"a\" is neither a text nor a list of texts"),
        ] {
            assert_eq!(parse(text).unwrap_err().to_string(), expected, "{text}");
        }
        assert!(parse("host = 5").is_err());
        assert!(
            parse("[host.x]\nskip_verify = 'yes'").unwrap_err().to_string().starts_with("host \"x\": invalid type")
        );
    }
}
