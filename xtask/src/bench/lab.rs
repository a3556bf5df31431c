//! What all measurements share: the program, the images, and the registry that holds them.

use std::fs::{File, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use dhow_testkit::images::sha256;
use dhow_testkit::peers::{self, Registry};

use super::image::{self, Image, Images};
use super::limits::Limits;
use crate::{shell, workspace};

/// The set-up of one run.
pub(crate) struct Lab {
    /// The images that are moved.
    pub(crate) images: Images,
    /// What this machine can do at best.
    pub(crate) limits: Limits,
    /// Serves the images to every tool.
    registry: Registry,
    dhow: PathBuf,
    /// What the image is called in the registry.
    name: &'static str,
    /// A home of its own, so that nobody's configuration is measured.
    home: tempfile::TempDir,
}

impl Lab {
    /// Makes the images, or takes them from the cache, and serves them. The release build is measured, or `program`; with the usual
    /// image, or with the large one.
    pub(crate) fn open(program: Option<PathBuf>, is_large: bool) -> Result<Self> {
        let cache = workspace::target().join("bench-cache");
        std::fs::create_dir_all(&cache)?;
        let mut images = image::obtain(&cache)?;
        if is_large {
            images.main = image::large(&cache, &images.main)?;
        }
        let registry = Registry::start(&cache.join("registry"))?;
        let lab = Self {
            limits: Limits::measure(&images.main)?,
            images,
            registry,
            name: if is_large { "bench/large:latest" } else { "bench/debian:latest" },
            dhow: installed(&program.unwrap_or_else(|| workspace::target().join("release/dhow")), &cache)?,
            home: tempfile::tempdir()?,
        };
        lab.publish(&lab.images.main, &lab.reference())?;
        for (number, variant) in lab.images.variants.iter().enumerate() {
            lab.publish(variant, &lab.variant_reference(number))?;
        }
        Ok(lab)
    }

    /// The image's name in the registry.
    pub(crate) fn reference(&self) -> String {
        self.registry.name(self.name)
    }

    /// The name of a variant.
    pub(crate) fn variant_reference(&self, number: usize) -> String {
        self.registry.name(&format!("bench/variant-{number}:latest"))
    }

    /// `dhow` on a store of its own.
    pub(crate) fn dhow(&self, store: &Path) -> Command {
        let mut command = Command::new(&self.dhow);
        command.env("HOME", self.home.path()).env("DOCKER_CONFIG", self.home.path().join("docker"));
        command.env("DHOW_SYSROOT", self.home.path());
        command.arg("--root").arg(store);
        command
    }

    /// The program under measurement.
    pub(crate) fn dhow_program(&self) -> &Path {
        &self.dhow
    }

    fn publish(&self, image: &Image, reference: &str) -> Result<()> {
        let source = format!("oci:{}:main", image.layout.display());
        shell::output(
            peers::skopeo()?
                .args(["copy", "--quiet", "--dest-tls-verify=false", &source])
                .arg(format!("docker://{reference}")),
        )?;
        expect_digest(reference, &image.digest)
    }
}

/// A copy of the program, as the peers are copies that a package manager wrote. What a linker wrote through a mapping lies in the page
/// cache in small pieces, and each start of such a program takes a tenth of a millisecond more.
fn installed(program: &Path, folder: &Path) -> Result<PathBuf> {
    let copy = folder.join("dhow");
    let mut temporary = tempfile::NamedTempFile::new_in(folder)?;
    let mut original = File::open(program).with_context(|| format!("cannot measure {}", program.display()))?;
    std::io::copy(&mut original, &mut temporary)?;
    temporary.as_file().set_permissions(Permissions::from_mode(0o755))?;
    temporary.as_file().sync_all()?;
    temporary.persist(&copy)?;
    Ok(copy)
}

/// Fails unless a registry answers a name with exactly these bytes.
pub(crate) fn expect_digest(reference: &str, digest: &str) -> Result<()> {
    let mut inspect = peers::skopeo()?;
    inspect.args(["inspect", "--raw", "--tls-verify=false"]).arg(format!("docker://{reference}"));
    let manifest = peers::run(&mut inspect).with_context(|| format!("{reference} is not in the registry"))?;
    let found = sha256(&manifest.stdout);
    if found != digest {
        bail!("{reference} is {found} in the registry, expected {digest}");
    }
    Ok(())
}
