//! Namespaces of others that a container is in, where it has none of its own.

use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use dhow_base::Result;
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use serde::{Deserialize, Serialize};

use super::calls;
use super::look::{Directory, memory_in};
use super::processes::KnownProcess;

/// A kind of namespaces (namespaces(7)) that containers may share.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum NamespaceKind {
    /// Of users. First: who is in another one may not enter the others.
    User,
    /// Of networks.
    Network,
    /// Of processes.
    Pid,
    /// Of memory and message queues.
    Ipc,
    /// Of host and domain name.
    Uts,
}

impl NamespaceKind {
    /// The kernel's word for it, which podman has too.
    pub fn word(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Network => "net",
            Self::Pid => "pid",
            Self::Ipc => "ipc",
            Self::Uts => "uts",
        }
    }

    /// Has this thread enter a namespace of this kind; of processes, those that it starts.
    pub(super) fn enter(self, namespace: impl AsFd) -> io::Result<()> {
        let kind = match self {
            Self::User => LinkNameSpaceType::User,
            Self::Network => LinkNameSpaceType::Network,
            Self::Pid => LinkNameSpaceType::ProcessID,
            Self::Ipc => LinkNameSpaceType::InterProcessCommunication,
            Self::Uts => LinkNameSpaceType::HostNameAndNISDomainName,
        };
        move_into_link_name_space(namespace.as_fd(), Some(kind)).map_err(io::Error::from)
    }
}

/// Namespaces of others, open.
#[derive(Debug, Default)]
pub struct Joined {
    /// Those that the container is in; none of users, which who watches is in.
    pub namespaces: Vec<(NamespaceKind, OwnedFd)>,
    /// A view of the shared memory of whose memory it shares.
    pub memory: Option<OwnedFd>,
}

impl Joined {
    pub(super) fn of_processes(&self) -> Option<&OwnedFd> {
        self.namespaces.iter().find(|(kind, _)| *kind == NamespaceKind::Pid).map(|(_, namespace)| namespace)
    }

    /// The same for a process that is started as long as the copies live.
    pub(super) fn inherited(&self) -> io::Result<(Vec<OwnedFd>, Inherited)> {
        let (mut copies, mut inherited) = (Vec::new(), Inherited::default());
        let mut copy = |descriptor: &OwnedFd| -> io::Result<i32> {
            let copy = descriptor.try_clone()?;
            calls::inherit(&copy)?;
            let number = copy.as_raw_fd();
            copies.push(copy);
            Ok(number)
        };
        for (kind, namespace) in &self.namespaces {
            inherited.namespaces.push((*kind, copy(namespace)?));
        }
        inherited.memory = self.memory.as_ref().map(copy).transpose()?;
        Ok((copies, inherited))
    }
}

/// [`Joined`] in the first process, by the numbers of its descriptors.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Inherited {
    namespaces: Vec<(NamespaceKind, i32)>,
    memory: Option<i32>,
}

impl Inherited {
    pub(super) fn has(&self, kind: NamespaceKind) -> bool {
        self.namespaces.iter().any(|(other, _)| *other == kind)
    }

    /// Enters all of them but that of processes, in which this one is already.
    pub(super) fn enter(&self) -> io::Result<()> {
        let of_this_process = self.namespaces.iter().filter(|(kind, _)| *kind != NamespaceKind::Pid);
        for (kind, number) in of_this_process {
            kind.enter(calls::adopt(*number)?)?;
        }
        Ok(())
    }

    /// The view of another's shared memory. It is had once.
    pub(super) fn memory(&self) -> io::Result<Option<OwnedFd>> {
        Ok(self.memory.map(calls::adopt).transpose()?.map(OwnedFd::from))
    }
}

/// A namespace of a container that runs.
///
/// # Errors
/// [`dhow_base::Kind::Conflict`] when the process has ended, [`dhow_base::Kind::Denied`] for who may not look into it.
pub fn namespace_of_running(process: &KnownProcess, kind: NamespaceKind) -> Result<OwnedFd> {
    Directory::open(process)?.at(&format!("ns/{}", kind.word()), rustix::fs::OFlags::RDONLY)
}

/// A view of the shared memory of a container that runs, if it has any.
///
/// # Errors
/// As [`namespace_of_running`].
pub fn memory_of_running(process: &KnownProcess) -> Result<Option<OwnedFd>> {
    memory_in(&Directory::open(process)?)
}
