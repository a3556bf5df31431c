//! What the machine could do at best: the yardstick beside the peers.

use std::io::Read;
use std::time::{Duration, Instant};

use anyhow::Result;
use sha2::{Digest, Sha256};

use super::disk::Disk;
use super::image::Image;

/// Measured rates of this machine.
pub(crate) struct Limits {
    /// SHA-256 on all cores at once, bytes per second.
    pub(crate) hash_rate: f64,
    /// Copying the image's stored layers onto a fresh file system and flushing it, bytes per second.
    pub(crate) copy_rate: f64,
}

/// What an operation cannot do without.
#[derive(Clone, Copy)]
pub(crate) struct Work {
    /// Bytes that have to be hashed.
    pub(crate) hashed_bytes: u64,
    /// Bytes that have to be written.
    pub(crate) written_bytes: u64,
}

impl Limits {
    /// Hashes and copies the image's own bytes.
    pub(crate) fn measure(image: &Image) -> Result<Self> {
        Ok(Self { hash_rate: hash_rate()?, copy_rate: copy_rate(image)? })
    }

    /// The shortest time for some work, if hashing and writing overlap perfectly.
    pub(crate) fn shortest(&self, work: Work) -> Duration {
        let hashing = work.hashed_bytes as f64 / self.hash_rate;
        let writing = work.written_bytes as f64 / self.copy_rate;
        Duration::from_secs_f64(hashing.max(writing))
    }
}

fn hash_rate() -> Result<f64> {
    const BYTES_PER_THREAD: usize = 512 << 20;
    let threads = std::thread::available_parallelism()?.get();
    let block = vec![0x5a_u8; 1 << 20];
    let start = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                let mut hash = Sha256::new();
                for _ in 0..BYTES_PER_THREAD / block.len() {
                    hash.update(&block);
                }
                std::hint::black_box(hash.finalize());
            });
        }
    });
    Ok((BYTES_PER_THREAD * threads) as f64 / start.elapsed().as_secs_f64())
}

fn copy_rate(image: &Image) -> Result<f64> {
    let blobs: Vec<_> =
        std::fs::read_dir(image.layout.join("blobs/sha256"))?.map(|entry| Ok(entry?.path())).collect::<Result<_>>()?;
    // Warm: the registry's bytes are in memory too.
    for blob in &blobs {
        std::io::copy(&mut std::fs::File::open(blob)?.by_ref(), &mut std::io::sink())?;
    }
    let disk = Disk::fresh()?;
    let start = Instant::now();
    let mut copied_bytes = 0;
    for (number, blob) in blobs.iter().enumerate() {
        copied_bytes += std::fs::copy(blob, disk.path().join(number.to_string()))?;
    }
    disk.sync()?;
    Ok(copied_bytes as f64 / start.elapsed().as_secs_f64())
}
