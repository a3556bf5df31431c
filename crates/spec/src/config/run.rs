//! How to run an image: Docker's `container.Config`, of which OCI's is a part.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::de::{IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value};

use crate::json::{JsonError, rename_case_variants};
use crate::lenient::{empty_as_none, is_default, null_as_default, string_map};

/// How to run an image, in Docker's order of fields.
///
/// Lists are optional because docker tells an absent list (`null`) from an empty one when it shows them.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct RunConfig {
    /// The container's host name.
    #[serde(deserialize_with = "null_as_default", skip_serializing_if = "is_default")]
    pub hostname: String,
    /// The container's domain name.
    #[serde(deserialize_with = "null_as_default", skip_serializing_if = "is_default")]
    pub domainname: String,
    /// User, and perhaps group, by name or number: `nobody`, `1000:1000`.
    #[serde(deserialize_with = "null_as_default", skip_serializing_if = "is_default")]
    pub user: String,
    /// Whether standard input is attached.
    #[serde(deserialize_with = "null_as_default", skip_serializing_if = "is_default")]
    pub attach_stdin: bool,
    /// Whether standard output is attached.
    #[serde(deserialize_with = "null_as_default", skip_serializing_if = "is_default")]
    pub attach_stdout: bool,
    /// Whether standard error is attached.
    #[serde(deserialize_with = "null_as_default", skip_serializing_if = "is_default")]
    pub attach_stderr: bool,
    /// Ports the image listens on: `80/tcp`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exposed_ports: Option<NameSet>,
    /// Whether the process gets a terminal.
    #[serde(deserialize_with = "null_as_default", skip_serializing_if = "is_default")]
    pub tty: bool,
    /// Whether standard input is kept open.
    #[serde(deserialize_with = "null_as_default", skip_serializing_if = "is_default")]
    pub open_stdin: bool,
    /// Whether standard input is closed after the first client detaches.
    #[serde(deserialize_with = "null_as_default", skip_serializing_if = "is_default")]
    pub stdin_once: bool,
    /// Environment variables: `NAME=value`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub env: Option<Vec<String>>,
    /// Default arguments of the entry point, or the command if there is none.
    #[serde(deserialize_with = "words", skip_serializing_if = "Option::is_none")]
    pub cmd: Option<Vec<String>>,
    /// How to tell whether the container is well.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub healthcheck: Option<Healthcheck>,
    /// Whether the command is already quoted for Windows.
    #[serde(deserialize_with = "null_as_default", skip_serializing_if = "is_default")]
    pub args_escaped: bool,
    /// The image that a container was made from.
    #[serde(deserialize_with = "null_as_default", skip_serializing_if = "is_default")]
    pub image: String,
    /// Directories that hold data of their own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub volumes: Option<NameSet>,
    /// The directory that the process starts in.
    #[serde(deserialize_with = "null_as_default", skip_serializing_if = "is_default")]
    pub working_dir: String,
    /// The program to run.
    #[serde(deserialize_with = "words", skip_serializing_if = "Option::is_none")]
    pub entrypoint: Option<Vec<String>>,
    /// Whether the container has no network.
    #[serde(deserialize_with = "null_as_default", skip_serializing_if = "is_default")]
    pub network_disabled: bool,
    /// The container's hardware address.
    #[serde(deserialize_with = "null_as_default", skip_serializing_if = "is_default")]
    pub mac_address: String,
    /// Instructions for builds on top of this image.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub on_build: Option<Vec<String>>,
    /// Free-form information.
    #[serde(deserialize_with = "string_map", skip_serializing_if = "Option::is_none")]
    pub labels: Option<BTreeMap<String, String>>,
    /// The signal that asks the process to end.
    #[serde(deserialize_with = "empty_as_none", skip_serializing_if = "Option::is_none")]
    pub stop_signal: Option<String>,
    /// How long the process has to end, in seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stop_timeout: Option<i64>,
    /// The shell for commands in shell form.
    #[serde(deserialize_with = "words", skip_serializing_if = "Option::is_none")]
    pub shell: Option<Vec<String>>,
    /// Fields that are not known here, in their order.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

/// How to tell whether a container is well. Durations are in nanoseconds; 0 means the default.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Healthcheck {
    /// `["NONE"]`, `["CMD", …]`, `["CMD-SHELL", command]`, or empty to inherit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub test: Option<Vec<String>>,
    /// Time between two checks.
    #[serde(deserialize_with = "null_as_default", skip_serializing_if = "is_default")]
    pub interval: i64,
    /// Time after which a check counts as failed.
    #[serde(deserialize_with = "null_as_default", skip_serializing_if = "is_default")]
    pub timeout: i64,
    /// Time at the start in which failures do not count.
    #[serde(deserialize_with = "null_as_default", skip_serializing_if = "is_default")]
    pub start_period: i64,
    /// Time between two checks at the start.
    #[serde(deserialize_with = "null_as_default", skip_serializing_if = "is_default")]
    pub start_interval: i64,
    /// Failures in a row that make the container unhealthy.
    #[serde(deserialize_with = "null_as_default", skip_serializing_if = "is_default")]
    pub retries: i64,
    /// Fields that are not known here.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

/// A set of names, which Go writes as an object of empty objects: `{"80/tcp":{}}`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NameSet(pub BTreeSet<String>);

impl Serialize for NameSet {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|name| (name, Map::<String, Value>::new())))
    }
}

impl<'de> Deserialize<'de> for NameSet {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Names;

        impl<'de> Visitor<'de> for Names {
            type Value = NameSet;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("an object of empty objects")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<NameSet, A::Error> {
                let mut names = BTreeSet::new();
                while let Some((name, IgnoredAny)) = entries.next_entry()? {
                    names.insert(name);
                }
                Ok(NameSet(names))
            }
        }

        deserializer.deserialize_map(Names)
    }
}

/// Reads a list of words; old images have a single string in its place.
fn words<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Vec<String>>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Words {
        One(String),
        Many(Vec<String>),
    }
    Ok(Option::deserialize(deserializer)?.map(|words| match words {
        Words::One(word) => vec![word],
        Words::Many(words) => words,
    }))
}

const KEYS: &[&str] = &[
    "Hostname",
    "Domainname",
    "User",
    "AttachStdin",
    "AttachStdout",
    "AttachStderr",
    "ExposedPorts",
    "Tty",
    "OpenStdin",
    "StdinOnce",
    "Env",
    "Cmd",
    "Healthcheck",
    "ArgsEscaped",
    "Image",
    "Volumes",
    "WorkingDir",
    "Entrypoint",
    "NetworkDisabled",
    "MacAddress",
    "OnBuild",
    "Labels",
    "StopSignal",
    "StopTimeout",
    "Shell",
];

const HEALTHCHECK_KEYS: &[&str] = &["Test", "Interval", "Timeout", "StartPeriod", "StartInterval", "Retries"];

/// Gives every key that has a meaning its one spelling.
pub(super) fn unify_keys(config: &mut Map<String, Value>) -> Result<(), JsonError> {
    rename_case_variants(config, KEYS)?;
    match config.get_mut("Healthcheck") {
        Some(Value::Object(healthcheck)) => rename_case_variants(healthcheck, HEALTHCHECK_KEYS),
        _ => Ok(()),
    }
}
