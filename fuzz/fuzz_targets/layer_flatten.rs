//! Two hostile layers flattened: no panic, and what comes out is a tar that flattens to itself.

#![no_main]

use std::io::Read;

use dhow_base::Result;
use dhow_layer::{Layers, check_tar, flatten};
use libfuzzer_sys::fuzz_target;

struct Two<'a>(Vec<&'a [u8]>);

impl Layers for Two<'_> {
    fn count(&self) -> usize {
        self.0.len()
    }

    fn open(&self, layer: usize) -> Result<Box<dyn Read + '_>> {
        Ok(Box::new(self.0[layer]))
    }
}

fuzz_target!(|layers: (&[u8], &[u8])| {
    let mut flat = Vec::new();
    if flatten(&Two(vec![layers.0, layers.1]), &mut flat).is_ok_and(|is_whole| is_whole) {
        check_tar(&*flat).expect("what was written is a tar");
        let mut again = Vec::new();
        assert!(flatten(&Two(vec![&flat]), &mut again).expect("what was written is a layer"));
        assert_eq!(flat, again);
    }
});
