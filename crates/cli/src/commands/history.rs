//! `history`

use std::collections::BTreeMap;

use clap::Args;
use dhow_ops::history;

use super::targets;
use crate::errors::{Failure, Outcome};
use crate::format::list::{self, Columns};
use crate::format::table::Table;
use crate::format::text::ellipsis;
use crate::format::{ListFormat, ago, json, units};
use crate::session::Session;
use crate::verb::{Count, Operands, Verb};

/// Columns of CREATED BY, the ellipsis among them.
const CREATED_BY_COLUMNS: usize = 45;

/// 2000-01-01 in nanoseconds since 1970: docker takes nothing at or before it for a real date.
const YEAR_2000: i64 = 946_684_800_000_000_000;

/// What stands for the ID of a step that is no image of its own.
const MISSING: &str = "<missing>";

/// The placeholders of a template.
const COLUMNS: Columns = Columns {
    type_name: "image.historyContext",
    headers: &[
        ("Comment", "COMMENT"),
        ("CreatedAt", "CREATED AT"),
        ("CreatedBy", "CREATED BY"),
        ("CreatedSince", "CREATED"),
        ("ID", "IMAGE"),
        ("Size", "SIZE"),
    ],
};

/// The arguments of `history`.
#[derive(Args, Debug)]
pub(crate) struct History {
    /// Write as "table", "json", or by a Go template, "table TEMPLATE" under a header
    #[arg(long, value_name = "string", default_value = "")]
    format: String,
    /// Print sizes and dates in human readable form (default true)
    #[arg(short = 'H', long)]
    human: bool,
    /// Do not shorten IDs and commands
    #[arg(long)]
    no_trunc: bool,
    /// Show this platform of a multi-platform image
    #[arg(long, value_name = "string")]
    platform: Option<String>,
    /// Print IDs only
    #[arg(short, long)]
    quiet: bool,
    #[arg(value_name = "IMAGE")]
    names: Vec<String>,
}

impl Verb for History {
    const ABOUT: &'static str = "Show how an image was made";
    const OPERANDS: &'static str = "IMAGE";
    const COUNT: Count = Count::Exactly(1);
    const NAMES: Operands = Operands::Images;

    fn operands(&self) -> &[String] {
        &self.names
    }

    fn run(self, session: &Session<'_>) -> Outcome {
        let format = ListFormat::parse(&self.format, false);
        let platform = targets::platform(self.platform.as_deref())?;
        let context = session.local_context()?;
        for name in &self.names {
            let rows = history::history(&context, name, platform.as_ref())?;
            session.console.text(self.render(&format, &rows, ago::now())?);
        }
        Ok(())
    }
}

impl History {
    fn render(&self, format: &ListFormat, rows: &[history::Row], now: i128) -> Outcome<String> {
        let rows = rows.iter().map(|row| Shown::new(row, self, now));
        match format {
            ListFormat::Json => {
                let rows: Vec<Shown> = rows.collect();
                json::lines(rows.iter().map(Shown::object)).map_err(Failure::Client)
            }
            ListFormat::Table | ListFormat::Raw if self.quiet => Ok(rows.map(|row| row.id + "\n").collect()),
            ListFormat::Table | ListFormat::Raw => {
                let created = if self.human { "CREATED" } else { "CREATED AT" };
                let mut table = Table::new(&["IMAGE", created, "CREATED BY", "SIZE", "COMMENT"]);
                for row in rows {
                    let created = if self.human { row.created_since } else { row.created_at };
                    table.row(vec![row.id, created, row.created_by, row.size, row.comment]);
                }
                Ok(table.render())
            }
            ListFormat::Template(template) => list::render(COLUMNS, template, false, rows.map(Shown::texts)),
            ListFormat::TableTemplate(template) => list::render(COLUMNS, template, true, rows.map(Shown::texts)),
        }
    }
}

/// A row as texts.
#[derive(Debug)]
struct Shown {
    id: String,
    created_since: String,
    created_at: String,
    created_by: String,
    size: String,
    comment: String,
}

impl Shown {
    fn new(row: &history::Row, options: &History, now: i128) -> Self {
        let created = row.created.unwrap_or(0);
        let created_at = ago::rfc3339(created.into());
        let created_by = row.created_by.replace('\t', " ");
        Self {
            id: match &row.id {
                Some(id) if options.no_trunc => id.to_string(),
                Some(id) => id.short().to_owned(),
                None => MISSING.to_owned(),
            },
            created_since: match created {
                // Docker gives both columns the time when it is not to be read by people.
                _ if !options.human => created_at.clone(),
                created if created <= YEAR_2000 => "N/A".to_owned(),
                created => ago::ago(created.into(), now),
            },
            created_at,
            created_by: if options.no_trunc { created_by } else { ellipsis(&created_by, CREATED_BY_COLUMNS) },
            size: if options.human { units::short_size(row.size) } else { row.size.to_string() },
            comment: row.comment.clone(),
        }
    }

    fn texts(self) -> [(&'static str, String); 6] {
        [
            ("Comment", self.comment),
            ("CreatedAt", self.created_at),
            ("CreatedBy", self.created_by),
            ("CreatedSince", self.created_since),
            ("ID", self.id),
            ("Size", self.size),
        ]
    }

    fn object(&self) -> BTreeMap<&'static str, &str> {
        BTreeMap::from([
            ("Comment", &*self.comment),
            ("CreatedAt", &*self.created_at),
            ("CreatedBy", &*self.created_by),
            ("CreatedSince", &*self.created_since),
            ("ID", &*self.id),
            ("Size", &*self.size),
        ])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::{Command, FromArgMatches};
    use dhow_spec::Digest;

    const NOW: i128 = 1_795_471_661_000_000_000;
    const HOUR: i128 = 3_600_000_000_000;

    fn rendered(arguments: &[&str]) -> String {
        let command = History::augment_args(Command::new("history").no_binary_name(true));
        let command = command.mut_args(crate::verb::like_pflag);
        let options = History::from_arg_matches(&command.get_matches_from(arguments)).unwrap();
        let created = Some(i64::try_from(NOW - 30 * HOUR).unwrap());
        let row = |created_by: &str, size, comment: &str| history::Row {
            id: None,
            created,
            created_by: created_by.to_owned(),
            size,
            comment: comment.to_owned(),
        };
        let id = Digest::parse(&format!("sha256:{}", "1".repeat(64))).unwrap();
        let rows = [
            history::Row { id: Some(id), ..row("CMD [\"/bin/sh\"]", 0, "buildkit.dockerfile.v0") },
            row(
                "ADD alpine-minirootfs-3.20.3-x86_64.tar.gz / # buildkit and some more",
                7_806_463,
                "buildkit.dockerfile.v0",
            ),
            history::Row { created: Some(0), ..row("/bin/sh -c #(nop)\told", 0, "") },
        ];
        options.render(&ListFormat::parse(&options.format, false), &rows, NOW).unwrap()
    }

    #[test]
    fn the_table_is_docker_s() {
        let expected = "\
IMAGE          CREATED        CREATED BY                                      SIZE      COMMENT
111111111111   30 hours ago   CMD [\"/bin/sh\"]                                 0B        buildkit.dockerfile.v0
<missing>      30 hours ago   ADD alpine-minirootfs-3.20.3-x86_64.tar.gz /…   7.81MB    buildkit.dockerfile.v0
<missing>      N/A            /bin/sh -c #(nop) old                           0B        
";
        assert_eq!(rendered(&[]), expected);
    }

    #[test]
    fn nothing_is_shortened_on_request() {
        let text = rendered(&["--no-trunc"]);
        assert!(
            text.contains("ADD alpine-minirootfs-3.20.3-x86_64.tar.gz / # buildkit and some more   7.81MB"),
            "{text}"
        );
        assert!(text.contains(&format!("sha256:{}   30 hours ago   CMD", "1".repeat(64))), "{text}");
    }

    #[test]
    fn numbers_for_machines_are_docker_s() {
        let text = rendered(&["-H=false"]);
        assert!(text.starts_with("IMAGE          CREATED AT             CREATED BY "), "{text}");
        assert!(text.contains("   7806463   buildkit.dockerfile.v0\n"), "{text}");
        assert!(text.contains("<missing>      1970-01-01T00:00:00Z   /bin/sh -c #(nop) old"), "{text}");
        assert!(text.ends_with("   0         \n"), "{text}");
    }

    #[test]
    fn quiet_and_json_are_docker_s() {
        assert_eq!(rendered(&["-q"]), "111111111111\n<missing>\n<missing>\n");
        let last = "{\"Comment\":\"\",\"CreatedAt\":\"1970-01-01T00:00:00Z\",\"CreatedBy\":\"/bin/sh -c #(nop) old\",\
                    \"CreatedSince\":\"N/A\",\"ID\":\"\\u003cmissing\\u003e\",\"Size\":\"0B\"}";
        assert_eq!(rendered(&["--format", "json"]).lines().last(), Some(last));
    }
}
