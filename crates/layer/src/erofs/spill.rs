//! Bytes that are noted one after another: in memory while they are few, in a scratch file once they are many.

use dhow_base::Result;

use super::storage::Storage;

/// Bytes held in memory before they go to the file.
const BUFFER_BYTES: usize = 1 << 20;

/// Where scratch files come from.
pub(super) type MakeScratch<'a, S> = &'a dyn Fn() -> Result<S>;

/// The notes. Positions never change.
pub(super) struct Spill<S> {
    file: Option<S>,
    /// What follows the file's bytes.
    buffer: Vec<u8>,
    written: u64,
}

impl<S: Storage> Spill<S> {
    pub(super) fn new() -> Self {
        Self { file: None, buffer: Vec::new(), written: 0 }
    }

    /// Where the next byte goes.
    pub(super) fn position(&self) -> u64 {
        self.written + self.buffer.len() as u64
    }

    pub(super) fn append(&mut self, bytes: &[u8], make: MakeScratch<'_, S>) -> Result<()> {
        if self.buffer.len() + bytes.len() > BUFFER_BYTES {
            self.flush(make)?;
        }
        self.buffer.extend_from_slice(bytes);
        Ok(())
    }

    /// Appends zeros up to a multiple of `alignment`.
    pub(super) fn align(&mut self, alignment: u64, make: MakeScratch<'_, S>) -> Result<()> {
        let gap = self.position().next_multiple_of(alignment) - self.position();
        self.append_zeros(gap, make)
    }

    pub(super) fn append_zeros(&mut self, mut count: u64, make: MakeScratch<'_, S>) -> Result<()> {
        const ZEROS: [u8; 4096] = [0; 4096];
        while count > 0 {
            let now = usize::try_from(count).unwrap_or(usize::MAX).min(ZEROS.len());
            self.append(&ZEROS[..now], make)?;
            count -= now as u64;
        }
        Ok(())
    }

    fn flush(&mut self, make: MakeScratch<'_, S>) -> Result<()> {
        let file = match &mut self.file {
            Some(file) => file,
            none => none.insert(make()?),
        };
        file.write_at(&self.buffer, self.written)?;
        self.written += self.buffer.len() as u64;
        self.buffer.clear();
        Ok(())
    }

    /// Fills `buffer` from `position`; all of it must have been noted.
    pub(super) fn read(&self, buffer: &mut [u8], position: u64) -> Result<()> {
        let in_file = usize::try_from(self.written.saturating_sub(position)).unwrap_or(usize::MAX).min(buffer.len());
        let (from_file, from_buffer) = buffer.split_at_mut(in_file);
        if let (Some(file), false) = (&self.file, from_file.is_empty()) {
            file.read_exact_at(from_file, position)?;
        }
        let start = usize::try_from((position + in_file as u64).saturating_sub(self.written)).unwrap_or(usize::MAX);
        from_buffer.copy_from_slice(&self.buffer[start..start + from_buffer.len()]);
        Ok(())
    }

    /// Copies everything to `target` at `offset`.
    pub(super) fn copy_to(&self, target: &mut impl Storage, offset: u64) -> Result<()> {
        let mut chunk = vec![0; 256 << 10];
        let mut position = 0;
        while position < self.written {
            let count = usize::try_from(self.written - position).unwrap_or(usize::MAX).min(chunk.len());
            self.read(&mut chunk[..count], position)?;
            target.write_at(&chunk[..count], offset + position)?;
            position += count as u64;
        }
        if self.buffer.is_empty() { Ok(()) } else { target.write_at(&self.buffer, offset + self.written) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_across_file_and_memory() {
        let make = || Ok(Vec::new());
        let mut spill: Spill<Vec<u8>> = Spill::new();
        let bytes: Vec<u8> = (0..3 * BUFFER_BYTES / 2).map(|number| (number % 251) as u8).collect();
        for piece in bytes.chunks(1000) {
            spill.append(piece, &make).expect("append");
        }
        assert!(spill.written > 0 && !spill.buffer.is_empty());
        let mut read = vec![0; bytes.len()];
        spill.read(&mut read, 0).expect("read");
        assert_eq!(read, bytes);
        let mut copy = Vec::new();
        spill.copy_to(&mut copy, 7).expect("copy");
        assert_eq!(&copy[7..], bytes);
    }
}
