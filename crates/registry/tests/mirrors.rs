//! Who is asked for an image that has mirrors, in which order, and with whose credentials.

#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "a panic is how a test fails, on scratch files")]

mod common;

use std::sync::Arc;

use common::{client, options, run};
use dhow_base::progress::Silent;
use dhow_base::secret::Secret;
use dhow_base::{Error, Kind, Result};
use dhow_content::memory::MemoryPlace;
use dhow_content::{CopyOptions, Resolve, copy};
use dhow_registry::{Access, Client, ClientOptions, ConfigFiles, Credential, CredentialSource, Proxies, Registries};
use dhow_spec::{Digest, Reference, Repository};
use dhow_testkit::proxy::Proxy;
use dhow_testkit::registry::{Access as Door, Effect, Image, Route, Rule, ScriptedRegistry};

const LAYER: usize = 70_000;

fn reference(text: &str) -> Reference {
    Reference::parse(text).unwrap()
}

/// A registry and two mirrors of it, all with the same image.
struct Scene {
    folder: tempfile::TempDir,
    primary: ScriptedRegistry,
    mirrors: [ScriptedRegistry; 2],
    image: Image,
}

impl Scene {
    fn new() -> Self {
        let registries = [(); 3].map(|()| ScriptedRegistry::start());
        let image = registries.each_ref().map(|registry| registry.put_image("app", "v1", &[vec![1; LAYER]]))[0].clone();
        let [primary, one, two] = registries;
        Self { folder: tempfile::tempdir().unwrap(), primary, mirrors: [one, two], image }
    }

    fn name(&self) -> Reference {
        reference(&format!("{}/app:v1", self.primary.authority()))
    }

    fn write(&self, name: &str, text: &str) -> std::path::PathBuf {
        let path = self.folder.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
        path
    }

    /// A client by whose `registries.conf` the two mirrors are asked first.
    fn client(&self) -> Client {
        self.client_as(options())
    }

    fn client_as(&self, options: ClientOptions) -> Client {
        let mirror =
            |registry: &ScriptedRegistry| format!("[[registry.mirror]]\nlocation = '{}'\n", registry.authority());
        let text = format!("[[registry]]\nlocation = '{}'\n", self.primary.authority());
        let path = self.write("registries.conf", &(text + &self.mirrors.each_ref().map(mirror).concat()));
        configured(ConfigFiles { registries: vec![path], ..ConfigFiles::default() }, options)
    }

    fn pull(&self, client: &Client) -> Result<MemoryPlace> {
        let place = MemoryPlace::new();
        run(async {
            let remote = client.source(&self.name())?;
            let root = remote.resolve(&self.name()).await?;
            assert_eq!(root.digest.as_str(), self.image.manifest);
            copy(&remote, &place, &root, &CopyOptions::new(&Silent)).await?;
            Ok::<_, Error>(())
        })?;
        let layer = place.get(&Digest::parse(&self.image.layers[0]).unwrap()).unwrap();
        assert_eq!(layer, vec![1; LAYER], "whoever gave it");
        Ok(place)
    }

    fn counts(&self) -> [usize; 3] {
        [&self.mirrors[0], &self.mirrors[1], &self.primary].map(|registry| registry.requests().len())
    }
}

fn configured(files: ConfigFiles, options: ClientOptions) -> Client {
    client(ClientOptions { registries: Arc::new(Registries::new(files)), ..options })
}

#[test]
fn the_first_mirror_that_has_it_gives_all_of_it() {
    let scene = Scene::new();
    scene.pull(&scene.client()).unwrap();
    assert_eq!(scene.counts(), [4, 0, 0]);
    scene.mirrors[0].script(Rule::on(Route::Manifest).effect(Effect::error(404, "MANIFEST_UNKNOWN", "unknown")));
    scene.mirrors[0].clear_log();
    scene.pull(&scene.client()).unwrap();
    let [first, second, primary] = scene.counts();
    assert!(first > 0 && second >= 2 && primary == 0, "{:?}", scene.counts());
}

#[test]
fn a_mirror_that_is_down_is_asked_once() {
    let scene = Scene::new();
    scene.mirrors[0].script(Rule::on(Route::Any).effect(Effect::status(503)));
    scene.mirrors[1].script(Rule::on(Route::Any).effect(Effect::error(403, "DENIED", "not for you")));
    scene.pull(&scene.client()).unwrap();
    // A HEAD without a reason is repeated as GET before it counts.
    assert_eq!(scene.mirrors[0].requests().len(), 1);
    assert!(scene.mirrors[1].requests().len() <= 2, "{:?}", scene.mirrors[1].lines());
    assert_eq!(scene.primary.requests().len(), 4);
}

#[test]
fn a_blob_that_a_mirror_lacks_comes_from_the_next() {
    let scene = Scene::new();
    scene.mirrors[0].remove_blob(&scene.image.layers[0]);
    scene.pull(&scene.client()).unwrap();
    assert_eq!(scene.mirrors[1].lines(), [format!("GET /v2/app/blobs/{}", scene.image.layers[0])]);
    assert_eq!(scene.primary.requests().len(), 0);
}

#[test]
fn a_mirror_that_lies_is_found_out() {
    for route in [Route::Blob, Route::Manifest] {
        let scene = Scene::new();
        let mut wrong = match route {
            Route::Blob => vec![1; LAYER],
            _ => scene.primary.manifest("app", "v1").unwrap().1,
        };
        *wrong.last_mut().unwrap() ^= 1;
        let path = if route == Route::Blob { &scene.image.layers[0] } else { &scene.image.manifest };
        for mirror in &scene.mirrors {
            mirror.script(Rule::on(route).method("GET").path(path).effect(Effect::Body(wrong.clone())));
        }
        scene.pull(&scene.client()).unwrap();
        assert_eq!(scene.primary.requests().len(), 1, "{route:?}: {:?}", scene.primary.lines());
    }
}

#[test]
fn a_mirror_that_breaks_off_is_not_asked_for_the_same_bytes_again() {
    let scene = Scene::new();
    for mirror in &scene.mirrors {
        mirror.script(Rule::on(Route::Blob).path(&scene.image.layers[0]).effect(Effect::CutAfter(0)));
    }
    scene.pull(&scene.client()).unwrap();
    let asked = |registry: &ScriptedRegistry| {
        registry.lines().iter().filter(|line| line.ends_with(&scene.image.layers[0])).count()
    };
    let all = [&scene.mirrors[0], &scene.mirrors[1], &scene.primary];
    assert_eq!(all.map(asked), [1, 1, 1]);
}

#[test]
fn who_failed_is_told() {
    let scene = Scene::new();
    scene.mirrors[0].script(Rule::on(Route::Any).effect(Effect::status(502)));
    scene.mirrors[1].script(Rule::on(Route::Any).effect(Effect::error(404, "NAME_UNKNOWN", "nothing here")));
    scene.primary.script(Rule::on(Route::Any).effect(Effect::error(404, "MANIFEST_UNKNOWN", "manifest unknown")));
    let error = scene.pull(&scene.client()).unwrap_err();
    let (name, [one, two]) = (scene.name(), scene.mirrors.each_ref().map(ScriptedRegistry::authority));
    let expected = format!(
        "manifest for {name} not found: manifest unknown (mirrors failed too: {one}: received unexpected \
         HTTP status: 502 Bad Gateway; {two}: repository {}/app not found: name unknown: nothing here)",
        scene.primary.authority()
    );
    assert_eq!((error.to_string(), error.kind()), (expected, Kind::NotFound));
}

/// Accounts by the registry that they are for.
#[derive(Debug)]
struct Accounts(Vec<(String, &'static str)>);

impl CredentialSource for Accounts {
    fn get(&self, account: &str) -> Result<Option<Credential>> {
        let known = self.0.iter().find(|(domain, _)| domain == account);
        Ok(known.map(|(_, password)| Credential::password("bob", Secret::new(*password))))
    }
}

#[test]
fn credentials_stay_with_their_host() {
    let scene = Scene::new();
    scene.primary.set_access(Door::basic("bob", "of-the-registry"));
    for mirror in &scene.mirrors {
        mirror.set_access(Door::basic("bob", "of-the-mirror"));
    }
    let accounts =
        Accounts(vec![(scene.primary.authority(), "of-the-registry"), (scene.mirrors[1].authority(), "of-the-mirror")]);
    let client = scene.client_as(ClientOptions {
        credentials: Arc::new(accounts),
        headers: vec![("X-Meta-Key".to_owned(), "secret".to_owned())],
        ..options()
    });
    scene.pull(&client).unwrap();
    let shown = |registry: &ScriptedRegistry| -> Vec<String> {
        let mut all: Vec<String> = registry
            .requests()
            .iter()
            .filter_map(|request| request.header("authorization").map(str::to_owned))
            .collect();
        all.dedup();
        all
    };
    assert!(shown(&scene.mirrors[0]).is_empty(), "nobody has an account there");
    assert_eq!(shown(&scene.mirrors[1]), ["Basic Ym9iOm9mLXRoZS1taXJyb3I="]);
    assert!(scene.primary.requests().is_empty());
    let meta =
        scene.mirrors.iter().flat_map(ScriptedRegistry::requests).any(|request| request.header("x-meta-key").is_some());
    assert!(!meta, "headers for registries are not for mirrors");
}

#[test]
fn docker_hub_s_account_is_not_for_its_mirrors() {
    let scene = Scene::new();
    let mirror = &scene.mirrors[0];
    mirror.put_image("library/app", "v1", &[vec![1; LAYER]]);
    mirror.set_access(Door::basic("bob", "of-docker-hub"));
    let text = format!(r#"{{"registry-mirrors": ["{}"]}}"#, mirror.url());
    let daemon = ConfigFiles { daemon: vec![scene.write("daemon.json", &text)], ..ConfigFiles::default() };
    scene.write("hosts/docker.io/hosts.toml", &format!("server = '{0}'\n[host.'{0}']\n", mirror.url()));
    let hosts = ConfigFiles { hosts: vec![scene.folder.path().join("hosts")], ..ConfigFiles::default() };
    // Docker Hub itself is behind a proxy that leads nowhere.
    let proxy = Proxy::start();
    let accounts = Accounts(vec![("docker.io".to_owned(), "of-docker-hub")]);
    let source = Arc::new(accounts);
    for files in [daemon, hosts] {
        let nowhere = Secret::new(proxy.authority());
        let proxies = Proxies::new(Some(&nowhere), Some(&nowhere), "").unwrap();
        let options =
            ClientOptions { credentials: Arc::clone(&source) as Arc<dyn CredentialSource>, proxies, ..options() };
        let client = configured(files, options);
        let remote = client.source(&reference("app:v1")).unwrap();
        run(async { remote.resolve(&reference("app:v1")).await }).unwrap_err();
    }
    assert_eq!(mirror.requests().len(), 3, "as a mirror of docker, then as host and as server of containerd");
    assert!(mirror.requests().iter().all(|request| request.header("authorization").is_none()));
}

#[test]
fn a_push_goes_to_the_registry_alone() {
    let scene = Scene::new();
    let client = scene.client();
    let repository = Repository::parse(&format!("{}/app", scene.primary.authority())).unwrap();
    let remote = client.repository(&repository, Access::Push).unwrap();
    let sample = dhow_content::suite::sample("push");
    run(copy(&sample.place, &remote, &sample.index, &CopyOptions::new(&Silent))).unwrap();
    assert_eq!([scene.counts()[0], scene.counts()[1]], [0, 0]);
}

#[test]
fn a_location_is_where_it_really_is() {
    let scene = Scene::new();
    scene.primary.put_image("deep/in/app", "v1", &[vec![1; LAYER]]);
    let text = format!("[[registry]]\nprefix = 'r.example/team'\nlocation = '{}/deep/in'\n", scene.primary.authority());
    let files = ConfigFiles { registries: vec![scene.write("r.conf", &text)], ..ConfigFiles::default() };
    let client = configured(files, options());
    let remote = client.source(&reference("r.example/team/app:v1")).unwrap();
    run(async { remote.resolve(&reference("r.example/team/app:v1")).await }).unwrap();
    assert_eq!(scene.primary.lines(), ["HEAD /v2/deep/in/app/manifests/v1"]);
}

#[test]
fn a_host_is_waited_for_as_long_as_hosts_toml_says() {
    let scene = Scene::new();
    // Connections are made there, but nobody takes them, and nobody answers.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let name = scene.primary.authority();
    let hosts = format!(
        "server = '{}'\n[host.'https://{}']\ndial_timeout = '200ms'\n",
        scene.primary.url(),
        silent.local_addr().unwrap()
    );
    scene.write(&format!("{name}/hosts.toml"), &hosts);
    let files = ConfigFiles { hosts: vec![scene.folder.path().to_owned()], ..ConfigFiles::default() };
    let start = std::time::Instant::now();
    scene.pull(&configured(files, options())).unwrap();
    let elapsed = start.elapsed();
    assert!((200..5000).contains(&elapsed.as_millis()), "{elapsed:?}");
}

#[test]
fn hosts_toml_says_what_a_host_is_for() {
    let scene = Scene::new();
    let [pulls, resolves] = &scene.mirrors;
    let hosts = format!(
        "[host.'{}']\ncapabilities = ['pull']\n[host.'{0}'.header]\nx-key = 'for-the-first'\n\
         [host.'{}/v2']\noverride_path = true\ncapabilities = ['pull', 'resolve']\n",
        pulls.url(),
        resolves.url()
    );
    let name = scene.primary.authority().replace(':', "_") + "_";
    scene.write(&format!("{name}/hosts.toml"), &hosts);
    let files = ConfigFiles { hosts: vec![scene.folder.path().to_owned()], ..ConfigFiles::default() };
    scene.pull(&configured(files, options())).unwrap();
    let namespace = format!("?ns={}", scene.primary.authority());
    assert_eq!(resolves.lines(), [format!("HEAD /v2/app/manifests/v1{namespace}")]);
    assert_eq!(pulls.requests().len(), 3);
    assert!(pulls.lines().iter().all(|line| line.ends_with(&namespace)), "{:?}", pulls.lines());
    assert!(pulls.requests().iter().all(|request| request.header("x-key") == Some("for-the-first")));
    assert!(resolves.requests().iter().all(|request| request.header("x-key").is_none()));
    assert_eq!(scene.primary.requests().len(), 0);
}

#[test]
fn an_insecure_registry_may_speak_plain_http() {
    // Not on this machine as far as a name can tell: only the configuration lets it speak plain HTTP.
    let daemon = r#"{"insecure-registries": ["r.invalid:5000", "198.51.100.0/24"]}"#;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("daemon.json");
    std::fs::write(&path, daemon).unwrap();
    let files = ConfigFiles { daemon: vec![path], ..ConfigFiles::default() };
    let tried = |tls_verify| {
        let client = configured(files.clone(), ClientOptions { tls_verify, ..options() });
        let remote = client.source(&reference("r.invalid:5000/app:v1")).unwrap();
        run(async { remote.resolve(&reference("r.invalid:5000/app:v1")).await }).unwrap_err().to_string()
    };
    assert!(tried(None).starts_with("Get \"http://r.invalid:5000/v2/\""), "{}", tried(None));
    assert!(tried(Some(true)).starts_with("Get \"https://r.invalid:5000/v2/\""), "what the user says wins");
}
