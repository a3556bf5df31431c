//! Filters of `volume ls`.

use dhow_ops::Context;
use dhow_ops::container::{self, VolumeDetails};
use dhow_ops::filter::NamePattern;

use crate::commands::container::until;
use crate::commands::filters::{by_name, has_podman_s_label};
use crate::commands::volume::LOCAL;
use crate::errors::{Failure, Outcome};

/// The volumes that fit all filters; of several values of one name, any will do.
///
/// # Errors
/// Podman's words for filters that are none, and those of the store.
pub(super) fn chosen(context: &Context, terms: &[(String, String)]) -> Outcome<Vec<VolumeDetails>> {
    let known = container::volumes(context)?;
    let mut volumes = known.clone();
    for (name, values) in by_name(terms) {
        check_filter(name, &values)?;
        if matches!(name, "since" | "after") {
            let moments: Vec<i64> = values.iter().map(|value| made(&known, value)).collect::<Outcome<_>>()?;
            let first = moments.into_iter().min().unwrap_or(i64::MAX);
            volumes.retain(|volume| first < volume.volume.created);
            continue;
        }
        if name == "until" {
            let moments: Vec<i64> = values.iter().map(|value| until(value)).collect::<Outcome<_>>()?;
            volumes.retain(|volume| moments.iter().all(|moment| volume.volume.created < *moment));
            continue;
        }
        volumes.retain(|volume| match name {
            "label" => values.iter().all(|value| fits(volume, name, value)),
            "label!" => !values.iter().all(|value| fits(volume, "label", value)),
            _ => values.iter().any(|value| fits(volume, name, value)),
        });
    }
    Ok(volumes)
}

fn check_filter(name: &str, values: &[&str]) -> Outcome {
    let bad = values.iter().find(|value| name == "dangling" && !matches!(**value, "true" | "1" | "false" | "0"));
    match (name, bad) {
        (_, Some(value)) => {
            let message = format!("{value:?} is not a valid value for the \"dangling\" filter - must be true or false");
            Err(Failure::Client(message))
        }
        ("name" | "label" | "label!" | "dangling" | "driver" | "scope" | "opt" | "until" | "since" | "after", None) => {
            Ok(())
        }
        _ => Err(Failure::Client(format!("{name:?} is an invalid volume filter"))),
    }
}

/// When a volume was made that others are to be younger than.
fn made(known: &[VolumeDetails], name: &str) -> Outcome<i64> {
    match super::named(known, name).map_err(Failure::Client)? {
        Some(volume) => Ok(volume.volume.created),
        None => Err(Failure::Client(super::not_found(name))),
    }
}

fn fits(volume: &VolumeDetails, name: &str, value: &str) -> bool {
    let own = volume.volume.name.as_str();
    match name {
        "name" => NamePattern::parse(value).fits(own),
        "label" => has_podman_s_label(&volume.labels, value),
        "dangling" => (volume.volume.links == 0) == matches!(value, "true" | "1"),
        "opt" => match value.split_once('=') {
            Some((name, value)) => {
                volume.options.options.get(name).is_some_and(|given| value.is_empty() || given == value)
            }
            None => volume.options.options.contains_key(value),
        },
        _ => value == LOCAL,
    }
}
