//! `system df`

#![allow(clippy::disallowed_methods, reason = "writes what containers and volumes would")]

use dhow_store::ContainerState;
use dhow_tests::scene::Scene;
use insta::assert_snapshot;
use serde_json::Value;

use crate::rows;

/// Two images that share their lower layer, one of them with a container; a volume, a record of a build.
fn in_use() -> Scene {
    let scene = Scene::new();
    scene.load("a", "docker.io/library/alpine:3.20");
    scene.must(&["tag", "alpine:3.20", "zzz/other:1"]);
    scene.load("b", "docker.io/library/other:1");
    let configuration = r#"{"Image":"alpine:3.20","Command":["/bin/sh","-c","sleep infinity"],"Labels":{"a":"b"}}"#;
    rows::container(&scene, "alpine:3.20", "cd", ContainerState::Exited, configuration);
    rows::volume(&scene, "v1", true, &[]);
    rows::build_record(&scene, "abcdefghijklmnop", 2048);
    scene
}

#[test]
fn an_empty_store() {
    assert_snapshot!(Scene::new().dhow(&["system", "df"]), @r"
    exit 0
    [out]
    TYPE            TOTAL     ACTIVE    SIZE      RECLAIMABLE
    Images          0         0         0B        0B
    Containers      0         0         0B        0B
    Local Volumes   0         0         0B        0B
    Build Cache     0         0         0B        0B
    ");
}

#[test]
fn layers_count_once() {
    let scene = in_use();
    assert_snapshot!(scene.dhow(&["system", "df"]), @r"
    exit 0
    [out]
    TYPE            TOTAL     ACTIVE    SIZE      RECLAIMABLE
    Images          2         1         6.144kB   4.096kB (66%)
    Containers      1         0         0B        0B
    Local Volumes   1         0         0B        0B
    Build Cache     1         0         2.048kB   2.048kB
    ");
    let json = scene.must(&["system", "df", "--format", "json"]);
    assert_eq!(
        json.lines().next(),
        Some(r#"{"Active":"1","Reclaimable":"4.096kB (66%)","Size":"6.144kB","TotalCount":"2","Type":"Images"}"#)
    );
    assert_eq!(json.lines().count(), 4);
}

#[test]
fn one_by_one() {
    let scene = in_use();
    let text = scene.must(&["system", "df", "-v"]);
    assert!(text.starts_with("Images space usage:\n\nREPOSITORY   TAG       IMAGE ID       CREATED                  SIZE      SHARED SIZE   UNIQUE SIZE   CONTAINERS\n"), "{text}");
    assert!(
        text.contains(
            "\nalpine       3.20      id-a--------   Less than a second ago   4.1kB     2.048kB       2.048kB       1\n"
        ),
        "{text}"
    );
    assert!(!text.contains("zzz/other"), "only the first tag is shown");
    assert!(text.contains("\n\nContainers space usage:\n\nCONTAINER ID   IMAGE         COMMAND                  LOCAL VOLUMES   SIZE      CREATED"), "{text}");
    assert!(
        text.contains("\ncdcdcdcdcdcd   alpine:3.20   \"/bin/sh -c 'sleep i…\"   0               0B        "),
        "{text}"
    );
    assert!(
        text.contains(
            "   name-cd\n\nLocal Volumes space usage:\n\nVOLUME NAME   LINKS     SIZE\nv1            0         0B\n\n"
        ),
        "{text}"
    );
    assert!(text.contains("Build cache usage: 2.048kB\n\nCACHE ID       CACHE TYPE   SIZE      CREATED        LAST USED      USAGE     SHARED\nabcdefghijkl   regular      2.05kB    "), "{text}");
    let json = scene.must(&["system", "df", "-v", "--format", "json"]);
    assert!(!json.ends_with('\n'));
    let all: Value = serde_json::from_str(&json).expect("JSON");
    let lists: Vec<&String> = all.as_object().expect("an object").keys().collect();
    assert_eq!(lists, ["Images", "Containers", "Volumes", "BuildCache"]);
    assert_eq!(all["Containers"][0]["Command"], "\"/bin/sh -c 'sleep infinity'\"");
    assert_eq!(all["Containers"][0]["Labels"], "a=b");
    assert_eq!(all["Containers"][0]["Platform"], Value::Null);
    assert_eq!(all["Volumes"][0]["Name"], "v1");
    assert_eq!(all["BuildCache"][0]["ID"], "abcdefghijklmnop");
}

#[test]
fn the_disk_says_what_du_says() {
    let scene = in_use();
    let volume = scene.path("store/volumes/v1/_data");
    std::fs::create_dir_all(&volume).expect("a volume");
    std::fs::write(volume.join("data"), vec![1; 10_000]).expect("data");
    let rows: Vec<Value> = scene
        .must(&["system", "df", "--disk", "--format", "json"])
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect();
    let du = std::process::Command::new("du").args(["-s", "-B1"]).arg(scene.path("store")).output().expect("du");
    let du = String::from_utf8_lossy(&du.stdout).split_whitespace().next().expect("a number").to_owned();
    let du: u64 = du.parse().expect("a number");
    let total = rows.last().expect("a total");
    assert_eq!((&total["part"], &total["sizeBytes"]), (&Value::from("total"), &Value::from(du)));
    let parts: Vec<&str> = rows.iter().filter_map(|row| row["part"].as_str()).collect();
    assert_eq!(
        parts,
        ["blobs", "layers", "containers", "volumes", "ingest", "trash", "facts", "databases", "other", "total"]
    );
    let df = scene.must(&["system", "df"]);
    assert!(df.contains("Local Volumes   1         0         10kB      10kB (100%)\n"), "{df}");
}

#[test]
fn templates() {
    let scene = in_use();
    assert_snapshot!(scene.dhow(&["system", "df", "--format", "table {{.Type}}\\t{{.Reclaimable}}"]), @r"
    exit 0
    [out]
    TYPE            RECLAIMABLE
    Images          4.096kB (66%)
    Containers      0B
    Local Volumes   0B
    Build Cache     2.048kB
    ");
    let names = "{{range .Images}}{{.Repository}}:{{.Tag}} {{end}}{{len .Containers}}";
    let shown = scene.must(&["system", "df", "-v", "--format", names]);
    assert!(["alpine:3.20 other:1 1", "other:1 alpine:3.20 1"].contains(&shown.as_str()), "{shown}");
    let ageless = |format: &str| {
        let text = scene.must(&["system", "df", "-v", "--format", format]);
        let mut all: Value = serde_json::from_str(&text).expect("JSON");
        // The container is a second older in the second run, now and then.
        for age in ["RunningFor", "Status"] {
            all["Containers"][0][age] = Value::Null;
        }
        all.to_string()
    };
    assert_eq!(ageless("{{json .}}"), ageless("json"));
}

#[test]
fn formats_that_do_not_go_together() {
    let scene = Scene::new();
    assert_eq!(scene.dhow(&["system", "df", "--disk", "-v"]).code, 1);
    assert_eq!(scene.dhow(&["system", "df", "-v", "--format", "table {{.ID}}"]).code, 1);
    assert!(scene.must(&["system", "df", "--format", "raw"]).starts_with("type: Images\ntotal: 0\n"));
}
