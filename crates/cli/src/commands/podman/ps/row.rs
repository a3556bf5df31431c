//! What podman says of a container in a list.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use dhow_ops::container::{self, MountKind, Record, State};
use dhow_ops::df::Configuration;
use dhow_ops::{Context, summary};
use dhow_template::{Field, Type, Value};
use jiff::Timestamp;
use serde::Serialize;
use serde_json::json;

use super::{List, Sort};
use crate::format::{ago, units};

/// Letters of a command that are shown, before the dots.
const COMMAND_LETTERS: usize = 17;

/// Go's time before all others, in seconds since 1970: what did not happen yet.
const NEVER: i64 = -62_135_596_800;

const NANOSECONDS: i64 = 1_000_000_000;

/// What podman says of a container, in its order.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Listed {
    auto_remove: bool,
    command: Vec<String>,
    #[serde(rename = "CreatedAt")]
    created_human: String,
    exited: bool,
    exited_at: i64,
    exit_code: i64,
    id: String,
    image: String,
    #[serde(rename = "ImageID")]
    image_id: String,
    is_infra: bool,
    labels: Option<BTreeMap<String, String>>,
    mounts: Vec<String>,
    names: Vec<String>,
    namespaces: Namespaces,
    networks: [(); 0],
    pid: u32,
    pod: &'static str,
    pod_name: &'static str,
    ports: Option<()>,
    size: Option<Size>,
    started_at: i64,
    state: &'static str,
    status: String,
    /// In seconds since 1970.
    created: i64,
    #[serde(skip)]
    created_nanoseconds: i64,
}

/// Bytes that a container takes.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Size {
    /// Of its image.
    root_fs_size: u64,
    /// Of its own.
    rw_size: u64,
}

/// Numbers of namespaces.
#[derive(Default, Serialize)]
struct Namespaces {
    #[serde(rename = "Mnt", skip_serializing_if = "String::is_empty")]
    mounts: String,
    #[serde(rename = "Cgroup", skip_serializing_if = "String::is_empty")]
    groups: String,
    #[serde(rename = "Ipc", skip_serializing_if = "String::is_empty")]
    memory: String,
    #[serde(rename = "Net", skip_serializing_if = "String::is_empty")]
    network: String,
    #[serde(rename = "Pidns", skip_serializing_if = "String::is_empty")]
    processes: String,
    #[serde(rename = "UserNS", skip_serializing_if = "String::is_empty")]
    users: String,
    #[serde(rename = "Uts", skip_serializing_if = "String::is_empty")]
    host: String,
}

impl Listed {
    pub(super) fn read(context: &Context, record: Record, now: i128, asked: &List) -> Self {
        let configuration = Configuration::parse(&record.configuration);
        let is_running = record.container.is_running();
        let process = container::process_of(context, &record.container.id).filter(|_| is_running);
        let process = process.map(|process| process.id());
        let pid = process.unwrap_or(0);
        let size = asked.size.then(|| {
            let rw_size = container::changed_file_bytes(context, &record.container.id);
            let image = summary::describe(context, record.image_id.as_str());
            Size { root_fs_size: image.map_or(0, |image| image.summary.size), rw_size }
        });
        let seconds = |time: Option<i64>| time.map_or(NEVER, |time| time.div_euclid(NANOSECONDS));
        let image = Some(configuration.image.clone()).filter(|image| !image.is_empty());
        Self {
            auto_remove: configuration.settings.auto_remove,
            created_human: ago::ago(record.created.into(), now),
            exited: record.container.state == State::Exited,
            exited_at: seconds(record.finished.filter(|_| !is_running)),
            exit_code: record.exit_code.filter(|_| !is_running).unwrap_or_default(),
            image: image.unwrap_or_else(|| record.image_id.short().to_owned()),
            image_id: record.image_id.hex().to_owned(),
            is_infra: false,
            mounts: mounted(&configuration),
            labels: Some(configuration.labels).filter(|labels| !labels.is_empty()),
            names: record.container.name.iter().cloned().collect(),
            namespaces: if asked.ns && pid > 0 { Namespaces::of(pid) } else { Namespaces::default() },
            networks: [],
            pid,
            pod: "",
            pod_name: "",
            ports: None,
            size,
            started_at: seconds(record.started),
            state: record.container.state.as_str(),
            status: status(&record, now),
            created: record.created.div_euclid(NANOSECONDS),
            created_nanoseconds: record.created,
            command: configuration.command,
            id: record.container.id,
        }
    }

    pub(super) fn compare(&self, other: &Self, by: Sort) -> Ordering {
        let bytes = |row: &Self| row.size.as_ref().map_or(0, |size| size.root_fs_size);
        match by {
            Sort::Command => self.command.cmp(&other.command),
            Sort::Created => self.created_nanoseconds.cmp(&other.created_nanoseconds),
            Sort::Id => self.id.cmp(&other.id),
            Sort::Image => self.image.cmp(&other.image),
            Sort::Names => self.names.cmp(&other.names),
            Sort::RunningFor => self.started_at.cmp(&other.started_at),
            Sort::Size => bytes(self).cmp(&bytes(other)),
            Sort::Status => self.state.cmp(other.state),
        }
    }

    /// As a template has it that writes rows as JSON: there it says when the container was made in another way.
    pub(super) fn alone(&self) -> serde_json::Value {
        let mut row = json!(self);
        let created = Timestamp::from_nanosecond(self.created_nanoseconds.into()).unwrap_or_default();
        row["Created"] = json!(created.to_string());
        row
    }

    pub(super) fn shown_id(&self, whole: bool) -> &str {
        if whole { &self.id } else { container::short_id(&self.id) }
    }

    pub(super) fn value(&self, whole: bool) -> Value {
        let text = |name, text: &str| Field::new(name, Value::from(text));
        let number = |name, number: i64| Field::new(name, Value::Int64(number));
        let labels = self
            .labels
            .as_ref()
            .map(|labels| labels.iter().map(|(name, value)| (name, Value::from(value.as_str()))).collect::<Vec<_>>());
        let size = self.size.as_ref().map_or(String::new(), Size::to_string);
        let mut fields = vec![
            Field::new("AutoRemove", Value::from(self.auto_remove)),
            text("Command", &command(&self.command, whole)),
            text("Created", &ago::go_time(self.created_nanoseconds.into())),
            text("CreatedAt", &ago::go_time(self.created_nanoseconds.into())),
            text("CreatedHuman", &self.created_human),
            number("ExitCode", self.exit_code),
            Field::new("Exited", Value::from(self.exited)),
            number("ExitedAt", self.exited_at),
            text("ID", self.shown_id(whole)),
            text("Image", &self.image),
            text("ImageID", if whole { &self.image_id } else { container::short_id(&self.image_id) }),
            Field::new("IsInfra", Value::from(self.is_infra)),
            Field::new("Labels", Value::map(Type::Text, labels)),
            Field::new("Mounts", Value::texts(Some(&self.mounts))),
            text("Names", &self.names.join(",")),
            text("Networks", ""),
            Field::new("Pid", Value::Int(self.pid.into())),
            text("Pod", self.pod),
            text("PodName", self.pod_name),
            text("Ports", ""),
            text("RunningFor", &self.created_human),
            text("Size", &size),
            number("StartedAt", self.started_at),
            text("Restarts", "0"),
            text("State", self.state),
            text("Status", &self.status),
        ];
        let namespaces: Vec<Field> = self.namespaces.fields().map(|(name, number)| text(name, number)).collect();
        fields.extend(namespaces.iter().cloned());
        // Users' have another name among themselves.
        let own =
            |field: Field| if field.name == "USERNS" { Field { name: "User", key: "User", ..field } } else { field };
        let namespaces = namespaces.into_iter().map(own).collect();
        fields.push(Field::new("Namespaces", Value::structure("entities.ListContainerNamespaces", namespaces)));
        Value::structure("containers.psReporter", fields)
    }
}

impl std::fmt::Display for Size {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let [own, whole] = [self.rw_size, self.root_fs_size].map(units::short_size);
        write!(formatter, "{own} (virtual {whole})")
    }
}

impl Namespaces {
    /// Those of a process; what may not be seen has no number.
    fn of(process: u32) -> Self {
        let number = |kind: &str| {
            let link = std::fs::read_link(format!("/proc/{process}/ns/{kind}")).unwrap_or_default();
            let text = link.to_string_lossy().into_owned();
            text.split(['[', ']']).nth(1).unwrap_or_default().to_owned()
        };
        Self {
            mounts: number("mnt"),
            groups: number("cgroup"),
            memory: number("ipc"),
            network: number("net"),
            processes: number("pid"),
            users: number("user"),
            host: number("uts"),
        }
    }

    /// By podman's names, in its order.
    fn fields(&self) -> impl Iterator<Item = (&'static str, &str)> {
        [
            ("MNT", self.mounts.as_str()),
            ("Cgroup", &self.groups),
            ("IPC", &self.memory),
            ("NET", &self.network),
            ("PIDNS", &self.processes),
            ("USERNS", &self.users),
            ("UTS", &self.host),
        ]
        .into_iter()
    }
}

/// Podman's commands are not quoted, and are cut after seventeen letters (podman, `cmd/podman/containers/ps.go`).
fn command(words: &[String], whole: bool) -> String {
    let command = words.join(" ");
    match command.char_indices().nth(COMMAND_LETTERS) {
        Some(_) if !whole => command.chars().take(COMMAND_LETTERS).chain("...".chars()).collect(),
        _ => command,
    }
}

/// Where something is mounted: what is the machine's first, then memory, volumes and images.
fn mounted(configuration: &Configuration) -> Vec<String> {
    let mut mounts: Vec<_> =
        configuration.settings.mounts.iter().filter(|mount| mount.kind != MountKind::Device).collect();
    let rank = |kind: MountKind| match kind {
        MountKind::Bind | MountKind::Device => 0,
        MountKind::Tmpfs => 1,
        MountKind::Volume => 2,
        MountKind::Image => 3,
    };
    mounts.sort_by(|a, b| (rank(a.kind), &a.target).cmp(&(rank(b.kind), &b.target)));
    mounts.into_iter().map(|mount| mount.target.clone()).collect()
}

/// Podman's sentence on what a container is doing.
fn status(record: &Record, now: i128) -> String {
    let since = |time: Option<i64>| ago::ago(time.unwrap_or(record.created).into(), now);
    match record.container.state {
        State::Running => format!("Up {}", since(record.started).trim_end_matches(" ago")),
        State::Exited => format!("Exited ({}) {}", record.exit_code.unwrap_or(0), since(record.finished)),
        State::Paused => "Paused".to_owned(),
        State::Removing => "Removing".to_owned(),
        _ => "Created".to_owned(),
    }
}
