//! One direction of one connection.

use std::collections::VecDeque;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::{Duration, Instant};

use socket2::SockRef;

use super::{Shared, time_of};
use crate::forgetful::Random;

/// Bytes that are read at once, and that one fault is about.
const PIECE_BYTES: usize = 16 << 10;

/// Bytes of one segment, and how many of them go out before anything is acknowledged (RFC 6928).
const SEGMENT_BYTES: usize = 1448;
const FIRST_WINDOW_BYTES: usize = 10 * SEGMENT_BYTES;
const WINDOW_BYTES_MAX: usize = 4 << 20;

/// A queue before the narrow place holds so much; beyond that, whoever sends is told to send less.
const QUEUE_MAX: Duration = Duration::from_millis(200);

/// When a lost segment is sent again, if nothing behind it tells of it.
const RETRANSMISSION: Duration = Duration::from_millis(200);

const STALL: Duration = Duration::from_secs(1);
const SILENCE: Duration = Duration::from_secs(3);

/// How a connection is: as it should be, silent, or reset.
pub(super) const OPEN: u8 = 0;
const SILENT: u8 = 1;
const RESET: u8 = 2;

/// Which way bytes go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Towards {
    Server,
    Client,
}

/// What happens to a piece.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Pass,
    Late(Duration),
    Reset,
    Truncate,
    Silence,
    Swap,
}

/// What is on its way.
#[derive(Debug)]
struct Piece {
    arrives: Instant,
    bytes: Vec<u8>,
}

/// Reads from one side and has what was read arrive at the other when its time has come.
pub(super) struct Pump {
    towards: Towards,
    from: TcpStream,
    to: TcpStream,
    shared: Arc<Shared>,
    /// How the connection is, whichever direction it came from.
    end: Arc<AtomicU8>,
    random: Random,
    window: Window,
    /// Nothing arrives before what was sent before it.
    last_arrival: Instant,
    /// When this connection's own rate lets the next piece go.
    free: Instant,
}

impl Pump {
    pub(super) fn new(
        towards: Towards,
        (from, to): (TcpStream, TcpStream),
        shared: Arc<Shared>,
        end: Arc<AtomicU8>,
        seed: u64,
    ) -> Self {
        let now = Instant::now();
        // The handshake took a round trip, of which the client's end of this relay knows nothing.
        let handshake = if towards == Towards::Server { shared.shape.delay * 2 } else { Duration::ZERO };
        let window = Window::new(shared.shape.delay * 2);
        let random = Random::new(seed);
        Self { towards, from, to, shared, end, random, window, last_arrival: now + handshake, free: now + handshake }
    }

    pub(super) fn run(mut self) {
        let (sender, receiver) = sync_channel(WINDOW_BYTES_MAX / PIECE_BYTES);
        let Ok(to) = self.to.try_clone() else { return };
        let (shared, end, towards) = (Arc::clone(&self.shared), Arc::clone(&self.end), self.towards);
        let writer = std::thread::spawn(move || deliver(to, &receiver, &shared, &end, towards));
        let whole = self.pass_on(&sender);
        drop(sender);
        let _ = writer.join();
        if whole && self.end.load(Ordering::SeqCst) == OPEN {
            let _ = self.to.shutdown(Shutdown::Write);
        }
    }

    /// Passes everything on; `false` when the connection was ended here.
    fn pass_on(&mut self, sender: &SyncSender<Piece>) -> bool {
        let mut buffer = vec![0; PIECE_BYTES];
        let mut held: Option<Vec<u8>> = None;
        loop {
            let room = self.window.wait_for_room();
            let length = match self.from.read(&mut buffer[..room.clamp(1, PIECE_BYTES)]) {
                Ok(0) | Err(_) => {
                    // What waited for its successor has none.
                    return held.is_none_or(|bytes| self.send(sender, bytes, Duration::ZERO));
                }
                Ok(length) => length,
            };
            match self.end.load(Ordering::SeqCst) {
                OPEN => {}
                SILENT => continue,
                _ => return false,
            }
            let mut bytes = buffer[..length].to_vec();
            let fate = self.fate();
            if fate != Fate::Pass {
                self.shared.happened.fetch_add(1, Ordering::SeqCst);
            }
            let late = match fate {
                Fate::Late(late) => late,
                Fate::Reset => {
                    self.reset();
                    return false;
                }
                Fate::Truncate => {
                    bytes.truncate(length / 2);
                    self.send(sender, bytes, Duration::ZERO);
                    std::thread::sleep(self.last_arrival.saturating_duration_since(Instant::now()));
                    self.end();
                    return false;
                }
                Fate::Silence => {
                    self.end.store(SILENT, Ordering::SeqCst);
                    std::thread::sleep(SILENCE);
                    self.end();
                    return false;
                }
                Fate::Swap if held.is_none() => {
                    held = Some(bytes);
                    continue;
                }
                Fate::Pass | Fate::Swap => Duration::ZERO,
            };
            let behind = held.take();
            if !self.send(sender, bytes, late) || behind.is_some_and(|bytes| !self.send(sender, bytes, Duration::ZERO))
            {
                return false;
            }
        }
    }

    fn send(&mut self, sender: &SyncSender<Piece>, bytes: Vec<u8>, late: Duration) -> bool {
        let (passed, queued) = self.shared.reserve(self.towards, bytes.len());
        self.free = self.free.max(Instant::now()) + time_of(bytes.len(), self.shared.shape.bytes_per_second_of_one);
        let arrives = (passed.max(self.free) + self.shared.shape.delay + late).max(self.last_arrival);
        self.last_arrival = arrives;
        self.window.sent(bytes.len(), arrives + self.shared.shape.delay, queued > QUEUE_MAX || !late.is_zero());
        sender.send(Piece { arrives, bytes }).is_ok()
    }

    fn fate(&mut self) -> Fate {
        let faults = self.shared.faults;
        let mut drawn = self.random.below(10_000);
        for (often, fate) in [
            (faults.loss, Fate::Late(RETRANSMISSION)),
            (faults.stall, Fate::Late(STALL)),
            (faults.reset, Fate::Reset),
            (faults.truncate, Fate::Truncate),
            (faults.silence, Fate::Silence),
            (faults.swap, Fate::Swap),
        ] {
            if drawn < often {
                return fate;
            }
            drawn -= often;
        }
        Fate::Pass
    }

    /// Ends both sides as if all had been said.
    fn end(&self) {
        for side in [&self.from, &self.to] {
            let _ = side.shutdown(Shutdown::Both);
        }
    }

    /// Ends both sides at once: with no time to linger, closing sends RST.
    fn reset(&self) {
        self.end.store(RESET, Ordering::SeqCst);
        for side in [&self.from, &self.to] {
            let _ = SockRef::from(side).set_linger(Some(Duration::ZERO));
        }
        // A shutdown would say goodbye. The other direction's threads have the sockets too, and let go of them when they
        // find them ended for reading.
        for side in [&self.from, &self.to] {
            let _ = side.shutdown(Shutdown::Read);
        }
    }
}

fn deliver(mut to: TcpStream, pieces: &Receiver<Piece>, shared: &Shared, end: &AtomicU8, towards: Towards) {
    for piece in pieces {
        std::thread::sleep(piece.arrives.saturating_duration_since(Instant::now()));
        if end.load(Ordering::SeqCst) == RESET {
            return;
        }
        if to.write_all(&piece.bytes).is_err() {
            return;
        }
        shared.passed[towards as usize].fetch_add(piece.bytes.len() as u64, Ordering::SeqCst);
    }
}

/// What may be under way before it is acknowledged: slow start, then a segment more per round trip, halved where the queue
/// is full or a segment was lost (RFC 5681).
#[derive(Debug)]
struct Window {
    bytes: usize,
    /// Where slow start ends.
    threshold: usize,
    under_way: VecDeque<(Instant, usize)>,
    under_way_bytes: usize,
    /// When what was sent at the last halving is acknowledged: until then, nothing new is learnt of the line.
    recovered: Option<Instant>,
}

impl Window {
    fn new(round_trip: Duration) -> Self {
        let bytes = if round_trip.is_zero() { WINDOW_BYTES_MAX } else { FIRST_WINDOW_BYTES };
        Self { bytes, threshold: WINDOW_BYTES_MAX, under_way: VecDeque::new(), under_way_bytes: 0, recovered: None }
    }

    fn sent(&mut self, bytes: usize, acknowledged: Instant, is_too_much: bool) {
        self.under_way.push_back((acknowledged, bytes));
        self.under_way_bytes += bytes;
        if is_too_much && self.recovered.is_none_or(|recovered| Instant::now() > recovered) {
            self.recovered = Some(acknowledged);
            self.bytes = (self.bytes / 2).max(2 * SEGMENT_BYTES);
            self.threshold = self.bytes;
        }
    }

    /// Waits until a whole segment may be sent, and says how much: who sends what little room an acknowledgement made soon sends
    /// nothing but crumbs (RFC 813).
    fn wait_for_room(&mut self) -> usize {
        loop {
            let now = Instant::now();
            while let Some((_, bytes)) = self.under_way.front().copied().filter(|(time, _)| *time <= now) {
                self.under_way.pop_front();
                self.under_way_bytes -= bytes;
                let growth =
                    if self.bytes < self.threshold { bytes } else { SEGMENT_BYTES * bytes / self.bytes.max(1) };
                self.bytes = (self.bytes + growth).min(WINDOW_BYTES_MAX);
            }
            let room = self.bytes.saturating_sub(self.under_way_bytes);
            if room >= SEGMENT_BYTES {
                return room;
            }
            let Some((acknowledged, _)) = self.under_way.front() else { return self.bytes };
            std::thread::sleep(acknowledged.saturating_duration_since(now));
        }
    }
}
