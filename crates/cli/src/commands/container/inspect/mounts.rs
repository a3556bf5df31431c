//! What is mounted in a container, as docker tells it: what is there, and what was said of it.

use dhow_ops::container::{Given, Mount, MountKind, Propagation};
use dhow_ops::size::parse_size;
use dhow_ops::{Context, Naming, container};
use dhow_template::{Field, Type, Value};

use super::object::{flag, map, text};

const POINT: &str = "container.MountPoint";
const WISH: &str = "mount.Mount";

/// Whether a mount was asked for by `--mount`.
pub(super) fn is_long(mount: &Mount) -> bool {
    mount.given == Some(Given::Long)
}

fn optional(name: &'static str, text: impl AsRef<str>) -> Field {
    Field::optional(name, Value::from(text.as_ref()))
}

/// What is mounted: of memory only what `--mount` asks for, as with docker.
pub(super) fn points(context: &Context, mounts: &[Mount]) -> Value {
    let points = mounts.iter().filter_map(|mount| point(context, mount)).collect();
    Value::list(Type::Named(POINT), Some(points))
}

fn point(context: &Context, mount: &Mount) -> Option<Value> {
    let propagation = mount.manner.propagation.unwrap_or(Propagation::RPrivate).word();
    let podman_s = context.naming() == Naming::Podman;
    let (name, source, driver, propagation) = match mount.kind {
        MountKind::Bind => ("", mount.source.clone(), "", propagation),
        MountKind::Volume => {
            let driver = super::super::super::volume::LOCAL;
            (mount.source.as_str(), container::volume_directory(context, &mount.source), driver, "")
        }
        MountKind::Tmpfs if matches!(mount.given, Some(Given::Memory(_))) => return None,
        MountKind::Tmpfs => ("", String::new(), "", ""),
        MountKind::Image if podman_s => ("", mount.source.clone(), "", ""),
        // Docker's engine has a directory of the machine as the source.
        MountKind::Image => {
            let image = mount.image.as_ref().map_or("", |image| image.as_str());
            (mount.source.as_str(), image.to_owned(), "", propagation)
        }
        MountKind::Device => return None,
    };
    let fields = vec![
        optional("Type", mount.kind.word()),
        optional("Name", name),
        text("Source", source),
        text("Destination", &mount.target),
        optional("Driver", driver),
        text("Mode", mode(mount)),
        flag("RW", !mount.read_only),
        text("Propagation", propagation),
    ];
    Some(Value::structure(POINT, fields))
}

/// The options of `--volume` as they were said; docker's engine adds one to volumes that nobody says anything of.
fn mode(mount: &Mount) -> &str {
    let said = match &mount.given {
        Some(Given::Volume(text)) => text.splitn(3, ':').nth(2).unwrap_or_default(),
        // Of containers that older programs made.
        None if mount.read_only && mount.kind != MountKind::Image => "ro",
        _ => "",
    };
    let is_unsaid = said.is_empty() && mount.kind == MountKind::Volume;
    if is_unsaid && (!mount.anonymous || is_long(mount)) { "z" } else { said }
}

/// What `--volume` says, but for volumes without a name.
pub(super) fn binds(mounts: &[Mount]) -> Vec<String> {
    let is_one = |mount: &&Mount| match mount.kind {
        MountKind::Bind => true,
        MountKind::Volume => !mount.anonymous,
        _ => false,
    };
    let words = |mount: &Mount| match &mount.given {
        Some(Given::Volume(text)) => Some(text.clone()),
        None => Some(format!("{}:{}{}", mount.source, mount.target, if mount.read_only { ":ro" } else { "" })),
        Some(_) => None,
    };
    mounts.iter().filter(is_one).filter_map(words).collect()
}

/// What `--mount` says.
pub(super) fn wishes(mounts: &[Mount]) -> Value {
    let wishes: Vec<Value> = mounts.iter().filter(|mount| is_long(mount)).map(wish).collect();
    Value::list(Type::Named(WISH), Some(wishes).filter(|wishes| !wishes.is_empty()))
}

fn wish(mount: &Mount) -> Value {
    let source = if mount.anonymous { "" } else { mount.source.as_str() };
    let [bind, volume, image, memory] = [
        (MountKind::Bind, "BindOptions", bind_options(mount)),
        (MountKind::Volume, "VolumeOptions", volume_options(mount)),
        (MountKind::Image, "ImageOptions", subpath(mount).into_iter().collect()),
        (MountKind::Tmpfs, "TmpfsOptions", memory_options(mount)),
    ]
    .map(|(kind, name, fields)| options(name, if mount.kind == kind { fields } else { Vec::new() }));
    let fields = vec![
        optional("Type", mount.kind.word()),
        optional("Source", source),
        optional("Target", &mount.target),
        Field::optional("ReadOnly", Value::from(mount.read_only && mount.kind != MountKind::Image)),
        optional("Consistency", ""),
        bind,
        volume,
        image,
        memory,
        options("ClusterOptions", Vec::new()),
    ];
    Value::structure(WISH, fields)
}

/// Options of one kind of mount; of which nothing is said, there are none.
fn options(name: &'static str, fields: Vec<Field>) -> Field {
    let value = match fields.is_empty() {
        true => Value::Null { name: "*mount.Options", fields: &[] },
        false => Value::pointer("mount.Options", fields),
    };
    Field::optional(name, value)
}

fn switch(name: &'static str, is_on: bool) -> Option<Field> {
    is_on.then(|| flag(name, true))
}

fn subpath(mount: &Mount) -> Option<Field> {
    Some(&mount.manner.subpath).filter(|path| !path.is_empty()).map(|path| text("Subpath", path))
}

fn bind_options(mount: &Mount) -> Vec<Field> {
    let propagation = mount.manner.propagation.map(|propagation| text("Propagation", propagation.word()));
    let switches = [
        switch("NonRecursive", mount.manner.shallow),
        switch("CreateMountpoint", mount.make_source),
        switch("ReadOnlyNonRecursive", mount.manner.writable_below),
    ];
    propagation.into_iter().chain(switches.into_iter().flatten()).collect()
}

fn volume_options(mount: &Mount) -> Vec<Field> {
    let labels = (!mount.labels.is_empty()).then(|| Field::new("Labels", map(&mount.labels)));
    [switch("NoCopy", mount.no_copy), labels, subpath(mount)].into_iter().flatten().collect()
}

fn memory_options(mount: &Mount) -> Vec<Field> {
    let said = |name: &str| mount.options.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str());
    let size = said("size").and_then(|size| parse_size(size).ok()).and_then(|size| i64::try_from(size).ok());
    let mode = said("mode").and_then(|mode| i64::from_str_radix(mode, 8).ok());
    let numbers = [("SizeBytes", size), ("Mode", mode)];
    numbers.into_iter().filter_map(|(name, value)| Some(Field::new(name, Value::Int64(value?)))).collect()
}
