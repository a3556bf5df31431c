//! Docker's progress bar.

use std::time::Duration;

use crate::format::units::human_size;

/// Terminals up to this width show numbers only.
const BAR_NEEDS_MORE_THAN: usize = 110;

/// Terminals up to this width show no remaining time.
const TIME_NEEDS_MORE_THAN: usize = 50;

/// Terminals up to this width show no rate, which docker does not have.
const RATE_NEEDS_MORE_THAN: usize = 70;

/// Characters between the brackets.
const BAR_WIDTH: u64 = 50;

/// What moved, and since when: what an earlier run left does not tell how fast this one is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    /// Bytes that were there at the first look.
    pub(crate) found: u64,
    /// Time since then.
    pub(crate) elapsed: Duration,
}

/// The bar and its numbers: `[=====>    ]  36.86kB/3.624MB 299.7kB/s 12s`, as much of it as the terminal has room for.
pub(crate) fn render(done: u64, total: u64, columns: usize, pace: Pace) -> String {
    let mut text = String::new();
    if columns > BAR_NEEDS_MORE_THAN && total > 0 {
        let percent = u128::from(done) * 100 / u128::from(total);
        let filled = u64::try_from(percent / 2).unwrap_or(BAR_WIDTH).min(BAR_WIDTH);
        text.push('[');
        text.extend((0..filled).map(|_| '='));
        text.push('>');
        text.extend((filled..BAR_WIDTH).map(|_| ' '));
        text.push_str("] ");
    }
    let numbers = if total == 0 || done > total {
        format!("{:>8}", human_size(done))
    } else {
        format!("{:>8}/{}", human_size(done), human_size(total))
    };
    text.push_str(&numbers);
    let moved = done.saturating_sub(pace.found);
    if moved == 0 || done >= total {
        return text;
    }
    let milliseconds = pace.elapsed.as_millis();
    if columns > RATE_NEEDS_MORE_THAN && milliseconds > 0 {
        let rate = u64::try_from(u128::from(moved) * 1000 / milliseconds).unwrap_or(u64::MAX);
        text.extend([" ", &human_size(rate), "/s"]);
    }
    if columns > TIME_NEEDS_MORE_THAN {
        text.push(' ');
        text.push_str(&remaining(moved, total - done, pace.elapsed));
    }
    text
}

/// The time left if bytes keep coming as they came: `12s`, `1m5s`.
fn remaining(moved: u64, missing: u64, elapsed: Duration) -> String {
    let left = elapsed.as_nanos() / u128::from(moved) * u128::from(missing);
    let seconds = (left + 500_000_000) / 1_000_000_000;
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    match (hours, minutes) {
        (0, 0) => format!("{seconds}s"),
        (0, minutes) => format!("{minutes}m{seconds}s"),
        (hours, minutes) => format!("{hours}h{minutes}m{seconds}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(elapsed: Duration) -> Pace {
        Pace { found: 0, elapsed }
    }

    #[test]
    fn wide_terminals_get_a_bar() {
        let bar = render(36_860, 3_624_000, 120, after(Duration::from_millis(123)));
        assert_eq!(bar, "[>                                                  ]  36.86kB/3.624MB 299.7kB/s 12s");
        let bar = render(3_624_000, 3_624_000, 120, after(Duration::ZERO));
        assert_eq!(bar, "[==================================================>]  3.624MB/3.624MB");
    }

    #[test]
    fn narrow_terminals_get_numbers() {
        assert_eq!(render(36_860, 3_624_000, 40, after(Duration::ZERO)), " 36.86kB/3.624MB");
        assert_eq!(render(36_860, 0, 40, after(Duration::ZERO)), " 36.86kB");
        assert_eq!(render(1024, 7_806_000, 80, after(Duration::from_micros(10))), " 1.024kB/7.806MB 0s");
        assert_eq!(render(1_000_000, 3_000_000, 60, after(Duration::from_secs(1))), "     1MB/3MB 2s");
    }

    #[test]
    fn what_was_there_already_is_no_speed() {
        let pace = Pace { found: 2_000_000, elapsed: Duration::from_secs(1) };
        assert_eq!(render(2_000_000, 3_000_000, 80, pace), "     2MB/3MB");
        assert_eq!(render(2_250_000, 3_000_000, 80, pace), "  2.25MB/3MB 250kB/s 3s");
    }

    #[test]
    fn long_times() {
        assert_eq!(remaining(1, 65, Duration::from_secs(1)), "1m5s");
        assert_eq!(remaining(1, 3661, Duration::from_secs(1)), "1h1m1s");
    }
}
