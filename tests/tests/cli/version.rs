//! `version`

use dhow_testkit::peers;
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
    let document: serde_json::Value =
        serde_json::from_str(&scene.must(&["version", "--format", "json"])).expect("a document");
    let members: Vec<&String> = document.as_object().expect("an object").keys().collect();
    assert_eq!(members, ["Client", "Config", "Platform", "Server", "Store", "Version"]);
    assert_snapshot!(scene.dhow(&["version", "--format", "{{.Client.Version}} {{.Server.Version}} {{.Store}}"]), @"
    exit 0
    [out]
    [VERSION] [VERSION] [FOLDER]/store
    ");
    assert_snapshot!(scene.dhow(&["version", "--format", "{{.Version}} {{.Platform | printf \"%s|\"}}"]), @"
    exit 0
    [out]
    [VERSION] [PLATFORM]|
    ");
    assert_snapshot!(scene.dhow(&["version", "--format", "{{.Nope}}"]), @r#"
    exit 1
    [err]
    template parsing error: template: :1:2: executing "" at <.Nope>: can't evaluate field Nope in type version.Version
    "#);
}

/// Scripts that are written for docker ask for client and server.
#[test]
fn called_as_docker_it_is_client_and_server() {
    let scene = Scene::new();
    scene.call(env!("CARGO_PKG_VERSION"), "[VERSION]");
    scene.call(architecture(), "[ARCHITECTURE]");
    assert_snapshot!(scene.docker(&["version", "--format", "{{.Client.Version}} {{.Server.Version}} {{.Server.Os}}"]), @"
    exit 0
    [out]
    [VERSION] [VERSION] linux
    ");
    assert_snapshot!(scene.docker(&["version", "--format", "json"]), @r#"
    exit 0
    [out]
    {"Client":{"Version":"[VERSION]","Os":"linux","Arch":"[ARCHITECTURE]","Context":"default"},"Server":{"Platform":{"Name":"dhow"},"Components":[{"Name":"Engine","Version":"[VERSION]","Details":{"Arch":"[ARCHITECTURE]","Os":"linux"}}],"Version":"[VERSION]","ApiVersion":"","GitCommit":"","GoVersion":"","Os":"linux","Arch":"[ARCHITECTURE]"}}
    "#);
    assert_snapshot!(scene.docker(&["version", "--format", "{{.Nope}}"]), @r#"
    exit 1
    [out]

    [err]
    template: version:1:2: executing "version" at <.Nope>: can't evaluate field Nope in type system.versionInfo
    "#);
    assert_snapshot!(scene.docker(&["version", "--format", "{{.Client"]), @"
    exit 64
    [err]
    template parsing error: template: version:1: unclosed action
    ");
}

fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

#[test]
fn info_has_docker_s_names() {
    let scene = Scene::new();
    scene.load("a", "docker.io/library/alpine:3.20");
    let format = "{{.Driver}} {{.Images}} {{.Containers}} {{.OSType}} {{.DockerRootDir}} {{.ServerVersion}} \
                  {{.RegistryConfig.InsecureRegistryCIDRs}} {{gt .NCPU 0}} {{if .MemTotal}}memory{{end}}";
    scene.call(env!("CARGO_PKG_VERSION"), "[VERSION]");
    assert_snapshot!(scene.dhow(&["info", "--format", format]), @"
    exit 0
    [out]
    dhow 1 0 linux [FOLDER]/store [VERSION] [::1/128 127.0.0.0/8] true memory
    ");
    let object: serde_json::Value =
        serde_json::from_str(&scene.must(&["system", "info", "--format", "json"])).expect("JSON");
    assert_eq!(object["Images"], 1);
    assert_eq!(object["OSType"], "linux");
    let text = scene.must(&["info"]);
    let of_docker = ["  Stopped: 0", " Swarm: inactive", " Security Options:", "  seccomp", "   Profile: builtin"];
    let of_store = ["Server:", " Images: 1", " Storage Driver: dhow", " Docker Root Dir: [FOLDER]/store"];
    for line in of_docker.into_iter().chain(of_store) {
        assert!(text.lines().any(|shown| shown == line), "{line}: {text}");
    }
    let hub = scene.must(&["info", "--format", "{{json .RegistryConfig.IndexConfigs}}"]);
    let expected = "{\"docker.io\":{\"Name\":\"docker.io\",\"Mirrors\":[],\"Secure\":true,\"Official\":true}}\n";
    assert_eq!(hub, expected);
    let unknown = scene.dhow(&["info", "--format", "{{.Images}}{{.Nope}}"]);
    let why = "template: :1:13: executing \"\" at <.Nope>: can't evaluate field Nope in type system.dockerInfo\n";
    assert_eq!((unknown.code, unknown.stdout.as_str(), unknown.stderr.as_str()), (1, "1\n", why));
    assert_snapshot!(scene.dhow(&["info", "--format", "{{.Images"]), @"
    exit 64
    [err]
    template parsing error: template: :1: unclosed action
    ");
}

/// Older scripts ask podman for a version without saying whose.
#[test]
fn a_version_is_the_client_s_where_there_is_no_server() {
    let scene = Scene::new();
    let version = |format: &str| scene.podman(&["version", "--format", format]).stdout;
    let own = concat!(env!("CARGO_PKG_VERSION"), "\n");
    assert_eq!(version("{{.Version}}"), own);
    assert_eq!(version("{{.Server.Version}}"), own);
    assert_eq!(version("{{.Client.Version}}"), own);
    let refused = scene.podman(&["version", "--format", "{{.Nope}}"]);
    assert!(refused.code == 125 && refused.stderr.contains("can't evaluate field Nope"), "{refused}");
}

#[test]
fn info_of_podman_has_podman_s_names() {
    let scene = Scene::new();
    scene.load("a", "docker.io/library/alpine:3.20");
    // What scripts ask before they run anything: each member is there, whether it means something here or not.
    let format = "{{.Host.Security.Rootless}} {{.Host.OCIRuntime.Name}} {{.Host.RemoteSocket.Exists}} {{.Host.NetworkBackend}} \
                  {{.Store.GraphDriverName}} {{.Store.ImageStore.Number}} {{.Store.ContainerStore.Running}} {{.Store.GraphRoot}} \
                  {{.Store.GraphOptions}}\\n{{.Plugins.Volume}}";
    let shown = scene.podman(&["info", "--format", format]).to_string();
    let rootless = !peers::is_root();
    assert_eq!(shown, format!("exit 0\n[out]\n{rootless} dhow false  dhow 1 0 [FOLDER]/store map[]\n[local]\n"),);
    let version = scene.podman(&["info", "--format", "{{.Host.CgroupsVersion}}"]).stdout;
    assert!(["v1\n", "v2\n"].contains(&version.as_str()), "{version}");
    let object: serde_json::Value =
        serde_json::from_str(&scene.podman(&["info", "--format", "json"]).stdout).expect("JSON");
    assert_eq!(object["host"]["cgroupVersion"], version.trim_end());
    assert_eq!(object["store"]["imageStore"]["number"], 1);
    assert_eq!(object["host"]["networkBackendInfo"]["backend"], "");
    let absent = "{{.Host.NetworkBackendInfo.DNS.Path}}{{.Host.NetworkBackendInfo.Version}}{{.Host.FreeLocks}}";
    assert_eq!(scene.podman(&["info", "--format", absent]).stdout, "<nil>\n");
    assert!(object["host"]["uptime"].is_string() && object["store"]["graphRootAllocated"].is_number(), "{object}");
    let text = scene.podman(&["info"]).stdout;
    for line in ["host:", "  logDriver: none", "store:", "  graphOptions: {}", "  imageStore:", "    number: 1"] {
        assert!(text.lines().any(|shown| shown == line), "{line}: {text}");
    }
}
