//! Whose rules names follow: how a name is looked up here, what a new name means, how names are shown.
//!
//! Names are kept the same whoever gave them: with their registry. Docker takes a name without one for Docker Hub's; podman
//! looks for one of this machine first (`localhost/`), and gives new names there.

use dhow_base::{Error, Kind, Result};
use dhow_spec::Digest;
use dhow_spec::reference::{Reference, ReferenceError};
use dhow_store::{Found, Image, MatchedBy, Store, Update};

/// The registry that stands for this machine: nothing is ever pulled from it.
const THIS_MACHINE: &str = "localhost";

/// Whose rules names follow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Naming {
    /// Docker's.
    #[default]
    Docker,
    /// Podman's (containers/common `libimage`, containers/image `shortnames`).
    Podman,
}

/// Where images are looked up: the store, or a change of it that is under way.
pub(crate) trait Lookup {
    fn find(&self, text: &str) -> Result<Found>;
    fn images(&self) -> Result<Vec<Image>>;
    /// The names with tags of one image.
    fn names(&self, id: &Digest) -> Result<Vec<Reference>>;
}

impl Lookup for Store {
    fn find(&self, text: &str) -> Result<Found> {
        Store::find(self, text)
    }

    fn images(&self) -> Result<Vec<Image>> {
        Store::images(self)
    }

    fn names(&self, id: &Digest) -> Result<Vec<Reference>> {
        self.references_of(id)
    }
}

impl Lookup for Update<'_> {
    fn find(&self, text: &str) -> Result<Found> {
        Update::find(self, text)
    }

    fn images(&self) -> Result<Vec<Image>> {
        Update::images(self)
    }

    fn names(&self, id: &Digest) -> Result<Vec<Reference>> {
        self.references_of(id)
    }
}

impl Naming {
    /// Finds an image by anything that stands for one. `configured` are the full names that a short one may stand for by the
    /// configuration of registries, best first.
    ///
    /// # Errors
    /// [`Kind::NotFound`] when nothing does, [`Kind::Invalid`] for what can be no name, both in the tool's words.
    pub(crate) fn find(self, place: &impl Lookup, text: &str, configured: &[Reference]) -> Result<Found> {
        match self {
            Naming::Docker => {
                // As `pull` has it: what is configured comes before what docker takes a short name for.
                for name in configured {
                    if let Some(found) = found(place.find(&name.clone().with_default_tag().to_string()))? {
                        return Ok(found);
                    }
                }
                place.find(text)
            }
            Naming::Podman => find_as_podman(place, text, configured),
        }
    }

    /// The full name that a name given here gets.
    ///
    /// # Errors
    /// [`Kind::Invalid`] for what can be none.
    pub fn given(self, text: &str) -> Result<Reference> {
        let reference = match self {
            Naming::Podman if is_short(text) => Reference::parse(&format!("{THIS_MACHINE}/{text}")),
            Naming::Docker | Naming::Podman => Reference::parse(text),
        };
        match (self, reference) {
            (_, Ok(reference)) => Ok(reference.with_default_tag()),
            (Naming::Docker, Err(error)) => Err(error.into()),
            (Naming::Podman, Err(error)) => {
                let why = in_podman_s_words(text, &error);
                Err(Error::new(Kind::Invalid, format!("normalizing name {text:?}: normalizing name {text:?}: {why}")))
            }
        }
    }

    /// A name as the tool shows it: shortened, or in full.
    pub fn shown(self, reference: &Reference) -> String {
        match self {
            Naming::Docker => reference.familiar(),
            Naming::Podman => reference.to_string(),
        }
    }
}

/// Whether a name has no registry in it.
fn is_short(text: &str) -> bool {
    match text.split_once('/') {
        Some((first, _)) => !(first.contains(['.', ':']) || first == THIS_MACHINE),
        None => true,
    }
}

/// Podman's order: an ID or the beginning of one, then full names, then the names that a short one may stand for, then any
/// name that ends so.
fn find_as_podman(place: &impl Lookup, text: &str, configured: &[Reference]) -> Result<Found> {
    if let Some(hex) = text.strip_prefix("sha256:") {
        if !is_hex(hex) || hex.len() != 64 {
            return Err(Error::new(Kind::Invalid, format!("{text}: invalid format: no 64-byte hexadecimal value")));
        }
        return found(place.find(text))?.ok_or_else(|| not_known(text));
    }
    if let Some((transport, _)) = text.split_once("://") {
        let message = format!("unsupported transport {transport:?} for looking up local images");
        return Err(Error::new(Kind::Invalid, message));
    }
    if is_hex(text)
        && let Some(found) = found(place.find(&format!("sha256:{text}")))?
        && found.matched_by != MatchedBy::Name
    {
        return Ok(found);
    }
    let candidates = candidates(text)?;
    let configured = configured.iter().map(|name| name.clone().with_default_tag());
    for candidate in &configured.chain(candidates.iter().cloned()).collect::<Vec<_>>() {
        if let Some(found) = found(place.find(&candidate.to_string()))? {
            return Ok(found);
        }
        if let Some(found) = by_digest(place, candidate)? {
            return Ok(found);
        }
    }
    match candidates.first() {
        Some(wanted) if is_short(text) => by_ending(place, wanted)?.ok_or_else(|| not_known(text)),
        _ => Err(not_known(text)),
    }
}

/// The full names that a text may stand for, best first.
fn candidates(text: &str) -> Result<Vec<Reference>> {
    let invalid = |error: ReferenceError| Error::new(Kind::Invalid, in_podman_s_words(text, &error));
    if is_hex(text) && text.len() == 64 {
        return Ok(Vec::new());
    }
    let hub = Reference::parse(text).map_err(invalid)?.with_default_tag();
    if !is_short(text) {
        return Ok(vec![hub]);
    }
    let local = Reference::parse(&format!("{THIS_MACHINE}/{text}")).map_err(invalid)?.with_default_tag();
    Ok(vec![local, hub])
}

/// An image of a digest that has any name in the repository: podman knows every name by every digest.
fn by_digest(place: &impl Lookup, wanted: &Reference) -> Result<Option<Found>> {
    let Some(digest) = wanted.digest() else { return Ok(None) };
    let Some(found) = found(place.find(digest.as_str()))? else { return Ok(None) };
    let names = place.names(&found.image_id)?;
    let is_named = names.iter().any(|name| name.repository() == wanted.repository());
    Ok(is_named.then(|| Found { reference: names.first().cloned(), ..found }))
}

/// An image with a name whose last parts are those of `wanted`, and the same tag or digest.
fn by_ending(place: &impl Lookup, wanted: &Reference) -> Result<Option<Found>> {
    let ending = format!("/{}", wanted.repository().path());
    for image in place.images()? {
        let digests = image.repo_digests.iter();
        let digests = digests.map(|(repository, digest)| Reference::from_digest(repository.clone(), digest.clone()));
        let mut names = image.references.iter().cloned().chain(digests);
        let fits = |name: &Reference| {
            name.repository().name().ends_with(&ending)
                && match wanted.digest() {
                    Some(digest) => name.digest() == Some(digest),
                    None => name.tag() == wanted.tag(),
                }
        };
        if let Some(name) = names.find(fits) {
            return place.find(&name.to_string()).map(Some);
        }
    }
    Ok(None)
}

fn found(result: Result<Found>) -> Result<Option<Found>> {
    match result {
        Ok(found) => Ok(Some(found)),
        Err(error) if error.kind() == Kind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Podman's sentence for what nothing here is called.
pub(crate) fn not_known(text: &str) -> Error {
    Error::new(Kind::NotFound, format!("{text}: image not known"))
}

fn is_hex(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// The words of distribution/reference that podman shows.
fn in_podman_s_words(text: &str, error: &ReferenceError) -> String {
    match error {
        _ if text.is_empty() => "repository name must have at least one component".to_owned(),
        ReferenceError::Uppercase(_) => "repository name must be lowercase".to_owned(),
        ReferenceError::InvalidFormat | ReferenceError::Digest(_) => "invalid reference format".to_owned(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn new_names_of_podman_are_this_machine_s() {
        let given = |text: &str| Naming::Podman.given(text).map(|name| name.to_string());
        assert_eq!(given("web").unwrap(), "localhost/web:latest");
        assert_eq!(given("acme/web:1").unwrap(), "localhost/acme/web:1");
        assert_eq!(given("localhost/web:1").unwrap(), "localhost/web:1");
        assert_eq!(given("docker.io/web").unwrap(), "docker.io/library/web:latest");
        assert_eq!(given("host:5000/web").unwrap(), "host:5000/web:latest");
        let refusal = "normalizing name \"Web\": normalizing name \"Web\": repository name must be lowercase";
        assert_eq!(given("Web").unwrap_err().to_string(), refusal);
        assert!(given("").unwrap_err().to_string().ends_with("repository name must have at least one component"));
        assert_eq!(Naming::Docker.given("web").unwrap().to_string(), "docker.io/library/web:latest");
    }

    #[test]
    fn short_names_stand_for_several() {
        let shown = |text: &str| candidates(text).unwrap().iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(shown("web"), ["localhost/web:latest", "docker.io/library/web:latest"]);
        assert_eq!(shown("acme/web:1"), ["localhost/acme/web:1", "docker.io/acme/web:1"]);
        assert_eq!(shown("quay.io/web"), ["quay.io/web:latest"]);
        assert_eq!(candidates("no pe").unwrap_err().to_string(), "invalid reference format");
    }
}
