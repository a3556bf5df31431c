//! What the verbs share that ask a registry without pulling.

use std::future::Future;

use clap::Args;
use dhow_ops::{Context, runtime};

use crate::errors::{FAILED, Failure, Outcome};
use crate::session::{Identity, Network, Session};
use crate::signals;

/// How a registry is reached, and as whom.
#[derive(Args, Clone, Debug)]
pub(super) struct Reach {
    #[command(flatten)]
    network: Network,
    #[command(flatten)]
    identity: Identity,
}

impl Reach {
    /// The handles for these registries.
    ///
    /// # Errors
    /// That `--creds` cannot be used, or that nothing tells where the store is.
    pub(super) fn context<'d>(
        &self,
        session: &Session<'_>,
        domains: impl IntoIterator<Item = &'d str>,
    ) -> Outcome<Context> {
        session.check_authfile(&self.network)?;
        session.context_as(&self.network, &self.identity, domains)
    }
}

/// Runs what waits for a registry; `unfinished` says what an interrupted user can count on.
///
/// # Errors
/// The future's; [`Failure::Interrupted`] on a signal.
pub(super) fn run<T>(unfinished: &str, future: impl Future<Output = dhow_base::Result<T>>) -> Outcome<T> {
    let mut outcome = Err(Failure::Quiet(FAILED));
    runtime::block_on(async {
        outcome = signals::interruptible(future, unfinished).await;
        Ok(())
    })?;
    outcome
}

/// What an interrupted user can count on when nothing was to be changed.
pub(super) const READ_ONLY: &str = "nothing was changed";
