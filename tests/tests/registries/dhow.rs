//! dhow: logs in, pushes, pulls, lists tags and referrers, removes.

use dhow_testkit::registry::known::{Recipe, recipe};
use dhow_testkit::registry::{Deletes, Route};
use dhow_tests::known::{Stage, without_log};

/// Everything that is done with a registry, and what must never leave it.
fn check(recipe: Recipe) {
    let stage = Stage::new(recipe);
    log_in(&stage);
    let digest = push_and_pull(&stage);
    list(&stage);
    refer(&stage, &digest);
    unknown(&stage);
    remove(&stage, &digest);
    stage.known.assert_storage_saw_nothing();
    stage.assert_no_secret_was_told();
}

fn log_in(stage: &Stage) {
    let Recipe { domain, account: (user, _), .. } = &stage.known.recipe;
    let wrong = stage.fed(&["login", "-u", user, "--password-stdin", domain], b"wrong");
    assert_ne!(wrong.code, 0, "{wrong}");
    assert!(!stage.scene.path("docker-config/config.json").exists(), "what was refused is not stored");
    let output = stage.log_in();
    assert_eq!(output.stdout, "Login Succeeded\n", "{}", stage.known.recipe.name);
}

/// Pushes an image, pulls it into an empty store, and proves that it is the same.
fn push_and_pull(stage: &Stage) -> String {
    let (registry, name) = (&stage.known.registry, stage.name("v1"));
    let image = stage.scene.load("a", &name);
    stage.must(&["push", &name]);
    assert_eq!(registry.tag(stage.known.recipe.repository, "v1").as_ref(), Some(&image.manifest.digest));
    assert_eq!(registry.open_uploads(), 0);
    let heads = registry.count("POST", Route::UploadStart);
    stage.must(&["push", &name]);
    assert_eq!(registry.count("POST", Route::UploadStart), heads, "what is there is not sent again");
    stage.must(&["rmi", &name]);
    stage.must(&["pull", &name]);
    let shown = stage.must(&["images", "--no-trunc", "--quiet", familiar(&name)]);
    assert_eq!(shown.trim(), stage.scene.shown(image.id.as_bytes()));
    assert_eq!(stage.run(&["pull", &name]).stdout.matches("Image is up to date").count(), 1);
    image.manifest.digest
}

fn list(stage: &Stage) {
    let first = stage.name("v1");
    for tag in ["v2", "v3", "v4", "v5"] {
        let name = stage.name(tag);
        stage.must(&["tag", &first, &name]);
        stage.must(&["push", "--quiet", &name]);
    }
    let repository = first.trim_end_matches(":v1");
    assert_eq!(stage.must(&["tags", repository]), "v1\nv2\nv3\nv4\nv5\n", "{repository}");
}

/// An artifact about the image is among its referrers, by API or by the fallback tag.
fn refer(stage: &Stage, digest: &str) {
    std::fs::write(stage.scene.path("sbom.json"), "{}").expect("a file");
    let name = stage.name("sbom");
    stage.must(&["artifact", "push", "--artifact-type", "x/sbom", "--subject", &stage.name("v1"), &name, "sbom.json"]);
    let listed = stage.must(&["referrers", "--format", "{{.ArtifactType}}", &stage.name("v1")]);
    assert_eq!(listed.trim(), "x/sbom", "{}", stage.known.recipe.name);
    let fallback = digest.replace(':', "-");
    let has_tag = stage.known.registry.tag(stage.known.recipe.repository, &fallback).is_some();
    assert_eq!(has_tag, !stage.known.recipe.ways.referrers, "a tag stands in for the API where there is none");
}

fn unknown(stage: &Stage) {
    let name = stage.name("nope");
    let said = stage.refused(&["pull", &name]);
    // Docker's words: those of a code that it does not know are the registry's alone.
    let expected = match stage.known.recipe.name {
        "Harbor" => "unknown: artifact acme/app:nope not found".to_owned(),
        _ => format!("manifest for {} not found: manifest unknown: ", familiar(&name)),
    };
    assert!(said.contains(&expected), "{said}");
}

/// As docker shows it: without Docker Hub's name.
fn familiar(name: &str) -> &str {
    name.strip_prefix("docker.io/").unwrap_or(name)
}

fn remove(stage: &Stage, digest: &str) {
    let (repository, ways) = (stage.known.recipe.repository, &stage.known.recipe.ways);
    let name = stage.name("v1").replace(":v1", &format!("@{digest}"));
    let output = stage.run(&["rm-remote", "--force", &name]);
    let is_there = stage.known.registry.tag(repository, "v1").is_some();
    match ways.deletes {
        Deletes::Nothing => {
            let said = without_log(&output.stderr);
            assert!(output.code != 0 && said.contains("removes no manifests"), "{said}");
            assert!(is_there);
        }
        _ => assert!(output.code == 0 && !is_there, "{output}"),
    }
}

#[test]
fn docker_hub() {
    check(recipe("Docker Hub"));
}

#[test]
fn github() {
    check(recipe("GHCR"));
}

#[test]
fn google() {
    check(recipe("Google Artifact Registry"));
}

#[test]
fn amazon() {
    check(recipe("Amazon ECR"));
}

#[test]
fn azure() {
    check(recipe("Azure ACR"));
}

#[test]
fn quay() {
    check(recipe("Quay"));
}

#[test]
fn harbor() {
    check(recipe("Harbor"));
}

/// Docker Hub's limit counts reads of manifests, and no HEAD.
#[test]
fn a_pull_that_is_up_to_date_costs_nothing() {
    let stage = Stage::new(recipe("Docker Hub"));
    stage.publish("v1", &stage.scene.image("a"));
    let reads = |stage: &Stage| stage.known.registry.count("GET", Route::Manifest);
    stage.must(&["pull", &stage.name("v1")]);
    let first = reads(&stage);
    stage.must(&["pull", &stage.name("v1")]);
    assert_eq!(reads(&stage), first);
    let mut ways = stage.known.recipe.ways.clone();
    ways.pulls = ways.pulls.map(|pulls| dhow_testkit::registry::Pulls { used: pulls.limit, ..pulls });
    stage.known.registry.set_ways(ways);
    stage.must(&["rmi", &stage.name("v1")]);
    let said = stage.refused(&["pull", &stage.name("v1")]);
    assert!(said.contains("toomanyrequests: You have reached your unauthenticated pull rate limit."), "{said}");
}

/// A blob that Azure does not take whole goes there in parts, and to GitHub in one PATCH.
#[test]
fn large_blobs_go_as_each_wants_them() {
    for (name, patches) in [("Azure ACR", 3), ("GHCR", 2), ("Google Artifact Registry", 0)] {
        let stage = Stage::new(recipe(name));
        stage.log_in();
        std::fs::write(stage.scene.path("big.bin"), vec![7_u8; 24_000_000]).expect("a file");
        stage.must(&["artifact", "push", "--artifact-type", "x/big", &stage.name("big"), "big.bin"]);
        assert_eq!(stage.known.registry.count("PATCH", Route::Upload), patches, "{name}");
    }
}

/// Nobody's push makes a repository at Amazon, and a tag may be fixed there.
#[test]
fn amazon_says_what_it_does_not_take() {
    use dhow_testkit::registry::Refusal;
    let stage = Stage::new(recipe("Amazon ECR"));
    stage.log_in();
    let missing = format!("{}/missing:v1", stage.known.recipe.domain);
    stage.scene.load("a", &missing);
    let said = stage.refused(&["push", &missing]);
    assert!(said.contains("The repository with name 'missing' does not exist in the registry"), "{said}");
    let message = "The image tag '{tag}' already exists in the '{name}' repository and cannot be overwritten because the tag \
                   is immutable.";
    let mut ways = stage.known.recipe.ways.clone();
    ways.immutable_tag = Some(Refusal { status: 400, code: "TAG_INVALID", message });
    stage.known.registry.set_ways(ways);
    stage.publish("v1", &stage.scene.image("b"));
    let name = stage.name("v1");
    stage.must(&["tag", &missing, &name]);
    let said = stage.refused(&["push", &name]);
    assert!(said.contains("The image tag 'v1' already exists in the 'app' repository"), "{said}");
}
