//! Platforms: what an image runs on, how it is written and which one fits a host (containerd/platforms).

mod matcher;
mod names;

use std::fmt;
use std::str::FromStr;

use dhow_base::{Error, Kind};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::lenient::{empty_as_none, null_as_default};

pub use matcher::Matcher;

/// The keys that have a meaning in a platform.
pub(crate) const KEYS: &[&str] = &["architecture", "os", "os.version", "os.features", "variant"];

/// An operating system and a processor, named as Go names them (`GOOS`, `GOARCH`).
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Platform {
    /// The processor architecture: `amd64`, `arm64`. Empty if a document leaves it out.
    #[serde(default, deserialize_with = "null_as_default")]
    pub architecture: String,
    /// The operating system: `linux`, `windows`. Empty if a document leaves it out.
    #[serde(default, deserialize_with = "null_as_default")]
    pub os: String,
    /// The version of the operating system that Windows images need.
    #[serde(
        rename = "os.version",
        default,
        deserialize_with = "empty_as_none",
        skip_serializing_if = "Option::is_none"
    )]
    pub os_version: Option<String>,
    /// Features of the operating system that Windows images need, such as `win32k`.
    #[serde(
        rename = "os.features",
        default,
        deserialize_with = "null_as_default",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub os_features: Vec<String>,
    /// The variant of the architecture: `v7`, `v8`.
    #[serde(default, deserialize_with = "empty_as_none", skip_serializing_if = "Option::is_none")]
    pub variant: Option<String>,
    /// Fields that are not known here.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

/// The grammar of `os` and of `os(version)`, as it is quoted in the error text.
const OS_PATTERN: &str = r"^([A-Za-z0-9_-]+)(?:\(([A-Za-z0-9_.-]*)\))?$";

/// The grammar of every other component, as it is quoted in the error text.
const COMPONENT_PATTERN: &str = "^[A-Za-z0-9_.-]+$";

/// Why a text is not a platform. The texts are docker's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlatformError {
    /// A single word that is neither an operating system nor an architecture.
    #[error("{0:?}: unknown operating system or architecture: invalid argument")]
    Unknown(String),
    /// More than three components.
    #[error("{0:?}: cannot parse platform specifier: invalid argument")]
    TooManyComponents(String),
    /// The text has a `*`.
    #[error("{0:?}: wildcards not yet supported: invalid argument")]
    Wildcard(String),
    /// The operating system has characters that no name has.
    #[error(
        "{component:?} is an invalid OS component of {specifier:?}: \
         OSAndVersion specifier component must match {OS_PATTERN:?}: invalid argument"
    )]
    InvalidOs {
        /// The part that is wrong.
        component: String,
        /// The whole text.
        specifier: String,
    },
    /// The architecture or the variant has characters that no name has.
    #[error(
        "{component:?} is an invalid component of {specifier:?}: \
         platform specifier component must match {COMPONENT_PATTERN:?}: invalid argument"
    )]
    InvalidComponent {
        /// The part that is wrong.
        component: String,
        /// The whole text.
        specifier: String,
    },
}

impl From<PlatformError> for Error {
    fn from(error: PlatformError) -> Self {
        Error::new(Kind::Invalid, error.to_string()).with_source(error)
    }
}

impl Platform {
    /// A platform without variant, spelt as given.
    pub fn new(os: impl Into<String>, architecture: impl Into<String>) -> Self {
        Self { os: os.into(), architecture: architecture.into(), ..Self::default() }
    }

    /// The same platform with this variant.
    #[must_use]
    pub fn with_variant(mut self, variant: impl Into<String>) -> Self {
        self.variant = Some(variant.into()).filter(|variant| !variant.is_empty());
        self
    }

    /// Parses `os[(version)][/architecture[/variant]]` or a single architecture, and normalises the spelling.
    ///
    /// Of a single word the other half is this host's.
    pub fn parse(specifier: &str) -> Result<Self, PlatformError> {
        if specifier.contains('*') {
            return Err(PlatformError::Wildcard(specifier.to_owned()));
        }
        let components: Vec<&str> = specifier.splitn(4, '/').collect();
        let (os, os_version) = parse_os(components[0], specifier)?;
        if let Some(invalid) = components[1..].iter().find(|component| !is_component(component)) {
            let (component, specifier) = ((*invalid).to_owned(), specifier.to_owned());
            return Err(PlatformError::InvalidComponent { component, specifier });
        }
        let platform = match components[..] {
            [_] if names::is_known_os(&os) => Self::on_host_processor(os),
            [word] => Self::of_architecture(word).ok_or_else(|| PlatformError::Unknown(specifier.to_owned()))?,
            [_, architecture] => Self::spelt(os, architecture, "").without_implied_variant(),
            [_, architecture, variant] => Self::spelt(os, architecture, variant).with_explicit_variant(),
            _ => return Err(PlatformError::TooManyComponents(specifier.to_owned())),
        };
        Ok(Self { os_version, ..platform })
    }

    /// The platform this program was built for.
    pub fn host() -> Self {
        let (architecture, variant) = names::host_architecture();
        Self::new(names::host_os(), architecture).with_variant(variant)
    }

    /// The same platform in the one spelling that comparisons use: `x86_64` is `amd64`, `arm64/v8` is `arm64`.
    pub fn normalized(&self) -> Self {
        let (architecture, variant) =
            names::normalize_architecture(&self.architecture, self.variant.as_deref().unwrap_or_default());
        Self { os: names::normalize_os(&self.os), architecture, variant, ..self.clone() }
    }

    /// Whether nothing is known of it, as in BuildKit's attestations: `unknown/unknown`.
    pub fn is_unknown(&self) -> bool {
        self.os == "unknown" && self.architecture == "unknown"
    }

    fn spelt(os: String, architecture: &str, variant: &str) -> Self {
        Self::new(os, architecture).with_variant(variant).normalized()
    }

    fn on_host_processor(os: String) -> Self {
        let host = Self::host();
        let variant = host.variant.filter(|variant| host.architecture == "arm" && variant != "v7");
        Self { os, architecture: host.architecture, variant, ..Self::default() }
    }

    fn of_architecture(word: &str) -> Option<Self> {
        let platform = Self::spelt(names::host_os().to_owned(), word, "").without_implied_variant();
        names::is_known_architecture(&platform.architecture).then_some(platform)
    }

    /// Leaves out the variant that a bare `arm` means.
    fn without_implied_variant(mut self) -> Self {
        self.variant = self.variant.filter(|variant| !(self.architecture == "arm" && variant == "v7"));
        self
    }

    /// Shows the variant of `arm64` when the user spelt it out, though comparisons drop it.
    fn with_explicit_variant(self) -> Self {
        if self.architecture == "arm64" && self.variant.is_none() { self.with_variant("v8") } else { self }
    }
}

/// Reads the first component: `linux`, `windows(10.0.17763)`.
fn parse_os(component: &str, specifier: &str) -> Result<(String, Option<String>), PlatformError> {
    let (name, version) = match component.strip_suffix(')').and_then(|rest| rest.split_once('(')) {
        Some((name, version)) => (name, Some(version)),
        None => (component, None),
    };
    let name_is_valid = is_component(name) && !name.contains('.');
    if !name_is_valid || !version.is_none_or(|version| version.is_empty() || is_component(version)) {
        let (component, specifier) = (component.to_owned(), specifier.to_owned());
        return Err(PlatformError::InvalidOs { component, specifier });
    }
    Ok((names::normalize_os(name), version.filter(|version| !version.is_empty()).map(str::to_owned)))
}

fn is_component(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-'))
}

impl fmt::Display for Platform {
    /// Writes `os/architecture[/variant]`, leaving out what is not known.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(if self.os.is_empty() { "unknown" } else { &self.os })?;
        for part in [Some(&self.architecture), self.variant.as_ref()].into_iter().flatten() {
            if !part.is_empty() {
                write!(formatter, "/{part}")?;
            }
        }
        Ok(())
    }
}

impl FromStr for Platform {
    type Err = PlatformError;

    fn from_str(text: &str) -> Result<Self, PlatformError> {
        Self::parse(text)
    }
}

#[cfg(test)]
mod tests;
