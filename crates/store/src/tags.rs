//! Giving another name to what is here.

use dhow_base::{Error, Kind, Result};
use dhow_spec::{Descriptor, Digest, Reference};
use rusqlite::Transaction;

use crate::commit::point;
use crate::db::Step;
use crate::find;
use crate::store::{Store, now};

impl Store {
    /// Makes a name stand for a manifest or index that is kept, also for one manifest of an index. What had the name stays, without it.
    ///
    /// # Errors
    /// [`Kind::NotFound`] when the target is not kept, [`Kind::Invalid`] for a name without a tag or with a digest.
    pub fn tag(&self, target: &Descriptor, reference: &Reference) -> Result<()> {
        self.tag_all(target, std::slice::from_ref(reference))
    }

    /// Gives several names at once, all or none, as [`Store::tag`] does one.
    ///
    /// # Errors
    /// As there.
    pub fn tag_all(&self, target: &Descriptor, references: &[Reference]) -> Result<()> {
        for reference in references {
            if reference.digest().is_some() {
                return Err(Error::new(Kind::Invalid, "refusing to create a tag with a digest reference"));
            }
            if reference.tag().is_none() {
                return Err(Error::new(Kind::Invalid, format!("{} has no tag", reference.familiar())));
            }
        }
        self.write_names(|transaction| {
            if find::target_descriptor(transaction, &target.digest)?.is_none() {
                keep_manifest(transaction, &target.digest)?;
            }
            for reference in references {
                point(transaction, reference, &target.digest)?;
            }
            Ok(())
        })
        .map(|_| ())
    }
}

/// Makes a manifest that was only part of an index a target of its own.
fn keep_manifest(transaction: &Transaction<'_>, digest: &Digest) -> Step<()> {
    let sql = "INSERT INTO target (digest, media_type, size, added) \
               SELECT digest, media_type, size, ?2 FROM manifest WHERE digest = ?1";
    if transaction.prepare_cached(sql)?.execute((digest.as_str(), now()))? == 0 {
        return Err(find::no_such_image(digest.as_str()).into());
    }
    let sql = "INSERT INTO target_member (target, position, manifest, image) \
               SELECT target.number, 0, manifest.digest, manifest.image FROM target JOIN manifest USING (digest) \
               WHERE digest = ?1";
    transaction.prepare_cached(sql)?.execute([digest.as_str()])?;
    Ok(())
}
