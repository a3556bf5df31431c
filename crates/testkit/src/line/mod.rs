//! A line between a client and a server that is long, narrow and bad: a TCP relay that runs inside the test.
//!
//! It takes connections on a free port of 127.0.0.1 and passes their bytes on to one address, later than they came, no
//! faster than it is told, and not always whole. What goes wrong is drawn from a seed: the same seed gives every connection
//! the same fate, piece by piece.
//!
//! Unlike `tc netem`, it needs no rights and no kernel module, and is the same on every machine. It models what decides how
//! long a transfer takes: the round trip of a handshake, the bytes that each side may have under way (slow start from ten
//! segments, halved where the queue is full), and the rates of the line and of each connection.
//!
//! ```no_run
//! use std::time::Duration;
//! use dhow_testkit::line::{Faults, Line, Shape};
//!
//! # let address = "127.0.0.1:5000".parse().unwrap();
//! let shape = Shape { delay: Duration::from_millis(25), bytes_per_second: 25_000_000, ..Shape::default() };
//! let line = Line::start(address, shape, Faults { reset: 20, ..Faults::default() }, 7);
//! // … a client talks to `line.authority()` …
//! ```

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

mod pump;

use pump::{Pump, Towards};

/// How long and how wide a line is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// How long a byte is on its way, in each direction.
    pub delay: Duration,
    /// What the line carries in each direction, over all connections.
    pub bytes_per_second: u64,
    /// What one connection carries in each direction.
    pub bytes_per_second_of_one: u64,
}

impl Default for Shape {
    /// No longer and no narrower than the machine.
    fn default() -> Self {
        Self { delay: Duration::ZERO, bytes_per_second: u64::MAX, bytes_per_second_of_one: u64::MAX }
    }
}

/// How often what goes wrong, in 10,000 pieces of up to 16 KiB.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Faults {
    /// A segment is lost, and comes a retransmission timeout (200 ms) later, with everything behind it.
    pub loss: u64,
    /// Nothing passes for a second.
    pub stall: u64,
    /// The connection is reset (RST), and what was under way is gone.
    pub reset: u64,
    /// Half of a piece passes, then the connection ends as if all had been said (FIN).
    pub truncate: u64,
    /// The connection falls silent in both directions, and ends three seconds later.
    pub silence: u64,
    /// Two pieces change places: no network does that to a TCP connection, broken middle boxes do.
    pub swap: u64,
}

/// What went wrong so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Connections that were taken.
    pub connections: u64,
    /// Faults of all kinds.
    pub faults: u64,
    /// Bytes that were passed on to clients.
    pub to_clients: u64,
    /// Bytes that were passed on to the server.
    pub to_server: u64,
}

#[derive(Debug)]
struct Shared {
    target: SocketAddr,
    shape: Shape,
    faults: Faults,
    seed: u64,
    stop: AtomicBool,
    /// When the line is free again, in each direction.
    free: [Mutex<Instant>; 2],
    connections: AtomicU64,
    happened: AtomicU64,
    passed: [AtomicU64; 2],
}

/// The line. It takes no more connections when dropped; those that are under way end with their sides.
#[derive(Debug)]
pub struct Line {
    address: SocketAddr,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

impl Line {
    /// Starts one that leads to `target`.
    ///
    /// # Panics
    /// When no port can be opened.
    pub fn start(target: SocketAddr, shape: Shape, faults: Faults, seed: u64) -> Self {
        Self::start_at(SocketAddr::from(([127, 0, 0, 1], 0)), target, shape, faults, seed)
    }

    /// As [`Line::start`], at an address: clients treat those that are not the loopback's as distant.
    ///
    /// # Panics
    /// When it cannot be opened.
    pub fn start_at(at: SocketAddr, target: SocketAddr, shape: Shape, faults: Faults, seed: u64) -> Self {
        let listener = TcpListener::bind(at).expect("a free port");
        let address = listener.local_addr().expect("the port that was bound");
        let now = Instant::now();
        let shared = Arc::new(Shared {
            target,
            shape,
            faults,
            seed,
            stop: AtomicBool::new(false),
            free: [Mutex::new(now), Mutex::new(now)],
            connections: AtomicU64::new(0),
            happened: AtomicU64::new(0),
            passed: [AtomicU64::new(0), AtomicU64::new(0)],
        });
        let of_thread = Arc::clone(&shared);
        let thread = std::thread::spawn(move || {
            for client in listener.incoming() {
                if of_thread.stop.load(Ordering::SeqCst) {
                    return;
                }
                let number = of_thread.connections.fetch_add(1, Ordering::SeqCst);
                let (Ok(client), Ok(server)) = (client, TcpStream::connect(of_thread.target)) else { continue };
                // A side that goes away is no failure of the line.
                let _ = join(&client, &server, &of_thread, number);
            }
        });
        Self { address, shared, thread: Some(thread) }
    }

    /// Where it takes connections.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// `127.0.0.1:<port>`.
    pub fn authority(&self) -> String {
        self.address.to_string()
    }

    /// What happened so far.
    pub fn counts(&self) -> Counts {
        let count = |counter: &AtomicU64| counter.load(Ordering::SeqCst);
        Counts {
            connections: count(&self.shared.connections),
            faults: count(&self.shared.happened),
            to_clients: count(&self.shared.passed[Towards::Client as usize]),
            to_server: count(&self.shared.passed[Towards::Server as usize]),
        }
    }
}

impl Drop for Line {
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
    /// When so many bytes have passed the narrow place, and how long they waited before it.
    fn reserve(&self, towards: Towards, bytes: usize) -> (Instant, Duration) {
        let now = Instant::now();
        let mut free = self.free[towards as usize].lock().unwrap_or_else(PoisonError::into_inner);
        let begin = (*free).max(now);
        *free = begin + time_of(bytes, self.shape.bytes_per_second);
        (*free, begin - now)
    }
}

/// How long so many bytes take at a rate.
fn time_of(bytes: usize, bytes_per_second: u64) -> Duration {
    Duration::from_secs_f64(bytes as f64 / bytes_per_second as f64)
}

fn join(client: &TcpStream, server: &TcpStream, shared: &Arc<Shared>, number: u64) -> std::io::Result<()> {
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let end = Arc::new(AtomicU8::new(pump::OPEN));
    for (towards, from, to) in [(Towards::Server, client, server), (Towards::Client, server, client)] {
        let seed = shared.seed ^ (number << 1 | towards as u64).wrapping_mul(0x9e37_79b9);
        let pump = Pump::new(towards, (from.try_clone()?, to.try_clone()?), Arc::clone(shared), Arc::clone(&end), seed);
        std::thread::spawn(move || pump.run());
    }
    Ok(())
}

#[cfg(test)]
mod tests;
