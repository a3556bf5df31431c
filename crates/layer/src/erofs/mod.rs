//! One file per layer: the layer's exact tar bytes, and behind them the metadata of a read-only EROFS file system whose files
//! lie in those bytes.
//!
//! [`LayerWriter`] notes entries while the tar passes and writes the metadata at its end; [`Image`] reads such a file and
//! [`Union`] a stack of them. `docs/formats/layer.md` describes the file to the byte, `docs/design/layers.md` says why.

mod arrange;
mod below;
mod convert;
mod format;
mod image;
mod inode;
mod kept;
mod list;
mod outline;
mod passing;
mod ranges;
mod sparse;
mod spill;
mod stack;
mod storage;
mod tree;
mod union;
mod walk;
mod way;
mod writer;
mod xattr;

pub use below::Below;
pub use convert::{Converted, Workspace, convert};
pub use format::HEAD_BYTES;
pub use image::Image;
pub use inode::{Attributes, FileType, Inode, Mtime, Xattr};
pub use kept::convert_kept;
pub use outline::{Keep, outline};
pub use passing::{Form, Passed, convert_passing};
pub use stack::{StackedFile, is_stack_of, stacked_files, write_stack};
pub use storage::{FileStorage, ReadAt, Storage};
pub use union::{Union, UnionNode};
pub use walk::Visit;
pub use writer::{LayerWriter, Summary};
