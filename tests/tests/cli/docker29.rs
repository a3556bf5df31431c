//! `--compat docker29`, and `images --tree`, which docker 28 has as an experiment and docker 29 as it is.

use dhow_store::ContainerState;
use dhow_tests::multi::Multi;
use dhow_tests::scene::{Scene, Transcript};
use insta::assert_snapshot;

use crate::rows;

fn docker29(scene: &Scene, arguments: &[&str]) -> Transcript {
    scene.dhow(&[&["--compat", "docker29"], arguments].concat())
}

/// An image under two names, one that a container uses, and one without a name.
fn filled() -> Scene {
    let scene = Scene::new();
    scene.load("a", "docker.io/library/alpine:3.20");
    scene.must(&["tag", "alpine:3.20", "quay.io/acme/base:v1"]);
    scene.load("b", "docker.io/library/busybox:1");
    rows::container(&scene, "busybox:1", "cd", ContainerState::Exited, "{}");
    scene.load("c", "docker.io/library/moved:1");
    scene.load("d", "docker.io/library/moved:1");
    scene
}

#[test]
fn a_line_for_each_name() {
    let scene = filled();
    assert_snapshot!(docker29(&scene, &["images"]), @"
    exit 0
    [out]
    IMAGE                  ID             DISK USAGE   CONTENT SIZE   EXTRA
    alpine:3.20            id-a--------       5.35kB         5.35kB        
    busybox:1              id-b--------       5.35kB         5.35kB   U    
    moved:1                id-d--------       5.35kB         5.35kB        
    quay.io/acme/base:v1   id-a--------       5.35kB         5.35kB
    ");
    assert_snapshot!(docker29(&scene, &["images", "-a"]), @"
    exit 0
    [out]
    IMAGE                  ID             DISK USAGE   CONTENT SIZE   EXTRA
    alpine:3.20            id-a--------       5.35kB         5.35kB        
    busybox:1              id-b--------       5.35kB         5.35kB   U    
    moved:1                id-d--------       5.35kB         5.35kB        
    quay.io/acme/base:v1   id-a--------       5.35kB         5.35kB        
    <untagged>             id-c--------       5.35kB         5.35kB
    ");
    assert_snapshot!(docker29(&scene, &["images", "-f", "dangling=true"]), @"
    exit 0
    [out]
    IMAGE        ID             DISK USAGE   CONTENT SIZE   EXTRA
    <untagged>   id-c--------       5.35kB         5.35kB
    ");
    assert_snapshot!(docker29(&scene, &["images", "alpine"]), @"
    exit 0
    [out]
    IMAGE         ID             DISK USAGE   CONTENT SIZE   EXTRA
    alpine:3.20   id-a--------       5.35kB         5.35kB
    ");
    assert_snapshot!(docker29(&scene, &["images", "ls"]), @r#"
    exit 0
    [out]
    IMAGE   ID             DISK USAGE   CONTENT SIZE   EXTRA
    [err]
    No images found matching "ls": did you mean "docker image ls"?
    "#);
}

#[test]
fn other_lists_are_as_they_were_but_hide_what_has_no_tag() {
    let scene = filled();
    assert_snapshot!(docker29(&scene, &["images", "-q"]), @"
    exit 0
    [out]
    id-b--------
    id-d--------
    id-a--------
    id-a--------
    ");
    assert_snapshot!(docker29(&scene, &["images", "-aq"]), @"
    exit 0
    [out]
    id-b--------
    id-d--------
    id-a--------
    id-a--------
    id-c--------
    ");
    assert_snapshot!(docker29(&scene, &["images", "--format", "{{.Repository}} {{.ID}}"]), @"
    exit 0
    [out]
    busybox id-b--------
    moved id-d--------
    alpine id-a--------
    quay.io/acme/base id-a--------
    ");
    assert_snapshot!(docker29(&scene, &["images", "--format", "{{.VirtualSize}}"]), @r#"
    exit 1
    [err]
    template parsing error: template: :1:2: executing "" at <.VirtualSize>: can't evaluate field VirtualSize in type *formatter.imageContext
    "#);
    scene.configure(r#"{"imagesFormat": "{{.Tag}}"}"#);
    assert_snapshot!(docker29(&scene, &["images"]), @"
    exit 0
    [out]
    1
    1
    3.20
    v1
    ");
}

#[test]
fn the_tree_has_the_platforms_that_are_not_here_too() {
    let scene = Scene::new();
    let server = scene.serve();
    let image = Multi::new(&scene);
    let name = image.publish(&scene, &server, "acme/app:v1");
    scene.must(&["pull", "--platform", "linux/arm64,linux/arm/v7", &name]);
    scene.must(&["tag", &name, "app:v1"]);
    scene.load("a", "docker.io/library/alpine:3.20");
    rows::container(&scene, "alpine:3.20", "cd", ContainerState::Created, "{}");
    assert_snapshot!(scene.dhow(&["images", "--tree"]), @"
    exit 0
    [out]
    IMAGE                         ID             DISK USAGE   CONTENT SIZE   EXTRA
    [REGISTRY]/acme/app:v1
    app:v1                        id-arm64----       4.53kB         4.53kB        
    ├─ linux/amd64                amd64-------           0B             0B        
    ├─ linux/arm64                arm64-------         917B           917B        
    └─ linux/arm/v7               v7----------         935B           935B        

    alpine:3.20                   id-a--------       5.35kB         5.35kB   U    
    └─ linux/amd64                manifest-a--       5.35kB         5.35kB   U
    ");
    assert_snapshot!(docker29(&scene, &["images", "--tree", "app"]), @"
    exit 0
    [out]
    IMAGE                 ID             DISK USAGE   CONTENT SIZE   EXTRA
    app:v1                id-arm64----       4.53kB         4.53kB        
    ├─ linux/amd64        amd64-------           0B             0B        
    ├─ linux/arm64        arm64-------         917B           917B        
    └─ linux/arm/v7       v7----------         935B           935B
    ");
    let experiment = scene.docker(&["images", "--tree", "-f", "reference=app"]).to_string();
    assert_snapshot!(experiment.replace('\x1b', "␛"), @"
    exit 0
    [out]
    WARNING: This is an experimental feature. The output may change and shouldn't be depended on.
                                                                  Info ->  U In Use 

    ␛[39m␛[1mIMAGE␛[0m                 ␛[39m␛[1mID␛[0m             ␛[39m␛[1mDISK USAGE␛[0m   ␛[39m␛[1mCONTENT SIZE␛[0m   ␛[39m␛[1mEXTRA␛[0m
    app:v1                id-arm64----       4.53kB         4.53kB        
    ├─ linux/amd64        amd64-------           0B             0B        
    ├─ linux/arm64        arm64-------         917B           917B        
    └─ linux/arm/v7       v7----------         935B           935B
    ");
    assert_snapshot!(docker29(&scene, &["images"]), @"
    exit 0
    [out]
    IMAGE                         ID             DISK USAGE   CONTENT SIZE   EXTRA
    [REGISTRY]/acme/app:v1   id-arm64----       4.53kB         4.53kB        
    alpine:3.20                   id-a--------       5.35kB         5.35kB   U    
    app:v1                        id-arm64----       4.53kB         4.53kB
    ");
}

#[test]
fn what_does_not_go_with_the_tree() {
    let scene = Scene::new();
    for (flag, named) in [
        ("-q", "--quiet"),
        ("--no-trunc", "--no-trunc"),
        ("--digests", "--show-digest"),
        ("--format=json", "--format"),
        ("--sort=id", "--sort"),
    ] {
        let refused = scene.docker(&["images", "--tree", flag]);
        let expected = format!("{named} is not yet supported with --tree\n");
        assert_eq!((refused.code, refused.stderr), (1, expected), "{flag}");
    }
}

#[test]
fn words_that_changed() {
    let scene = filled();
    assert_snapshot!(docker29(&scene, &["inspect", "nope"]), @"
    exit 1
    [out]
    []
    [err]
    error: no such object: nope
    ");
    assert_snapshot!(docker29(&scene, &["inspect", "--type", "config", ""]), @"
    exit 1
    [out]
    []
    [err]
    invalid config name or ID: value is empty
    ");
    assert_snapshot!(docker29(&scene, &["login", "-u", "bob", "registry.example.com"]), @"
    exit 1
    [err]
    error: cannot perform an interactive login from a non-TTY device
    ");
    assert_snapshot!(docker29(&scene, &["tag", "alpine:3.20", ":x"]), @r#"
    exit 1
    [err]
    error parsing reference: ":x" is not a valid repository/tag: invalid reference format
    "#);
    assert_snapshot!(docker29(&scene, &["system", "df", "--format", "{{.Type}} {{.Size}} {{.Reclaimable}}"]), @"
    exit 0
    [out]
    Images 10.24kB 6.144kB (60%)
    Containers 0B 0B
    Local Volumes 0B 0B
    Build Cache 0B 0B
    ");
    assert_snapshot!(scene.docker(&["system", "df", "--format", "{{.Type}} {{.Size}} {{.Reclaimable}}"]), @"
    exit 0
    [out]
    Images 10.24kB 8.192kB (80%)
    Containers 0B 0B
    Local Volumes 0B 0B
    Build Cache 0B 0B
    ");
}
