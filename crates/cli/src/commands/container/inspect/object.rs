//! A container as docker's `container.InspectResponse`: templates see the fields by Go's names, and JSON comes of the same.

use dhow_ops::container::{Details, Record, State};
use dhow_ops::{Context, container};
use dhow_spec::config::NameSet;
use dhow_template::{Field, Type, Value};
use jiff::tz::TimeZone;

use super::super::run::start_message;
use super::{host_config, mounts, network};
use crate::format::{ago, object};
use crate::personality::Personality;

/// What docker shows for a time that has not come.
const NEVER: &str = "0001-01-01T00:00:00Z";

/// A string.
pub(super) fn text(name: &'static str, text: impl AsRef<str>) -> Field {
    Field::new(name, Value::from(text.as_ref()))
}

pub(super) fn flag(name: &'static str, is_so: bool) -> Field {
    Field::new(name, Value::from(is_so))
}

pub(super) fn number(name: &'static str, number: i64) -> Field {
    Field::new(name, Value::Int64(number))
}

/// A list of strings.
pub(super) fn texts<S: AsRef<str>>(name: &'static str, items: Option<&[S]>) -> Field {
    Field::new(name, Value::texts(items))
}

/// A list that JSON has as `null` when it is empty.
pub(super) fn some_texts<S: AsRef<str>>(name: &'static str, items: &[S]) -> Field {
    texts(name, Some(items).filter(|items| !items.is_empty()))
}

/// A map from strings to strings.
pub(super) fn map<'m>(entries: impl IntoIterator<Item = (&'m String, &'m String)>) -> Value {
    let entries = entries.into_iter().map(|(name, value)| (name, Value::from(value.as_str())));
    Value::map(Type::Text, Some(entries.collect()))
}

/// As [`map`], a member that is not there when it is empty.
pub(super) fn some_map<'m>(name: &'static str, entries: impl IntoIterator<Item = (&'m String, &'m String)>) -> Field {
    let mut entries = entries.into_iter().peekable();
    Field::optional(name, if entries.peek().is_some() { map(entries) } else { Value::map::<&str>(Type::Text, None) })
}

/// The field under another name in JSON.
pub(super) fn called(key: &'static str, field: Field) -> Field {
    Field { key, ..field }
}

/// A pointer to a number, of which JSON says nothing when there is none.
pub(super) fn perhaps(name: &'static str, kind: &'static str, number: Option<i64>) -> Field {
    match number {
        // What is 0 is said, too.
        Some(number) => Field::new(name, Value::Int64(number)),
        None => Field::optional(name, Value::Null { name: kind, fields: &[] }),
    }
}

/// What is asked about a container.
pub(super) struct Subject<'s> {
    pub(super) context: &'s Context,
    pub(super) record: &'s Record,
    pub(super) known: &'s Details,
    pub(super) personality: Personality,
    pub(super) with_size: bool,
}

impl Subject<'_> {
    /// All of it, in docker's order.
    pub(super) fn object(&self) -> Value {
        let Self { context, record, known, .. } = self;
        let mut arguments = known.arguments.iter().map(String::as_str);
        let path = arguments.next().unwrap_or_default();
        let directory = |directory: &std::path::Path, name: &str| directory.join(name).to_string_lossy().into_owned();
        let upper = directory(&known.directory, "upper");
        let driver_data = Value::map(Type::Text, Some(vec![("UpperDir", Value::from(upper))]));
        let driver = vec![Field::new("Data", driver_data), text("Name", "dhow")];
        let mut fields = vec![
            called("Id", text("ID", &record.container.id)),
            text("Created", time(Some(record.created))),
            text("Path", path),
            texts("Args", Some(&arguments.collect::<Vec<_>>())),
            Field::new("State", self.state()),
            text("Image", record.image_id.as_str()),
            text("ResolvConfPath", directory(&known.network_directory, "resolv.conf")),
            text("HostnamePath", directory(&known.directory, "hostname")),
            text("HostsPath", directory(&known.network_directory, "hosts")),
            text("LogPath", ""),
            text("Name", format!("/{}", record.container.name.as_deref().unwrap_or_default())),
            number("RestartCount", 0),
            text("Driver", "dhow"),
            text("Platform", "linux"),
            text("MountLabel", ""),
            text("ProcessLabel", ""),
            text("AppArmorProfile", known.settings.apparmor.as_deref().unwrap_or_default()),
            texts::<&str>("ExecIDs", None),
            Field::new("HostConfig", host_config::object(known)),
            Field::new("GraphDriver", Value::structure("storage.DriverData", driver)),
        ];
        fields.extend(self.sizes());
        fields.extend([
            Field::new("Mounts", mounts::points(context, &known.settings.mounts)),
            Field::new("Config", config(known)),
            Field::new("NetworkSettings", network::object(&known.settings)),
        ]);
        Value::structure("container.InspectResponse", fields)
    }

    /// Bytes of what it changed, and of that with its image, if they are asked for.
    fn sizes(&self) -> [Field; 2] {
        let size = |bytes: u64| i64::try_from(bytes).unwrap_or(i64::MAX);
        let changed = self.with_size.then(|| container::changed_file_bytes(self.context, &self.record.container.id));
        let image = || dhow_ops::summary::describe(self.context, self.record.image_id.as_str());
        let all = changed.map(|changed| changed + image().map_or(0, |image| image.summary.size));
        [perhaps("SizeRw", "*int64", changed.map(size)), perhaps("SizeRootFs", "*int64", all.map(size))]
    }

    fn state(&self) -> Value {
        let Self { record, known, .. } = self;
        let state = record.container.state;
        let failure = known.last_run.failure.as_ref();
        let code = known.last_run.exit_code(record.exit_code).unwrap_or(0);
        let health = Value::Null { name: "*container.Health", fields: &["Status", "FailingStreak", "Log"] };
        let fields = vec![
            text("Status", state.as_str()),
            flag("Running", state == State::Running),
            flag("Paused", state == State::Paused),
            flag("Restarting", false),
            flag("OOMKilled", known.last_run.ran_out_of_memory),
            flag("Dead", false),
            number("Pid", known.process.map_or(0, i64::from)),
            number("ExitCode", code),
            text("Error", failure.map_or_else(String::new, |failure| start_message(self.personality, failure))),
            text("StartedAt", time(record.started)),
            text("FinishedAt", time(record.finished)),
            Field::optional("Health", health),
        ];
        Value::pointer("container.State", fields)
    }
}

fn time(nanoseconds: Option<i64>) -> String {
    nanoseconds.map_or_else(|| NEVER.to_owned(), |time| ago::rfc3339_nano(time.into(), TimeZone::UTC))
}

/// How it runs: docker writes all members that a container has, most of the empty ones too.
fn config(known: &Details) -> Value {
    let config = &known.config;
    let labels = config.labels.clone().unwrap_or_default();
    // The user's volumes without a name are the container's as those of its image are.
    let mut volumes = config.volumes.clone();
    for mount in known.settings.mounts.iter().filter(|mount| mount.anonymous && !mounts::is_long(mount)) {
        let volumes = &mut volumes.get_or_insert_default().0;
        // Those of options are there as they were written.
        if !volumes.iter().any(|name| name.trim_matches('/') == mount.target.trim_start_matches('/')) {
            volumes.insert(mount.target.clone());
        }
    }
    let optional_text = |name, text: Option<&str>| Field::optional(name, Value::from(text.unwrap_or_default()));
    let fields = vec![
        text("Hostname", &config.hostname),
        text("Domainname", &known.settings.domain_name),
        text("User", &config.user),
        flag("AttachStdin", config.open_stdin),
        flag("AttachStdout", true),
        flag("AttachStderr", true),
        Field::optional("ExposedPorts", names(network::PORT, config.exposed_ports.as_ref())),
        flag("Tty", config.tty),
        flag("OpenStdin", config.open_stdin),
        flag("StdinOnce", config.open_stdin),
        some_texts("Env", config.env.as_deref().unwrap_or_default()),
        texts("Cmd", config.cmd.as_deref()),
        Field::optional("Healthcheck", object::healthcheck(config.healthcheck.as_ref())),
        Field::optional("ArgsEscaped", Value::from(config.args_escaped)),
        text("Image", &config.image),
        Field::new("Volumes", names("string", volumes.as_ref())),
        text("WorkingDir", &config.working_dir),
        texts("Entrypoint", config.entrypoint.as_deref()),
        Field::optional("NetworkDisabled", Value::from(config.network_disabled)),
        optional_text("MacAddress", Some(&config.mac_address)),
        texts("OnBuild", config.on_build.as_deref()),
        Field::new("Labels", map(&labels)),
        optional_text("StopSignal", config.stop_signal.as_deref()),
        perhaps("StopTimeout", "*int", config.stop_timeout),
        Field::optional("Shell", Value::texts(config.shell.as_deref())),
    ];
    Value::pointer("container.Config", fields)
}

fn names(key: &'static str, names: Option<&NameSet>) -> Value {
    Value::map_by(key, Type::Empty, names.map(|names| names.0.iter().map(|name| (name, Value::empty())).collect()))
}
