//! What is known of a volume, in podman's words.

use std::collections::BTreeMap;

use dhow_ops::Context;
use dhow_ops::container::{self, VolumeDetails};
use dhow_template::{Field, Type, Value};
use jiff::Timestamp;
use serde::Serialize;

use crate::commands::volume::LOCAL;
use crate::errors::Outcome;
use crate::format::object;

/// What podman says of a volume, in its order.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(in crate::commands::podman) struct Shown<'a> {
    name: &'a str,
    driver: &'static str,
    mountpoint: &'a str,
    created_at: String,
    labels: &'a BTreeMap<String, String>,
    scope: &'static str,
    options: &'a BTreeMap<String, String>,
    #[serde(rename = "UID", skip_serializing_if = "Option::is_none")]
    uid: Option<u32>,
    #[serde(rename = "GID", skip_serializing_if = "Option::is_none")]
    gid: Option<u32>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    anonymous: bool,
    mount_count: usize,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    needs_copy_up: bool,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    needs_chown: bool,
}

/// Asks for what is to be said of volumes.
///
/// # Errors
/// Those of the store.
pub(in crate::commands::podman) fn shown<'a>(
    context: &Context,
    volumes: &'a [VolumeDetails],
) -> Outcome<Vec<Shown<'a>>> {
    let containers = container::list(context)?;
    let running: Vec<_> = containers.iter().filter(|record| record.container.is_running()).collect();
    let shown = |volume: &'a VolumeDetails| {
        let name = volume.volume.name.as_str();
        // Whoever uses it first fills it.
        let is_fresh = volume.volume.links == 0 && container::is_empty_volume(volume);
        Shown {
            name,
            driver: LOCAL,
            mountpoint: &volume.directory,
            created_at: Timestamp::from_nanosecond(volume.volume.created.into()).unwrap_or_default().to_string(),
            labels: &volume.labels,
            scope: LOCAL,
            options: &volume.options.options,
            uid: volume.options.uid.filter(|id| *id != 0),
            gid: volume.options.gid.filter(|id| *id != 0),
            anonymous: volume.volume.anonymous,
            mount_count: running.iter().filter(|record| container::uses_volume(record, name)).count(),
            needs_copy_up: is_fresh,
            needs_chown: is_fresh && volume.options.uid.or(volume.options.gid).is_none(),
        }
    };
    Ok(volumes.iter().map(shown).collect())
}

impl Shown<'_> {
    pub(in crate::commands::podman) fn value(&self, kind: &'static str) -> Value {
        let text = |name, text: &str| Field::new(name, Value::from(text));
        let labels = self.labels.iter().map(|(name, value)| (name, Value::from(value.as_str()))).collect();
        let options = self.options.iter().map(|(name, value)| (name, Value::from(value.as_str()))).collect();
        let id = |id: Option<u32>| Value::Int(id.map_or(0, i64::from));
        let fields = vec![
            text("Name", self.name),
            text("Driver", self.driver),
            text("Mountpoint", self.mountpoint),
            Field::new("CreatedAt", object::time(&self.created_at)),
            Field::new("Labels", Value::map(Type::Text, Some(labels))),
            text("Scope", self.scope),
            Field::new("Options", Value::map(Type::Text, Some(options))),
            Field::optional("UID", id(self.uid)),
            Field::optional("GID", id(self.gid)),
            Field::optional("Anonymous", Value::from(self.anonymous)),
            Field::new("MountCount", Value::Int64(i64::try_from(self.mount_count).unwrap_or(i64::MAX))),
            Field::new("NeedsCopyUp", Value::from(self.needs_copy_up)),
            Field::new("NeedsChown", Value::from(self.needs_chown)),
            Field::optional("Timeout", Value::Int(0)),
        ];
        Value::structure(kind, fields)
    }
}
