//! The kernel's machine for filters of system calls (seccomp(2)): where it finds what it judges, its instructions, its answers.

use seccompiler::sock_filter;

/// Where a filter finds what it judges (`struct seccomp_data`).
pub(super) const NUMBER_OFFSET: u32 = 0;
pub(super) const ARCHITECTURE_OFFSET: u32 = 4;
pub(super) const FIRST_ARGUMENT_OFFSET: u32 = 16;

/// Instructions (bpf_common.h).
pub(super) const LOAD: u16 = 0x20;
pub(super) const AND: u16 = 0x54;
pub(super) const JUMP: u16 = 0x05;
pub(super) const IF_EQUAL: u16 = 0x15;
pub(super) const IF_GREATER: u16 = 0x25;
pub(super) const IF_NOT_LESS: u16 = 0x35;
pub(super) const IF_ANY_BIT: u16 = 0x45;
pub(super) const RETURN: u16 = 0x06;

/// Answers: what to do with the call. The low 16 bits of some are a number beside.
pub(super) const KILL_PROCESS: u32 = 0x8000_0000;
pub(super) const KILL_THREAD: u32 = 0;
pub(super) const TRAP: u32 = 0x0003_0000;
pub(super) const FAIL: u32 = 0x0005_0000;
pub(super) const TRACE: u32 = 0x7ff0_0000;
pub(super) const LOG: u32 = 0x7ffc_0000;
pub(super) const ALLOW: u32 = 0x7fff_0000;

pub(super) fn instruction(code: u16, k: u32) -> sock_filter {
    sock_filter { code, jt: 0, jf: 0, k }
}

/// Skips so many instructions if it holds, and so many if not.
pub(super) fn branch(code: u16, k: u32, jt: u8, jf: u8) -> sock_filter {
    sock_filter { code, jt, jf, k }
}

/// What a filter answers to a call.
#[cfg(test)]
pub(super) fn answer(program: &[sock_filter], architecture: u32, number: u32, arguments: &[u64]) -> u32 {
    let mut words = vec![number, architecture, 0, 0];
    let arguments = arguments.iter().copied().chain(std::iter::repeat(0)).take(6);
    words.extend(arguments.flat_map(|argument| [argument as u32, (argument >> 32) as u32]));
    let (mut at, mut loaded) = (0, 0);
    for _ in 0..program.len() {
        let sock_filter { code, jt, jf, k } = program[at].clone();
        at += 1;
        let skip = |holds: bool| usize::from(if holds { jt } else { jf });
        match code {
            LOAD => loaded = words[k as usize / 4],
            AND => loaded &= k,
            JUMP => at += k as usize,
            IF_EQUAL => at += skip(loaded == k),
            IF_GREATER => at += skip(loaded > k),
            IF_NOT_LESS => at += skip(loaded >= k),
            IF_ANY_BIT => at += skip(loaded & k != 0),
            RETURN => return k,
            _ => panic!("unknown instruction {code:#x}"),
        }
    }
    panic!("it does not end");
}
