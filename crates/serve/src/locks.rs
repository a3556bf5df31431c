//! Locks on repositories, so that content is not deleted while a manifest that needs it is being stored.

use std::hash::{BuildHasher, RandomState};

use tokio::sync::{RwLock, RwLockReadGuard, RwLockWriteGuard};

use crate::name::RepositoryName;

/// Number of locks. Repositories that share one wait for each other's deletes, which is rare and short.
const LOCKS: usize = 64;

/// A fixed number of locks for any number of repositories.
#[derive(Debug)]
pub(crate) struct RepositoryLocks {
    hasher: RandomState,
    locks: [RwLock<()>; LOCKS],
}

impl Default for RepositoryLocks {
    fn default() -> Self {
        Self { hasher: RandomState::new(), locks: std::array::from_fn(|_| RwLock::new(())) }
    }
}

impl RepositoryLocks {
    /// Keeps the repository's content from being deleted.
    pub(crate) async fn adding(&self, repository: &RepositoryName) -> RwLockReadGuard<'_, ()> {
        self.of(repository).read().await
    }

    /// Waits until nothing is being added to the repository, and keeps it so.
    pub(crate) async fn deleting(&self, repository: &RepositoryName) -> RwLockWriteGuard<'_, ()> {
        self.of(repository).write().await
    }

    fn of(&self, repository: &RepositoryName) -> &RwLock<()> {
        let index = self.hasher.hash_one(repository) % LOCKS as u64;
        &self.locks[index as usize]
    }
}
