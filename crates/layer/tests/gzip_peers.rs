//! gzip of several members as other programs read it: GNU gzip, Python, Go.

#![allow(clippy::print_stdout, reason = "a test says why it is skipped")]

use std::io::Write;
use std::num::NonZeroUsize;
use std::process::{Command, Stdio};

use dhow_layer::{Compression, encode_on};

/// More than three members: text that compresses, and noise that does not.
fn original() -> Vec<u8> {
    let mut state = 88_172_645_463_325_252_u64;
    (0..3_500_000_u32)
        .map(|position| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            if position < 1_700_000 { (position / 97) as u8 } else { (state >> 32) as u8 }
        })
        .collect()
}

/// What a program makes of the compressed bytes; nothing when it is not there.
fn through(program: &str, arguments: &[&str], input: &[u8]) -> Option<Vec<u8>> {
    let mut command = Command::new(program);
    let spawned = command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
    let mut child = match spawned {
        Ok(child) => child,
        Err(error) => {
            println!("skipped: {program}: {error}");
            return None;
        }
    };
    let mut stdin = child.stdin.take().expect("its input");
    let input = input.to_vec();
    let writer = std::thread::spawn(move || stdin.write_all(&input));
    let output = child.wait_with_output().expect("its end");
    writer.join().expect("a writer").expect("writing to it");
    assert!(output.status.success(), "{program}: {output:?}");
    Some(output.stdout)
}

#[test]
fn other_programs_read_all_members() {
    let original = original();
    let mut written = Vec::new();
    let threads = NonZeroUsize::new(3).expect("some");
    encode_on(threads, &*original, &mut written, Compression::Gzip).expect("encoding");
    assert!(written.windows(4).filter(|window| window == b"\x1f\x8b\x08\0").count() >= 4, "several members");
    let script = "import sys, gzip\nsys.stdout.buffer.write(gzip.decompress(sys.stdin.buffer.read()))";
    let stream = "import sys, gzip, shutil\nshutil.copyfileobj(gzip.open(sys.stdin.buffer), sys.stdout.buffer)";
    for (program, arguments) in
        [("gzip", &["-dc"][..]), ("python3", &["-c", script]), ("python3", &["-c", stream]), ("pigz", &["-dc"])]
    {
        if let Some(read) = through(program, arguments, &written) {
            assert!(read == original, "{program} reads something else");
        }
    }
}
