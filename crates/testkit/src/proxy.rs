//! A proxy that runs inside the test: HTTP (CONNECT and absolute addresses) and SOCKS 5 on one port.
//!
//! It knows names that no name service knows, leads nowhere else, and writes down who was asked for, and with which
//! password.

use std::collections::HashMap;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

/// Longest line of a request's head, in bytes.
const LINE_BYTES_MAX: u64 = 16 << 10;

/// What the proxy was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// `connect`, `http` or `socks5`.
    pub how: &'static str,
    /// `host:port`.
    pub target: String,
    /// What the client proved itself with: the value of `Proxy-Authorization`, or `user:password` of SOCKS.
    pub authorization: Option<String>,
}

#[derive(Debug, Default)]
struct Shared {
    stop: AtomicBool,
    routes: Mutex<HashMap<String, SocketAddr>>,
    asked: Mutex<Vec<Asked>>,
}

/// The proxy. It stops when dropped.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

impl Proxy {
    /// Starts one that knows nobody.
    ///
    /// # Panics
    /// When no port can be opened.
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("the port that was bound");
        let shared = Arc::new(Shared::default());
        let of_thread = Arc::clone(&shared);
        let thread = std::thread::spawn(move || {
            for stream in listener.incoming() {
                if of_thread.stop.load(Ordering::SeqCst) {
                    return;
                }
                let (Ok(stream), shared) = (stream, Arc::clone(&of_thread)) else { continue };
                std::thread::spawn(move || {
                    // A client that goes away is no failure of the proxy.
                    let _ = serve(stream, &shared);
                });
            }
        });
        Self { address, shared, thread: Some(thread) }
    }

    /// `127.0.0.1:<port>`.
    pub fn authority(&self) -> String {
        self.address.to_string()
    }

    /// Leads `target` (`host:port`) to an address.
    pub fn route(&self, target: &str, to: SocketAddr) {
        self.shared.routes.lock().unwrap_or_else(PoisonError::into_inner).insert(target.to_owned(), to);
    }

    /// What it was asked for so far, in order.
    pub fn asked(&self) -> Vec<Asked> {
        self.shared.asked.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::SeqCst);
        // Wakes the thread that waits for connections.
        let _ = TcpStream::connect(self.address);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn find(&self, how: &'static str, target: &str, authorization: Option<String>) -> Option<SocketAddr> {
        let asked = Asked { how, target: target.to_owned(), authorization };
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).push(asked);
        self.routes.lock().unwrap_or_else(PoisonError::into_inner).get(target).copied()
    }
}

fn serve(stream: TcpStream, shared: &Shared) -> io::Result<()> {
    stream.set_read_timeout(Some(Duration::from_secs(60)))?;
    let mut first = [0];
    stream.peek(&mut first)?;
    if first[0] == 5 { socks(stream, shared) } else { http(BufReader::new(stream), shared) }
}

/// One request: a tunnel (RFC 9110 §9.3.6), or a request with an absolute address (RFC 9112 §3.2.2), after which the
/// connection stays with that host.
fn http(mut client: BufReader<TcpStream>, shared: &Shared) -> io::Result<()> {
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        (&mut client).take(LINE_BYTES_MAX).read_line(&mut line)?;
        if line.trim().is_empty() {
            break;
        }
        lines.push(line);
    }
    let first = lines.first().cloned().unwrap_or_default();
    let mut words = first.split_ascii_whitespace();
    let (method, address) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let authorization = lines.iter().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("proxy-authorization").then(|| value.trim().to_owned())
    });
    let is_tunnel = method == "CONNECT";
    let (target, path) = match address.strip_prefix("http://") {
        Some(rest) => rest.find('/').map_or((rest, "/"), |slash| rest.split_at(slash)),
        None => (address, ""),
    };
    let target = if target.contains(':') { target.to_owned() } else { format!("{target}:80") };
    let Some(to) = shared.find(if is_tunnel { "connect" } else { "http" }, &target, authorization) else {
        return client
            .get_mut()
            .write_all(b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    };
    let mut server = TcpStream::connect(to)?;
    if is_tunnel {
        client.get_mut().write_all(b"HTTP/1.1 200 Connection established\r\n\r\n")?;
    } else {
        write!(server, "{method} {path} HTTP/1.1\r\n")?;
        for line in lines.iter().skip(1).filter(|line| !line.to_ascii_lowercase().starts_with("proxy-")) {
            server.write_all(line.as_bytes())?;
        }
        server.write_all(b"Connection: close\r\n\r\n")?;
    }
    let buffered = client.buffer().to_vec();
    server.write_all(&buffered)?;
    join(client.into_inner(), server)
}

/// A connection by SOCKS 5 (RFC 1928), with user name and password where the client offers them (RFC 1929).
fn socks(mut client: TcpStream, shared: &Shared) -> io::Result<()> {
    let [_, count] = read(&mut client)?;
    let mut methods = vec![0; usize::from(count)];
    client.read_exact(&mut methods)?;
    let mut authorization = None;
    if methods.contains(&2) {
        client.write_all(&[5, 2])?;
        let [_, length] = read(&mut client)?;
        let user = text(&mut client, length)?;
        let [length] = read(&mut client)?;
        authorization = Some(format!("{user}:{}", text(&mut client, length)?));
        client.write_all(&[1, 0])?;
    } else {
        client.write_all(&[5, 0])?;
    }
    let [_, _, _, kind] = read(&mut client)?;
    let host = match kind {
        1 => std::net::Ipv4Addr::from(read::<4>(&mut client)?).to_string(),
        3 => {
            let [length] = read(&mut client)?;
            text(&mut client, length)?
        }
        _ => std::net::Ipv6Addr::from(read::<16>(&mut client)?).to_string(),
    };
    let port = u16::from_be_bytes(read(&mut client)?);
    let Some(to) = shared.find("socks5", &format!("{host}:{port}"), authorization) else {
        return client.write_all(&[5, 4, 0, 1, 0, 0, 0, 0, 0, 0]);
    };
    let server = TcpStream::connect(to)?;
    client.write_all(&[5, 0, 0, 1, 0, 0, 0, 0, 0, 0])?;
    join(client, server)
}

fn read<const LENGTH: usize>(stream: &mut TcpStream) -> io::Result<[u8; LENGTH]> {
    let mut bytes = [0; LENGTH];
    stream.read_exact(&mut bytes)?;
    Ok(bytes)
}

fn text(stream: &mut TcpStream, length: u8) -> io::Result<String> {
    let mut bytes = vec![0; usize::from(length)];
    stream.read_exact(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// Passes bytes on in both directions until both have ended.
fn join(client: TcpStream, server: TcpStream) -> io::Result<()> {
    let (mut from_client, mut to_server) = (client.try_clone()?, server.try_clone()?);
    let upward = std::thread::spawn(move || {
        let copied = io::copy(&mut from_client, &mut to_server);
        // The other side may be gone already.
        let _ = to_server.shutdown(Shutdown::Write);
        copied
    });
    let (mut from_server, mut to_client) = (server, client);
    io::copy(&mut from_server, &mut to_client)?;
    let _ = to_client.shutdown(Shutdown::Both);
    let _ = upward.join();
    Ok(())
}
