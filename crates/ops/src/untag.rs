//! `untag`: takes names off an image, which stays.

use dhow_base::{Error, Kind, Result};
use dhow_spec::Reference;

use crate::context::Context;
use crate::names;

/// Takes names off the image that `image` stands for; all of them, digests too, when none is given. All or none go.
///
/// # Errors
/// [`Kind::NotFound`] when the image is not here or a name is not its own, [`Kind::Invalid`] for names with a digest.
pub fn untag(context: &Context, image: &str, given: &[String]) -> Result<()> {
    let mut wanted = Vec::with_capacity(given.len());
    for text in given {
        let reference = names::parse(text)?;
        if reference.digest().is_some() {
            return Err(Error::new(Kind::Invalid, format!("{text}: untag by digest not supported")));
        }
        wanted.push((text, reference.with_default_tag()));
    }
    let store = context.store()?;
    store.make_room();
    store.update(|update| {
        let id = update.find(image)?.image_id;
        let tags = update.references_of(&id)?;
        for (text, reference) in &wanted {
            if !tags.contains(reference) {
                return Err(Error::new(Kind::NotFound, format!("{text}: tag not known")));
            }
        }
        let gone: Vec<Reference> = match wanted.as_slice() {
            [] => tags,
            wanted => wanted.iter().map(|(_, reference)| reference.clone()).collect(),
        };
        for reference in &gone {
            update.untag(reference)?;
        }
        if wanted.is_empty() {
            for (repository, digest) in update.repo_digests_of(&id)? {
                update.remove_repo_digest(&repository, &digest)?;
            }
        }
        Ok(())
    })
}
