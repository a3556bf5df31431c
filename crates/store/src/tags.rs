//! Giving another name to what is here.

use dhow_base::{Error, Kind, Result};
use dhow_spec::{Descriptor, Reference};

use crate::commit::point;
use crate::find;
use crate::store::Store;

impl Store {
    /// Makes a name stand for a manifest or index that is kept. What had the name stays, without it.
    ///
    /// # Errors
    /// [`Kind::NotFound`] when the target is not kept, [`Kind::Invalid`] for a name without a tag or with a digest.
    pub fn tag(&self, target: &Descriptor, reference: &Reference) -> Result<()> {
        if reference.digest().is_some() {
            return Err(Error::new(Kind::Invalid, "refusing to create a tag with a digest reference"));
        }
        if reference.tag().is_none() {
            return Err(Error::new(Kind::Invalid, format!("{} has no tag", reference.familiar())));
        }
        self.write_names(|transaction| {
            if find::target_descriptor(transaction, &target.digest)?.is_none() {
                return Err(find::no_such_image(target.digest.as_str()).into());
            }
            point(transaction, reference, &target.digest)?;
            Ok(())
        })
        .map(|_| ())
    }
}
