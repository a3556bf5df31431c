//! Pseudo-random templates: mostly sensible, sometimes broken.

/// Makes templates from a seed.
#[derive(Debug)]
pub(crate) struct Generator {
    state: u64,
    /// Whether what `.` is has pointers inside, whose addresses Go prints.
    has_pointers: bool,
}

const FIELDS: [&str; 16] = [
    ".s",
    ".n",
    ".f",
    ".t",
    ".l",
    ".m",
    ".m.a",
    ".m.b.c",
    ".nil",
    ".missing",
    ".Tags",
    ".Config.Env",
    ".Config.Labels",
    ".ID",
    ".Size",
    ".objs",
];
const LITERALS: [&str; 14] =
    ["1", "-2", "0", "1.5", "\"a\"", "\"%v|%d\"", "`raw`", "true", "false", "nil", "'x'", "0x1F", ".", "$"];
const FUNCTIONS: [(&str, usize); 24] = [
    ("and", 2),
    ("or", 2),
    ("not", 1),
    ("eq", 2),
    ("ne", 2),
    ("lt", 2),
    ("le", 2),
    ("gt", 2),
    ("ge", 2),
    ("index", 2),
    ("slice", 2),
    ("len", 1),
    ("print", 2),
    ("printf", 2),
    ("println", 1),
    ("html", 1),
    ("js", 1),
    ("urlquery", 1),
    ("json", 1),
    ("split", 2),
    ("join", 2),
    ("title", 1),
    ("upper", 1),
    ("truncate", 2),
];
const VERBS: [&str; 16] =
    ["%s", "%q", "%d", "%v", "%+v", "%x", "%t", "%f", "%g", "%e", "%c", "%U", "%T", "%5.2f", "%-6s|", "%#v"];
const BROKEN: [&str; 10] = ["{{", "}}", "(", ")", "|", "{{end}}", "{{else}}", "\"", "$y", "{{- "];

impl Generator {
    pub(crate) fn new(seed: u64) -> Self {
        Self { state: seed | 1, has_pointers: false }
    }

    /// A template.
    pub(crate) fn template(&mut self, has_pointers: bool) -> String {
        self.has_pointers = has_pointers;
        let mut text = self.list(3);
        if self.below(6) == 0 {
            let at = (0..=text.len()).rev().filter(|at| text.is_char_boundary(*at)).nth(self.below(text.len().max(1)));
            text.insert_str(at.unwrap_or(0), self.pick(&BROKEN));
        }
        text
    }

    fn list(&mut self, depth: usize) -> String {
        (0..=self.below(3)).map(|_| self.action(depth)).collect()
    }

    fn action(&mut self, depth: usize) -> String {
        let kind = if depth == 0 { self.below(4) } else { self.below(10) };
        match kind {
            0 => self.pick(&[" text ", "\n", "x"]).to_owned(),
            1..=3 => format!("{{{{{}}}}}", self.pipe(2)),
            4 => format!("{{{{if {}}}}}{}{{{{else}}}}{}{{{{end}}}}", self.pipe(1), self.list(depth - 1), self.list(0)),
            5 => format!("{{{{with {}}}}}{}{{{{end}}}}", self.pipe(1), self.list(depth - 1)),
            6 => format!("{{{{range {}}}}}{}{{{{else}}}}none{{{{end}}}}", self.pick(&FIELDS), self.list(depth - 1)),
            7 => {
                let inside = self.list(depth - 1);
                format!("{{{{range $i, $e := {}}}}}{{{{$i}}}}{{{{$e}}}}{inside}{{{{end}}}}", self.pick(&FIELDS))
            }
            8 => format!("{{{{$v := {} -}}}} {{{{$v}}}}", self.pipe(1)),
            _ => {
                let mark = self.pick(&["{{- ", "{{"]);
                format!(
                    "{mark}printf \"{} {}\" {} {} -}}}}",
                    self.verb(),
                    self.verb(),
                    self.operand(1),
                    self.operand(1)
                )
            }
        }
    }

    fn verb(&mut self) -> &'static str {
        self.pick(&VERBS)
    }

    fn pipe(&mut self, depth: usize) -> String {
        let mut text = self.command(depth);
        if self.below(3) == 0 {
            text.push_str(" | ");
            text.push_str(self.pick(&["upper", "len", "json", "print", "html", "printf \"%v\"", "not", "index .l"]));
        }
        text
    }

    fn command(&mut self, depth: usize) -> String {
        if self.below(2) == 0 {
            return self.operand(depth);
        }
        let (name, wanted) = FUNCTIONS[self.below(FUNCTIONS.len())];
        let given = if self.below(8) == 0 { self.below(4) } else { wanted };
        let arguments: String = (0..given).map(|_| format!(" {}", self.operand(depth))).collect();
        format!("{name}{arguments}")
    }

    fn operand(&mut self, depth: usize) -> String {
        match self.below(if depth == 0 { 4 } else { 6 }) {
            0..=2 => self.pick(&FIELDS).to_owned(),
            3 if self.has_pointers => self.pick(&LITERALS[..LITERALS.len() - 2]).to_owned(),
            3 => self.pick(&LITERALS).to_owned(),
            4 => format!("({})", self.pipe(depth - 1)),
            _ => format!("({}).x", self.pipe(depth - 1)),
        }
    }

    fn pick(&mut self, from: &[&'static str]) -> &'static str {
        from[self.below(from.len())]
    }

    /// A number below `limit`, by Marsaglia's xorshift.
    fn below(&mut self, limit: usize) -> usize {
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        usize::try_from((self.state >> 11) % u64::try_from(limit).unwrap()).unwrap()
    }
}
