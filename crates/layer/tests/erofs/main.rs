//! Layers as EROFS files: what the reader and the kernel see in them is what the tar says.

mod facts;
mod hostile;
mod kernel;
mod outline;
mod overlay;
mod passing;
mod source;
mod stacks;

use std::cell::RefCell;
use std::sync::Arc;

use dhow_base::Result;
use dhow_layer::erofs::{Below, Converted, Image, Union, Workspace, convert};
use dhow_spec::Digest;

/// Converts a tar in memory.
pub(crate) fn converted(tar: &[u8], below: &dyn Below) -> Result<(Vec<u8>, Converted)> {
    let mut file = Vec::new();
    let scratch: &dyn Fn() -> Result<Vec<u8>> = &|| Ok(Vec::new());
    let workspace = Workspace { target: &mut file, scratch, below };
    let converted = convert(tar, &Digest::sha256(tar), workspace)?;
    Ok((file, converted))
}

/// Converts tars and stacks them, the lowest first.
pub(crate) fn stacked(tars: &[Vec<u8>]) -> Union<Vec<u8>> {
    let mut images: Vec<Arc<Image<Vec<u8>>>> = Vec::new();
    for tar in tars {
        let below = Union::new(images.clone());
        let (file, _) = converted(tar, &below).expect("a layer");
        images.push(Arc::new(Image::open(file).expect("its own file")));
    }
    Union::new(images)
}

/// A tar under construction.
pub(crate) struct Tar {
    builder: RefCell<tar::Builder<Vec<u8>>>,
}

impl Tar {
    pub(crate) fn new() -> Self {
        Self { builder: RefCell::new(tar::Builder::new(Vec::new())) }
    }

    /// Adds an entry as `tar` types them: `5` a directory, `0` a file, `1` a hard link, `2` a symbolic link.
    pub(crate) fn entry(
        self,
        kind: u8,
        path: &str,
        link: &str,
        data: &[u8],
        change: impl FnOnce(&mut tar::Header),
    ) -> Self {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(tar::EntryType::new(kind));
        header.set_size(data.len() as u64);
        header.set_mode(if kind == b'5' { 0o755 } else { 0o644 });
        header.set_mtime(1_700_000_000);
        header.set_uid(0);
        header.set_gid(0);
        change(&mut header);
        {
            let mut builder = self.builder.borrow_mut();
            if link.is_empty() {
                builder.append_data(&mut header, path, data).expect("append");
            } else {
                builder.append_link(&mut header, path, link).expect("append");
            }
        }
        self
    }

    pub(crate) fn directory(self, path: &str) -> Self {
        self.entry(b'5', path, "", b"", |_| {})
    }

    pub(crate) fn file(self, path: &str, data: &[u8]) -> Self {
        self.entry(b'0', path, "", data, |_| {})
    }

    pub(crate) fn hard_link(self, path: &str, target: &str) -> Self {
        self.entry(b'1', path, target, b"", |_| {})
    }

    pub(crate) fn symlink(self, path: &str, target: &str) -> Self {
        self.entry(b'2', path, target, b"", |_| {})
    }

    /// Extended attributes of the next entry.
    pub(crate) fn xattrs(self, xattrs: &[(&str, &[u8])]) -> Self {
        let records: Vec<(String, &[u8])> =
            xattrs.iter().map(|(name, value)| (format!("SCHILY.xattr.{name}"), *value)).collect();
        let records = records.iter().map(|(name, value)| (name.as_str(), *value));
        self.builder.borrow_mut().append_pax_extensions(records).expect("append");
        self
    }

    pub(crate) fn finish(self) -> Vec<u8> {
        self.builder.into_inner().into_inner().expect("finish")
    }
}
