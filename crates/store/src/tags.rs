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

    /// Has the names with tags of a target stand for another target, which is kept already: another form of the same image. The old one
    /// goes unless a digest names it, its content with the next [collection](Store::collect_below).
    ///
    /// # Errors
    /// [`Kind::NotFound`] when the other one is not kept.
    pub fn supersede(&self, old: &Digest, new: &Digest) -> Result<()> {
        const OLD: &str = "(SELECT number FROM target WHERE digest = ?1)";
        self.write_names(|transaction| {
            if find::target_descriptor(transaction, new)?.is_none() {
                return Err(find::no_such_image(new.as_str()).into());
            }
            let sql = format!(
                "UPDATE reference SET target = (SELECT number FROM target WHERE digest = ?2) WHERE target = {OLD}"
            );
            transaction.prepare_cached(&sql)?.execute((old.as_str(), new.as_str()))?;
            for sql in [
                format!(
                    "DELETE FROM target_member WHERE target = {OLD} AND target NOT IN (SELECT target FROM repo_digest)"
                ),
                "DELETE FROM target WHERE digest = ?1 AND number NOT IN (SELECT target FROM target_member)".to_owned(),
                "DELETE FROM manifest WHERE digest = ?1 AND digest NOT IN (SELECT manifest FROM target_member)"
                    .to_owned(),
            ] {
                transaction.prepare_cached(&sql)?.execute([old.as_str()])?;
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
