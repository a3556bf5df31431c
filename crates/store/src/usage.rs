//! How much space what takes.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use dhow_base::Result;
use dhow_spec::Digest;
use rusqlite::Connection;

use crate::db::Step;
use crate::find::{digest_at, text_at};
use crate::images;
use crate::store::{Store, from_row};

/// The layers of one image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LayerUse {
    /// The image's ID.
    pub image_id: Digest,
    /// Its layers by chain ID, lowest first, with their uncompressed sizes in bytes. One that was not measured counts as
    /// none.
    pub layers: Vec<(Digest, u64)>,
}

/// What is on disk below one part of the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DiskUse {
    /// The part, as `docs/formats/store.md` names it.
    pub name: &'static str,
    /// Files in it.
    pub files: u64,
    /// Bytes allocated for it, directories included: what `du` counts.
    pub bytes: u64,
}

/// Which content each image needs: tells how much space comes free when it goes.
#[derive(Clone, Debug, Default)]
pub struct Contents {
    sizes: Vec<u64>,
    /// How many images need each piece of content.
    holders: Vec<u32>,
    /// The pieces that an image needs.
    needed: HashMap<Digest, Vec<usize>>,
    bytes: u64,
}

impl Contents {
    /// Length of everything that some image needs.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Takes an image out of the account. Returns the length of what no other image needs then.
    pub fn release(&mut self, image_id: &Digest) -> u64 {
        let mut freed = 0;
        for piece in self.needed.remove(image_id).unwrap_or_default() {
            let Some(holders) = self.holders.get_mut(piece) else { continue };
            *holders -= 1;
            if *holders == 0 {
                freed += self.sizes.get(piece).copied().unwrap_or(0);
            }
        }
        self.bytes -= freed;
        freed
    }
}

impl Store {
    /// The layers of all images that lists show.
    ///
    /// # Errors
    /// Those of the database.
    pub fn layer_uses(&self) -> Result<Vec<LayerUse>> {
        let matcher = &self.inner.shown;
        self.read_rows(|connection| {
            let mut uses: Vec<LayerUse> = Vec::new();
            let mut place_of: HashMap<i64, usize> = HashMap::new();
            for (number, image_id) in images::numbers_of_shown(connection, matcher)? {
                place_of.insert(number, uses.len());
                uses.push(LayerUse { image_id, layers: Vec::new() });
            }
            let sql = "SELECT image, chain_id, size FROM image_layer ORDER BY image, position";
            let mut select = connection.prepare_cached(sql)?;
            let mut rows = select.query([])?;
            while let Some(row) = rows.next()? {
                if let Some(place) = place_of.get(&row.get(0)?) {
                    let size: Option<i64> = row.get(2)?;
                    uses[*place].layers.push((digest_at(row, 1)?, size.map_or(0, from_row)));
                }
            }
            Ok(uses)
        })
    }

    /// What the images that lists show need, whatever else needs it too: with an image go all platforms of its targets.
    ///
    /// # Errors
    /// Those of the database.
    pub fn contents(&self) -> Result<Contents> {
        let matcher = &self.inner.shown;
        self.read_rows(|connection| {
            let graph = Graph::read(connection)?;
            let mut contents = Contents { holders: vec![0; graph.sizes.len()], ..Contents::default() };
            for (image_id, targets) in images::targets_of_shown(connection, matcher)? {
                let mut pieces = graph.below(&targets);
                pieces.retain(|piece| graph.sizes[*piece] > 0);
                for piece in &pieces {
                    contents.holders[*piece] += 1;
                }
                contents.needed.insert(image_id, pieces);
            }
            let held = contents.holders.iter().zip(&graph.sizes).filter(|(holders, _)| **holders > 0);
            contents.bytes = held.map(|(_, size)| *size).sum();
            contents.sizes = graph.sizes;
            Ok(contents)
        })
    }

    /// What is on disk, part by part. A file that goes away meanwhile is not counted.
    pub fn disk_use(&self) -> Vec<DiskUse> {
        let mut parts: Vec<DiskUse> = Vec::new();
        let mut add = |name: &'static str, files: u64, bytes: u64| match parts.iter_mut().find(|part| part.name == name)
        {
            Some(part) => {
                part.files += files;
                part.bytes += bytes;
            }
            None => parts.push(DiskUse { name, files, bytes }),
        };
        for name in PARTS {
            add(name, 0, 0);
        }
        add(OTHER, 0, fs::symlink_metadata(self.root()).map_or(0, |found| allocated(&found)));
        let mut counting = Counting::default();
        for entry in fs::read_dir(self.root()).into_iter().flatten().flatten() {
            let name = entry.file_name();
            let part = PARTS.iter().find(|part| name.to_str().is_some_and(|name| belongs(name, part)));
            let (files, bytes) = counting.below(&entry.path());
            add(part.copied().unwrap_or(OTHER), files, bytes);
        }
        parts
    }

    /// Bytes allocated below `containers/<id>` or `volumes/<name>`; none when there is no such directory.
    pub fn directory_use(&self, kind: &str, name: &str) -> u64 {
        let path = self.root().join(kind).join(name);
        if path.is_dir() { below(&path).1 } else { 0 }
    }

    /// Removes the directory `containers/<id>` or `volumes/<name>`, if there is one. Returns the bytes it had.
    ///
    /// # Errors
    /// Those of removing it.
    pub fn remove_directory(&self, kind: &str, name: &str) -> Result<u64> {
        let bytes = self.directory_use(kind, name);
        if bytes > 0 {
            dhow_base::fs::remove_dir_all(&self.root().join(kind).join(name))?;
        }
        Ok(bytes)
    }
}

/// Parts of the store by the beginning of their name.
const PARTS: [&str; 8] = ["blobs", "layers", "containers", "volumes", "ingest", "trash", "facts", "databases"];

/// Everything else: the directory itself, `index.json`, locks and leases.
const OTHER: &str = "other";

fn belongs(name: &str, part: &str) -> bool {
    match part {
        "databases" => name.starts_with("meta.db"),
        part => name == part,
    }
}

/// Files below a path, and the bytes allocated for them and their directories. Links are not followed, and mounts not
/// entered.
pub(crate) fn below(path: &Path) -> (u64, u64) {
    Counting::default().below(path)
}

/// Counts what is on disk: a file with several names takes its place once.
#[derive(Default)]
struct Counting {
    /// Files with several names that were met, by device and inode.
    linked: HashSet<(u64, u64)>,
}

impl Counting {
    fn below(&mut self, path: &Path) -> (u64, u64) {
        fs::symlink_metadata(path).map_or((0, 0), |metadata| self.below_on(path, metadata.dev()))
    }

    fn below_on(&mut self, path: &Path, device: u64) -> (u64, u64) {
        let Ok(metadata) = fs::symlink_metadata(path) else { return (0, 0) };
        if metadata.dev() != device {
            return (0, 0);
        }
        if !metadata.is_dir() {
            let is_new = metadata.nlink() < 2 || self.linked.insert((device, metadata.ino()));
            return (1, if is_new { allocated(&metadata) } else { 0 });
        }
        let (mut files, mut bytes) = (0, allocated(&metadata));
        for entry in fs::read_dir(path).into_iter().flatten().flatten() {
            let (more_files, more_bytes) = self.below_on(&entry.path(), device);
            files += more_files;
            bytes += more_bytes;
        }
        (files, bytes)
    }
}

/// Bytes allocated for one file or directory: blocks of 512 bytes, whatever the file system's own are.
fn allocated(metadata: &fs::Metadata) -> u64 {
    metadata.blocks() * 512
}

/// Documents, blobs and which need which, by number.
pub(crate) struct Graph {
    numbers: HashMap<String, usize>,
    sizes: Vec<u64>,
    children: Vec<Vec<usize>>,
}

impl Graph {
    pub(crate) fn read(connection: &Connection) -> Step<Self> {
        let mut graph = Self { numbers: HashMap::new(), sizes: Vec::new(), children: Vec::new() };
        let mut select = connection.prepare_cached("SELECT digest, size FROM blob")?;
        let mut rows = select.query([])?;
        while let Some(row) = rows.next()? {
            graph.numbers.insert(text_at(row, 0)?.to_owned(), graph.sizes.len());
            graph.sizes.push(from_row(row.get(1)?));
        }
        graph.children = vec![Vec::new(); graph.sizes.len()];
        let mut select = connection.prepare_cached("SELECT parent, child FROM edge")?;
        let mut rows = select.query([])?;
        while let Some(row) = rows.next()? {
            let (parent, child) = (graph.numbers.get(text_at(row, 0)?), graph.numbers.get(text_at(row, 1)?));
            if let (Some(&parent), Some(&child)) = (parent, child) {
                graph.children[parent].push(child);
            }
        }
        Ok(graph)
    }

    /// Length of everything that is reached from a digest, each piece once.
    pub(crate) fn bytes_below(&self, root: &Digest) -> u64 {
        self.below(std::slice::from_ref(root)).into_iter().map(|piece| self.sizes[piece]).sum()
    }

    /// Everything that is reached from some digests, each piece once.
    fn below(&self, roots: &[Digest]) -> Vec<usize> {
        let mut pending: Vec<usize> =
            roots.iter().filter_map(|root| self.numbers.get(root.as_str()).copied()).collect();
        let mut reached: Vec<usize> = Vec::new();
        let mut seen = HashSet::new();
        while let Some(piece) = pending.pop() {
            if seen.insert(piece) {
                reached.push(piece);
                pending.extend(&self.children[piece]);
            }
        }
        reached
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "scratch files of the test itself")]
mod tests {
    use super::*;

    #[test]
    fn a_file_with_several_names_counts_once() {
        let folder = tempfile::tempdir().expect("a folder");
        fs::write(folder.path().join("a"), [1; 100_000]).expect("a file");
        let alone = below(folder.path());
        fs::create_dir(folder.path().join("d")).expect("a directory");
        let directory = below(&folder.path().join("d")).1;
        fs::hard_link(folder.path().join("a"), folder.path().join("d/b")).expect("a link");
        assert_eq!(below(folder.path()), (2, alone.1 + directory));
    }
}
