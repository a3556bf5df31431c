//! `append`: an image with more layers, or one of nothing but them.

use std::collections::HashMap;

use dhow_base::{Error, Kind, Result};
use dhow_spec::config::RunConfig;
use dhow_spec::{Descriptor, Digest, ImageConfig, ImageManifest, MediaType, Reference};

use crate::context::Context;
use crate::mutate::append as put_layers;
use crate::remake::{
    Change, Common, Destination, Image, LayerFile, NO_TIME, Remade, Shop, finish, put_config, remake, written_manifest,
};
use crate::transport::{Joined, Location, open};

/// Annotation with the name of the image that an image is built on (OCI image-spec, annotations.md).
pub(crate) const BASE_NAME: &str = "org.opencontainers.image.base.name";

/// Annotation with the digest of the image that an image is built on.
pub(crate) const BASE_DIGEST: &str = "org.opencontainers.image.base.digest";

/// What to append, and how.
#[derive(Debug)]
pub struct Request {
    /// The base, and where the result goes.
    pub common: Common,
    /// The layers, in order.
    pub layers: Vec<LayerFile>,
    /// Annotates the result with what it is based on.
    pub annotate_base: bool,
    /// Without a base, the media types are OCI's instead of docker's.
    pub is_oci: bool,
}

/// Appends.
///
/// # Errors
/// Those of the places and of layers; [`Kind::Invalid`] when there is neither a base nor a name for the result.
pub async fn append(context: &Context, request: &Request) -> Result<Remade> {
    match &request.common.image {
        None => upon_nothing(context, request).await,
        Some(base) => {
            let mut appending = Appending { layers: &request.layers, annotations: HashMap::new() };
            if request.annotate_base {
                appending.annotations = based_on(context, base).await?;
            }
            remake(context, &request.common, &mut appending).await
        }
    }
}

struct Appending<'a> {
    layers: &'a [LayerFile],
    annotations: HashMap<String, String>,
}

impl Change for Appending<'_> {
    async fn apply(&mut self, shop: &mut Shop<'_>, image: &mut Image) -> Result<()> {
        put_layers(shop, image, self.layers)?;
        image.manifest.annotations.extend(self.annotations.clone());
        Ok(())
    }
}

/// The annotations that say what a base is.
async fn based_on(context: &Context, base: &Location) -> Result<HashMap<String, String>> {
    let root = open(context, base).await?.root;
    let digest = (BASE_DIGEST.to_owned(), root.descriptor().digest.to_string());
    let name = name_of(context, base)?.map(|name| (BASE_NAME.to_owned(), name.to_string()));
    Ok(std::iter::once(digest).chain(name).collect())
}

/// The full name that a base has, if it has a tag.
///
/// # Errors
/// That the local store has no such image.
pub(crate) fn name_of(context: &Context, base: &Location) -> Result<Option<Reference>> {
    let name = match base {
        Location::Registry(reference) => Some(reference.clone().with_default_tag()),
        Location::Store(name) => context.find(name)?.reference,
        _ => None,
    };
    Ok(name.filter(|name| name.digest().is_none()))
}

async fn upon_nothing(context: &Context, request: &Request) -> Result<Remade> {
    let Some(target) = &request.common.target else {
        return Err(
            Error::new(Kind::Invalid, "what is made without a base needs a name").with_hint("give it with --tag")
        );
    };
    let mut shop = Shop::new(context, Joined::default(), &request.common);
    let config_type = if request.is_oci { MediaType::OciConfig } else { MediaType::DockerConfig };
    let mut manifest = ImageManifest::new(Descriptor::new(config_type, Digest::sha256(b""), 0), Vec::new());
    if !request.is_oci {
        manifest.media_type = MediaType::DockerManifest;
    }
    let created = request.common.created.clone().unwrap_or_else(|| NO_TIME.to_owned());
    let config = ImageConfig { created: Some(created), config: Some(RunConfig::default()), ..ImageConfig::default() };
    let mut image = Image { digest: Digest::sha256(b""), manifest, config };
    put_layers(&mut shop, &mut image, &request.layers)?;
    put_config(&mut shop, &mut image)?;
    let destination = Destination::of(context, target, &request.common)?;
    finish(&shop, vec![written_manifest(&image.manifest)?], destination, None, None).await
}
