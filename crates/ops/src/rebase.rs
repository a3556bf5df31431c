//! `rebase`: an image on another base, without building it again.

use dhow_base::{Error, Kind, Result};
use dhow_content::read_document;
use dhow_spec::config::History;
use dhow_spec::{Descriptor, Digest, ImageIndex, Reference};

use crate::append::{BASE_DIGEST, BASE_NAME, name_of};
use crate::context::Context;
use crate::outgoing::fitting;
use crate::remake::{
    Common, Destination, Image, Remade, Shop, choose_image, finish, put_config, read_image, written_manifest,
};
use crate::transport::{Joined, Location, Opened, open};

/// What to rebase, from where to where.
#[derive(Clone, Debug)]
pub struct Request {
    /// The image, and where the result goes.
    pub common: Common,
    /// The base that it has; by default what its annotations say.
    pub old_base: Option<Location>,
    /// The base that it gets; by default what the name of its base stands for now.
    pub new_base: Option<Location>,
}

/// Rebases: the layers above the old base go on top of the new one, unchanged. The architecture and operating system are those
/// of the new base, everything else of the config is the image's. The result is annotated with its base, for the next time.
///
/// # Errors
/// [`Kind::Invalid`] when the image does not have the old base, or nothing says what the bases are; those of the places.
pub async fn rebase(context: &Context, request: &Request) -> Result<Remade> {
    let common = &request.common;
    let location = common.image.as_ref().ok_or_else(|| Error::new(Kind::Internal, "there is no image to rebase"))?;
    let chosen = choose_image(context, location, common).await?;
    let Some(manifest) = chosen.root.document().as_manifest() else {
        let message = format!("{location} is an index: rebase takes one platform at a time");
        return Err(Error::new(Kind::Unsupported, message).with_hint("choose it with --platform"));
    };
    let original = read_image(&Joined::of(&chosen.opened.source), &chosen.root, manifest).await;
    let original = original.map_err(|error| chosen.opened.explain(error))?;
    let (old, new) = bases(location, request, &original)?;
    let base = Base::open(context, &new, &original).await?;
    let below = Base::open(context, &old, &original).await?;
    let name = name_of(context, &new)?;
    let mut source = Joined::of(&chosen.opened.source);
    source.add(&base.opened.source, base.image.manifest.layers.iter().map(|layer| layer.digest.clone()));
    let mut shop = Shop::new(context, source, common);
    let mut image = rebased(&original, &below.image, &base.image)?;
    image.manifest.annotations.insert(BASE_DIGEST.to_owned(), base.opened.root.descriptor().digest.to_string());
    match name {
        Some(name) => image.manifest.annotations.insert(BASE_NAME.to_owned(), name.to_string()),
        // A name of the old base would be a lie.
        None => image.manifest.annotations.remove(BASE_NAME),
    };
    let is_same = image.config == original.config && image.manifest == original.manifest;
    let document = if is_same {
        chosen.root.clone()
    } else {
        if image.config != original.config {
            if let Some(created) = &shop.created {
                image.config.created = Some(created.clone());
            }
            put_config(&mut shop, &mut image)?;
        }
        written_manifest(&image.manifest)?
    };
    let destination = Destination::of(context, location, common)?;
    let note = is_same.then(|| format!("{location} has the base already: nothing was changed"));
    let finished = finish(&shop, vec![document], destination, Some(original.digest), note).await;
    finished.map_err(|error| base.opened.explain(chosen.opened.explain(error)))
}

/// The old and the new base, as the user or the image's annotations name them.
fn bases(image: &Location, request: &Request, original: &Image) -> Result<(Location, Location)> {
    let annotation = |key: &str| original.manifest.annotations.get(key).filter(|text| !text.is_empty());
    let unknown = |which: &str, key: &str, option: &str| {
        let message = format!("nothing says what the {which} base of {image} is: it has no annotation {key}");
        Error::new(Kind::Invalid, message).with_hint(format!("give it with {option}"))
    };
    let new = match &request.new_base {
        Some(new) => new.clone(),
        None => {
            let name = annotation(BASE_NAME).ok_or_else(|| unknown("new", BASE_NAME, "--new_base"))?;
            let invalid = |error: Error| error.context(format_args!("annotation {BASE_NAME} of {image}"));
            match Reference::parse(name).map_err(|error| invalid(error.into()))? {
                reference if matches!(image, Location::Store(_)) => Location::Store(reference.to_string()),
                reference => Location::Registry(reference),
            }
        }
    };
    if let Some(old) = &request.old_base {
        return Ok((old.clone(), new));
    }
    let digest = annotation(BASE_DIGEST).ok_or_else(|| unknown("old", BASE_DIGEST, "--old_base"))?;
    let digest = Digest::parse(digest)
        .map_err(|error| Error::new(Kind::Invalid, format!("annotation {BASE_DIGEST} of {image}: {error}")))?;
    let old = match &new {
        Location::Registry(reference) => {
            Location::Registry(Reference::from_digest(reference.repository().clone(), digest))
        }
        Location::Store(_) => Location::Store(digest.to_string()),
        _ => return Err(unknown("old", BASE_DIGEST, "--old_base")),
    };
    Ok((old, new))
}

/// A base, of the platform of the image.
struct Base {
    opened: Opened,
    image: Image,
}

impl Base {
    async fn open(context: &Context, location: &Location, like: &Image) -> Result<Self> {
        let opened = open(context, location).await.map_err(|error| error.context(format_args!("base {location}")))?;
        let document = match opened.root.document().as_index() {
            None => opened.root.clone(),
            Some(index) => {
                let platform = like.config.platform();
                let member = of_platform(index, &platform).ok_or_else(|| {
                    Error::new(Kind::NotFound, format!("base {location} has no image for {platform}"))
                })?;
                read_document(&opened.source, member).await?
            }
        };
        let manifest = document.document().as_manifest().cloned();
        let manifest = manifest.ok_or_else(|| Error::new(Kind::Unsupported, format!("base {location} is no image")))?;
        let image = read_image(&Joined::of(&opened.source), &document, &manifest).await;
        let image = image.map_err(|error| error.context(format_args!("base {location}")))?;
        Ok(Self { opened, image })
    }
}

fn of_platform<'i>(index: &'i ImageIndex, platform: &dhow_spec::Platform) -> Option<&'i Descriptor> {
    let matcher = dhow_spec::platform::Matcher::ordered(platform);
    let images = index.manifests.iter().filter(|member| member.media_type.is_manifest() && !member.is_attestation());
    fitting(images, &matcher)
}

/// The image on its new base.
fn rebased(original: &Image, old: &Image, new: &Image) -> Result<Image> {
    let not_based = |why: String| {
        let message = format!("image {} is not based on {} ({why})", original.digest, old.digest);
        Error::new(Kind::Invalid, message).with_hint("give its base with --old_base")
    };
    let count = old.manifest.layers.len();
    if count > original.manifest.layers.len() {
        return Err(not_based("too few layers".to_owned()));
    }
    // Compressed anew, a layer is still the same one.
    let differs =
        old.config.rootfs.diff_ids.iter().zip(&original.config.rootfs.diff_ids).position(|(one, other)| one != other);
    if let Some(position) = differs {
        return Err(not_based(format!("layer {position} mismatch")));
    }
    let mut image = original.clone();
    image.config.architecture.clone_from(&new.config.architecture);
    image.config.os.clone_from(&new.config.os);
    image.config.os_version.clone_from(&new.config.os_version);
    image.config.variant.clone_from(&new.config.variant);
    image.config.os_features.clone_from(&new.config.os_features);
    image.manifest.layers = joined(&new.manifest.layers, &original.manifest.layers[count..]);
    image.config.rootfs.diff_ids = joined(&new.config.rootfs.diff_ids, &original.config.rootfs.diff_ids[count..]);
    image.config.history = joined(&new.config.history, above(&original.config.history, &old.config.history, count));
    Ok(image)
}

fn joined<T: Clone>(below: &[T], above: &[T]) -> Vec<T> {
    [below, above].concat()
}

/// The steps of an image above those of its base. Where the history of the base is not the beginning of the image's, it is
/// what follows the step of the base's last layer.
fn above<'h>(history: &'h [History], base: &[History], layers: usize) -> &'h [History] {
    if history.starts_with(base) {
        return &history[base.len()..];
    }
    let mut ends = history.iter().enumerate().filter(|(_, step)| !step.empty_layer).map(|(position, _)| position + 1);
    let end = if layers == 0 { Some(0) } else { ends.nth(layers - 1) };
    &history[end.unwrap_or(history.len())..]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(text: &str, empty_layer: bool) -> History {
        History { created_by: Some(text.to_owned()), empty_layer, ..History::default() }
    }

    #[test]
    fn the_history_is_cut_where_the_base_ends() {
        let base = [step("a", false), step("b", true)];
        let image = [step("a", false), step("b", true), step("c", false)];
        assert_eq!(above(&image, &base, 1), &image[2..]);
        // Another history of the same layers.
        assert_eq!(above(&image, &[step("x", false)], 1), &image[1..]);
        assert_eq!(above(&image, &[step("x", false)], 0), &image[..]);
        assert_eq!(above(&image, &[step("x", false)], 9), &image[3..]);
    }
}
