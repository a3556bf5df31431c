//! The layouts of dates that docker takes, read as Go's `time.Parse` reads them.

const SECOND: i128 = 1_000_000_000;

/// A layout by Go's example date, `2006-01-02T15:04:05Z07:00`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Layout {
    text: String,
}

/// What is read so far.
#[derive(Debug, Default)]
struct Fields {
    year: i64,
    month: i64,
    day: i64,
    hour: i64,
    minute: i64,
    second: i64,
    nanosecond: i128,
    /// Seconds ahead of UTC.
    offset: Option<i64>,
}

impl Layout {
    /// The layout that docker tries for a text: by the colons in it and by whether it seems to name a zone.
    pub(super) fn of(text: &str) -> Self {
        let has_zone = text.contains(['z', 'Z', '+']) || text.matches('-').count() == 3;
        let mut colons = text.matches(':').count();
        if has_zone && !text.contains(['z', 'Z']) {
            colons = colons.saturating_sub(1);
        }
        let time = match (text.contains('.'), text.contains('T'), colons) {
            (true, _, _) => "T15:04:05.999999999",
            (false, false, _) => "",
            (false, true, 0) => "T15",
            (false, true, 1) => "T15:04",
            (false, true, _) => "T15:04:05",
        };
        let zone = if has_zone { "Z07:00" } else { "" };
        Self { text: format!("2006-01-02{time}{zone}") }
    }

    /// Nanoseconds since 1970; where the text has no zone, `local_offset` says how many seconds it is ahead of UTC.
    ///
    /// # Errors
    /// Go's sentence for what is wrong.
    pub(super) fn parse(&self, text: &str, local_offset: i64) -> Result<i128, String> {
        let mut fields = Fields::default();
        let (mut layout, mut rest) = (self.text.as_str(), text);
        while !layout.is_empty() {
            let element = ELEMENTS.iter().find(|element| layout.starts_with(**element)).copied().unwrap_or("");
            let length =
                if element.is_empty() { layout.chars().next().map_or(1, char::len_utf8) } else { element.len() };
            let (present, later) = layout.split_at(length);
            rest = fields.read(present, rest).map_err(|problem| problem.tell(text, &self.text, rest, present))?;
            layout = later;
        }
        if !rest.is_empty() {
            return Err(format!("parsing time {text:?}: extra text: {rest:?}"));
        }
        fields.instant(local_offset).ok_or_else(|| format!("parsing time {text:?}: day out of range"))
    }
}

/// Parts of a layout that stand for a number or a zone; every other character stands for itself.
const ELEMENTS: [&str; 8] = ["2006", "01", "02", "15", "04", "05", ".999999999", "Z07:00"];

#[derive(Debug)]
enum Problem {
    Mismatch,
    OutOfRange(&'static str),
}

impl Problem {
    fn tell(&self, text: &str, layout: &str, rest: &str, element: &str) -> String {
        match self {
            Problem::Mismatch => format!("parsing time {text:?} as {layout:?}: cannot parse {rest:?} as {element:?}"),
            Problem::OutOfRange(what) => format!("parsing time {text:?}: {what} out of range"),
        }
    }
}

impl Fields {
    /// Reads one element; returns what follows it.
    fn read<'t>(&mut self, element: &str, text: &'t str) -> Result<&'t str, Problem> {
        let (slot, digits, range, name) = match element {
            "2006" => (&mut self.year, 4, 0..=9999, "year"),
            "01" => (&mut self.month, 2, 1..=12, "month"),
            "02" => (&mut self.day, 2, 1..=31, "day"),
            "15" => (&mut self.hour, 2, 0..=23, "hour"),
            "04" => (&mut self.minute, 2, 0..=59, "minute"),
            "05" => (&mut self.second, 2, 0..=59, "second"),
            ".999999999" => return self.read_fraction(text),
            "Z07:00" => return self.read_zone(text),
            literal => return text.strip_prefix(literal).ok_or(Problem::Mismatch),
        };
        // Go takes an hour of one digit, and nothing else of one.
        let is_short = element == "15" && !text.as_bytes().get(1).is_some_and(u8::is_ascii_digit);
        let (number, rest) = number(text, if is_short { 1 } else { digits })?;
        if !range.contains(&number) {
            return Err(Problem::OutOfRange(name));
        }
        *slot = number;
        Ok(rest)
    }

    fn read_fraction<'t>(&mut self, text: &'t str) -> Result<&'t str, Problem> {
        let Some(tail) = text.strip_prefix('.') else { return Ok(text) };
        let end = tail.find(|c: char| !c.is_ascii_digit()).unwrap_or(tail.len());
        let (digits, rest) = tail.split_at(end);
        let used = digits.get(..9).unwrap_or(digits);
        if used.is_empty() {
            return Err(Problem::Mismatch);
        }
        let scale = 10_i128.pow(9 - u32::try_from(used.len()).map_err(|_| Problem::Mismatch)?);
        self.nanosecond = used.parse::<i128>().map_err(|_| Problem::Mismatch)? * scale;
        Ok(rest)
    }

    fn read_zone<'t>(&mut self, text: &'t str) -> Result<&'t str, Problem> {
        if let Some(rest) = text.strip_prefix('Z') {
            self.offset = Some(0);
            return Ok(rest);
        }
        let (sign, rest) = match text.strip_prefix('-') {
            Some(rest) => (-1, rest),
            None => (1, text.strip_prefix('+').ok_or(Problem::Mismatch)?),
        };
        let (hours, rest) = number(rest, 2)?;
        let (minutes, rest) = number(rest.strip_prefix(':').ok_or(Problem::Mismatch)?, 2)?;
        if hours > 24 || minutes > 60 {
            return Err(Problem::OutOfRange("time zone offset hour or minute"));
        }
        self.offset = Some(sign * (hours * 3600 + minutes * 60));
        Ok(rest)
    }

    fn instant(&self, local_offset: i64) -> Option<i128> {
        let leap = self.year % 4 == 0 && (self.year % 100 != 0 || self.year % 400 == 0);
        let length = match self.month {
            2 if leap => 29,
            2 => 28,
            4 | 6 | 9 | 11 => 30,
            _ => 31,
        };
        if self.day > length {
            return None;
        }
        let days = days_since_1970(self.year, self.month, self.day);
        let seconds =
            days * 86_400 + self.hour * 3600 + self.minute * 60 + self.second - self.offset.unwrap_or(local_offset);
        Some(i128::from(seconds) * SECOND + self.nanosecond)
    }
}

fn number(text: &str, digits: usize) -> Result<(i64, &str), Problem> {
    let (number, rest) = text.split_at_checked(digits).ok_or(Problem::Mismatch)?;
    if !number.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(Problem::Mismatch);
    }
    Ok((number.parse().map_err(|_| Problem::Mismatch)?, rest))
}

/// Days from the first of January 1970 in the Gregorian calendar, which is taken to begin each year with March: the leap day
/// comes last then.
fn days_since_1970(year: i64, month: i64, day: i64) -> i64 {
    const DAYS_PER_400_YEARS: i64 = 146_097;
    const MARCH_OF_YEAR_0_TO_1970: i64 = 719_468;
    let year = if month <= 2 { year - 1 } else { year };
    let months_since_march = (month + 9) % 12;
    let (era, year_of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let day_of_year = (153 * months_since_march + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * DAYS_PER_400_YEARS + day_of_era - MARCH_OF_YEAR_0_TO_1970
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_those_of_the_calendar() {
        for (date, expected) in [
            ((1970, 1, 1), 0),
            ((1969, 12, 31), -1),
            ((2000, 2, 29), 11_016),
            ((2000, 3, 1), 11_017),
            ((2026, 11, 25), 20_782),
            ((1, 1, 1), -719_162),
        ] {
            assert_eq!(days_since_1970(date.0, date.1, date.2), expected, "{date:?}");
        }
    }
}
