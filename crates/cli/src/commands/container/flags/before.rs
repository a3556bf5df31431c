//! What `create` and `run` do before they make a container: its image fetched, its name and the file of its ID free.

use std::path::Path;

use dhow_base::error::words;
use dhow_base::fs::{Durability, write_atomic};
use dhow_base::{Error, Kind};
use dhow_ops::Context;
use dhow_ops::container::{self, Machine, Options, RemoveOptions};
use dhow_ops::pull::Policy;
use rustix::fs::Access;

use super::super::super::{podman, pull, targets};
use super::super::{machine, machine_for, machine_keeping_ids};
use super::Flags;
use crate::errors::{Failure, Outcome};
use crate::personality::Personality;
use crate::session::Session;
use crate::verb::given;

impl Flags {
    /// As [`Session::check_authfile`].
    pub(in crate::commands::container) fn check_authfile(&self, session: &Session<'_>) -> Outcome {
        session.check_authfile(&self.registry)
    }

    /// The image and the words behind it. Podman takes an image out of an archive or a folder, too, and goes by its name then.
    ///
    /// # Errors
    /// Those of the place.
    pub(in crate::commands::container) fn words(
        &self,
        session: &Session<'_>,
        words: &[String],
    ) -> Outcome<Vec<String>> {
        let mut words = words.to_vec();
        // Who is not root starts this program anew, which has told of it by then.
        let quiet = self.quiet || session.environment.in_user_namespace.is_some();
        if let (Personality::Podman, Some(image)) = (session.personality, words.first_mut())
            && let Some(name) = podman::pull::for_container(session, image, quiet)?
        {
            *image = name;
        }
        Ok(words)
    }

    /// Has the image here, if it is to be fetched.
    ///
    /// # Errors
    /// Those of pulling it.
    pub(in crate::commands::container) fn fetch(&self, session: &Session<'_>, options: &Options) -> Outcome {
        let policy = self.policy(session.personality)?;
        // The process outside of the namespace has done so.
        if session.environment.in_user_namespace.is_some() {
            return Ok(());
        }
        if policy != Policy::Always {
            let context = session.local_context()?;
            match container::has_image(&context, &options.image, options.platform.as_ref()) {
                Err(error) if error.kind() == Kind::NotFound && policy == Policy::Missing => {
                    let name = targets::reference(&options.image).map(|name| name.with_default_tag().familiar());
                    let name = name.unwrap_or_else(|_| options.image.clone());
                    if session.personality != Personality::Podman && !self.quiet {
                        session.console.notice(format!("Unable to find image '{name}' locally"));
                    }
                }
                // No engine is asked for what cannot be a name.
                Err(error) if error.kind() == Kind::Invalid => return Err(Failure::Client(error.to_string())),
                Err(error) if error.kind() == Kind::NotFound && session.personality == Personality::Podman => {
                    return Err(Error::new(Kind::NotFound, format!("{}: image not known", options.image)).into());
                }
                found => return Ok(found?),
            }
        }
        let domain = targets::reference(&options.image)?.repository().domain().to_owned();
        let transfers = self.retries.transfers()?;
        let moving = session.context_moving(&self.registry, &self.identity, [domain.as_str()], transfers)?;
        let pulled = pull::for_container(session, &moving, &options.image, options.platform.as_ref(), self.quiet);
        match pulled {
            // What is here will do.
            Err(failure) if self.pull == "newer" => {
                let context = session.local_context()?;
                let is_here = container::has_image(&context, &options.image, options.platform.as_ref());
                is_here.map_err(|_| failure)
            }
            pulled => pulled,
        }
    }

    /// What this process may do, in the user namespace that the container is to have: that of the first container which it joins.
    ///
    /// # Errors
    /// Those of making or entering one.
    pub(in crate::commands::container) fn machine(&self, session: &Session<'_>, options: &Options) -> Outcome<Machine> {
        let joins = &options.settings.joins;
        let ids = self.engine.kept_ids();
        if !joins.is_empty()
            && let Some(other) = container::whose_users(&session.local_context()?, joins)
        {
            let machine = machine_for(session, &other)?;
            return match ids.is_some() && machine.kept_ids != ids {
                true => Err(Failure::Client(
                    "--userns keep-id is not supported here: the container that is joined was made without it"
                        .to_owned(),
                )),
                false => Ok(machine),
            };
        }
        match ids {
            Some(ids) => machine_keeping_ids(session, ids),
            None => machine(session),
        }
    }

    /// Says that no ports are published, if that was asked for.
    pub(in crate::commands::container) fn tell_of_ports(&self, session: &Session<'_>) {
        if let Some(what) = self.ports.told(session.personality, self.asked_network(session.personality)) {
            session.console.notice(what);
        }
    }

    /// Whether the image is to go with the container.
    pub(in crate::commands::container) fn removes_image(&self) -> bool {
        self.podman_only.rmi
    }

    /// Makes room for a container that is to replace the one of its name.
    ///
    /// # Errors
    /// Those of removing it.
    pub(in crate::commands::container) fn replace(&self, context: &Context) -> Outcome {
        let Some(name) = self.name.as_deref().filter(|_| self.podman_only.replace) else { return Ok(()) };
        match container::find(context, name) {
            Ok(record) => {
                let options = RemoveOptions { force: true, volumes: true };
                Ok(container::remove(context, &record, options)?)
            }
            Err(error) if error.kind() == Kind::NotFound => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// When the image is to be pulled.
    ///
    /// # Errors
    /// In docker's or podman's words for a word that says nothing of it.
    pub(super) fn policy(&self, personality: Personality) -> Outcome<Policy> {
        match self.pull.as_str() {
            "always" => Ok(Policy::Always),
            // Podman's word for it; what is as new is not fetched again.
            "newer" if personality == Personality::Podman => Ok(Policy::Always),
            "missing" | "" => Ok(Policy::Missing),
            "never" => Ok(Policy::Never),
            other if personality == Personality::Podman => {
                Err(Failure::Client(format!("unsupported pull policy {other:?}")))
            }
            other => Err(Failure::Client(format!(
                "invalid pull option: '{other}': must be one of \"always\", \"missing\" or \"never\""
            ))),
        }
    }

    /// Says that a file is in the way of the container's ID, or that none can be made there, before anything is done.
    ///
    /// # Errors
    /// In docker's words; in podman's for a file that is there.
    pub(in crate::commands::container) fn check_cidfile(&self, personality: Personality) -> Outcome {
        let Some(path) = given(self.cidfile.as_ref()) else { return Ok(()) };
        let shown = path.display();
        match path.exists() {
            true if personality == Personality::Podman => {
                let message = "container id file exists. Ensure another container is not using it or delete";
                return Err(Failure::Client(format!("{message} {shown}")));
            }
            true => {
                let message = "container ID file found, make sure the other container isn't running or delete";
                return Err(Failure::Client(format!("{message} {shown}")));
            }
            false => {}
        }
        // Docker's client makes it now, without the ID. Here it is never seen empty.
        let directory = path.parent().filter(|above| !above.as_os_str().is_empty()).unwrap_or(Path::new("."));
        rustix::fs::access(directory, Access::WRITE_OK | Access::EXEC_OK).map_err(|error| {
            let why = words(&error.into());
            Failure::Client(format!("failed to create the container ID file: open {shown}: {why}"))
        })
    }

    /// Writes the container's ID where the user wants it.
    ///
    /// # Errors
    /// The operating system's.
    pub(in crate::commands::container) fn write_cidfile(&self, id: &str) -> dhow_base::Result<()> {
        match given(self.cidfile.as_ref()) {
            Some(path) => write_atomic(path, id.as_bytes(), 0o644, Durability::Cached),
            None => Ok(()),
        }
    }
}
