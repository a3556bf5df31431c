//! Serves a folder as a registry: `serve <listen> <folder>`.

#![allow(clippy::print_stderr, reason = "a program to try the library with")]

use dhow_serve::{ServeOptions, bind};

#[tokio::main]
async fn main() -> dhow_base::Result<()> {
    tracing_subscriber::fmt()
        .with_env_filter(tracing_subscriber::EnvFilter::from_default_env())
        .with_writer(std::io::stderr)
        .init();
    let mut arguments = std::env::args().skip(1);
    let listen = arguments.next().unwrap_or_else(|| "127.0.0.1:5000".to_owned());
    let root = arguments.next().unwrap_or_else(|| "registry".to_owned());
    let server = bind(&listen, ServeOptions::new(root)).await?;
    eprintln!("listening on {}", server.local_addr());
    server.run(async { drop(tokio::signal::ctrl_c().await) }).await
}
