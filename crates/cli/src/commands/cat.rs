//! `cat`: the content of files of images, without a container.

use std::io::{self, Write};

use clap::Args;
use dhow_ops::cat;
use dhow_ops::ls::Place;

use super::targets;
use crate::console::Console;
use crate::errors::{Failure, Outcome};
use crate::session::Session;
use crate::verb::{Count, Operands, Verb};

/// The arguments of `cat`.
#[derive(Args, Debug)]
pub(crate) struct Cat {
    #[arg(value_name = "IMAGE:/PATH")]
    names: Vec<String>,
}

impl Verb for Cat {
    const ABOUT: &'static str = "Write files of images to standard output, without a container";
    const OPERANDS: &'static str = "IMAGE:/PATH [IMAGE:/PATH...]";
    const COUNT: Count = Count::AtLeast(1);
    const NAMES: Operands = Operands::Images;

    fn operands(&self) -> &[String] {
        &self.names
    }

    fn run(self, session: &Session<'_>) -> Outcome {
        let context = session.local_context()?;
        targets::each(&self.names, |name| {
            let done = Place::require(name).and_then(|place| cat::cat(&context, &place, &mut Raw(session.console)));
            // A reader that went away is told of once, at the end.
            if session.console.has_failed() { Ok(()) } else { done.map_err(Failure::from) }
        })
    }
}

/// Standard output for bytes of any kind.
pub(super) struct Raw<'a>(pub(super) &'a Console);

impl Write for Raw<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.bytes(bytes);
        if self.0.has_failed() { Err(io::ErrorKind::BrokenPipe.into()) } else { Ok(bytes.len()) }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush();
        Ok(())
    }
}
