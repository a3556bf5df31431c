//! `untag`: takes names off an image, which stays.

use dhow_base::{Error, Kind, Result};
use dhow_spec::{Reference, Repository};

use crate::context::Context;
use crate::naming::Naming;

/// Takes names off the image that `image` stands for; all of them, digests too, when none is given. All or none go.
///
/// # Errors
/// [`Kind::NotFound`] when the image is not here or a name is not its own, [`Kind::Invalid`] for names with a digest.
pub fn untag(context: &Context, image: &str, given: &[String]) -> Result<()> {
    let naming = context.naming();
    let store = context.store()?;
    // Podman looks for the image before it reads the names.
    context.find(image)?;
    let wanted = given.iter().map(|text| wanted(naming, text)).collect::<Result<Vec<_>>>()?;
    store.make_room();
    store.update(|update| {
        let id = context.find_in(update, image)?.image_id;
        let tags = update.references_of(&id)?;
        for (shown, reference) in &wanted {
            if !tags.contains(reference) {
                return Err(Error::new(Kind::NotFound, format!("{shown}: tag not known")));
            }
        }
        let gone: Vec<Reference> = match wanted.as_slice() {
            [] => tags.clone(),
            wanted => wanted.iter().map(|(_, reference)| reference.clone()).collect(),
        };
        for reference in &gone {
            update.untag(reference)?;
        }
        // Digest names of a repository do not outlive its last tag.
        let stays =
            |repository: &Repository| tags.iter().any(|tag| tag.repository() == repository && !gone.contains(tag));
        for (repository, digest) in update.repo_digests_of(&id)? {
            let had_tag = gone.iter().any(|tag| *tag.repository() == repository);
            if wanted.is_empty() || (had_tag && !stays(&repository)) {
                update.remove_repo_digest(&repository, &digest)?;
            }
        }
        Ok(())
    })
}

/// A name to take off, and how messages show it.
fn wanted(naming: Naming, text: &str) -> Result<(String, Reference)> {
    let reference = naming.given(text)?;
    match naming {
        Naming::Podman => Ok((reference.to_string(), reference)),
        Naming::Docker if reference.digest().is_some() => {
            Err(Error::new(Kind::Invalid, format!("{text}: untag by digest not supported")))
        }
        Naming::Docker => Ok((text.to_owned(), reference)),
    }
}
