//! Credential helpers that behave well or badly: the end of a helper's name is its character.

#![allow(clippy::disallowed_methods, reason = "makes a scratch folder")]

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// The one program that all of them are.
const PROGRAM: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src/helper/docker-credential-test");

/// A folder with credential helpers, to be put on a search path.
#[derive(Debug)]
pub struct Helpers {
    folder: PathBuf,
}

impl Helpers {
    /// Puts helpers into `folder`: `good`, `other` and `pass` keep what they are given; `sad` fails; `empty` never has
    /// anything; `gcloud`, `ecr-login` and `acr-env` have what [`Helpers::keep`] gave them, and store nothing; `echo`, `halfway` and `garbage` would give away secrets; `endless`, `slow` and `daemon` never come to an end.
    ///
    /// # Errors
    /// The operating system's.
    pub fn install(folder: &Path, characters: &[&str]) -> io::Result<Self> {
        fs::create_dir_all(folder)?;
        for character in characters {
            // Links: a program that was just written may be busy in a process that another thread is starting.
            std::os::unix::fs::symlink(PROGRAM, folder.join(format!("docker-credential-{character}")))?;
        }
        Ok(Self { folder: folder.to_owned() })
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Puts a credential into a helper's keychain.
    ///
    /// # Errors
    /// The operating system's.
    pub fn keep(&self, character: &str, server: &str, user: &str, secret: &str) -> io::Result<()> {
        let keychain = self.folder.join(format!("keychain-{character}"));
        fs::create_dir_all(&keychain)?;
        let entry = serde_json::json!({ "ServerURL": server, "Username": user, "Secret": secret });
        fs::write(keychain.join(server.replace(['/', ':'], "_")), entry.to_string())
    }

    /// What a helper was asked for: lines of an action and a server.
    pub fn log(&self, character: &str) -> Vec<String> {
        let log = fs::read_to_string(self.folder.join(format!("log-{character}"))).unwrap_or_default();
        log.lines().map(|line| line.trim_end().to_owned()).collect()
    }
}
