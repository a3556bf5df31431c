//! Cases 11 to 16: documents that are not what was asked for, or that can be read in two ways.

use std::time::{Duration, Instant};

use dhow_testkit::registry::known::recipe;
use dhow_testkit::registry::{Effect, Route, Rule, digest_of};
use dhow_tests::known::Stage;
use serde_json::{Value, json};

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";

/// A registry with an image.
fn stage() -> Stage {
    let stage = Stage::new(recipe("Harbor"));
    stage.publish("v1", &stage.scene.image("a"));
    stage
}

/// The manifest of the image.
fn manifest(stage: &Stage) -> Value {
    let (_, bytes) = stage.known.registry.manifest(stage.known.recipe.repository, "v1").expect("a manifest");
    serde_json::from_slice(&bytes).expect("JSON")
}

/// Puts a document into the registry, of this type and with these bytes.
fn put(stage: &Stage, tag: &str, media_type: &str, bytes: &[u8]) -> String {
    stage.known.registry.put_manifest(stage.known.recipe.repository, tag, media_type, bytes)
}

/// Pulls what must not be taken; nothing of it may be an image afterwards.
#[track_caller]
fn refused(stage: &Stage, tag: &str) -> String {
    let said = stage.refused(&["pull", &stage.name(tag)]);
    assert_eq!(stage.must(&["images", "--all", "--quiet"]), "", "{said}");
    said
}

/// `name:tag@digest` means the digest, whatever the tag means today; also for the image of one platform below an index.
#[test]
fn ghsa_qv35_3gw6_8q4j_pinned_digests() {
    let stage = Stage::new(recipe("Harbor"));
    let (old, new) = (stage.scene.image("old"), stage.scene.image("new"));
    stage.publish("v1", &old);
    stage.publish("v1", &new);
    let pinned = format!("{}@{}", stage.name("v1"), old.manifest.digest);
    stage.must(&["pull", &pinned]);
    let id = stage.must(&["images", "--all", "--quiet", "--no-trunc"]);
    assert_eq!(id.trim(), stage.scene.shown(old.id.as_bytes()));
    stage.must(&["rmi", "--force", &old.id]);
    let (_, substitute) = stage.known.registry.manifest(stage.known.recipe.repository, "v1").expect("a manifest");
    let index = json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": [{
        "mediaType": MANIFEST, "digest": old.manifest.digest, "size": old.manifest.size,
        "platform": { "os": "linux", "architecture": "amd64" },
    }] });
    put(&stage, "index", INDEX, index.to_string().as_bytes());
    for name in [pinned, stage.name("index")] {
        for claims in [true, false] {
            stage.known.registry.clear_script();
            let mut rule =
                Rule::on(Route::Manifest).path(&old.manifest.digest).effect(Effect::Body(substitute.clone()));
            if claims {
                rule = rule.effect(Effect::SetHeader("Docker-Content-Digest".into(), new.manifest.digest.clone()));
            }
            stage.known.registry.script(rule);
            let said = stage.refused(&["pull", &name]);
            assert!(said.contains(stage.scene.shown(old.manifest.digest.as_bytes()).as_str()), "{name}: {said}");
            assert_eq!(stage.must(&["images", "--all", "--quiet"]), "");
        }
    }
}

/// Digests that are paths, or no digests: nothing is asked for by them, nothing is written by them.
#[test]
fn cve_2024_3727_digests_that_are_paths() {
    let stage = stage();
    let good = manifest(&stage);
    let hex = "ab".repeat(32);
    for bad in [
        "sha256:../../../../tmp/escaped".to_owned(),
        "../../etc/passwd".to_owned(),
        "sha256:".to_owned(),
        format!("sha256:{}", hex.to_uppercase()),
        format!("SHA256:{hex}"),
        format!("sha256:{}", &hex[..62]),
        format!("sha256:{hex}ab"),
        format!("sha256:{hex}/../../x"),
        format!("sha256:{hex}?x=y"),
        format!("sha256:{hex}\n"),
        format!("md5:{}", &hex[..32]),
        format!("x/../sha256:{hex}"),
        String::new(),
    ] {
        for place in ["/config/digest", "/layers/0/digest"] {
            let mut document = good.clone();
            *document.pointer_mut(place).expect("a place") = bad.clone().into();
            put(&stage, "bad", MANIFEST, document.to_string().as_bytes());
            refused(&stage, "bad");
        }
        let index = json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": [
            { "mediaType": MANIFEST, "digest": bad, "size": 2, "platform": { "os": "linux", "architecture": "amd64" } },
        ] });
        put(&stage, "bad", INDEX, index.to_string().as_bytes());
        refused(&stage, "bad");
    }
    let strange = |path: &String| path.contains("..") || path.contains("passwd") || path.contains('%');
    let paths = stage.known.registry.requests().into_iter().map(|request| request.path);
    let paths: Vec<String> = paths.filter(strange).collect();
    assert_eq!(paths, Vec::<String>::new(), "nothing is asked for by such a digest");
    assert!(!std::path::Path::new("/tmp/escaped").exists());
}

/// A document that is a manifest to one reader and an index to the next.
#[test]
fn cve_2021_41190_two_readings() {
    let stage = stage();
    let good = manifest(&stage);
    let entry = json!({ "mediaType": MANIFEST, "digest": digest_of(b"x"), "size": 1 });
    let mut both = good.clone();
    both["manifests"] = json!([entry]);
    let mut typeless = both.clone();
    typeless.as_object_mut().expect("an object").remove("mediaType");
    let mut renamed = good.clone();
    renamed["mediaType"] = INDEX.into();
    let docker = "application/vnd.docker.distribution.manifest.v2+json";
    for (document, content_type) in [
        (&both, MANIFEST),
        (&both, INDEX),
        (&typeless, MANIFEST),
        (&typeless, INDEX),
        (&good, INDEX),
        (&good, docker),
        (&renamed, MANIFEST),
        (&renamed, INDEX),
    ] {
        put(&stage, "bad", content_type, document.to_string().as_bytes());
        refused(&stage, "bad");
    }
    // The same when an index calls its entry what that is not.
    let bytes = good.to_string().into_bytes();
    let digest = put(&stage, "", MANIFEST, &bytes);
    let index = json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": [{
        "mediaType": INDEX, "digest": digest, "size": bytes.len(), "platform": { "os": "linux", "architecture": "amd64" },
    }] });
    put(&stage, "bad", INDEX, index.to_string().as_bytes());
    refused(&stage, "bad");
}

/// JSON that parsers disagree about, as a manifest and as a config.
#[test]
fn json_with_two_readings() {
    let stage = stage();
    let (repository, registry) = (stage.known.recipe.repository, &stage.known.registry);
    let (_, good) = registry.manifest(repository, "v1").expect("a manifest");
    let good = String::from_utf8(good).expect("text");
    let config_digest = manifest(&stage)["config"]["digest"].as_str().expect("a digest").to_owned();
    let config = String::from_utf8(registry.blob(repository, &config_digest).expect("a config")).expect("text");
    let with = |text: &str, member: &str| text.replacen('{', &format!("{{{member},"), 1);
    let deep = format!("\"x\":{}1{}", "[".repeat(5000), "]".repeat(5000));
    for bad in [
        with(&good, "\"layers\":[]"),
        with(&good, "\"Layers\":[]"),
        with(&good, "\"lay\\u0065rs\":[]"),
        with(&good, &deep),
        format!("\u{feff}{good}"),
        format!("{good}{good}"),
        format!("{good} trailing"),
        format!("{good}\0"),
        with(&good, "\"schemaVersion\":1"),
    ] {
        assert_ne!(bad, good);
        put(&stage, "bad", MANIFEST, bad.as_bytes());
        refused(&stage, "bad");
    }
    for bad in [
        with(&config, "\"rootfs\":{\"type\":\"layers\",\"diff_ids\":[]}"),
        with(&config, "\"RootFS\":{\"type\":\"layers\",\"diff_ids\":[]}"),
        with(&config, &deep),
        format!("\u{feff}{config}"),
        format!("{config}{{}}"),
    ] {
        let digest = registry.put_blob(repository, bad.as_bytes());
        let mut document = manifest(&stage);
        document["config"]["digest"] = digest.into();
        document["config"]["size"] = bad.len().into();
        put(&stage, "bad", MANIFEST, document.to_string().as_bytes());
        refused(&stage, "bad");
    }
}

/// An index that says `arm64` of an image that says `amd64`.
#[test]
fn platform_confusion() {
    let stage = stage();
    let (repository, registry) = (stage.known.recipe.repository, &stage.known.registry);
    let digest = registry.tag(repository, "v1").expect("an image");
    let size = registry.manifest(repository, "v1").expect("a manifest").1.len();
    let entry = |architecture: &str| {
        json!({ "mediaType": MANIFEST, "digest": digest, "size": size,
                "platform": { "os": "linux", "architecture": architecture } })
    };
    let index = json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": [entry("arm64")] });
    put(&stage, "confused", INDEX, index.to_string().as_bytes());
    let output = stage.run(&["pull", "--platform", "linux/arm64", &stage.name("confused")]);
    // Docker takes it and says what it is; what matters is that nothing shows it as what it is not.
    if output.code == 0 {
        let shown = stage.must(&["inspect", "--format", "{{.Architecture}}", &stage.name("confused")]);
        assert_eq!(shown, "amd64\n");
    }
    // Asked for another platform, the same image must not stand in for it.
    let plain = stage.refused(&["pull", "--platform", "linux/arm64", &stage.name("v1")]);
    assert!(plain.contains("linux/arm64") || plain.contains("arm64"), "{plain}");
}

/// Indexes of indexes, each naming the one before it many times, and one with ten thousand entries: the work stays small.
#[test]
fn indexes_that_explode() {
    let stage = stage();
    let (repository, registry) = (stage.known.recipe.repository, &stage.known.registry);
    let (mut digest, mut size, mut media_type) = (
        registry.tag(repository, "v1").expect("an image"),
        registry.manifest(repository, "v1").expect("it").1.len(),
        MANIFEST,
    );
    for level in 0..24 {
        let entry = json!({ "mediaType": media_type, "digest": digest, "size": size,
                            "platform": { "os": "linux", "architecture": "amd64" } });
        let index = json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": vec![entry; 64],
                            "annotations": { "level": level.to_string() } });
        let bytes = index.to_string().into_bytes();
        digest = put(&stage, if level == 23 { "tower" } else { "" }, INDEX, &bytes);
        (size, media_type) = (bytes.len(), INDEX);
    }
    registry.clear_log();
    let start = Instant::now();
    stage.run(&["pull", "--all-platforms", &stage.name("tower")]);
    let reads = registry.count("GET", Route::Manifest);
    assert!(reads <= 60, "{reads} documents were read");
    let many: Vec<Value> = (0..10_000_u32)
        .map(|number| {
            json!({ "mediaType": MANIFEST, "digest": digest_of(&number.to_be_bytes()), "size": 10,
                              "platform": { "os": "linux", "architecture": "riscv64" } })
        })
        .collect();
    let index = json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": many });
    put(&stage, "many", INDEX, index.to_string().as_bytes());
    registry.clear_log();
    let said = stage.refused(&["pull", "--platform", "linux/amd64", &stage.name("many")]);
    assert!(said.contains("no matching manifest for linux/amd64"), "{said}");
    assert!(registry.count("GET", Route::Manifest) <= 2);
    assert!(start.elapsed() < Duration::from_secs(120), "{:?}", start.elapsed());
}

/// A builder that takes what was pulled for what it made itself can be given layers. dhow has no builder, and so no cache of
/// steps: an image that claims another's history is an image of its own, and takes nothing from the other. What else is found again
/// by somebody's word is in `provenance`.
#[test]
fn cve_2024_24557_no_cache_to_poison() {
    let stage = stage();
    let said = stage.refused(&["build", "."]);
    assert!(said.contains("build"), "{said}");
    stage.must(&["pull", &stage.name("v1")]);
    let before = stage.must(&["history", "--no-trunc", &stage.name("v1")]);
    // The same history and configuration, other layers.
    let (repository, registry) = (stage.known.recipe.repository, &stage.known.registry);
    let mut document = manifest(&stage);
    let config = document["config"]["digest"].as_str().expect("a digest").to_owned();
    let mut config: Value =
        serde_json::from_slice(&registry.blob(repository, &config).expect("a config")).expect("JSON");
    let poison =
        dhow_testkit::images::tar_of(&[dhow_testkit::images::Entry { path: "x", mode: 0o644, content: b"poison" }]);
    let poison = poison.expect("a tar");
    config["rootfs"]["diff_ids"][1] = digest_of(&poison).into();
    let config = config.to_string().into_bytes();
    document["config"]["digest"] = registry.put_blob(repository, &config).into();
    document["config"]["size"] = config.len().into();
    document["layers"][1]["digest"] = registry.put_blob(repository, &poison).into();
    document["layers"][1]["size"] = poison.len().into();
    put(&stage, "poison", MANIFEST, document.to_string().as_bytes());
    stage.must(&["pull", &stage.name("poison")]);
    assert_eq!(stage.must(&["history", "--no-trunc", &stage.name("v1")]), before);
    let ids = stage.must(&["images", "--quiet", "--no-trunc"]);
    assert_eq!(ids.lines().collect::<std::collections::BTreeSet<_>>().len(), 2, "{ids}");
}
