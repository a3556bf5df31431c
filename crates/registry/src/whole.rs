//! Blobs of which nothing but the digest is known: how long they are, and all of their bytes.

use dhow_base::Result;
use dhow_content::ByteStream;
use dhow_spec::Digest;
use futures::StreamExt;
use reqwest::{Method, StatusCode};

use crate::remote::Remote;

impl Remote {
    /// The length of a blob in bytes, 0 where the registry does not say; `None` when there is no such blob.
    ///
    /// # Errors
    /// Those of the registry.
    pub async fn blob_size(&self, digest: &Digest) -> Result<Option<u64>> {
        let answer = self.send(&self.call(Method::HEAD, &format!("blobs/{digest}"))).await?;
        match answer.status() {
            StatusCode::NOT_FOUND => Ok(None),
            status if status.is_success() => Ok(Some(answer.content_length().unwrap_or(0))),
            _ => Err(answer.wire_error().await.into_error(self.endpoint.domain())),
        }
    }

    /// A blob in one piece, with its length in bytes where the registry says it; `None` when there is no such blob. The
    /// bytes are not proven: whoever receives them does that.
    ///
    /// # Errors
    /// Those of the registry.
    pub async fn whole_blob(&self, digest: &Digest) -> Result<Option<(Option<u64>, ByteStream)>> {
        let answer = self.send(&self.call(Method::GET, &format!("blobs/{digest}"))).await?;
        match answer.status() {
            StatusCode::NOT_FOUND => Ok(None),
            StatusCode::OK => {
                let length = answer.content_length();
                let patience = self.client.transport().options.body_patience;
                Ok(Some((length, answer.stream(patience).boxed())))
            }
            _ => Err(answer.wire_error().await.into_error(self.endpoint.domain())),
        }
    }
}
