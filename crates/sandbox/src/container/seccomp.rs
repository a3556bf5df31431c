//! Which system calls a container's program may use.

use std::io;

use serde::{Deserialize, Serialize};

use super::calls;
use profile::{Circumstances, Profile};

mod bpf;
#[cfg(target_arch = "x86_64")]
mod calls32;
mod default_profile;
mod errnos;
mod numbers;
mod profile;
mod program;

/// How a container's system calls are filtered.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum CallFilter {
    /// As docker's default profile has it.
    #[default]
    Default,
    /// Not at all.
    Off,
    /// As this profile has it, which [`check_profile`] took.
    Profile(String),
}

/// A profile in the JSON of docker and podman, without its blanks, if it can be used.
///
/// # Errors
/// What is wrong with it, and where.
pub fn check_profile(text: &str) -> Result<String, String> {
    let profile = Profile::parse(text)?;
    // Of all the filters that conditions on capabilities can make of it, the two that differ most.
    for capabilities in [Vec::new(), (0..64).collect()] {
        let circumstances = Circumstances { capabilities: &capabilities, kernel: kernel() };
        program::compile(&profile, circumstances)?;
    }
    let document: serde_json::Value = serde_json::from_str(text).map_err(|error| error.to_string())?;
    Ok(document.to_string())
}

/// Filters the system calls of this process from now on. It needs the rights of root, or that nothing gains rights any more.
///
/// # Errors
/// The operating system's.
pub(crate) fn apply(filter: &CallFilter, capabilities: &[u8]) -> io::Result<()> {
    match filter {
        CallFilter::Default => default_profile::apply(capabilities),
        CallFilter::Off => Ok(()),
        CallFilter::Profile(text) => {
            let profile = Profile::parse(text).map_err(io::Error::other)?;
            let circumstances = Circumstances { capabilities, kernel: kernel() };
            match program::compile(&profile, circumstances).map_err(io::Error::other)? {
                Some(program) => calls::filter_calls(&program, profile.flags),
                None => Ok(()),
            }
        }
    }
}

/// The first two numbers of the kernel's version.
fn kernel() -> (u32, u32) {
    profile::kernel(&rustix::system::uname().release().to_string_lossy()).unwrap_or_default()
}
