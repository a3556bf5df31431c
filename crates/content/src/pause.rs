//! Waiting without a runtime.

use std::time::Duration;

use futures::channel::oneshot;

/// Completes after `duration`. A thread sleeps for it: pauses come between failed attempts only, so they are few.
pub(crate) async fn pause(duration: Duration) {
    let (sender, receiver) = oneshot::channel();
    std::thread::spawn(move || {
        std::thread::sleep(duration);
        // The receiver is gone when the whole copy was dropped meanwhile; nobody waits then.
        let _ = sender.send(());
    });
    let _ = receiver.await;
}
