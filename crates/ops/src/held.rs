//! Images that are read while another process may remove them.

use dhow_base::Result;

/// Finds something and pins it. A removal between the two is seen by looking again: what is still there then is collected by nobody
/// as long as the pins last. What is gone is an image that is not found, with the name that it was asked for by, and no missing blob;
/// what its name was given to meanwhile takes its place.
///
/// # Errors
/// Those of finding and of pinning.
pub(crate) fn hold<T: PartialEq>(find: impl Fn() -> Result<T>, pin: impl Fn(&T) -> Result<()>) -> Result<T> {
    let mut found = find()?;
    loop {
        pin(&found)?;
        let again = find()?;
        if again == found {
            return Ok(found);
        }
        found = again;
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use bytes::Bytes;
    use dhow_base::Kind;
    use dhow_spec::{Descriptor, Digest, ImageConfig, ImageManifest, MediaType, Reference};
    use dhow_store::{Found, NewTarget, OpenOptions, Session, Store};
    use futures::executor::block_on;

    use super::*;
    use crate::put::{Content, put};

    /// Puts an image without layers under a name.
    fn add(store: &Store, name: &Reference, author: &str) -> Digest {
        let session = store.begin("test").unwrap();
        let config = ImageConfig { author: Some(author.to_owned()), ..ImageConfig::default() };
        let bytes = Bytes::from(serde_json::to_vec(&config).unwrap());
        let config = Descriptor::new(MediaType::OciConfig, Digest::sha256(&bytes), bytes.len() as u64);
        block_on(put(&session, &config, Content::Bytes(bytes))).unwrap();
        let document = dhow_spec::Document::from_manifest(ImageManifest::new(config, Vec::new())).unwrap();
        let target = document.descriptor();
        let verified = dhow_content::verify_document(document.bytes().to_vec(), &target).unwrap();
        block_on(dhow_content::Sink::put_document(&session, &verified)).unwrap();
        let named = NewTarget { references: vec![name.clone()], ..NewTarget::default_for(target.clone()) };
        session.commit(&[named]).unwrap();
        target.digest
    }

    fn remove(store: &Store) {
        let deleted = store.update(|update| {
            let image_id = update.find("app")?.image_id;
            for name in update.references_of(&image_id)? {
                update.untag(&name)?;
            }
            update.delete_image(&image_id)
        });
        deleted.unwrap();
        store.collect().unwrap();
    }

    /// Holds what has the name `app`, and lets something happen right after it was found.
    fn hold_while(store: &Store, session: &Session, meanwhile: impl Fn()) -> Result<Found> {
        let happened = Cell::new(false);
        let find = || {
            let found = store.find("app")?;
            if !happened.replace(true) {
                meanwhile();
            }
            Ok(found)
        };
        hold(find, |found: &Found| session.pin(&found.target))
    }

    #[test]
    fn what_is_removed_before_it_is_pinned_is_no_image() {
        let scratch = dhow_testkit::peers::scratch().unwrap();
        let store = Store::open(&scratch.path().join("store"), &OpenOptions::default()).unwrap();
        let name = Reference::parse("app:latest").unwrap();
        add(&store, &name, "first");
        let session = store.begin("test").unwrap();
        let error = hold_while(&store, &session, || remove(&store)).unwrap_err();
        assert_eq!((error.kind(), error.to_string().as_str()), (Kind::NotFound, "No such image: app:latest"));
    }

    #[test]
    fn a_name_that_moves_is_followed_and_what_is_held_stays() {
        let scratch = dhow_testkit::peers::scratch().unwrap();
        let store = Store::open(&scratch.path().join("store"), &OpenOptions::default()).unwrap();
        let name = Reference::parse("app:latest").unwrap();
        add(&store, &name, "first");
        let session = store.begin("test").unwrap();
        let second = Cell::new(None);
        let replace = || {
            remove(&store);
            second.set(Some(add(&store, &name, "second")));
        };
        let found = hold_while(&store, &session, replace).unwrap();
        assert_eq!(Some(&found.target.digest), second.into_inner().as_ref());
        remove(&store);
        assert!(store.is_complete(&found.target.digest).unwrap());
        drop(session);
        store.collect().unwrap();
        assert!(!store.is_complete(&found.target.digest).unwrap());
    }
}
