//! Azurite, Microsoft's own stand-in for Azure's storage, from npm.

use std::fs::{self, File};
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;

use super::{daemon, find, free_address, run, scratch, stop, wait_until_ready};

/// The package, at the version whose behaviour the tests know.
const PACKAGE: &str = "azurite";
const VERSION: &str = "3.37.0";

/// The account that every Azurite has. Its key is in Microsoft's documentation.
const ACCOUNT: &str = "devstoreaccount1";
const KEY: &str = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==";

/// Makes a container: a signed request (Azure's "Authorize with Shared Key"), for which only Node is at hand here.
const MAKE_CONTAINER: &str = r#"
const [port, account, key, container] = process.argv.slice(1);
const date = new Date().toUTCString(), version = '2021-08-06';
const text = `PUT${'\n'.repeat(12)}x-ms-date:${date}\nx-ms-version:${version}\n/${account}/${account}/${container}\nrestype:container`;
const sign = require('crypto').createHmac('sha256', Buffer.from(key, 'base64')).update(text).digest('base64');
const headers = { 'x-ms-date': date, 'x-ms-version': version, 'Content-Length': 0, Authorization: `SharedKey ${account}:${sign}` };
const path = `/${account}/${container}?restype=container`;
const request = require('http').request({ host: '127.0.0.1', port, path, method: 'PUT', headers }, answer => {
  process.exit([201, 409].includes(answer.statusCode) ? 0 : 1);
});
request.on('error', () => process.exit(1));
request.end();
"#;

/// A running Azure store with one container, on a loopback port; it ends when this is dropped.
#[derive(Debug)]
pub struct Azurite {
    child: Child,
    address: SocketAddr,
    _folder: TempDir,
}

impl Azurite {
    /// The container that is there from the start.
    pub const CONTAINER: &str = "registry";

    /// Starts a server. The program is fetched with npm the first time, and kept in the user's cache.
    ///
    /// # Errors
    /// That Node or its npm is not installed, that npm's registry cannot be reached, or that the server does not come up.
    pub fn start() -> io::Result<Self> {
        let (node, program) = (find("node")?, program()?);
        let folder = scratch()?;
        let (address, log) = (free_address()?, folder.path().join("azurite.log"));
        let output = File::create(&log)?;
        let mut command = daemon(&node);
        command.arg(program).args(["--blobHost", "127.0.0.1", "--blobPort", &address.port().to_string()]);
        command.args(["--inMemoryPersistence", "--silent", "--skipApiVersionCheck", "--disableTelemetry"]);
        command.current_dir(folder.path());
        let mut child = command.stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output).spawn()?;
        wait_until_ready("Azurite", &mut child, &log, || makes_container(&node, address))?;
        Ok(Self { child, address, _folder: folder })
    }

    /// The variables of the environment by which Azure's clients find it.
    pub fn environment(&self) -> [(&'static str, String); 3] {
        [
            ("AZURE_STORAGE_ENDPOINT", format!("http://{}/{ACCOUNT}", self.address)),
            ("AZURE_STORAGE_ACCOUNT_NAME", ACCOUNT.to_owned()),
            ("AZURE_STORAGE_ACCOUNT_KEY", KEY.to_owned()),
        ]
    }
}

impl Drop for Azurite {
    fn drop(&mut self) {
        stop(&mut self.child, Duration::from_secs(2));
    }
}

fn makes_container(node: &Path, address: SocketAddr) -> bool {
    let port = address.port().to_string();
    let mut command = Command::new(node);
    command.args(["-e", MAKE_CONTAINER, &port, ACCOUNT, KEY, Azurite::CONTAINER]);
    command.stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|status| status.success())
}

/// The script that is the server.
fn program() -> io::Result<PathBuf> {
    let cache = super::cache()?;
    let home = cache.join(format!("azurite-{VERSION}"));
    let script = "node_modules/azurite/dist/src/blob/main.js";
    if home.join(script).is_file() {
        return Ok(home.join(script));
    }
    let npm = find("npm")?;
    let folder = tempfile::tempdir_in(&cache)?;
    let inside = folder.path().join("azurite");
    fs::create_dir(&inside)?;
    let mut command = Command::new(npm);
    command.args(["install", "--silent", "--no-audit", "--no-fund", "--ignore-scripts", "--prefix"]).arg(&inside);
    run(command.arg(format!("{PACKAGE}@{VERSION}")))?;
    // In one step: another test may be fetching it as well.
    match fs::rename(&inside, &home) {
        Err(error) if !home.join(script).is_file() => Err(error),
        _ => Ok(home.join(script)),
    }
}
