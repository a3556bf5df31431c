//! OCI archives and directories as others write them, honest and hostile.

#![allow(clippy::unwrap_used, reason = "tests report by panicking")]

mod common;

use common::{Entries, Entry, config, file, gzip, layer, load, open, tar};
use dhow_base::Kind;
use dhow_layout::{Archive, ArchiveInput};
use dhow_spec::layout::OCI_LAYOUT_CONTENT;
use dhow_spec::{Digest, Document, MediaType};

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";

/// An OCI layout under construction.
#[derive(Default)]
struct Layout {
    entries: Entries,
    roots: Vec<String>,
}

impl Layout {
    fn blob(&mut self, media_type: &str, bytes: Vec<u8>) -> String {
        let digest = Digest::sha256(&bytes);
        let size = bytes.len();
        self.entries.push(file(format!("blobs/sha256/{}", digest.hex()), bytes));
        format!(r#""mediaType":"{media_type}","digest":"{digest}","size":{size}"#)
    }

    fn image(&mut self, text: &str) -> String {
        let plain = layer(text);
        let config = self.blob(MediaType::OciConfig.as_str(), config(&[Digest::sha256(&plain)]));
        let layer = self.blob(MediaType::OciLayerGzip.as_str(), gzip(&plain));
        let manifest =
            format!(r#"{{"schemaVersion":2,"mediaType":"{MANIFEST}","config":{{{config}}},"layers":[{{{layer}}}]}}"#);
        self.blob(MANIFEST, manifest.into_bytes())
    }

    fn index(&mut self, members: &[String]) -> String {
        let members: Vec<String> = members.iter().map(|member| format!("{{{member}}}")).collect();
        let members = members.join(",");
        let index = format!(r#"{{"schemaVersion":2,"mediaType":"{INDEX}","manifests":[{members}]}}"#);
        self.blob(INDEX, index.into_bytes())
    }

    fn root(&mut self, descriptor: &str, annotations: &str) {
        self.roots.push(format!(r#"{{{descriptor},"annotations":{{{annotations}}}}}"#));
    }

    fn entries(&self) -> Entries {
        let mut entries = self.entries.clone();
        let index = format!(r#"{{"schemaVersion":2,"manifests":[{}]}}"#, self.roots.join(","));
        entries.push(file("index.json", index));
        entries.push(file("oci-layout", OCI_LAYOUT_CONTENT));
        entries
    }

    fn tar(&self) -> Vec<u8> {
        tar(&self.entries())
    }
}

fn names(archive: &Archive) -> Vec<Vec<String>> {
    archive.images().iter().map(|image| image.names.iter().map(|name| name.familiar()).collect()).collect()
}

#[test]
fn what_holds_wrong_bytes_is_named() {
    let mut layout = Layout::default();
    let image = layout.image("one");
    layout.root(&image, "");
    let mut entries = layout.entries();
    let (name, wrong) = entries.iter_mut().find(|(name, _)| name.starts_with("blobs/")).unwrap();
    let (name, wrong) = (
        name.clone(),
        match wrong {
            Entry::File(bytes) => {
                bytes[0] ^= 1;
                bytes.clone()
            }
            _ => unreachable!("a blob is a file"),
        },
    );
    let said = |archive: &Archive| {
        let error = load(archive, &tempfile::tempdir().unwrap().path().join("layout")).expect_err("wrong bytes");
        assert!(error.hint().is_some());
        error.to_string()
    };
    let mismatch = format!(
        "digest mismatch: expected sha256:{}, got {}",
        name.trim_start_matches("blobs/sha256/"),
        Digest::sha256(&wrong)
    );
    let text = said(&open(&tar(&entries)).unwrap());
    assert!(text.starts_with("archive \"/") && text.ends_with(&format!("/archive\": {mismatch}")), "{text}");
}

#[test]
fn names_come_from_containerd_then_from_oci() {
    let mut layout = Layout::default();
    let (one, two) = (layout.image("one"), layout.image("two"));
    layout.root(&one, r#""io.containerd.image.name":"docker.io/acme/app:1","org.opencontainers.image.ref.name":"1""#);
    layout.root(&two, r#""org.opencontainers.image.ref.name":"latest""#);
    layout.root(&one, r#""org.opencontainers.image.ref.name":"registry.example/app:2""#);
    let archive = open(&layout.tar()).unwrap();
    assert_eq!(names(&archive), [vec!["acme/app:1", "registry.example/app:2"], vec![]]);
    assert!(archive.images()[0].root.annotations.is_empty(), "the names are not part of the image");
    load(&archive, &tempfile::tempdir().unwrap().path().join("layout")).unwrap();
}

#[test]
fn directories_are_read_like_archives() {
    let mut layout = Layout::default();
    let image = layout.image("one");
    layout.root(&image, "");
    let temporary = tempfile::tempdir().unwrap();
    tar::Archive::new(layout.tar().as_slice()).unpack(temporary.path().join("in")).unwrap();
    let input = ArchiveInput::Directory(temporary.path().join("in"));
    let archive = Archive::open(input, temporary.path()).unwrap();
    assert_eq!(load(&archive, &temporary.path().join("out")).unwrap().len(), 1);
    let directory = std::fs::File::open(temporary.path().join("in")).unwrap();
    let input = ArchiveInput::File(directory, temporary.path().join("in"));
    assert_eq!(Archive::open(input, temporary.path()).unwrap().images(), archive.images());
}

#[test]
fn incomplete_platforms_are_left_out() {
    let mut layout = Layout::default();
    let (one, two) = (layout.image("one"), layout.image("two"));
    let absent = format!(r#""mediaType":"{MANIFEST}","digest":"{}","size":10"#, Digest::sha256(b"absent"));
    let inner = layout.index(&[two, absent.clone()]);
    let outer = layout.index(&[one, absent, inner]);
    layout.root(&outer, "");
    let archive = open(&layout.tar()).unwrap();
    let root = &archive.images()[0].root;
    assert!(!archive.is_complete(root).unwrap());
    let index = futures::executor::block_on(dhow_content::read_document(&archive, root)).unwrap();
    assert_eq!(archive.complete_members(index.document()).unwrap().len(), 1, "the first image only");
}

#[test]
fn attestations_are_no_images() {
    let mut layout = Layout::default();
    let (image, attestation) = (layout.image("one"), layout.image("two"));
    layout.root(&image, "");
    layout.root(&attestation, r#""vnd.docker.reference.type":"attestation-manifest""#);
    assert_eq!(open(&layout.tar()).unwrap().images().len(), 1);
}

#[test]
fn broken_layouts_are_refused() {
    let mut layout = Layout::default();
    let image = layout.image("one");
    let mut empty = layout.entries();
    assert_eq!(open(&tar(&empty)).expect_err("no images").kind(), Kind::Invalid);

    layout.root(&image, "");
    let absent = format!(r#""mediaType":"{MANIFEST}","digest":"{}","size":10"#, Digest::sha256(b"absent"));
    layout.root(&absent, "");
    let error = open(&layout.tar()).expect_err("a manifest is missing");
    assert_eq!(error.kind(), Kind::Corrupt, "{error}");

    layout.roots.truncate(1);
    empty = layout.entries();
    empty.push(file("oci-layout", r#"{"imageLayoutVersion":"2.0.0"}"#));
    assert_eq!(open(&tar(&empty)).expect_err("unknown version").kind(), Kind::Unsupported);

    for index in ["", "[]", r#"{"schemaVersion":2,"manifests":[],"manifests":[]}"#, "{\"schemaVersion\":2} x"] {
        let mut entries = layout.entries();
        entries.push(file("index.json", index));
        assert_eq!(open(&tar(&entries)).expect_err(index).kind(), Kind::Corrupt, "{index:?}");
    }
}

#[test]
fn wrong_blobs_do_not_get_through() {
    let mut layout = Layout::default();
    let image = layout.image("one");
    layout.root(&image, "");
    let mut entries = layout.entries();
    let blobs: Vec<String> = entries.iter().map(|(name, _)| name.clone()).filter(|n| n.starts_with("blobs")).collect();
    for name in blobs {
        let bytes = entries.iter().find_map(|(found, entry)| match entry {
            Entry::File(bytes) if *found == name => Some(bytes.clone()),
            _ => None,
        });
        let mut wrong = bytes.unwrap();
        wrong[0] ^= 1;
        for wrong in [wrong.clone(), wrong[1..].to_vec(), [wrong, vec![0]].concat()] {
            entries.push(file(name.clone(), wrong));
            let result = open(&tar(&entries))
                .and_then(|archive| load(&archive, &tempfile::tempdir().unwrap().path().join("layout")));
            assert_eq!(result.expect_err("wrong bytes").kind(), Kind::Corrupt);
            entries.pop();
        }
    }
}

#[test]
fn an_archive_that_is_both_keeps_the_oci_digests() {
    let mut layout = Layout::default();
    let image = layout.image("one");
    layout.root(&image, "");
    let mut entries = layout.entries();
    entries.insert(0, file("manifest.json", r#"[{"Config":"nowhere","Layers":[]}]"#));
    let archive = open(&tar(&entries)).unwrap();
    assert_eq!(archive.images()[0].root.media_type, MediaType::OciManifest);
    let bytes = futures::executor::block_on(dhow_content::read_document(&archive, &archive.images()[0].root)).unwrap();
    assert!(Document::parse(bytes.bytes().to_vec(), &MediaType::OciManifest).is_ok());
}
