//! What a container's program may do.

use std::io;

use rustix::process::{Gid, Uid};
use rustix::thread::{CapabilitySet, CapabilitySets};

use super::spec::Habits;
use super::users::Identity;

/// Names of the kernel's capabilities by number (capabilities(7)), without `CAP_`.
pub const CAPABILITIES: [&str; 41] = [
    "CHOWN",
    "DAC_OVERRIDE",
    "DAC_READ_SEARCH",
    "FOWNER",
    "FSETID",
    "KILL",
    "SETGID",
    "SETUID",
    "SETPCAP",
    "LINUX_IMMUTABLE",
    "NET_BIND_SERVICE",
    "NET_BROADCAST",
    "NET_ADMIN",
    "NET_RAW",
    "IPC_LOCK",
    "IPC_OWNER",
    "SYS_MODULE",
    "SYS_RAWIO",
    "SYS_CHROOT",
    "SYS_PTRACE",
    "SYS_PACCT",
    "SYS_ADMIN",
    "SYS_BOOT",
    "SYS_NICE",
    "SYS_RESOURCE",
    "SYS_TIME",
    "SYS_TTY_CONFIG",
    "MKNOD",
    "LEASE",
    "AUDIT_WRITE",
    "AUDIT_CONTROL",
    "SETFCAP",
    "MAC_OVERRIDE",
    "MAC_ADMIN",
    "SYSLOG",
    "WAKE_ALARM",
    "BLOCK_SUSPEND",
    "AUDIT_READ",
    "PERFMON",
    "BPF",
    "CHECKPOINT_RESTORE",
];

/// The capabilities that podman gives when it is not told (containers/common `config/default.go`).
const PODMAN_S: [&str; 11] = [
    "CHOWN",
    "DAC_OVERRIDE",
    "FSETID",
    "FOWNER",
    "SETGID",
    "SETUID",
    "SETFCAP",
    "SETPCAP",
    "NET_BIND_SERVICE",
    "SYS_CHROOT",
    "KILL",
];

/// Those that docker gives besides (moby `oci/caps/defaults.go`).
const DOCKER_S_TOO: [&str; 3] = ["MKNOD", "NET_RAW", "AUDIT_WRITE"];

/// Numbers of the capabilities that a container gets when nobody says.
pub fn default_capabilities(habits: Habits) -> Vec<u8> {
    let more: &[&str] = match habits {
        Habits::Docker => &DOCKER_S_TOO,
        Habits::Podman => &[],
    };
    PODMAN_S.iter().chain(more).filter_map(|name| capability_number(name)).collect()
}

/// The number of a capability; upper and lower case and `CAP_` before it make no difference.
pub fn capability_number(name: &str) -> Option<u8> {
    let name = name.to_ascii_uppercase();
    let name = name.strip_prefix("CAP_").unwrap_or(&name);
    CAPABILITIES.iter().position(|known| *known == name).and_then(|number| u8::try_from(number).ok())
}

/// Gives up, for this process and all that come of it, the capabilities that are not among these.
pub(crate) fn limit(capabilities: &[u8]) -> io::Result<()> {
    for number in 0..CAPABILITIES.len() as u8 {
        if capabilities.contains(&number) {
            continue;
        }
        match rustix::thread::remove_capability_from_bounding_set(one(number)) {
            // A kernel that does not know it gives it to nobody.
            Ok(()) | Err(rustix::io::Errno::INVAL) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// Becomes a user, with some capabilities if it is root, and with those that are `ambient` otherwise.
pub(crate) fn become_user(
    identity: &Identity,
    capabilities: &[u8],
    ambient: &[u8],
    sets_groups: bool,
) -> io::Result<()> {
    let gid = Gid::from_raw(identity.gid);
    let uid = Uid::from_raw(identity.uid);
    if sets_groups {
        let groups: Vec<Gid> = identity.groups.iter().map(|group| Gid::from_raw(*group)).collect();
        rustix::thread::set_thread_groups(&groups)?;
    }
    rustix::thread::set_thread_res_gid(gid, gid, gid)?;
    let is_root = identity.uid == 0;
    if !is_root && !ambient.is_empty() {
        rustix::thread::set_keep_capabilities(true)?;
    }
    rustix::thread::set_thread_res_uid(uid, uid, uid)?;
    let wanted = if is_root { capabilities } else { ambient };
    let set = wanted.iter().fold(CapabilitySet::empty(), |set, number| set | one(*number));
    // Outside of a first user namespace this process itself may have fewer.
    let set = set & rustix::thread::capabilities(None)?.permitted;
    let inheritable = if is_root { CapabilitySet::empty() } else { set };
    rustix::thread::set_capabilities(None, CapabilitySets { effective: set, permitted: set, inheritable })?;
    for number in ambient.iter().filter(|number| inheritable.contains(one(**number))) {
        rustix::thread::configure_capability_in_ambient_set(one(*number), true)?;
    }
    Ok(())
}

/// Has the capabilities of this process outlast the start of a program, also by who is not root.
pub(crate) fn keep_capabilities() -> io::Result<()> {
    let mut sets = rustix::thread::capabilities(None)?;
    sets.inheritable = sets.permitted;
    rustix::thread::set_capabilities(None, sets)?;
    for number in (0..CAPABILITIES.len() as u8).filter(|number| sets.permitted.contains(one(*number))) {
        rustix::thread::configure_capability_in_ambient_set(one(number), true)?;
    }
    Ok(())
}

/// Becomes root of the user namespace, with its rights.
pub(crate) fn become_root() -> io::Result<()> {
    rustix::thread::set_thread_res_gid(Gid::ROOT, Gid::ROOT, Gid::ROOT)?;
    rustix::thread::set_thread_res_uid(Uid::ROOT, Uid::ROOT, Uid::ROOT)?;
    Ok(())
}

fn one(number: u8) -> CapabilitySet {
    CapabilitySet::from_bits_retain(1 << number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn capabilities_have_the_kernel_s_numbers() {
        for (name, expected) in [
            ("CAP_CHOWN", Some(0)),
            ("sys_admin", Some(21)),
            ("cap_mknod", Some(27)),
            ("CHECKPOINT_RESTORE", Some(40)),
            ("CAP_NONSENSE", None),
            ("", None),
        ] {
            assert_eq!(capability_number(name), expected, "{name}");
        }
        assert_eq!((default_capabilities(Habits::Docker).len(), default_capabilities(Habits::Podman).len()), (14, 11));
    }
}
