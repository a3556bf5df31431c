//! What is shipped: the program itself on an empty base, and a root file system of the host's distribution.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use dhow_testkit::debian;
use dhow_testkit::images::{Compression, Format, Layer, Layout, Recipe};

use crate::workspace;

/// An image that was made without dhow.
pub(crate) struct Sample {
    pub(crate) name: &'static str,
    pub(crate) what: String,
    /// The OCI layout that it is in.
    pub(crate) layout: PathBuf,
    /// Digest of its manifest.
    pub(crate) digest: String,
    /// Digest of its config: the image ID.
    pub(crate) id: String,
}

/// Makes the images; says which it cannot make, and why.
pub(crate) fn make(binary: &Path, folder: &Path) -> Result<Vec<Sample>> {
    let mut made = vec![program(binary, &folder.join("program"))?];
    let tree = workspace::target().join("demo-cache/rootfs");
    println!(
        "   a root file system of this machine's distribution (made by debootstrap once, kept in target/demo-cache)"
    );
    match debian::tree(&tree, "") {
        Ok(()) => made.push(distribution(&tree, &folder.join("distribution"))?),
        Err(error) => println!("   skipped, this machine cannot make one: {error}"),
    }
    Ok(made)
}

fn program(binary: &Path, folder: &Path) -> Result<Sample> {
    let size_bytes = fs::metadata(binary)?.len();
    let layout = Layout::create(folder)?;
    let source = binary.parent().context("the program is in no folder")?;
    let layer = layer(&layout, source, &["--transform=s,^,usr/bin/,", "dhow"])?;
    let what = format!("the program ({} MB) on an empty base", size_bytes / 1_000_000);
    finish(layout, "dhow", what, &[layer], "/usr/bin/dhow")
}

fn distribution(tree: &Path, folder: &Path) -> Result<Sample> {
    let layout = Layout::create(folder)?;
    let base = layer(&layout, tree, &["--exclude=./usr/share/*", "."])?;
    let shared = layer(&layout, tree, &["usr/share"])?;
    let unpacked_bytes = base.uncompressed_size + shared.uncompressed_size;
    let what = format!("this machine's distribution, {} MB in two layers", unpacked_bytes / 1_000_000);
    finish(layout, "distribution", what, &[base, shared], "/bin/sh")
}

fn layer(layout: &Layout, folder: &Path, arguments: &[&str]) -> Result<Layer> {
    let mut tar = Command::new("tar")
        .current_dir(folder)
        .args(["--sort=name", "--numeric-owner", "--format=pax", "--create", "--file=-", "--anchored"])
        .args(arguments)
        .stdout(Stdio::piped())
        .spawn()
        .context("cannot run tar")?;
    let stream = tar.stdout.take().context("tar has no output")?;
    let layer = layout.layer(stream, Format::Oci, Compression::Gzip)?;
    ensure!(tar.wait()?.success(), "tar failed");
    Ok(layer)
}

fn finish(mut layout: Layout, name: &'static str, what: String, layers: &[Layer], entrypoint: &str) -> Result<Sample> {
    let recipe = Recipe { entrypoint: vec![entrypoint.to_owned()], ..Recipe::default() };
    let manifest = layout.image(layers, &recipe)?;
    layout.name_images([(&manifest, format!("docker.io/demo/{name}:1.0").as_str())])?;
    let document: serde_json::Value = serde_json::from_slice(&fs::read(layout.path(&manifest.digest))?)?;
    let id = document["config"]["digest"].as_str().context("a manifest without a config")?.to_owned();
    Ok(Sample { name, what, layout: layout.root().to_owned(), digest: manifest.digest, id })
}
