//! Help in docker's shape.

use clap::{Arg, Command};

use crate::personality::Personality;
use crate::tree::Located;
use crate::verb::Node;

/// The help of a place on the command line, every line ended.
pub(crate) fn render(personality: Personality, root: &Command, located: &Located) -> String {
    let command = located.command(root);
    let mut sections = vec![usage(personality, located, command), about(command)];
    if let Some(paths) = located.nodes.last().map(|node| node.paths).filter(|paths| !paths.is_empty()) {
        let program = personality.program();
        let paths: Vec<String> = paths.iter().map(|path| format!("{program} {path}")).collect();
        sections.push(format!("Aliases:\n  {}", paths.join(", ")));
    }
    let members = located.nodes.last().map_or(personality.tree(), |node| node.members());
    let (groups, verbs): (Vec<&Node>, Vec<&Node>) =
        members.iter().filter(|node| !node.hidden).partition(|node| !node.members().is_empty());
    sections.extend(words("Commands:", &verbs));
    sections.extend(words("Management Commands:", &groups));
    let is_top = located.nodes.is_empty();
    sections.extend(options(if is_top { "Global Options:" } else { "Options:" }, command, is_top));
    if !members.is_empty() {
        sections.push(format!("Run '{} COMMAND --help' for more information on a command.", located.path));
    }
    format!("\n{}\n", sections.join("\n\n"))
}

fn usage(personality: Personality, located: &Located, command: &Command) -> String {
    let usage = located.usage(command);
    let below = match located.nodes.last().filter(|node| !node.members().is_empty()) {
        // What does something by itself needs no other word.
        Some(node) if node.handle(personality).is_some() => " [COMMAND]",
        Some(_) => " COMMAND",
        None => "",
    };
    format!("Usage:  {usage}{below}")
}

fn about(command: &Command) -> String {
    command.get_about().map(ToString::to_string).unwrap_or_default()
}

fn words(title: &str, nodes: &[&Node]) -> Option<String> {
    let width = nodes.iter().map(|node| node.name.len()).max()?.max(11);
    let lines: Vec<String> = nodes.iter().map(|node| format!("  {:<width$} {}", node.name, node.about())).collect();
    Some(format!("{title}\n{}", lines.join("\n")))
}

/// The options that belong to the place itself: those of every command are told at the top only.
fn options(title: &str, command: &Command, is_top: bool) -> Option<String> {
    let is_own = |argument: &&Arg| {
        let is_shown = !argument.is_positional() && !argument.is_hide_set() && argument.get_id() != "help";
        is_shown && (is_top || !argument.is_global_set())
    };
    let mut arguments: Vec<&Arg> = command.get_arguments().filter(is_own).collect();
    arguments.sort_by_key(|argument| argument.get_long());
    let heads: Vec<String> = arguments.iter().map(|argument| head(argument)).collect();
    let width = heads.iter().map(String::len).max()?;
    let lines: Vec<String> = heads
        .iter()
        .zip(&arguments)
        .map(|(head, argument)| {
            let help = argument.get_help().map(ToString::to_string).unwrap_or_default();
            format!("{head:<width$}   {help}")
        })
        .collect();
    Some(format!("{title}\n{}", lines.join("\n")))
}

fn head(argument: &Arg) -> String {
    let short = argument.get_short().map_or_else(|| "    ".to_owned(), |letter| format!("-{letter}, "));
    let long = argument.get_long().unwrap_or_default();
    let value = argument.get_value_names().and_then(|names| names.first()).filter(|name| *name != "bool");
    let value = value.map(|name| format!(" {name}")).unwrap_or_default();
    format!("  {short}--{long}{value}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree;

    #[test]
    fn a_verb_with_others_below_it_needs_none_of_them() {
        for (word, expected) in
            [("serve", "Usage:  dhow serve [OPTIONS] [COMMAND]"), ("image", "Usage:  dhow image COMMAND")]
        {
            let located = Located::follow(Personality::Dhow, [word]);
            let help = render(Personality::Dhow, &tree::root(Personality::Dhow), &located);
            assert_eq!(help.lines().nth(1), Some(expected));
        }
    }
}
