//! Docker's newer list of images, drawn: a line for each name, and in the tree one for each platform.
//!
//! Docker 29 has it as its list, docker 28 had it as an experiment: `images --tree`. They differ in what [`Edition`] says.

use crate::format::text;

/// Whose list it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Edition {
    /// Docker 28's experiment: it warns, takes any output for a terminal of 80 columns and shortens names.
    Experiment,
    /// Docker 29's.
    Settled,
}

/// Where it is drawn.
#[derive(Clone, Copy, Debug)]
pub(super) struct Screen {
    /// Display columns of the terminal; 0 where that is not known, as it is where there is none.
    pub(super) columns: usize,
    /// Whether it is a terminal.
    pub(super) is_terminal: bool,
    /// Whether it shows colours.
    pub(super) is_coloured: bool,
}

/// What stands in the columns beside the name.
#[derive(Clone, Debug, Default)]
pub(super) struct Details {
    pub(super) id: String,
    pub(super) disk_usage: String,
    pub(super) content_size: String,
    pub(super) in_use: bool,
}

/// A line, or in the tree several.
#[derive(Clone, Debug, Default)]
pub(super) struct Entry {
    /// Names; one without is untagged.
    pub(super) names: Vec<String>,
    pub(super) details: Details,
    pub(super) platforms: Vec<Platform>,
}

/// A branch of the tree.
#[derive(Clone, Debug)]
pub(super) struct Platform {
    pub(super) name: String,
    pub(super) is_here: bool,
    pub(super) details: Details,
}

/// Draws the list, every line ended.
pub(super) fn draw(entries: &[Entry], edition: Edition, screen: Screen) -> String {
    let painter = Painter::new(entries, edition, screen);
    let mut text = painter.before_the_header(screen);
    painter.header(&mut text);
    let is_spaced = entries.iter().any(|entry| !entry.platforms.is_empty());
    for entry in entries {
        painter.names(entry, &mut text);
        painter.details(&entry.details, Style::DEFAULT, &mut text);
        text.push('\n');
        painter.platforms(&entry.platforms, &mut text);
        if is_spaced {
            text.push('\n');
        }
    }
    text
}

/// Escape sequences of a style; docker ends each with a reset.
#[derive(Clone, Copy, Debug)]
struct Style(&'static str);

impl Style {
    const DEFAULT: Self = Self("\x1b[39m");
    const FAINT: Self = Self("\x1b[39m\x1b[2m");
    const TITLE: Self = Self("\x1b[39m\x1b[1m");
    const NAME: Self = Self("\x1b[34m\x1b[1m");
    const WARNING: Self = Self("\x1b[93m");
    const NONE: Self = Self("");

    fn apply(self, text: &str) -> String {
        if self.0.is_empty() { text.to_owned() } else { format!("{}{text}\x1b[0m", self.0) }
    }
}

const UNTAGGED: &str = "<untagged>";
const WARNING: &str = "WARNING: This is an experimental feature. The output may change and shouldn't be depended on.";

/// Widths of the columns beside the name: ID, disk usage, content size, extra.
const WIDTHS: [usize; 4] = [12, 10, 12, 5];
const TITLES: [&str; 5] = ["IMAGE", "ID", "DISK USAGE", "CONTENT SIZE", "EXTRA"];

/// Spaces between columns.
const SPACING: usize = 3;

/// The names' column is not made narrower than this for the sake of others.
const NAMES_MIN: usize = 12;

/// The narrowest terminal that is drawn for.
const SCREEN_MIN: usize = 20;

/// What docker's experiment takes for the width of an unknown terminal.
const SCREEN_DEFAULT: usize = 80;

struct Painter {
    edition: Edition,
    is_coloured: bool,
    /// Display columns of the terminal, 0 when they are not known.
    screen: usize,
    /// Width of the names' column.
    names: usize,
    /// How many of the columns beside it there is room for.
    others: usize,
    /// Whether anything is in use, so that all others need its place left free.
    is_any_used: bool,
}

impl Painter {
    fn new(entries: &[Entry], edition: Edition, screen: Screen) -> Self {
        let (names, others) = fit(screen_width(edition, screen), widest(entries, edition));
        let used =
            |entry: &Entry| entry.details.in_use || entry.platforms.iter().any(|platform| platform.details.in_use);
        let is_any_used = entries.iter().any(used);
        let Screen { columns, is_coloured, .. } = screen;
        Self { edition, is_coloured, screen: columns, names, others, is_any_used }
    }

    /// The warning and what letters mean.
    fn before_the_header(&self, screen: Screen) -> String {
        let width = screen_width(self.edition, screen);
        match self.edition {
            Edition::Experiment => {
                let warning = self.painted(Style::WARNING, WARNING);
                format!("{warning}\n{} \n\n", self.legend(width.saturating_sub(1)))
            }
            // It stands at the right edge, which an unknown width has not.
            Edition::Settled if screen.columns > 0 => format!("{}\n", self.legend(width)),
            Edition::Settled => String::new(),
        }
    }

    fn legend(&self, width: usize) -> String {
        let (plain, fancy) = if self.is_coloured {
            let letter = "\x1b[1m\x1b[106m\x1b[30mi\x1b[0m\x1b[0m \x1b[96mInfo → \x1b[0m\x1b[0m";
            ("i Info →   U  In Use", format!("{letter} {} In Use", self.chip(true)))
        } else {
            (" Info ->  U In Use", format!(" Info ->  {} In Use", self.chip(true)))
        };
        format!("{}{fancy}", " ".repeat(width.saturating_sub(text::columns(plain))))
    }

    fn header(&self, text: &mut String) {
        // The experiment forgets to ask whether colours are wanted.
        let is_coloured = self.is_coloured || self.edition == Edition::Experiment;
        let style = if is_coloured { Style::TITLE } else { Style::NONE };
        let widths = std::iter::once(self.names).chain(WIDTHS).take(1 + self.others);
        for (column, (title, width)) in TITLES.iter().zip(widths).enumerate() {
            if column > 0 {
                text.push_str(&" ".repeat(SPACING));
            }
            let fill = " ".repeat(width.saturating_sub(title.len()));
            let title = style.apply(title);
            text.push_str(&if is_right(column) { fill + &title } else { title + &fill });
        }
        text.push('\n');
    }

    fn names(&self, entry: &Entry, text: &mut String) {
        let Some((last, others)) = entry.names.split_last() else {
            text.push_str(&self.first_column(Style::FAINT, UNTAGGED));
            return;
        };
        if self.edition == Edition::Experiment {
            let mut names: Vec<&String> = entry.names.iter().collect();
            names.sort_by_key(|name| std::cmp::Reverse(name.len()));
            for (position, name) in names.iter().enumerate() {
                match position + 1 == names.len() {
                    true => text.push_str(&self.first_column(Style::NAME, name)),
                    false => text.push_str(&(self.painted(Style::NAME, &cut(name, self.screen)) + "\n")),
                }
            }
            return;
        }
        for name in others {
            text.push_str(&(self.first_column(Style::NAME, name) + "\n"));
        }
        text.push_str(&self.first_column(Style::NAME, last));
        if text::columns(last) > self.names {
            text.push('\n');
            text.push_str(&" ".repeat(self.names));
        }
    }

    fn platforms(&self, platforms: &[Platform], text: &mut String) {
        for (position, platform) in platforms.iter().enumerate() {
            let style = if platform.is_here { Style::DEFAULT } else { Style::FAINT };
            let branch = if position + 1 == platforms.len() { "└─ " } else { "├─ " };
            text.push_str(&self.first_column(style, &format!("{branch}{}", platform.name)));
            self.details(&platform.details, style, text);
            text.push('\n');
        }
    }

    /// A name, filled up to the column's width.
    fn first_column(&self, style: Style, name: &str) -> String {
        let columns = text::columns(name);
        if columns > self.names && self.edition == Edition::Experiment {
            return self.painted(style, &cut(name, self.names));
        }
        self.painted(style, name) + &" ".repeat(self.names.saturating_sub(columns))
    }

    fn details(&self, details: &Details, style: Style, text: &mut String) {
        let cells = [&details.id, &details.disk_usage, &details.content_size];
        for (column, (cell, width)) in cells.into_iter().zip(WIDTHS).take(self.others).enumerate() {
            text.push_str(&" ".repeat(SPACING));
            let fill = " ".repeat(width.saturating_sub(cell.len()));
            let cell = self.painted(style, cell);
            text.push_str(&if is_right(1 + column) { fill + &cell } else { cell + &fill });
        }
        if self.others == WIDTHS.len() {
            let (chip, columns) = match (self.is_any_used, self.is_coloured) {
                (false, _) => (String::new(), 0),
                (true, true) => (self.chip(details.in_use), 3),
                (true, false) => (self.chip(details.in_use), 1),
            };
            let (spacing, fill) = (" ".repeat(SPACING), " ".repeat(WIDTHS[3] - columns));
            text.extend([spacing, chip, fill]);
        }
    }

    /// The letter of what is in use, or the place of it.
    fn chip(&self, in_use: bool) -> String {
        match (in_use, self.is_coloured) {
            (true, true) => "\x1b[38;5;0m\x1b[48;5;14m U \x1b[0m",
            (false, true) => "   ",
            (true, false) => "U",
            (false, false) => " ",
        }
        .to_owned()
    }

    fn painted(&self, style: Style, text: &str) -> String {
        if self.is_coloured { style.apply(text) } else { text.to_owned() }
    }
}

/// Cuts a name for a screen as docker's experiment does, which also cuts one that just fits.
fn cut(name: &str, columns: usize) -> String {
    if columns == 0 || name.chars().count() < columns {
        return name.to_owned();
    }
    name.chars().take(columns - 1).chain(['…']).collect()
}

/// Whether a column stands at its right edge.
fn is_right(column: usize) -> bool {
    matches!(column, 2 | 3)
}

fn screen_width(edition: Edition, screen: Screen) -> usize {
    match edition {
        Edition::Experiment if screen.columns == 0 => SCREEN_DEFAULT,
        Edition::Experiment => screen.columns.max(SCREEN_MIN),
        Edition::Settled if screen.is_terminal => screen.columns.max(SCREEN_MIN),
        Edition::Settled => screen.columns,
    }
}

/// What the names' column would need.
fn widest(entries: &[Entry], edition: Edition) -> usize {
    let mut widest = TITLES[0].len();
    for entry in entries {
        if entry.names.is_empty() && edition == Edition::Settled {
            widest = widest.max(UNTAGGED.len());
        }
        let names = entry.names.iter().map(String::len);
        // Docker counts bytes: those of the branch are more than its columns.
        let platforms = entry.platforms.iter().map(|platform| platform.name.len() + "└─ ".len());
        widest = names.chain(platforms).fold(widest, usize::max);
    }
    widest
}

/// The width of the names' column, and how many others there is room for on a screen; 0 columns are as many as one likes.
fn fit(screen: usize, widest: usize) -> (usize, usize) {
    if screen == 0 {
        return (widest, WIDTHS.len());
    }
    let mut left = screen;
    for (column, width) in WIDTHS.iter().enumerate() {
        let taken = width + SPACING;
        if left < taken + NAMES_MIN {
            return (left.min(widest), column);
        }
        left -= taken;
    }
    (left.min(widest), WIDTHS.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// What docker's clients (28.2.2 and 29.7.2) drew of [`scene`], which a scripted engine told them of, on pipes and on
    /// terminals. `␛` is an escape, `|` ends a line.
    const RECORDED: &str = include_str!("recorded.txt");

    fn details(digit: char, size: &str, in_use: bool) -> Details {
        let (disk_usage, content_size) = (size.to_owned(), size.to_owned());
        Details { id: digit.to_string().repeat(12), disk_usage, content_size, in_use }
    }

    fn platform(digit: char, name: &str, size: &str, is_here: bool, in_use: bool) -> Platform {
        Platform { name: name.to_owned(), is_here, details: details(digit, size, in_use) }
    }

    /// In the order of their age.
    fn scene() -> Vec<Entry> {
        const LONG: &str = "registry.example.com/a-rather-long-team-name/and-a-long-service:2026-11-25";
        let entry = |digit, names: &[&str], size, in_use, platforms: &[Platform]| Entry {
            names: names.iter().map(|name| (*name).to_owned()).collect(),
            details: details(digit, size, in_use),
            platforms: platforms.to_vec(),
        };
        let amd64 = |digit, size, in_use| platform(digit, "linux/amd64", size, true, in_use);
        let elsewhere = platform('c', "linux/arm64/v8", "0B", false, false);
        vec![
            entry('1', &["web:1", "web:latest"], "131kB", false, &[amd64('a', "131kB", false)]),
            entry('2', &["acme/tool:2"], "7.81MB", true, &[amd64('b', "7.81MB", true), elsewhere]),
            entry('3', &[], "1e+03kB", false, &[amd64('d', "1e+03kB", false)]),
            entry('4', &[LONG], "1.54GB", false, &[platform('e', "windows/amd64", "1.54GB", true, false)]),
            entry('5', &["zero:latest"], "0B", false, &[]),
        ]
    }

    /// The scene as a list has it: a line for each name.
    fn lines() -> Vec<Entry> {
        let mut lines = Vec::new();
        for entry in scene() {
            let line = |names| Entry { names, platforms: Vec::new(), ..entry.clone() };
            match entry.names.as_slice() {
                [] => lines.push(line(Vec::new())),
                names => lines.extend(names.iter().map(|name| line(vec![name.clone()]))),
            }
        }
        lines
    }

    fn by_name(mut entries: Vec<Entry>) -> Vec<Entry> {
        entries.sort_by_key(|entry| (entry.names.is_empty(), entry.names.first().cloned()));
        entries
    }

    fn drawn(case: &str) -> String {
        let words: Vec<&str> = case.split(' ').collect();
        let [edition, what, columns, colours] = words.as_slice() else { panic!("{case}") };
        let is_terminal = *columns != "pipe";
        let columns = columns.parse().unwrap_or(0);
        let screen = Screen { columns, is_terminal, is_coloured: *colours == "colours" };
        let tagged = |entry: &Entry| !entry.names.is_empty();
        match (*edition, *what) {
            ("28", "tree") => draw(&scene(), Edition::Experiment, screen),
            ("29", "tree") => draw(&by_name(scene()), Edition::Settled, screen),
            ("29", "list") => draw(&by_name(lines()), Edition::Settled, screen),
            ("29", "list-tagged") => {
                draw(&by_name(lines().into_iter().filter(tagged).collect()), Edition::Settled, screen)
            }
            _ => panic!("{case}"),
        }
    }

    #[test]
    fn docker_draws_the_same() {
        let mut cases = 0;
        for case in RECORDED.split("== ").skip(1) {
            let (title, expected) = case.split_once('\n').unwrap();
            let drawn = drawn(title).replace('\x1b', "␛").replace('\n', "|\n");
            assert_eq!(drawn, expected, "{title}");
            cases += 1;
        }
        assert!(cases > 20, "{cases}");
    }

    proptest! {
        /// Whatever the terminal, no line with details is wider than it where there is room for the names' column, and
        /// without colours there are no escape sequences.
        #[test]
        fn lines_fit_the_terminal(columns in SCREEN_MIN..300, length in 1_usize..120, is_coloured: bool) {
            let mut entries = by_name(lines());
            entries[0].names = vec!["n".repeat(length)];
            let screen = Screen { columns, is_terminal: true, is_coloured };
            let text = draw(&entries, Edition::Settled, screen);
            prop_assert_eq!(text.contains('\x1b'), is_coloured);
            let plain = draw(&entries, Edition::Settled, Screen { is_coloured: false, ..screen });
            for line in plain.lines().filter(|line| line.contains("   ")) {
                prop_assert!(text::columns(line) <= columns.max(NAMES_MIN), "{columns}: {line:?}");
            }
        }
    }
}
