//! `serve`: a registry on a local folder.

use std::future::Future;
use std::net::SocketAddr;
use std::path::PathBuf;

use dhow_base::Result;
use dhow_serve::ServeOptions;

use crate::context::Context;

/// What to serve, and where.
#[derive(Clone, Debug)]
pub struct Request {
    /// Address and port, such as `127.0.0.1:5000`; port 0 takes a free one.
    pub listen: String,
    /// The folder; `registry/` in the store's directory when none is given.
    pub folder: Option<PathBuf>,
    /// Refuses pushes and deletes.
    pub read_only: bool,
}

/// Serves until `shutdown` completes, then lets running requests end. `ready` learns the address that was bound.
///
/// # Errors
/// Those of binding the address and of opening the folder.
pub async fn serve(
    context: &Context,
    request: &Request,
    ready: impl FnOnce(SocketAddr),
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> Result<()> {
    let folder = match &request.folder {
        Some(folder) => folder.clone(),
        // Opening the store makes it, so that its directory is one before something else lies in it.
        None => context.store()?.root().join("registry"),
    };
    let options = ServeOptions { read_only: request.read_only, ..ServeOptions::new(folder) };
    let server = dhow_serve::bind(&request.listen, options).await?;
    ready(server.local_addr());
    server.run(shutdown).await
}
