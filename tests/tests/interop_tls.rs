//! The real docker-registry behind TLS, a password, client certificates, and nginx: dhow pushes and pulls there, and what it
//! pushed is what skopeo finds.

use dhow_testkit::peers::{self, Demands, Nginx, PASSWORD, Registry, USER};
use dhow_testkit::proxy::Proxy;
use dhow_testkit::registry::{AUTHORITY, CLIENT_CERTIFICATE, CLIENT_KEY};
use dhow_tests::interop::{Bench, must};
use dhow_tests::scene::{Scene, Transcript};

/// What all registries here are called.
const NAME: &str = "registry.test";

/// A scene in which the name leads to a registry, or to what is before it.
struct Stage {
    scene: Scene,
    bench: Bench,
    proxy: Proxy,
}

impl Stage {
    /// The authority is known, unless `knows` is false.
    fn new(knows: bool) -> Self {
        let (scene, bench) = (Scene::new(), Bench::new());
        if knows {
            scene.system("etc/docker/certs.d/registry.test/ca.crt", AUTHORITY);
        }
        Self { scene, bench, proxy: Proxy::start() }
    }

    fn lead(&self, to: std::net::SocketAddr) {
        self.proxy.route(&format!("{NAME}:443"), to);
    }

    fn identify(&self) {
        self.scene.system("etc/docker/certs.d/registry.test/client.cert", CLIENT_CERTIFICATE);
        self.scene.system("etc/docker/certs.d/registry.test/client.key", CLIENT_KEY);
    }

    fn dhow(&self, arguments: &[&str]) -> Transcript {
        let proxy = format!("http://{}", self.proxy.authority());
        self.scene.run(self.scene.command(arguments).env("HTTPS_PROXY", &proxy).env("HTTP_PROXY", &proxy))
    }

    #[track_caller]
    fn must(&self, arguments: &[&str]) -> String {
        let output = self.dhow(arguments);
        assert_eq!(output.code, 0, "{arguments:?}: {output}");
        output.stdout
    }

    /// The digest that skopeo finds, with the same certificates.
    fn skopeo_digest(&self, name: &str, account: bool) -> String {
        let mut skopeo = peers::skopeo().expect("skopeo");
        skopeo.env("HTTPS_PROXY", format!("http://{}", self.proxy.authority()));
        skopeo.args(["inspect", "--format", "{{.Digest}}", "--cert-dir"]);
        skopeo.arg(self.scene.path("root/etc/docker/certs.d/registry.test"));
        if account {
            skopeo.args(["--creds", &format!("{USER}:{PASSWORD}")]);
        }
        must(skopeo.arg(format!("docker://{name}")))
    }

    /// The digest over the bytes of a manifest that skopeo reads, for what is no image.
    fn skopeo_raw(&self, name: &str) -> String {
        let mut skopeo = peers::skopeo().expect("skopeo");
        skopeo.env("HTTPS_PROXY", format!("http://{}", self.proxy.authority()));
        skopeo.args(["inspect", "--raw", "--cert-dir"]);
        skopeo.arg(self.scene.path("root/etc/docker/certs.d/registry.test")).arg(format!("docker://{name}"));
        let output = peers::run(&mut skopeo).unwrap_or_else(|error| panic!("{error}"));
        dhow_testkit::images::sha256(&output.stdout)
    }

    /// Pushes an image, has skopeo look at it, and pulls it again.
    #[track_caller]
    fn there_and_back(&self, account: bool) {
        let name = format!("{NAME}/acme/app:v1");
        let image = self.scene.load("a", &name);
        self.must(&["push", &name]);
        assert_eq!(self.skopeo_digest(&name, account), image.manifest.digest);
        self.must(&["rmi", &name]);
        self.must(&["pull", &name]);
        let id = self.must(&["images", "--quiet", "--no-trunc", &name]);
        assert_eq!(id.trim(), "sha256:<id-a>");
    }
}

fn registry(stage: &Stage, demands: Demands) -> Option<Registry> {
    peers::available(peers::skopeo())?;
    peers::available(Registry::start_with(&stage.bench.path("registry"), demands))
}

#[test]
fn tls_and_a_password() {
    let stage = Stage::new(true);
    let Some(registry) = registry(&stage, Demands { tls: true, account: true, ..Demands::default() }) else { return };
    stage.lead(registry.address());
    stage.scene.load("a", "registry.test/acme/app:v1");
    let refused = stage.dhow(&["push", "registry.test/acme/app:v1"]);
    assert!(refused.code == 1 && refused.stderr.contains("no basic auth credentials"), "{refused}");
    let login = stage.dhow(&["login", "-u", USER, "-p", "wrong", NAME]);
    assert!(login.code == 1 && login.stderr.contains("401 Unauthorized"), "{login}");
    stage.must(&["login", "-u", USER, "-p", PASSWORD, NAME]);
    stage.there_and_back(true);
    stage.must(&["logout", NAME]);
    assert_eq!(stage.dhow(&["pull", "registry.test/acme/app:v1"]).code, 1);
}

#[test]
fn an_authority_that_nobody_knows() {
    let stage = Stage::new(false);
    let Some(registry) = registry(&stage, Demands { tls: true, ..Demands::default() }) else { return };
    stage.lead(registry.address());
    let refused = stage.dhow(&["pull", "registry.test/acme/app:v1"]);
    let expected = "Get \"https://registry.test/v2/\": tls: failed to verify certificate: x509: certificate signed by unknown \
                    authority";
    assert!(refused.code == 1 && refused.stderr.contains(expected), "{refused}");
    stage.scene.load("a", "registry.test/acme/app:v1");
    stage.must(&["push", "--tls-verify=false", "registry.test/acme/app:v1"]);
}

#[test]
fn certificates_of_both_sides() {
    let stage = Stage::new(true);
    let Some(registry) = registry(&stage, Demands { client_certificate: true, ..Demands::default() }) else { return };
    stage.lead(registry.address());
    let refused = stage.dhow(&["pull", "registry.test/acme/app:v1"]);
    assert!(refused.code == 1 && refused.stderr.contains("ertificate"), "{refused}");
    stage.identify();
    stage.there_and_back(false);
}

#[test]
fn nginx_passes_all_on() {
    // A registry that is not told of HTTPS gives addresses for uploads that begin with http.
    for tells in [true, false] {
        let stage = Stage::new(true);
        let Some(registry) = registry(&stage, Demands { account: true, ..Demands::default() }) else { return };
        let started = Nginx::start(&stage.bench.path("nginx"), registry.address(), 0, tells);
        let Some(nginx) = peers::available(started) else { return };
        stage.lead(nginx.address());
        stage.must(&["login", "-u", USER, "-p", PASSWORD, NAME]);
        stage.there_and_back(true);
    }
}

/// A limit of nginx: larger blobs go in parts, and when even those are too large, the words say whose limit it is.
#[test]
fn nginx_limits_requests() {
    let stage = Stage::new(true);
    let Some(registry) = registry(&stage, Demands::default()) else { return };
    let start = |folder: &str, limit: u64| {
        peers::available(Nginx::start(&stage.bench.path(folder), registry.address(), limit, true))
    };
    let Some(nginx) = start("nginx", 1 << 20) else { return };
    stage.lead(nginx.address());
    let name = "registry.test/acme/big:v1";
    let push = ["artifact", "push", "--artifact-type", "x/big", name, "big.bin"];
    #[allow(clippy::disallowed_methods, reason = "writes a scratch file")]
    std::fs::write(stage.scene.path("big.bin"), vec![7_u8; 3_000_000]).expect("a file");
    let pushed = stage.must(&push);
    let digest = stage.skopeo_raw(name);
    assert!(pushed.contains(&digest), "{pushed} {digest}");
    let Some(nginx) = start("small", 100_000) else { return };
    stage.lead(nginx.address());
    let again = push.map(|word| if word == name { "registry.test/acme/bigger:v1" } else { word });
    let refused = stage.dhow(&again);
    let expected = "413 Request Entity Too Large: the registry, or a proxy before it, takes no requests of this length";
    assert!(refused.code == 1 && refused.stderr.contains(expected), "{refused}");
}
