//! How something is mounted in a container, where that is not as usual.

use rustix::mount::{MountAttrFlags, MountPropagationFlags};
use serde::{Deserialize, Serialize};

/// What a user can say of how something is mounted. The default is what nobody says anything of.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Manner {
    /// Whether mounts that are made later pass between source and container; none do if nobody says.
    pub propagation: Option<Propagation>,
    /// Whether what is mounted below the source is left out.
    pub shallow: bool,
    /// Whether what is mounted below the source can be written to though the mount can only be read.
    pub writable_below: bool,
    /// Whether no program in it can be started.
    pub no_exec: bool,
    /// Whether no program in it gives the rights of its owner.
    pub no_suid: bool,
    /// Whether its device nodes can be opened. If nobody says, those of a user's own machine files can where the kernel lets that user.
    pub devices: Option<bool>,
    /// When times of reading are kept.
    pub access_times: AccessTimes,
    /// Whether times of reading of directories are not kept.
    pub no_directory_access_times: bool,
    /// Whether all that is in it is given to the program's user first.
    pub owned: bool,
    /// The part of a volume that is shown, relative to it; empty for all of it.
    pub subpath: String,
}

/// When times of reading are kept (mount(8)).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AccessTimes {
    /// Once a day, or after a change.
    #[default]
    Relative,
    /// Never.
    Never,
    /// Always.
    Always,
}

/// Whether mounts that are made later pass between two places (mount_namespaces(7)), by docker's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Propagation {
    /// They do not.
    Private,
    /// Nor below.
    RPrivate,
    /// They do, both ways.
    Shared,
    /// Also below.
    RShared,
    /// From the machine to the container.
    Slave,
    /// Also below.
    RSlave,
    /// They do not, and it cannot be shown elsewhere.
    Unbindable,
    /// Nor below.
    RUnbindable,
}

impl Propagation {
    const ALL: [Self; 8] = [
        Self::Private,
        Self::RPrivate,
        Self::Shared,
        Self::RShared,
        Self::Slave,
        Self::RSlave,
        Self::Unbindable,
        Self::RUnbindable,
    ];

    /// The word of mount(8) for it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Private => "private",
            Self::RPrivate => "rprivate",
            Self::Shared => "shared",
            Self::RShared => "rshared",
            Self::Slave => "slave",
            Self::RSlave => "rslave",
            Self::Unbindable => "unbindable",
            Self::RUnbindable => "runbindable",
        }
    }

    /// The one with this word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|one| one.word() == word)
    }

    /// Whether it says something about the source: then the mount has to come of one that nobody has cut off yet.
    pub(crate) fn is_connected(self) -> bool {
        matches!(self, Self::Shared | Self::RShared | Self::Slave | Self::RSlave)
    }

    /// Whether mounts of the container reach the machine.
    pub(crate) fn is_shared(self) -> bool {
        matches!(self, Self::Shared | Self::RShared)
    }

    pub(crate) fn is_recursive(self) -> bool {
        // As runc has it, which makes the machine's mounts slaves first, with all that is below.
        !matches!(self, Self::Shared | Self::Unbindable)
    }

    pub(crate) fn flags(self) -> MountPropagationFlags {
        match self {
            Self::Private | Self::RPrivate => MountPropagationFlags::PRIVATE,
            Self::Shared | Self::RShared => MountPropagationFlags::SHARED,
            Self::Slave | Self::RSlave => MountPropagationFlags::DOWNSTREAM,
            Self::Unbindable | Self::RUnbindable => MountPropagationFlags::UNBINDABLE,
        }
    }
}

impl Manner {
    /// What is asked for of a mount's attributes, but for devices.
    pub(crate) fn attributes(&self) -> MountAttrFlags {
        let mut attributes = MountAttrFlags::empty();
        attributes.set(MountAttrFlags::MOUNT_ATTR_NOEXEC, self.no_exec);
        attributes.set(MountAttrFlags::MOUNT_ATTR_NOSUID, self.no_suid);
        attributes.set(MountAttrFlags::MOUNT_ATTR_NODIRATIME, self.no_directory_access_times);
        match self.access_times {
            AccessTimes::Relative => {}
            AccessTimes::Never => attributes |= MountAttrFlags::MOUNT_ATTR_NOATIME,
            AccessTimes::Always => attributes |= MountAttrFlags::MOUNT_ATTR_STRICTATIME,
        }
        attributes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_lead_back_to_what_they_stand_for() {
        for one in Propagation::ALL {
            assert_eq!(Propagation::parse(one.word()), Some(one));
            assert_eq!(serde_json::to_string(&one).ok(), Some(format!("{:?}", one.word())));
        }
        assert_eq!(Propagation::parse("odd"), None);
    }
}
