//! What a transfer costs: requests, memory, time; and how the user tells it to be patient or slow.

#![allow(clippy::print_stdout, reason = "figures for whoever reads the test's output")]
#![allow(clippy::disallowed_methods, reason = "scratch files of the test itself")]

use std::net::{IpAddr, UdpSocket};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use dhow_testkit::registry::{Effect, Image, Route, Rule, ScriptedRegistry};
use dhow_tests::crash::Dhow;
use tempfile::TempDir;

/// Most memory that a transfer may take, in kibibytes, whatever it moves.
const PEAK_KIB_MAX: u64 = 64 << 10;

/// Most of it that bytes on their way may take.
const MOVING_KIB_MAX: u64 = 40 << 10;

/// More than that.
const LARGE_BYTES: usize = 160 << 20;

struct Bench {
    folder: TempDir,
}

impl Bench {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().expect("a folder") }
    }

    fn dhow(&self) -> Dhow {
        Dhow::on(&self.folder.path().join("store"))
    }
}

fn pattern(length: usize, salt: u8) -> Vec<u8> {
    (0..length).map(|index| (index * 31 / 7) as u8 ^ salt).collect()
}

fn of_kind(lines: &[String], method: &str, part: &str) -> usize {
    lines.iter().filter(|line| line.starts_with(method) && line.contains(part)).count()
}

/// Runs a command and returns the largest resident set it had, in kibibytes, as the kernel counts it.
fn peak_kib(command: &mut Command) -> u64 {
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("start dhow");
    let status = format!("/proc/{}/status", child.id());
    let mut peak = 0;
    loop {
        let text = std::fs::read_to_string(&status).unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        peak = line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok()).unwrap_or(peak);
        if let Some(ended) = child.try_wait().expect("its end") {
            let output = child.wait_with_output().expect("its output");
            assert!(ended.success(), "{}", String::from_utf8_lossy(&output.stderr));
            return peak;
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// An address of this machine that clients take for a distant one.
fn far_away() -> Option<IpAddr> {
    // Connecting a datagram socket sends nothing; it only picks the way out.
    let socket = UdpSocket::bind("0.0.0.0:0").ok()?;
    socket.connect("198.51.100.1:9").ok()?;
    Some(socket.local_addr().ok()?.ip())
}

#[test]
fn a_pull_of_one_changed_layer_costs_that_layer_and_three_requests() {
    let (bench, registry) = (Bench::new(), ScriptedRegistry::start());
    let mut layers: Vec<Vec<u8>> = (0..10).map(|number| pattern(30_000, number)).collect();
    registry.put_image("app", "v1", &layers);
    let name = format!("{}/app:v1", registry.authority());
    bench.dhow().must(&["pull", &name]);
    assert_eq!(registry.requests().len(), 12, "a manifest, a config and ten layers: {:#?}", registry.lines());
    layers[9] = pattern(30_000, 99);
    let image = registry.put_image("app", "v1", &layers);
    registry.clear_log();
    bench.dhow().must(&["pull", &name]);
    let lines = registry.lines();
    assert_eq!(of_kind(&lines, "GET", &image.layers[9]), 1, "{lines:#?}");
    assert_eq!(lines.len(), 3, "the manifest, the config, and the layer: {lines:#?}");
    expect_nothing_new(&bench, &registry);
}

/// Pulls `app:v1`, which is here as the registry has it.
fn expect_nothing_new(bench: &Bench, registry: &ScriptedRegistry) {
    registry.clear_log();
    bench.dhow().must(&["pull", &format!("{}/app:v1", registry.authority())]);
    assert_eq!(registry.lines(), ["GET /v2/app/manifests/v1"]);
    assert_eq!(registry.requests()[0].sent, 0, "what is known is not sent again");
}

/// Puts an index for this machine's platform and another one over images of these layers; returns the image's digests.
fn put_index(registry: &ScriptedRegistry, layers: &[Vec<u8>]) -> Image {
    let (image, other) = (registry.put_image("app", "", layers), registry.put_image("app", "", &[pattern(50, 5)]));
    let member = |digest: &str, architecture: &str| {
        let (media_type, bytes) = registry.manifest("app", digest).expect("the manifest");
        let platform = serde_json::json!({ "os": "linux", "architecture": architecture });
        serde_json::json!({ "mediaType": media_type, "digest": digest, "size": bytes.len(), "platform": platform })
    };
    let (here, elsewhere) = if cfg!(target_arch = "aarch64") { ("arm64", "amd64") } else { ("amd64", "arm64") };
    let media_type = "application/vnd.oci.image.index.v1+json";
    let index = serde_json::json!({
        "schemaVersion": 2, "mediaType": media_type,
        "manifests": [member(&other.manifest, elsewhere), member(&image.manifest, here)],
    });
    registry.put_manifest("app", "v1", media_type, index.to_string().as_bytes());
    image
}

#[test]
fn a_pull_of_one_changed_layer_behind_an_index_costs_that_layer_and_three_requests() {
    let (bench, registry) = (Bench::new(), ScriptedRegistry::start());
    let mut layers: Vec<Vec<u8>> = (0..10).map(|number| pattern(30_000, number)).collect();
    put_index(&registry, &layers);
    let name = format!("{}/app:v1", registry.authority());
    bench.dhow().must(&["pull", &name]);
    assert_eq!(registry.requests().len(), 13, "an index, a manifest, a config and ten layers: {:#?}", registry.lines());
    layers[9] = pattern(30_000, 99);
    let image = put_index(&registry, &layers);
    registry.clear_log();
    bench.dhow().must(&["pull", &name]);
    let lines = registry.lines();
    let blob = |digest: &str| format!("GET /v2/app/blobs/{digest}");
    let mut expected = vec![
        "GET /v2/app/manifests/v1".to_owned(),
        format!("GET /v2/app/manifests/{}", image.manifest),
        blob(&image.config),
        blob(&image.layers[9]),
    ];
    expected[2..].sort();
    let mut found = lines.clone();
    found[2..].sort();
    assert_eq!(found, expected, "{lines:#?}");
    expect_nothing_new(&bench, &registry);
}

#[test]
fn a_push_costs_three_requests_a_blob_and_a_second_one_two_in_all() {
    let (bench, registry) = (Bench::new(), ScriptedRegistry::start());
    let layers: Vec<Vec<u8>> = (0..10).map(|number| pattern(30_000, number)).collect();
    registry.put_image("app", "v1", &layers);
    let (from, to) = (format!("{}/app:v1", registry.authority()), format!("{}/other:v1", registry.authority()));
    bench.dhow().must(&["pull", &from]);
    let target = ScriptedRegistry::start();
    let to_other = format!("{}/app:v1", target.authority());
    bench.dhow().must(&["tag", &from, &to_other]);
    bench.dhow().must(&["push", &to_other]);
    let lines = target.lines();
    assert_eq!(of_kind(&lines, "HEAD", "/blobs/"), 11, "{lines:#?}");
    assert_eq!(target.count("POST", Route::UploadStart), 11, "{lines:#?}");
    assert_eq!(target.count("PUT", Route::Upload), 11, "{lines:#?}");
    assert_eq!(of_kind(&lines, "HEAD", "/manifests/") + of_kind(&lines, "PUT", "/manifests/"), 2, "{lines:#?}");
    assert_eq!(lines.len(), 35, "nothing but that: {lines:#?}");
    target.clear_log();
    bench.dhow().must(&["push", &to_other]);
    let lines = target.lines();
    assert_eq!(of_kind(&lines, "PUT", "/v2/app/manifests/v1"), 1, "{lines:#?}");
    assert_eq!(lines.len(), of_kind(&lines, "HEAD", "") + 1, "only HEADs and one PUT: {lines:#?}");
    // Where the registry has the blobs in another repository, they are mounted: no bytes go up.
    bench.dhow().must(&["tag", &from, &to]);
    registry.clear_log();
    bench.dhow().must(&["push", &to]);
    let mounted = of_kind(&registry.lines(), "POST", "mount=");
    assert_eq!(mounted, 10, "{:#?}", registry.lines());
}

#[test]
fn a_copy_between_registries_stays_small() {
    let (bench, source, target) = (Bench::new(), ScriptedRegistry::start(), ScriptedRegistry::start());
    let image = source.put_image("app", "v1", &[pattern(LARGE_BYTES, 1), pattern(5 << 20, 2), pattern(1000, 3)]);
    let (from, to) =
        (format!("docker://{}/app:v1", source.authority()), format!("docker://{}/app:v1", target.authority()));
    let peak = peak_kib(&mut bench.dhow().command(&["copy", &from, &to]));
    println!("copy of {} MiB: {} MiB at most", LARGE_BYTES >> 20, peak >> 10);
    assert_eq!(target.tag("app", "v1"), Some(image.manifest));
    assert!(peak > 0 && peak <= PEAK_KIB_MAX, "{peak} KiB");
}

#[test]
fn a_pull_in_parts_stays_small() {
    let Some(address) = far_away() else {
        println!("skipped: no address but the loopback's");
        return;
    };
    let (bench, source) = (Bench::new(), ScriptedRegistry::start_at(address));
    let image = source.put_image("app", "v1", &[pattern(LARGE_BYTES, 1)]);
    let name = format!("{}/app:v1", source.authority());
    let peak = peak_kib(&mut bench.dhow().command(&["pull", "--tls-verify=false", &name]));
    println!("pull of {} MiB in parts: {} MiB at most", LARGE_BYTES >> 20, peak >> 10);
    let parts = source.requests().iter().filter(|request| request.path.ends_with(&image.layers[0])).count();
    assert!(parts >= LARGE_BYTES >> 24, "{parts} parts");
    assert_eq!(source.bytes_sent_of(&image.layers[0]), LARGE_BYTES as u64, "nothing is fetched twice");
    assert!(peak > 0 && peak <= PEAK_KIB_MAX, "{peak} KiB");
}

#[test]
fn a_copy_in_parts_stays_small() {
    let Some(address) = far_away() else {
        println!("skipped: no address but the loopback's");
        return;
    };
    let (bench, source, target) = (Bench::new(), ScriptedRegistry::start_at(address), ScriptedRegistry::start());
    // Four at once share the memory.
    let layers: Vec<Vec<u8>> = (1..5).map(|salt| pattern(40 << 20, salt)).collect();
    let image = source.put_image("app", "v1", &layers);
    source.put_image("app", "small", &[pattern(1000, 9)]);
    let from = format!("docker://{}/app:v1", source.authority());
    let folder = bench.folder.path().join("image");
    // A program that is not optimised is some 20 MiB larger to begin with: what the bytes under way take is what counts.
    let small = [from.replace("v1", "small"), format!("docker://{}/app:small", target.authority())];
    let base = peak_kib(&mut bench.dhow().command(&["copy", "--src-tls-verify=false", &small[0], &small[1]]));
    for to in [format!("docker://{}/app:v1", target.authority()), format!("oci:{}:v1", folder.display())] {
        source.clear_log();
        let copy = ["copy", "--src-tls-verify=false", from.as_str(), to.as_str()];
        let peak = peak_kib(&mut bench.dhow().command(&copy));
        println!("copy of 160 MiB in parts to {to}: {} MiB at most, {} of them anyway", peak >> 10, base >> 10);
        for layer in &image.layers {
            let requests = source.requests();
            let parts = requests.iter().filter(|request| request.path.ends_with(layer)).count();
            assert_eq!(parts, 27, "parts to {to}");
            assert_eq!(source.bytes_sent_of(layer), 40 << 20, "nothing is fetched twice");
        }
        assert!(peak > base && peak - base <= MOVING_KIB_MAX, "{peak} KiB to {to}, {base} of them anyway");
        assert!(cfg!(debug_assertions) || peak <= PEAK_KIB_MAX, "{peak} KiB to {to}");
    }
    assert_eq!(target.tag("app", "v1"), Some(image.manifest));
    let hex = image.layers[3].trim_start_matches("sha256:");
    assert!(std::fs::read(folder.join("blobs/sha256").join(hex)).is_ok_and(|layer| layer == layers[3]));
}

#[test]
fn a_limit_of_bytes_per_second_is_kept_both_ways() {
    let (bench, registry) = (Bench::new(), ScriptedRegistry::start());
    registry.put_image("app", "v1", &[pattern(400_000, 1), pattern(400_000, 2)]);
    let name = format!("{}/app:v1", registry.authority());
    let target = ScriptedRegistry::start();
    let other = format!("{}/app:v1", target.authority());
    let timed = |words: &[&str]| {
        let start = Instant::now();
        bench.dhow().must(words);
        start.elapsed()
    };
    // 800,000 bytes, of which an eighth of a second's come at once.
    let least = Duration::from_secs_f64(800_000.0 / (400.0 * 1024.0) - 0.13);
    assert!(timed(&["pull", "--limit-rate", "400k", &name]) >= least);
    bench.dhow().must(&["tag", &name, &other]);
    assert!(timed(&["push", "--limit-rate", "400K/s", &other]) >= least);
    let (from, to) = (format!("docker://{name}"), format!("docker://{}/copy:v1", target.authority()));
    // Bytes that are read and bytes that are written count alike.
    let elapsed = timed(&["copy", "--limit-rate", "800k", &from, &to]);
    assert!(elapsed >= least, "{elapsed:?}");
}

#[test]
fn patience_is_what_the_user_says() {
    let bench = Bench::new();
    for (retry, requests) in [("0", 1), ("2", 3)] {
        let registry = ScriptedRegistry::start();
        registry.script(Rule::on(Route::Any).effect(Effect::status(503)));
        let name = format!("{}/app:v1", registry.authority());
        let ran = bench.dhow().run(&["pull", "--retry", retry, "--retry-delay", "10ms", &name]);
        assert!(!ran.is_acknowledged());
        assert_eq!(registry.requests().len(), requests, "--retry {retry}: {}", ran.told());
    }
    // A registry that is still to come up is waited for, when the user says so.
    let start = Instant::now();
    let ran = bench.dhow().run(&["pull", "--retry", "3", "--retry-delay", "200ms", "127.0.0.1:1/app:v1"]);
    assert!(start.elapsed() >= Duration::from_millis(600), "{}", ran.told());
    assert!(ran.stderr.contains("connection refused"), "{}", ran.told());
    for (words, message) in [
        (["pull", "--retry-delay", "foobar", "x"], "time: invalid duration \"foobar\""),
        (["push", "--limit-rate", "fast", "x"], "--limit-rate \"fast\": invalid size: 'fast'"),
    ] {
        let ran = bench.dhow().run(&words);
        assert!(!ran.is_acknowledged() && ran.stderr.contains(message), "{}", ran.told());
    }
}

/// Bytes of a layer's upload that arrived, and how often the registry was asked what it has.
fn uploaded(registry: &ScriptedRegistry) -> (u64, usize) {
    let requests = registry.requests();
    let uploads = requests.iter().filter(|request| request.route == Route::Upload);
    let bytes = uploads.clone().filter(|request| request.method != "GET").map(|request| request.received).sum();
    (bytes, uploads.filter(|request| request.method == "GET").count())
}

/// A registry has what arrived only when it has noticed that no more comes.
fn until_idle(registry: &ScriptedRegistry) {
    let begun = Instant::now();
    // What was on its way when the client ended may have to arrive first.
    std::thread::sleep(Duration::from_millis(300));
    while registry.under_way() > 0 {
        assert!(begun.elapsed() < Duration::from_secs(60), "the registry waits for more: {:#?}", registry.lines());
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Uploads that the store notes. A file that is empty yet only holds the lock.
fn noted(dhow: &Dhow) -> usize {
    let says_something = |entry: &std::fs::DirEntry| entry.metadata().is_ok_and(|file| file.len() > 0);
    let entries = std::fs::read_dir(dhow.root().join("uploads"));
    entries.map_or(0, |entries| entries.flatten().filter(says_something).count())
}

#[test]
fn what_one_push_began_the_next_one_ends() {
    const LAYER: u64 = 6 << 20;
    let (bench, source) = (Bench::new(), ScriptedRegistry::start());
    let image = source.put_image("app", "v1", &[pattern(LAYER as usize, 3)]);
    let from = format!("{}/app:v1", source.authority());
    bench.dhow().must(&["pull", &from]);
    let notes = || noted(&bench.dhow());
    for is_killed in [false, true] {
        let target = ScriptedRegistry::start();
        let to = format!("{}/app:v1", target.authority());
        bench.dhow().must(&["tag", &from, &to]);
        if is_killed {
            let mut slow = bench.dhow().command(&["push", "--quiet", "--limit-rate", "2m", &to]);
            let mut child = slow.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("start dhow");
            let deadline = Instant::now() + Duration::from_secs(60);
            while notes() == 0 && Instant::now() < deadline {
                std::thread::sleep(Duration::from_millis(20));
            }
            child.kill().expect("kill dhow");
            child.wait().expect("its end");
        } else {
            target.script(Rule::on(Route::Upload).method("PUT").effect(Effect::CutRequestAfter(3 << 20)));
            let ran = bench.dhow().run(&["push", "--quiet", "--retry", "0", &to]);
            assert!(!ran.is_acknowledged(), "{}", ran.told());
        }
        assert_eq!(notes(), 1, "killed: {is_killed}");
        until_idle(&target);
        target.clear_script();
        target.clear_log();
        bench.dhow().must(&["push", "--quiet", &to]);
        let (bytes, asked) = uploaded(&target);
        assert!(asked == 1 && bytes < LAYER, "killed: {is_killed}: {bytes} bytes were sent: {:#?}", target.lines());
        assert_eq!(target.blob("app", &image.layers[0]).map(|layer| layer.len() as u64), Some(LAYER));
        assert_eq!(notes(), 0, "what is finished is not noted any more");
    }
    // A registry that forgot the upload gets the whole.
    let target = ScriptedRegistry::start();
    let to = format!("{}/app:v1", target.authority());
    bench.dhow().must(&["tag", &from, &to]);
    target.script(Rule::on(Route::Upload).method("PUT").effect(Effect::CutRequestAfter(3 << 20)));
    assert!(!bench.dhow().run(&["push", "--quiet", "--retry", "0", &to]).is_acknowledged());
    target.clear_script();
    target.script(Rule::on(Route::Upload).method("GET").effect(Effect::error(404, "BLOB_UPLOAD_UNKNOWN", "gone")));
    bench.dhow().must(&["push", "--quiet", &to]);
    assert_eq!(target.tag("app", "v1"), Some(image.manifest));
}

/// As a push: the rest alone is read from one registry and sent to the other.
#[test]
fn what_one_copy_between_registries_began_the_next_one_ends() {
    const LAYER: u64 = 6 << 20;
    let (bench, source) = (Bench::new(), ScriptedRegistry::start());
    let image = source.put_image("app", "v1", &[pattern(LAYER as usize, 3)]);
    let dhow = bench.dhow();
    let (from, cut) = (format!("{}/app:v1", source.authority()), Effect::CutRequestAfter(3 << 20));
    // Nobody has a store made for a copy that does not go through it.
    let target = ScriptedRegistry::start();
    dhow.must(&["copy", "--quiet", &format!("docker://{from}"), &format!("docker://{}/app:v1", target.authority())]);
    assert!(!dhow.root().exists());
    dhow.must(&["images"]);
    for verb in ["copy", "sync"] {
        let target = ScriptedRegistry::start();
        let (from, to) = match verb {
            "copy" => (format!("docker://{from}"), format!("docker://{}/app:v1", target.authority())),
            _ => (from.clone(), target.authority()),
        };
        target.script(Rule::on(Route::Upload).method("PUT").effect(cut.clone()));
        let ran = dhow.run(&[verb, "--quiet", "--retry-times", "0", &from, &to]);
        assert!(!ran.is_acknowledged(), "{}", ran.told());
        assert_eq!(noted(&dhow), 1, "{verb}: {}", ran.told());
        until_idle(&target);
        target.clear_script();
        target.clear_log();
        source.clear_log();
        dhow.must(&[verb, "--quiet", &from, &to]);
        let (bytes, asked) = uploaded(&target);
        assert!(asked == 1 && bytes < LAYER, "{verb}: {bytes} bytes were sent: {:#?}", target.lines());
        assert!(source.bytes_sent_of(&image.layers[0]) < LAYER, "{verb}: {:#?}", source.lines());
        assert_eq!(target.tag("app", "v1").as_ref(), Some(&image.manifest), "{verb}");
        assert_eq!(noted(&dhow), 0, "{verb}: what is finished is not noted any more");
    }
}

#[test]
fn what_one_copy_into_a_folder_began_the_next_one_ends() {
    const LAYER: u64 = 6 << 20;
    let (bench, source) = (Bench::new(), ScriptedRegistry::start());
    let image = source.put_image("app", "v1", &[pattern(LAYER as usize, 3)]);
    let (dhow, from) = (bench.dhow(), format!("docker://{}/app:v1", source.authority()));
    let hex = image.layers[0].trim_start_matches("sha256:");
    for (kind, blobs) in [("oci", "blobs/sha256"), ("dir", "")] {
        let folder = bench.folder.path().join(kind);
        let to = format!("{kind}:{}", folder.display());
        let part = folder.join(blobs).join(format!(".{hex}.partial"));
        for is_spoilt in [false, true] {
            source.script(Rule::on(Route::Blob).method("GET").path(&image.layers[0]).effect(Effect::CutAfter(4 << 20)));
            let ran = dhow.run(&["copy", "--quiet", "--retry-times", "0", &from, &to]);
            assert!(!ran.is_acknowledged(), "{}", ran.told());
            assert!(part.metadata().is_ok_and(|part| part.len() > 1 << 20), "{kind}: what came is kept");
            if is_spoilt {
                std::fs::write(&part, pattern(3 << 20, 9)).expect("other bytes");
            }
            source.clear_script();
            source.clear_log();
            dhow.must(&["copy", "--quiet", &from, &to]);
            let bytes = source.bytes_sent_of(&image.layers[0]);
            assert!(if is_spoilt { bytes > LAYER } else { bytes < LAYER - (1 << 20) }, "{kind}: {bytes}");
            assert!(!part.exists(), "{kind}: nothing is left of it");
            let blob = std::fs::read(folder.join(blobs).join(hex)).expect("the layer");
            assert!(blob == pattern(LAYER as usize, 3), "{kind}: right to the bit");
            std::fs::remove_dir_all(&folder).expect("a folder");
        }
    }
}

/// What was asked for of a blob, in order: whether a range, on what condition, and how the registry answered.
fn asked(registry: &ScriptedRegistry, digest: &str) -> Vec<(bool, Option<String>, u16)> {
    let requests = registry.requests().into_iter().filter(|request| request.path.ends_with(digest));
    requests
        .map(|request| {
            let condition = request.header("if-range").map(|tag| tag.trim_matches('"').to_owned());
            (request.header("range").is_some(), condition, request.status)
        })
        .collect()
}

#[test]
fn a_blob_that_changed_since_the_run_before_is_begun_anew() {
    const LAYER: usize = 4 << 20;
    let (bench, registry) = (Bench::new(), ScriptedRegistry::start());
    let image = registry.put_image("app", "v1", &[pattern(LAYER, 3)]);
    let digest = &image.layers[0];
    let (dhow, name) = (bench.dhow(), format!("{}/app:v1", registry.authority()));
    let from = format!("docker://{name}");
    let [oci, dir] = ["oci", "dir"].map(|kind| format!("{kind}:{}", bench.folder.path().join(kind).display()));
    let run = |ways: &[&str], is_cut: bool| {
        let words: Vec<&str> = ways.iter().copied().filter(|word| is_cut || !word.starts_with("--retry")).collect();
        match is_cut {
            true => assert!(!dhow.run(&words).is_acknowledged(), "{words:?} is cut"),
            false => drop(dhow.must(&words)),
        }
    };
    for words in [
        vec!["copy", "--retry-times=0", &from, &oci],
        vec!["copy", "--retry-times=0", &from, &dir],
        vec!["pull", "--retry=0", &name],
    ] {
        let cut = Rule::on(Route::Blob).method("GET").path(digest).effect(Effect::CutAfter(3 << 20));
        let other = cut.clone().effect(Effect::Body(pattern(LAYER, 9)));
        registry.script(other.effect(Effect::SetHeader("ETag".into(), "\"old\"".into())));
        run(&words, true);
        registry.clear_script();
        registry.clear_log();
        // The registry has the right bytes by now, under another tag: it says so itself, and no digest has to.
        registry.script(cut.times(2));
        run(&words, true);
        let [first, second] = asked(&registry, digest).try_into().expect("two requests");
        assert_eq!(first, (true, Some("old".to_owned()), 200), "{words:?}");
        assert_eq!(second, (false, None, 200), "{words:?}: from the first byte");
        registry.clear_script();
        registry.clear_log();
        run(&words, false);
        assert_eq!(
            asked(&registry, digest),
            [(true, Some(digest.clone()), 206)],
            "{words:?}: what is the same goes on"
        );
    }
    dhow.must_be_clean("after a pull of what had changed");
}

#[test]
fn what_one_registry_began_another_ends() {
    let layer = pattern(1_000_000, 7);
    for (first_bytes, sent) in [(layer.clone(), 400_000..=600_000), (pattern(1_000_000, 8), 1_400_000..=1_600_000)] {
        let (bench, one, other) = (Bench::new(), ScriptedRegistry::start(), ScriptedRegistry::start());
        let image = one.put_image("app", "v1", std::slice::from_ref(&layer));
        other.put_image("app", "v1", std::slice::from_ref(&layer));
        let cut = Rule::on(Route::Blob).method("GET").path(&image.layers[0]);
        one.script(cut.effect(Effect::Body(first_bytes)).effect(Effect::CutAfter(600_000)));
        let ran = bench.dhow().run(&["pull", "--retry", "0", &format!("{}/app:v1", one.authority())]);
        assert!(!ran.is_acknowledged(), "{}", ran.told());
        // Bytes of whatever origin are gone on with; the digest says in the end whether they were right.
        bench.dhow().must(&["pull", &format!("{}/app:v1", other.authority())]);
        let bytes = other.bytes_sent_of(&image.layers[0]);
        assert!(sent.contains(&bytes), "{bytes} bytes came from the other registry");
        bench.dhow().must_be_clean("after a pull from two registries");
    }
}
