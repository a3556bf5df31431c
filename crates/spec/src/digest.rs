//! Digests: the names of content (OCI image-spec, descriptor.md, "Digests").

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use dhow_base::{Error, Kind};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::digest::common::hazmat::SerializableState as _;
use sha2::{Digest as _, Sha256, Sha512};

/// A hash algorithm that content may be named by. Those of the OCI image-spec's registry that it calls REQUIRED or MAY.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Algorithm {
    /// SHA-256 (RFC 6234), which everybody uses.
    Sha256,
    /// SHA-512 (RFC 6234), which everybody must understand.
    Sha512,
}

impl Algorithm {
    /// Every algorithm known here.
    pub const ALL: [Algorithm; 2] = [Algorithm::Sha256, Algorithm::Sha512];

    /// The name as it stands before the colon of a digest.
    pub fn as_str(self) -> &'static str {
        match self {
            Algorithm::Sha256 => "sha256",
            Algorithm::Sha512 => "sha512",
        }
    }

    /// Length of the hexadecimal part of a digest, in characters.
    pub fn hex_len(self) -> usize {
        match self {
            Algorithm::Sha256 => 64,
            Algorithm::Sha512 => 128,
        }
    }

    /// The algorithm of that name, if it is known here.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|algorithm| algorithm.as_str() == name)
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

/// Why a text is not a [`Digest`]. The texts are go-digest's, which docker shows.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DigestError {
    /// Not `algorithm:encoded`, or not lower-case hexadecimal.
    #[error("invalid checksum digest format")]
    InvalidFormat,
    /// The hexadecimal part is not as long as the algorithm's hashes are.
    #[error("invalid checksum digest length")]
    InvalidLength,
    /// Well formed, but by an algorithm that is not known here.
    #[error("unsupported digest algorithm: {0:?}")]
    UnsupportedAlgorithm(String),
}

impl From<DigestError> for Error {
    fn from(error: DigestError) -> Self {
        let kind = match error {
            DigestError::UnsupportedAlgorithm(_) => Kind::Unsupported,
            DigestError::InvalidFormat | DigestError::InvalidLength => Kind::Invalid,
        };
        Error::new(kind, error.to_string()).with_source(error)
    }
}

/// The name of content: an algorithm and the lower-case hexadecimal hash of the bytes, written `sha256:<hex>`.
///
/// Because it can hold nothing else, a digest is safe as a file name and in a URL. Cloning is cheap.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest {
    algorithm: Algorithm,
    text: Arc<str>,
}

impl Digest {
    /// Parses `algorithm:hex`; upper-case hexadecimal is refused, since a digest has exactly one spelling.
    pub fn parse(text: &str) -> Result<Self, DigestError> {
        let (name, encoded) = text.split_once(':').ok_or(DigestError::InvalidFormat)?;
        let Some(algorithm) = Algorithm::from_name(name) else {
            let well_formed = is_algorithm_name(name) && is_encoded(encoded);
            return Err(if well_formed {
                DigestError::UnsupportedAlgorithm(name.to_owned())
            } else {
                DigestError::InvalidFormat
            });
        };
        if encoded.is_empty() {
            return Err(DigestError::InvalidFormat);
        }
        if encoded.len() != algorithm.hex_len() {
            return Err(DigestError::InvalidLength);
        }
        // Without an early end the compiler looks at many bytes at once: lists parse tens of thousands of digests.
        if !encoded.bytes().fold(true, |so_far, byte| so_far & matches!(byte, b'0'..=b'9' | b'a'..=b'f')) {
            return Err(DigestError::InvalidFormat);
        }
        Ok(Self { algorithm, text: text.into() })
    }

    /// The digest of `bytes`.
    pub fn of(algorithm: Algorithm, bytes: &[u8]) -> Self {
        let mut hasher = Hasher::new(algorithm);
        hasher.update(bytes);
        hasher.finish()
    }

    /// The SHA-256 digest of `bytes`.
    pub fn sha256(bytes: &[u8]) -> Self {
        Self::of(Algorithm::Sha256, bytes)
    }

    /// The algorithm the content was hashed with.
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// The hash alone, without `sha256:`.
    pub fn hex(&self) -> &str {
        &self.text[self.algorithm.as_str().len() + 1..]
    }

    /// The first twelve hexadecimal characters, the form shown in tables.
    pub fn short(&self) -> &str {
        &self.hex()[..12]
    }

    /// The whole digest, `sha256:<hex>`.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

/// `[a-z0-9]+([.+_-][a-z0-9]+)*`, go-digest's grammar of algorithm names.
fn is_algorithm_name(name: &str) -> bool {
    name.split(['.', '+', '_', '-'])
        .all(|part| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit()))
}

/// `[a-zA-Z0-9=_-]+`, go-digest's grammar of what may follow the colon for algorithms to come.
fn is_encoded(encoded: &str) -> bool {
    !encoded.is_empty()
        && encoded.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'=' | b'_' | b'-'))
}

impl fmt::Display for Digest {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.text)
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Digest({})", self.text)
    }
}

impl FromStr for Digest {
    type Err = DigestError;

    fn from_str(text: &str) -> Result<Self, DigestError> {
        Self::parse(text)
    }
}

impl Serialize for Digest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).map_err(|error| serde::de::Error::custom(format_args!("{error} in {text:?}")))
    }
}

/// Hashes bytes as they pass by. A clone continues from the same point on its own.
#[derive(Clone)]
pub struct Hasher(State);

#[derive(Clone)]
enum State {
    Sha256(Sha256),
    Sha512(Sha512),
}

impl Hasher {
    /// A hasher that has seen no bytes yet.
    pub fn new(algorithm: Algorithm) -> Self {
        Self(match algorithm {
            Algorithm::Sha256 => State::Sha256(Sha256::new()),
            Algorithm::Sha512 => State::Sha512(Sha512::new()),
        })
    }

    /// Takes the next bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        match &mut self.0 {
            State::Sha256(hash) => hash.update(bytes),
            State::Sha512(hash) => hash.update(bytes),
        }
    }

    /// Where the hasher stands, for [`Hasher::restore`]: the algorithm's inner state and the bytes of the block that is
    /// not full yet. It tells those bytes, so it is as confidential as the content.
    pub fn save(&self) -> Vec<u8> {
        match &self.0 {
            State::Sha256(hash) => hash.serialize().to_vec(),
            State::Sha512(hash) => hash.serialize().to_vec(),
        }
    }

    /// Goes on where [`Hasher::save`] stood; nothing when the bytes are no state of the algorithm.
    pub fn restore(algorithm: Algorithm, state: &[u8]) -> Option<Self> {
        Some(Self(match algorithm {
            Algorithm::Sha256 => State::Sha256(Sha256::deserialize(state.try_into().ok()?).ok()?),
            Algorithm::Sha512 => State::Sha512(Sha512::deserialize(state.try_into().ok()?).ok()?),
        }))
    }

    /// The digest of all bytes taken.
    pub fn finish(self) -> Digest {
        match self.0 {
            State::Sha256(hash) => from_hash(Algorithm::Sha256, &hash.finalize()),
            State::Sha512(hash) => from_hash(Algorithm::Sha512, &hash.finalize()),
        }
    }
}

impl fmt::Debug for Hasher {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let algorithm = match self.0 {
            State::Sha256(_) => Algorithm::Sha256,
            State::Sha512(_) => Algorithm::Sha512,
        };
        write!(formatter, "Hasher({algorithm})")
    }
}

fn from_hash(algorithm: Algorithm, hash: &[u8]) -> Digest {
    const HEX: [u8; 16] = *b"0123456789abcdef";
    let mut text = String::with_capacity(algorithm.as_str().len() + 1 + algorithm.hex_len());
    text.push_str(algorithm.as_str());
    text.push(':');
    for byte in hash {
        text.push(char::from(HEX[usize::from(byte >> 4)]));
        text.push(char::from(HEX[usize::from(byte & 15)]));
    }
    Digest { algorithm, text: text.into() }
}

#[cfg(test)]
mod tests;
