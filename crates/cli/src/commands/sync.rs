//! `sync`

use std::path::{Path, PathBuf};

use clap::Args;
use dhow_base::fs::{self, Durability};
use dhow_ops::copy::{self, Changes, Request};
use dhow_ops::sync::{self, LIST_BYTES_MAX, Names, Plan, Planned, Source, Target};
use dhow_ops::{Context, remote};
use dhow_spec::Digest;

use super::copy::{Choice, RETRIES, Sides, family};
use super::remote::run;
use super::transfers::Pace;
use crate::errors::{Failure, Outcome};
use crate::format::text;
use crate::progress::Progress;
use crate::progress::state::Direction;
use crate::session::Session;
use crate::verb::{Count, Verb, given, miscounted};

/// What an interrupted user can count on.
const RESUMABLE: &str = "images that were told as copied are complete; the next sync goes on with the others";

/// The arguments of `sync`.
#[derive(Args, Debug)]
pub(crate) struct Sync {
    /// What the source is: "docker" (a repository, or one image), "dir" (a folder), "yaml" (skopeo's list) or "list" (one name
    /// a line)
    #[arg(short, long, value_name = "string", default_value = "docker")]
    src: String,
    /// What the destination is: "docker" (a registry, or a path in one) or "dir" (a folder)
    #[arg(short, long, value_name = "string", default_value = "docker")]
    dest: String,
    /// Keep the whole names of the sources below the destination
    #[arg(long)]
    scoped: bool,
    /// Put this behind the tag of each image at the destination
    #[arg(long, value_name = "string", default_value = "", hide_default_value = true)]
    append_suffix: String,
    /// Write the digest and the new name of each image that was copied into a file, one a line
    #[arg(long, value_name = "string")]
    digestfile: Option<PathBuf>,
    /// Say what would be copied, and copy nothing
    #[arg(long)]
    dry_run: bool,
    /// Go on with the other images when one fails
    #[arg(long)]
    keep_going: bool,
    #[command(flatten)]
    choice: Choice,
    #[command(flatten)]
    sides: Sides,
    /// Also copy what refers to the images: referrers, and cosign's signatures, attestations and SBOMs
    #[arg(long)]
    referrers: bool,
    /// Turn manifests into this family's: "oci", or "v2s2" for docker's; changes digests
    #[arg(short, long, value_name = "string")]
    format: Option<String>,
    /// Fail rather than change a digest, which never happens unless asked for
    #[arg(long)]
    preserve_digests: bool,
    /// Accepted for old scripts; signatures travel only with --referrers
    #[arg(long)]
    remove_signatures: bool,
    /// How often a transfer that stands still is tried again (default 5)
    #[arg(long, value_name = "int")]
    retry_times: Option<u32>,
    #[command(flatten)]
    pace: Pace,
    /// Print only the names of what was copied
    #[arg(short, long)]
    quiet: bool,
    #[arg(value_name = "NAME")]
    names: Vec<String>,
}

impl Verb for Sync {
    const ABOUT: &'static str = "Copy a repository, a folder or a list of images to a registry or a folder";
    const OPERANDS: &'static str = "SOURCE DESTINATION";
    const COUNT: Count = Count::Exactly(2);

    fn operands(&self) -> &[String] {
        &self.names
    }

    fn run(self, session: &Session<'_>) -> Outcome {
        let [source, destination] = self.names.as_slice() else { return miscounted() };
        let source = self.source(source)?;
        let (kind, destination) = spelt(&self.dest, destination);
        let target = match kind {
            "docker" => Target::Registry(destination.to_owned()),
            "dir" => Target::Folder(PathBuf::from(destination)),
            other => {
                return Err(Failure::Client(format!("--dest {other:?} is not supported: it is \"docker\" or \"dir\"")));
            }
        };
        let request = self.request()?;
        let source_domain = match &source {
            Source::Registry(reference) => Some(reference.repository().domain().to_owned()),
            _ => None,
        };
        let transfers = self.pace.transfers(self.retry_times)?;
        let from = self.sides.source(session, source_domain.as_deref(), &transfers)?;
        let names = Names { scoped: self.scoped, suffix: &self.append_suffix };
        let plan = run(RESUMABLE, sync::plan(&from, &source, &target, names))?;
        let domain = plan.images.first().and_then(|planned| planned.to.domain()).map(str::to_owned);
        let to = self.sides.destination(session, domain.as_deref(), &transfers)?;
        if self.dry_run {
            for planned in &plan.images {
                session.console.line(format!("Would copy {} to {}", planned.from, planned.to));
            }
            return Ok(());
        }
        self.copy_all(session, (&from, &to), &plan, &request)
    }
}

/// What kind of place is meant, and the place. A transport before it, as `copy` has them, says it as well as the flag.
fn spelt<'a>(kind: &'a str, name: &'a str) -> (&'a str, &'a str) {
    match (kind, name.strip_prefix("docker://"), name.strip_prefix("dir:")) {
        ("docker", Some(rest), _) => ("docker", rest),
        ("docker" | "dir", _, Some(rest)) => ("dir", rest),
        _ => (kind, name),
    }
}

/// Whether it is a list, though nobody said so: no repository is called so that is a file here.
fn is_list(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "yaml" || extension == "yml") && path.is_file()
}

impl Sync {
    fn source(&self, name: &str) -> Outcome<Source> {
        let list = |name: &str| -> Outcome<String> {
            let bytes = fs::read_limited(&PathBuf::from(name), LIST_BYTES_MAX)?;
            String::from_utf8(bytes).map_err(|_| Failure::Client(format!("{name}: the list is no text")))
        };
        let (kind, name) = spelt(&self.src, name);
        let named = |error: dhow_base::Error| Failure::Engine(error.context(name));
        match kind {
            "docker" if is_list(Path::new(name)) => {
                let message =
                    format!("{name} is a file: --src yaml reads it as skopeo's list, --src list as one name a line");
                Err(Failure::Client(message))
            }
            "docker" => Ok(Source::Registry(remote::reference(name)?)),
            "dir" => Ok(Source::Folder(PathBuf::from(name))),
            "yaml" => Ok(Source::Listed(sync::parse_yaml(&list(name)?).map_err(named)?)),
            "list" => Ok(Source::Listed(sync::parse_list(&list(name)?).map_err(named)?)),
            other => {
                let message =
                    format!("--src {other:?} is not supported: it is \"docker\", \"dir\", \"yaml\" or \"list\"");
                Err(Failure::Client(message))
            }
        }
    }

    /// What is the same for every image. Source and destination are put in for each.
    fn request(&self) -> Outcome<Request> {
        let changes = Changes { format: family(self.format.as_deref())?, ..Changes::default() };
        if self.preserve_digests && changes != Changes::default() {
            let message = "conflicting options: --preserve-digests excludes --format";
            return Err(Failure::Client(message.to_owned()));
        }
        Ok(Request {
            source: copy::Location::Directory(PathBuf::new()),
            destination: copy::Location::Directory(PathBuf::new()),
            platforms: self.choice.platforms()?,
            referrers: self.referrers && !self.remove_signatures,
            changes,
            retries: self.retry_times.unwrap_or(RETRIES),
            further_names: Vec::new(),
            preserve_digests: self.preserve_digests,
            scope: self.choice.scope(),
            plain_layouts: false,
        })
    }

    fn copy_all(&self, session: &Session<'_>, own: (&Context, &Context), plan: &Plan, request: &Request) -> Outcome {
        let mut failures = Vec::new();
        let mut copied = 0;
        let digestfile = given(self.digestfile.as_ref());
        let mut digests = Vec::new();
        for planned in &plan.images {
            match self.copy_one(session, (plan.context(planned, own.0), own.1), planned, request) {
                Ok(digest) => {
                    copied += 1;
                    digests.push(format!("{digest} {}\n", planned.to));
                }
                Err(failure) => {
                    let stop = failure.is_interruption() || !self.keep_going;
                    if !failure.is_interruption() {
                        session.console.notice(format!("{} was not copied", planned.from));
                    }
                    failures.push(failure);
                    if stop {
                        break;
                    }
                }
            }
        }
        if let Some(path) = digestfile {
            // What was copied before a failure is there.
            fs::write_atomic(path, digests.concat().as_bytes(), 0o644, Durability::Cached)?;
        }
        if !self.quiet {
            session.console.line(format!("Copied {copied} of {} images", plan.images.len()));
        }
        Failure::join(failures)
    }

    fn copy_one(
        &self,
        session: &Session<'_>,
        sides: (&Context, &Context),
        planned: &Planned,
        request: &Request,
    ) -> Outcome<Digest> {
        if let copy::Location::Directory(path) = &planned.to
            && let Some(parent) = path.parent()
        {
            fs::create_dir_all_by_umask(parent)?;
        }
        if !self.quiet {
            session.console.line(format!("Copying {} to {}", planned.from, planned.to));
        }
        let request = Request { source: planned.from.clone(), destination: planned.to.clone(), ..request.clone() };
        let done = {
            let progress = Progress::new(session.console, Direction::Copy, self.quiet);
            run(RESUMABLE, copy::copy(sides.0, sides.1, &request, &progress))?
        };
        if self.quiet {
            session.console.line(planned.to.to_string());
        } else {
            session.console.line(format!("Digest: {}", done.digest));
        }
        session.console.flush();
        if let Some(note) = &done.note {
            session.console.notice(text::note(note));
        }
        Ok(done.digest)
    }
}
