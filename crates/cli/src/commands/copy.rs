//! `copy`

mod spellings;

use std::path::PathBuf;

use clap::{ArgAction, Args};
use dhow_base::fs::{self, Durability};
use dhow_base::priority;
use dhow_ops::copy::{Changes, Family, Location, Request, Scope};
use dhow_ops::transfers::Transfers;
use dhow_ops::{Context, Platforms, copy, runtime};
use dhow_spec::Platform;

use super::targets::PlatformOptions;
use super::transfers::Pace;
use crate::errors::{FAILED, Failure, Outcome};
use crate::format::text;
use crate::progress::Progress;
use crate::progress::state::Direction;
use crate::session::{Identity, Network, Session};
use crate::signals;
use crate::verb::{Count, Verb, given, miscounted};
use spellings::{Spellings, recompression};

/// What an interrupted user can count on.
const RESUMABLE: &str = "nothing has a new name; what the destination has already is not sent again by the next copy";

/// How often a transfer that stands still is tried again, unless the user says otherwise.
pub(super) const RETRIES: u32 = 5;

/// What `--multi-arch` calls an index without what is below it.
const INDEX_ONLY: &str = "index-only";

/// Which image of several is taken, in skopeo's words beside dhow's.
#[derive(Args, Clone, Debug)]
pub(super) struct Choice {
    /// All platforms of multi-platform images
    #[arg(short, long)]
    all: bool,
    #[command(flatten)]
    platforms: PlatformOptions,
    /// All platforms of multi-platform images ("all"), this machine's ("system"), or the index alone ("index-only")
    #[arg(long, value_name = "string", default_value = "", hide_default_value = true)]
    multi_arch: String,
    /// Take the image for this operating system instead of this machine's
    #[arg(long, value_name = "string")]
    override_os: Option<String>,
    /// Take the image for this architecture instead of this machine's
    #[arg(long, value_name = "string")]
    override_arch: Option<String>,
    /// Take the image for this variant of the architecture
    #[arg(long, value_name = "string")]
    override_variant: Option<String>,
}

impl Choice {
    /// What is to be taken.
    ///
    /// # Errors
    /// That options contradict each other, and what is no platform.
    pub(super) fn platforms(&self) -> Outcome<Platforms> {
        let all = match self.multi_arch.as_str() {
            "" | "system" => self.all,
            "all" => true,
            INDEX_ONLY if self.all => {
                let message = "conflicting options: --all and --multi-arch index-only exclude each other";
                return Err(Failure::Client(message.to_owned()));
            }
            INDEX_ONLY => false,
            other => {
                let message =
                    format!("--multi-arch {other:?} is not supported: it is \"system\", \"all\" or \"index-only\"");
                return Err(Failure::Client(message));
            }
        };
        let given = self.platforms.platforms(None)?;
        let overridden = self.overridden()?;
        match (all, given, overridden) {
            (true, Platforms::These(_), _)
            | (_, Platforms::These(_) | Platforms::All, Some(_))
            | (true, _, Some(_)) => {
                let message =
                    "conflicting options: --all, --platform and --override-os/--override-arch exclude each other";
                Err(Failure::Client(message.to_owned()))
            }
            (true, _, None) => Ok(Platforms::All),
            (false, Platforms::Default, Some(platform)) => Ok(Platforms::These(vec![platform])),
            (false, given, None) => Ok(given),
        }
    }

    /// What they say of images that are no index, and of indexes without what is below them.
    pub(super) fn scope(&self) -> Scope {
        let overrides = [&self.override_os, &self.override_arch, &self.override_variant];
        match self.multi_arch.as_str() {
            INDEX_ONLY => Scope::IndexOnly,
            _ if overrides.iter().any(|part| part.is_some()) => Scope::WantedOrAlone,
            _ => Scope::Wanted,
        }
    }

    fn overridden(&self) -> Outcome<Option<Platform>> {
        let parts = [&self.override_os, &self.override_arch, &self.override_variant];
        if parts.iter().all(|part| part.is_none()) {
            return Ok(None);
        }
        let host = Platform::host();
        let os = self.override_os.clone().unwrap_or(host.os);
        let is_own = self.override_arch.is_none();
        let architecture = self.override_arch.clone().unwrap_or(host.architecture);
        let own_variant = host.variant.filter(|_| is_own);
        let variant = self.override_variant.clone().or(own_variant).map(|variant| format!("/{variant}"));
        let text = format!("{os}/{architecture}{}", variant.unwrap_or_default());
        let platform = Platform::parse(&text);
        platform.map(Some).map_err(|error| Failure::Client(error.to_string()))
    }
}

/// Who to be on each side, and how to reach it.
#[derive(Args, Clone)]
pub(super) struct Sides {
    /// File of credentials to use on both sides instead of all others (default "$REGISTRY_AUTH_FILE")
    #[arg(long, value_name = "string")]
    authfile: Option<PathBuf>,
    /// File of credentials for the source
    #[arg(long, value_name = "string")]
    src_authfile: Option<PathBuf>,
    /// File of credentials for the destination
    #[arg(long, value_name = "string")]
    dest_authfile: Option<PathBuf>,
    /// Use this account at the source instead of a stored one
    #[arg(long, alias = "screds", value_name = "user[:password]")]
    src_creds: Option<String>,
    /// Use this account at the destination instead of a stored one
    #[arg(long, alias = "dcreds", value_name = "user[:password]")]
    dest_creds: Option<String>,
    /// Use this account's name at the source, with --src-password
    #[arg(long, value_name = "string")]
    src_username: Option<String>,
    /// Password of --src-username
    #[arg(long, value_name = "string")]
    src_password: Option<String>,
    /// Use this account's name at the destination, with --dest-password
    #[arg(long, value_name = "string")]
    dest_username: Option<String>,
    /// Password of --dest-username
    #[arg(long, value_name = "string")]
    dest_password: Option<String>,
    /// Send the source this access token, as it is
    #[arg(long, value_name = "string")]
    src_registry_token: Option<String>,
    /// Send the destination this access token, as it is
    #[arg(long, value_name = "string")]
    dest_registry_token: Option<String>,
    /// Use no account at the source, whatever is stored
    #[arg(long)]
    src_no_creds: bool,
    /// Use no account at the destination, whatever is stored
    #[arg(long)]
    dest_no_creds: bool,
    /// Folder of certificates for the source's registry
    #[arg(long, value_name = "string")]
    src_cert_dir: Option<PathBuf>,
    /// Folder of certificates for the destination's registry
    #[arg(long, value_name = "string")]
    dest_cert_dir: Option<PathBuf>,
    /// Require HTTPS and valid certificates of the source (default true, or what is configured of the registry)
    #[arg(long, action = ArgAction::SetTrue)]
    src_tls_verify: Option<bool>,
    /// Require HTTPS and valid certificates of the destination (default true, or what is configured of the registry)
    #[arg(long, action = ArgAction::SetTrue)]
    dest_tls_verify: Option<bool>,
}

/// By hand, since there may be passwords in it.
impl std::fmt::Debug for Sides {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Sides").finish_non_exhaustive()
    }
}

impl Sides {
    /// The handles of the source; `domain` is its registry, if it is in one.
    pub(super) fn source(
        &self,
        session: &Session<'_>,
        domain: Option<&str>,
        transfers: &Transfers,
    ) -> Outcome<Context> {
        let authfile = given(self.src_authfile.as_ref()).or(self.authfile.as_ref()).cloned();
        let network = Network { authfile, cert_dir: self.src_cert_dir.clone(), tls_verify: self.src_tls_verify };
        let creds = account("src-", &self.src_creds, &self.src_username, &self.src_password)?;
        let token = self.src_registry_token.clone().filter(|token| !token.is_empty());
        let identity = Identity::of("src-", creds, self.src_no_creds).or_token(token);
        session.context_moving(&network, &identity, domain, transfers.clone())
    }

    /// As [`Sides::source`], of the destination.
    pub(super) fn destination(
        &self,
        session: &Session<'_>,
        domain: Option<&str>,
        transfers: &Transfers,
    ) -> Outcome<Context> {
        let authfile = given(self.dest_authfile.as_ref()).or(self.authfile.as_ref()).cloned();
        let network = Network { authfile, cert_dir: self.dest_cert_dir.clone(), tls_verify: self.dest_tls_verify };
        let creds = account("dest-", &self.dest_creds, &self.dest_username, &self.dest_password)?;
        let token = self.dest_registry_token.clone().filter(|token| !token.is_empty());
        let identity = Identity::of("dest-", creds, self.dest_no_creds).or_token(token);
        session.context_moving(&network, &identity, domain, transfers.clone())
    }
}

/// The account of one side, which may come in one option or in two.
fn account(
    side: &str,
    creds: &Option<String>,
    username: &Option<String>,
    password: &Option<String>,
) -> Outcome<Option<String>> {
    let conflict = |message: String| Err(Failure::Client(message));
    match (creds, username, password) {
        (creds, None, None) => Ok(creds.clone()),
        (Some(_), ..) => {
            conflict(format!("conflicting options: --{side}creds and --{side}username exclude each other"))
        }
        (None, Some(username), Some(_)) if username.contains(':') => {
            conflict(format!("--{side}username {username:?}: a user name has no colon"))
        }
        (None, Some(username), Some(password)) => Ok(Some(format!("{username}:{password}"))),
        (None, Some(_), None) => conflict(format!("--{side}username needs --{side}password beside it")),
        (None, None, Some(_)) => conflict(format!("--{side}password needs --{side}username beside it")),
    }
}

/// The arguments of `copy`.
#[derive(Args, Debug)]
pub(crate) struct Copy {
    #[command(flatten)]
    choice: Choice,
    #[command(flatten)]
    sides: Sides,
    /// The Docker engine of a docker-daemon: source (default "$DOCKER_HOST")
    #[arg(long, value_name = "string")]
    src_daemon_host: Option<String>,
    /// The Docker engine of a docker-daemon: destination (default "$DOCKER_HOST")
    #[arg(long, value_name = "string")]
    dest_daemon_host: Option<String>,
    /// Folder with the blobs of an oci: source, which several layouts share
    #[arg(long, value_name = "string")]
    src_shared_blob_dir: Option<PathBuf>,
    /// Folder for the blobs of an oci: destination, which several layouts share
    #[arg(long, value_name = "string")]
    dest_shared_blob_dir: Option<PathBuf>,
    /// Also copy what refers to the image: referrers, and cosign's signatures, attestations and SBOMs
    #[arg(long)]
    referrers: bool,
    /// Turn manifests into this family's: "oci", or "v2s2" for docker's; changes the digest
    #[arg(short, long, value_name = "string")]
    format: Option<String>,
    /// Compress layers anew with "gzip" or "zstd", or not at all ("none"); changes the digest
    #[arg(long, value_name = "string")]
    recompress: Option<String>,
    #[command(flatten)]
    spellings: Spellings,
    /// Fail rather than change a digest, and do not compress what was made here on its way to a registry
    #[arg(long)]
    preserve_digests: bool,
    /// Accepted for old scripts; signatures travel only with --referrers
    #[arg(long)]
    remove_signatures: bool,
    /// Write the digest of what was copied into a file
    #[arg(long, value_name = "string")]
    digestfile: Option<PathBuf>,
    /// How often a transfer that stands still is tried again (default 5)
    #[arg(long, value_name = "int")]
    retry_times: Option<u32>,
    #[command(flatten)]
    pace: Pace,
    /// Print nothing
    #[arg(short, long)]
    quiet: bool,
    #[arg(value_name = "NAME")]
    names: Vec<String>,
}

impl Verb for Copy {
    const ABOUT: &'static str = "Copy an image between registries, archives, folders, engines and the local store";
    const OPERANDS: &'static str = "SOURCE DESTINATION";
    const COUNT: Count = Count::Exactly(2);

    fn operands(&self) -> &[String] {
        &self.names
    }

    fn run(self, session: &Session<'_>) -> Outcome {
        priority::lower();
        let [source, destination] = self.names.as_slice() else { return miscounted() };
        let engine = session.environment.docker_host.as_deref();
        let source = place(source)?.at_engine(self.src_daemon_host.as_deref().or(engine));
        let destination = place(destination)?.at_engine(self.dest_daemon_host.as_deref().or(engine));
        let request = Request {
            source: source.sharing(given(self.src_shared_blob_dir.as_ref()).cloned()),
            destination: destination.sharing(given(self.dest_shared_blob_dir.as_ref()).cloned()),
            platforms: self.choice.platforms()?,
            referrers: self.referrers && !self.remove_signatures,
            changes: self.changes()?,
            retries: self.retry_times.unwrap_or(RETRIES),
            further_names: self.spellings.further_names()?,
            preserve_digests: self.preserve_digests,
            scope: self.choice.scope(),
            plain_layouts: self.spellings.plain_layouts(),
        };
        // What is said would be taken for a part of the archive.
        let quiet = self.quiet || request.destination.is_standard_output();
        let transfers = self.pace.transfers(self.retry_times)?;
        let from = self.sides.source(session, request.source.domain(), &transfers)?;
        let to = self.sides.destination(session, request.destination.domain(), &transfers)?;
        let copied = {
            let progress = Progress::new(session.console, Direction::Copy, quiet);
            let mut outcome = Err(Failure::Quiet(FAILED));
            runtime::block_on(async {
                outcome = signals::interruptible(copy::copy(&from, &to, &request, &progress), RESUMABLE).await;
                Ok(())
            })?;
            outcome?
        };
        if let Some(path) = given(self.digestfile.as_ref()) {
            fs::write_atomic(path, copied.digest.as_str().as_bytes(), 0o644, Durability::Cached)?;
        }
        if !quiet {
            session.console.line(format!("Digest: {}", copied.digest));
            if request.referrers {
                session.console.line(format!("Referrers: {}", copied.referrers));
            }
        }
        if let Some(note) = &copied.note {
            session.console.notice(text::note(note));
        }
        if let Some(note) = self.spellings.note() {
            session.console.notice(note);
        }
        Ok(())
    }
}

/// Reads a place.
pub(super) fn place(text: &str) -> Outcome<Location> {
    Ok(Location::parse(text)?)
}

/// Reads the family of media types that manifests are to have.
pub(super) fn family(text: Option<&str>) -> Outcome<Option<Family>> {
    match text {
        None | Some("") => Ok(None),
        Some("oci") => Ok(Some(Family::Oci)),
        Some("v2s2" | "docker") => Ok(Some(Family::Docker)),
        Some(other) => {
            let message = format!("--format {other:?} is not supported: it is \"oci\" or \"v2s2\"");
            Err(Failure::Client(message))
        }
    }
}

impl Copy {
    fn changes(&self) -> Outcome<Changes> {
        let recompress = recompression("--recompress", self.recompress.as_deref())?;
        let changes = Changes { format: family(self.format.as_deref())?, recompress, ..Changes::default() };
        let changes = self.spellings.apply(changes)?;
        if self.preserve_digests && changes != Changes::default() {
            let message = "conflicting options: --preserve-digests excludes --format and --recompress";
            return Err(Failure::Client(message.to_owned()));
        }
        Ok(changes)
    }
}
