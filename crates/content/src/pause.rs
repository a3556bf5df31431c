//! Waiting without a runtime.

use std::time::Duration;

use dhow_base::threads;
use futures::channel::oneshot;

/// Completes after `duration`. A thread sleeps for it: pauses come between failed attempts only, so they are few.
pub(crate) async fn pause(duration: Duration) {
    let (sender, receiver) = oneshot::channel();
    let sleeping = threads::start("pause", move || {
        std::thread::sleep(duration);
        // The receiver is gone when the whole copy was dropped meanwhile; nobody waits then.
        let _ = sender.send(());
    });
    if sleeping.is_err() {
        // There may be no more threads: this one sleeps.
        return std::thread::sleep(duration);
    }
    let _ = receiver.await;
}
