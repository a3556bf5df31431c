//! Debian's `docker-registry` (the CNCF Distribution registry).

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::Duration;

use super::{daemon, find, free_address, stop, wait_until_ready};
use crate::registry::{AUTHORITY, CERTIFIED, CERTIFIED_KEY};

/// The one account of a registry that wants to know who asks.
pub const USER: &str = "bob";

/// Its password.
pub const PASSWORD: &str = "hunter2";

/// [`PASSWORD`] as bcrypt, the only form that the registry takes.
const PASSWORD_HASH: &str = "$2y$05$abcdefghijklmnopqrstuuoXuKqgZXLiJqzfmMXDDhSFPIvxV7t8.";

/// What a registry wants to see, and shows.
#[derive(Clone, Copy, Debug, Default)]
pub struct Demands {
    /// Whether it wants [`USER`] and [`PASSWORD`].
    pub account: bool,
    /// Whether it speaks HTTPS as `registry.test`, with a certificate of the authority of tests.
    pub tls: bool,
    /// Whether clients must have a certificate of that authority, too.
    pub client_certificate: bool,
}

/// A running registry on a loopback port, speaking plain HTTP unless told otherwise; it ends when this is dropped.
#[derive(Debug)]
pub struct Registry {
    child: Child,
    address: SocketAddr,
}

impl Registry {
    /// Starts a registry that keeps its content in `folder/data`.
    ///
    /// # Errors
    /// That it is not installed, or does not come up (with the end of its log).
    pub fn start(folder: &Path) -> io::Result<Self> {
        Self::start_with(folder, Demands::default())
    }

    /// As [`Registry::start`], with one account: [`USER`] and [`PASSWORD`].
    ///
    /// # Errors
    /// As [`Registry::start`].
    pub fn start_protected(folder: &Path) -> io::Result<Self> {
        Self::start_with(folder, Demands { account: true, ..Demands::default() })
    }

    /// As [`Registry::start`], for clients that meet its demands.
    ///
    /// # Errors
    /// As [`Registry::start`].
    pub fn start_with(folder: &Path, demands: Demands) -> io::Result<Self> {
        const ATTEMPTS: usize = 3;
        let mut last = io::Error::other("docker-registry was not tried");
        for _ in 0..ATTEMPTS {
            // Somebody else may take the port between the look and the start.
            match Self::launch(folder, free_address()?, demands) {
                Ok(registry) => return Ok(registry),
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    fn launch(folder: &Path, address: SocketAddr, demands: Demands) -> io::Result<Self> {
        let program = find("docker-registry")?;
        fs::create_dir_all(folder)?;
        let configuration = folder.join("config.yml");
        let auth = demands.written(folder)?;
        fs::write(
            &configuration,
            format!(
                "version: 0.1\nlog:\n  level: error\n  accesslog:\n    disabled: true\nstorage:\n  delete:\n    \
                 enabled: true\n  filesystem:\n    rootdirectory: {}\nhttp:\n  addr: {address}\n{auth}",
                folder.join("data").display()
            ),
        )?;
        let log = folder.join("registry.log");
        let output = File::create(&log)?;
        let mut child = daemon(&program)
            .arg("serve")
            .arg(&configuration)
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output)
            .spawn()?;
        wait_until_ready("docker-registry", &mut child, &log, || answers(address))?;
        Ok(Self { child, address })
    }

    /// Where it listens: `127.0.0.1:<port>`, the first part of its images' names.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// `127.0.0.1:<port>/<image>`.
    pub fn name(&self, image: &str) -> String {
        format!("{}/{image}", self.address)
    }
}

impl Demands {
    /// The parts of the configuration that make them, behind `http:`'s address; their files are put into `folder`.
    fn written(self, folder: &Path) -> io::Result<String> {
        let put = |name: &str, text: &str| {
            let path = folder.join(name);
            fs::write(&path, text).map(|()| path.display().to_string())
        };
        let mut parts = Vec::new();
        if self.tls || self.client_certificate {
            let (certificate, key) = (put("registry.pem", CERTIFIED)?, put("registry.key.pem", CERTIFIED_KEY)?);
            parts.push(format!("  tls:\n    certificate: {certificate}\n    key: {key}\n"));
        }
        if self.client_certificate {
            parts.push(format!("    clientcas:\n      - {}\n", put("authority.pem", AUTHORITY)?));
        }
        if self.account {
            let accounts = put("htpasswd", &format!("{USER}:{PASSWORD_HASH}\n"))?;
            parts.push(format!("auth:\n  htpasswd:\n    realm: peers\n    path: {accounts}\n"));
        }
        Ok(parts.concat())
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        stop(&mut self.child, Duration::from_secs(5));
    }
}

/// Whether somebody answers, if only that they speak HTTPS.
pub(super) fn answers(address: SocketAddr) -> bool {
    let ask = || -> io::Result<String> {
        let mut stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(Duration::from_secs(5)))?;
        stream.write_all(b"GET /v2/ HTTP/1.0\r\nHost: localhost\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    };
    ask().is_ok_and(|answer| {
        answer.starts_with("HTTP/1.") && [" 200 ", " 401 ", " 400 "].iter().any(|status| answer.contains(status))
    })
}
