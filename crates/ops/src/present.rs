//! What a pull says of layers that are here already.

use std::sync::{Mutex, PoisonError};

use dhow_base::progress::{Event, Observer};

/// Holds back that layers are here until something else happens: of an image that is here as a whole docker says nothing.
pub(crate) struct UntilMoved<'a> {
    observer: &'a dyn Observer,
    /// Digests of layers that are here; `None` once something moved.
    held: Mutex<Option<Vec<String>>>,
}

impl<'a> UntilMoved<'a> {
    /// Tells `observer`.
    pub(crate) fn new(observer: &'a dyn Observer) -> Self {
        Self { observer, held: Mutex::new(Some(Vec::new())) }
    }

    /// Tells what was held back. From now on nothing is.
    pub(crate) fn release(&self) {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        for digest in held.take().unwrap_or_default() {
            self.observer.event(Event::Present { digest: &digest });
        }
    }
}

impl Observer for UntilMoved<'_> {
    fn event(&self, event: Event<'_>) {
        match event {
            Event::Queued { .. } => {}
            Event::Present { digest } => {
                let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
                if let Some(held) = held.as_mut() {
                    held.push(digest.to_owned());
                    return;
                }
            }
            _ => self.release(),
        }
        self.observer.event(event);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Told(Mutex<Vec<String>>);

    impl Observer for Told {
        fn event(&self, event: Event<'_>) {
            self.0.lock().unwrap().push(match event {
                Event::Present { digest } => format!("{digest} is here"),
                Event::Queued { digest, .. } => format!("{digest} is wanted"),
                other => format!("{other:?}"),
            });
        }
    }

    #[test]
    fn nothing_is_said_of_layers_until_one_moves() {
        let told = Told(Mutex::default());
        let observer = UntilMoved::new(&told);
        let said = || std::mem::take(&mut *told.0.lock().unwrap());
        observer.event(Event::Queued { digest: "a", size: 1 });
        observer.event(Event::Present { digest: "a" });
        assert_eq!(said(), ["a is wanted"]);
        observer.event(Event::Moved { digest: "b", done: 1, total: 2 });
        assert_eq!(said(), ["a is here", "Moved { digest: \"b\", done: 1, total: 2 }"]);
        observer.event(Event::Present { digest: "c" });
        observer.release();
        assert_eq!(said(), ["c is here"]);
    }
}
