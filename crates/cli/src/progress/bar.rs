//! Docker's progress bar.

use std::time::Duration;

use crate::format::units::human_size;

/// Terminals up to this width show numbers only.
const BAR_NEEDS_MORE_THAN: usize = 110;

/// Terminals up to this width show no remaining time.
const TIME_NEEDS_MORE_THAN: usize = 50;

/// Characters between the brackets.
const BAR_WIDTH: u64 = 50;

/// The bar and its numbers: `[=====>    ]  36.86kB/3.624MB 12s`, as much of it as the terminal has room for.
pub(crate) fn render(done: u64, total: u64, columns: usize, elapsed: Duration) -> String {
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
    if columns > TIME_NEEDS_MORE_THAN && done > 0 && done < total {
        text.push(' ');
        text.push_str(&remaining(done, total, elapsed));
    }
    text
}

/// The time left if bytes keep coming as they came: `12s`, `1m5s`.
fn remaining(done: u64, total: u64, elapsed: Duration) -> String {
    let left = elapsed.as_nanos() / u128::from(done) * u128::from(total - done);
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

    #[test]
    fn wide_terminals_get_a_bar() {
        let bar = render(36_860, 3_624_000, 120, Duration::from_millis(123));
        assert_eq!(bar, "[>                                                  ]  36.86kB/3.624MB 12s");
        let bar = render(3_624_000, 3_624_000, 120, Duration::ZERO);
        assert_eq!(bar, "[==================================================>]  3.624MB/3.624MB");
    }

    #[test]
    fn narrow_terminals_get_numbers() {
        assert_eq!(render(36_860, 3_624_000, 40, Duration::ZERO), " 36.86kB/3.624MB");
        assert_eq!(render(36_860, 0, 40, Duration::ZERO), " 36.86kB");
        assert_eq!(render(1024, 7_806_000, 80, Duration::from_micros(10)), " 1.024kB/7.806MB 0s");
    }

    #[test]
    fn long_times() {
        assert_eq!(remaining(1, 66, Duration::from_secs(1)), "1m5s");
        assert_eq!(remaining(1, 3662, Duration::from_secs(1)), "1h1m1s");
    }
}
