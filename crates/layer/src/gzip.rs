//! gzip written on several threads (RFC 1952), the same bytes whatever their number.
//!
//! The input is cut into blocks of a fixed size, and each becomes a gzip member of its own: libdeflate compresses buffers
//! that it sees whole, several times faster than a compressor of streams. RFC 1952 (section 2.2) has a file consist of any
//! number of members, and everything that reads layers reads them: Go's `compress/gzip` (docker, podman, skopeo), GNU gzip,
//! Python. A member costs 18 bytes and a fresh window, less than half a percent of what it saves.

use std::io::{self, Read, Write};
use std::num::NonZeroUsize;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

use dhow_base::threads;
use libdeflater::{CompressionLvl, Compressor, Decompressor};

/// Length of the input of one member, in bytes. A part of the format that is written: another size gives other digests.
pub(crate) const BLOCK_BYTES: usize = 1 << 20;

/// Level of libdeflate: as small as zlib's default, in a third of the time.
const LEVEL: i32 = 6;

/// Blocks that one thread may have in hand: one that it works on, one that waits, so that it never does.
const BLOCKS_AHEAD: usize = 2;

/// Writes all of `reader` to `writer`; returns how many bytes were read. Needs about 3 MiB of memory for each thread and
/// block in hand.
///
/// Every member is inflated again and compared before it is written: a compressor's mistake must not become a layer.
///
/// # Errors
/// Those of reading and writing.
pub(crate) fn write(reader: &mut impl Read, writer: &mut impl Write, threads: NonZeroUsize) -> io::Result<u64> {
    let mut block = read_block(reader, Vec::new())?;
    // Most documents and many layers are no longer than a block: no thread is worth its start for them.
    if block.len() < BLOCK_BYTES || threads.get() == 1 {
        return alone(reader, writer, block);
    }
    thread::scope(|scope| {
        let workers: Vec<Worker> = (0..threads.get())
            .map_while(|_| {
                let (to_worker, blocks) = sync_channel(BLOCKS_AHEAD);
                let (members, from_worker) = sync_channel(BLOCKS_AHEAD);
                threads::start_in(scope, "compress", move || work(&blocks, &members)).ok()?;
                Some(Worker { blocks: to_worker, members: from_worker })
            })
            .collect();
        if workers.is_empty() {
            return alone(reader, writer, block);
        }
        let most = workers.len() * BLOCKS_AHEAD;
        let (mut sent, mut written, mut total) = (0, 0, 0_u64);
        let mut spare = Vec::new();
        // Blocks go around, and members come back in the same order.
        while !block.is_empty() {
            total += block.len() as u64;
            workers[sent % workers.len()].blocks.send(block).map_err(|_| gone())?;
            sent += 1;
            if sent - written >= most {
                spare = workers[written % workers.len()].write_next(writer)?;
                written += 1;
            }
            block = read_block(reader, std::mem::take(&mut spare))?;
        }
        while written < sent {
            workers[written % workers.len()].write_next(writer)?;
            written += 1;
        }
        Ok(total)
    })
}

/// The same without threads.
fn alone(reader: &mut impl Read, writer: &mut impl Write, mut block: Vec<u8>) -> io::Result<u64> {
    let mut press = Press::new();
    let mut total = 0;
    loop {
        total += block.len() as u64;
        writer.write_all(press.member(&block)?)?;
        block = read_block(reader, block)?;
        // Nothing at all is one empty member: a file without any is no gzip.
        if block.is_empty() {
            return Ok(total);
        }
    }
}

/// Fills a block; it is shorter only at the end.
fn read_block(reader: &mut impl Read, mut block: Vec<u8>) -> io::Result<Vec<u8>> {
    block.clear();
    block.reserve_exact(BLOCK_BYTES);
    reader.by_ref().take(BLOCK_BYTES as u64).read_to_end(&mut block)?;
    Ok(block)
}

/// A thread that compresses, as the one that reads and writes sees it.
struct Worker {
    blocks: SyncSender<Vec<u8>>,
    members: Receiver<io::Result<Done>>,
}

/// A finished member, and the block that it was made of, whose memory is used again.
struct Done {
    member: Vec<u8>,
    block: Vec<u8>,
}

impl Worker {
    /// Waits for a member and writes it; returns memory for another block.
    fn write_next(&self, writer: &mut impl Write) -> io::Result<Vec<u8>> {
        let done = self.members.recv().map_err(|_| gone())??;
        writer.write_all(&done.member)?;
        Ok(done.block)
    }
}

fn gone() -> io::Error {
    io::Error::other("a compressing thread ended unexpectedly")
}

/// What a thread does until nothing more comes, or nobody waits for it any more.
fn work(blocks: &Receiver<Vec<u8>>, members: &SyncSender<io::Result<Done>>) {
    let mut press = Press::new();
    while let Ok(block) = blocks.recv() {
        let done = press.member(&block).map(<[u8]>::to_vec).map(|member| Done { member, block });
        if members.send(done).is_err() {
            return;
        }
    }
}

/// A compressor, what undoes it, and their memory.
struct Press {
    compressor: Compressor,
    decompressor: Decompressor,
    member: Vec<u8>,
    again: Vec<u8>,
}

impl Press {
    fn new() -> Self {
        let level = CompressionLvl::new(LEVEL).unwrap_or_default();
        Self {
            compressor: Compressor::new(level),
            decompressor: Decompressor::new(),
            member: Vec::new(),
            again: Vec::new(),
        }
    }

    /// Makes a member of a block and proves it.
    fn member(&mut self, block: &[u8]) -> io::Result<&[u8]> {
        self.member.resize(self.compressor.gzip_compress_bound(block.len()), 0);
        let length = self
            .compressor
            .gzip_compress(block, &mut self.member)
            .map_err(|error| io::Error::other(format!("cannot compress: {error}")))?;
        let member = &self.member[..length];
        self.again.resize(block.len(), 0);
        match self.decompressor.gzip_decompress(member, &mut self.again) {
            Ok(count) if count == block.len() && self.again == block => Ok(member),
            outcome => Err(io::Error::other(format!(
                "the compressor made something else of its input ({outcome:?}); try again"
            ))),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn written(input: &[u8], threads: usize) -> Vec<u8> {
        let mut output = Vec::new();
        let count = write(&mut &*input, &mut output, NonZeroUsize::new(threads).expect("some")).expect("compressing");
        assert_eq!(count, input.len() as u64);
        output
    }

    fn inflated(bytes: &[u8]) -> Vec<u8> {
        let mut output = Vec::new();
        flate2::bufread::MultiGzDecoder::new(bytes).read_to_end(&mut output).expect("inflating");
        output
    }

    /// Text, noise and zeros, of any length around the borders of blocks.
    fn input() -> impl Strategy<Value = Vec<u8>> {
        let length = prop_oneof![
            0..64_usize,
            (0..5_usize, -2..3_i64).prop_map(|(blocks, over)| {
                (blocks * BLOCK_BYTES).saturating_add_signed(isize::try_from(over).expect("small"))
            }),
            0..4 * BLOCK_BYTES,
        ];
        (length, any::<u64>(), 1..200_u64).prop_map(|(length, seed, repeat)| {
            let mut state = seed | 1;
            (0..length as u64)
                .map(|position| {
                    if position % repeat == 0 {
                        state ^= state << 13;
                        state ^= state >> 7;
                        state ^= state << 17;
                    }
                    (state >> 24) as u8
                })
                .collect()
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

        #[test]
        fn any_number_of_threads_writes_the_same_and_it_is_read_back(input in input()) {
            let one = written(&input, 1);
            prop_assert!(inflated(&one) == input);
            for threads in 2..6 {
                prop_assert!(written(&input, threads) == one, "{threads} threads differ");
            }
        }
    }

    /// The bytes are a promise: a digest that was once pushed comes out again.
    #[test]
    fn members_are_of_one_size_and_say_nothing_else() {
        let output = written(&vec![0; 2 * BLOCK_BYTES + 1], 3);
        let members = output.windows(10).filter(|window| window.starts_with(b"\x1f\x8b\x08\0\0\0\0\0")).count();
        assert_eq!(members, 3, "no name, no time");
        assert_eq!(written(b"", 4), written(b"", 1));
        assert_eq!(inflated(&written(b"", 1)), b"");
    }

    struct Failing(u64);

    impl Read for Failing {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            if self.0 == 0 {
                return Err(io::Error::other("the disk is on fire"));
            }
            let count = buffer.len().min(usize::try_from(self.0).unwrap_or(usize::MAX));
            buffer[..count].fill(7);
            self.0 -= count as u64;
            Ok(count)
        }
    }

    struct Full(usize);

    impl Write for Full {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0 = self.0.checked_sub(1).ok_or(io::ErrorKind::StorageFull)?;
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn failures_of_either_side_end_it() {
        let threads = NonZeroUsize::new(4).expect("some");
        let error = write(&mut Failing(20 * BLOCK_BYTES as u64), &mut io::sink(), threads).expect_err("reading fails");
        assert_eq!(error.to_string(), "the disk is on fire");
        let zeros = vec![0; 20 * BLOCK_BYTES];
        let error = write(&mut &*zeros, &mut Full(3), threads).expect_err("writing fails");
        assert_eq!(error.kind(), io::ErrorKind::StorageFull);
    }
}
