//! dhow, podman and skopeo at a registry that wants to know who asks: each uses the login of the other.

#![allow(clippy::disallowed_methods, reason = "reads and writes scratch files")]

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use dhow_testkit::helper::Helpers;
use dhow_testkit::images::{Compression, Format};
use dhow_testkit::peers::{self, PASSWORD, Podman, Registry, USER};
use dhow_tests::crash::Dhow;
use dhow_tests::interop::{Bench, Sample, assert_image, must};

fn registry(bench: &Bench) -> Option<Registry> {
    peers::available(peers::skopeo())?;
    peers::available(Registry::start_protected(&bench.path("registry")))
}

/// An image behind the password, put there by skopeo.
fn publish(bench: &Bench, registry: &Registry) -> (String, Sample) {
    let (image, name) = (bench.image("login", Format::Oci, Compression::Gzip), registry.name("acme/app:1"));
    let mut skopeo = peers::skopeo().expect("skopeo");
    skopeo.args(["copy", "--quiet", "--preserve-digests", "--dest-tls-verify=false", "--dest-creds"]);
    skopeo.arg(format!("{USER}:{PASSWORD}")).arg(image.source());
    must(skopeo.arg(format!("docker://{name}")));
    (name, image)
}

/// Feeds the password to a command that logs in.
#[track_caller]
fn log_in(command: &mut Command) {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = command.spawn().expect("a login");
    child.stdin.take().expect("its input").write_all(PASSWORD.as_bytes()).expect("the password");
    let output = child.wait_with_output().expect("its end");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.contains("Login Succeeded"), "{said}");
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a printable path")
}

fn pulls(dhow: &Dhow, file: &str, name: &str) -> bool {
    dhow.run(&["pull", "--authfile", file, name]).status.success()
}

#[test]
fn dhow_uses_the_logins_of_skopeo_and_podman() {
    let bench = Bench::new();
    let Some(registry) = registry(&bench) else { return };
    let (name, image) = publish(&bench, &registry);
    let address = registry.address().to_string();
    let refused = bench.dhow("anonymous").run(&["pull", "--authfile", text(&bench.path("none.json")), &name]);
    assert!(!refused.status.success() && refused.stderr.contains("no basic auth credentials"), "{}", refused.told());

    let login = ["login", "--tls-verify=false", "-u", USER, "--password-stdin", "--authfile"];
    let file = bench.path("skopeo.json");
    log_in(peers::skopeo().expect("skopeo").args(login).arg(&file).arg(&address));
    let dhow = bench.dhow("of-skopeo");
    assert!(pulls(&dhow, text(&file), &name));
    assert_image(&dhow, &name, &image.id(), Some(&image.manifest.digest));

    let Some(podman) = peers::available(Podman::open(&bench.path("podman"))) else { return };
    let file = bench.path("podman.json");
    // For one namespace only.
    log_in(podman.command().args(login).arg(&file).arg(registry.name("acme")));
    assert!(pulls(&bench.dhow("of-podman"), text(&file), &name));
    assert!(!pulls(&bench.dhow("of-podman"), text(&file), &registry.name("other/app:1")));
    let dhow = bench.dhow("of-podman");
    dhow.must(&["logout", "--authfile", text(&file), &registry.name("acme")]);
    assert!(!pulls(&bench.dhow("after"), text(&file), &name));
}

#[test]
fn skopeo_and_podman_use_the_logins_of_dhow() {
    let bench = Bench::new();
    let Some(registry) = registry(&bench) else { return };
    let (name, image) = publish(&bench, &registry);
    let address = registry.address().to_string();
    let (own, docker) = (bench.path("auth.json"), bench.path("docker"));
    let dhow = bench.dhow("store");
    log_in(dhow.command(&["login", "-u", USER, "--password-stdin", "--authfile", text(&own)]).arg(&address));
    let mut plain = dhow.command(&["--config", text(&docker), "login", "-u", USER, "--password-stdin", &address]);
    log_in(&mut plain);
    for file in [own.clone(), docker.join("config.json")] {
        let mut skopeo = peers::skopeo().expect("skopeo");
        skopeo.args(["inspect", "--tls-verify=false", "--format", "{{.Digest}}", "--authfile"]).arg(&file);
        assert_eq!(must(skopeo.arg(format!("docker://{name}"))), image.manifest.digest, "{file:?}");
    }
    let Some(podman) = peers::available(Podman::open(&bench.path("podman"))) else { return };
    must(podman.command().args(["pull", "--quiet", "--tls-verify=false", "--authfile"]).args([text(&own), &name]));
    assert_eq!(must(podman.command().args(["login", "--get-login", "--authfile", text(&own), &address])), USER);
    must(podman.command().args(["logout", "--authfile", text(&own), &address]));
    assert!(!pulls(&bench.dhow("after"), text(&own), &name), "podman's logout counts here");
}

/// Docker's client does not need its engine to forget a login.
#[test]
fn docker_forgets_what_dhow_had_a_helper_keep() {
    let bench = Bench::new();
    let Some(registry) = registry(&bench) else { return };
    let Some(docker) = peers::available(peers::find("docker")) else { return };
    let (name, _) = publish(&bench, &registry);
    let (address, folder) = (registry.address().to_string(), bench.path("docker"));
    let helpers = Helpers::install(&bench.path("bin"), &["good"]).expect("a helper");
    let search = format!("{}:/usr/bin:/bin", helpers.folder().display());
    std::fs::create_dir(&folder).expect("a folder");
    std::fs::write(folder.join("config.json"), r#"{"credsStore":"good","psFormat":"x"}"#).expect("config.json");
    let dhow = bench.dhow("store");
    let mut login = dhow.command(&["--config", text(&folder), "login", "-u", USER, "--password-stdin", &address]);
    log_in(login.env("PATH", &search));
    let pull = || {
        let mut pull = dhow.command(&["--config", text(&folder), "pull", "--quiet", &name]);
        peers::run(pull.env("PATH", &search)).is_ok()
    };
    assert!(pull());
    let mut logout = Command::new(docker);
    must(logout.args(["--config", text(&folder), "logout", &address]).env("PATH", &search));
    assert!(!pull());
    let asked = helpers.log("good");
    assert!(asked.contains(&format!("erase {address}")), "{asked:?}");
    assert!(!std::fs::read_to_string(folder.join("config.json")).expect("config.json").contains(&address));
}
