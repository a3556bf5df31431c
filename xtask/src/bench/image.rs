//! The image that is moved: a Debian with compilers and interpreters, at least 400 MB unpacked, in six gzip layers.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use dhow_testkit::debian;
use dhow_testkit::images::{Blob, Compression, Entry, Format, Layer, Layout, Recipe, tar_of};
use serde::{Deserialize, Serialize};

const PACKAGES: &str = "ca-certificates,curl,git,g++,make,python3,perl,openssh-client,gnupg,less,procps";

/// The smallest honest image: what is smaller measures start-up, not movement.
const UNPACKED_BYTES_MIN: u64 = 400_000_000;

/// How the tree is cut into layers, as a Dockerfile with a few steps would: folders of each, the rest first.
const CUTS: [&[&str]; 5] = [
    &["usr/lib/gcc", "usr/include"],
    &["usr/lib/x86_64-linux-gnu", "usr/lib/aarch64-linux-gnu"],
    &["usr/lib"],
    &["usr/share"],
    &["usr/bin", "usr/sbin"],
];

/// An image in the cache.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Image {
    /// The OCI layout it is in.
    pub(crate) layout: PathBuf,
    /// Digest of the manifest.
    pub(crate) digest: String,
    /// Stored bytes of its layers.
    pub(crate) compressed_bytes: u64,
    /// Bytes of its layers' tar streams.
    pub(crate) unpacked_bytes: u64,
    /// Stored bytes of each layer.
    pub(crate) layer_bytes: Vec<u64>,
}

/// The image itself, and four others that unpack to the same but share no blob with it or each other.
#[derive(Serialize, Deserialize)]
pub(crate) struct Images {
    pub(crate) main: Image,
    pub(crate) variants: Vec<Image>,
}

/// The images, made on the first call (one to three minutes) and kept in `cache`.
pub(crate) fn obtain(cache: &Path) -> Result<Images> {
    let record = cache.join("images.json");
    if let Ok(text) = fs::read(&record)
        && let Ok(images) = serde_json::from_slice::<Images>(&text)
        && images.main.layout.join("index.json").is_file()
    {
        return Ok(images);
    }
    let tree = cache.join("rootfs");
    println!("   making a Debian system in {} and cutting it into layers (once, some minutes)", cache.display());
    debian::tree(&tree, PACKAGES).context("cannot make a Debian system")?;
    let layers = cut(&tree, &cache.join("oci"))?;
    let main = assemble(&cache.join("oci"), &layers, "main")?;
    if main.unpacked_bytes < UNPACKED_BYTES_MIN {
        bail!("the image has only {} bytes unpacked; at least {UNPACKED_BYTES_MIN} are needed", main.unpacked_bytes);
    }
    let variants = (1..=4)
        .map(|number| variant(&cache.join("oci"), &layers, &cache.join(format!("variant-{number}")), number))
        .collect::<Result<_>>()?;
    let images = Images { main, variants };
    fs::write(&record, serde_json::to_vec_pretty(&images)?)?;
    Ok(images)
}

/// Files that the large image has beside those of the Debian, and how long each is on average, in bytes.
const LARGE_FILES: usize = 42_000;
const LARGE_FILE_BYTES: usize = 13_000;

/// Layers that they are in.
const LARGE_LAYERS: usize = 3;

/// An image of more than 1 GB in more than 40,000 files: the layers of `main`, and others on top whose files are made, the same every
/// time, of words as programs and texts have them. Made on the first call and kept in `cache`.
pub(crate) fn large(cache: &Path, main: &Image) -> Result<Image> {
    let target = cache.join("large");
    let record = cache.join("large.json");
    if let Ok(text) = fs::read(&record)
        && let Ok(image) = serde_json::from_slice::<Image>(&text)
        && image.layout.join("index.json").is_file()
    {
        return Ok(image);
    }
    println!("   making an image of many files in {} (once)", target.display());
    let _ = fs::remove_dir_all(&target);
    let (source, layout) = (Layout::open(&main.layout)?, Layout::create(&target)?);
    let mut layers = Vec::new();
    for layer in layers_of(&source, main)? {
        let bytes = fs::read(source.path(&layer.blob.digest))?;
        let blob: Blob = layout.blob(&layer.blob.media_type, &bytes)?;
        layers.push(Layer { blob, ..layer });
    }
    for number in 0..LARGE_LAYERS {
        let (names, contents) = made_files(number);
        let entries: Vec<Entry<'_>> = names
            .iter()
            .zip(&contents)
            .map(|(path, content)| Entry { path, mode: 0o644, content: content.as_slice() })
            .collect();
        layers.push(layout.layer(&*tar_of(&entries)?, Format::Oci, Compression::Gzip)?);
    }
    let image = assemble(&target, &layers, "main")?;
    fs::write(&record, serde_json::to_vec_pretty(&image)?)?;
    Ok(image)
}

/// The layers of an image that was made before. Their lengths were only kept together: the first has that of all.
fn layers_of(layout: &Layout, image: &Image) -> Result<Vec<Layer>> {
    let read = |digest: &str| -> Result<serde_json::Value> {
        Ok(serde_json::from_slice(&fs::read(layout.path(digest)).with_context(|| format!("cannot read {digest}"))?)?)
    };
    let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
    let manifest = read(&image.digest)?;
    let config = read(&text(&manifest["config"]["digest"]))?;
    let layers = manifest["layers"].as_array().context("a manifest without layers")?;
    let diff_ids = config["rootfs"]["diff_ids"].as_array().context("a config without layers")?;
    let layers = layers.iter().zip(diff_ids).enumerate().map(|(number, (layer, diff_id))| Layer {
        blob: Blob {
            media_type: text(&layer["mediaType"]),
            digest: text(&layer["digest"]),
            size: layer["size"].as_u64().unwrap_or_default(),
        },
        diff_id: text(diff_id),
        uncompressed_size: if number == 0 { image.unpacked_bytes } else { 0 },
    });
    Ok(layers.collect())
}

/// The files of one layer.
fn made_files(layer: usize) -> (Vec<String>, Vec<Vec<u8>>) {
    let count = LARGE_FILES / LARGE_LAYERS;
    // xorshift64 (Marsaglia 2003): the same numbers every time.
    let mut state = 0x9e37_79b9_7f4a_7c15_u64 ^ (layer as u64 + 1);
    let mut next = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    let words: Vec<Vec<u8>> =
        (0..4096).map(|_| (0..3 + next() % 9).map(|_| b'a' + (next() % 26) as u8).chain([b' ']).collect()).collect();
    let names = (0..count).map(|file| format!("srv/data/{layer}/{}/file-{file}", file % 140)).collect();
    let contents = (0..count).map(|_| {
        let length = LARGE_FILE_BYTES / 2 + (next() as usize) % LARGE_FILE_BYTES;
        let mut content = Vec::with_capacity(length + 16);
        while content.len() < length {
            content.extend_from_slice(&words[(next() % 4096) as usize]);
        }
        content
    });
    (names, contents.collect())
}

fn cut(tree: &Path, target: &Path) -> Result<Vec<Layer>> {
    // What an interrupted run left.
    let _ = fs::remove_dir_all(target);
    let layout = Layout::create(target)?;
    let mut layers = Vec::new();
    for number in 0..=CUTS.len() {
        let mut tar = Command::new("tar");
        tar.current_dir(tree).args(["--sort=name", "--numeric-owner", "--format=pax", "--create", "--file=-"]);
        // Exclusions are anchored: `usr/lib` is a folder of the tree, not any folder of that name.
        tar.arg("--anchored");
        let taken = if number == 0 { CUTS.concat() } else { CUTS[..number - 1].concat() };
        let wanted: Vec<&str> = match number {
            0 => vec!["."],
            _ => CUTS[number - 1].iter().copied().filter(|folder| tree.join(folder).is_dir()).collect(),
        };
        let prefix = if number == 0 { "./" } else { "" };
        tar.args(taken.iter().map(|folder| format!("--exclude={prefix}{folder}/*")));
        let mut child = tar.args(wanted).stdout(Stdio::piped()).spawn().context("cannot run tar")?;
        let stream = child.stdout.take().context("tar has no output")?;
        layers.push(layout.layer(stream, Format::Oci, Compression::Gzip)?);
        if !child.wait()?.success() {
            bail!("tar failed on layer {number}");
        }
    }
    Ok(layers)
}

fn assemble(layout_path: &Path, layers: &[Layer], name: &str) -> Result<Image> {
    let mut layout = Layout::open(layout_path)?;
    let recipe = Recipe { entrypoint: vec!["/bin/bash".to_owned()], ..Recipe::default() };
    let manifest = layout.image(layers, &recipe)?;
    layout.name(&manifest, &[name])?;
    Ok(Image {
        layout: layout_path.to_owned(),
        digest: manifest.digest,
        compressed_bytes: layers.iter().map(|layer| layer.blob.size).sum(),
        unpacked_bytes: layers.iter().map(|layer| layer.uncompressed_size).sum(),
        layer_bytes: layers.iter().map(|layer| layer.blob.size).collect(),
    })
}

/// The same layers under other digests: the time stamp in each gzip header (RFC 1952, bytes 4 to 7) becomes `number`.
fn variant(original: &Path, layers: &[Layer], target: &Path, number: u32) -> Result<Image> {
    let _ = fs::remove_dir_all(target);
    let (source, layout) = (Layout::open(original)?, Layout::create(target)?);
    let layers = layers
        .iter()
        .map(|layer| {
            let mut bytes = Vec::new();
            fs::File::open(source.path(&layer.blob.digest))?.read_to_end(&mut bytes)?;
            bytes[4..8].copy_from_slice(&number.to_le_bytes());
            let blob: Blob = layout.blob(&layer.blob.media_type, &bytes)?;
            Ok(Layer { blob, ..layer.clone() })
        })
        .collect::<Result<Vec<_>>>()?;
    assemble(target, &layers, "main")
}
