//! Servers to measure, each on a loopback port of its own.

use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use dhow_testkit::peers::{self, Go, Registry};

use crate::bench::lab::Lab;

/// The peers that Go builds, and the names of their programs.
const DISTRIBUTION: &str = "github.com/distribution/distribution/v3/cmd/registry@v3.0.0";
const ZOT: &str = "zotregistry.dev/zot/cmd/zot@v1.4.3";

/// How long a server may take to answer.
const PATIENCE: Duration = Duration::from_secs(30);

/// A kind of server.
#[derive(Clone)]
pub(super) enum Kind {
    Dhow,
    DockerRegistry,
    Distribution(Arc<Go>),
    Zot(Arc<Go>),
    Nginx,
}

/// How a server is had, or why it is not.
type Obtain = fn() -> Result<Kind>;

/// The registries by name, and how each is had or why not. Those of Go are built anew, which takes minutes.
pub(super) const REGISTRIES: [(&str, Obtain); 4] = [
    ("dhow", || Ok(Kind::Dhow)),
    ("docker-registry", || {
        peers::find("docker-registry").map(|_| Kind::DockerRegistry).context("it is a package of Debian")
    }),
    ("distribution 3", || built(DISTRIBUTION).map(Kind::Distribution)),
    ("zot", || built(ZOT).map(Kind::Zot)),
];

fn built(program: &str) -> Result<Arc<Go>> {
    Go::install(program).map(Arc::new).with_context(|| format!("cannot build {program}"))
}

impl Kind {
    /// A server of plain files.
    pub(super) fn nginx() -> Result<Self> {
        peers::find("nginx").map(|_| Kind::Nginx).context("nginx is missing (Debian package nginx-light)")
    }

    pub(super) fn name(&self) -> &'static str {
        match self {
            Kind::Dhow => "dhow",
            Kind::DockerRegistry => "docker-registry",
            Kind::Distribution(_) => "distribution 3",
            Kind::Zot(_) => "zot",
            Kind::Nginx => "nginx",
        }
    }

    pub(super) fn serves_files(&self) -> bool {
        matches!(self, Kind::Nginx)
    }
}

/// A running server; it ends when this is dropped.
pub(super) enum Server {
    Debian(Registry),
    Child { child: Child, address: SocketAddr },
}

impl Server {
    /// Starts one whose content is in `folder`.
    pub(super) fn start(kind: &Kind, lab: &Lab, folder: &Path) -> Result<Self> {
        std::fs::create_dir_all(folder)?;
        match kind {
            Kind::Dhow => Self::start_dhow(lab, folder).map(|(server, _)| server),
            Kind::DockerRegistry => Ok(Server::Debian(Registry::start(folder)?)),
            Kind::Distribution(program) => {
                let address = free_address()?;
                let text = format!(
                    "version: 0.1\nlog:\n  level: error\n  accesslog:\n    disabled: true\nstorage:\n  filesystem:\n    \
                     rootdirectory: {}\nhttp:\n  addr: {address}\n",
                    folder.join("data").display()
                );
                let file = folder.join("config.yml");
                std::fs::write(&file, text)?;
                Self::spawn(program.command().arg("serve").arg(file), address)
            }
            Kind::Zot(program) => {
                let address = free_address()?;
                let text = serde_json::json!({
                    "storage": { "rootDirectory": folder.join("data") },
                    "http": { "address": address.ip().to_string(), "port": address.port().to_string() },
                    "log": { "level": "error" },
                });
                let file = folder.join("config.json");
                std::fs::write(&file, text.to_string())?;
                Self::spawn(program.command().arg("serve").arg(file), address)
            }
            Kind::Nginx => Self::start_nginx(folder),
        }
    }

    /// Starts `dhow serve`; returns also how long it took until it said where it listens.
    pub(super) fn start_dhow(lab: &Lab, folder: &Path) -> Result<(Self, Duration)> {
        let mut command = lab.dhow(&folder.with_extension("store"));
        command.args(["serve", "--listen", "127.0.0.1:0", "--root-dir"]).arg(folder);
        let start = Instant::now();
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn()?;
        let mut line = String::new();
        BufReader::new(child.stdout.take().context("no output")?).read_line(&mut line)?;
        let took = start.elapsed();
        let address = line.trim().rsplit("http://").next().and_then(|address| address.parse().ok());
        let Some(address) = address else {
            end(&mut child);
            bail!("dhow serve said {line:?} and not where it listens");
        };
        Ok((Server::Child { child, address }, took))
    }

    fn start_nginx(folder: &Path) -> Result<Self> {
        let address = free_address()?;
        let folders = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];
        let folders = folders.map(|name| format!("{name}_temp_path {}/temporary;", folder.display())).join("\n");
        // Root reads the benchmark's folder, which is nobody else's.
        let text = format!(
            "daemon off;\nuser root;\npid {0}/nginx.pid;\nerror_log stderr crit;\nworker_processes auto;\nevents {{}}\n\
             http {{\naccess_log off;\nsendfile on;\ntcp_nopush on;\n{folders}\nserver {{ listen {address}; root {0}; }}\n}}\n",
            folder.display()
        );
        let file = folder.join("nginx.conf");
        std::fs::write(&file, text)?;
        Self::spawn(Command::new(peers::find("nginx")?).arg("-c").arg(file).arg("-p").arg(folder), address)
    }

    fn spawn(command: &mut Command, address: SocketAddr) -> Result<Self> {
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
        let deadline = Instant::now() + PATIENCE;
        while TcpStream::connect(address).is_err() {
            if let Some(status) = child.try_wait()? {
                bail!("{command:?} ended with {status}");
            }
            if Instant::now() > deadline {
                end(&mut child);
                bail!("{command:?} does not answer");
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(Server::Child { child, address })
    }

    pub(super) fn address(&self) -> SocketAddr {
        match self {
            Server::Debian(registry) => registry.address(),
            Server::Child { address, .. } => *address,
        }
    }

    /// The process, where it is one of ours.
    pub(super) fn process_id(&self) -> Option<u32> {
        match self {
            Server::Debian(_) => None,
            Server::Child { child, .. } => Some(child.id()),
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Server::Child { child, .. } = self {
            end(child);
        }
    }
}

/// Asks a process to end, so that it takes its own children along, and insists after a while.
fn end(child: &mut Child) {
    if let Some(id) = i32::try_from(child.id()).ok().and_then(rustix::process::Pid::from_raw) {
        let _ = rustix::process::kill_process(id, rustix::process::Signal::TERM);
    }
    let deadline = Instant::now() + Duration::from_secs(5);
    while matches!(child.try_wait(), Ok(None)) && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(10));
    }
    let _ = child.kill();
    let _ = child.wait();
}

fn free_address() -> Result<SocketAddr> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?)
}
