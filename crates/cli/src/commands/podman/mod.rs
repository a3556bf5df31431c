//! The verbs as podman has them, where its arguments or its answers are not docker's.

pub(super) mod check;
pub(super) mod commit;
pub(super) mod container;
pub(super) mod container_prune;
pub(super) mod df;
pub(super) mod diff;
pub(super) mod history;
pub(super) mod image_mount;
pub(super) mod images;
pub(super) mod import;
pub(super) mod info;
pub(super) mod inspect;
pub(super) mod load;
pub(super) mod login;
pub(super) mod manifest;
pub(super) mod platform;
pub(super) mod prune;
pub(super) mod ps;
pub(super) mod pull;
pub(super) mod push;
mod refused;
pub(super) mod rm;
pub(super) mod rmi;
pub(super) mod save;
pub(super) mod start;
pub(super) mod system_prune;
pub(super) mod tag;
pub(super) mod tree;
pub(super) mod version;
pub(super) mod volume;

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

use dhow_base::progress::{Event, Observer};
use dhow_ops::{Context, Naming, summary};
use dhow_spec::{Digest, Reference};

use crate::console::Console;
use crate::errors::{Failure, Outcome};

/// The filters as podman's options take them: `name=value`, or `name!=value`.
fn filters(texts: &[String], refusal: fn(&str) -> String) -> Outcome<Vec<(String, String)>> {
    texts
        .iter()
        .map(|text| match text.split_once('=') {
            Some((name, value)) => Ok((name.to_owned(), value.to_owned())),
            None => Err(Failure::Client(refusal(text))),
        })
        .collect()
}

/// A remote name as podman takes it: with its transport or without.
fn remote(text: &str) -> Outcome<Reference> {
    let bare = text.strip_prefix("docker://").unwrap_or(text);
    let parsed = Reference::parse(bare).map_err(|_| Naming::Podman.given(bare));
    match parsed {
        Ok(reference) => Ok(reference.with_default_tag()),
        Err(Ok(reference)) => Ok(reference),
        Err(Err(error)) => {
            // Podman does not say which step found it out.
            let message = error.to_string();
            let why = message.rsplit(": ").next().unwrap_or(&message).to_owned();
            Err(Failure::Client(why))
        }
    }
}

/// What podman says on standard error while it copies an image.
struct Copying<'a> {
    console: &'a Console,
    quiet: bool,
    /// Blobs that were told of.
    told: Mutex<HashSet<String>>,
}

impl<'a> Copying<'a> {
    fn new(console: &'a Console, quiet: bool) -> Self {
        Self { console, quiet, told: Mutex::default() }
    }

    fn say(&self, line: &str) {
        if !self.quiet {
            self.console.notice(line);
        }
    }

    fn begin(&self) {
        self.say("Getting image source signatures");
    }

    /// Each is told once.
    fn blob(&self, digest: &str) {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        if !told.insert(digest.to_owned()) {
            return;
        }
        self.say(&format!("Copying blob {digest}"));
    }

    fn end(&self, config: &Digest) {
        self.say(&format!("Copying config {config}"));
        self.say("Writing manifest to image destination");
        self.say("Storing signatures");
    }

    /// All of it, for an image whose layers are named by what they are uncompressed, which is how podman's store has them.
    fn whole(&self, context: &Context, image: &str, has_begin: bool) -> Outcome {
        if self.quiet {
            return Ok(());
        }
        let description = summary::describe(context, image)?;
        if has_begin {
            self.begin();
        }
        // Every image of an archive has its own lines.
        self.told.lock().unwrap_or_else(PoisonError::into_inner).clear();
        description.config.rootfs.diff_ids.iter().for_each(|diff_id| self.blob(diff_id.as_str()));
        self.end(&description.summary.id);
        Ok(())
    }
}

/// A line for each blob when its turn comes.
impl Observer for Copying<'_> {
    fn event(&self, event: Event<'_>) {
        if let Event::Queued { digest, .. } | Event::Present { digest } = event {
            self.blob(digest);
        }
    }
}
