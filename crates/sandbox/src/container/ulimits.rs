//! Limits of each process of a container: getrlimit(2).

use rustix::io::Errno;
use rustix::process::{Resource, Rlimit, setrlimit};
use serde::{Deserialize, Serialize};

/// Docker's names of what can be limited (docker/go-units, `ulimit.go`), and the kernel's.
const RESOURCES: [(&str, Resource); 15] = [
    ("core", Resource::Core),
    ("cpu", Resource::Cpu),
    ("data", Resource::Data),
    ("fsize", Resource::Fsize),
    ("locks", Resource::Locks),
    ("memlock", Resource::Memlock),
    ("msgqueue", Resource::Msgqueue),
    ("nice", Resource::Nice),
    ("nofile", Resource::Nofile),
    ("nproc", Resource::Nproc),
    ("rss", Resource::Rss),
    ("rtprio", Resource::Rtprio),
    ("rttime", Resource::Rttime),
    ("sigpending", Resource::Sigpending),
    ("stack", Resource::Stack),
];

/// One limit, in the kernel's unit of it; -1 is none.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Ulimit {
    /// Docker's name of what is limited.
    pub name: String,
    /// The one that counts, which a process may raise up to the other.
    pub soft: i64,
    /// The one that only root may raise.
    pub hard: i64,
}

impl Ulimit {
    /// Reads `name=soft` or `name=soft:hard`.
    ///
    /// # Errors
    /// What docker says of others (docker/go-units, `ParseUlimit`).
    pub fn parse(text: &str) -> Result<Self, String> {
        let (name, limits) = text.split_once('=').ok_or_else(|| format!("invalid ulimit argument: {text}"))?;
        if !RESOURCES.iter().any(|(known, _)| *known == name) {
            return Err(format!("invalid ulimit type: {name}"));
        }
        let number =
            |text: &str| text.parse::<i64>().map_err(|_| format!("strconv.ParseInt: parsing {text:?}: invalid syntax"));
        let (soft, hard) = match limits.split(':').collect::<Vec<_>>().as_slice() {
            [both] => (number(both)?, number(both)?),
            [soft, hard] => {
                let hard = number(hard)?;
                (number(soft)?, hard)
            }
            _ => {
                let most = "can only have up to two, `soft[:hard]`";
                return Err(format!("too many limit value arguments - {limits}, {most}"));
            }
        };
        let order = "ulimit soft limit must be less than or equal to hard limit";
        match (soft, hard) {
            (_, -1) => {}
            (-1, _) => return Err(format!("{order}: soft: -1 (unlimited), hard: {hard}")),
            _ if soft > hard => return Err(format!("{order}: {soft} > {hard}")),
            _ => {}
        }
        Ok(Self { name: name.to_owned(), soft, hard })
    }

    /// That of open files as this program was given it, where it has raised its own since.
    pub fn of_open_files() -> Option<Self> {
        let (soft, hard) = dhow_base::descriptors::found()?;
        let number = |limit: Option<u64>| limit.and_then(|limit| i64::try_from(limit).ok()).unwrap_or(-1);
        Some(Self { name: "nofile".to_owned(), soft: number(soft), hard: number(hard) })
    }

    /// Sets it for this process and all that come of it.
    pub(crate) fn set(&self) -> Result<(), Errno> {
        let found = RESOURCES.iter().find(|(known, _)| *known == self.name);
        let resource = found.ok_or(Errno::INVAL)?.1;
        // A negative number has all bits of an endless one.
        let limit = |number: i64| u64::try_from(number).ok();
        setrlimit(resource, Rlimit { current: limit(self.soft), maximum: limit(self.hard) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_read_as_docker_reads_them() {
        let check = |text: &str, expected: Result<(i64, i64), &str>| {
            let read = Ulimit::parse(text).map(|limit| (limit.soft, limit.hard));
            assert_eq!(read.as_ref().map_err(String::as_str), expected.as_ref().map_err(|text| *text), "{text}");
        };
        check("nofile=1024:2048", Ok((1024, 2048)));
        check("nofile=5", Ok((5, 5)));
        check("core=-1", Ok((-1, -1)));
        check("core=0:-1", Ok((0, -1)));
        check("x", Err("invalid ulimit argument: x"));
        check("nope=1", Err("invalid ulimit type: nope"));
        check("nofile=a", Err("strconv.ParseInt: parsing \"a\": invalid syntax"));
        check("nofile=5:4", Err("ulimit soft limit must be less than or equal to hard limit: 5 > 4"));
        check("nofile=1:2:3", Err("too many limit value arguments - 1:2:3, can only have up to two, `soft[:hard]`"));
        check(
            "nofile=-1:5",
            Err("ulimit soft limit must be less than or equal to hard limit: soft: -1 (unlimited), hard: 5"),
        );
    }
}
