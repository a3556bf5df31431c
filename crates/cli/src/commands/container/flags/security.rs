//! `--security-opt`.

use std::path::Path;

use dhow_base::fs::read_limited;
use dhow_base::{Error, Kind};
use dhow_ops::container::{Settings, check_profile};
use dhow_ops::strconv::parse_bool;

use crate::errors::{Failure, Outcome};
use crate::personality::Personality;

/// Where a kernel tells whether it has AppArmor, and where SELinux is.
const APPARMOR: &str = "/sys/module/apparmor/parameters/enabled";
const SELINUX: &str = "/sys/fs/selinux/enforce";

/// Longest profile of system calls that is read, in bytes.
const PROFILE_BYTES_MAX: u64 = 1 << 20;

/// Does what a security option asks for.
///
/// # Errors
/// Each engine's words for what is no such option; for what is not heeded, what there is.
pub(super) fn heed(personality: Personality, option: &str, settings: &mut Settings) -> Outcome {
    let (is_podman, is_docker) = match personality {
        Personality::Podman => (true, false),
        personality => (false, personality != Personality::Dhow),
    };
    // The older sign between name and value counts where the newer one is not there.
    let split = option.split_once('=').or_else(|| option.split_once(':'));
    let (name, value) = split.map_or((option, None), |(name, value)| (name, Some(value)));
    let mut said = option.to_owned();
    match (name, value) {
        ("no-new-privileges", None) => settings.no_new_privileges = true,
        ("no-new-privileges", Some(value)) => {
            settings.no_new_privileges = parse_bool(value).map_err(|_| unknown(personality, option, true))?;
        }
        ("systempaths", Some("unconfined")) => settings.unmasked = true,
        ("systempaths", Some(given)) if is_podman => {
            let message = format!("invalid systempaths option {given:?}, only `unconfined` is supported");
            return Err(Failure::Client(message));
        }
        ("seccomp", Some("unconfined")) => settings.unfiltered = true,
        ("seccomp", Some("builtin")) if !is_podman => (settings.unfiltered, settings.calls) = (false, None),
        ("seccomp", Some("")) if is_podman => {}
        ("seccomp", Some(path)) if !path.is_empty() => {
            let profile = profile(personality, path)?;
            said = format!("seccomp={}", compact(&profile));
            settings.calls = Some(profile);
            settings.unfiltered = false;
        }
        ("apparmor" | "label" | "mask" | "unmask", Some("")) if is_podman => {}
        ("apparmor", Some(profile)) if !profile.is_empty() => confine(is_podman, profile, settings)?,
        // Where there are no labels, engines give none.
        ("label", Some(label)) if label == "disable" || (!label.is_empty() && !Path::new(SELINUX).exists()) => {}
        ("label", Some(label)) if !label.is_empty() => {
            let message =
                format!("security option {option:?} is not supported: containers have no labels of their own");
            return Err(Failure::Client(message));
        }
        ("mask", Some(paths)) if !is_docker => settings.masked.extend(absolute(paths)),
        ("unmask", Some(paths)) if !is_docker => settings.left_unmasked.extend(absolute(paths)),
        ("proc-opts", Some(options)) if !is_docker => {
            // What the kernel asks of every mount is as it always is.
            let mut options = options_of(options);
            options.retain(|(name, _)| !EVERY_MOUNT_S.contains(&name.as_str()));
            settings.process_options = options;
        }
        (_, value) => return Err(unknown(personality, option, value.is_some_and(|value| !value.is_empty()))),
    }
    // Docker's client makes paths of this one, which are elsewhere.
    if name != "systempaths" {
        settings.security_options.push(said);
    }
    Ok(())
}

/// A profile as docker's client sends it to its engine.
fn compact(profile: &str) -> String {
    let read = serde_json::from_str::<serde_json::Value>(profile);
    read.map_or_else(|_| profile.to_owned(), |profile| profile.to_string())
}

/// Has the program run under an AppArmor profile. Where the machine has no AppArmor, docker does without, and podman does not.
fn confine(is_podman: bool, profile: &str, settings: &mut Settings) -> Outcome {
    match (profile, has_apparmor()) {
        (profile, true) => settings.apparmor = Some(profile.to_owned()),
        ("unconfined", false) => {}
        (profile, false) if is_podman => {
            let message = format!("apparmor profile {profile:?} specified, but Apparmor is not enabled on this system");
            return Err(Failure::Client(message));
        }
        _ => {}
    }
    Ok(())
}

/// The paths, or `all`, of a list with colons between them; podman leaves out what is neither.
fn absolute(paths: &str) -> impl Iterator<Item = String> {
    let is_one = |path: &&str| path.starts_with('/') || path.eq_ignore_ascii_case("all");
    paths.split(':').filter(is_one).map(str::to_owned)
}

fn options_of(text: &str) -> Vec<(String, String)> {
    let option = |text: &str| {
        let (name, value) = text.split_once('=').unwrap_or((text, ""));
        (name.to_owned(), value.to_owned())
    };
    text.split(',').filter(|text| !text.is_empty()).map(option).collect()
}

/// Options that are no file system's own.
const EVERY_MOUNT_S: [&str; 8] = ["dev", "exec", "nodev", "noexec", "nosuid", "ro", "rw", "suid"];

/// A profile of system calls, as it is kept with the container.
///
/// # Errors
/// Each engine's words for a file that cannot be read; what is wrong in it, and where.
fn profile(personality: Personality, path: &str) -> Outcome<String> {
    let opening = match personality {
        Personality::Podman => "opening seccomp profile failed".to_owned(),
        _ => format!("opening seccomp profile ({path}) failed"),
    };
    let bytes = read_limited(Path::new(path), PROFILE_BYTES_MAX).map_err(|error| {
        Failure::Client(match error.kind() {
            Kind::NotFound => format!("{opening}: open {path}: no such file or directory"),
            _ => format!("{opening}: {error}"),
        })
    })?;
    let text = std::str::from_utf8(&bytes).map_err(|error| error.to_string());
    text.and_then(check_profile)
        .map_err(|why| Failure::Client(format!("loading seccomp profile ({path}) failed: {why}")))
}

fn has_apparmor() -> bool {
    read_limited(Path::new(APPARMOR), 16).is_ok_and(|text| text.starts_with(b"Y"))
}

/// Docker's client looks for a value only, podman for a sign.
fn unknown(personality: Personality, option: &str, has_value: bool) -> Failure {
    match personality {
        Personality::Podman if option.contains(['=', ':']) => {
            Failure::Client(format!("invalid --security-opt 2: {option:?}"))
        }
        Personality::Podman => Failure::Client(format!("invalid --security-opt 1: {option:?}")),
        _ if has_value => Error::new(Kind::Invalid, format!("invalid --security-opt 2: {option:?}")).into(),
        _ => Failure::Client(format!("Invalid --security-opt: {option:?}")),
    }
}
