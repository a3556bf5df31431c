//! What the interop tests share: dhow beside the real docker, podman, skopeo and docker-registry.
//!
//! "Bit-exact" is judged from outside: digests are computed by `testkit`, or asked of the peer, never of dhow alone.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use dhow_testkit::images::{self, Blob, Compression, Entry, Format, Layout, Recipe, tar_of};
use dhow_testkit::peers;
use serde_json::Value;
use tempfile::TempDir;

use crate::crash::Dhow;

/// A running `dhow serve`; ends when dropped.
#[derive(Debug)]
pub struct Served {
    child: Child,
    address: String,
}

impl Served {
    /// Serves `folder` on a free loopback port.
    ///
    /// # Panics
    /// When dhow does not say where it listens.
    pub fn start(dhow: &Dhow, folder: &Path) -> Self {
        let folder = folder.to_str().expect("a printable path");
        Self::run(dhow.command(&["serve", "--listen", "127.0.0.1:0", "--root-dir", folder]))
    }

    /// Serves what is in an object store, which `environment` says how to reach.
    ///
    /// # Panics
    /// As [`Served::start`].
    pub fn on_bucket(dhow: &Dhow, location: &str, environment: &[(&str, String)]) -> Self {
        let mut command = dhow.command(&["serve", "--listen", "127.0.0.1:0", "--storage", location]);
        command.envs(environment.iter().map(|(name, value)| (name, value)));
        Self::run(command)
    }

    fn run(mut command: Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).spawn().expect("start dhow serve");
        let mut line = String::new();
        let stdout = child.stdout.take().expect("its output");
        BufReader::new(stdout).read_line(&mut line).expect("its first line");
        let address = line.trim().rsplit("http://").next().unwrap_or_default().to_owned();
        assert!(address.starts_with("127.0.0.1:"), "dhow serve said {line:?}");
        Self { child, address }
    }

    /// `127.0.0.1:<port>`.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// `127.0.0.1:<port>/<image>`.
    pub fn name(&self, image: &str) -> String {
        format!("{}/{image}", self.address)
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A scratch folder with a dhow store in it. Fields are dropped in order: servers and daemons go before this. What a test that failed
/// left mounted in it goes with it.
#[derive(Debug)]
pub struct Bench {
    folder: TempDir,
}

impl Drop for Bench {
    fn drop(&mut self) {
        let table = std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
        for point in mounts_below(&table, self.folder.path()) {
            // The kernel's mounts, then those over FUSE of who is not root.
            let ways: [(&str, &[&str]); 2] = [("umount", &["--lazy"]), ("fusermount3", &["-u", "-z"])];
            let _ = ways.iter().any(|(program, options)| {
                let ended = Command::new(program).args(*options).arg(&point).stderr(Stdio::null()).status();
                ended.is_ok_and(|status| status.success())
            });
        }
    }
}

/// Where something is mounted below a folder, the newest first; `table` is that of the kernel (proc(5), `mountinfo`).
fn mounts_below(table: &str, folder: &Path) -> Vec<PathBuf> {
    let points = table.lines().filter_map(|line| line.split(' ').nth(4)).map(PathBuf::from);
    let mut points: Vec<PathBuf> = points.filter(|point| point.starts_with(folder)).collect();
    points.reverse();
    points
}

impl Bench {
    /// Makes one.
    ///
    /// # Panics
    /// When there is no room for it.
    pub fn new() -> Self {
        Self { folder: peers::scratch().expect("a scratch folder") }
    }

    /// A path in it.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// `dhow` on the store of that name.
    pub fn dhow(&self, store: &str) -> Dhow {
        Dhow::on(&self.path(store))
    }

    /// A small image in a layout of its own.
    ///
    /// # Panics
    /// When it cannot be written.
    pub fn image(&self, salt: &str, format: Format, compression: Compression) -> Sample {
        let (mut layout, manifest) =
            images::small(&self.path(&format!("layout-{salt}")), salt, format, compression).expect("an image");
        layout.name(&manifest, &["it"]).expect("its name");
        Sample { layout, manifest }
    }

    /// An index over two architectures, with a small image for each.
    ///
    /// # Panics
    /// When it cannot be written.
    pub fn index(&self, format: Format) -> Sample {
        let mut layout = Layout::create(&self.path(&format!("index-{format:?}"))).expect("a layout");
        let mut manifests = Vec::new();
        for architecture in ["amd64", "arm64"] {
            let file = Entry { path: "etc/arch", mode: 0o644, content: architecture.as_bytes() };
            let tar = tar_of(&[file]).expect("a tar");
            let layer = layout.layer(&*tar, format, Compression::Gzip).expect("a layer");
            let recipe = Recipe { format, architecture: architecture.to_owned(), ..Recipe::default() };
            manifests.push((layout.image(&[layer], &recipe).expect("an image"), architecture));
        }
        let index = layout.index(&manifests, format).expect("an index");
        layout.name(&index, &["it"]).expect("its name");
        Sample { layout, manifest: index }
    }
}

impl Default for Bench {
    fn default() -> Self {
        Self::new()
    }
}

/// An image whose bytes are known.
#[derive(Debug)]
pub struct Sample {
    /// Where it is.
    pub layout: Layout,
    /// Its manifest or index.
    pub manifest: Blob,
}

impl Sample {
    /// How skopeo names it: its `dir:` transport takes documents of either family, which `oci:` does not.
    ///
    /// # Panics
    /// When the folder cannot be written.
    #[allow(clippy::disallowed_methods, reason = "writes a scratch folder")]
    pub fn source(&self) -> String {
        let folder = self.layout.root().with_extension("dir");
        if !folder.exists() {
            std::fs::create_dir(&folder).expect("a folder");
            std::fs::write(folder.join("version"), "Directory Transport Version: 1.1\n").expect("its version");
            let blobs = std::fs::read_dir(self.layout.root().join("blobs/sha256")).expect("the blobs");
            for blob in blobs {
                let blob = blob.expect("a blob");
                let name = blob.file_name().into_string().expect("a digest");
                // Whether a blob is a manifest is for those to know who name it: it is there under both names.
                for name in [format!("{name}.manifest.json"), name.clone()] {
                    std::fs::hard_link(blob.path(), folder.join(name)).expect("a link");
                }
            }
            std::fs::hard_link(self.layout.path(&self.manifest.digest), folder.join("manifest.json")).expect("a link");
        }
        format!("dir:{}", folder.display())
    }

    /// The image ID: the digest of the config that the manifest names.
    ///
    /// # Panics
    /// When it has no config.
    #[allow(clippy::disallowed_methods, reason = "reads a scratch file")]
    pub fn id(&self) -> String {
        let manifest = std::fs::read(self.layout.path(&self.manifest.digest)).expect("the manifest");
        let manifest: Value = serde_json::from_slice(&manifest).expect("JSON");
        manifest["config"]["digest"].as_str().expect("a config").to_owned()
    }

    /// Copies it with skopeo to `docker://<name>`, unchanged; every manifest of an index.
    ///
    /// # Panics
    /// When skopeo fails.
    pub fn publish(&self, name: &str) {
        let mut skopeo = peers::skopeo().expect("skopeo");
        skopeo.args(["copy", "--quiet", "--all", "--preserve-digests", "--dest-tls-verify=false", &self.source()]);
        must(skopeo.arg(format!("docker://{name}")));
        assert_eq!(remote_digest(name), self.manifest.digest, "{name}");
    }
}

/// The digest of what a registry answers for a name, computed here over the very bytes, asked for by skopeo.
///
/// # Panics
/// When skopeo fails.
pub fn remote_digest(name: &str) -> String {
    let mut skopeo = peers::skopeo().expect("skopeo");
    skopeo.args(["inspect", "--raw", "--tls-verify=false"]).arg(format!("docker://{name}"));
    let output = peers::run(&mut skopeo).unwrap_or_else(|error| panic!("{error}"));
    images::sha256(&output.stdout)
}

/// What a command that must succeed printed.
///
/// # Panics
/// When it fails.
#[track_caller]
pub fn must(command: &mut Command) -> String {
    peers::stdout_of(command).unwrap_or_else(|error| panic!("{error}"))
}

/// What `dhow inspect` says of an image.
///
/// # Panics
/// When there is no such image.
#[track_caller]
pub fn inspect(dhow: &Dhow, name: &str) -> Value {
    let mut objects: Value = serde_json::from_str(&dhow.must(&["inspect", name])).expect("JSON");
    objects[0].take()
}

/// Asserts that dhow's image has this ID and, when it has a repository digest, this one.
///
/// # Panics
/// When it has not.
#[track_caller]
pub fn assert_image(dhow: &Dhow, name: &str, id: &str, repository_digest: Option<&str>) {
    let seen = inspect(dhow, name);
    assert_eq!(seen["Id"], id, "{name}: {seen:#}");
    if let Some(digest) = repository_digest {
        let digests: Vec<&str> =
            seen["RepoDigests"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        assert!(
            digests.iter().any(|known| known.ends_with(&format!("@{digest}"))),
            "{name}: {digest} is not in {digests:?}"
        );
    }
}

/// The `digest: sha256:…` that docker's `push` prints at its end.
///
/// # Panics
/// When there is none.
#[track_caller]
pub fn pushed_digest(output: &str) -> String {
    let found = output.lines().find_map(|line| line.split_once("digest: ")?.1.split(' ').next());
    found.unwrap_or_else(|| panic!("push printed no digest: {output}")).to_owned()
}

/// Writes a folder in the format of skopeo's `dir:` with this manifest and these blobs, and names it as skopeo does.
///
/// # Panics
/// When it cannot be written.
#[allow(clippy::disallowed_methods, reason = "writes a scratch folder")]
pub fn skopeo_folder(folder: &Path, manifest: &[u8], blobs: &[&[u8]]) -> String {
    std::fs::create_dir(folder).expect("a folder");
    std::fs::write(folder.join("version"), "Directory Transport Version: 1.1\n").expect("its version");
    std::fs::write(folder.join("manifest.json"), manifest).expect("the manifest");
    for blob in blobs {
        let digest = images::sha256(blob);
        std::fs::write(folder.join(digest.trim_start_matches("sha256:")), blob).expect("a blob");
    }
    format!("dir:{}", folder.display())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bench_takes_what_is_mounted_in_it_away() {
        let table = "1 0 8:1 / / rw - ext4 x rw\n2 1 0:1 / /tmp/b/one rw - tmpfs x rw\n3 2 0:2 / /tmp/b/one/two rw - tmpfs x rw\n\
                     4 1 0:3 / /tmp/bench rw - tmpfs x rw\n";
        let found = mounts_below(table, Path::new("/tmp/b"));
        assert_eq!(found, [PathBuf::from("/tmp/b/one/two"), PathBuf::from("/tmp/b/one")]);
        let bench = Bench::new();
        let (folder, inner) = (bench.path(""), bench.path("mounted"));
        std::fs::create_dir(&inner).expect("a folder");
        let mounted = Command::new("mount").args(["-t", "tmpfs", "none"]).arg(&inner).stderr(Stdio::null()).status();
        drop(bench);
        assert!(!folder.exists(), "mounted: {mounted:?}");
    }
}
