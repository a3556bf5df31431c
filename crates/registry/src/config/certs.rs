//! Folders of certificates: `certs.d/<registry>` of docker (docs.docker.com, "Verify repository client with certificates")
//! and podman (containers-certs.d(5)).

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use dhow_base::secret::Secret;
use dhow_base::{Error, Kind, Result, fs, limits};

/// What a registry is recognised by, and what this client shows to it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tls {
    /// Certificate authorities on top of the system's: where each was read, and its PEM text.
    pub(crate) authorities: Vec<(PathBuf, Vec<u8>)>,
    /// Client certificates with their keys: where each was read, and its PEM text.
    pub(crate) identities: Vec<(PathBuf, Secret)>,
}

impl Tls {
    pub(crate) fn is_empty(&self) -> bool {
        self.authorities.is_empty() && self.identities.is_empty()
    }

    /// Names the files, for messages.
    pub(crate) fn files(&self) -> String {
        let paths = self.authorities.iter().map(|(path, _)| path).chain(self.identities.iter().map(|(path, _)| path));
        paths.map(|path| format!("{path:?}")).collect::<Vec<_>>().join(", ")
    }

    /// Adds what a folder has for the registry that it is of: authorities in `*.crt`, certificates of this client in
    /// `*.cert` with their keys in `*.key`. A folder that is not there, or not for this user, has nothing.
    pub(super) fn add_folder(&mut self, folder: &Path) -> Result<()> {
        if super::read::is_absent(folder) {
            return Ok(());
        }
        let names = match names_in(folder) {
            Ok(names) => names,
            Err(error) if error.kind() == Kind::Denied => {
                tracing::debug!(%error, "certificates are not used");
                return Ok(());
            }
            Err(error) => return Err(error),
        };
        for name in &names {
            let path = folder.join(name);
            if name.ends_with(".crt") {
                self.add_authority(&path)?;
            } else if let Some(stem) = name.strip_suffix(".cert") {
                let key = format!("{stem}.key");
                if !names.contains(&key) {
                    let message = format!("missing key {key} for client certificate {name} in {folder:?}");
                    let error = Error::new(Kind::Invalid, message);
                    return Err(error.with_hint("certificates of authorities have the extension .crt"));
                }
                self.add_client(&path, Some(&folder.join(key)))?;
            } else if let Some(stem) = name.strip_suffix(".key")
                && !names.contains(&format!("{stem}.cert"))
            {
                let message = format!("missing client certificate {stem}.cert for key {name} in {folder:?}");
                return Err(Error::new(Kind::Invalid, message));
            }
        }
        Ok(())
    }

    /// Adds a file of certificate authorities.
    pub(super) fn add_authority(&mut self, path: &Path) -> Result<()> {
        let pem = fs::read_limited(path, limits::API_BODY_BYTES_MAX)?;
        // Checked here, where the file can be named.
        reqwest::Certificate::from_pem_bundle(&pem)
            .ok()
            .filter(|found| !found.is_empty())
            .ok_or_else(|| Error::new(Kind::Invalid, format!("{path:?} has no certificates in PEM form")))?;
        self.authorities.push((path.to_owned(), pem));
        Ok(())
    }

    /// Adds a certificate of this client; its key is in the same file where none is named.
    pub(super) fn add_client(&mut self, path: &Path, key: Option<&Path>) -> Result<()> {
        let mut pem = fs::read_limited(path, limits::API_BODY_BYTES_MAX)?;
        if let Some(key) = key {
            pem.push(b'\n');
            pem.extend(fs::read_limited(key, limits::API_BODY_BYTES_MAX)?);
        }
        let unusable = || {
            let key = key.map_or_else(String::new, |key| format!(" and {key:?}"));
            Error::new(Kind::Invalid, format!("{path:?}{key}: no certificate with an unencrypted key in PEM form"))
        };
        reqwest::Identity::from_pem(&pem).map_err(|_| unusable())?;
        self.identities.push((path.to_owned(), Secret::new(String::from_utf8(pem).map_err(|_| unusable())?)));
        Ok(())
    }
}

/// What to do about a registry that lets nobody in without a certificate.
pub(crate) fn wanted(registry: &str) -> String {
    format!(
        "{registry} wants a client certificate: put it and its key into client.cert and client.key below \
         /etc/docker/certs.d/{registry} or ~/.config/docker/certs.d/{registry}"
    )
}

fn names_in(folder: &Path) -> Result<BTreeSet<String>> {
    let failed = |error| Error::io(format_args!("cannot read {folder:?}"), error);
    let mut names = BTreeSet::new();
    for entry in std::fs::read_dir(folder).map_err(failed)? {
        // Names that are no text have none of the extensions.
        names.extend(entry.map_err(failed)?.file_name().into_string());
    }
    Ok(names)
}
