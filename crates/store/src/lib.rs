//! The local place: an OCI image layout on disk, and a database that knows names, images and who is using what.
//!
//! `docs/formats/store.md` describes every file and column. In short: `blobs/` is the truth about content, `meta.db`
//! about names. Many processes work on one store at once; none of them needs to be trusted to end well:
//!
//! * a blob is fetched into `ingest/` under a lock on its own file, proven, and only then renamed into `blobs/`;
//! * names come into being in one durable transaction, after the content below them was flushed;
//! * what a running operation needs is pinned under a [lease](Session) that dies with its process, so that
//!   [`Store::collect`] never takes it away.
//!
//! Nothing here starts a runtime. Calls that may take long (waiting for another process, hashing) are futures driven by
//! threads; everything else is plain blocking code that touches the page cache.

mod blobs;
mod check;
mod collect;
mod commit;
mod container_mounts;
mod db;
mod examine;
mod facts;
mod find;
#[doc(hidden)]
pub mod fuzzing;
mod holdings;
mod homes;
mod images;
mod ingest;
mod kept_rows;
mod labels;
mod last_use;
mod lists;
mod lost;
mod measure;
mod mounts;
mod open;
mod paths;
mod plan;
mod read;
mod rebuild;
mod recover;
mod room;
mod session;
mod store;
mod tags;
mod trees;
mod unpacked;
mod update;
mod uploads;
mod usage;
mod view;
mod wait;

pub use check::{Problem, ProblemCode, Report, Severity};
pub use collect::Collected;
pub use commit::{Committed, CommittedTarget, NewTarget};
pub use container_mounts::ContainerMount;
pub use db::Journal;
pub use examine::{Damaged, Suspects, is_of_content};
pub use find::{Found, MatchedBy};
pub use holdings::{HeldMember, Holding};
pub use images::Image;
pub use ingest::StoreIngest;
pub use kept_rows::NamesVersion;
pub use labels::Labels;
pub use lists::{List, ListMember};
pub use lost::Lost;
pub use mounts::{MountRecord, MountedBy, Mounts};
pub use open::OpenOptions;
pub use read::{Layer, MEND};
pub use rebuild::{Incomplete, Rebuilt};
pub use session::Session;
pub use store::Store;
pub use trees::{Ownership, PlainTree};
pub use unpacked::{OpenLayer, Stacked, UNPACKED_BYTES_MAX, UnpackedLayer, union};
pub use update::{BuildRecord, Container, ContainerRecord, ContainerState, NamesOf, Removal, Removed, Update, Volume};
pub use uploads::UploadRecord;
pub use usage::{Contents, DiskUse, LayerUse};
