//! System calls of programs for the processor's 32-bit mode, as docker lets them run on x86: a filter of their own beside the other one.
//!
//! The calls are those that everybody may use, under their numbers there, with the old forms that such programs use. Those that take a
//! capability stay shut to them. `socketcall` says what it is about in memory, out of a filter's sight, as with docker.

use seccompiler::{BpfProgram, sock_filter};

use super::bpf::{
    ALLOW, ARCHITECTURE_OFFSET, FAIL, FIRST_ARGUMENT_OFFSET, IF_ANY_BIT, IF_EQUAL, IF_GREATER, JUMP, LOAD,
    NUMBER_OFFSET, RETURN, branch, instruction,
};
use super::default_profile::PERSONALITIES;
use super::numbers::{Architecture, Numbers};

/// The kernel's number for the architecture (audit.h, `AUDIT_ARCH_I386`).
pub(super) const ARCHITECTURE: u32 = 0x4000_0003;

/// Calls that everybody may use.
const OPEN: &str = "\
    restart_syscall exit fork read write open close waitpid creat link unlink execve chdir time mknod chmod lchown lseek getpid setuid \
    getuid ptrace alarm pause utime access nice sync kill rename mkdir rmdir dup pipe times brk setgid getgid geteuid getegid ioctl \
    fcntl setpgid umask dup2 getppid getpgrp setsid setreuid setregid setrlimit getrlimit getrusage gettimeofday getgroups setgroups \
    select symlink readlink mmap munmap truncate ftruncate fchmod fchown getpriority setpriority statfs fstatfs socketcall setitimer \
    getitimer stat lstat fstat wait4 sysinfo ipc fsync sigreturn uname modify_ldt adjtimex mprotect sigprocmask getpgid fchdir \
    setfsuid setfsgid _llseek getdents _newselect flock msync readv writev getsid fdatasync mlock munlock mlockall munlockall \
    sched_setparam sched_getparam sched_setscheduler sched_getscheduler sched_yield sched_get_priority_max sched_get_priority_min \
    sched_rr_get_interval nanosleep mremap setresuid getresuid poll setresgid getresgid prctl rt_sigreturn rt_sigaction rt_sigprocmask \
    rt_sigpending rt_sigtimedwait rt_sigqueueinfo rt_sigsuspend pread64 pwrite64 chown getcwd capget capset sigaltstack sendfile vfork \
    ugetrlimit mmap2 truncate64 ftruncate64 stat64 lstat64 fstat64 lchown32 getuid32 getgid32 geteuid32 getegid32 setreuid32 \
    setregid32 getgroups32 setgroups32 fchown32 setresuid32 getresuid32 setresgid32 getresgid32 chown32 setuid32 setgid32 setfsuid32 \
    setfsgid32 mincore madvise getdents64 fcntl64 gettid readahead setxattr lsetxattr fsetxattr getxattr lgetxattr fgetxattr listxattr \
    llistxattr flistxattr removexattr lremovexattr fremovexattr tkill sendfile64 futex sched_setaffinity sched_getaffinity \
    set_thread_area get_thread_area io_setup io_destroy io_getevents io_submit io_cancel fadvise64 exit_group epoll_create epoll_ctl \
    epoll_wait remap_file_pages set_tid_address timer_create timer_settime timer_gettime timer_getoverrun timer_delete clock_gettime \
    clock_getres clock_nanosleep statfs64 fstatfs64 tgkill utimes fadvise64_64 mq_open mq_unlink mq_timedsend mq_timedreceive \
    mq_notify mq_getsetattr waitid ioprio_set ioprio_get inotify_init inotify_add_watch inotify_rm_watch openat mkdirat mknodat \
    fchownat futimesat fstatat64 unlinkat renameat linkat symlinkat readlinkat fchmodat faccessat pselect6 ppoll set_robust_list \
    get_robust_list splice sync_file_range tee vmsplice getcpu epoll_pwait utimensat signalfd timerfd_create eventfd fallocate \
    timerfd_settime timerfd_gettime signalfd4 eventfd2 epoll_create1 dup3 pipe2 inotify_init1 preadv pwritev rt_tgsigqueueinfo \
    recvmmsg fanotify_mark prlimit64 name_to_handle_at syncfs sendmmsg process_vm_readv process_vm_writev sched_setattr sched_getattr \
    renameat2 seccomp getrandom memfd_create execveat socketpair bind connect listen accept4 getsockopt setsockopt getsockname \
    getpeername sendto sendmsg recvfrom recvmsg shutdown membarrier mlock2 copy_file_range preadv2 pwritev2 pkey_mprotect pkey_alloc \
    pkey_free statx arch_prctl io_pgetevents rseq semget semctl shmget shmctl shmat shmdt msgget msgsnd msgrcv msgctl clock_gettime64 \
    clock_adjtime64 clock_getres_time64 clock_nanosleep_time64 timer_gettime64 timer_settime64 timerfd_gettime64 timerfd_settime64 \
    utimensat_time64 pselect6_time64 ppoll_time64 io_pgetevents_time64 recvmmsg_time64 mq_timedsend_time64 mq_timedreceive_time64 \
    semtimedop_time64 rt_sigtimedwait_time64 futex_time64 sched_rr_get_interval_time64 pidfd_send_signal pidfd_open close_range \
    openat2 pidfd_getfd faccessat2 epoll_pwait2 landlock_create_ruleset landlock_add_rule landlock_restrict_self memfd_secret \
    process_mrelease futex_waitv";

const CLONE: u32 = 120;
const CLONE3: u32 = 435;
const PERSONALITY: u32 = 136;
const SOCKET: u32 = 359;

/// The same filter, which does not judge 32-bit programs: `judge` does.
pub(super) fn beside(filter: BpfProgram, judge: Vec<sock_filter>) -> BpfProgram {
    let length = u32::try_from(judge.len()).unwrap_or(u32::MAX);
    let mut program = vec![
        instruction(LOAD, ARCHITECTURE_OFFSET),
        branch(IF_EQUAL, ARCHITECTURE, 1, 0),
        // The other filter loads what it needs itself.
        instruction(JUMP, length),
    ];
    program.extend(judge);
    program.extend(filter);
    program
}

/// Lets everything pass: another filter judges.
pub(super) fn anything() -> Vec<sock_filter> {
    vec![instruction(RETURN, ALLOW)]
}

/// Judges the calls of a 32-bit program; `namespaces` are flags of clone(2) that it may not use.
pub(super) fn calls(namespaces: u32) -> Vec<sock_filter> {
    let (allow, refuse) = (instruction(RETURN, ALLOW), instruction(RETURN, FAIL | libc::EPERM as u32));
    let mut program = vec![instruction(LOAD, NUMBER_OFFSET)];
    let open = open();
    let newest = open.iter().copied().max().unwrap_or(u32::MAX);
    program.extend([branch(IF_GREATER, newest, 0, 1), instruction(RETURN, FAIL | libc::ENOSYS as u32)]);
    for number in open {
        program.extend([branch(IF_EQUAL, number, 0, 1), allow.clone()]);
    }
    program.extend([branch(IF_EQUAL, CLONE3, 0, 1), instruction(RETURN, FAIL | libc::ENOSYS as u32)]);
    let first = instruction(LOAD, FIRST_ARGUMENT_OFFSET);
    program.extend([branch(IF_EQUAL, CLONE, 0, 4), first.clone()]);
    program.extend([branch(IF_ANY_BIT, namespaces, 0, 1), refuse.clone(), allow.clone()]);
    program.extend([branch(IF_EQUAL, SOCKET, 0, 4), first.clone()]);
    program.extend([branch(IF_EQUAL, libc::AF_VSOCK as u32, 0, 1), refuse.clone(), allow.clone()]);
    program.extend([branch(IF_EQUAL, PERSONALITY, 0, (PERSONALITIES.len() * 2 + 2) as u8), first]);
    for personality in PERSONALITIES {
        program.extend([branch(IF_EQUAL, personality, 0, 1), allow.clone()]);
    }
    program.extend([refuse.clone(), refuse]);
    program
}

/// The numbers of [`OPEN`].
fn open() -> Vec<u32> {
    let numbers = Numbers::of(Architecture::X86);
    OPEN.split_whitespace().filter_map(|name| numbers.get(name)).collect()
}

#[cfg(test)]
mod tests {
    use super::super::bpf::answer;
    use super::*;

    #[test]
    fn calls_are_judged_by_their_own_numbers() {
        let other = vec![instruction(RETURN, 42)];
        let program = beside(other, calls(0x1000_0000));
        let check = |number, first: u32, expected| {
            assert_eq!(answer(&program, ARCHITECTURE, number, &[first.into()]), expected, "{number} {first:#x}");
        };
        let (refused, unknown) = (FAIL | libc::EPERM as u32, FAIL | libc::ENOSYS as u32);
        // execve, exit, mmap2, socketcall, sync; then mount, reboot and init_module.
        for number in [11, 1, 192, 102, 36] {
            check(number, 0, ALLOW);
        }
        for number in [21, 88, 128] {
            check(number, 0, refused);
        }
        check(CLONE3, 0, unknown);
        check(5000, 0, unknown);
        check(CLONE, 0x11, ALLOW);
        check(CLONE, 0x1000_0011, refused);
        check(SOCKET, 2, ALLOW);
        check(SOCKET, libc::AF_VSOCK as u32, refused);
        check(PERSONALITY, 8, ALLOW);
        check(PERSONALITY, 0xffff_ffff, ALLOW);
        check(PERSONALITY, 1, refused);
        assert_eq!(answer(&program, 0xc000_003e, 11, &[]), 42);
        assert_eq!(answer(&beside(vec![instruction(RETURN, 42)], anything()), ARCHITECTURE, 88, &[]), ALLOW);
    }

    #[test]
    fn all_calls_are_known() {
        assert_eq!(open().len(), OPEN.split_whitespace().count());
    }
}
