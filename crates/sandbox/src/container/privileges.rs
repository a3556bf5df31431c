//! What a container's program may do.

use std::io;

use rustix::process::{Gid, Uid};
use rustix::thread::{CapabilitySet, CapabilitySets};

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

/// The capabilities that docker gives when it is not told.
pub const DEFAULT_CAPABILITIES: [&str; 14] = [
    "CHOWN",
    "DAC_OVERRIDE",
    "FSETID",
    "FOWNER",
    "MKNOD",
    "NET_RAW",
    "SETGID",
    "SETUID",
    "SETFCAP",
    "SETPCAP",
    "NET_BIND_SERVICE",
    "SYS_CHROOT",
    "KILL",
    "AUDIT_WRITE",
];

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
        match rustix::thread::remove_capability_from_bounding_set(CapabilitySet::from_bits_retain(1 << number)) {
            // A kernel that does not know it gives it to nobody.
            Ok(()) | Err(rustix::io::Errno::INVAL) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// Becomes a user, with some capabilities if it is root and none otherwise.
pub(crate) fn become_user(identity: &Identity, capabilities: &[u8], has_groups: bool) -> io::Result<()> {
    let gid = Gid::from_raw(identity.gid);
    let uid = Uid::from_raw(identity.uid);
    if has_groups {
        let groups: Vec<Gid> = identity.groups.iter().map(|group| Gid::from_raw(*group)).collect();
        rustix::thread::set_thread_groups(&groups)?;
    }
    rustix::thread::set_thread_res_gid(gid, gid, gid)?;
    rustix::thread::set_thread_res_uid(uid, uid, uid)?;
    let mut set = CapabilitySet::empty();
    if identity.uid == 0 {
        for number in capabilities {
            set |= CapabilitySet::from_bits_retain(1 << number);
        }
        // Outside of a first user namespace this process itself may have fewer.
        set &= rustix::thread::capabilities(None)?.permitted;
    }
    let sets = CapabilitySets { effective: set, permitted: set, inheritable: CapabilitySet::empty() };
    rustix::thread::set_capabilities(None, sets)?;
    Ok(())
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
        assert!(DEFAULT_CAPABILITIES.iter().all(|name| capability_number(name).is_some()));
    }
}
