//! What of the lower layers the upper ones hide. Layers are gone through from the top down.

use std::collections::HashMap;

use dhow_base::{Error, Kind, Result};

/// Most names that are remembered, of all layers together.
const NAMES_MAX: usize = 10_000_000;

/// Most bytes that all names may take.
const NAME_BYTES_MAX: usize = 1 << 30;

/// What is known of one name. Each field is the highest layer that says so; it holds for the layers below that one.
#[derive(Clone, Copy, Debug, Default)]
struct Known {
    /// It has an entry of this name.
    entry: Option<usize>,
    /// It has something below this name, and so a directory here.
    parent: Option<usize>,
    /// Nothing of this name or below it is left: a whiteout, or something that is no directory.
    cut: Option<usize>,
    /// Nothing below this name is left: an opaque directory.
    opaque: Option<usize>,
}

/// All names that were seen.
#[derive(Debug, Default)]
pub(super) struct Paths {
    names: HashMap<Box<[u8]>, Known>,
    bytes: usize,
}

fn is_above(layer: usize, said: Option<usize>) -> bool {
    said.is_some_and(|said| said > layer)
}

impl Paths {
    /// Whether layers above `layer` hide what it has under this name.
    pub(super) fn hides(&self, path: &[u8], layer: usize, is_directory: bool) -> bool {
        if let Some(known) = self.names.get(path)
            && (is_above(layer, known.entry)
                || is_above(layer, known.cut)
                || !is_directory && is_above(layer, known.parent))
        {
            return true;
        }
        self.cuts(path, layer)
    }

    /// Whether layers above hide everything of a directory that this name is in.
    fn cuts(&self, path: &[u8], layer: usize) -> bool {
        ancestors(path).any(|above| {
            let known = self.names.get(above);
            known.is_some_and(|known| is_above(layer, known.cut) || is_above(layer, known.opaque))
        })
    }

    /// Notes an entry.
    ///
    /// # Errors
    /// [`Kind::LimitExceeded`] for too many names.
    pub(super) fn note(&mut self, path: &[u8], layer: usize, is_directory: bool) -> Result<()> {
        let known = self.known(path)?;
        known.entry.get_or_insert(layer);
        if !is_directory {
            known.cut.get_or_insert(layer);
        }
        for above in ancestors(path) {
            let known = self.known(above)?;
            // Those further above were noted with it.
            if known.parent.replace(known.parent.unwrap_or(layer)).is_some() {
                break;
            }
        }
        Ok(())
    }

    /// Notes a whiteout.
    ///
    /// # Errors
    /// As [`Paths::note`].
    pub(super) fn cut(&mut self, path: &[u8], layer: usize) -> Result<()> {
        self.known(path)?.cut.get_or_insert(layer);
        Ok(())
    }

    /// Notes an opaque directory.
    ///
    /// # Errors
    /// As [`Paths::note`].
    pub(super) fn make_opaque(&mut self, path: &[u8], layer: usize) -> Result<()> {
        self.known(path)?.opaque.get_or_insert(layer);
        Ok(())
    }

    fn known(&mut self, path: &[u8]) -> Result<&mut Known> {
        if !self.names.contains_key(path) {
            self.bytes += path.len();
            if self.names.len() >= NAMES_MAX || self.bytes > NAME_BYTES_MAX {
                return Err(Error::new(Kind::LimitExceeded, "the layers have too many names to be flattened"));
            }
        }
        Ok(self.names.entry(path.into()).or_default())
    }
}

/// The directories that a name is in, the nearest first and the root last.
pub(super) fn ancestors(path: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = path;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        rest = match rest.iter().rposition(|byte| *byte == b'/') {
            Some(slash) => &rest[..slash],
            None => &rest[..0],
        };
        Some(rest)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn upper_layers_hide() {
        let mut paths = Paths::default();
        paths.note(b"etc", 2, true).unwrap();
        paths.note(b"etc/passwd", 2, false).unwrap();
        paths.cut(b"usr/lib", 2).unwrap();
        paths.make_opaque(b"var", 2).unwrap();
        paths.note(b"home/me/file", 2, false).unwrap();
        for (path, is_directory, hidden) in [
            (&b"etc"[..], true, true),
            (b"etc/group", false, false),
            (b"etc/passwd", false, true),
            (b"etc/passwd/below", false, true),
            (b"usr/lib", true, true),
            (b"usr/lib/x/y", false, true),
            (b"usr/library", false, false),
            (b"usr", true, false),
            (b"var", true, false),
            (b"var/log", true, true),
            (b"home/me", true, false),
            (b"home/me", false, true),
            (b"", true, false),
        ] {
            let shown = String::from_utf8_lossy(path);
            assert_eq!(paths.hides(path, 1, is_directory), hidden, "{shown}");
            assert!(!paths.hides(path, 2, is_directory), "{shown}: a layer hides nothing of its own");
        }
    }
}
