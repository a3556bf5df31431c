//! Registries that prove who they are by a private authority, and want the same of their clients; reached through proxies,
//! which know their names.

#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "a panic is how a test fails, on scratch files")]

mod common;

use std::sync::Arc;

use common::{client, options, run};
use dhow_base::secret::Secret;
use dhow_base::{Kind, Result};
use dhow_content::Resolve;
use dhow_registry::{Client, ClientOptions, ConfigFiles, Credential, Proxies, Registries};
use dhow_spec::{Descriptor, Reference};
use dhow_testkit::proxy::{Asked, Proxy};
use dhow_testkit::registry::{AUTHORITY, CLIENT_CERTIFICATE, CLIENT_KEY, Effect, Route, Rule, ScriptedRegistry};

const NAME: &str = "registry.test/app:v1";

/// A registry named `registry.test` behind a proxy, and folders of certificates.
struct Scene {
    folder: tempfile::TempDir,
    proxy: Proxy,
    registry: ScriptedRegistry,
}

impl Scene {
    fn new(registry: ScriptedRegistry) -> Self {
        registry.put_image("app", "v1", &[vec![1; 100]]);
        let proxy = Proxy::start();
        proxy.route("registry.test:443", registry.address());
        Self { folder: tempfile::tempdir().unwrap(), proxy, registry }
    }

    fn keep(&self, path: &str, text: &str) {
        let path = self.folder.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    fn files(&self) -> ConfigFiles {
        let at = |name: &str| vec![self.folder.path().join(name)];
        ConfigFiles {
            docker_certs: at("docker"),
            containers_certs: at("containers"),
            hosts: at("hosts"),
            ..ConfigFiles::default()
        }
    }

    fn through(&self, files: ConfigFiles, proxy: &str) -> Client {
        let proxy = Secret::new(proxy);
        let proxies = Proxies::new(Some(&proxy), Some(&proxy), "").unwrap();
        client(ClientOptions { registries: Arc::new(Registries::new(files)), proxies, ..options() })
    }

    fn resolve(&self, files: ConfigFiles) -> Result<Descriptor> {
        resolve(&self.through(files, &self.proxy.authority()), NAME)
    }
}

fn resolve(client: &Client, name: &str) -> Result<Descriptor> {
    let reference = Reference::parse(name).unwrap();
    run(async { client.source(&reference)?.resolve(&reference).await })
}

#[test]
fn an_authority_in_certs_d_makes_a_registry_known() {
    let scene = Scene::new(ScriptedRegistry::start_certified());
    let error = scene.resolve(scene.files()).unwrap_err().to_string();
    let unknown = "tls: failed to verify certificate: x509: certificate signed by unknown authority";
    assert_eq!(error, format!("Get \"https://registry.test/v2/\": {unknown}"));
    scene.keep("docker/other.test/ca.crt", AUTHORITY);
    assert!(scene.resolve(scene.files()).is_err(), "another registry's authority is not this one's");
    for place in ["docker/registry.test/ca.crt", "containers/registry.test/any.crt", "hosts/registry.test/x.crt"] {
        scene.keep(place, AUTHORITY);
        scene.resolve(scene.files()).unwrap();
        std::fs::remove_file(scene.folder.path().join(place)).unwrap();
        assert!(scene.resolve(scene.files()).is_err());
    }
    scene.keep("given/ca.crt", AUTHORITY);
    scene.resolve(ConfigFiles { cert_dir: Some(scene.folder.path().join("given")), ..scene.files() }).unwrap();
    scene.keep("hosts/registry.test/hosts.toml", "ca = '../../given/ca.crt'\n");
    scene.resolve(scene.files()).unwrap();
}

#[test]
fn who_a_registry_is_need_not_be_proven() {
    let scene = Scene::new(ScriptedRegistry::start_certified());
    scene.keep("daemon.json", r#"{"insecure-registries": ["registry.test"]}"#);
    let insecure = ConfigFiles { daemon: vec![scene.folder.path().join("daemon.json")], ..scene.files() };
    scene.resolve(insecure).unwrap();
    scene.keep("hosts/registry.test/hosts.toml", "skip_verify = true\n");
    scene.resolve(scene.files()).unwrap();
}

#[test]
fn a_client_s_certificate_is_shown() {
    let scene = Scene::new(ScriptedRegistry::start_mutual());
    scene.keep("docker/registry.test/ca.crt", AUTHORITY);
    let error = scene.resolve(scene.files()).unwrap_err();
    let text = error.to_string();
    assert!(
        text.contains(" \"https://registry.test/") && text.ends_with(": remote error: tls: certificate required"),
        "{text}"
    );
    assert_eq!(error.kind(), Kind::Denied);
    let hint = error.hint().unwrap();
    assert!(
        hint.starts_with("registry.test wants a client certificate: ") && hint.contains("/certs.d/registry.test"),
        "{hint}"
    );
    assert!(scene.registry.requests().is_empty(), "nobody gets in without a certificate");
    scene.keep("docker/registry.test/me.cert", CLIENT_CERTIFICATE);
    scene.keep("docker/registry.test/me.key", CLIENT_KEY);
    scene.resolve(scene.files()).unwrap();
    let login = scene.through(scene.files(), &scene.proxy.authority());
    run(login.login("registry.test", &Credential::password("bob", Secret::new("secret")))).unwrap();
}

#[test]
fn a_client_s_certificate_is_not_for_hosts_that_one_redirects_to() {
    let scene = Scene::new(ScriptedRegistry::start_mutual());
    let storage = ScriptedRegistry::start_mutual();
    scene.proxy.route("storage.registry.test:443", storage.address());
    scene
        .registry
        .script(Rule::on(Route::Manifest).effect(Effect::RedirectTo(307, "https://storage.registry.test".to_owned())));
    scene.keep("docker/registry.test/ca.crt", AUTHORITY);
    scene.keep("docker/registry.test/me.cert", CLIENT_CERTIFICATE);
    scene.keep("docker/registry.test/me.key", CLIENT_KEY);
    let error = scene.resolve(scene.files()).unwrap_err();
    assert!(error.to_string().contains("https://storage.registry.test/"), "{error}");
    assert!(error.hint().unwrap().starts_with("storage.registry.test wants a client certificate, and none"));
    assert!(!scene.registry.requests().is_empty() && storage.requests().is_empty());
}

#[test]
fn proxies_of_every_kind_lead_there() {
    let scene = Scene::new(ScriptedRegistry::start_certified());
    scene.keep("docker/registry.test/ca.crt", AUTHORITY);
    let at = scene.proxy.authority();
    let basic = "Basic Ym9iOmh1bnRlcjI=".to_owned();
    for (proxy, how, authorization) in [
        (at.clone(), "connect", None),
        (format!("http://bob:hunter2@{at}"), "connect", Some(basic)),
        (format!("socks5://{at}"), "socks5", None),
        (format!("socks5h://bob:hunter2@{at}"), "socks5", Some("bob:hunter2".to_owned())),
    ] {
        resolve(&scene.through(scene.files(), &proxy), NAME).unwrap();
        let expected = Asked { how, target: "registry.test:443".to_owned(), authorization };
        assert_eq!(scene.proxy.asked().last(), Some(&expected), "{how}");
    }
    assert!(scene.registry.requests().iter().all(|request| request.header("proxy-authorization").is_none()));
}

#[test]
fn plain_http_goes_through_a_proxy_too() {
    let scene = Scene::new(ScriptedRegistry::start());
    scene.proxy.route("plain.test:80", scene.registry.address());
    scene.keep("hosts/plain.test/hosts.toml", "server = 'http://plain.test'\n");
    let proxy = format!("http://bob:hunter2@{}", scene.proxy.authority());
    resolve(&scene.through(scene.files(), &proxy), "plain.test/app:v1").unwrap();
    let asked = scene.proxy.asked();
    assert_eq!((asked[0].how, asked[0].target.as_str()), ("http", "plain.test:80"));
    assert_eq!(asked[0].authorization.as_deref(), Some("Basic Ym9iOmh1bnRlcjI="));
}

#[test]
fn a_proxy_that_fails_is_named_without_its_password() {
    let scene = Scene::new(ScriptedRegistry::start_certified());
    let gone = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let error = resolve(&scene.through(scene.files(), &format!("http://bob:hunter2@{gone}")), NAME).unwrap_err();
    let expected =
        format!("Get \"https://registry.test/v2/\": proxyconnect tcp: dial tcp {gone}: connect: connection refused");
    assert_eq!(error.to_string(), expected);
    assert_eq!(
        error.hint().unwrap(),
        format!("the proxy http://{gone}/ comes from the environment; NO_PROXY names what needs none")
    );
    let unknown = resolve(&scene.through(scene.files(), &scene.proxy.authority()), "unknown.test/app:v1").unwrap_err();
    let text = unknown.to_string();
    assert!(
        text.starts_with("Get \"https://unknown.test/v2/\": proxyconnect tcp: ") && !text.contains("dial"),
        "{text}"
    );
    assert!(!format!("{error:?}{unknown:?}").contains("hunter2"));
}

#[test]
fn what_is_on_this_machine_needs_no_proxy() {
    let scene = Scene::new(ScriptedRegistry::start());
    let client = scene.through(scene.files(), &scene.proxy.authority());
    resolve(&client, &format!("{}/app:v1", scene.registry.authority())).unwrap();
    assert!(scene.proxy.asked().is_empty());
}
