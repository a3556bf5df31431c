//! `system df -v`: everything that takes space, one by one.

use std::collections::BTreeMap;
use std::rc::Rc;

use dhow_ops::container::{Mount, MountKind, NamespaceKind, Network, Settings};
use dhow_ops::df::{BuildRecord, ContainerUse, ImageUse, Usage, VolumeUse};
use dhow_spec::{Digest, Reference};
use dhow_template::{Options, Template, quoted};
use serde::Serialize;
use serde_json::Value;

pub(in crate::commands) use super::Row;
use super::table;
use crate::errors::{Failure, Outcome};
use crate::format::text::ellipsis;
use crate::format::{ListFormat, NONE, ago, json as encode, list, units};

/// Longest command in the table, in columns.
const COMMAND_COLUMNS: usize = 20;

/// Width at which docker cuts what a container has mounted, each thing for itself.
const MOUNT_COLUMNS: usize = 15;

/// Docker's `raw`: a paragraph for each thing.
const RAW: &str = "\
{{range .Images}}type: Image
repository: {{.Repository}}
tag: {{.Tag}}
digest: {{.Digest}}
image_id: {{.ID}}
created_at: {{.CreatedAt}}
virtual_size: {{.Size}}

{{end}}{{range .Containers}}type: Container
container_id: {{.ID}}
image: {{.Image}}
command: {{.Command}}
created_at: {{.CreatedAt}}
state: {{.State}}
status: {{.Status}}
names: {{.Names}}
labels:{{if .Labels}} {{.Labels}}{{end}}
ports:{{if .Ports}} {{.Ports}}{{end}}
size: {{.Size}}

{{end}}{{range .Volumes}}type: Volume
name: {{.Name}}
driver: {{.Driver}}

{{end}}{{range .BuildCache}}type: Build Cache
build_cache_id: {{.ID}}
parent_id: {{.Parent}}
build_cache_type: {{.CacheType}}
description: {{.Description}}
created_at: {{.CreatedAt}}
created_since: {{.CreatedSince}}
last_used_at: {{.LastUsedAt}}
last_used_since: {{.LastUsedSince}}
usage_count: {{.UsageCount}}
in_use: {{.InUse}}
shared: {{.Shared}}

{{end}}";

/// Everything in the form that the user wants.
///
/// # Errors
/// Docker's words for a template that does not work.
pub(super) fn render(usage: &Usage, format: &ListFormat, now: i128) -> Outcome<String> {
    match format {
        ListFormat::Json => json(usage, now),
        // Docker's objects escape `<` and `>` of their own accord, unlike the function otherwise.
        ListFormat::Template(template) if template == "{{json .}}" => json(usage, now),
        ListFormat::Template(template) => fill(template, &object(usage, now)),
        ListFormat::TableTemplate(_) => {
            Err(Failure::Client("--verbose has four tables: give a template without \"table\"".to_owned()))
        }
        ListFormat::Raw => fill(RAW, &object(usage, now)),
        ListFormat::Table => Ok(tables(usage, now)),
    }
}

/// Fills a template in. Docker reports one that fails without its usual words, and one that is none with the usual code.
fn fill(template: &str, object: &dhow_template::Value) -> Outcome<String> {
    let template = Template::parse(template).map_err(|error| list::failure(&error))?;
    let mut output = Vec::new();
    let filled = template.execute(object, Options::default(), &mut output);
    filled.map_err(|error| Failure::Client(error.to_string()))?;
    Ok(list::shown(output))
}

/// The four lists as a template sees them.
fn object(usage: &Usage, now: i128) -> dhow_template::Value {
    use dhow_template::{List, Type, Value};
    let items = |name: &'static str, rows: Vec<Row>| {
        let context =
            |row: Row| Value::context(name, row.into_iter().map(|(name, text)| (name, text.into())).collect());
        let items = rows.into_iter().map(context).collect();
        Value::List(Rc::new(List { element: Type::Named(name), items, is_nil: false }))
    };
    let images = usage.images.iter().map(|image| image_row(image, now, false)).collect();
    let containers = usage.containers.iter().map(|container| container_row(container, now, false)).collect();
    let volumes = usage.volumes.iter().map(volume_row).collect();
    let build = usage.build.iter().map(|record| build_row(record, now, false)).collect();
    Value::context(
        "formatter.diskUsageContext",
        vec![
            ("Images", items("formatter.imageContext", images)),
            ("Containers", items("formatter.ContainerContext", containers)),
            ("Volumes", items("formatter.volumeContext", volumes)),
            ("BuildCache", items("formatter.buildCacheContext", build)),
        ],
    )
}

/// Docker's four tables, each under its heading.
fn tables(usage: &Usage, now: i128) -> String {
    let images: Vec<Row> = usage.images.iter().map(|image| image_row(image, now, true)).collect();
    let containers: Vec<Row> = usage.containers.iter().map(|container| container_row(container, now, true)).collect();
    let volumes: Vec<Row> = usage.volumes.iter().map(volume_row).collect();
    let build: Vec<Row> = usage.build.iter().map(|record| build_row(record, now, true)).collect();
    let images = table(
        &[
            ("Repository", "REPOSITORY"),
            ("Tag", "TAG"),
            ("ID", "IMAGE ID"),
            ("CreatedSince", "CREATED"),
            ("Size", "SIZE"),
            ("SharedSize", "SHARED SIZE"),
            ("UniqueSize", "UNIQUE SIZE"),
            ("Containers", "CONTAINERS"),
        ],
        &images,
    );
    let containers = table(
        &[
            ("ID", "CONTAINER ID"),
            ("Image", "IMAGE"),
            ("Command", "COMMAND"),
            ("LocalVolumes", "LOCAL VOLUMES"),
            ("Size", "SIZE"),
            ("RunningFor", "CREATED"),
            ("Status", "STATUS"),
            ("Names", "NAMES"),
        ],
        &containers,
    );
    let volumes = table(&[("Name", "VOLUME NAME"), ("Links", "LINKS"), ("Size", "SIZE")], &volumes);
    let build = table(
        &[
            ("ID", "CACHE ID"),
            ("CacheType", "CACHE TYPE"),
            ("Size", "SIZE"),
            ("CreatedSince", "CREATED"),
            ("LastUsedSince", "LAST USED"),
            ("UsageCount", "USAGE"),
            ("Shared", "SHARED"),
        ],
        &build,
    );
    format!(
        "Images space usage:\n\n{images}\nContainers space usage:\n\n{containers}\n\
         Local Volumes space usage:\n\n{volumes}\nBuild cache usage: {}\n\n{build}",
        units::human_size(usage.build_size())
    )
}

/// One object with four lists, without an end of line: docker runs its template over all of it at once.
fn json(usage: &Usage, now: i128) -> Outcome<String> {
    let containers = usage.containers.iter();
    let all = All {
        images: usage.images.iter().map(|image| image_row(image, now, false)).collect(),
        containers: containers.map(|used| container_document(container_row(used, now, false))).collect(),
        volumes: usage.volumes.iter().map(volume_row).collect(),
        build_cache: usage.build.iter().map(|record| build_row(record, now, false)).collect(),
    };
    encode::line(&all).map_err(Failure::Client)
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct All {
    images: Vec<Row>,
    containers: Vec<BTreeMap<&'static str, Value>>,
    volumes: Vec<Row>,
    build_cache: Vec<Row>,
}

fn image_row(used: &ImageUse, now: i128, short: bool) -> Row {
    let image = &used.image;
    let name = image.references.first();
    let repository = name.map_or(NONE, |name| name.repository().familiar());
    let tag = name.and_then(|name| name.tag()).map_or(NONE, |tag| tag.as_str());
    BTreeMap::from([
        ("Containers", image.containers.to_string()),
        (
            "CreatedAt",
            image.created.map_or_else(|| ago::GO_ZERO_TIME.to_owned(), |created| ago::go_time(created.into())),
        ),
        ("CreatedSince", image.created.map(|created| ago::ago(created.into(), now)).unwrap_or_default()),
        ("Digest", String::new()),
        ("ID", if short { image.id.short() } else { image.id.as_str() }.to_owned()),
        ("Repository", repository.to_owned()),
        ("SharedSize", units::human_size(used.shared)),
        ("Size", units::short_size(used.size)),
        ("Tag", tag.to_owned()),
        ("UniqueSize", units::human_size(used.size.saturating_sub(used.shared))),
        ("VirtualSize", units::human_size(used.size)),
    ])
}

pub(in crate::commands) fn container_row(used: &ContainerUse, now: i128, short: bool) -> Row {
    let (record, container) = (&used.record, &used.record.container);
    let command = command(&used.configuration.command);
    let command = if short { ellipsis(&command, COMMAND_COLUMNS) } else { command };
    let image = match used.configuration.image.as_str() {
        "" if short => record.image_id.short().to_owned(),
        "" => record.image_id.to_string(),
        name if short => short_image(name, &record.image_id),
        name => name.to_owned(),
    };
    let labels: Vec<String> = used.configuration.labels.iter().map(|(name, value)| format!("{name}={value}")).collect();
    BTreeMap::from([
        ("Command", quoted(command.as_bytes())),
        ("CreatedAt", ago::go_time(record.created.into())),
        ("ID", if short { container.short_id() } else { &container.id }.to_owned()),
        ("Image", image),
        ("Labels", labels.join(",")),
        ("LocalVolumes", record.volumes.to_string()),
        ("Mounts", mounts(&used.configuration.settings.mounts, short)),
        ("Names", container.name.clone().unwrap_or_default()),
        ("Networks", network(&used.configuration.settings)),
        ("Ports", String::new()),
        ("RunningFor", ago::ago(record.created.into(), now)),
        ("Size", units::short_size(used.size)),
        ("State", container.state.as_str().to_owned()),
        ("Status", status(used, now)),
    ])
}

/// What a container was made of, in a list: a name without a digest, an ID in short (docker/cli, `ContainerContext.Image`).
fn short_image(name: &str, id: &Digest) -> String {
    let hex = name.strip_prefix("sha256:").unwrap_or(name);
    if hex.get(..id.short().len()) == Some(id.short()) {
        return id.short().to_owned();
    }
    let Ok(reference) = Reference::parse(name) else { return name.to_owned() };
    let repository = reference.repository().clone();
    match reference.tag() {
        Some(tag) => Reference::from_tag(repository, tag.clone()).familiar(),
        None => repository.familiar().to_owned(),
    }
}

/// A container's row as JSON. The platform is known to docker's engine only where containerd keeps its images.
pub(in crate::commands) fn container_document(row: Row) -> BTreeMap<&'static str, Value> {
    row.into_iter().map(|(name, text)| (name, Value::String(text))).chain([("Platform", Value::Null)]).collect()
}

/// A command as docker shows it: arguments with blanks in quotes, the program without (moby `container/view.go`).
fn command(words: &[String]) -> String {
    let argument = |word: &String| if word.contains(' ') { format!("'{word}'") } else { word.clone() };
    let arguments = words.iter().skip(1).map(argument);
    words.first().cloned().into_iter().chain(arguments).collect::<Vec<_>>().join(" ")
}

/// The network of a container; one that shares another's has none of its own.
fn network(settings: &Settings) -> String {
    match settings.network {
        _ if settings.joins.contains_key(&NamespaceKind::Network) => "",
        Network::Host => "host",
        Network::None => "none",
    }
    .to_owned()
}

/// What a container has mounted, by the names of volumes and images and the paths of this machine, as docker's lists have it.
fn mounts(mounts: &[Mount], short: bool) -> String {
    let is_listed = |mount: &&Mount| matches!(mount.kind, MountKind::Bind | MountKind::Volume | MountKind::Image);
    let listed = mounts.iter().filter(is_listed);
    let name = |mount: &Mount| if short { ellipsis(&mount.source, MOUNT_COLUMNS) } else { mount.source.clone() };
    listed.map(name).collect::<Vec<_>>().join(",")
}

/// Docker's sentence on what a container is doing (moby `container/state.go`).
fn status(used: &ContainerUse, now: i128) -> String {
    let (record, state) = (&used.record, used.record.container.state.as_str());
    let since = |time: Option<i64>| ago::ago(time.unwrap_or(record.created).into(), now);
    let up = || format!("Up {}", since(record.started).trim_end_matches(" ago"));
    match state {
        "running" => up(),
        "paused" => format!("{} (Paused)", up()),
        "removing" => "Removal In Progress".to_owned(),
        "exited" => format!("Exited ({}) {}", record.exit_code.unwrap_or(0), since(record.finished)),
        _ => "Created".to_owned(),
    }
}

fn volume_row(used: &VolumeUse) -> Row {
    let unknown = || "N/A".to_owned();
    BTreeMap::from([
        ("Availability", unknown()),
        ("Driver", "local".to_owned()),
        ("Group", unknown()),
        ("Labels", String::new()),
        ("Links", used.volume.links.to_string()),
        ("Mountpoint", used.directory.clone()),
        ("Name", used.volume.name.clone()),
        ("Scope", "local".to_owned()),
        ("Size", units::human_size(used.size)),
        ("Status", unknown()),
    ])
}

fn build_row(record: &BuildRecord, now: i128, short: bool) -> Row {
    let id = if short { record.key.chars().take(12).collect() } else { record.key.clone() };
    BTreeMap::from([
        ("CacheType", record.kind.clone()),
        ("CreatedAt", ago::go_time(record.created.into())),
        ("CreatedSince", ago::ago(record.created.into(), now)),
        ("Description", record.description.clone()),
        ("ID", id),
        ("InUse", "false".to_owned()),
        ("LastUsedAt", ago::go_time(record.used.into())),
        ("LastUsedSince", ago::ago(record.used.into(), now)),
        ("Parent", record.parent.clone().unwrap_or_default()),
        ("Shared", "false".to_owned()),
        ("Size", units::short_size(record.size)),
        ("UsageCount", record.uses.to_string()),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_containers_are_made_of_is_shown_in_short() {
        let hex = "a5a665ff33eced1e0803148700880edab4269067ed77e27737a708d0d293fbf5";
        let id = Digest::parse(&format!("sha256:{hex}")).expect("a digest");
        let check = |name: &str, expected: &str| assert_eq!(short_image(name, &id), expected, "{name}");
        check("ubuntu", "ubuntu");
        check("docker.io/library/ubuntu:22.04", "ubuntu:22.04");
        check(&format!("ubuntu@sha256:{hex}"), "ubuntu");
        check(&format!("a.example/b:1@sha256:{hex}"), "a.example/b:1");
        for id in [hex.to_owned(), format!("sha256:{hex}"), hex[..34].to_owned()] {
            check(&id, "a5a665ff33ec");
        }
        check("a5a665ff33e", "a5a665ff33e");
        check("UPPER", "UPPER");
    }
}
