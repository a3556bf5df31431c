//! From a name such as `s3://bucket/prefix` to a bucket that can be served.

use std::time::Duration;

use dhow_base::{Error, Kind, Result};
use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey};
use object_store::azure::{AzureConfigKey, MicrosoftAzureBuilder};
use object_store::gcp::{GoogleCloudStorageBuilder, GoogleConfigKey};
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{ClientOptions, RetryConfig};

use super::objects::Objects;
use super::{Bucket, keys, serial};
use crate::options::ObjectStorage;

const MARKER: &str = "{\"format\":1}\n";
const MARKER_BYTES_MAX: u64 = 4096;

const CONNECT_WAIT: Duration = Duration::from_secs(10);

/// How long a store may send nothing.
const IDLE_WAIT: Duration = Duration::from_secs(60);

const RETRY_FOR: Duration = Duration::from_secs(30);
const RETRIES: usize = 5;

/// Opens a registry in an object store, and makes one where there is none unless `read_only`.
///
/// # Errors
/// [`Kind::Invalid`] for a name or an option that does not exist, [`Kind::Unsupported`] for a store that does not heed
/// conditions although several servers may write to it, else what the store says.
pub(crate) async fn open(storage: &ObjectStorage, read_only: bool) -> Result<Bucket> {
    let mut objects = connect(storage)?;
    if storage.single_replica {
        objects = objects.without_conditions().with_one_server();
    }
    if read_only {
        check_format(&objects).await?;
        return Ok(Bucket::new(objects));
    }
    match check_format(&objects).await {
        Err(error) if error.kind() == Kind::NotFound => {
            // Another server may be at it, too.
            match objects.create(keys::MARKER, MARKER).await {
                Err(error) if error.kind() == Kind::Unsupported => objects.put(keys::MARKER, MARKER).await.map(drop)?,
                Err(error) if error.kind() != Kind::Conflict => return Err(error),
                _ => {}
            }
        }
        result => result?,
    }
    if !storage.single_replica && !heeds_conditions(&objects).await? {
        let message = format!(
            "{:?} writes objects whatever the condition, so several servers would lose tags and uploads",
            objects.name()
        );
        return Err(Error::new(Kind::Unsupported, message).with_hint(
            "use a store with conditional writes (If-None-Match and If-Match), or promise with single-replica = true that only one server writes to it",
        ));
    }
    Ok(Bucket::new(objects))
}

/// Whether there is a registry of a format that is known.
pub(super) async fn check_format(objects: &Objects) -> Result<()> {
    let read = objects.get(keys::MARKER, MARKER_BYTES_MAX).await?;
    let name = objects.name();
    let read = read.ok_or_else(|| Error::new(Kind::NotFound, format!("there is no registry in {name:?}")))?;
    let marker: serde_json::Value = serde_json::from_slice(&read.bytes).unwrap_or_default();
    match marker.get("format").and_then(serde_json::Value::as_u64) {
        Some(1) => Ok(()),
        Some(newer) => {
            let message = format!("the registry in {name:?} has format {newer}, and this program knows only format 1");
            Err(Error::new(Kind::Unsupported, message)
                .with_hint("use the version of dhow that made it, or a newer one"))
        }
        None => {
            let message = format!("\"{name}/{}\" does not name the format of the registry", keys::MARKER);
            Err(Error::new(Kind::Corrupt, message))
        }
    }
}

/// Tries whether the store refuses what it should.
async fn heeds_conditions(objects: &Objects) -> Result<bool> {
    let key = format!("gc/probe.{}", serial()?);
    let tried = try_conditions(objects, &key).await;
    objects.delete(&key).await?;
    match tried {
        Err(error) if error.kind() == Kind::Unsupported => Ok(false),
        tried => tried,
    }
}

async fn try_conditions(objects: &Objects, key: &str) -> Result<bool> {
    let is_refused = |written: Result<_>| match written {
        Ok(_) => Ok(false),
        Err(error) if error.kind() == Kind::Conflict => Ok(true),
        Err(error) => Err(error),
    };
    let first = objects.create(key, "first").await?;
    if !is_refused(objects.create(key, "again").await)? {
        return Ok(false);
    }
    objects.replace(key, "second", &first).await?;
    is_refused(objects.replace(key, "late", &first).await)
}

fn connect(storage: &ObjectStorage) -> Result<Objects> {
    let location = storage.location.as_str();
    let (scheme, rest) = location.split_once("://").unwrap_or((location, ""));
    let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
    let prefix = Path::parse(prefix.trim_end_matches('/')).map_err(|error| unknown(location).with_source(error))?;
    let name = if rest.is_empty() { location } else { location.trim_end_matches('/') };
    let failed = |error: object_store::Error| {
        Error::new(Kind::Invalid, format!("cannot use the storage {location:?}: {error}")).with_source(error)
    };
    if bucket.is_empty() && scheme != "memory" {
        return Err(unknown(location));
    }
    Ok(match scheme {
        "memory" => Objects::new(InMemory::new(), prefix, name).with_one_server(),
        "s3" => {
            let builder = AmazonS3Builder::new().with_client_options(client(storage)).with_retry(retry());
            let set = |builder: AmazonS3Builder, key: AmazonS3ConfigKey, value: String| builder.with_config(key, value);
            let builder = configured(storage, "aws_", builder, set)?.with_bucket_name(bucket);
            Objects::new(builder.build().map_err(failed)?, prefix, name)
        }
        "gs" => {
            let builder = GoogleCloudStorageBuilder::new().with_client_options(client(storage)).with_retry(retry());
            let set = |builder: GoogleCloudStorageBuilder, key: GoogleConfigKey, value: String| {
                builder.with_config(key, value)
            };
            let builder = configured(storage, "google_", builder, set)?.with_bucket_name(bucket);
            Objects::new(builder.build().map_err(failed)?, prefix, name)
        }
        "az" => {
            let builder = MicrosoftAzureBuilder::new().with_client_options(client(storage)).with_retry(retry());
            let set =
                |builder: MicrosoftAzureBuilder, key: AzureConfigKey, value: String| builder.with_config(key, value);
            let builder = configured(storage, "azure_", builder, set)?.with_container_name(bucket);
            Objects::new(builder.build().map_err(failed)?, prefix, name)
        }
        _ => return Err(unknown(location)),
    })
}

fn unknown(location: &str) -> Error {
    Error::new(Kind::Invalid, format!("{location:?} names no storage"))
        .with_hint("write s3://bucket/prefix, gs://bucket/prefix, az://container/prefix or memory://")
}

/// Gives a builder what the environment says, and over that what the configuration does.
fn configured<B, K: std::str::FromStr>(
    storage: &ObjectStorage,
    family: &str,
    mut builder: B,
    set: impl Fn(B, K, String) -> B,
) -> Result<B> {
    for (name, value) in &storage.environment.0 {
        let name = name.to_ascii_lowercase();
        // Others mean nothing here.
        if let (true, Ok(key)) = (name.starts_with(family), name.parse()) {
            builder = set(builder, key, value.clone());
        }
    }
    for (name, value) in &storage.options.0 {
        let key = name.replace('-', "_").parse().map_err(|_| {
            Error::new(Kind::Invalid, format!("the storage {:?} has no option {name:?}", storage.location))
                .with_hint("docs/serve/object-storage.md has the usual ones")
        })?;
        builder = set(builder, key, value.clone());
    }
    Ok(builder)
}

/// Plain HTTP only where the endpoint is given so.
fn client(storage: &ObjectStorage) -> ClientOptions {
    let is_endpoint = |name: &str| {
        let name = name.to_ascii_lowercase().replace('-', "_");
        name.contains("endpoint") || name.contains("base_url")
    };
    let given = storage.environment.0.iter().chain(&storage.options.0);
    let is_plain = given.clone().any(|(name, value)| is_endpoint(name) && value.starts_with("http://"));
    ClientOptions::new()
        .with_timeout_disabled()
        .with_connect_timeout(CONNECT_WAIT)
        .with_read_timeout(IDLE_WAIT)
        .with_allow_http(is_plain)
}

fn retry() -> RetryConfig {
    RetryConfig { max_retries: RETRIES, retry_timeout: RETRY_FOR, ..RetryConfig::default() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::options::StoreOptions;

    fn storage(location: &str, options: &[(&str, &str)]) -> ObjectStorage {
        let pair = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        ObjectStorage { options: StoreOptions(options.iter().map(pair).collect()), ..ObjectStorage::new(location) }
    }

    #[test]
    fn places_and_options_are_read_strictly() {
        let keys = [("access-key-id", "a"), ("secret-access-key", "b"), ("endpoint", "http://127.0.0.1:1")];
        for location in ["s3://bucket", "s3://bucket/", "s3://bucket/a/b", "memory://", "memory://a"] {
            let options = if location.starts_with("s3") { &keys[..] } else { &[] };
            assert!(connect(&storage(location, options)).is_ok(), "{location}");
        }
        for location in ["", "s3", "s3://", "s3:///prefix", "bucket", "ftp://bucket", "s3://bucket/a//b"] {
            assert_eq!(connect(&storage(location, &keys)).unwrap_err().kind(), Kind::Invalid, "{location}");
        }
        let error = connect(&storage("s3://bucket", &[("acess-key", "x")])).unwrap_err();
        assert!(error.to_string().contains("acess-key"), "{error}");
    }

    #[tokio::test]
    async fn a_store_is_tried_before_it_is_used() {
        let objects = Objects::new(InMemory::new(), Path::default(), "memory://");
        assert!(heeds_conditions(&objects).await.expect("an answer"));
        assert!(!heeds_conditions(&objects.clone().without_conditions()).await.expect("an answer"));
        assert_eq!(check_format(&objects).await.unwrap_err().kind(), Kind::NotFound);
        for (text, kind) in [("{\"format\":2}", Kind::Unsupported), ("", Kind::Corrupt)] {
            objects.put(keys::MARKER, text).await.expect("written");
            assert_eq!(check_format(&objects).await.unwrap_err().kind(), kind);
        }
    }
}
