//! `--unpack` of `pull` and `load`.

use std::ffi::OsString;

use clap::Args;
use dhow_ops::container::user_namespace::{Users, around, users_of};
use dhow_ops::unpacking::{self, Form, Helper, Ownership};

use super::container::machine;
use crate::errors::{Failure, Outcome};
use crate::session::Session;
use crate::verb::{Count, Verb, miscounted};

/// The word for [`MakeTree`], below `system`.
pub(super) const MAKE_TREE: &str = "make-tree";

/// Reads `--unpack`.
pub(super) fn form(session: &Session<'_>, text: Option<&str>) -> Outcome<Option<Form>> {
    Ok(match text {
        None => None,
        Some("layers") => Some(Form::Layers),
        Some("tree") => Some(tree(session)?),
        Some(text) => {
            return Err(Failure::Client(format!("cannot unpack to {text:?}: choose \"layers\" or \"tree\"")));
        }
    })
}

/// Root gives files to those that the image names, and so does root in a user namespace; else all belong to the one who asks.
fn tree(session: &Session<'_>) -> Outcome<Form> {
    let environment = &session.environment;
    let has_users = match environment.in_user_namespace {
        None if environment.user == 0 => Some(around().unwrap_or(true)),
        in_its_own => in_its_own,
    };
    match has_users {
        Some(true) => return Ok(Form::Tree(Ownership::Kept)),
        Some(false) => return Ok(Form::Tree(Ownership::Single)),
        None => {}
    }
    let users = users_of(environment.user, environment.user_name.as_deref(), &environment.search_path);
    if users == Users::One {
        tracing::info!(
            "all files of the tree belong to one user: no newuidmap, or no ranges in /etc/subuid and /etc/subgid"
        );
        return Ok(Form::Tree(Ownership::Single));
    }
    let mut arguments: Vec<OsString> = ["--compat=dhow", "--root"].map(OsString::from).into();
    arguments.push(session.store_root()?.into_os_string());
    arguments.extend(["system", MAKE_TREE].map(OsString::from));
    Ok(Form::TreeBy(Helper { program: "/proc/self/exe".into(), arguments }))
}

/// The arguments of `system make-tree`, which `--unpack=tree` starts for itself.
#[derive(Args, Debug)]
pub(crate) struct MakeTree {
    #[arg(hide = true)]
    operands: Vec<String>,
}

impl Verb for MakeTree {
    const ABOUT: &'static str = "Unpack an image to a plain tree; `pull --unpack=tree` starts it";
    const OPERANDS: &'static str = "IMAGE";
    const COUNT: Count = Count::Exactly(1);

    fn operands(&self) -> &[String] {
        &self.operands
    }

    fn run(self, session: &Session<'_>) -> Outcome {
        let Some(image) = self.operands.first() else { return miscounted() };
        if let Err(failure) = machine(session) {
            let message = failure.text(session.personality);
            let code = u8::try_from(unpacking::NO_NAMESPACE).unwrap_or_default();
            return Err(Failure::Usage { message, code });
        }
        Ok(unpacking::make_tree(&session.local_context()?, image)?)
    }
}
