//! The Go compiler, to ask Go itself what Go does.

use std::fs;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use tempfile::TempDir;

use super::{find, run};

/// A compiled Go program.
#[derive(Debug)]
pub struct Go {
    program: PathBuf,
    _folder: TempDir,
}

impl Go {
    /// Compiles a `main.go` that needs nothing but the standard library.
    ///
    /// # Errors
    /// That Go is not installed, or what the compiler says.
    pub fn compile(source: &str) -> io::Result<Self> {
        let compiler = compiler()?;
        let folder = tempfile::tempdir()?;
        let (file, program) = (folder.path().join("main.go"), folder.path().join("main"));
        fs::write(&file, source)?;
        let mut command = Command::new(compiler);
        command.args(["build", "-o"]).arg(&program).arg(&file).current_dir(folder.path());
        run(command.env("GO111MODULE", "off").env("GOFLAGS", "").env("GOTOOLCHAIN", "local"))?;
        Ok(Self { program, _folder: folder })
    }

    /// Builds a program of a public module, such as `example.org/module/program@v1.2.3`, through the module proxy.
    ///
    /// # Errors
    /// That Go is not installed, or what it says: most often that the proxy cannot be reached.
    pub fn install(program: &str) -> io::Result<Self> {
        let compiler = compiler()?;
        let folder = tempfile::tempdir()?;
        let mut command = Command::new(compiler);
        command.args(["install", program]).current_dir(folder.path());
        run(command.env("GOBIN", folder.path()).env("GOFLAGS", "-mod=mod").env("GOTOOLCHAIN", "local"))?;
        let path = program.split('@').next().unwrap_or(program);
        let name = path.rsplit('/').next().unwrap_or(path);
        Ok(Self { program: folder.path().join(name), _folder: folder })
    }

    /// The program, to be run.
    pub fn command(&self) -> Command {
        Command::new(&self.program)
    }

    /// The answers of a program that answers each line of its standard input with a line.
    ///
    /// # Errors
    /// That the program fails, or that it does not answer every question.
    pub fn answers(&self, questions: &[String]) -> io::Result<Vec<String>> {
        let mut child = Command::new(&self.program).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let mut input = child.stdin.take().ok_or_else(|| io::Error::other("no standard input"))?;
        let asked = questions.join("\n") + "\n";
        let writer = std::thread::spawn(move || input.write_all(asked.as_bytes()));
        let output = child.wait_with_output()?;
        writer.join().map_err(|_| io::Error::other("the writer panicked"))??;
        let answers: Vec<String> = String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect();
        if !output.status.success() || answers.len() != questions.len() {
            let problem = format!("{} answers to {} questions, {}", answers.len(), questions.len(), output.status);
            return Err(io::Error::other(problem));
        }
        Ok(answers)
    }
}

fn compiler() -> io::Result<PathBuf> {
    find("go").or_else(|error| {
        // Where Go's own installer puts it, without being on anybody's PATH.
        let usual = PathBuf::from("/usr/local/go/bin/go");
        if usual.is_file() { Ok(usual) } else { Err(error) }
    })
}
