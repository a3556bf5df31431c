//! Accounts in Apache's `htpasswd` format, of which only bcrypt is taken.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::path::Path;
use std::str::FromStr as _;
use std::sync::{Mutex, MutexGuard, PoisonError};

use bcrypt::HashParts;
use dhow_base::secret::Secret;
use dhow_base::{Error, Kind, Result, fs};
use dhow_spec::digest::{Algorithm, Digest, Hasher};
use tokio::sync::Semaphore;

use super::rules::is_reserved;
use crate::random::random;

const FILE_BYTES_MAX: u64 = 4 << 20;

/// Above this, one login would keep a core busy for ten seconds and more.
const COST_MAX: u32 = 16;

/// The accounts of one file.
#[derive(Debug)]
pub(crate) struct Accounts {
    hashes: HashMap<String, String>,
    /// Of the costliest account, checked for names that nobody has, so that the time of an answer does not tell which
    /// names there are.
    decoy: Option<String>,
    /// Salted hashes of the passwords that were proven, one an account. Checking a password is slow by design, and
    /// clients send it with every request.
    proven: Mutex<HashMap<String, Digest>>,
    salt: [u8; 32],
    /// Bounds the cores that guesses can keep busy.
    checks: Semaphore,
}

impl Accounts {
    /// Reads a file.
    ///
    /// # Errors
    /// [`Kind::Invalid`] that names the line, else those of reading it.
    pub(crate) fn load(path: &Path) -> Result<Self> {
        let bytes = fs::read_limited(path, FILE_BYTES_MAX)?;
        let invalid = |problem| Error::new(Kind::Invalid, format!("{path:?}: {problem}"));
        let text = String::from_utf8(bytes).map_err(|_| invalid("it is not UTF-8".to_owned()))?;
        let hashes = parse(&text).map_err(invalid)?;
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let cost = |hash: &&String| HashParts::from_str(hash).map_or(0, |parts| parts.get_cost());
        Ok(Self {
            decoy: hashes.values().max_by_key(cost).cloned(),
            hashes,
            proven: Mutex::default(),
            salt: random()?,
            checks: Semaphore::new(cores.div_ceil(2)),
        })
    }

    /// Whether the password is the user's.
    pub(crate) async fn prove(&self, user: &str, password: Secret) -> bool {
        let fingerprint = self.fingerprint(user, &password);
        if self.proven().get(user) == Some(&fingerprint) {
            return true;
        }
        let known = self.hashes.get(user);
        let Some(hash) = known.or(self.decoy.as_ref()).cloned() else { return false };
        let Ok(_slot) = self.checks.acquire().await else { return false };
        let check = move || bcrypt::verify(password.expose(), &hash).unwrap_or(false);
        let is_right = tokio::task::spawn_blocking(check).await.unwrap_or(false) && known.is_some();
        if is_right {
            self.proven().insert(user.to_owned(), fingerprint);
        }
        is_right
    }

    fn fingerprint(&self, user: &str, password: &Secret) -> Digest {
        let mut hasher = Hasher::new(Algorithm::Sha256);
        hasher.update(&self.salt);
        // No name holds a colon.
        hasher.update(user.as_bytes());
        hasher.update(b":");
        hasher.update(password.expose().as_bytes());
        hasher.finish()
    }

    fn proven(&self) -> MutexGuard<'_, HashMap<String, Digest>> {
        self.proven.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Reads `<user>:<bcrypt hash>` lines. Empty lines and those that begin with `#` do not count.
///
/// # Errors
/// Names the line and what is wrong with it.
pub fn parse(text: &str) -> Result<HashMap<String, String>, String> {
    let mut hashes = HashMap::new();
    for (index, line) in text.lines().enumerate() {
        let (line, number) = (line.trim(), index + 1);
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let (user, hash) = line.split_once(':').ok_or_else(|| format!("line {number} is not <user>:<hash>"))?;
        if user.is_empty() || is_reserved(user) {
            return Err(format!("line {number}: no account can be called {user:?}"));
        }
        let parts = HashParts::from_str(hash)
            .map_err(|_| format!("line {number}: the hash of {user:?} is not bcrypt's; make it with htpasswd -B"))?;
        if parts.get_cost() > COST_MAX {
            return Err(format!("line {number}: the hash of {user:?} has a cost above {COST_MAX}"));
        }
        match hashes.entry(user.to_owned()) {
            Entry::Vacant(entry) => drop(entry.insert(hash.to_owned())),
            Entry::Occupied(_) => return Err(format!("line {number}: {user:?} is there twice")),
        }
    }
    Ok(hashes)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// "hunter2", made by Apache's htpasswd.
    const HASH: &str = "$2y$05$abcdefghijklmnopqrstuuoXuKqgZXLiJqzfmMXDDhSFPIvxV7t8.";

    #[test]
    fn only_bcrypt_is_taken() {
        let parsed = parse(&format!("# people\n\nbob:{HASH}\n")).expect("accounts");
        assert_eq!(parsed.get("bob").map(String::as_str), Some(HASH));
        for (line, problem) in [
            ("bob".to_owned(), "line 1 is not <user>:<hash>"),
            ("bob:$apr1$x$y".to_owned(), "line 1: the hash of \"bob\" is not bcrypt's"),
            ("bob:hunter2".to_owned(), "line 1: the hash of \"bob\" is not bcrypt's"),
            (format!("bob:{}", HASH.replace("$05$", "$31$")), "line 1: the hash of \"bob\" has a cost"),
            (format!("anonymous:{HASH}"), "line 1: no account can be called"),
            (format!(":{HASH}"), "line 1: no account can be called"),
            (format!("bob:{HASH}\nbob:{HASH}"), "line 2: \"bob\" is there twice"),
        ] {
            assert!(parse(&line).is_err_and(|error| error.starts_with(problem)), "{line}");
        }
    }

    #[tokio::test]
    async fn passwords_are_proven_and_remembered_for_their_user_only() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("htpasswd");
        fs::write_atomic(&path, format!("bob:{HASH}\neve:{HASH}\n").as_bytes(), 0o600, fs::Durability::Cached)
            .expect("the file");
        let accounts = Accounts::load(&path).expect("accounts");
        for _ in 0..2 {
            assert!(accounts.prove("bob", Secret::new("hunter2")).await);
            assert!(!accounts.prove("bob", Secret::new("hunter3")).await);
            assert!(!accounts.prove("bob", Secret::new("")).await);
            assert!(!accounts.prove("nobody", Secret::new("hunter2")).await);
        }
        assert_eq!(accounts.proven().len(), 1);
    }

    proptest! {
        #[test]
        fn any_text_is_read_without_panic(text in "(.{0,30}[:\\n$]){0,5}") {
            let _ = parse(&text);
        }
    }
}
