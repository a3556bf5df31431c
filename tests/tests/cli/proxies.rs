//! What `config.json` says of proxies, for containers.

use dhow_tests::scene::Scene;

const CONFIGURATION: &str = r#"{"proxies":{"default":{"httpProxy":"http://p.example:3128","noProxy":"localhost"}}}"#;

/// The variables of a container that is made with these options.
fn variables(scene: &Scene, program: &str, options: &[&str]) -> Vec<String> {
    let create = [&["create", "--name", "box"][..], options, &["acme/web:v1", "true"]].concat();
    let created = scene.run(&mut scene.command_as(program, &create));
    assert_eq!(created.code, 0, "{created}");
    let format = "{{range .Config.Env}}{{println .}}{{end}}";
    let shown = scene.must(&["container", "inspect", "--format", format, "box"]);
    scene.must(&["rm", "box"]);
    shown.lines().filter(|line| line.to_ascii_lowercase().contains("proxy")).map(str::to_owned).collect()
}

#[test]
fn containers_are_told_of_the_proxies_that_the_user_configured() {
    let scene = Scene::new();
    scene.load("a", "docker.io/acme/web:v1");
    assert_eq!(variables(&scene, "docker", &[]), Vec::<String>::new());
    scene.configure(CONFIGURATION);
    let all = [
        "HTTP_PROXY=http://p.example:3128",
        "http_proxy=http://p.example:3128",
        "NO_PROXY=localhost",
        "no_proxy=localhost",
    ];
    assert_eq!(variables(&scene, "docker", &[]), all);
    assert_eq!(variables(&scene, "dhow", &[]), all);
    let given = ["-e", "HTTP_PROXY=http://own", "-e", "no_proxy="];
    let expected = ["http_proxy=http://p.example:3128", "NO_PROXY=localhost", "HTTP_PROXY=http://own", "no_proxy="];
    assert_eq!(variables(&scene, "docker", &given), expected, "what is given is not replaced");
    assert_eq!(variables(&scene, "podman", &[]), Vec::<String>::new(), "podman does not know the setting");
}

#[test]
fn a_configuration_that_cannot_be_read_is_told_of() {
    let scene = Scene::new();
    scene.load("a", "docker.io/acme/web:v1");
    scene.configure("{");
    let created = scene.dhow(&["create", "acme/web:v1", "true"]);
    assert!(created.code == 0 && created.stderr.contains("not a JSON object"), "{created}");
}
