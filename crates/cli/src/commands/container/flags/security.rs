//! `--security-opt`.

use std::path::Path;

use dhow_base::fs::read_limited;
use dhow_base::{Error, Kind};
use dhow_ops::container::{Settings, check_profile};

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
    let is_podman = personality == Personality::Podman;
    let text = option.replacen(':', "=", 1);
    match text.split_once('=').unwrap_or((&text, "")) {
        ("no-new-privileges", "" | "true") => settings.no_new_privileges = true,
        ("no-new-privileges", "false") => settings.no_new_privileges = false,
        ("systempaths", "unconfined") => settings.unmasked = true,
        ("systempaths", given) if is_podman => {
            let message = format!("invalid systempaths option {given:?}, only `unconfined` is supported");
            return Err(Failure::Client(message));
        }
        ("seccomp", "unconfined") => settings.unfiltered = true,
        ("seccomp", "builtin") => (settings.unfiltered, settings.calls) = (false, None),
        ("seccomp", "") if is_podman && text.ends_with('=') => {}
        ("seccomp", path) if !path.is_empty() => {
            settings.calls = Some(profile(personality, path)?);
            settings.unfiltered = false;
        }
        ("apparmor", "unconfined") | ("label", "disable") => {}
        ("apparmor", profile) if !profile.is_empty() && !has_apparmor() => {
            if is_podman {
                let message =
                    format!("apparmor profile {profile:?} specified, but Apparmor is not enabled on this system");
                return Err(Failure::Client(message));
            }
        }
        // Where there are no labels, engines give none.
        ("label", label) if !label.is_empty() && !Path::new(SELINUX).exists() => {}
        ("apparmor" | "label" | "mask" | "proc-opts" | "unmask", value) if !value.is_empty() => {
            return Err(not_heeded(option));
        }
        _ => {
            return Err(unknown(personality, option, text.split_once('=').is_some_and(|(_, value)| !value.is_empty())));
        }
    }
    Ok(())
}

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

fn not_heeded(option: &str) -> Failure {
    let heeded = "no-new-privileges, seccomp=FILE, and to be without: seccomp=unconfined, systempaths=unconfined, apparmor=unconfined, \
                  label=disable";
    Failure::Client(format!("security option {option:?} is not supported: there is {heeded}"))
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
