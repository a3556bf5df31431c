//! What is wrong with the content of an image, told with the image's name.

use dhow_base::{Error, Kind, Result};
use dhow_content::blob_of;
use dhow_spec::Descriptor;
use dhow_store::{MEND, Store, Suspects, is_of_content};

/// Names the image and the way out when its content is damaged or missing. To be asked only once the image was found.
pub(crate) fn explain(name: &str, error: Error) -> Error {
    if !matches!(error.kind(), Kind::Corrupt | Kind::NotFound) {
        return error;
    }
    let is_explained = error.hint().is_some();
    let error = error.context(format_args!("image {name}"));
    if is_explained { error } else { error.with_hint(MEND) }
}

/// As [`explain`] for an image whose manifest or index is `root` in the store: names what is damaged or missing there.
pub(crate) fn explain_stored(store: &Store, name: &str, root: &Descriptor, error: Error) -> Error {
    damage(store, name, root, error).unwrap_or_else(|error| explain(name, error))
}

/// As [`explain_stored`] where the other side of a transfer may be at fault as well: its errors come back as they are.
pub(crate) fn blame(store: &Store, name: &str, root: &Descriptor, error: Error) -> Error {
    damage(store, name, root, error).unwrap_or_else(|error| error)
}

/// What is hashed to find out where an error comes from. What is not found is no question of bytes, and who finds the input
/// invalid says of which blob, unless that is not what it is about.
fn suspects(error: &Error) -> Suspects<'_> {
    match (error.kind(), blob_of(error)) {
        (Kind::NotFound, _) => Suspects::None,
        (_, Some(blob)) => Suspects::One(blob),
        (Kind::Corrupt, None) => Suspects::All,
        (_, None) => Suspects::None,
    }
}

/// What is damaged or missing in the store, if an error may come of that and something is; else the error.
fn damage(store: &Store, name: &str, root: &Descriptor, error: Error) -> Result<Error> {
    if !is_of_content(error.kind()) {
        return Err(error);
    }
    let damaged = match store.examine(&root.digest, suspects(&error)) {
        Ok(damaged) => damaged,
        Err(second) => {
            tracing::debug!(digest = %root.digest, error = %second, "cannot look at the image again");
            return Err(error);
        }
    };
    let others = match damaged.len() {
        0 | 1 => String::new(),
        several => format!(", and {} more", several - 1),
    };
    match damaged.into_iter().next() {
        Some(first) => {
            let message = format!("image {name}: {first}{others}");
            Ok(Error::new(Kind::Corrupt, message).with_hint(MEND).with_source(error))
        }
        None if error.kind() == Kind::NotFound => match store.documents_below(root) {
            Err(missing) if missing.kind() == Kind::NotFound => Ok(explain(name, missing)),
            _ => Err(error),
        },
        None => Err(error),
    }
}
