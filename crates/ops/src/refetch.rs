//! `system check --pull`: fetches again what the store has lost, by digest, from the repositories that may have it.

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, PoisonError};

use dhow_base::progress::Observer;
use dhow_base::{Error, Kind, Result};
use dhow_content::{CopyOptions, Sink, copy_blob, read_document};
use dhow_registry::Access;
use dhow_spec::{Descriptor, Digest, Reference, Repository};
use dhow_store::{Incomplete, Lost, NewTarget, Session, Store};
use futures::StreamExt;
use futures::stream;

use crate::context::Context;
use crate::pull;
use crate::select::Platforms;
use crate::system::Checked;

/// How much is fetched at once.
const AT_ONCE: usize = 4;

/// Fetches what a repairing check found missing, and notes in its report what came back and why the rest did not. What a
/// repair moved aside stays in `damaged/` until the good bytes are on disk.
///
/// # Errors
/// Those of the store, and of reading credentials. What no registry gives is in the report.
pub async fn fetch_lost(context: &Context, checked: &mut Checked, observer: &dyn Observer) -> Result<()> {
    bring_back(context, checked, observer).await?;
    let store = context.store()?;
    let session = store.begin("repair")?.prove_diff_ids(false);
    let fetcher = Fetcher { context, session: &session, observer, given_up: Mutex::default() };
    let mut causes: HashMap<Digest, String> = HashMap::new();
    loop {
        let mut lost = store.lost()?;
        // What a lost document says of its children is known when it is here again.
        lost.retain(|lost| lost.descriptor.is_some() && !causes.contains_key(&lost.digest));
        if lost.is_empty() {
            break;
        }
        let mut fetches = stream::iter(&lost).map(|lost| fetcher.fetch(lost)).buffer_unordered(AT_ONCE);
        let mut fetched = Vec::new();
        while let Some(outcome) = fetches.next().await {
            match outcome? {
                (digest, Ok(home)) => fetched.push((digest, home)),
                (digest, Err(cause)) => {
                    causes.insert(digest, cause);
                }
            }
        }
        session.settle(&fetched.iter().map(|(digest, _)| digest.clone()).collect::<Vec<_>>())?;
        for (digest, home) in fetched {
            checked.report.content_is_back(&digest, &format!("fetched again from {}", home.familiar()));
        }
    }
    for lost in store.lost()? {
        let unknown = || match &lost.parent {
            Some(parent) => format!("what it is says manifest {parent}, which is missing too"),
            None => NO_HOME.to_owned(),
        };
        checked.report.content_stays_lost(&lost.digest, &causes.remove(&lost.digest).unwrap_or_else(unknown));
    }
    Ok(())
}

const NO_HOME: &str = "no repository is known that may have it";

struct Fetcher<'a> {
    context: &'a Context,
    session: &'a Session,
    observer: &'a dyn Observer,
    /// Registries that do not answer, and repositories that do not let us in: asking each of them again for every blob
    /// would take for ever.
    given_up: Mutex<HashSet<String>>,
}

/// What became of one blob: where it came from, or why it did not.
type Outcome = std::result::Result<Repository, String>;

impl Fetcher<'_> {
    /// # Errors
    /// Those of this machine, which end everything.
    async fn fetch(&self, lost: &Lost) -> Result<(Digest, Outcome)> {
        let Some(descriptor) = &lost.descriptor else { return Ok((lost.digest.clone(), Err(NO_HOME.to_owned()))) };
        let mut causes: Vec<String> = Vec::new();
        for home in &lost.homes {
            if self.has_given_up(home) {
                causes.push(format!("{}: gave no answer before", home.familiar()));
                continue;
            }
            match self.from(home, descriptor).await {
                Ok(()) => return Ok((lost.digest.clone(), Ok(home.clone()))),
                Err(error) if is_ours(error.kind()) => return Err(error),
                Err(error) => {
                    self.consider_giving_up(home, error.kind());
                    causes.push(format!("{}: {error}", home.familiar()));
                }
            }
        }
        let cause = if causes.is_empty() { NO_HOME.to_owned() } else { causes.join("; ") };
        Ok((lost.digest.clone(), Err(cause)))
    }

    async fn from(&self, home: &Repository, descriptor: &Descriptor) -> Result<()> {
        let remote = self.context.client()?.repository(home, Access::Pull)?;
        if descriptor.media_type.is_document() {
            let document = read_document(&remote, descriptor).await?;
            return self.session.put_document(&document).await;
        }
        // There may be another registry to ask, so that this one is not waited for long.
        let options = CopyOptions { retries: 1, ..CopyOptions::new(self.observer) };
        copy_blob(&remote, self.session, descriptor, &options).await?;
        self.session.record_homes(home, std::slice::from_ref(&descriptor.digest))
    }

    fn has_given_up(&self, home: &Repository) -> bool {
        let given_up = self.given_up.lock().unwrap_or_else(PoisonError::into_inner);
        given_up.contains(home.domain()) || given_up.contains(home.name())
    }

    fn consider_giving_up(&self, home: &Repository, kind: Kind) {
        let what = match kind {
            Kind::Unavailable | Kind::RateLimited => home.domain().to_owned(),
            Kind::Unauthorized | Kind::Denied => home.name().to_owned(),
            _ => return,
        };
        self.given_up.lock().unwrap_or_else(PoisonError::into_inner).insert(what);
    }
}

/// Whether an error is of this machine, so that another registry would not help.
fn is_ours(kind: Kind) -> bool {
    matches!(kind, Kind::NoSpace | Kind::Io | Kind::Internal | Kind::Cancelled)
}

/// Pulls the images again of which a rebuild found too little to keep them, for this machine's platform.
async fn bring_back(context: &Context, checked: &mut Checked, observer: &dyn Observer) -> Result<()> {
    let Some(rebuilt) = &mut checked.rebuilt else { return Ok(()) };
    for Incomplete { target, cause } in std::mem::take(&mut rebuilt.incomplete) {
        match pull_again(context, &target, observer).await {
            Ok(()) => rebuilt.references += target.references.len() as u64,
            Err(error) if is_ours(error.kind()) => return Err(error),
            Err(error) => {
                let cause = format!("{cause}, and it cannot be fetched again: {error}");
                rebuilt.incomplete.push(Incomplete { target, cause });
            }
        }
    }
    Ok(())
}

async fn pull_again(context: &Context, target: &NewTarget, observer: &dyn Observer) -> Result<()> {
    let mut homes: Vec<&Repository> = Vec::new();
    for home in target.digest_repositories.iter().chain(target.references.iter().map(Reference::repository)) {
        if !homes.contains(&home) {
            homes.push(home);
        }
    }
    let mut causes: Vec<String> = Vec::new();
    for home in homes {
        let reference = Reference::from_digest(home.clone(), target.document.digest.clone());
        let request =
            pull::Request { reference, platforms: Platforms::Default, stored: false, measured: false, unpack: None };
        let pulled = async { pull::resolve(context, &request).await?.fetch(context, observer).await };
        match pulled.await {
            Ok(_) => return name_again(context.store()?, target),
            Err(error) if is_ours(error.kind()) => return Err(error),
            Err(error) => causes.push(format!("{}: {error}", home.familiar())),
        }
    }
    let cause = if causes.is_empty() { NO_HOME.to_owned() } else { causes.join("; ") };
    Err(Error::new(Kind::NotFound, cause))
}

fn name_again(store: &Store, target: &NewTarget) -> Result<()> {
    store.begin("repair")?.commit(std::slice::from_ref(target)).map(|_| ())
}
