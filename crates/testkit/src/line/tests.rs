//! The line does what it says, to bytes that a plain server echoes.

#![allow(clippy::unwrap_used, reason = "a failed step is a failed test")]

use std::io::{Read, Write};

use super::*;

/// A server that sends back what it gets.
fn echo() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            std::thread::spawn(move || {
                let mut buffer = [0; 4096];
                while let Ok(length @ 1..) = stream.read(&mut buffer) {
                    if stream.write_all(&buffer[..length]).is_err() {
                        return;
                    }
                }
            });
        }
    });
    address
}

fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|index| (index * 31 / 7) as u8).collect()
}

/// What comes back of `bytes`, and how the connection ended.
fn through(line: &Line, bytes: &[u8]) -> (Vec<u8>, Option<std::io::ErrorKind>) {
    let mut stream = TcpStream::connect(line.address()).unwrap();
    let mut writer = stream.try_clone().unwrap();
    let sent = bytes.to_vec();
    let thread = std::thread::spawn(move || {
        let _ = writer.write_all(&sent);
        let _ = writer.shutdown(std::net::Shutdown::Write);
    });
    let mut back = Vec::new();
    let outcome = stream.read_to_end(&mut back);
    thread.join().unwrap();
    (back, outcome.err().map(|error| error.kind()))
}

#[test]
fn a_good_line_changes_nothing() {
    let line = Line::start(echo(), Shape::default(), Faults::default(), 1);
    let bytes = pattern(1_000_000);
    assert_eq!(through(&line, &bytes), (bytes.clone(), None));
    let counts = line.counts();
    assert_eq!((counts.connections, counts.faults, counts.to_server), (1, 0, 1_000_000));
}

#[test]
fn distance_and_width_take_their_time() {
    let delay = Duration::from_millis(20);
    let line = Line::start(echo(), Shape { delay, ..Shape::default() }, Faults::default(), 1);
    let start = Instant::now();
    through(&line, b"x");
    assert!(start.elapsed() >= delay * 4, "a handshake and a question: {:?}", start.elapsed());
    let start = Instant::now();
    let bytes = pattern(200_000);
    assert_eq!(through(&line, &bytes).0, bytes);
    // 14, 29, 58 and 116 kB in the first four round trips.
    assert!(start.elapsed() >= delay * 8, "slow start: {:?}", start.elapsed());
    let shape = Shape { bytes_per_second: 1_000_000, ..Shape::default() };
    let line = Line::start(echo(), shape, Faults::default(), 1);
    let start = Instant::now();
    through(&line, &pattern(300_000));
    assert!(start.elapsed() >= Duration::from_millis(300), "{:?}", start.elapsed());
    let shape = Shape { bytes_per_second_of_one: 1_000_000, ..Shape::default() };
    let line = Line::start(echo(), shape, Faults::default(), 1);
    let start = Instant::now();
    through(&line, &pattern(300_000));
    assert!(start.elapsed() >= Duration::from_millis(300), "{:?}", start.elapsed());
}

#[test]
fn each_fault_does_what_it_says() {
    let bytes = pattern(400_000);
    let run = |faults: Faults| through(&Line::start(echo(), Shape::default(), faults, 3), &bytes);
    let (back, error) = run(Faults { reset: 2000, ..Faults::default() });
    assert!(back.len() < bytes.len() && error == Some(std::io::ErrorKind::ConnectionReset), "{} {error:?}", back.len());
    let (back, _) = run(Faults { truncate: 2000, ..Faults::default() });
    assert!(back.len() < bytes.len() && back == bytes[..back.len()]);
    let (back, _) = run(Faults { silence: 2000, ..Faults::default() });
    assert!(back.len() < bytes.len() && back == bytes[..back.len()]);
    let (mut back, error) = run(Faults { swap: 2000, ..Faults::default() });
    assert!(back != bytes && error.is_none());
    let mut sorted = bytes.clone();
    back.sort_unstable();
    sorted.sort_unstable();
    assert_eq!(back, sorted, "nothing is lost, it only comes in another order");
    let (back, error) = run(Faults { loss: 500, ..Faults::default() });
    assert_eq!((back, error), (bytes.clone(), None), "what was lost comes again");
}

/// Four connections that share a narrow place fill it, however often each is told to send less, and no crumbs go over it.
#[test]
fn a_narrow_place_is_filled() {
    const BYTES: usize = 3_000_000;
    let shape = Shape { delay: Duration::from_millis(25), bytes_per_second: 6_000_000, ..Shape::default() };
    let line = Line::start(echo(), shape, Faults::default(), 1);
    let start = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| assert_eq!(through(&line, &pattern(BYTES)).0.len(), BYTES));
        }
    });
    let (elapsed, least) = (start.elapsed().as_secs_f64(), 4.0 * BYTES as f64 / 6_000_000.0);
    // How far above it is a matter of what else the machine does.
    assert!(elapsed >= least && elapsed < 20.0 * least, "{elapsed:.2} s, {least:.2} s at least");
}
