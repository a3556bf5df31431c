//! `copy` with a real Docker engine and a real podman as places.

#![allow(clippy::disallowed_methods, reason = "test files are scratch files")]

use std::fs;
use std::os::unix::fs::PermissionsExt;

use dhow_testkit::images::{Compression, Format};
use dhow_testkit::peers::{self, Docker, Podman};
use dhow_tests::interop::{Bench, Served, assert_image, must};

#[test]
fn a_docker_engine_gives_and_takes_images() {
    let bench = Bench::new();
    let Some(docker) = peers::available(Docker::start(&bench.path("docker"))) else { return };
    let dhow = bench.dhow("store");
    let served = Served::start(&dhow, &bench.path("registry"));
    let host = format!("unix://{}", docker.folder().join("docker.sock").display());
    for (number, (format, compression)) in
        [(Format::Oci, Compression::Gzip), (Format::Docker, Compression::None)].into_iter().enumerate()
    {
        let image = bench.image(&format!("engine-{number}"), format, compression);
        let name = served.name(&format!("acme/app:{number}"));
        image.publish(&name);
        let engine = format!("docker-daemon:acme/app:{number}");
        dhow.must(&["copy", "-q", "--dest-daemon-host", &host, &format!("docker://{name}"), &engine]);
        let id =
            must(docker.command().args(["image", "inspect", "--format", "{{.Id}}", &format!("acme/app:{number}")]));
        assert_eq!(id, image.id(), "{format:?} {compression:?}");
        // Back out of it the image is the same; its layers come uncompressed, so that its manifest is another one.
        let kept = format!("acme/kept:{number}");
        dhow.must(&["copy", "-q", "--src-daemon-host", &host, &engine, &kept]);
        assert_image(&dhow, &kept, &image.id(), None);
        dhow.must_be_clean("copied from the engine");
    }
    let mut missing = dhow.command(&["copy", "--src-daemon-host", &host, "docker-daemon:acme/nope", "store:x"]);
    let missing = missing.output().expect("dhow");
    assert_eq!(missing.status.code(), Some(1));
    let said = String::from_utf8_lossy(&missing.stderr).into_owned();
    assert!(said.contains("the engine at unix://") && said.contains("acme/nope"), "{said}");
    let mut nobody = dhow.command(&["copy", "--src-daemon-host", "unix:///nowhere.sock", "docker-daemon:x", "store:x"]);
    let said = String::from_utf8_lossy(&nobody.output().expect("dhow").stderr).into_owned();
    assert!(said.starts_with("cannot reach the Docker engine at unix:///nowhere.sock: "), "{said}");
}

#[test]
fn podman_s_storage_gives_and_takes_images() {
    let bench = Bench::new();
    let Some(podman) = peers::available(Podman::open(&bench.path("podman"))) else { return };
    // Dhow runs whatever podman is on the path: here one with a store of its own.
    let shim = bench.path("bin");
    fs::create_dir(&shim).expect("a folder");
    let real = podman.command();
    let words: Vec<String> = std::iter::once(real.get_program())
        .chain(real.get_args())
        .map(|word| format!("'{}'", word.to_string_lossy()))
        .collect();
    let exports: String = real
        .get_envs()
        .filter_map(|(key, value)| Some(format!("export {}='{}'\n", key.to_string_lossy(), value?.to_string_lossy())))
        .collect();
    let script = format!("#!/bin/sh\n{exports}exec {} \"$@\"\n", words.join(" "));
    fs::write(shim.join("podman"), script).expect("a script");
    fs::set_permissions(shim.join("podman"), fs::Permissions::from_mode(0o755)).expect("its mode");
    let path = format!("{}:/usr/bin:/bin:/usr/sbin:/sbin", shim.display());

    let dhow = bench.dhow("store");
    let served = Served::start(&dhow, &bench.path("registry"));
    let image = bench.image("storage", Format::Oci, Compression::Gzip);
    let name = served.name("acme/app:1");
    image.publish(&name);
    let storage = "containers-storage:docker.io/acme/app:1";
    let run = |arguments: &[&str]| must(dhow.command(arguments).env("PATH", &path));
    run(&["copy", "-q", &format!("docker://{name}"), storage]);
    let id = must(podman.command().args(["image", "inspect", "--format", "{{.Id}}", "docker.io/acme/app:1"]));
    assert_eq!(format!("sha256:{id}"), image.id());
    run(&["copy", "-q", storage, "acme/kept:1"]);
    assert_image(&dhow, "acme/kept:1", &image.id(), None);
    dhow.must_be_clean("copied from podman");
    let missing = dhow.command(&["copy", "containers-storage:acme/nope", "store:x"]).env("PATH", &path).output();
    let said = String::from_utf8_lossy(&missing.expect("dhow").stderr).into_owned();
    assert!(said.starts_with("podman: ") && said.contains("acme/nope"), "{said}");
    let without = dhow.command(&["copy", storage, "store:x"]).env("PATH", "/nowhere").output().expect("dhow");
    let said = String::from_utf8_lossy(&without.stderr).into_owned();
    assert!(said.contains("podman, which is not installed here"), "{said}");
}
