//! `import`

#![allow(clippy::disallowed_methods, reason = "scratch files of the test itself")]

use std::fs;

use dhow_testkit::images::{Entry, sha256, tar_of};
use dhow_testkit::peers::{Docker, available};
use dhow_tests::interop::must;
use dhow_tests::scene::Scene;
use insta::assert_snapshot;
use serde_json::Value;

fn archive() -> Vec<u8> {
    tar_of(&[Entry { path: "etc/motd", mode: 0o644, content: b"hello\n" }]).expect("an archive")
}

fn inspect(scene: &Scene, name: &str) -> Value {
    serde_json::from_str::<Value>(&scene.must(&["inspect", name])).expect("JSON")[0].take()
}

#[test]
fn an_archive_becomes_an_image_of_one_layer() {
    let scene = Scene::new();
    let archive = archive();
    fs::write(scene.path("root.tar"), &archive).expect("a file");
    let id =
        scene.must(&["import", "-c", "CMD [\"sh\"]", "-c", "ENV A=b", "-m", "made here", "root.tar", "acme/root:1"]);
    assert!(id.starts_with("sha256:") && id.trim().len() == 71, "{id}");
    let image = inspect(&scene, "acme/root:1");
    assert_eq!(image["Id"], id.trim());
    assert_eq!(image["RootFS"]["Layers"][0], sha256(&archive));
    assert_eq!((&image["Config"]["Cmd"][0], &image["Config"]["Env"][0]), (&"sh".into(), &"A=b".into()));
    assert_eq!(image["Comment"], "made here");
    // Of any compression, from standard input, without a name; the same files are the same layer.
    let mut packed = Vec::new();
    let mut encoder = flate2_of(&archive);
    packed.append(&mut encoder);
    let second = scene.fed(&["image", "import", "--platform", "linux/arm64", "-"], &packed);
    assert_eq!(second.code, 0, "{second}");
    let image = inspect(&scene, second.stdout.trim());
    assert_eq!((&image["Architecture"], &image["Comment"]), (&"arm64".into(), &"Imported from -".into()));
    assert_eq!(image["RootFS"]["Layers"][0], sha256(&archive));
    scene.must(&["unpack", "acme/root:1", "files"]);
    assert_eq!(fs::read_to_string(scene.path("files/etc/motd")).expect("the file"), "hello\n");
    scene.must(&["system", "check"]);
}

/// gzip by the program of that name.
fn flate2_of(bytes: &[u8]) -> Vec<u8> {
    use std::io::Write;
    use std::process::{Command, Stdio};
    let mut child = Command::new("gzip").arg("-c").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("gzip");
    child.stdin.take().expect("its input").write_all(bytes).expect("written");
    child.wait_with_output().expect("gzip").stdout
}

#[test]
fn what_is_no_archive_is_refused() {
    let scene = Scene::new();
    fs::write(scene.path("text"), "x".repeat(2000)).expect("a file");
    fs::write(scene.path("empty"), "").expect("a file");
    assert_snapshot!(scene.dhow(&["import", "text"]), @r#"
    exit 1
    [err]
    archive "text": entry 1 at byte 0: the header is damaged or this is no tar archive
    "#);
    assert_snapshot!(scene.dhow(&["import", "empty"]), @r#"
    exit 1
    [err]
    archive "empty" is empty
    "#);
    assert_snapshot!(scene.docker(&["import", "-c", "FROM x", "text"]), @r"
    exit 1
    [err]
    Error response from daemon: from is not a valid change command
    ");
    assert_snapshot!(scene.docker(&["import", "nope.tar"]), @r"
    exit 1
    [err]
    open nope.tar: no such file or directory
    ");
    assert_eq!(scene.must(&["images", "-aq"]), "");
}

/// Docker, which unpacks what it imports, has `link /usr/none /x: no such file or directory`, `open /a/b: not a directory` and
/// so on.
#[test]
fn what_cannot_be_unpacked_is_refused() {
    use super::files::{Entry, tar_of};
    let scene = Scene::new();
    let check = |entries: &[Entry<'_>], expected: &str| {
        let imported = scene.fed(&["import", "-"], &tar_of(entries));
        assert_eq!((imported.code, imported.stderr.as_str()), (1, expected), "{imported}");
    };
    let linked = [Entry::Link("lib", "usr"), Entry::File("usr/a", b"a"), Entry::HardLink("x", "usr/none")];
    check(&linked, "archive on standard input: \"x\": the target of the hard link, \"usr/none\", does not exist\n");
    check(
        &[Entry::File("a", b""), Entry::File("a/b", b"")],
        "archive on standard input: \"a/b\": the layer has entries in \"a\", but \"a\" is no directory in it\n",
    );
    check(
        &[Entry::File("a", b"a"), Entry::HardLink("a", "a")],
        "archive on standard input: \"a\": it is a hard link to itself\n",
    );
    check(
        &[Entry::File("d/a", b"a"), Entry::File("d/.wh.a", b"")],
        "archive on standard input: \"d/a\": the archive has what it removes\n",
    );
    let linked = tar_of(&[Entry::Link("lib", "usr"), Entry::File("usr/a", b"a"), Entry::HardLink("x", "lib/a")]);
    assert_eq!(scene.fed(&["import", "-"], &linked).code, 0);
}

/// A web server that knows three paths, until the test ends. It answers so many requests.
fn web(archive: Vec<u8>, requests: usize) -> String {
    use std::io::{BufRead, BufReader, Write};
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address").to_string();
    std::thread::spawn(move || {
        for stream in listener.incoming().take(requests) {
            let mut stream = stream.expect("a connection");
            let mut lines = BufReader::new(stream.try_clone().expect("a clone")).lines();
            let line = lines.next().and_then(Result::ok).unwrap_or_default();
            let rest: Vec<String> = lines.map_while(Result::ok).take_while(|line| !line.is_empty()).collect();
            let is_known = rest.iter().any(|line| line.eq_ignore_ascii_case("authorization: Basic bWU6c2VjcmV0"));
            let path = line.split(' ').nth(1).unwrap_or_default();
            let (head, body) = match path.split('?').next().unwrap_or_default() {
                "/root.tar" => (format!("200 OK\r\nContent-Length: {}", archive.len()), archive.as_slice()),
                "/private.tar" if is_known => ("200 OK".to_owned(), archive.as_slice()),
                "/private.tar" => ("401 Unauthorized".to_owned(), &b"who are you?"[..]),
                "/moved" => ("302 Found\r\nLocation: /root.tar".to_owned(), &b""[..]),
                "/inwards" => ("302 Found\r\nLocation: http://169.254.169.254/latest".to_owned(), &b""[..]),
                "/cut.tar" => (format!("200 OK\r\nContent-Length: {}", archive.len() + 1), archive.as_slice()),
                _ => ("404 Not Found".to_owned(), &b"nothing here\n"[..]),
            };
            let _ = stream.write_all(format!("HTTP/1.1 {head}\r\nConnection: close\r\n\r\n").as_bytes());
            let _ = stream.write_all(body);
        }
    });
    address
}

#[test]
fn an_archive_behind_a_url_is_fetched() {
    let scene = Scene::new();
    let archive = archive();
    let address = web(archive.clone(), 12);
    scene.call(&address, "[WEB]");
    let url = |path: &str| format!("http://{address}/{path}");
    let imported = scene.dhow(&["import", &url("root.tar?token=secret"), "acme/root:1"]);
    assert_eq!(
        (imported.code, imported.stderr.as_str()),
        (0, "Downloading from http://[WEB]/root.tar\n"),
        "{imported}"
    );
    assert_eq!(imported.stdout.trim().len(), 71, "{imported}");
    let image = inspect(&scene, "acme/root:1");
    assert_eq!(image["RootFS"]["Layers"][0], sha256(&archive));
    assert_eq!(image["Comment"], "Imported from http://[WEB]/root.tar", "secrets stay out of it");
    // Docker tells on standard output; a redirect is followed, and a name and a password are for who is asked.
    let second = scene.docker(&["import", &url("moved")]);
    assert_eq!((second.code, second.stdout.lines().count()), (0, 2), "{second}");
    assert!(second.stdout.starts_with("Downloading from http://[WEB]/moved\n"), "{second}");
    assert_eq!(scene.dhow(&["import", &format!("http://me:secret@{address}/private.tar")]).code, 0);
    assert_snapshot!(scene.dhow(&["import", &url("private.tar")]), @r"
    exit 1
    [err]
    Downloading from http://[WEB]/private.tar
    failed to GET http://[WEB]/private.tar with status 401 Unauthorized: who are you?
    ");
    assert_snapshot!(scene.docker(&["import", &url("nope.tar")]), @r"
    exit 1
    [out]
    Downloading from http://[WEB]/nope.tar
    [err]
    Error response from daemon: failed to GET http://[WEB]/nope.tar with status 404 Not Found: nothing here
    ");
    assert_snapshot!(scene.dhow(&["import", &url("inwards")]), @r"
    exit 1
    [err]
    Downloading from http://[WEB]/inwards
    http://[WEB]/inwards: it is redirected to http://169.254.169.254/latest, which only this machine can see
    ");
    assert_snapshot!(scene.dhow(&["import", "http://"]), @r#"
    exit 1
    [err]
    Downloading from http://
    "http://": empty host
    "#);
    let cut = scene.dhow(&["import", &url("cut.tar")]);
    assert!(cut.code == 1 && cut.stderr.contains("/cut.tar: the connection broke"), "{cut}");
    scene.must(&["system", "check"]);
}

#[test]
fn docker_makes_the_same_layer_of_it() {
    let scene = Scene::new();
    let Some(docker) = available(Docker::start(&scene.path("docker"))) else { return };
    let archive = archive();
    fs::write(scene.path("root.tar"), &archive).expect("a file");
    let changes = [
        "-c",
        "ENTRYPOINT /bin/a b",
        "-c",
        "EXPOSE 80 53/udp",
        "-c",
        "LABEL a=b",
        "-c",
        "WORKDIR /x",
        "-c",
        "VOLUME /v",
    ];
    scene.must(&[&["import"], &changes[..], &["root.tar", "it"]].concat());
    must(docker.command().arg("import").args(changes).arg(scene.path("root.tar")).arg("it"));
    let theirs: Value = serde_json::from_str(&must(docker.command().args(["image", "inspect", "it"]))).expect("JSON");
    let ours = inspect(&scene, "it");
    for path in [
        "/RootFS/Layers",
        "/Config/Entrypoint",
        "/Config/ExposedPorts",
        "/Config/Labels",
        "/Config/WorkingDir",
        "/Config/Volumes",
        "/Comment",
        "/Os",
        "/Architecture",
    ] {
        assert_eq!(ours.pointer(path), theirs[0].pointer(path), "{path}");
    }
}
