//! Limits on what is read from elsewhere. Every read of untrusted input is bounded by one of these or by a descriptor's size.

/// Longest manifest or index accepted, in bytes. The distribution spec asks registries to take at least 4 MiB; twice that
/// leaves room for odd but honest documents.
pub const MANIFEST_BYTES_MAX: u64 = 8 << 20;

/// Longest image config accepted, in bytes. Real ones stay far below 1 MiB even with thousands of history entries.
pub const CONFIG_BYTES_MAX: u64 = 8 << 20;

/// Most of an error body that is read, in bytes: enough for any message, too little to exhaust memory.
pub const ERROR_BODY_BYTES_MAX: u64 = 64 << 10;

/// Longest answer of a token endpoint or a tag-list page, in bytes.
pub const API_BODY_BYTES_MAX: u64 = 4 << 20;

/// Most descriptors one index or manifest may name. Docker's own limit on layers is 127; real indexes stay below 100.
pub const DESCRIPTORS_MAX: usize = 10_000;

/// How deep indexes may nest below each other.
pub const INDEX_DEPTH_MAX: usize = 8;

/// Most documents (manifests and indexes) one copy may visit.
pub const DOCUMENTS_MAX: usize = 20_000;

/// How deep JSON may nest.
pub const JSON_DEPTH_MAX: usize = 64;

/// Largest blob accepted, in bytes (1 TiB): a sanity bound on sizes that manifests claim.
pub const BLOB_BYTES_MAX: u64 = 1 << 40;
