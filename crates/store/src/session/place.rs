//! The session and the store as places of the one copy.

use std::ops::Range;

use dhow_base::progress::Observer;
use dhow_base::{Error, Kind, Result};
use dhow_content::{Begin, BlobOrder, ByteStream, LocalBlob, Resolve, Sink, Source, TagSink, VerifiedDocument};
use dhow_spec::{Descriptor, Reference};

use super::Session;
use crate::commit::NewTarget;
use crate::ingest::{self, StoreIngest};
use crate::plan;
use crate::store::Store;

impl Source for Store {
    async fn read(&self, descriptor: &Descriptor, range: Range<u64>) -> Result<ByteStream> {
        self.stream(descriptor, range)
    }

    fn local(&self, descriptor: &Descriptor) -> Option<LocalBlob> {
        self.local_blob(descriptor)
    }
}

impl Resolve for Store {
    async fn resolve(&self, reference: &Reference) -> Result<Descriptor> {
        Store::resolve(self, reference)?
            .ok_or_else(|| Error::new(Kind::NotFound, format!("No such image: {}", reference.familiar())))
    }
}

impl Source for Session {
    async fn read(&self, descriptor: &Descriptor, range: Range<u64>) -> Result<ByteStream> {
        if descriptor.media_type.is_document() {
            // Who reads a document will want what it names.
            self.pin(descriptor)?;
        } else {
            self.lease.pin([&descriptor.digest])?;
        }
        self.store().stream(descriptor, range)
    }

    fn local(&self, descriptor: &Descriptor) -> Option<LocalBlob> {
        self.lease.pin([&descriptor.digest]).ok()?;
        self.store().local_blob(descriptor)
    }
}

impl Resolve for Session {
    async fn resolve(&self, reference: &Reference) -> Result<Descriptor> {
        Resolve::resolve(self.store(), reference).await
    }
}

impl Sink for Session {
    type Ingest = StoreIngest;

    async fn holds(&self, document: &Descriptor) -> Result<bool> {
        match plan::pin_present(&self.lease, document) {
            // A damaged document is as good as none: the copy brings it again.
            Err(error) if error.kind() == Kind::Corrupt => Ok(false),
            present => present,
        }
    }

    fn expect(&self, documents: &[VerifiedDocument]) -> BlobOrder {
        let Some(growing) = self.lease.growing() else { return BlobOrder::LargestFirst };
        growing.expect(self.store(), documents);
        BlobOrder::Listed
    }

    async fn ingest(&self, blob: &Descriptor, observer: &dyn Observer) -> Result<Begin<StoreIngest>> {
        self.lease.pin([&blob.digest])?;
        let begun = ingest::begin(&self.lease, blob, observer).await?;
        if matches!(begun, Begin::Present)
            && let Some(growing) = self.lease.growing()
        {
            growing.present(&blob.digest);
        }
        Ok(begun)
    }

    async fn put_document(&self, document: &VerifiedDocument) -> Result<()> {
        let (store, descriptor) = (self.store(), document.descriptor());
        self.lease.pin([&descriptor.digest])?;
        if ingest::holds_document(store, descriptor)? {
            return Ok(());
        }
        store.require_writable()?;
        ingest::put(store, document).await
    }
}

impl TagSink for Session {
    async fn tag(&self, reference: &Reference, document: &VerifiedDocument) -> Result<()> {
        let target =
            NewTarget { references: vec![reference.clone()], ..NewTarget::default_for(document.descriptor().clone()) };
        self.commit(&[target]).map(|_| ())
    }
}
