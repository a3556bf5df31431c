//! What a container may take, and how each kind of hierarchy is told (cgroups(7), the kernel's `cgroup-v1` and `cgroup-v2`).

use serde::{Deserialize, Serialize};

/// A period that processor time is counted in when nobody says, in microseconds (docker's).
const PERIOD_MICROSECONDS: u64 = 100_000;

/// Shares of processors in old hierarchies, and the least and most weight in the unified one.
const SHARES: (u64, u64) = (2, 262_144);
const WEIGHTS: (u64, u64) = (1, 10_000);

/// What a container may take at most; nothing stands for no limit.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Limits {
    /// Bytes of memory.
    pub memory_bytes: Option<u64>,
    /// Bytes of memory and swap space together; -1 for any. Twice the memory when nobody says.
    pub swap_bytes: Option<i64>,
    /// How readily its memory goes to swap space, from 0 to 100.
    pub swappiness: Option<u8>,
    /// Bytes of memory that it is pushed back to when the machine runs out of it.
    pub reservation_bytes: Option<u64>,
    /// Whether its processes wait for memory instead of being killed for want of it.
    pub oom_kill_disabled: bool,
    /// Time of processors, in billionths of one.
    pub nano_cpus: Option<u64>,
    /// Time of processors relative to others', of which each has 1024 when nobody says.
    pub cpu_shares: Option<u64>,
    /// The period that its time of processors is counted in, in microseconds.
    pub cpu_period: Option<u64>,
    /// Its time of processors in each period, in microseconds; negative for any.
    pub cpu_quota: Option<i64>,
    /// The processors that it runs on, a list as `0-2,4`; empty for all.
    pub cpus: String,
    /// The nodes that its memory is from, likewise.
    pub memory_nodes: String,
    /// Weight of its reading and writing relative to others', from 10 to 1000.
    pub block_weight: Option<u16>,
    /// Processes and threads.
    pub processes: Option<u64>,
}

/// Something to set, with files and their content in the old hierarchies and in the unified one; none where there is no such thing.
pub(super) struct Setting {
    /// Its name in the unified hierarchy.
    pub(super) controller: &'static str,
    /// What a container goes without where it cannot be set.
    pub(super) what: &'static str,
    /// Docker's words for that, where it has some of its own.
    pub(super) discarded: Option<&'static str>,
    /// Whether nobody asked for it.
    pub(super) is_implied: bool,
    pub(super) old: Vec<(&'static str, String)>,
    pub(super) new: Vec<(&'static str, String)>,
}

impl Setting {
    fn of(controller: &'static str, what: &'static str) -> Self {
        Self { controller, what, discarded: None, is_implied: false, old: Vec::new(), new: Vec::new() }
    }

    fn in_old(mut self, file: &'static str, content: impl ToString) -> Self {
        self.old.push((file, content.to_string()));
        self
    }

    fn in_unified(mut self, file: &'static str, content: impl ToString) -> Self {
        self.new.push((file, content.to_string()));
        self
    }

    fn both(self, file: &'static str, content: impl ToString) -> Self {
        let content = content.to_string();
        self.in_old(file, &content).in_unified(file, content)
    }
}

impl Limits {
    /// Whether there are none.
    pub fn are_none(&self) -> bool {
        *self == Self::default()
    }

    /// Bytes of memory and swap space together, as docker has it when nobody says; -1 for any, 0 for no limit.
    pub fn memory_and_swap_bytes(&self) -> i64 {
        let twice = || self.memory_bytes.and_then(|bytes| i64::try_from(bytes.saturating_mul(2)).ok());
        self.swap_bytes.filter(|bytes| *bytes != 0).or_else(twice).unwrap_or(0)
    }

    /// What is to be set, in an order in which each can be; for a group that `gathers`, something in any case.
    pub(super) fn settings(&self, gathers: bool) -> Vec<Setting> {
        let memory = self.memory_bytes.map(|bytes| {
            Setting::of("memory", "a limit of memory")
                .in_old("memory.limit_in_bytes", bytes)
                .in_unified("memory.max", bytes)
        });
        let reservation = self.reservation_bytes.map(|bytes| {
            let setting = Setting::of("memory", "a reservation of memory");
            setting.in_old("memory.soft_limit_in_bytes", bytes).in_unified("memory.low", bytes)
        });
        let swappiness = self.swappiness.map(|number| Setting {
            discarded: Some(
                "Your kernel does not support memory swappiness capabilities or the cgroup is not mounted. Memory swappiness discarded.",
            ),
            ..Setting::of("memory", "").in_old("memory.swappiness", number)
        });
        let waiting = self.oom_kill_disabled.then(|| Setting {
            discarded: Some("Your kernel does not support OomKillDisable. OomKillDisable discarded."),
            ..Setting::of("memory", "").in_old("memory.oom_control", 1)
        });
        let processes = Setting::of("pids", "a limit of processes");
        let processes = match self.processes {
            Some(count) => Some(processes.both("pids.max", count)),
            None => gathers.then(|| Setting { is_implied: true, ..processes.both("pids.max", "max") }),
        };
        let places = [self.shares(), self.time(), self.places(), self.weight(), processes];
        [memory, self.swap(), reservation, swappiness, waiting].into_iter().chain(places).flatten().collect()
    }

    fn swap(&self) -> Option<Setting> {
        let total = self.memory_and_swap_bytes();
        let swap = match u64::try_from(total) {
            Ok(0) => return None,
            Ok(total) => total.saturating_sub(self.memory_bytes.unwrap_or(0)).to_string(),
            Err(_) => "max".to_owned(),
        };
        let setting = Setting::of("memory", "");
        let setting = setting.in_old("memory.memsw.limit_in_bytes", total).in_unified("memory.swap.max", swap);
        // That there is none is no news where nobody asked, or nothing is to be limited.
        let is_implied = self.swap_bytes.is_none_or(|bytes| bytes <= 0);
        let words = "Your kernel does not support swap limit capabilities or the cgroup is not mounted. Memory limited without swap.";
        Some(Setting { is_implied, discarded: Some(words), ..setting })
    }

    fn shares(&self) -> Option<Setting> {
        let shares = self.cpu_shares?;
        // As runc has it: the least share is the least weight, the most the most.
        let of_most = shares.clamp(SHARES.0, SHARES.1) - SHARES.0;
        let weight = WEIGHTS.0 + of_most * (WEIGHTS.1 - WEIGHTS.0) / (SHARES.1 - SHARES.0);
        Some(Setting::of("cpu", "a share of processors").in_old("cpu.shares", shares).in_unified("cpu.weight", weight))
    }

    fn time(&self) -> Option<Setting> {
        let of_nano = |nano: u64| {
            let quota = u128::from(nano) * u128::from(PERIOD_MICROSECONDS) / 1_000_000_000;
            i64::try_from(quota).unwrap_or(i64::MAX)
        };
        let quota = self.nano_cpus.map(of_nano).or(self.cpu_quota);
        if quota.is_none() && self.cpu_period.is_none() {
            return None;
        }
        let period = self.cpu_period.unwrap_or(PERIOD_MICROSECONDS);
        let mut setting = Setting::of("cpu", "a limit of time of processors").in_old("cpu.cfs_period_us", period);
        if let Some(quota) = quota {
            setting = setting.in_old("cpu.cfs_quota_us", quota);
        }
        let most = quota.filter(|quota| *quota > 0).map_or_else(|| "max".to_owned(), |quota| quota.to_string());
        Some(setting.in_unified("cpu.max", format!("{most} {period}")))
    }

    /// The unified hierarchy has weights up to 10000; in the old ones only an elevator (BFQ) has them, docker's.
    fn weight(&self) -> Option<Setting> {
        let weight = self.block_weight?;
        let of_most = u64::from(weight.clamp(10, 1000)) - 10;
        let setting =
            Setting::of("io", "").in_old("blkio.bfq.weight", weight).in_unified("io.weight", 1 + of_most * 9999 / 990);
        let words = "Your kernel does not support Block I/O weight or the cgroup is not mounted. Weight discarded.";
        Some(Setting { discarded: Some(words), ..setting })
    }

    fn places(&self) -> Option<Setting> {
        let mut setting = Setting::of("cpuset", "a choice of processors and memory");
        for (file, list) in [("cpuset.cpus", &self.cpus), ("cpuset.mems", &self.memory_nodes)] {
            if !list.is_empty() {
                setting = setting.both(file, list);
            }
        }
        Some(setting).filter(|setting| !setting.new.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(limits: &Limits) -> (String, String) {
        let text =
            |files: &[(&str, String)]| files.iter().map(|(file, text)| format!("{file}={text} ")).collect::<String>();
        let settings = limits.settings(false);
        let all =
            |pick: fn(&Setting) -> &Vec<(&'static str, String)>| settings.iter().map(|one| text(pick(one))).collect();
        (all(|one| &one.old), all(|one| &one.new))
    }

    #[test]
    fn limits_have_both_forms() {
        let check = |limits: Limits, old: &str, new: &str| {
            let (in_old, in_new) = shown(&limits);
            assert_eq!((in_old.trim_end(), in_new.trim_end()), (old, new));
        };
        let memory = Limits { memory_bytes: Some(64 << 20), ..Limits::default() };
        check(
            memory.clone(),
            "memory.limit_in_bytes=67108864 memory.memsw.limit_in_bytes=134217728",
            "memory.max=67108864 memory.swap.max=67108864",
        );
        check(
            Limits {
                swap_bytes: Some(-1),
                reservation_bytes: Some(8 << 20),
                oom_kill_disabled: true,
                ..memory.clone()
            },
            "memory.limit_in_bytes=67108864 memory.memsw.limit_in_bytes=-1 memory.soft_limit_in_bytes=8388608 \
             memory.oom_control=1",
            "memory.max=67108864 memory.swap.max=max memory.low=8388608",
        );
        check(
            Limits { swap_bytes: Some(64 << 20), ..memory },
            "memory.limit_in_bytes=67108864 memory.memsw.limit_in_bytes=67108864",
            "memory.max=67108864 memory.swap.max=0",
        );
        check(
            Limits { nano_cpus: Some(1_500_000_000), processes: Some(7), ..Limits::default() },
            "cpu.cfs_period_us=100000 cpu.cfs_quota_us=150000 pids.max=7",
            "cpu.max=150000 100000 pids.max=7",
        );
        check(
            Limits { cpu_period: Some(50_000), cpus: "0-1".to_owned(), ..Limits::default() },
            "cpu.cfs_period_us=50000 cpuset.cpus=0-1",
            "cpu.max=max 50000 cpuset.cpus=0-1",
        );
        for (shares, weight) in [(2, 1), (1024, 39), (262_144, 10_000)] {
            let limits = Limits { cpu_shares: Some(shares), ..Limits::default() };
            check(limits, &format!("cpu.shares={shares}"), &format!("cpu.weight={weight}"));
        }
        check(
            Limits { cpu_quota: Some(-1), memory_nodes: "0".to_owned(), ..Limits::default() },
            "cpu.cfs_period_us=100000 cpu.cfs_quota_us=-1 cpuset.mems=0",
            "cpu.max=max 100000 cpuset.mems=0",
        );
        assert!(Limits::default().are_none() && Limits::default().settings(false).is_empty());
    }
}
