//! `tag`: another name for an image.

use dhow_base::{Error, Kind, Result};
use dhow_spec::Reference;

use crate::context::Context;
use crate::last_use;
use crate::manifest;
use crate::names;
use crate::naming::Naming;

/// Makes every one of `targets` stand for what `source` (name, digest, ID or ID prefix) stands for, or none. An image that
/// loses its last name this way stays, without a name.
///
/// # Errors
/// [`Kind::Invalid`] and [`Kind::NotFound`] in docker's words.
pub fn tag(context: &Context, source: &str, targets: &[String]) -> Result<()> {
    let naming = context.naming();
    if naming == Naming::Podman {
        // Podman looks for the image before it reads the names.
        match context.find(source) {
            Err(error) if error.kind() == Kind::NotFound => return tag_list(context, source, targets, error),
            found => found?,
        };
    }
    let targets: Vec<Reference> = targets.iter().map(|target| target_in(naming, target)).collect::<Result<_>>()?;
    let found = context.find(source)?;
    let store = context.store()?;
    store.tag_all(&found.target, &targets)?;
    last_use::note(store, [&found.image_id]);
    Ok(())
}

/// To podman a list of manifests is an image: where no image has the name, `absent` says so unless a list has it.
fn tag_list(context: &Context, source: &str, targets: &[String], absent: Error) -> Result<()> {
    let list = manifest::named(context, source)?.ok_or(absent)?;
    let targets: Vec<Reference> =
        targets.iter().map(|target| target_in(Naming::Podman, target)).collect::<Result<_>>()?;
    manifest::copy_to(context, &list, &targets)
}

fn target_in(naming: Naming, text: &str) -> Result<Reference> {
    match naming {
        Naming::Docker => parse_target(text),
        Naming::Podman if text.contains('@') || text.starts_with("sha256:") => {
            Err(Error::new(Kind::Invalid, format!("{text}: tag by digest not supported")))
        }
        Naming::Podman => naming.given(text),
    }
}

fn parse_target(text: &str) -> Result<Reference> {
    let reference = names::parse(text).map_err(|error| {
        error.context(format_args!("Error parsing reference: \"{text}\" is not a valid repository/tag"))
    })?;
    if reference.digest().is_some() {
        return Err(Error::new(Kind::Invalid, "refusing to create a tag with a digest reference"));
    }
    let reference = reference.with_default_tag();
    if reference.repository().familiar() == "sha256" {
        let message = "refusing to create an ambiguous tag using digest algorithm as name";
        return Err(Error::new(Kind::Invalid, message));
    }
    Ok(reference)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(target: &str) -> String {
        parse_target(target).map(|reference| reference.to_string()).unwrap_err().to_string()
    }

    #[test]
    fn refuses_in_dockers_words() {
        assert_eq!(
            refusal("Acme/Web"),
            "Error parsing reference: \"Acme/Web\" is not a valid repository/tag: \
             invalid reference format: repository name (Web) must be lowercase"
        );
        let digest = format!("acme/web@sha256:{}", "ab".repeat(32));
        assert_eq!(refusal(&digest), "refusing to create a tag with a digest reference");
        assert_eq!(refusal("sha256:x"), "refusing to create an ambiguous tag using digest algorithm as name");
    }
}
