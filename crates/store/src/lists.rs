//! Lists of manifests that are being put together. Each is a file of its own and no image: what it names is in registries and other
//! places, and it keeps nothing of `blobs/` alive.

use std::path::{Path, PathBuf};

use dhow_base::fs::{self as durable, Durability, FileLock, LockMode};
use dhow_base::{Error, Kind, Result};
use dhow_content::{VerifiedDocument, verify_document};
use dhow_spec::json::parse_strict;
use dhow_spec::{Descriptor, Digest, Reference};
use serde::{Deserialize, Serialize};

use crate::store::Store;
use crate::wait::LOCK_PATIENCE;

/// Longest file that is read, in bytes: a list has the bytes of all its manifests in it.
const LIST_BYTES_MAX: u64 = 256 << 20;

/// A list that is being put together.
#[derive(Clone, Debug, Default)]
pub struct List {
    /// Its manifests, in the order of the index that it becomes.
    pub members: Vec<ListMember>,
}

/// One manifest of a list.
#[derive(Clone, Debug)]
pub struct ListMember {
    /// The name under which a registry has it, or by which it is known here.
    pub name: Reference,
    /// Where else it is, in the spelling of places; nothing for a registry.
    pub place: Option<String>,
    /// The manifest; its descriptor says the platform that the index will say.
    pub manifest: VerifiedDocument,
}

#[derive(Serialize, Deserialize)]
struct File {
    name: String,
    members: Vec<Row>,
}

#[derive(Serialize, Deserialize)]
struct Row {
    name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    place: Option<String>,
    descriptor: Descriptor,
    /// The manifest's bytes, which are JSON and so text.
    manifest: String,
}

impl Store {
    /// The list of this name.
    ///
    /// # Errors
    /// Those of reading it; [`Kind::Corrupt`] when it is damaged.
    pub fn list(&self, name: &Reference) -> Result<Option<List>> {
        let path = self.paths().list(name);
        let bytes = match durable::read_limited(&path, LIST_BYTES_MAX) {
            Err(error) if error.kind() == Kind::NotFound => return Ok(None),
            other => other?,
        };
        read(&bytes, name).map(Some).map_err(|error| error.context(format_args!("{path:?}")))
    }

    /// The names of all lists, in order.
    ///
    /// # Errors
    /// Those of reading them; [`Kind::Corrupt`] when one is damaged.
    pub fn lists(&self) -> Result<Vec<Reference>> {
        let mut names = Vec::new();
        for path in files(&self.paths().lists())?.into_iter().filter(|path| has_extension(path, "json")) {
            let bytes = match durable::read_limited(&path, LIST_BYTES_MAX) {
                // Somebody removed it meanwhile.
                Err(error) if error.kind() == Kind::NotFound => continue,
                other => other?,
            };
            names.push(name_of(&bytes).map_err(|error| error.context(format_args!("{path:?}")))?);
        }
        names.sort_unstable_by_key(ToString::to_string);
        Ok(names)
    }

    /// Changes the list of this name while nobody else can. `change` gets it as it is and leaves it as it shall be, `None`
    /// for no list; the new state is durable when this returns.
    ///
    /// # Errors
    /// Those of `change`, after which nothing has changed, and those of reading and writing.
    pub fn update_list<T>(&self, name: &Reference, change: impl FnOnce(&mut Option<List>) -> Result<T>) -> Result<T> {
        self.require_writable()?;
        let directory = self.paths().lists();
        durable::create_dir_all(&directory)?;
        let _lock = FileLock::acquire(&self.paths().lists_lock(), LockMode::Exclusive, LOCK_PATIENCE)?;
        remove_unfinished(&directory)?;
        let mut list = self.list(name)?;
        let result = change(&mut list)?;
        let path = self.paths().list(name);
        match &list {
            Some(list) => {
                // The directory may be new, and whoever made it may have been killed before it was synced.
                durable::sync_dir(self.root())?;
                durable::write_atomic(&path, &write(list, name)?, 0o600, Durability::Durable)?;
            }
            None => {
                if durable::remove_file(&path)? {
                    durable::sync_dir(&directory)?;
                }
            }
        }
        Ok(result)
    }
}

/// Removes what a process that was killed left behind: nobody else writes while the lock is held.
fn remove_unfinished(directory: &Path) -> Result<()> {
    files(directory)?.iter().filter(|path| has_extension(path, "tmp")).try_for_each(|path| {
        durable::remove_file(path)?;
        Ok(())
    })
}

/// What is in a directory; one that is not there is empty.
fn files(directory: &Path) -> Result<Vec<PathBuf>> {
    let failed = |error| Error::io(format_args!("cannot read {directory:?}"), error);
    match std::fs::read_dir(directory) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
        entries => entries.map_err(failed)?.map(|entry| Ok(entry.map_err(failed)?.path())).collect(),
    }
}

fn has_extension(path: &Path, extension: &str) -> bool {
    path.extension().is_some_and(|found| found == extension)
}

fn damaged(why: &dyn std::fmt::Display) -> Error {
    Error::new(Kind::Corrupt, format!("damaged list: {why}"))
}

fn parse(bytes: &[u8]) -> Result<File> {
    let value = parse_strict(bytes).map_err(|error| damaged(&error))?;
    serde_json::from_value(value).map_err(|error| damaged(&error))
}

fn name_of(bytes: &[u8]) -> Result<Reference> {
    Reference::parse(&parse(bytes)?.name).map_err(|error| damaged(&error))
}

fn read(bytes: &[u8], name: &Reference) -> Result<List> {
    let file = parse(bytes)?;
    if file.name != name.to_string() {
        return Err(damaged(&format_args!("it is that of {:?}", file.name)));
    }
    let mut members = Vec::with_capacity(file.members.len());
    for row in file.members {
        let manifest = verify_document(row.manifest.into_bytes(), &row.descriptor)?;
        members.push(ListMember { name: Reference::parse(&row.name)?, place: row.place, manifest });
    }
    Ok(List { members })
}

fn write(list: &List, name: &Reference) -> Result<Vec<u8>> {
    let mut members = Vec::with_capacity(list.members.len());
    for member in &list.members {
        let text = std::str::from_utf8(member.manifest.bytes())
            .map_err(|error| Error::new(Kind::Corrupt, format!("manifest of {}: {error}", member.name)))?;
        let descriptor = member.manifest.descriptor().clone();
        let (name, place) = (member.name.to_string(), member.place.clone());
        members.push(Row { name, place, descriptor, manifest: text.to_owned() });
    }
    serde_json::to_vec(&File { name: name.to_string(), members })
        .map_err(|error| Error::new(Kind::Internal, format!("cannot write the list {name}: {error}")))
}

/// The file name of a list: names may be longer than file names, and have slashes.
pub(crate) fn file_name(name: &Reference) -> String {
    format!("{}.json", Digest::sha256(name.to_string().as_bytes()).hex())
}

#[cfg(test)]
mod tests {
    use dhow_spec::{Document, ImageManifest, MediaType, Platform};

    use super::*;
    use crate::OpenOptions;

    fn member(name: &str) -> ListMember {
        let config = Descriptor::new(MediaType::OciConfig, Digest::sha256(name.as_bytes()), 2);
        let document = Document::from_manifest(ImageManifest::new(config, Vec::new())).unwrap();
        let descriptor = document.descriptor().with_platform(Platform::new("linux", "arm64").with_variant("v8"));
        let manifest = verify_document(document.bytes().to_vec(), &descriptor).unwrap();
        ListMember { name: Reference::parse(name).unwrap(), place: None, manifest }
    }

    #[test]
    fn what_is_written_is_read_back() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(&directory.path().join("store"), &OpenOptions::default()).unwrap();
        let name = Reference::parse("acme/app:1").unwrap();
        assert!(store.list(&name).unwrap().is_none());
        for member in [member("acme/app:arm"), member("registry.example:5000/acme/app:amd")] {
            store
                .update_list(&name, |list| {
                    list.get_or_insert_default().members.push(member);
                    Ok(())
                })
                .unwrap();
        }
        let list = store.list(&name).unwrap().unwrap();
        let names: Vec<String> = list.members.iter().map(|member| member.name.to_string()).collect();
        assert_eq!(names, ["docker.io/acme/app:arm", "registry.example:5000/acme/app:amd"]);
        let platform = list.members[0].manifest.descriptor().platform.as_ref().unwrap();
        assert_eq!(platform.to_string(), "linux/arm64/v8");
        let unfinished = store.paths().lists().join(".x.json.1-1.tmp");
        durable::open_or_create(&unfinished).unwrap();
        let failed = store.update_list(&name, |list| {
            *list = None;
            Err::<(), _>(Error::new(Kind::Invalid, "no"))
        });
        assert!(failed.is_err() && store.list(&name).unwrap().is_some());
        assert!(!unfinished.exists());
        store.update_list(&name, |list| Ok(list.take())).unwrap();
        assert!(store.list(&name).unwrap().is_none());
    }

    #[test]
    fn damage_is_noticed() {
        let (name, other) = (Reference::parse("a:1").unwrap(), Reference::parse("b:1").unwrap());
        let bytes = write(&List { members: vec![member("a:arm")] }, &name).unwrap();
        read(&bytes, &name).unwrap();
        assert_eq!(read(&bytes, &other).unwrap_err().kind(), Kind::Corrupt);
        let changed = String::from_utf8(bytes).unwrap().replace("\\\"schemaVersion\\\":2", "\\\"schemaVersion\\\": 2");
        assert_eq!(read(changed.as_bytes(), &name).unwrap_err().kind(), Kind::Corrupt);
    }
}
