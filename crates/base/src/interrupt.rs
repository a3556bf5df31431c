//! The user's wish to end, for work that waits for no network: who moves many bytes asks now and then.

use std::sync::atomic::{AtomicBool, Ordering};

use crate::{Error, Kind, Result};

static IS_WISHED: AtomicBool = AtomicBool::new(false);

/// Has [`check`] fail from now on, in the whole process.
pub fn request() {
    IS_WISHED.store(true, Ordering::Relaxed);
}

/// Fails once the user wishes to end. What was begun is given up then as after every other failure.
///
/// # Errors
/// [`Kind::Cancelled`].
pub fn check() -> Result<()> {
    if IS_WISHED.load(Ordering::Relaxed) {
        return Err(Error::new(Kind::Cancelled, "interrupted"));
    }
    Ok(())
}
