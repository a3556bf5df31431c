//! What a profile says, as a program for the kernel's machine.

use std::collections::BTreeMap;

use seccompiler::sock_filter;

use super::bpf::{
    ALLOW, AND, ARCHITECTURE_OFFSET, FAIL, FIRST_ARGUMENT_OFFSET, IF_EQUAL, IF_GREATER, IF_NOT_LESS, JUMP,
    KILL_PROCESS, LOAD, LOG, NUMBER_OFFSET, RETURN, TRACE, branch, instruction,
};
use super::numbers::{Architecture, Numbers};
use super::profile::{Circumstances, Comparison, Operator, Profile};

/// Instructions that the kernel takes at most (`BPF_MAXINSNS`).
const INSTRUCTIONS_MAX: usize = 4096;

/// The kernel's number for the processor's own architecture (audit.h).
#[cfg(target_arch = "x86_64")]
const OWN: u32 = 0xc000_003e;
#[cfg(target_arch = "aarch64")]
const OWN: u32 = 0xc000_00b7;
#[cfg(target_arch = "riscv64")]
const OWN: u32 = 0xc000_00f3;

/// Numbers of x32's calls have this bit.
#[cfg(target_arch = "x86_64")]
const X32: u32 = 0x4000_0000;

/// What an answer is without the number beside it.
const ANSWER_MASK: u32 = 0xffff_0000;

/// What is answered to one call.
#[derive(Debug)]
enum Judged {
    Always(u32),
    /// The first one counts whose comparisons all hold.
    When(Vec<(Vec<Comparison>, u32)>),
}

/// The filter, for a container in these circumstances; nothing where the profile wants none.
///
/// # Errors
/// What cannot be done of it.
pub(super) fn compile(profile: &Profile, circumstances: Circumstances<'_>) -> Result<Option<Vec<sock_filter>>, String> {
    let Some(default) = profile.default else { return Ok(None) };
    let mut program = vec![instruction(LOAD, ARCHITECTURE_OFFSET)];
    for (architecture, number) in architectures(profile) {
        let table = table(profile, circumstances, default, architecture)?;
        let part = part(profile, &table, default, architecture);
        program.extend([branch(IF_EQUAL, number, 1, 0), instruction(JUMP, length(&part))]);
        program.extend(part);
    }
    program.push(instruction(RETURN, KILL_PROCESS));
    if program.len() > INSTRUCTIONS_MAX {
        let message =
            format!("it is too long: {} instructions, where the kernel takes {INSTRUCTIONS_MAX}", program.len());
        return Err(message);
    }
    Ok(Some(program))
}

/// Whose programs are judged, with the kernel's numbers.
fn architectures(profile: &Profile) -> Vec<(Architecture, u32)> {
    let mut architectures = vec![(Architecture::Own, OWN)];
    #[cfg(target_arch = "x86_64")]
    if profile.judges_x86 {
        architectures.push((Architecture::X86, super::calls32::ARCHITECTURE));
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = profile;
    architectures
}

/// What is answered by number, and the highest number that was named.
struct Table {
    calls: BTreeMap<u32, Judged>,
    highest: Option<u32>,
}

fn table(
    profile: &Profile,
    circumstances: Circumstances<'_>,
    default: u32,
    architecture: Architecture,
) -> Result<Table, String> {
    let numbers = Numbers::of(architecture);
    let mut table = Table { calls: BTreeMap::new(), highest: None };
    for rule in profile.rules(circumstances) {
        for name in &rule.names {
            let Some(number) = numbers.get(name) else { continue };
            table.highest = table.highest.max(Some(number));
            if rule.answer == default {
                continue;
            }
            if rule.comparisons.is_empty() {
                table.add(name, number, Vec::new(), rule.answer)?;
            }
            for comparisons in &rule.comparisons {
                table.add(name, number, comparisons.clone(), rule.answer)?;
            }
            // What is in memory cannot be compared: then who is to be refused something is refused all of it.
            let is_open = matches!(default & ANSWER_MASK, ALLOW | LOG);
            if let Some((multiplexer, call)) = multiplexed(architecture, name)
                && (rule.comparisons.is_empty() || is_open)
            {
                let is_it = Comparison { argument: 0, operator: Operator::Equal, value: call };
                table.add(name, multiplexer, vec![is_it], rule.answer)?;
            }
        }
    }
    for judged in table.calls.values_mut() {
        if let Judged::When(rules) = judged {
            rules.sort_by_key(|(comparisons, _)| comparisons.iter().map(rank).collect::<Vec<_>>());
        }
    }
    Ok(table)
}

impl Table {
    /// As libseccomp has it: what is always so counts before what is so sometimes, and the first of several.
    fn add(&mut self, name: &str, number: u32, comparisons: Vec<Comparison>, answer: u32) -> Result<(), String> {
        let judged = self.calls.entry(number).or_insert_with(|| Judged::When(Vec::new()));
        match judged {
            Judged::Always(_) => {}
            _ if comparisons.is_empty() => *judged = Judged::Always(answer),
            Judged::When(rules) => match rules.iter().find(|(known, _)| *known == comparisons) {
                Some((_, known)) if *known != answer => {
                    return Err(format!("syscall {name}: two actions for the same arguments"));
                }
                Some(_) => {}
                None => rules.push((comparisons, answer)),
            },
        }
        Ok(())
    }
}

/// Of several rules that hold for a call, libseccomp has the one count that is about later arguments, and then the closer one.
fn rank(comparison: &Comparison) -> (u32, u32, u64) {
    let (group, closeness) = match comparison.operator {
        Operator::Equal | Operator::Different | Operator::EqualIn(_) => (0, u64::MAX - comparison.value),
        Operator::Less | Operator::LessOrEqual => (1, comparison.value),
        Operator::Greater | Operator::GreaterOrEqual => (2, u64::MAX - comparison.value),
    };
    (u32::MAX - comparison.argument, group, closeness)
}

/// Old programs make some calls through another one, whose first argument says which (linux/net.h, linux/ipc.h).
#[cfg(target_arch = "x86_64")]
fn multiplexed(architecture: Architecture, name: &str) -> Option<(u32, u64)> {
    const SOCKETS: &str = "socket bind connect listen accept getsockname getpeername socketpair send recv sendto recvfrom shutdown \
                           setsockopt getsockopt sendmsg recvmsg accept4 recvmmsg sendmmsg";
    const SOCKETCALL: u32 = 102;
    const IPC: u32 = 117;
    if architecture != Architecture::X86 {
        return None;
    }
    if let Some(number) = SOCKETS.split_whitespace().position(|known| known == name) {
        return Some((SOCKETCALL, number as u64 + 1));
    }
    let number = match name {
        "semop" => 1,
        "semget" => 2,
        "semctl" => 3,
        "semtimedop" => 4,
        "msgsnd" => 11,
        "msgrcv" => 12,
        "msgget" => 13,
        "msgctl" => 14,
        "shmat" => 21,
        "shmdt" => 22,
        "shmget" => 23,
        "shmctl" => 24,
        _ => return None,
    };
    Some((IPC, number))
}

#[cfg(not(target_arch = "x86_64"))]
fn multiplexed(_: Architecture, _: &str) -> Option<(u32, u64)> {
    None
}

/// Judges the programs of one architecture.
fn part(profile: &Profile, table: &Table, default: u32, architecture: Architecture) -> Vec<sock_filter> {
    let unknown = instruction(RETURN, FAIL | libc::ENOSYS as u32);
    let mut part = vec![instruction(LOAD, NUMBER_OFFSET)];
    #[cfg(target_arch = "x86_64")]
    if architecture == Architecture::Own {
        // Hardly a kernel has x32; that it has none is what programs are told.
        let answer = if profile.knows_x32 { unknown.clone() } else { instruction(RETURN, KILL_PROCESS) };
        part.extend([branch(IF_NOT_LESS, X32, 0, 1), answer]);
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = (profile, architecture);
    // Calls that are newer than the profile are not there, so that programs take the older ones (runc, `patchbpf`).
    if let Some(highest) = table.highest.filter(|_| !matches!(default & ANSWER_MASK, ALLOW | LOG | TRACE)) {
        part.extend([branch(IF_GREATER, highest, 0, 1), unknown]);
    }
    let wide = architecture == Architecture::Own;
    for (number, judged) in &table.calls {
        let answers = match judged {
            Judged::Always(answer) => vec![instruction(RETURN, *answer)],
            Judged::When(rules) => {
                let mut answers: Vec<_> = rules.iter().flat_map(|(all, answer)| rule(all, *answer, wide)).collect();
                answers.push(instruction(RETURN, default));
                answers
            }
        };
        match u8::try_from(answers.len()) {
            Ok(length) => part.push(branch(IF_EQUAL, *number, 0, length)),
            Err(_) => part.extend([branch(IF_EQUAL, *number, 1, 0), instruction(JUMP, length(&answers))]),
        }
        part.extend(answers);
    }
    part.push(instruction(RETURN, default));
    part
}

fn length(program: &[sock_filter]) -> u32 {
    u32::try_from(program.len()).unwrap_or(u32::MAX)
}

/// Where a step goes on.
#[derive(Clone, Copy)]
enum To {
    /// To the step that follows.
    Next,
    /// To what follows the comparison, which holds.
    Met,
    /// To what follows the rule, which does not hold.
    Failed,
}

type Step = (u16, u32, To, To);

/// Answers if all comparisons hold, and goes on behind its end if not.
fn rule(comparisons: &[Comparison], answer: u32, wide: bool) -> Vec<sock_filter> {
    let steps: Vec<Vec<Step>> = comparisons.iter().map(|one| steps(one, wide)).collect();
    // The answer is behind the last one.
    let end = steps.iter().map(Vec::len).sum::<usize>() + 1;
    let mut program = Vec::with_capacity(end);
    for steps in steps {
        let met = program.len() + steps.len();
        for (code, k, holds, else_) in steps {
            let after = program.len() + 1;
            let skip = |to: To| match to {
                To::Next => 0,
                To::Met => (met - after) as u8,
                To::Failed => (end - after) as u8,
            };
            program.push(branch(code, k, skip(holds), skip(else_)));
        }
    }
    program.push(instruction(RETURN, answer));
    program
}

/// Compares an argument of 64 bits in two halves, as the machine has them; those of 32-bit programs have one (`wide` is false).
fn steps(comparison: &Comparison, wide: bool) -> Vec<Step> {
    use To::{Failed, Met, Next};
    let low_offset = FIRST_ARGUMENT_OFFSET + 8 * comparison.argument;
    let (high, low) = ((comparison.value >> 32) as u32, comparison.value as u32);
    let load = |offset| (LOAD, offset, Next, Next);
    let (upper, lower): (Vec<Step>, Vec<Step>) = match comparison.operator {
        Operator::Equal => (vec![(IF_EQUAL, high, Next, Failed)], vec![(IF_EQUAL, low, Met, Failed)]),
        Operator::Different => (vec![(IF_EQUAL, high, Next, Met)], vec![(IF_EQUAL, low, Failed, Met)]),
        Operator::Greater => {
            (vec![(IF_GREATER, high, Met, Next), (IF_EQUAL, high, Next, Failed)], vec![(IF_GREATER, low, Met, Failed)])
        }
        Operator::GreaterOrEqual => {
            (vec![(IF_GREATER, high, Met, Next), (IF_EQUAL, high, Next, Failed)], vec![(IF_NOT_LESS, low, Met, Failed)])
        }
        Operator::Less => {
            (vec![(IF_GREATER, high, Failed, Next), (IF_EQUAL, high, Next, Met)], vec![(IF_NOT_LESS, low, Failed, Met)])
        }
        Operator::LessOrEqual => {
            (vec![(IF_GREATER, high, Failed, Next), (IF_EQUAL, high, Next, Met)], vec![(IF_GREATER, low, Failed, Met)])
        }
        Operator::EqualIn(mask) => (
            vec![(AND, (mask >> 32) as u32, Next, Next), (IF_EQUAL, high, Next, Failed)],
            vec![(AND, mask as u32, Next, Next), (IF_EQUAL, low, Met, Failed)],
        ),
    };
    // The machine's words are in the processor's order, and all that containers run on have the low one first.
    let mut steps = if wide { vec![load(low_offset + 4)] } else { Vec::new() };
    steps.extend(upper.into_iter().filter(|_| wide));
    steps.push(load(low_offset));
    steps.extend(lower);
    steps
}

#[cfg(test)]
mod tests;
