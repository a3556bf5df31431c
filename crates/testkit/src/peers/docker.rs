//! A docker daemon of one's own.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use super::{daemon, find, is_root, stop, wait_until_ready};

/// A running `dockerd` with its state in a folder of its own; it ends when this is dropped.
#[derive(Debug)]
pub struct Docker {
    child: Child,
    folder: PathBuf,
    client: PathBuf,
}

impl Docker {
    /// Starts a daemon whose data is in `folder/root`; without networks, and so without a need to touch the host's.
    ///
    /// # Errors
    /// That it is not installed, not root, or does not come up (with the end of its log).
    pub fn start(folder: &Path) -> io::Result<Self> {
        Self::start_with(folder, &[], &[])
    }

    /// As [`Docker::start`], with further flags of dockerd, and more in its environment, such as a proxy.
    ///
    /// # Errors
    /// As [`Docker::start`].
    pub fn start_with(folder: &Path, flags: &[&str], environment: &[(&str, String)]) -> io::Result<Self> {
        if !is_root() {
            return Err(io::Error::other("dockerd needs root"));
        }
        let (server, client) = (find("dockerd")?, find("docker")?);
        fs::create_dir_all(folder)?;
        // overlay2 needs a file system below that supports it; vfs works everywhere.
        let mut started = Self::launch(&server, folder, flags, environment, None);
        if started.is_err() {
            started = Self::launch(&server, folder, flags, environment, Some("vfs"));
        }
        Ok(Self { child: started?, folder: folder.to_owned(), client })
    }

    fn launch(
        server: &Path,
        folder: &Path,
        flags: &[&str],
        environment: &[(&str, String)],
        storage_driver: Option<&str>,
    ) -> io::Result<Child> {
        let socket = folder.join("docker.sock");
        let log = folder.join("dockerd.log");
        let mut command = daemon(server);
        command
            .envs(environment.iter().map(|(name, value)| (*name, value)))
            .args(["--iptables=false", "--ip6tables=false", "--bridge=none"])
            .args(flags)
            .arg("--config-file")
            .arg(empty_configuration(folder)?)
            .arg("--data-root")
            .arg(folder.join("root"))
            .arg("--exec-root")
            .arg(folder.join("exec"))
            .arg("--pidfile")
            .arg(folder.join("pid"))
            .arg("--host")
            .arg(format!("unix://{}", socket.display()))
            .args(storage_driver.map(|driver| format!("--storage-driver={driver}")));
        let output = File::create(&log)?;
        let mut child = command.stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output).spawn()?;
        wait_until_ready("dockerd", &mut child, &log, || answers(&socket))?;
        Ok(child)
    }

    /// The docker client, speaking to this daemon, with a configuration folder of its own.
    pub fn command(&self) -> Command {
        let mut command = Command::new(&self.client);
        command
            .env("DOCKER_CONFIG", self.folder.join("config"))
            .env_remove("DOCKER_CONTEXT")
            .arg("--host")
            .arg(format!("unix://{}", self.folder.join("docker.sock").display()));
        command
    }

    /// The folder that all of the daemon's state is in.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The daemon's process, to read its memory use from.
    pub fn process_id(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Docker {
    fn drop(&mut self) {
        stop(&mut self.child, Duration::from_secs(15));
    }
}

/// The host's `/etc/docker/daemon.json` is none of a test's business.
fn empty_configuration(folder: &Path) -> io::Result<PathBuf> {
    let path = folder.join("daemon.json");
    fs::write(&path, "{}")?;
    Ok(path)
}

fn answers(socket: &Path) -> bool {
    let ping = || -> io::Result<String> {
        let mut stream = UnixStream::connect(socket)?;
        stream.set_read_timeout(Some(Duration::from_secs(5)))?;
        stream.write_all(b"GET /_ping HTTP/1.0\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    };
    ping().is_ok_and(|answer| answer.ends_with("OK"))
}
