//! What the fuzzer begins with: small sound inputs of the formats that it would not find by itself in days.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};
use dhow_testkit::images::{self, Compression, Entry, Format, Layout, Recipe};
use dhow_testkit::peers;

/// What a target that takes two archives in one input expects before them: the second one begins in the middle.
const HALVES: u8 = 8;

/// What `layer_erofs` expects before a tar.
const A_TAR: u8 = 1;

/// Writes the seeds into the corpus of each target. Those that are there already are the same.
pub(super) fn write(corpus: &Path) -> Result<()> {
    let scratch = tempfile::tempdir()?;
    let archives = archives(scratch.path())?;
    for (name, archive) in &archives {
        keep(corpus, "layer_tar", name, archive)?;
        keep(corpus, "layer_erofs", name, &[&[A_TAR], archive.as_slice()].concat())?;
        keep(corpus, "layer_flatten", name, archive)?;
        for target in ["layer_diff", "layer_unpack"] {
            keep(corpus, target, name, &[&[HALVES], archive.as_slice(), archive.as_slice()].concat())?;
        }
    }
    for program in ["gzip", "zstd", "bzip2", "xz"] {
        if let Ok(program_path) = peers::find(program) {
            let plain = scratch.path().join("plain");
            fs::write(&plain, "a short text, a short text, and its end\n".repeat(8))?;
            let compressed = Command::new(program_path).arg("-c").arg(&plain).output()?.stdout;
            keep(corpus, "layer_decoder", program, &compressed)?;
            keep(corpus, "layer_decoder", &format!("{program}-twice"), &compressed.repeat(2))?;
        }
    }
    for (format, name) in [(Format::Oci, "oci"), (Format::Docker, "docker")] {
        documents(corpus, scratch.path(), format, name)?;
    }
    Ok(())
}

/// One small tree with something of each kind, archived in every format of GNU tar.
fn archives(scratch: &Path) -> Result<Vec<(String, Vec<u8>)>> {
    let tree = scratch.join("tree");
    fs::create_dir_all(tree.join("folder/below"))?;
    fs::write(tree.join("folder/file"), "content\n")?;
    fs::hard_link(tree.join("folder/file"), tree.join("folder/second"))?;
    std::os::unix::fs::symlink("../folder/file", tree.join("folder/below/link"))?;
    fs::write(tree.join("folder/.wh.gone"), "")?;
    fs::write(tree.join("folder/below/.wh..wh..opq"), "")?;
    fs::write(tree.join("n".repeat(120)), "long")?;
    fs::File::create(tree.join("sparse"))?.set_len(1 << 16)?;
    let formats = ["v7", "oldgnu", "gnu", "ustar", "pax"];
    let mut archives = Vec::new();
    for (format, sparse) in formats.iter().flat_map(|format| [(format, false), (format, true)]) {
        let mut tar = Command::new("tar");
        tar.arg("-C").arg(&tree).args(["--create", "--format", format, "--blocking-factor=1"]);
        tar.args(sparse.then_some("--sparse"));
        // Some formats have no room for the long name: the rest of the archive is as good a seed.
        let archive = tar.arg(".").output().context("cannot run tar")?.stdout;
        archives.push((format!("{format}{}", if sparse { "-sparse" } else { "" }), archive));
    }
    Ok(archives)
}

/// The documents of a small image, and its archive.
fn documents(corpus: &Path, scratch: &Path, format: Format, name: &str) -> Result<()> {
    let mut layout = Layout::create(&scratch.join(name))?;
    let tar = images::tar_of(&[Entry { path: "etc/os-release", mode: 0o644, content: b"NAME=seed\n" }])?;
    let layer = layout.layer(&*tar, format, Compression::Gzip)?;
    let manifest = layout.image(&[layer], &Recipe { format, ..Recipe::default() })?;
    let index = layout.index(&[(manifest.clone(), "amd64")], format)?;
    layout.name(&index, &["seed:1"])?;
    for (what, digest) in [("manifest", &manifest.digest), ("index", &index.digest)] {
        keep(corpus, "spec_document", &format!("{name}-{what}"), &fs::read(layout.path(digest))?)?;
    }
    let document: serde_json::Value = serde_json::from_slice(&fs::read(layout.path(&manifest.digest))?)?;
    let config = document["config"]["digest"].as_str().context("a manifest without config")?;
    keep(corpus, "spec_config", name, &fs::read(layout.path(config))?)?;
    let archive = scratch.join(format!("{name}.tar"));
    layout.archive(&archive)?;
    keep(corpus, "layout_archive", name, &fs::read(archive)?)
}

fn keep(corpus: &Path, target: &str, name: &str, bytes: &[u8]) -> Result<()> {
    let directory = corpus.join(target);
    fs::create_dir_all(&directory)?;
    fs::write(directory.join(format!("seed-{name}")), bytes)?;
    Ok(())
}
