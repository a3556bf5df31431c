//! A line of values between commas, as `--mount` is one (RFC 4180, with the mistakes of Go's `encoding/csv`).

/// The values of a line.
///
/// # Errors
/// Go's words.
pub(super) fn fields(line: &str) -> Result<Vec<String>, String> {
    if line.is_empty() {
        return Err("EOF".to_owned());
    }
    let mistake =
        |rest: &str, what: &str| Err(format!("parse error on line 1, column {}: {what}", line.len() - rest.len() + 1));
    let (mut fields, mut rest) = (Vec::new(), line);
    loop {
        let Some(quoted) = rest.strip_prefix('"') else {
            let (field, left) = rest.split_once(',').map_or((rest, None), |(field, left)| (field, Some(left)));
            if let Some(position) = field.find('"') {
                return mistake(&rest[position..], "bare \" in non-quoted field");
            }
            fields.push(field.to_owned());
            match left {
                Some(left) => rest = left,
                None => return Ok(fields),
            }
            continue;
        };
        let (mut field, mut left) = (String::new(), quoted);
        loop {
            let Some((text, after)) = left.split_once('"') else {
                return mistake("", "extraneous or missing \" in quoted-field");
            };
            field.push_str(text);
            match after.as_bytes().first() {
                Some(b'"') => {
                    field.push('"');
                    left = &after[1..];
                }
                None => {
                    fields.push(field);
                    return Ok(fields);
                }
                Some(b',') => {
                    fields.push(field);
                    rest = &after[1..];
                    break;
                }
                Some(_) => return mistake(&left[text.len()..], "extraneous or missing \" in quoted-field"),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::fields;

    #[test]
    fn values_may_be_quoted() {
        let check = |line: &str, expected: &str| {
            let got = fields(line).map_or_else(|error| error, |fields| fields.join("|"));
            assert_eq!(got, expected, "{line}");
        };
        check("a=1,b", "a=1|b");
        check("a,\"b=c,d\",e", "a|b=c,d|e");
        check("\"say \"\"x\"\"\"", "say \"x\"");
        check("a,,", "a||");
        check("", "EOF");
        check("a,b\"c", "parse error on line 1, column 4: bare \" in non-quoted field");
        check(
            "\"type=bind,src=/a,dst=/b",
            "parse error on line 1, column 25: extraneous or missing \" in quoted-field",
        );
        check("\"a\"b", "parse error on line 1, column 3: extraneous or missing \" in quoted-field");
    }
}
