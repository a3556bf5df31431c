//! What podman tells of the machine, beside what docker tells, too.

use std::path::Path;

use dhow_template::{Field, Value};

use super::{named, text};
use crate::commands::info::operating_system;

/// What the kernel tells of processors, and the most that is read of it, in bytes.
const STATISTICS: (&str, usize) = ("/proc/stat", 1 << 20);

/// Memory, disk and time, as they are now.
pub(super) struct Machine {
    pub(super) memory_free_bytes: i64,
    pub(super) swap_bytes: i64,
    pub(super) swap_free_bytes: i64,
    pub(super) disk_bytes: i64,
    pub(super) disk_used_bytes: i64,
    up_seconds: i64,
}

impl Machine {
    /// `root` is on the disk that is meant. What cannot be found out is 0.
    pub(super) fn gather(root: &Path) -> Self {
        let system = rustix::system::sysinfo();
        let bytes = |units: u64| whole(units.saturating_mul(u64::from(system.mem_unit)));
        let disk = root.ancestors().find_map(|folder| rustix::fs::statvfs(folder).ok());
        let (size, free) = disk.map_or((0, 0), |disk| {
            (disk.f_blocks.saturating_mul(disk.f_frsize), disk.f_bfree.saturating_mul(disk.f_frsize))
        });
        Self {
            memory_free_bytes: bytes(system.freeram),
            swap_bytes: bytes(system.totalswap),
            swap_free_bytes: bytes(system.freeswap),
            disk_bytes: whole(size),
            disk_used_bytes: whole(size.saturating_sub(free)),
            up_seconds: system.uptime,
        }
    }

    /// For how long the machine has been running, in podman's words.
    pub(super) fn uptime(&self) -> String {
        up_for(self.up_seconds)
    }
}

/// What the processors did since the machine was started, in percent.
pub(super) fn processors() -> Value {
    let statistics = dhow_base::fs::read_limited(Path::new(STATISTICS.0), STATISTICS.1 as u64).unwrap_or_default();
    let [user, system, idle] = shares(&String::from_utf8_lossy(&statistics));
    let fields = vec![
        named("userPercent", "UserPercent", Value::Float(user)),
        named("systemPercent", "SystemPercent", Value::Float(system)),
        named("idlePercent", "IdlePercent", Value::Float(idle)),
    ];
    Value::pointer("define.CPUUsage", fields)
}

/// What the system calls itself.
pub(super) fn distribution() -> Value {
    let said = |what| operating_system(what).unwrap_or_default();
    let optional = |key, name, what| Field { key, ..Field::optional(name, Value::from(said(what))) };
    let unknown = || "unknown".to_owned();
    let fields = vec![
        text("distribution", "Distribution", &operating_system("ID").unwrap_or_else(unknown)),
        optional("variant", "Variant", "VARIANT_ID"),
        text("version", "Version", &operating_system("VERSION_ID").unwrap_or_else(unknown)),
        optional("codename", "Codename", "VERSION_CODENAME"),
    ];
    Value::structure("define.DistributionInfo", fields)
}

fn whole(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// `1h 2m 3.00s`, and about how many days that is when it is more than an hour.
fn up_for(seconds: i64) -> String {
    let (hours, minutes, rest) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    if hours == 0 {
        return format!("{hours}h {minutes}m {rest}.00s");
    }
    // Of whole hours, as podman counts; rounded to hundredths by whole numbers.
    let hundredths = (hours * 100 + 12) / 24;
    format!("{hours}h {minutes}m {rest}.00s (Approximately {}.{:02} days)", hundredths / 100, hundredths % 100)
}

/// How much of the time all processors worked for programs, for the kernel, and not at all, to hundredths of a percent.
fn shares(statistics: &str) -> [f64; 3] {
    let line = statistics.lines().find_map(|line| line.strip_prefix("cpu "));
    let ticks: Vec<u32> =
        line.unwrap_or_default().split_whitespace().map(|tick| tick.parse().unwrap_or(u32::MAX)).collect();
    let [user, nice, system, idle, ..] = ticks.as_slice() else { return [0.0; 3] };
    let parts = [f64::from(*user) + f64::from(*nice), f64::from(*system), f64::from(*idle)];
    let all: f64 = parts.iter().sum();
    parts.map(|part| if all > 0.0 { (part / all * 10_000.0).round() / 100.0 } else { 0.0 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_read_as_podman_has_them() {
        assert_eq!(up_for(65), "0h 1m 5.00s");
        assert_eq!(up_for(8 * 3600 + 16 * 60 + 53), "8h 16m 53.00s (Approximately 0.33 days)");
        assert_eq!(up_for(86_400 * 12 + 3_600), "289h 0m 0.00s (Approximately 12.04 days)");
    }

    #[test]
    fn shares_of_processors() {
        assert_eq!(shares("cpu  50 10 20 120 7 8\ncpu0 1 2 3 4\n"), [30.0, 10.0, 60.0]);
        assert_eq!(shares(""), [0.0; 3]);
        assert_eq!(shares("cpu  0 0 0 0"), [0.0; 3]);
    }
}
