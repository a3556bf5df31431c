//! Noting that images are used. What cannot be noted stops nobody: an image then looks unused for longer.

use std::collections::HashMap;

use dhow_spec::Digest;
use dhow_store::{Image, Store};

/// Images that came here so shortly ago need no note, in nanoseconds: that they came is as good.
const NEW_NS: i64 = 60_000_000_000;

/// Notes that images are used by a command that changes something.
pub(crate) fn note<'a>(store: &Store, image_ids: impl IntoIterator<Item = &'a Digest>) {
    let known: Vec<&Digest> = image_ids.into_iter().filter(|image_id| !is_new(store, image_id)).collect();
    if let Err(error) = store.touch(known) {
        tracing::warn!(%error, "cannot note that an image was used");
    }
}

/// Notes that an image is used by a command that only reads. Nobody asked for a note, so that nobody is told when there is
/// no place for it.
pub(crate) fn note_in_passing(store: &Store, image: &Image) {
    if crate::filter::now().saturating_sub(image.added) < NEW_NS {
        return;
    }
    if let Err(error) = store.touch([&image.id]) {
        tracing::debug!(%error, "cannot note that an image was used");
    }
}

fn is_new(store: &Store, image_id: &Digest) -> bool {
    let age = |image: Image| crate::filter::now().saturating_sub(image.added);
    store.image(image_id).is_ok_and(|image| age(image) < NEW_NS)
}

/// When an image was last used as far as anybody knows, in nanoseconds since 1970: when it came here, if that was never
/// noted.
pub(crate) fn of(image: &Image, uses: &HashMap<Digest, i64>) -> i64 {
    uses.get(&image.id).copied().unwrap_or(0).max(image.added)
}
