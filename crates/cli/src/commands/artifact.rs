//! `artifact`: files in registries.

mod show;

use std::path::PathBuf;

use clap::Args;
use dhow_base::progress::Silent;
use dhow_ops::artifact::{self, NewArtifact, NewFile};
use dhow_ops::{Context, remote};
use dhow_spec::{Reference, Tag};

use super::remote::{READ_ONLY, Reach, run};
use super::rm_remote::tell_removed;
use super::targets;
use crate::errors::{Failure, Outcome};
use crate::format::document::DocumentFormat;
use crate::format::schema;
use crate::session::Session;
use crate::verb::{Count, Verb, miscounted};

/// The arguments of `artifact push`.
#[derive(Args, Debug)]
pub(crate) struct Push {
    /// What the artifact is, as a media type
    #[arg(long, value_name = "string")]
    artifact_type: Option<String>,
    /// Say something of the artifact
    #[arg(long, value_name = "key=value", value_parser = parse_annotation)]
    annotation: Vec<(String, String)>,
    /// What stands in the place of an image's config, for what tells artifacts apart by that
    #[arg(long, value_name = "FILE[:MEDIATYPE]")]
    config_file: Option<String>,
    #[command(flatten)]
    documents: DocumentFormat,
    /// The image that the artifact is about, in the same repository: it becomes one of that one's referrers
    #[arg(long, value_name = "NAME")]
    subject: Option<String>,
    #[command(flatten)]
    reach: Reach,
    #[arg(value_name = "NAME")]
    names: Vec<String>,
}

fn parse_annotation(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').filter(|(key, _)| !key.is_empty()).ok_or("it is key=value")?;
    Ok((key.to_owned(), value.to_owned()))
}

impl Verb for Push {
    const ABOUT: &'static str = "Put files into a registry as an artifact";
    const OPERANDS: &'static str = "NAME[:TAG[,TAG...]] [FILE[:MEDIATYPE]...]";
    const COUNT: Count = Count::AtLeast(1);

    fn operands(&self) -> &[String] {
        &self.names
    }

    fn run(self, session: &Session<'_>) -> Outcome {
        let Some((name, files)) = self.names.split_first() else { return Ok(()) };
        let documents = self.documents.open(session.console);
        let pushed = documents.settle(Some(name), self.push(session, name, files))?;
        if documents.are_wanted() {
            return documents.put(&schema::ArtifactPushed::new(name, &pushed));
        }
        session.console.line(pushed.familiar());
        Ok(())
    }
}

impl Push {
    fn push(&self, session: &Session<'_>, name: &str, files: &[String]) -> Outcome<Reference> {
        let (reference, further_tags) = names(name)?;
        if reference.digest().is_some() {
            return Err(Failure::Client("an artifact cannot be given a digest as its name".to_owned()));
        }
        if files.is_empty() && self.config_file.is_none() && self.subject.is_none() && self.annotation.is_empty() {
            let message = "the artifact would be empty: give files, annotations or what it is about (--subject)";
            return Err(Failure::Client(message.to_owned()));
        }
        let subject = self.subject.as_deref().map(remote::reference).transpose()?;
        let new = NewArtifact {
            reference,
            further_tags,
            config: self.config_file.as_deref().map(file),
            artifact_type: self.artifact_type.clone(),
            files: files.iter().map(|text| file(text)).collect(),
            annotations: self.annotation.clone(),
            subject,
        };
        let context = self.reach.context(session, [new.reference.repository().domain()])?;
        let unfinished = "the artifact has no name in the registry yet";
        run(unfinished, artifact::push(&context, &new, &Silent))
    }
}

/// `NAME:TAG,TAG…`, as oras has it: the first tag, and what else it gets.
fn names(text: &str) -> Outcome<(Reference, Vec<Tag>)> {
    let (first, further) = text.split_once(',').unwrap_or((text, ""));
    let reference = remote::reference(first)?;
    if further.is_empty() {
        return Ok((remote::reference(text)?, Vec::new()));
    }
    let tag = |tag: &str| Tag::parse(tag).map_err(|_| Failure::Client(format!("{text}: {tag:?} is no tag")));
    Ok((reference, further.split(',').map(tag).collect::<Outcome<_>>()?))
}

/// `FILE:MEDIATYPE`, as oras has it. What stands behind a colon is a media type when it has a slash and there is no such file.
fn file(text: &str) -> NewFile {
    let whole = PathBuf::from(text);
    match text.rsplit_once(':') {
        Some((path, media_type)) if media_type.contains('/') && !path.is_empty() && !whole.exists() => {
            NewFile { path: PathBuf::from(path), media_type: Some(media_type.to_owned()) }
        }
        _ => NewFile { path: whole, media_type: None },
    }
}

/// The arguments of `artifact pull`.
#[derive(Args, Debug)]
pub(crate) struct Pull {
    #[command(flatten)]
    documents: DocumentFormat,
    /// Write into this folder
    #[arg(short, long, value_name = "string", default_value = ".")]
    output: PathBuf,
    /// Replace files that are there already
    #[arg(short, long)]
    force: bool,
    #[command(flatten)]
    reach: Reach,
    #[arg(value_name = "NAME")]
    names: Vec<String>,
}

impl Verb for Pull {
    const ABOUT: &'static str = "Write the files of an artifact into a folder";
    const OPERANDS: &'static str = "NAME[:TAG|@DIGEST]";
    const COUNT: Count = Count::Exactly(1);

    fn operands(&self) -> &[String] {
        &self.names
    }

    fn run(self, session: &Session<'_>) -> Outcome {
        let Some(name) = self.names.first() else { return miscounted() };
        let documents = self.documents.open(session.console);
        let (reference, pulled) = documents.settle(Some(name), self.pull(session, name))?;
        if documents.are_wanted() {
            documents.put(&schema::ArtifactPulled::new(name, &reference, &pulled))?;
        } else {
            pulled.files.iter().for_each(|path| session.console.line(path.display().to_string()));
        }
        if pulled.nameless > 0 {
            let (count, digest) = (pulled.nameless, &pulled.artifact.digest);
            session.console.notice(format!("{count} files of {digest} have no name and were not written"));
        }
        Ok(())
    }
}

impl Pull {
    fn pull(&self, session: &Session<'_>, name: &str) -> Outcome<(Reference, artifact::Pulled)> {
        let reference = remote::reference(name)?;
        let context = self.reach.context(session, [reference.repository().domain()])?;
        let unfinished = "files that have their names are complete";
        let pulled = run(unfinished, artifact::pull(&context, &reference, &self.output, self.force))?;
        Ok((reference, pulled))
    }
}

/// The arguments of `artifact inspect`.
#[derive(Args, Debug)]
pub(crate) struct Inspect {
    /// Write as "json" (one line); without it, JSON is indented
    #[arg(short, long, value_name = "string", default_value = "", hide_default_value = true)]
    format: String,
    #[command(flatten)]
    reach: Reach,
    #[arg(value_name = "NAME")]
    names: Vec<String>,
}

impl Verb for Inspect {
    const ABOUT: &'static str = "Show what artifacts are and hold";
    const OPERANDS: &'static str = "NAME[:TAG|@DIGEST] [NAME...]";
    const COUNT: Count = Count::AtLeast(1);

    fn operands(&self) -> &[String] {
        &self.names
    }

    fn run(self, session: &Session<'_>) -> Outcome {
        let is_compact = show::is_json(&self.format)?;
        let references: Vec<Reference> =
            self.names.iter().map(|name| remote::reference(name)).collect::<Result<_, _>>()?;
        let context = self.reach.context(session, references.iter().map(|name| name.repository().domain()))?;
        targets::each(&references, |reference| {
            let found = run(READ_ONLY, artifact::inspect(&context, reference))?;
            session.console.line(show::document(reference, &found, is_compact)?);
            Ok(())
        })
    }
}

/// The arguments of `artifact ls`.
#[derive(Args, Debug)]
pub(crate) struct List {
    /// Write as a table or as "json"
    #[arg(long, value_name = "string", default_value = "", hide_default_value = true)]
    format: String,
    #[command(flatten)]
    reach: Reach,
    #[arg(value_name = "REPOSITORY")]
    names: Vec<String>,
}

impl Verb for List {
    const ABOUT: &'static str = "List the artifacts among the tags of a repository";
    const OPERANDS: &'static str = "REPOSITORY";
    const COUNT: Count = Count::Exactly(1);

    fn operands(&self) -> &[String] {
        &self.names
    }

    fn run(self, session: &Session<'_>) -> Outcome {
        let Some(name) = self.names.first() else { return miscounted() };
        let is_json = show::is_json(&self.format)?;
        let repository = remote::repository(name)?;
        let context = self.reach.context(session, [repository.domain()])?;
        let found = run(READ_ONLY, artifact::list(&context, &repository))?;
        session.console.text(if is_json { show::list(&found)? } else { show::table(&found) });
        Ok(())
    }
}

/// The arguments of `artifact rm`.
#[derive(Args, Debug)]
pub(crate) struct Remove {
    #[command(flatten)]
    documents: DocumentFormat,
    /// Remove the artifact itself and not only its tag, and with it every other tag of it
    #[arg(long)]
    manifest: bool,
    #[command(flatten)]
    reach: Reach,
    #[arg(value_name = "NAME")]
    names: Vec<String>,
}

impl Verb for Remove {
    const ABOUT: &'static str = "Remove artifacts from a registry";
    const OPERANDS: &'static str = "NAME:TAG|NAME@DIGEST [NAME...]";
    const COUNT: Count = Count::AtLeast(1);

    fn operands(&self) -> &[String] {
        &self.names
    }

    fn run(self, session: &Session<'_>) -> Outcome {
        let documents = self.documents.open(session.console);
        let (context, references) = documents.settle(None, self.prepare(session))?;
        targets::each(self.names.iter().zip(&references), |(name, reference)| {
            let unfinished = "what was told to be removed is; the one under way may be";
            let removed = run(unfinished, artifact::remove(&context, reference, self.manifest));
            tell_removed(session, &documents, name, removed)
        })
    }
}

impl Remove {
    fn prepare(&self, session: &Session<'_>) -> Outcome<(Context, Vec<Reference>)> {
        let references: Vec<Reference> =
            self.names.iter().map(|name| remote::reference(name)).collect::<Result<_, _>>()?;
        if let Some(bare) = references.iter().find(|name| name.tag().is_none() && name.digest().is_none()) {
            let message = format!("{}: say what to remove, by a tag or a digest", bare.familiar());
            return Err(Failure::Client(message));
        }
        let context = self.reach.context(session, references.iter().map(|name| name.repository().domain()))?;
        Ok((context, references))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn media_types_stand_behind_the_last_colon() {
        for (text, path, media_type) in [
            ("a.json:application/json", "a.json", Some("application/json")),
            ("a:b:text/plain", "a:b", Some("text/plain")),
            ("a:b", "a:b", None),
            ("/etc/x", "/etc/x", None),
            (":text/plain", ":text/plain", None),
        ] {
            let new = file(text);
            assert_eq!((new.path, new.media_type.as_deref()), (PathBuf::from(path), media_type), "{text}");
        }
    }
}
