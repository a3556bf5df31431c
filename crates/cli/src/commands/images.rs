//! `images`, `image ls`

mod shown;
mod view;
mod wholes;

use clap::Args;
use dhow_ops::settings::{self, Listing};
use dhow_ops::{Context, images};

use super::filters;
use crate::errors::{Failure, Outcome};
use crate::format::list;
use crate::format::table::Columns;
use crate::format::{ListFormat, ago, json};
use crate::personality::Personality;
use crate::session::Session;
use crate::verb::{Count, Operands, Verb};
use shown::Shown;

/// Words of `image`, as docker lists them for the hint at a typing mistake.
const IMAGE_WORDS: [&str; 13] =
    ["build", "history", "import", "inspect", "list", "load", "ls", "prune", "pull", "push", "rm", "save", "tag"];

/// The placeholders of a template.
const COLUMNS: list::Columns = list::Columns {
    type_name: "formatter.imageContext",
    headers: &[
        ("Containers", "CONTAINERS"),
        ("CreatedAt", "CREATED AT"),
        ("CreatedSince", "CREATED"),
        ("Digest", "DIGEST"),
        ("ID", "IMAGE ID"),
        ("Repository", "REPOSITORY"),
        ("SharedSize", "SHARED SIZE"),
        ("Size", "SIZE"),
        ("Tag", "TAG"),
        ("UniqueSize", "UNIQUE SIZE"),
        ("VirtualSize", "SIZE"),
    ],
};

/// The same with what docker does not know, for templates that ask for it: everything else is to stay as docker has it.
const COLUMNS_AND_USE: list::Columns = list::Columns {
    headers: &[
        ("Containers", "CONTAINERS"),
        ("CreatedAt", "CREATED AT"),
        ("CreatedSince", "CREATED"),
        ("Digest", "DIGEST"),
        ("ID", "IMAGE ID"),
        ("LastUsed", "LAST USED"),
        ("LastUsedAt", "LAST USED AT"),
        ("Repository", "REPOSITORY"),
        ("SharedSize", "SHARED SIZE"),
        ("Size", "SIZE"),
        ("Tag", "TAG"),
        ("UniqueSize", "UNIQUE SIZE"),
        ("VirtualSize", "SIZE"),
    ],
    ..COLUMNS
};

/// How templates ask when images were last used.
const LAST_USED: &str = ".LastUsed";

/// How docker's templates ask for digests: then a tag has one row for each.
const DIGEST: &str = "{{.Digest}}";

/// The arguments of `images`.
#[derive(Args, Debug)]
pub(crate) struct Images {
    /// Show images without a tag too where they are hidden: in --tree, and in all lists of docker 29
    #[arg(short, long)]
    all: bool,
    /// Show digests
    #[arg(long)]
    digests: bool,
    /// Show only images that fit: "dangling=true", "reference=PATTERN", "label=KEY[=VALUE]", "label!=KEY[=VALUE]",
    /// "before=IMAGE", "since=IMAGE", "until=TIME", "id=ID", "containers=true", "readonly=true", "last-used=7d"
    #[arg(short, long, value_name = "filter", value_parser = filters::parse)]
    filter: Vec<filters::Given>,
    /// Write as "table", "json", "raw", or by a Go template, "table TEMPLATE" under a header
    #[arg(long, value_name = "string", default_value = "")]
    format: String,
    /// Do not shorten IDs
    #[arg(long)]
    no_trunc: bool,
    /// Leave the table's header out
    #[arg(short, long)]
    noheading: bool,
    /// Print IDs only
    #[arg(short, long)]
    quiet: bool,
    /// Sort by "created", "id", "repository", "size" or "tag"
    #[arg(long, value_name = "string", value_parser = parse_sort)]
    sort: Option<images::Sort>,
    /// Show each image with its platforms, those too that are not here
    #[arg(long)]
    tree: bool,
    #[arg(value_name = "REPOSITORY")]
    names: Vec<String>,
}

impl Verb for Images {
    const ABOUT: &'static str = "List images";
    const OPERANDS: &'static str = "[REPOSITORY[:TAG]]";
    const COUNT: Count = Count::AtMost(1);
    const NAMES: Operands = Operands::Images;

    fn operands(&self) -> &[String] {
        &self.names
    }

    fn run(self, session: &Session<'_>) -> Outcome {
        let context = session.local_context()?;
        let is_docker_29 = session.personality == Personality::Docker29;
        if self.is_of_wholes(session, &context)? {
            let found = self.list_wholes(session, &context)?;
            self.help_with_typing_mistake(session, found == 0 && (is_docker_29 || !self.tree));
            return Ok(());
        }
        let format = self.format(&context);
        let request = images::Request {
            reference: self.reference(),
            filters: filters::given(&self.filter),
            with_digests: self.shows_digests(&format),
            only_tagged: is_docker_29 && !self.shows_untagged(),
            with_last_use: asks_for(&format, LAST_USED),
            sort: self.sort.unwrap_or_default(),
        };
        let rows = images::list(&context, &request)?;
        let now = ago::now();
        let shown = || Shown::all(&rows, &self, request.with_digests, now);
        if format == ListFormat::Table && !self.quiet {
            self.table(shown, |line| session.console.text(line));
        } else {
            session.console.text(self.render(&format, shown(), session.personality)?);
        }
        self.help_with_typing_mistake(session, rows.is_empty());
        Ok(())
    }
}

impl Images {
    /// What `--format` says, or else `imagesFormat` of the configuration, which IDs alone have no use for.
    fn format(&self, context: &Context) -> ListFormat {
        let configured = match self.format.as_str() {
            "" if !self.quiet => settings::list_format(context, Listing::Images),
            _ => None,
        };
        match ListFormat::parse(configured.as_deref().unwrap_or(&self.format), true) {
            ListFormat::TableTemplate(template) if self.digests && !template.contains(DIGEST) => {
                ListFormat::TableTemplate(format!("{template}\t{DIGEST}"))
            }
            format => format,
        }
    }

    /// The name asked for; an empty one is none.
    fn reference(&self) -> Option<String> {
        self.names.first().filter(|name| !name.is_empty()).cloned()
    }

    fn shows_digests(&self, format: &ListFormat) -> bool {
        self.digests || asks_for(format, DIGEST)
    }

    /// The list in any form but that of a table without template, which is not held in one piece.
    fn render<'a>(
        &self,
        format: &ListFormat,
        rows: impl Iterator<Item = Shown<'a>>,
        personality: Personality,
    ) -> Outcome<String> {
        let object = |row: Shown<'a>| {
            let mut object = row.object();
            if personality == Personality::Docker29 {
                object.remove("VirtualSize");
            }
            object
        };
        match format {
            ListFormat::Table => Ok(rows.map(|row| format!("{}\n", row.id)).collect()),
            ListFormat::Raw => Ok(rows.map(|row| self.raw(&row)).collect()),
            ListFormat::Json => json::lines(rows.map(object)).map_err(Failure::Client),
            ListFormat::Template(template) | ListFormat::TableTemplate(template) => {
                let columns = if asks_for(format, LAST_USED) { COLUMNS_AND_USE } else { COLUMNS };
                let is_table = matches!(format, ListFormat::TableTemplate(_));
                list::render(columns, template, is_table, rows.map(object))
            }
        }
    }

    /// Prints the table. It is not held in memory: there may be tens of thousands of rows, which are asked for twice.
    fn table<'a, I: Iterator<Item = Shown<'a>>>(&self, rows: impl Fn() -> I, mut print: impl FnMut(&str)) {
        let mut header = vec!["REPOSITORY", "TAG", "IMAGE ID", "CREATED", "SIZE"];
        if self.digests {
            header.insert(2, "DIGEST");
        }
        let mut columns = Columns::new(header.len());
        columns.measure(&header);
        rows().for_each(|row| columns.measure(self.cells(&row)));
        let mut line = String::new();
        if !self.noheading {
            columns.lay_out(&header, &mut line);
            print(&line);
        }
        for row in rows() {
            columns.lay_out(self.cells(&row), &mut line);
            print(&line);
        }
    }

    fn cells<'r>(&self, row: &'r Shown<'_>) -> impl Iterator<Item = &'r str> {
        let since = if row.created_since.is_empty() { "N/A" } else { &row.created_since };
        let digest = self.digests.then_some(row.digest);
        [row.repository, row.tag].into_iter().chain(digest).chain([row.id, since, &row.size])
    }

    fn raw(&self, row: &Shown<'_>) -> String {
        if self.quiet {
            return format!("image_id: {}\n", row.id);
        }
        let digest = if self.digests { format!("digest: {}\n", row.digest) } else { String::new() };
        format!(
            "repository: {}\ntag: {}\n{digest}image_id: {}\ncreated_at: {}\nvirtual_size: {}\n\n",
            row.repository,
            row.tag,
            row.id,
            row.created_at(),
            row.size
        )
    }

    /// `images ls` is what users type who mean `image ls`.
    fn help_with_typing_mistake(&self, session: &Session<'_>, nothing_found: bool) {
        let called_as_images = !session.path.contains(" image ");
        let word = self.names.first().map_or("", String::as_str);
        if nothing_found && called_as_images && IMAGE_WORDS.contains(&word) {
            let program = session.personality.program();
            let before = if session.personality == Personality::Docker29 { "" } else { "\n" };
            session.console.notice(format!(
                "{before}No images found matching \"{word}\": did you mean \"{program} image {word}\"?"
            ));
        }
    }
}

/// Whether a template has some text in it.
fn asks_for(format: &ListFormat, text: &str) -> bool {
    matches!(format, ListFormat::Template(template) | ListFormat::TableTemplate(template) if template.contains(text))
}

fn parse_sort(text: &str) -> Result<images::Sort, String> {
    Ok(match text {
        "created" => images::Sort::Created,
        "id" => images::Sort::Id,
        "repository" => images::Sort::Repository,
        "size" => images::Sort::Size,
        "tag" => images::Sort::Tag,
        _ => return Err("\"created\", \"id\", \"repository\", \"size\" and \"tag\" can be sorted by".to_owned()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::{Command, FromArgMatches};
    use dhow_spec::{Digest, Repository, Tag};

    const NOW: i128 = 1_795_471_661_000_000_000;
    const HOUR: i128 = 3_600_000_000_000;

    fn options(arguments: &[&str]) -> Images {
        let command = Images::augment_args(Command::new("images").no_binary_name(true));
        Images::from_arg_matches(&command.get_matches_from(arguments)).unwrap()
    }

    fn row(id: char, name: Option<(&str, Option<&str>)>, hours: Option<i128>, size: u64) -> images::Row {
        images::Row {
            id: Digest::parse(&format!("sha256:{}", id.to_string().repeat(64))).unwrap(),
            repository: name.map(|(repository, _)| Repository::parse(repository).unwrap()),
            tag: name.and_then(|(_, tag)| tag).map(|tag| Tag::parse(tag).unwrap()),
            digest: None,
            created: hours.map(|hours| i64::try_from(NOW - hours * HOUR).unwrap()),
            size,
            containers: 0,
            last_used: None,
        }
    }

    fn digest(letters: &str) -> Option<Digest> {
        Some(Digest::parse(&format!("sha256:{}", letters.repeat(32))).unwrap())
    }

    /// The images of the golden transcript.
    fn golden() -> Vec<images::Row> {
        let alpine =
            |tag| images::Row { digest: digest("ab"), ..row('1', Some(("alpine", Some(tag))), Some(30), 7_806_463) };
        vec![
            alpine("3.20"),
            alpine("latest"),
            row('1', Some(("ghcr.io/acme/web", Some("v1"))), Some(30), 7_806_463),
            images::Row { created: Some(i64::try_from(NOW - HOUR / 60).unwrap()), ..row('2', None, Some(0), 999_999) },
            images::Row { digest: digest("cd"), ..row('3', Some(("busybox", None)), Some(20 * 24), 1234) },
            row('4', Some(("zero", Some("latest"))), None, 0),
            images::Row { created: Some(0), ..row('5', Some(("epoch", Some("latest"))), None, 1_536_000_000) },
        ]
    }

    fn rendered(arguments: &[&str]) -> String {
        let options = options(arguments);
        let golden = golden();
        let format = ListFormat::parse(&options.format, true);
        let rows = || Shown::all(&golden, &options, options.shows_digests(&format), NOW);
        if format == ListFormat::Table && !options.quiet {
            let mut text = String::new();
            options.table(rows, |line| text.push_str(line));
            return text;
        }
        options.render(&format, rows(), Personality::Docker).unwrap()
    }

    #[test]
    fn the_table_is_docker_s() {
        let expected = "\
REPOSITORY         TAG       IMAGE ID       CREATED              SIZE
alpine             3.20      111111111111   30 hours ago         7.81MB
alpine             latest    111111111111   30 hours ago         7.81MB
ghcr.io/acme/web   v1        111111111111   30 hours ago         7.81MB
<none>             <none>    222222222222   About a minute ago   1e+03kB
busybox            <none>    333333333333   2 weeks ago          1.23kB
zero               latest    444444444444   N/A                  0B
epoch              latest    555555555555   56 years ago         1.54GB
";
        assert_eq!(rendered(&[]), expected);
    }

    #[test]
    fn the_table_with_digests_is_docker_s() {
        let expected = "\
REPOSITORY         TAG       DIGEST                                                                    IMAGE ID       CREATED              SIZE
alpine             3.20      sha256:abababababababababababababababababababababababababababababababab   111111111111   30 hours ago         7.81MB
alpine             latest    sha256:abababababababababababababababababababababababababababababababab   111111111111   30 hours ago         7.81MB
ghcr.io/acme/web   v1        <none>                                                                    111111111111   30 hours ago         7.81MB
<none>             <none>    <none>                                                                    222222222222   About a minute ago   1e+03kB
busybox            <none>    sha256:cdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcd   333333333333   2 weeks ago          1.23kB
zero               latest    <none>                                                                    444444444444   N/A                  0B
epoch              latest    <none>                                                                    555555555555   56 years ago         1.54GB
";
        assert_eq!(rendered(&["--digests"]), expected);
    }

    #[test]
    fn quiet_prints_one_id_for_each_row() {
        let expected =
            "111111111111\n111111111111\n111111111111\n222222222222\n333333333333\n444444444444\n555555555555\n";
        assert_eq!(rendered(&["-q"]), expected);
        assert!(rendered(&["-q", "--no-trunc"]).starts_with("sha256:1111"));
    }

    #[test]
    fn json_is_docker_s() {
        let lines = rendered(&["--format", "json"]);
        let lines: Vec<&str> = lines.lines().collect();
        assert_eq!(
            lines[4].replace(&golden()[4].created.map(|created| ago::go_time(created.into())).unwrap(), "TIME"),
            "{\"Containers\":\"N/A\",\"CreatedAt\":\"TIME\",\"CreatedSince\":\"2 weeks ago\",\"Digest\":\"\",\
             \"ID\":\"333333333333\",\"Repository\":\"busybox\",\"SharedSize\":\"N/A\",\"Size\":\"1.23kB\",\
             \"Tag\":\"\\u003cnone\\u003e\",\"UniqueSize\":\"N/A\",\"VirtualSize\":\"1.234kB\"}"
        );
        assert_eq!(
            lines[5],
            "{\"Containers\":\"N/A\",\"CreatedAt\":\"0001-01-01 00:00:00 +0000 UTC\",\"CreatedSince\":\"\",\
             \"Digest\":\"\\u003cnone\\u003e\",\"ID\":\"444444444444\",\"Repository\":\"zero\",\"SharedSize\":\"N/A\",\
             \"Size\":\"0B\",\"Tag\":\"latest\",\"UniqueSize\":\"N/A\",\"VirtualSize\":\"0B\"}"
        );
        assert!(lines[0].contains("\"Digest\":\"\\u003cnone\\u003e\""), "{}", lines[0]);
    }

    #[test]
    fn raw_is_docker_s() {
        let text = rendered(&["--format", "raw"]);
        let zero = "repository: zero\ntag: latest\nimage_id: 444444444444\n\
                    created_at: 0001-01-01 00:00:00 +0000 UTC\nvirtual_size: 0B\n\n";
        assert!(text.contains(zero), "{text}");
        assert!(text.ends_with("virtual_size: 1.54GB\n\n"), "{text}");
    }
}
