//! `serve`

use std::path::PathBuf;

use clap::Args;
use dhow_ops::{runtime, serve};

use crate::errors::Outcome;
use crate::session::Session;
use crate::signals::Signals;
use crate::verb::{Count, Verb};

/// The arguments of `serve`.
#[derive(Args, Debug)]
pub(crate) struct Serve {
    /// Address and port to listen on; port 0 takes a free one
    #[arg(long, value_name = "string", default_value = "127.0.0.1:5000")]
    listen: String,
    /// Refuse pushes and deletes
    #[arg(long)]
    read_only: bool,
    /// Folder that holds the content (default "registry" in the store's directory)
    #[arg(long, value_name = "string")]
    root_dir: Option<PathBuf>,
    #[arg(hide = true)]
    operands: Vec<String>,
}

impl Verb for Serve {
    const ABOUT: &'static str = "Serve a registry on a local folder";
    const OPERANDS: &'static str = "";
    const COUNT: Count = Count::Exactly(0);

    fn operands(&self) -> &[String] {
        &self.operands
    }

    fn run(self, session: &Session<'_>) -> Outcome {
        let context = session.local_context()?;
        let request = serve::Request { listen: self.listen, folder: self.root_dir, read_only: self.read_only };
        let ready = |address| {
            session.console.line(format!("Listening on http://{address}"));
            session.console.flush();
        };
        runtime::block_on_all_cores(async {
            let mut signals = Signals::listen()?;
            let shutdown = async move {
                signals.next().await;
            };
            serve::serve(&context, &request, ready, shutdown).await
        })?;
        Ok(())
    }
}
