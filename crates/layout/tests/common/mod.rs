//! Making archives to read: tars with any members in any order, and the images in them.

#![allow(
    clippy::unwrap_used,
    dead_code,
    unreachable_pub,
    reason = "tests report by panicking, and each test file is a crate that uses a part of this"
)]

use std::io::Write;
use std::path::Path;

use dhow_base::fs::Durability;
use dhow_content::{CopyOptions, Select, copy};
use dhow_layout::{Archive, ArchiveInput, OciDirectory};
use dhow_spec::{Digest, Document};
use futures::executor::block_on;

/// A member of a tar.
#[derive(Clone, Debug)]
pub enum Entry {
    File(Vec<u8>),
    Symlink(String),
    HardLink(String),
    Directory,
    Device,
}

/// Members by name.
pub type Entries = Vec<(String, Entry)>;

pub fn file(name: impl Into<String>, bytes: impl Into<Vec<u8>>) -> (String, Entry) {
    (name.into(), Entry::File(bytes.into()))
}

pub fn symlink(name: impl Into<String>, target: impl Into<String>) -> (String, Entry) {
    (name.into(), Entry::Symlink(target.into()))
}

/// A tar of these members in this order. Names are written as they are, however bad.
pub fn tar(entries: &[(String, Entry)]) -> Vec<u8> {
    let mut tar = Vec::new();
    for (name, entry) in entries {
        let mut header = tar::Header::new_gnu();
        let (kind, data): (_, &[u8]) = match entry {
            Entry::File(bytes) => (tar::EntryType::Regular, bytes),
            Entry::Symlink(target) => {
                header.set_link_name_literal(target).unwrap();
                (tar::EntryType::Symlink, &[])
            }
            Entry::HardLink(target) => {
                header.set_link_name_literal(target).unwrap();
                (tar::EntryType::Link, &[])
            }
            Entry::Directory => (tar::EntryType::Directory, &[]),
            Entry::Device => (tar::EntryType::Char, &[]),
        };
        header.set_entry_type(kind);
        header.set_size(data.len() as u64);
        header.set_mode(0o644);
        if name.len() > 100 {
            let mut long = tar::Header::new_gnu();
            long.as_gnu_mut().unwrap().name[..13].copy_from_slice(b"././@LongLink");
            long.set_entry_type(tar::EntryType::GNULongName);
            long.set_size(name.len() as u64 + 1);
            long.set_cksum();
            tar.extend_from_slice(long.as_bytes());
            tar.extend_from_slice(name.as_bytes());
            tar.push(0);
            tar.resize(tar.len().next_multiple_of(512), 0);
        }
        let short = &name.as_bytes()[..name.len().min(100)];
        header.as_gnu_mut().unwrap().name[..short.len()].copy_from_slice(short);
        header.set_cksum();
        tar.extend_from_slice(header.as_bytes());
        tar.extend_from_slice(data);
        tar.resize(tar.len().next_multiple_of(512), 0);
    }
    tar.extend_from_slice(&[0; 1024]);
    tar
}

/// A layer: a tar with one file.
pub fn layer(text: &str) -> Vec<u8> {
    tar(&[file("etc/text", text)])
}

/// A config over these uncompressed layers.
pub fn config(diff_ids: &[Digest]) -> Vec<u8> {
    let ids: Vec<String> = diff_ids.iter().map(|id| format!("\"{id}\"")).collect();
    let ids = ids.join(",");
    format!(r#"{{"architecture":"amd64","os":"linux","rootfs":{{"type":"layers","diff_ids":[{ids}]}}}}"#).into_bytes()
}

pub fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::new(1));
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

pub fn bzip2(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// Opens bytes as an archive in a file.
pub fn open(bytes: &[u8]) -> dhow_base::Result<Archive> {
    let temporary = tempfile::tempdir().unwrap();
    let path = temporary.path().join("archive");
    dhow_base::fs::write_atomic(&path, bytes, 0o600, Durability::Cached).unwrap();
    Archive::open(ArchiveInput::File(std::fs::File::open(&path).unwrap(), path), temporary.path())
}

/// Opens bytes as a stream.
pub fn open_stream(bytes: &[u8]) -> dhow_base::Result<Archive> {
    let temporary = tempfile::tempdir().unwrap();
    Archive::open(ArchiveInput::Stream(Box::new(std::io::Cursor::new(bytes.to_vec()))), temporary.path())
}

/// Copies all images into a layout directory, as a load does; returns the digests of the manifests and their configs.
pub fn load(archive: &Archive, into: &Path) -> dhow_base::Result<Vec<String>> {
    let directory = OciDirectory::create(into)?;
    let select = |index: &Document| archive.complete_members(index);
    let mut seen = Vec::new();
    for image in archive.images() {
        let options = CopyOptions { select: Select::Only(&select), ..CopyOptions::new(&dhow_base::progress::Silent) };
        let copied = block_on(copy(archive, &directory, &image.root, &options))
            .map_err(|error| archive.explain(image, error))?;
        for document in &copied.documents {
            let digest = &document.descriptor().digest;
            let config = document.document().as_manifest().map(|manifest| manifest.config.digest.to_string());
            seen.push(format!("{digest} {}", config.unwrap_or_default()));
        }
    }
    Ok(seen)
}
