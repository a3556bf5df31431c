//! Events that operations emit while they work. Libraries emit, only the binary shows.

/// Takes events. Implementations must be quick: they run on the thread that moves the bytes.
pub trait Observer: Send + Sync {
    /// Called once per event, from any thread.
    fn event(&self, event: Event<'_>);
}

/// Ignores every event.
#[derive(Clone, Copy, Debug, Default)]
pub struct Silent;

impl Observer for Silent {
    fn event(&self, _: Event<'_>) {}
}

/// Something that happened to one blob (named by its digest) during an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event<'a> {
    /// The blob will be copied; `size` is its length in bytes.
    Queued {
        /// Digest of the blob as the manifest names it.
        digest: &'a str,
        /// Length in bytes.
        size: u64,
    },
    /// The blob waits for a free slot, or for another process that is fetching it.
    Waiting {
        /// Digest of the blob.
        digest: &'a str,
    },
    /// The blob is compressed before it goes.
    Compressing {
        /// Digest of the blob as it is.
        digest: &'a str,
        /// Bytes that were compressed.
        done: u64,
        /// Length of the blob in bytes.
        total: u64,
    },
    /// Bytes moved so far, including those found from an earlier run.
    Moved {
        /// Digest of the blob.
        digest: &'a str,
        /// Bytes of the blob at the destination.
        done: u64,
        /// Length of the blob in bytes.
        total: u64,
    },
    /// A transfer failed in a way that may pass; it goes on after the pause.
    Retrying {
        /// Digest of the blob.
        digest: &'a str,
        /// Seconds until the next attempt, rounded up.
        seconds: u64,
    },
    /// All bytes arrived; digest (and diff ID) are being proven.
    Verifying {
        /// Digest of the blob.
        digest: &'a str,
    },
    /// All bytes arrived and the digest is right.
    Fetched {
        /// Digest of the blob.
        digest: &'a str,
    },
    /// The blob is complete at the destination.
    Done {
        /// Digest of the blob.
        digest: &'a str,
    },
    /// The destination has the blob already.
    Present {
        /// Digest of the blob.
        digest: &'a str,
    },
    /// The destination took the blob over from another of its repositories.
    Mounted {
        /// Digest of the blob.
        digest: &'a str,
        /// Repository it came from, as the registry knows it.
        from: &'a str,
    },
}

impl<'a> Event<'a> {
    /// The same about a blob that is called otherwise.
    #[must_use]
    pub fn renamed(mut self, name: impl FnOnce(&'a str) -> &'a str) -> Self {
        match &mut self {
            Event::Queued { digest, .. }
            | Event::Waiting { digest }
            | Event::Compressing { digest, .. }
            | Event::Moved { digest, .. }
            | Event::Retrying { digest, .. }
            | Event::Verifying { digest }
            | Event::Fetched { digest }
            | Event::Done { digest }
            | Event::Present { digest }
            | Event::Mounted { digest, .. } => *digest = name(digest),
        }
        self
    }
}
