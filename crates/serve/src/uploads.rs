//! Blobs on their way in (distribution spec, "Pushing blobs").

use dhow_base::Result;
use dhow_spec::digest::{Algorithm, Digest, DigestError};
use hyper::header::HeaderValue;
use hyper::{Response, StatusCode, header};
use serde_json::json;

use crate::access::Action;
use crate::body::Body;
use crate::failure::{Code, Failure, Outcome};
use crate::intake::{Expected, take_in};
use crate::name::{RepositoryName, UploadId};
use crate::quota::Intake;
use crate::random::random;
use crate::range::ChunkRange;
use crate::receive::{Receiver, ended_early};
use crate::registry::{Call, Registry};
use crate::response::{Answer, UPLOAD_UUID, blob_location};
use crate::sessions::{Claim, unknown};
use crate::storage::{Committed, Storage, Upload, UploadPlan};

/// A blob that is sent whole and is not longer than this goes straight to its place.
const SMALL_BYTES: u64 = 128 << 10;

impl<S: Storage> Registry<S> {
    /// POST: mounts a blob, takes one whole, or opens a session.
    pub(crate) async fn begin_upload(
        &self,
        call: &Call,
        repository: &RepositoryName,
        receiver: &mut Receiver,
    ) -> Outcome<Response<Body>> {
        if let Some(digest) = call.query.one("mount")? {
            let digest = Digest::parse(digest)?;
            if self.mount(call, repository, &digest).await? {
                return created(repository, &digest);
            }
        }
        if let Some(digest) = call.query.one("digest")? {
            let digest = Digest::parse(digest)?;
            return self.take_whole(call, repository, &digest, receiver).await;
        }
        let algorithm = call.query.one("digest-algorithm")?.map(algorithm_named).transpose()?;
        self.sessions.check_room()?;
        let id = new_id()?;
        let mut upload = self.storage.begin_upload(&id, UploadPlan { repository: repository.clone() }).await?;
        upload.set_algorithm(algorithm.unwrap_or(Algorithm::Sha256));
        self.sessions.add(&id, upload);
        session_answer(StatusCode::ACCEPTED, repository, &id, 0).done()
    }

    /// Makes a blob of another repository one of this, too. Without `from` any repository will do.
    ///
    /// To callers who may not read there, the blob is one that is not there: else whoever knows a digest could get at
    /// the content.
    async fn mount(&self, call: &Call, repository: &RepositoryName, digest: &Digest) -> Outcome<bool> {
        // In this order everywhere: else a collection could wait for one and hold up the other.
        let _adding = self.locks.adding(repository).await;
        let from = match call.query.one("from")? {
            Some(from) => {
                let named = RepositoryName::parse(from)
                    .ok_or_else(|| Failure::bad(Code::NameInvalid, format!("invalid repository name {from:?}")))?;
                if !call.permit.allows(Action::Pull, &named) {
                    return Ok(false);
                }
                Some(named)
            }
            None if !call.permit.allows_everywhere(Action::Pull) => return Ok(false),
            None => None,
        };
        let found = match &from {
            Some(from) => self.storage.blob(from, digest).await?,
            None => self.storage.any_blob(digest).await?,
        };
        let Some(found) = found else { return Ok(false) };
        let reserved = self.reserve(call, Intake::blob(repository, digest, found.size)).await?;
        let is_mounted = self.storage.mount_blob(repository, digest, &found).await?;
        if is_mounted {
            reserved.keep();
        }
        Ok(is_mounted)
    }

    /// POST with a digest: the body is the blob.
    async fn take_whole(
        &self,
        call: &Call,
        repository: &RepositoryName,
        digest: &Digest,
        receiver: &mut Receiver,
    ) -> Outcome<Response<Body>> {
        if receiver.announced().is_some_and(|announced| announced <= SMALL_BYTES) {
            return self.take_small(call, repository, digest, receiver).await;
        }
        let size = receiver.announced().unwrap_or(0);
        drop(self.reserve(call, Intake::announced(repository, Some(digest), size)).await?);
        let expected = Expected::new(receiver.announced(), None, 0, self.limits.blob_bytes)?;
        let mut upload = self.storage.begin_upload(&new_id()?, UploadPlan { repository: repository.clone() }).await?;
        upload.set_algorithm(digest.algorithm());
        match take_in(&mut upload, receiver, expected, None, |_| ()).await {
            Ok(()) => {}
            Err(failure) => {
                upload.discard().await?;
                return Err(failure);
            }
        }
        match self.reserve(call, Intake::blob(repository, digest, upload.length())).await {
            Ok(reserved) => committed(reserved.keep_if_stored(upload.commit(digest).await?), repository, digest),
            Err(failure) => {
                upload.discard().await?;
                Err(failure)
            }
        }
    }

    async fn take_small(
        &self,
        call: &Call,
        repository: &RepositoryName,
        digest: &Digest,
        receiver: &mut Receiver,
    ) -> Outcome<Response<Body>> {
        let bytes = receiver.whole(SMALL_BYTES).await?.ok_or_else(ended_early)?;
        let actual = Digest::of(digest.algorithm(), &bytes);
        if actual != *digest {
            return Err(mismatch(digest, &actual));
        }
        let reserved = self.reserve(call, Intake::blob(repository, digest, bytes.len() as u64)).await?;
        self.storage.put_blob(repository, digest, bytes).await?;
        reserved.keep();
        created(repository, digest)
    }

    /// PATCH: adds a chunk, or a stream of unknown length.
    pub(crate) async fn append_upload(
        &self,
        call: &Call,
        repository: &RepositoryName,
        id: &UploadId,
        receiver: &mut Receiver,
    ) -> Outcome<Response<Body>> {
        let session = self.sessions.find(&self.storage, repository, id).await?;
        let mut claim = session.claim().await?;
        let received = self.receive_chunk(call, repository, id, &mut claim, receiver).await;
        // What came before the connection broke is kept, too.
        claim.upload()?.settle().await?;
        received?;
        session_answer(StatusCode::ACCEPTED, repository, id, session.length()).done()
    }

    /// PUT: takes the last chunk, if one comes along, and makes the bytes a blob.
    pub(crate) async fn finish_upload(
        &self,
        call: &Call,
        repository: &RepositoryName,
        id: &UploadId,
        receiver: &mut Receiver,
    ) -> Outcome<Response<Body>> {
        let digest = call.query.one("digest")?;
        let digest =
            Digest::parse(digest.ok_or_else(|| Failure::bad(Code::DigestInvalid, "digest parameter missing"))?)?;
        let session = self.sessions.find(&self.storage, repository, id).await?;
        let mut claim = session.claim().await?;
        let is_first = claim.upload()?.length() == 0;
        let is_small = receiver.announced().is_some_and(|announced| (1..=SMALL_BYTES).contains(&announced));
        if is_first && is_small && call.header(header::CONTENT_RANGE).is_none() {
            let taken = self.take_small(call, repository, &digest, receiver).await;
            // Bytes that could not be had leave the session as it was; wrong ones end it, as right ones do.
            let ends = |code| matches!(code, Code::DigestInvalid | Code::Denied);
            if taken.as_ref().err().is_none_or(|failure| ends(failure.code())) {
                self.sessions.end(claim, Upload::discard).await?;
            }
            return taken;
        }
        if is_first {
            claim.upload()?.set_algorithm(digest.algorithm());
        }
        self.receive_chunk(call, repository, id, &mut claim, receiver).await?;
        let reserved = match self.reserve(call, Intake::blob(repository, &digest, session.length())).await {
            Ok(reserved) => reserved,
            Err(failure) => {
                self.sessions.end(claim, Upload::discard).await?;
                return Err(failure);
            }
        };
        let end = self.sessions.end(claim, |upload| {
            let digest = digest.clone();
            async move { upload.commit(&digest).await }
        });
        committed(reserved.keep_if_stored(end.await?), repository, &digest)
    }

    /// GET: how far the upload is.
    pub(crate) async fn upload_status(&self, repository: &RepositoryName, id: &UploadId) -> Outcome<Response<Body>> {
        let session = self.sessions.find(&self.storage, repository, id).await?;
        if let Some(claim) = session.try_claim() {
            self.sessions.refresh(claim).await?;
        }
        session_answer(StatusCode::NO_CONTENT, repository, id, session.length()).done()
    }

    /// DELETE: drops the upload.
    pub(crate) async fn cancel_upload(&self, repository: &RepositoryName, id: &UploadId) -> Outcome<Response<Body>> {
        let session = self.sessions.find(&self.storage, repository, id).await?;
        let claim = session.claim().await?;
        self.sessions.end(claim, Upload::discard).await?;
        Answer::new(StatusCode::NO_CONTENT).done()
    }

    /// Adds the request's body to a session, if it goes on where the session stands.
    async fn receive_chunk(
        &self,
        call: &Call,
        repository: &RepositoryName,
        id: &UploadId,
        claim: &mut Claim<'_, S::Upload>,
        receiver: &mut Receiver,
    ) -> Outcome<()> {
        let length = claim.upload()?.length();
        let chunk = call.headers.get_all(header::CONTENT_RANGE).iter().map(chunk_range).collect::<Outcome<Vec<_>>>()?;
        if let [chunk] = chunk.as_slice()
            && chunk.first != length
            && !claim.upload()?.refresh().await?
        {
            return Err(unknown());
        }
        let length = claim.upload()?.length();
        let chunk = match chunk.as_slice() {
            [] => None,
            [chunk] if chunk.first == length => Some(*chunk),
            [_] => return Err(out_of_order(repository, id, length)),
            _ => return Err(Failure::bad(Code::BlobUploadInvalid, "Content-Range is given more than once")),
        };
        let expected = Expected::new(receiver.announced(), chunk, length, self.limits.blob_bytes)?;
        let size = length.saturating_add(receiver.announced().unwrap_or(0));
        drop(self.reserve(call, Intake::announced(repository, None, size)).await?);
        let (upload, session, mut interrupt) = claim.parts()?;
        take_in(upload, receiver, expected, Some(&mut interrupt), |length| session.note_progress(length)).await
    }
}

fn algorithm_named(name: &str) -> Outcome<Algorithm> {
    Algorithm::from_name(name).ok_or_else(|| DigestError::UnsupportedAlgorithm(name.to_owned()).into())
}

/// Sessions are named at random, so that nobody can guess another client's.
fn new_id() -> Result<UploadId> {
    random().map(UploadId::from_random)
}

fn chunk_range(header: &HeaderValue) -> Outcome<ChunkRange> {
    header.to_str().ok().and_then(ChunkRange::parse).ok_or_else(|| {
        Failure::bad(Code::BlobUploadInvalid, format!("invalid Content-Range {header:?}, expected <first>-<last>"))
    })
}

/// How a session stands. `Range` cannot say "no byte yet"; as docker's registry does, `0-0` stands for it, too.
fn session_answer(status: StatusCode, repository: &RepositoryName, id: &UploadId, length: u64) -> Answer {
    Answer::new(status)
        .header(header::LOCATION, format!("/v2/{repository}/blobs/uploads/{id}"))
        .header(header::RANGE, format!("0-{}", length.saturating_sub(1)))
        .header(UPLOAD_UUID, id.as_str())
}

fn out_of_order(repository: &RepositoryName, id: &UploadId, length: u64) -> Box<Failure> {
    let message = format!("the chunk does not begin at byte {length}, where the upload stands");
    let failure = Failure::new(StatusCode::RANGE_NOT_SATISFIABLE, Code::BlobUploadInvalid, message);
    session_answer(StatusCode::RANGE_NOT_SATISFIABLE, repository, id, length).headers_into(failure)
}

fn committed(committed: Committed, repository: &RepositoryName, digest: &Digest) -> Outcome<Response<Body>> {
    match committed {
        Committed::Stored => created(repository, digest),
        Committed::Mismatch(actual) => Err(mismatch(digest, &actual)),
    }
}

fn created(repository: &RepositoryName, digest: &Digest) -> Outcome<Response<Body>> {
    Answer::new(StatusCode::CREATED).header(header::LOCATION, blob_location(repository, digest)).digest(digest).done()
}

fn mismatch(expected: &Digest, actual: &Digest) -> Box<Failure> {
    Failure::bad(Code::DigestInvalid, "provided digest did not match uploaded content")
        .with_detail(json!({ "expected": expected.as_str(), "actual": actual.as_str() }))
}
