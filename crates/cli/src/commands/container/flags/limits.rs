//! What a container may take: options of `create` and `run`, and docker's checks of them.

use clap::Args;
use dhow_base::{Error, Kind};
use dhow_ops::container::Limits;
use dhow_ops::strconv::{parse_int, parse_uint};

use super::super::super::podman::container as podman;
use super::values::{NANO, bytes, misread, nano_cpus, size_or_any};
use crate::errors::{Failure, Outcome};
use crate::personality::Personality;
use crate::session::Session;

/// Least memory that a container can be limited to, in bytes, as with docker.
const MEMORY_BYTES_MIN: u64 = 6 << 20;

/// Least time of processors that a container can be limited to, as with docker.
const NANO_CPUS_MIN: u64 = NANO / 100;

/// Least and most microseconds of a period, and least of a quota.
const PERIODS: std::ops::RangeInclusive<u64> = 1000..=1_000_000;
const QUOTA_MIN: i64 = 1000;

const SHORT_QUOTA: &str = "CPU cfs quota can not be less than 1ms (i.e. 1000)";

/// Least and most shares that the kernel has (runc).
const SHARES: (u64, u64) = (2, 262_144);

/// Least and most weight of reading and writing.
const WEIGHTS: std::ops::RangeInclusive<u16> = 10..=1000;

/// What tells which processors and nodes of memory this machine has.
const CPUS: &str = "/sys/devices/system/cpu/online";
const MEMORY_NODES: &str = "/sys/devices/system/node/online";

/// Options of docker's that limit a container.
#[derive(Args, Debug)]
pub(super) struct Limiting {
    /// Weight of reading and writing relative to others' (10 to 1000)
    #[arg(long, value_name = "uint16", allow_negative_numbers = true)]
    blkio_weight: Option<String>,
    /// Length of a period of processors' time, in microseconds
    #[arg(long, value_name = "int", allow_negative_numbers = true)]
    cpu_period: Option<String>,
    /// So many microseconds of processors' time in a period at most
    #[arg(long, value_name = "int", allow_negative_numbers = true)]
    cpu_quota: Option<String>,
    /// Share of processors' time relative to others', of which each has 1024
    #[arg(short, long, value_name = "int", allow_negative_numbers = true)]
    cpu_shares: Option<String>,
    /// So many processors at most, such as 1.5
    #[arg(long, value_name = "decimal", value_parser = nano_cpus)]
    cpus: Option<i64>,
    /// Processors to run on ("0-3", "0,1")
    #[arg(long, value_name = "string")]
    cpuset_cpus: Option<String>,
    /// Nodes to take memory from ("0-3", "0,1")
    #[arg(long, value_name = "string")]
    cpuset_mems: Option<String>,
    /// So much memory at most, such as 512m
    #[arg(short, long, value_name = "bytes")]
    memory: Option<String>,
    /// So much memory is left to the container when the machine runs out of it
    #[arg(long, value_name = "bytes")]
    memory_reservation: Option<String>,
    /// So much memory and swap space together at most; -1 for any
    #[arg(long, value_name = "bytes", allow_negative_numbers = true)]
    memory_swap: Option<String>,
    /// How readily memory goes to swap space (0 to 100); -1 for as the machine has it
    #[arg(long, value_name = "int", allow_negative_numbers = true)]
    memory_swappiness: Option<String>,
    /// Let the container wait for memory instead of killing it for want of it
    #[arg(long)]
    oom_kill_disable: bool,
    /// How soon the container is killed when the machine runs out of memory (-1000 to 1000)
    #[arg(long, value_name = "int", allow_negative_numbers = true)]
    oom_score_adj: Option<String>,
    /// So many processes at most; -1 for any number
    #[arg(long, value_name = "int", allow_negative_numbers = true, value_parser = parse_int::<i64>)]
    pids_limit: Option<i64>,
}

/// Docker's words and podman's for one thing.
struct Words<'s, 'e>(&'s Session<'e>);

impl Words<'_, '_> {
    fn refuse(&self, docker: impl Into<String>, podman: impl Into<String>) -> Outcome {
        match self.0.personality {
            Personality::Podman => Err(Failure::Client(podman.into())),
            _ => Err(Error::new(Kind::Invalid, docker.into()).into()),
        }
    }

    /// Where podman's differ by their first letter and a blank.
    fn refuse_alike(&self, docker: &str) -> Outcome {
        let mut letters = docker.chars();
        let first = letters.next().map(|letter| letter.to_ascii_lowercase());
        let small: String = first.into_iter().chain(letters).collect();
        let podman = if docker.starts_with("CPU") { docker.to_owned() } else { small };
        self.refuse(docker, podman.replace("can not", "cannot"))
    }
}

impl Limiting {
    /// What they say (moby, `verifyPlatformContainerResources`).
    ///
    /// # Errors
    /// Docker's words for what cannot be.
    pub(super) fn limits(&self, session: &Session<'_>) -> Outcome<Limits> {
        let number = |given: &Option<String>, flag: &str| self.number(session, given.as_deref(), flag);
        let amount = |given: &Option<String>, flag: &str| -> Outcome<Option<u64>> {
            Ok(bytes(session, given.as_deref(), flag, podman::MEMORY)?.filter(|bytes| *bytes > 0))
        };
        let cpu_shares = number(&self.cpu_shares, "-c, --cpu-shares")?;
        // One that is negative is out of range as one that is too short.
        let cpu_period = number(&self.cpu_period, "--cpu-period")?;
        let limits = Limits {
            memory_bytes: amount(&self.memory, "-m, --memory")?,
            swap_bytes: size_or_any(session, self.memory_swap.as_deref(), "--memory-swap", podman::MEMORY)?,
            swappiness: self.swappiness(session)?,
            reservation_bytes: amount(&self.memory_reservation, "--memory-reservation")?,
            oom_kill_disabled: self.oom_kill_disable,
            nano_cpus: self.nano_cpus(&Words(session))?,
            cpu_shares: cpu_shares.filter(|shares| *shares != 0).map(i64::unsigned_abs),
            cpu_period: cpu_period.filter(|period| *period != 0).map(|period| u64::try_from(period).unwrap_or(1)),
            cpu_quota: number(&self.cpu_quota, "--cpu-quota")?.filter(|quota| *quota != 0),
            cpus: self.cpuset_cpus.clone().unwrap_or_default(),
            memory_nodes: self.cpuset_mems.clone().unwrap_or_default(),
            block_weight: self.block_weight(session)?,
            processes: self.pids_limit.and_then(|count| u64::try_from(count).ok()).filter(|count| *count > 0),
        };
        let words = Words(session);
        check_memory(&words, &limits)?;
        if let Some(shares) = cpu_shares.filter(|shares| *shares < 0) {
            words.refuse_alike(&format!("invalid CPU shares ({shares}): value must be a positive integer"))?;
        }
        check_time(&words, &limits)?;
        check_list(&words, &limits.cpus, CPUS, "cpus", "CPUs")?;
        check_list(&words, &limits.memory_nodes, MEMORY_NODES, "mems", "memory nodes")?;
        Ok(limits)
    }

    /// So much time of processors; a negative number is none to podman, which leaves it to the kernel how many there are.
    ///
    /// # Errors
    /// The engines' words for more or less than there is.
    fn nano_cpus(&self, words: &Words<'_, '_>) -> Outcome<Option<u64>> {
        let Some(nano) = self.cpus.filter(|nano| *nano != 0) else { return Ok(None) };
        let cpus = std::thread::available_parallelism().map_or(1, usize::from);
        let is_podman = words.0.personality == Personality::Podman;
        match u64::try_from(nano) {
            Ok(nano) if nano >= NANO_CPUS_MIN && (is_podman || nano <= cpus as u64 * NANO) => Ok(Some(nano)),
            Ok(_) if is_podman => words.refuse_alike(SHORT_QUOTA).map(|()| None),
            Err(_) if is_podman => Ok(None),
            _ => {
                let message =
                    format!("range of CPUs is from 0.01 to {cpus}.00, as there are only {cpus} CPUs available");
                Err(Error::new(Kind::Invalid, message).into())
            }
        }
    }

    /// How soon it is killed for want of memory; nothing for as soon as this program.
    ///
    /// # Errors
    /// Docker's words for a number out of range.
    pub(super) fn oom_score(&self, session: &Session<'_>) -> Outcome<Option<i16>> {
        let Some(score) = self.number(session, self.oom_score_adj.as_deref(), "--oom-score-adj")? else {
            return Ok(None);
        };
        match i16::try_from(score).ok().filter(|score| (-1000..=1000).contains(score)) {
            Some(score) => Ok(Some(score).filter(|score| *score != 0)),
            None => {
                let message = format!("Invalid value {score}, range for oom score adj is [-1000, 1000]");
                Err(Error::new(Kind::Invalid, message).into())
            }
        }
    }

    fn swappiness(&self, session: &Session<'_>) -> Outcome<Option<u8>> {
        match self.number(session, self.memory_swappiness.as_deref(), "--memory-swappiness")? {
            None | Some(-1) => Ok(None),
            Some(number) => match u8::try_from(number).ok().filter(|number| *number <= 100) {
                Some(number) => Ok(Some(number)),
                None if session.personality == Personality::Podman => {
                    Err(Failure::Client(format!("invalid value: {number}, valid memory swappiness range is 0-100")))
                }
                None => {
                    Err(Failure::Client(format!("invalid value: {number}. Valid memory swappiness range is 0-100")))
                }
            },
        }
    }

    fn block_weight(&self, session: &Session<'_>) -> Outcome<Option<u16>> {
        let Some(text) = self.blkio_weight.as_deref() else { return Ok(None) };
        let weight: u16 = parse_uint(text).map_err(|why| match session.personality {
            Personality::Podman => Failure::Client(format!("invalid value for blkio-weight: {why}")),
            _ => misread(session, text, "--blkio-weight", &why),
        })?;
        if weight != 0 && !WEIGHTS.contains(&weight) {
            Words(session).refuse_alike("Range of blkio weight is from 10 to 1000")?;
        }
        Ok(Some(weight).filter(|weight| *weight != 0))
    }

    /// Docker reads all of them as signed numbers, podman those that are never negative as others.
    fn number(&self, session: &Session<'_>, given: Option<&str>, flag: &str) -> Outcome<Option<i64>> {
        let Some(text) = given else { return Ok(None) };
        let is_never_negative = matches!(flag, "-c, --cpu-shares" | "--cpu-period");
        let read = match session.personality == Personality::Podman && is_never_negative {
            true => parse_uint::<u32>(text).map(i64::from),
            false => parse_int(text),
        };
        read.map(Some).map_err(|why| misread(session, text, flag, &why))
    }
}

fn check_memory(words: &Words<'_, '_>, limits: &Limits) -> Outcome {
    let is_podman = words.0.personality == Personality::Podman;
    let (memory, swap) = (limits.memory_bytes.unwrap_or(0), limits.swap_bytes);
    let reservation = limits.reservation_bytes.unwrap_or(0);
    let is_too_little = |bytes: u64| bytes > 0 && bytes < MEMORY_BYTES_MIN;
    // Podman leaves it to the kernel, as it does how many processors there are.
    if is_too_little(memory) && !is_podman {
        words.refuse_alike("Minimum memory limit allowed is 6MB")?;
    }
    match swap.and_then(|bytes| u64::try_from(bytes).ok()) {
        // To podman, none is a limit as others are.
        Some(swap) if memory > 0 && swap < memory && (swap > 0 || is_podman) => {
            words.refuse_alike("Minimum memoryswap limit should be larger than memory limit, see usage")?;
        }
        Some(swap) if memory == 0 && swap > 0 => words.refuse(
            "You should always set the Memory limit when using Memoryswap limit, see usage",
            "you should always set a memory limit when using a memoryswap limit, see usage",
        )?,
        _ => {}
    }
    if is_too_little(reservation) && !is_podman {
        words.refuse_alike("Minimum memory reservation allowed is 6MB")?;
    }
    if memory > 0 && memory < reservation {
        words.refuse_alike("Minimum memory limit can not be less than memory reservation limit, see usage")?;
    }
    let environment = &words.0.environment;
    // Who is not root starts this program anew: once is enough.
    let starts_anew = environment.user != 0 && environment.in_user_namespace.is_none();
    if limits.oom_kill_disabled && memory == 0 && !is_podman && !starts_anew {
        let risk = "this can result in the system running out of resources";
        let warning = "OOM killer is disabled for the container, but no memory limit is set";
        words.0.console.notice(format!("WARNING: {warning}, {risk}."));
    }
    Ok(())
}

fn check_time(words: &Words<'_, '_>, limits: &Limits) -> Outcome {
    for (is_given, docker, podman) in [
        (limits.cpu_period.is_some(), "CPU Period", "--cpu-period"),
        (limits.cpu_quota.is_some(), "CPU Quota", "--cpu-quota"),
    ] {
        if is_given && limits.nano_cpus.is_some() {
            words.refuse(
                format!("Conflicting options: Nano CPUs and {docker} cannot both be set"),
                format!("{podman} and --cpus cannot be set together"),
            )?;
        }
    }
    if limits.cpu_period.is_some_and(|period| !PERIODS.contains(&period)) {
        words.refuse_alike("CPU cfs period can not be less than 1ms (i.e. 1000) or larger than 1s (i.e. 1000000)")?;
    }
    if limits.cpu_quota.is_some_and(|quota| quota > 0 && quota < QUOTA_MIN) {
        words.refuse_alike(SHORT_QUOTA)?;
    }
    match limits.cpu_shares {
        Some(shares) if shares < SHARES.0 => words.refuse_alike("the minimum allowed cpu-shares is 2"),
        Some(shares) if shares > SHARES.1 => words.refuse_alike("the maximum allowed cpu-shares is 262144"),
        _ => Ok(()),
    }
}

/// Whether a list says something, and the machine has what it asks for. Where that is not to be found out, the kernel says so.
fn check_list(words: &Words<'_, '_>, list: &str, machine: &str, what: &str, things: &str) -> Outcome {
    let Some(wanted) = ranges(list) else {
        return words.refuse(
            format!("Invalid value {list} for cpuset {what}: invalid format: {list}"),
            format!("invalid value {list} for cpuset {what}"),
        );
    };
    let Ok(text) = dhow_base::fs::read_limited(std::path::Path::new(machine), 4096) else { return Ok(()) };
    let available = String::from_utf8_lossy(&text).trim().to_owned();
    let Some(there) = ranges(&available) else { return Ok(()) };
    let is_there = |(first, last): &(u32, u32)| there.iter().any(|(from, to)| from <= first && last <= to);
    if wanted.iter().all(is_there) {
        return Ok(());
    }
    words.refuse_alike(&format!("Requested {things} are not available - requested {list}, available: {available}"))
}

/// Reads `0-2,4`; nothing for what is no such list.
fn ranges(list: &str) -> Option<Vec<(u32, u32)>> {
    let range = |text: &str| {
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        let (first, last) = (first.parse().ok()?, last.parse().ok()?);
        (first <= last).then_some((first, last))
    };
    if list.is_empty() { Some(Vec::new()) } else { list.split(',').map(range).collect() }
}

#[cfg(test)]
mod tests {
    use super::ranges;

    #[test]
    fn lists_of_processors_are_read() {
        let check =
            |text: &str, expected: Option<&[(u32, u32)]>| assert_eq!(ranges(text).as_deref(), expected, "{text}");
        check("", Some(&[]));
        check("0", Some(&[(0, 0)]));
        check("0-2,4", Some(&[(0, 2), (4, 4)]));
        check("1-0", None);
        check("0,,1", None);
        check("x", None);
        check("-1", None);
    }
}
