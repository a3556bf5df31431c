//! What docker or podman said when it was asked last, for machines without it.

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use super::case::{Case, parse};
use super::judge::Said;

/// The answers to the cases of one file, in the format of case files.
#[derive(Clone, Debug)]
pub struct Recording {
    path: PathBuf,
    answers: VecDeque<(String, Said)>,
    text: String,
}

impl Recording {
    /// An empty one that is going to be written beside the case files, in `golden`.
    pub fn new(cases: &Path) -> Self {
        Self { path: path_of(cases), answers: VecDeque::new(), text: String::from("== read recorded\n") }
    }

    /// The one of a case file.
    ///
    /// # Errors
    /// That there is none, or what cannot be understood.
    pub fn read(cases: &Path) -> Result<Self, String> {
        let mut recording = Self::new(cases);
        let text = fs::read_to_string(&recording.path).map_err(|error| format!("{:?}: {error}", recording.path))?;
        let groups = parse(&recording.path, &text)?;
        let cases = groups.iter().flat_map(|group| group.cases());
        recording.answers = cases.map(|case| (case.line.clone(), case.expected.clone().unwrap_or_default())).collect();
        Ok(recording)
    }

    /// The answer to the next case.
    ///
    /// # Errors
    /// That something else was asked when this was recorded.
    pub fn next(&mut self, case: &Case) -> Result<Said, String> {
        match self.answers.pop_front() {
            Some((line, said)) if line == case.line => Ok(said),
            _ => Err(format!("{case}\n  is not what was recorded: record anew with DHOW_PARITY_RECORD=1")),
        }
    }

    /// Adds an answer.
    pub fn add(&mut self, case: &Case, said: &Said) {
        // Writing into a String cannot fail.
        let _ = write!(self.text, "$ {}\n{said}", case.line);
    }

    /// Writes what was added.
    ///
    /// # Panics
    /// When it cannot be written.
    pub fn write(&self) {
        fs::write(&self.path, &self.text).expect("write the recording");
    }
}

fn path_of(cases: &Path) -> PathBuf {
    let folder = cases.parent().and_then(Path::parent).unwrap_or(Path::new("."));
    folder.join("golden").join(cases.file_name().unwrap_or_default())
}
