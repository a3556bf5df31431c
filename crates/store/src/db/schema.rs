//! The tables of `meta.db` and `labels.db`. `docs/formats/store.md` explains every column.

use rusqlite::Transaction;

use super::Step;

/// Number of the format of the whole store, kept as `user_version` of `meta.db`.
pub(crate) const FORMAT: i64 = 1;

/// `application_id` of both databases: "dhow" in ASCII.
pub(crate) const APPLICATION_ID: i64 = 0x6468_6f77;

/// Digests are text (`sha256:<hex>`); only where a table points to a row of `image` or `target` it does so by number, which
/// makes listing many images several times faster. Times are nanoseconds since 1970 in UTC, sizes are bytes.
pub(crate) const META: &str = "
CREATE TABLE meta (key TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT, WITHOUT ROWID;
INSERT INTO meta VALUES ('generation', 0);

CREATE TABLE blob (
    digest TEXT PRIMARY KEY, size INTEGER NOT NULL, flushed INTEGER NOT NULL, boot TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE edge (parent TEXT NOT NULL, child TEXT NOT NULL, PRIMARY KEY (parent, child)) STRICT, WITHOUT ROWID;
CREATE INDEX edge_child ON edge (child);
CREATE TABLE blob_home (
    digest TEXT NOT NULL, repository TEXT NOT NULL, PRIMARY KEY (digest, repository)
) STRICT, WITHOUT ROWID;

CREATE TABLE image (
    number INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, created INTEGER, size INTEGER,
    os TEXT NOT NULL, architecture TEXT NOT NULL, variant TEXT, added INTEGER NOT NULL
) STRICT;
CREATE TABLE image_layer (
    image INTEGER NOT NULL, position INTEGER NOT NULL, diff_id TEXT NOT NULL, chain_id TEXT NOT NULL, size INTEGER,
    PRIMARY KEY (image, position)
) STRICT, WITHOUT ROWID;
CREATE INDEX image_layer_chain ON image_layer (chain_id);
CREATE TABLE manifest (
    digest TEXT PRIMARY KEY, image INTEGER NOT NULL, media_type TEXT NOT NULL, size INTEGER NOT NULL,
    added INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX manifest_image ON manifest (image);
CREATE TABLE target (
    number INTEGER PRIMARY KEY, digest TEXT NOT NULL UNIQUE, media_type TEXT NOT NULL, size INTEGER NOT NULL,
    added INTEGER NOT NULL
) STRICT;
CREATE TABLE target_member (
    target INTEGER NOT NULL, position INTEGER NOT NULL, manifest TEXT NOT NULL, image INTEGER NOT NULL,
    PRIMARY KEY (target, position), UNIQUE (target, manifest)
) STRICT, WITHOUT ROWID;
CREATE INDEX target_member_image ON target_member (image);
CREATE INDEX target_member_manifest ON target_member (manifest);
CREATE TABLE reference (
    repository TEXT NOT NULL, tag TEXT NOT NULL, target INTEGER NOT NULL, updated INTEGER NOT NULL,
    PRIMARY KEY (repository, tag)
) STRICT, WITHOUT ROWID;
CREATE INDEX reference_target ON reference (target);
CREATE TABLE repo_digest (
    repository TEXT NOT NULL, target INTEGER NOT NULL, PRIMARY KEY (repository, target)
) STRICT, WITHOUT ROWID;
CREATE INDEX repo_digest_target ON repo_digest (target);

CREATE TABLE lease (id TEXT PRIMARY KEY, purpose TEXT NOT NULL, created INTEGER NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE lease_pin (
    lease TEXT NOT NULL, digest TEXT NOT NULL, PRIMARY KEY (lease, digest)
) STRICT, WITHOUT ROWID;

CREATE TABLE container (
    id TEXT PRIMARY KEY, name TEXT UNIQUE, image_id TEXT NOT NULL, state TEXT NOT NULL, created INTEGER NOT NULL,
    started INTEGER, finished INTEGER, exit_code INTEGER, configuration TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX container_image ON container (image_id);
CREATE TABLE volume (
    name TEXT PRIMARY KEY, anonymous INTEGER NOT NULL, created INTEGER NOT NULL, configuration TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE container_volume (
    container TEXT NOT NULL, volume TEXT NOT NULL, PRIMARY KEY (container, volume)
) STRICT, WITHOUT ROWID;
CREATE INDEX container_volume_volume ON container_volume (volume);
CREATE TABLE build_cache (
    key TEXT PRIMARY KEY, kind TEXT NOT NULL, parent TEXT, digest TEXT, size INTEGER NOT NULL, created INTEGER NOT NULL,
    used INTEGER NOT NULL, uses INTEGER NOT NULL, description TEXT NOT NULL
) STRICT, WITHOUT ROWID;
";

/// Fills an empty database with the tables of `meta.db`, and signs it.
pub(crate) fn create(transaction: &Transaction<'_>) -> Step<()> {
    transaction.execute_batch(META)?;
    transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
    transaction.pragma_update(None, "user_version", FORMAT)?;
    Ok(())
}

/// Labels, which stand in configs that never change, as JSON. A cache: `facts/` says so, and its path has the version.
pub(crate) const LABELS: &str = "
CREATE TABLE IF NOT EXISTS image_labels (image_id TEXT PRIMARY KEY, labels TEXT NOT NULL) STRICT, WITHOUT ROWID;
";
