//! Layers as byte streams: which compression they carry, how they are inflated safely, what identifies them, and which
//! files are in them.
//!
//! A layer blob has two digests: that of the bytes as a registry sends them, and its *diff ID*, that of the tar inside.
//! [`Decoder`] gets from the first to the second without trusting what it reads; [`uncompressed_digest`] proves a diff ID.

mod ahead;
pub mod chain;
mod codec;
mod compression;
mod decoder;
pub mod diff;
mod diff_id;
mod encoder;
pub mod erofs;
mod flatten;
mod gzip;
mod member;
mod members;
mod pool;
pub mod tar;
pub mod unpack;

pub use ahead::{Ahead, Inflating, Layer, Opening, Proof, inflate_ahead, inflate_in_order};
pub use compression::Compression;
pub use decoder::{DecodeError, Decoder, Limits, decode_error};
pub use diff_id::{Uncompressed, uncompressed_digest, uncompressed_digest_by};
pub use encoder::{encode, encode_on};
pub use flatten::{Layers, flatten, flatten_files};
pub use members::check_tar;
