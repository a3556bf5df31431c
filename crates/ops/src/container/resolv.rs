//! A container's `/etc/resolv.conf` (resolv.conf(5)).

use std::fmt::Write as _;

use super::settings::Settings;

/// The search path that takes away the machine's.
const NO_SEARCH: &str = ".";

/// The machine's file, with what the user gave for servers, search path or options instead of what it says of each (moby,
/// `libnetwork/internal/resolvconf`).
pub(super) fn with(machine: String, settings: &Settings) -> String {
    let Settings { name_servers, search_domains, resolver_options, .. } = settings;
    if name_servers.is_empty() && search_domains.is_empty() && resolver_options.is_empty() {
        return machine;
    }
    let of_machine = |names: &[&str]| {
        let words = |line: &str| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        let lines =
            machine.lines().map(words).filter(|words| words.first().is_some_and(|name| names.contains(&name.as_str())));
        lines.map(|words| words[1..].to_vec()).collect::<Vec<_>>()
    };
    let or = |given: &[String], machine: Option<Vec<String>>| match given {
        [] => machine.unwrap_or_default(),
        given => given.to_vec(),
    };
    let servers = or(name_servers, Some(of_machine(&["nameserver"]).concat()));
    // Of several lines the last one counts.
    let mut search = or(search_domains, of_machine(&["search", "domain"]).pop());
    search.retain(|domain| domain != NO_SEARCH);
    let options = or(resolver_options, Some(of_machine(&["options"]).concat()));
    let mut text: String = servers.iter().map(|server| format!("nameserver {server}\n")).collect();
    for (name, words) in [("search", search), ("options", options)] {
        if !words.is_empty() {
            let _ = writeln!(text, "{name} {}", words.join(" "));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_given_stands_in_for_what_the_machine_says() {
        let machine =
            "# by hand\nnameserver 10.0.0.1\nnameserver 10.0.0.2\nsearch a.example b.example\noptions ndots:1\n";
        let check = |servers: &str, search: &str, options: &str, expected: &str| {
            let words = |text: &str| text.split_whitespace().map(str::to_owned).collect();
            let settings = Settings {
                name_servers: words(servers),
                search_domains: words(search),
                resolver_options: words(options),
                ..Settings::default()
            };
            assert_eq!(with(machine.to_owned(), &settings), expected);
        };
        check("", "", "", machine);
        check("8.8.8.8", "", "", "nameserver 8.8.8.8\nsearch a.example b.example\noptions ndots:1\n");
        check("", "c.example", "", "nameserver 10.0.0.1\nnameserver 10.0.0.2\nsearch c.example\noptions ndots:1\n");
        check("8.8.8.8", ".", "ndots:2 rotate", "nameserver 8.8.8.8\noptions ndots:2 rotate\n");
    }
}
