//! nginx before a registry, as many have it.

use std::fs::{self, File};
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::Duration;

use super::registry::answers;
use super::{daemon, find, free_address, stop, wait_until_ready};
use crate::registry::{CERTIFIED, CERTIFIED_KEY};

/// A running nginx on a loopback port, which speaks HTTPS as `registry.test` and passes all on; it ends when this is dropped.
#[derive(Debug)]
pub struct Nginx {
    child: Child,
    address: SocketAddr,
}

impl Nginx {
    /// Starts one before `registry` (`127.0.0.1:<port>`), with its files in `folder`. Bodies of requests have at most
    /// `body_bytes_max` bytes, 0 for any number. It `tells` the registry that it speaks HTTPS, or does not: the registry then
    /// believes itself to be reached by HTTP, and says so in its addresses.
    ///
    /// # Errors
    /// That it is not installed, or does not come up (with the end of its log).
    pub fn start(folder: &Path, registry: SocketAddr, body_bytes_max: u64, tells: bool) -> io::Result<Self> {
        let (program, address) = (find("nginx")?, free_address()?);
        fs::create_dir_all(folder)?;
        let shown = |name: &str| folder.join(name).display().to_string();
        fs::write(shown("proxy.pem"), CERTIFIED)?;
        fs::write(shown("proxy.key.pem"), CERTIFIED_KEY)?;
        let (scheme, user) = match (tells, super::is_root()) {
            (true, root) => ("proxy_set_header X-Forwarded-Proto https;", root),
            (false, root) => ("", root),
        };
        // Its workers would have no right to the folder as anybody else.
        let user = if user { "user root;" } else { "" };
        let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
            .map(|kind| format!("{kind}_temp_path {};\n", shown(kind)))
            .concat();
        let configuration = format!(
            "daemon off;\n{user}\npid {};\nworker_processes 1;\nevents {{}}\nhttp {{\naccess_log off;\n{temporary}server {{\n\
             listen {address} ssl;\nserver_name registry.test;\nssl_certificate {};\nssl_certificate_key {};\n\
             client_max_body_size {body_bytes_max};\nlocation / {{\nproxy_pass http://{registry};\n\
             proxy_set_header Host $http_host;\n{scheme}\n}}\n}}\n}}\n",
            shown("nginx.pid"),
            shown("proxy.pem"),
            shown("proxy.key.pem"),
        );
        fs::write(shown("nginx.conf"), configuration)?;
        let log = folder.join("nginx.log");
        let output = File::create(&log)?;
        let mut child = daemon(&program)
            .arg("-c")
            .arg(folder.join("nginx.conf"))
            .arg("-e")
            .arg("stderr")
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output)
            .spawn()?;
        wait_until_ready("nginx", &mut child, &log, || answers(address))?;
        Ok(Self { child, address })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        stop(&mut self.child, Duration::from_secs(5));
    }
}
