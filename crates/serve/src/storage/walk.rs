//! The repositories in a folder.

use std::path::Path;

use dhow_base::{Error, Result};
use dhow_spec::digest::Algorithm;

use super::Page;
use super::folder::found;
use crate::name::RepositoryName;

/// Collects repositories in the byte order of their full names, which is not the order of the tree: `a-b` stands
/// between `a` and `a/b`.
pub(super) struct RepositoryWalk {
    after: Option<String>,
    limit: usize,
    page: Page,
}

impl RepositoryWalk {
    /// Those behind `after`, at most `limit` of them, in the folder `repositories`.
    pub(super) fn page(repositories: &Path, after: Option<String>, limit: usize) -> Result<Page> {
        let mut walk = Self { after, limit, page: Page::default() };
        walk.below(repositories, "")?;
        Ok(walk.page)
    }

    fn below(&mut self, directory: &Path, prefix: &str) -> Result<()> {
        let mut visits = Vec::new();
        let entries = found(directory, std::fs::read_dir(directory))?;
        for entry in entries.into_iter().flatten() {
            let entry = entry.map_err(|error| Error::io(format_args!("cannot list {directory:?}"), error))?;
            let Ok(component) = entry.file_name().into_string() else { continue };
            let name = format!("{prefix}{component}");
            if RepositoryName::parse(&name).is_some() {
                visits.push((format!("{name}/"), entry.path()));
                visits.push((name, entry.path()));
            }
        }
        visits.sort_unstable();
        for (name, path) in visits {
            if self.page.more {
                break;
            }
            if name.ends_with('/') {
                // Names below sort behind their parent's: a whole subtree before `after` is left out.
                if self.after.as_deref().is_none_or(|after| after < name.as_str() || after.starts_with(&name)) {
                    self.below(&path, &name)?;
                }
            } else if self.after.as_ref().is_none_or(|after| name > *after) && holds_manifest(&path) {
                self.add(name);
            }
        }
        Ok(())
    }

    fn add(&mut self, name: String) {
        if self.page.names.len() == self.limit {
            self.page.more = true;
        } else {
            self.page.names.push(name);
        }
    }
}

fn holds_manifest(repository: &Path) -> bool {
    Algorithm::ALL.iter().any(|algorithm| {
        std::fs::read_dir(repository.join("_manifests").join(algorithm.as_str()))
            .is_ok_and(|mut entries| entries.next().is_some())
    })
}
