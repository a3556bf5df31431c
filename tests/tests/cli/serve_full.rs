//! `serve` on a full disk.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use dhow_testkit::images::sha256;
use dhow_tests::scene::{Scene, Server};

use crate::failures::{Mounted, fill};

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

/// Sends one request; returns the status.
fn ask(server: &Server, method: &str, path: &str, body: &[u8]) -> u16 {
    let mut stream = TcpStream::connect(server.address()).expect("a connection");
    stream.set_read_timeout(Some(Duration::from_secs(60))).expect("a limit");
    let length = body.len();
    let head = format!(
        "{method} /v2/{path} HTTP/1.1\r\nHost: x\r\nContent-Type: {MANIFEST}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(&[head.as_bytes(), body].concat()).expect("a request");
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).expect("an answer");
    let status = answer.get(9..12).and_then(|status| std::str::from_utf8(status).ok()?.parse().ok());
    status.unwrap_or_else(|| panic!("{method} {path}: {}", String::from_utf8_lossy(&answer)))
}

fn push(server: &Server, repository: &str, bytes: &[u8]) -> String {
    let digest = sha256(bytes);
    assert_eq!(ask(server, "POST", &format!("{repository}/blobs/uploads/?digest={digest}"), bytes), 201);
    digest
}

fn manifest(config: &str, layer: &str, length: usize) -> String {
    format!(
        r#"{{"schemaVersion":2,"mediaType":"{MANIFEST}","config":{{"mediaType":"application/x","digest":"{config}","size":2}},
"layers":[{{"mediaType":"application/y","digest":"{layer}","size":{length}}}]}}"#
    )
}

/// The journal has room for a change whose files have none; a start has to write them, and only a collection can make room.
#[test]
fn collection_makes_room_for_what_a_killed_server_left() {
    let scene = Scene::new();
    let folder = scene.path("registry");
    let Some(_mounted) = Mounted::new(&folder, &[&["-t", "tmpfs", "-o", "size=3m", "tmpfs"]]) else { return };
    let server = scene.serve();
    let (whole, stray, waiting) = (vec![1; 200_000], vec![2; 300_000], vec![3; 200_000]);
    let config = push(&server, "a", b"{}");
    let layer = push(&server, "a", &whole);
    assert_eq!(ask(&server, "PUT", "a/manifests/v1", manifest(&config, &layer, whole.len()).as_bytes()), 201);
    let (stray, waiting) = (push(&server, "a", &stray), push(&server, "a", &waiting));
    // What the journal names is kept; a server that stops in order leaves none.
    assert_eq!(server.stop(), Some(0));
    let server = scene.serve();
    push(&server, "a", b"begins the journal");
    fill(&folder);
    assert_eq!(ask(&server, "PUT", "a/manifests/v2", manifest(&config, &waiting, 200_000).as_bytes()), 507);
    drop(server);
    // Without grace, too, what came within the steps of the system's clock stays.
    std::thread::sleep(Duration::from_millis(300));

    for arguments in [&["serve", "--listen", "127.0.0.1:0"][..], &["serve", "scrub"]] {
        let refused = scene.dhow(&[arguments, &["--root-dir", "registry"]].concat());
        let told = refused.code == 1 && refused.stderr.contains("no space left on device");
        assert!(told, "{arguments:?}: {refused}");
    }
    let gc = ["serve", "gc", "--grace", "0s", "--root-dir", "registry"];
    let rehearsed = scene.dhow(&[&gc[..], &["--dry-run"]].concat());
    let expected =
        "Looked at 1 manifest in 1 repository\nWould remove 1 blob from repositories, and 1 file of content (300kB)\n";
    assert_eq!((rehearsed.code, rehearsed.stdout.as_str()), (0, expected), "{rehearsed}");
    let collected = scene.dhow(&gc);
    assert_eq!(
        (collected.code, collected.stdout),
        (0, expected.replace("Would remove", "Removed")),
        "{}",
        collected.stderr
    );

    let server = scene.serve();
    for (path, status) in [
        ("manifests/v1".to_owned(), 200),
        ("manifests/v2".to_owned(), 200),
        (format!("blobs/{layer}"), 200),
        (format!("blobs/{waiting}"), 200),
        (format!("blobs/{stray}"), 404),
    ] {
        assert_eq!(ask(&server, "GET", &format!("a/{path}"), b""), status, "{path}");
    }
    push(&server, "b", b"{}");
    assert_eq!(server.stop(), Some(0));
    let scrubbed = scene.dhow(&["serve", "scrub", "--root-dir", "registry"]);
    assert_eq!(scrubbed.code, 0, "{scrubbed}");
}
