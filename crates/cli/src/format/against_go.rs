//! Sizes and ages, compared with a Go program for many values by chance.
//!
//! The program knows go-units' rules by the words of their documentation; the arithmetic and `%g` are Go's own.

use dhow_testkit::forgetful::{Random, chance};
use dhow_testkit::peers::Go;

use super::{ago, units};

const QUESTIONS: usize = 20_000;

const PROGRAM: &str = r#"
package main

import (
	"bufio"
	"fmt"
	"os"
	"time"
)

func size(bytes float64, format string) string {
	units := []string{"B", "kB", "MB", "GB", "TB", "PB", "EB", "ZB", "YB"}
	unit := 0
	for bytes >= 1000 && unit < len(units)-1 {
		bytes /= 1000
		unit++
	}
	return fmt.Sprintf(format, bytes, units[unit])
}

func age(d time.Duration) string {
	hours := int(d.Hours() + 0.5)
	switch seconds, minutes := int(d.Seconds()), int(d.Minutes()); {
	case seconds < 1:
		return "Less than a second"
	case seconds == 1:
		return "1 second"
	case seconds < 60:
		return fmt.Sprintf("%d seconds", seconds)
	case minutes == 1:
		return "About a minute"
	case minutes < 60:
		return fmt.Sprintf("%d minutes", minutes)
	case hours == 1:
		return "About an hour"
	case hours < 48:
		return fmt.Sprintf("%d hours", hours)
	case hours < 336:
		return fmt.Sprintf("%d days", hours/24)
	case hours < 1440:
		return fmt.Sprintf("%d weeks", hours/168)
	case hours < 17520:
		return fmt.Sprintf("%d months", hours/720)
	}
	return fmt.Sprintf("%d years", int(d.Hours())/8760)
}

func main() {
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		var bytes uint64
		var then, now int64
		fmt.Sscan(lines.Text(), &bytes, &then, &now)
		passed := time.Unix(0, now).Sub(time.Unix(0, then))
		fmt.Printf("%s %s %s ago\n", size(float64(bytes), "%.3g%s"), size(float64(bytes), "%.4g%s"), age(passed))
	}
}
"#;

#[test]
fn sizes_and_ages_are_those_of_go() {
    let go = match Go::compile(PROGRAM) {
        Ok(go) => go,
        Err(error) => {
            println!("skipped: {error}");
            return;
        }
    };
    let mut random = chance();
    let asked: Vec<(u64, i64, i64)> = (0..QUESTIONS).map(|_| question(&mut random)).collect();
    let questions: Vec<String> = asked.iter().map(|(bytes, then, now)| format!("{bytes} {then} {now}")).collect();
    let answers = go.answers(&questions).expect("answers");
    for ((bytes, then, now), answer) in asked.into_iter().zip(answers) {
        let age = ago::ago(then.into(), now.into());
        let said = format!("{} {} {age}", units::short_size(bytes), units::human_size(bytes));
        assert_eq!(said, answer, "{bytes} bytes, from {then} to {now}");
    }
}

/// A size of any magnitude, near a power of ten as often as not, and two points in time as far apart as that.
fn question(random: &mut Random) -> (u64, i64, i64) {
    /// From each unit to the next: nanoseconds, seconds, minutes, hours, days, weeks; then fortnights and years or so.
    const STEPS: [u64; 8] = [1, 1_000_000_000, 60, 60, 24, 7, 2, 26];
    let any = random.number() >> random.below(64);
    let power = 10_u64.pow(u32::try_from(random.below(20)).expect("small"));
    let bytes = if random.coin() {
        any
    } else {
        power.saturating_add(random.below(power / 50)).wrapping_sub(random.below(power / 50))
    };
    // Ages near a border between two units.
    let unit: u64 = STEPS[..=usize::try_from(random.below(8)).expect("small")].iter().product();
    let halves = random.below(40) * (unit / 2);
    let passed = halves.saturating_add(random.below(4)).wrapping_sub(random.below(4));
    let passed = i64::try_from(passed).unwrap_or(-1);
    let then = i64::try_from(random.below(1 << 61)).expect("in range");
    (bytes, then, then.saturating_add(passed))
}
