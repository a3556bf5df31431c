//! Case 16: content that is found again by what somebody claims of it.
//!
//! The builder that CVE-2024-24557 is about took a pulled image for the result of a step, because its config said so. What dhow
//! finds again by such words are unpacked layers (by diff ID and chain ID), images (by the digest of their config) and the places
//! that blobs are mounted from. Here an image claims another's layers, history and name, and has others.

#![allow(clippy::disallowed_methods, reason = "scratch files of the test itself")]

use dhow_testkit::images::{Entry, tar_of};
use dhow_testkit::registry::digest_of;
use dhow_testkit::registry::known::recipe;
use dhow_tests::known::Stage;
use serde_json::Value;

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

fn layer(content: &[u8]) -> Vec<u8> {
    tar_of(&[Entry { path: "x", mode: 0o644, content }]).expect("a tar")
}

/// A registry with `v1`, of one layer whose file `x` says `honest`, and `poison`: the same config, and a layer in which it says
/// something else.
fn stage() -> Stage {
    let stage = Stage::new(recipe("Harbor"));
    let (repository, registry) = (stage.known.recipe.repository, &stage.known.registry);
    registry.put_image(repository, "v1", &[layer(b"honest")]);
    let (_, bytes) = registry.manifest(repository, "v1").expect("a manifest");
    let mut document: Value = serde_json::from_slice(&bytes).expect("JSON");
    let poison = layer(b"poison");
    document["layers"][0]["digest"] = registry.put_blob(repository, &poison).into();
    document["layers"][0]["size"] = poison.len().into();
    registry.put_manifest(repository, "poison", MANIFEST, document.to_string().as_bytes());
    stage
}

/// What `x` says in an image that is here; the refusal where it says nothing.
fn said(stage: &Stage, name: &str) -> String {
    let output = stage.run(&["cat", &format!("{name}:/x")]);
    if output.code == 0 { output.stdout } else { format!("refused: {}", output.stderr) }
}

/// The one image of the store is the honest one, whatever is made of it.
#[track_caller]
fn is_honest(stage: &Stage) {
    let (v1, made) = (stage.name("v1"), stage.name("made"));
    assert_eq!(said(stage, &v1), "honest");
    for verb in [&["flatten", "-t", &made, &v1][..], &["append", "-b", &v1, "-f", "more.tar", "-t", &made]] {
        stage.must(verb);
        assert_eq!(said(stage, &made), "honest", "{verb:?}");
        stage.must(&["rmi", &made]);
    }
    stage.must(&["save", "-o", "saved.tar", &v1]);
    let saved = std::fs::read(stage.scene.path("saved.tar")).expect("an archive");
    assert!(!saved.windows(6).any(|window| window == b"poison"), "nothing of the other is in it");
    // What goes to a registry is what is here, not what the registry has under the same claims.
    stage.log_in();
    let pushed = stage.name("pushed");
    stage.must(&["tag", &v1, &pushed]);
    stage.must(&["push", "--quiet", &pushed]);
    stage.must(&["rmi", &pushed]);
    let (_, manifest) =
        stage.known.registry.manifest(stage.known.recipe.repository, "pushed").expect("the pushed manifest");
    assert!(String::from_utf8_lossy(&manifest).contains(&digest_of(&layer(b"honest"))));
    stage.must(&["system", "check"]);
}

#[test]
fn cve_2024_24557_claims_are_no_keys() {
    for comes_first in [false, true] {
        let stage = stage();
        let (v1, poison) = (stage.name("v1"), stage.name("poison"));
        std::fs::write(stage.scene.path("more.tar"), layer_beside()).expect("a tar");
        if !comes_first {
            stage.must(&["pull", &v1]);
            assert_eq!(said(&stage, &v1), "honest", "unpacked, so that it is found by its diff ID");
        }
        // Every way in proves that the layer is what the config says.
        let here = "store:localhost/poison:1";
        for way in [&["pull", &poison][..], &["copy", &format!("docker://{poison}"), here]] {
            let refusal = stage.refused(way);
            assert!(refusal.contains("diff ID mismatch"), "{way:?}: {refusal}");
        }
        stage.must(&["copy", "--quiet", &format!("docker://{poison}"), "docker-archive:poison.tar:localhost/poison:1"]);
        stage.refused(&["load", "-i", "poison.tar"]);
        if comes_first {
            stage.must(&["pull", &v1]);
        }
        is_honest(&stage);
    }
}

/// Who has layers stored without a proof gets them proven before anything is read of them, and what they claim to be stays what
/// it is.
#[test]
fn cve_2024_24557_claims_without_a_proof() {
    let stage = stage();
    let (v1, poison) = (stage.name("v1"), stage.name("poison"));
    stage.must(&["pull", "--stored", &poison]);
    assert!(said(&stage, &poison).contains("diff ID mismatch"), "{}", said(&stage, &poison));
    stage.refused(&["unpack", &poison, "unpacked"]);
    stage.must(&["pull", &v1]);
    assert_eq!(said(&stage, &v1), "honest");
    // Its config says what is in it, and that is here now: at most it shows that, and never what its blob has.
    let shown = said(&stage, &poison);
    assert!(shown == "honest" || shown.contains("diff ID mismatch"), "{shown}");
    stage.must(&["save", "-o", "saved.tar", &v1]);
    let saved = std::fs::read(stage.scene.path("saved.tar")).expect("an archive");
    assert!(!saved.windows(6).any(|window| window == b"poison"), "nothing of the other is in it");
    let exported = stage.must(&["export", &v1]);
    assert!(exported.contains("honest") && !exported.contains("poison"));
}

/// A layer with another file.
fn layer_beside() -> Vec<u8> {
    tar_of(&[Entry { path: "y", mode: 0o644, content: b"more" }]).expect("a tar")
}
