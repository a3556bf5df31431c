//! Profiles of system calls that users bring along: the JSON files of docker and podman (moby `profiles/seccomp`, containers/common
//! `pkg/seccomp`, and the `linux.seccomp` of OCI's runtime specification, to which they add conditions).

use serde::Deserialize;

use super::bpf::{ALLOW, FAIL, KILL_PROCESS, KILL_THREAD, LOG, TRACE, TRAP};
use super::errnos;
use crate::container::privileges::capability_number;

/// Arguments that a system call has at most.
const ARGUMENTS_MAX: u32 = 6;

/// The highest error that a call can fail with (the kernel's `MAX_ERRNO`).
const ERRNO_MAX: u32 = 4095;

/// Architectures that a profile may name (OCI runtime specification).
const ARCHITECTURES: [&str; 21] = [
    "X86",
    "X86_64",
    "X32",
    "ARM",
    "AARCH64",
    "MIPS",
    "MIPS64",
    "MIPS64N32",
    "MIPSEL",
    "MIPSEL64",
    "MIPSEL64N32",
    "PPC",
    "PPC64",
    "PPC64LE",
    "S390",
    "S390X",
    "PARISC",
    "PARISC64",
    "RISCV64",
    "LOONGARCH64",
    "M68K",
];

/// What this processor is called by the lists of architectures, and by those of conditions (Go's `GOARCH`).
#[cfg(target_arch = "x86_64")]
const OWN: (&str, &str) = ("SCMP_ARCH_X86_64", "amd64");
#[cfg(target_arch = "aarch64")]
const OWN: (&str, &str) = ("SCMP_ARCH_AARCH64", "arm64");
#[cfg(target_arch = "riscv64")]
const OWN: (&str, &str) = ("SCMP_ARCH_RISCV64", "riscv64");

/// The file as it is. What is null is as what is not there; members that nobody knows are ignored, as engines do.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Document {
    default_action: Option<String>,
    default_errno_ret: Option<u32>,
    default_errno: Option<String>,
    architectures: Option<Vec<String>>,
    arch_map: Option<Vec<Mapped>>,
    flags: Option<Vec<String>>,
    syscalls: Option<Vec<Call>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Mapped {
    architecture: Option<String>,
    sub_architectures: Option<Vec<String>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Call {
    name: Option<String>,
    names: Option<Vec<String>>,
    action: Option<String>,
    errno_ret: Option<u32>,
    errno: Option<String>,
    args: Option<Vec<Argument>>,
    includes: Option<Conditions>,
    excludes: Option<Conditions>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Argument {
    index: Option<u32>,
    value: Option<u64>,
    value_two: Option<u64>,
    op: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Conditions {
    caps: Option<Vec<String>>,
    arches: Option<Vec<String>>,
    min_kernel: Option<String>,
}

/// A profile that was understood.
#[derive(Debug)]
pub(super) struct Profile {
    /// What the filter answers to calls that no rule is about; nothing where there is to be no filter.
    pub(super) default: Option<u32>,
    /// Whether 32-bit programs on x86 are judged by the same rules; they are killed otherwise.
    pub(super) judges_x86: bool,
    /// Whether programs may try x32's calls; they are killed for it otherwise.
    pub(super) knows_x32: bool,
    /// The system call's flags (seccomp(2)).
    pub(super) flags: u32,
    rules: Vec<(Rule, Conditions, Conditions)>,
}

/// What is answered to some calls.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Rule {
    pub(super) names: Vec<String>,
    pub(super) answer: u32,
    /// All of one of these lists must hold; none is always.
    pub(super) comparisons: Vec<Vec<Comparison>>,
}

/// Something about an argument of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Comparison {
    pub(super) argument: u32,
    pub(super) operator: Operator,
    pub(super) value: u64,
}

/// How an argument is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operator {
    Different,
    Less,
    LessOrEqual,
    Equal,
    GreaterOrEqual,
    Greater,
    /// With the bits of a mask alone.
    EqualIn(u64),
}

/// Who the rules are for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Circumstances<'c> {
    /// Numbers of the capabilities that the container may have.
    pub(super) capabilities: &'c [u8],
    /// The kernel's version, its first two numbers.
    pub(super) kernel: (u32, u32),
}

impl Profile {
    /// Reads a profile.
    ///
    /// # Errors
    /// What is wrong with it, and where.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        // A list would be read as an object whose members have no names.
        if text.trim_start().starts_with('[') {
            return Err("it is a list, where an object is wanted".to_owned());
        }
        let document = document(text).map_err(|error| error.to_string())?;
        if document.default_action.is_none() && document.syscalls.as_ref().is_none_or(Vec::is_empty) {
            return Ok(Self { default: None, judges_x86: false, knows_x32: false, flags: 0, rules: Vec::new() });
        }
        let architectures = document.architectures()?;
        let is_named = |name: &str| architectures.iter().any(|known| known == name);
        let default = action(
            document.default_action.as_deref(),
            errno("default", document.default_errno_ret, document.default_errno.as_deref())?,
        )
        .map_err(|why| format!("defaultAction: {why}"))?;
        let calls = document.syscalls.as_deref().unwrap_or_default();
        let read = |(number, call): (usize, &Call)| call.read().map_err(|why| format!("syscalls[{number}]{why}"));
        Ok(Self {
            default: Some(default),
            judges_x86: is_named("SCMP_ARCH_X86"),
            knows_x32: is_named("SCMP_ARCH_X32"),
            flags: flags(document.flags.as_deref().unwrap_or_default())?,
            rules: calls.iter().enumerate().map(read).collect::<Result<_, _>>()?,
        })
    }

    /// The rules that count where it is to be used, in their order.
    pub(super) fn rules(&self, circumstances: Circumstances<'_>) -> impl Iterator<Item = &Rule> {
        self.rules.iter().filter_map(move |(rule, includes, excludes)| {
            let counts = includes.all_hold(circumstances) && !excludes.any_holds(circumstances);
            counts.then_some(rule)
        })
    }
}

/// Names of members, which Go's decoder finds whatever their case is.
const MEMBERS: [&str; 24] = [
    "defaultAction",
    "defaultErrnoRet",
    "defaultErrno",
    "architectures",
    "archMap",
    "flags",
    "syscalls",
    "architecture",
    "subArchitectures",
    "name",
    "names",
    "action",
    "errnoRet",
    "errno",
    "args",
    "includes",
    "excludes",
    "index",
    "value",
    "valueTwo",
    "op",
    "caps",
    "arches",
    "minKernel",
];

/// Reads the file; members with names in another case are taken for those meant.
fn document(text: &str) -> serde_json::Result<Document> {
    let mut value: serde_json::Value = serde_json::from_str(text)?;
    match rename(&mut value) {
        true => serde_json::from_value(value),
        // As it is, so that a mistake is told with its place.
        false => serde_json::from_str(text),
    }
}

/// Whether any member was renamed.
fn rename(value: &mut serde_json::Value) -> bool {
    match value {
        serde_json::Value::Array(values) => values.iter_mut().fold(false, |any, value| rename(value) | any),
        serde_json::Value::Object(members) => {
            let mut any = members.values_mut().fold(false, |any, value| rename(value) | any);
            let odd = |name: &String| {
                let known = MEMBERS.iter().find(|known| known.eq_ignore_ascii_case(name));
                known.filter(|known| *known != name).map(|known| (name.clone(), *known))
            };
            for (name, known) in members.keys().filter_map(odd).collect::<Vec<_>>() {
                if let Some(value) = members.remove(&name) {
                    members.insert(known.to_owned(), value);
                    any = true;
                }
            }
            any
        }
        _ => false,
    }
}

impl Document {
    /// The architectures that are judged.
    fn architectures(&self) -> Result<Vec<String>, String> {
        let (listed, mapped) = (self.architectures.as_deref(), self.arch_map.as_deref());
        let (listed, mapped) = (listed.unwrap_or_default(), mapped.unwrap_or_default());
        if !listed.is_empty() && !mapped.is_empty() {
            return Err("'architectures' and 'archMap' were specified in the seccomp profile, use either 'architectures' or 'archMap'"
                .to_owned());
        }
        let own = mapped.iter().filter(|entry| entry.architecture.as_deref() == Some(OWN.0));
        let below = own.flat_map(|entry| entry.sub_architectures.iter().flatten());
        let named: Vec<String> = listed.iter().chain(below).cloned().collect();
        let is_known = |name: &str| name.strip_prefix("SCMP_ARCH_").is_some_and(|name| ARCHITECTURES.contains(&name));
        match named.iter().find(|name| !is_known(name)) {
            Some(name) => Err(format!("string {name} is not a valid arch for seccomp")),
            None => Ok(named),
        }
    }
}

impl Call {
    fn read(&self) -> Result<(Rule, Conditions, Conditions), String> {
        let one = self.name.iter().filter(|name| !name.is_empty());
        let names: Vec<String> = one.chain(self.names.iter().flatten()).cloned().collect();
        if self.name.as_ref().is_some_and(|name| !name.is_empty()) && names.len() > 1 {
            return Err(
                ": 'name' and 'names' were specified in the seccomp profile, use either 'name' or 'names'".to_owned()
            );
        }
        let errno = errno("", self.errno_ret, self.errno.as_deref()).map_err(|why| format!(".{why}"))?;
        let answer = action(self.action.as_deref(), errno).map_err(|why| format!(".action: {why}"))?;
        let arguments = self.args.as_deref().unwrap_or_default();
        let read =
            |(number, argument): (usize, &Argument)| argument.read().map_err(|why| format!(".args[{number}].{why}"));
        let comparisons = arguments.iter().enumerate().map(read).collect::<Result<Vec<_>, _>>()?;
        let conditions = |given: &Option<Conditions>, name: &str| {
            let given = given.as_ref().map(Conditions::checked).transpose();
            given.map(Option::unwrap_or_default).map_err(|why| format!(".{name}.{why}"))
        };
        let rule = Rule { names, answer, comparisons: alternatives(comparisons) };
        Ok((rule, conditions(&self.includes, "includes")?, conditions(&self.excludes, "excludes")?))
    }
}

/// One that speaks of an argument twice means either (runc, `matchCall`); otherwise all must hold.
fn alternatives(comparisons: Vec<Comparison>) -> Vec<Vec<Comparison>> {
    let is_repeated = |one: &Comparison| comparisons.iter().filter(|other| other.argument == one.argument).count() > 1;
    if comparisons.iter().any(is_repeated) {
        return comparisons.into_iter().map(|one| vec![one]).collect();
    }
    vec![comparisons].into_iter().filter(|all| !all.is_empty()).collect()
}

impl Argument {
    fn read(&self) -> Result<Comparison, String> {
        let (index, value, second) = (self.index.unwrap_or(0), self.value.unwrap_or(0), self.value_two.unwrap_or(0));
        if index >= ARGUMENTS_MAX {
            return Err(format!("index: syscalls only have up to {ARGUMENTS_MAX} arguments ({index} given)"));
        }
        let name = self.op.as_deref().unwrap_or_default();
        let (operator, value) = match name.strip_prefix("SCMP_CMP_") {
            Some("NE") => (Operator::Different, value),
            Some("LT") => (Operator::Less, value),
            Some("LE") => (Operator::LessOrEqual, value),
            Some("EQ") => (Operator::Equal, value),
            Some("GE") => (Operator::GreaterOrEqual, value),
            Some("GT") => (Operator::Greater, value),
            Some("MASKED_EQ") => (Operator::EqualIn(value), second),
            _ => return Err(format!("op: string {name} is not a valid operator for seccomp")),
        };
        Ok(Comparison { argument: index, operator, value })
    }
}

impl Conditions {
    fn checked(&self) -> Result<Self, String> {
        if let Some(version) = self.min_kernel.as_deref()
            && kernel(version).is_none()
        {
            return Err(format!("minKernel: invalid kernel version: {version:?}, expected \"<kernel>.<major>\""));
        }
        Ok(Self { caps: self.caps.clone(), arches: self.arches.clone(), min_kernel: self.min_kernel.clone() })
    }

    fn all_hold(&self, circumstances: Circumstances<'_>) -> bool {
        let arches = self.arches.as_deref().unwrap_or_default();
        (arches.is_empty() || arches.iter().any(|arch| arch == OWN.1))
            && self.caps.iter().flatten().all(|name| circumstances.may(name))
            && self.min_kernel.as_deref().is_none_or(|version| circumstances.is_since(version))
    }

    fn any_holds(&self, circumstances: Circumstances<'_>) -> bool {
        self.arches.iter().flatten().any(|arch| arch == OWN.1)
            || self.caps.iter().flatten().any(|name| circumstances.may(name))
            || self.min_kernel.as_deref().is_some_and(|version| circumstances.is_since(version))
    }
}

impl Circumstances<'_> {
    fn may(self, name: &str) -> bool {
        name.starts_with("CAP_") && capability_number(name).is_some_and(|number| self.capabilities.contains(&number))
    }

    fn is_since(self, version: &str) -> bool {
        kernel(version).is_some_and(|version| self.kernel >= version)
    }
}

/// The first two numbers of a kernel's version.
pub(super) fn kernel(version: &str) -> Option<(u32, u32)> {
    let (major, rest) = version.split_once('.')?;
    let minor: String = rest.chars().take_while(char::is_ascii_digit).collect();
    Some((major.parse().ok()?, minor.parse().ok()?))
}

/// The error that a rule names; the number counts before the name, which only podman's files have.
fn errno(before: &str, number: Option<u32>, name: Option<&str>) -> Result<Option<u32>, String> {
    let member = |rest: &str| if before.is_empty() { rest.to_ascii_lowercase() } else { format!("{before}{rest}") };
    let named = name.filter(|name| !name.is_empty() && number.is_none());
    let named = named.map(|name| {
        let number = name.parse().ok().or_else(|| errnos::number(name));
        number.ok_or_else(|| format!("{}: {name:?} is no error", member("Errno")))
    });
    let number = named.transpose()?.or(number);
    match number {
        Some(number) if number > ERRNO_MAX => {
            Err(format!("{before}{}: {number} is no error", if before.is_empty() { "errnoRet" } else { "ErrnoRet" }))
        }
        number => Ok(number),
    }
}

/// The filter's answer for an action; calls fail as not permitted where nothing else is said.
fn action(name: Option<&str>, errno: Option<u32>) -> Result<u32, String> {
    let name = name.unwrap_or_default();
    let number = errno.unwrap_or(libc::EPERM as u32);
    match name.strip_prefix("SCMP_ACT_") {
        Some("ALLOW") => Ok(ALLOW),
        Some("ERRNO") => Ok(FAIL | number),
        Some("KILL" | "KILL_THREAD") => Ok(KILL_THREAD),
        Some("KILL_PROCESS") => Ok(KILL_PROCESS),
        Some("LOG") => Ok(LOG),
        Some("TRAP") => Ok(TRAP),
        Some("TRACE") => Ok(TRACE | number),
        Some("NOTIFY") => Err(format!("{name} is not supported: there is nobody to ask")),
        _ => Err(format!("string {name} is not a valid action for seccomp")),
    }
}

fn flags(names: &[String]) -> Result<u32, String> {
    let flag = |(number, name): (usize, &String)| match name.as_str() {
        // The filter is there before there are threads.
        "SECCOMP_FILTER_FLAG_TSYNC" => Ok(0),
        "SECCOMP_FILTER_FLAG_LOG" => Ok(libc::SECCOMP_FILTER_FLAG_LOG as u32),
        "SECCOMP_FILTER_FLAG_SPEC_ALLOW" => Ok(libc::SECCOMP_FILTER_FLAG_SPEC_ALLOW as u32),
        _ => Err(format!("flags[{number}]: string {name} is not a valid flag for seccomp")),
    };
    names.iter().enumerate().map(flag).try_fold(0, |flags, flag| Ok(flags | flag?))
}

#[cfg(test)]
mod tests;
