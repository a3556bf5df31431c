//! `version`

use dhow_tests::scene::Scene;
use insta::assert_snapshot;

#[test]
fn says_what_runs_and_where_things_are() {
    let scene = Scene::new();
    scene.call(env!("CARGO_PKG_VERSION"), "[VERSION]");
    scene.call(&format!("{}/{}", std::env::consts::OS, architecture()), "[PLATFORM]");
    assert_snapshot!(scene.dhow(&["--version"]), @r"
    exit 0
    [out]
    dhow version [VERSION]
    ");
    assert_snapshot!(scene.dhow(&["version"]), @r"
    exit 0
    [out]
    dhow:
     Version:  [VERSION]
     Platform: [PLATFORM]
     Store:    [FOLDER]/store
     Config:   [FOLDER]/docker-config/config.json
    ");
    assert_snapshot!(scene.dhow(&["version", "--format", "json"]), @r#"
    exit 0
    [out]
    {"Config":"[FOLDER]/docker-config/config.json","Platform":"[PLATFORM]","Store":"[FOLDER]/store","Version":"[VERSION]"}
    "#);
}

fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}
