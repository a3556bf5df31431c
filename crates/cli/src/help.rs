//! Help in docker's shape.

use clap::{Arg, Command};

use crate::personality::Personality;
use crate::tree::Located;
use crate::verb::Node;

/// The help of a place on the command line, every line ended.
pub(crate) fn render(personality: Personality, root: &Command, located: &Located) -> String {
    let command = located.command(root);
    let mut sections = vec![usage(located, command), about(command)];
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

fn usage(located: &Located, command: &Command) -> String {
    let usage = located.usage(command);
    let is_group = located.nodes.last().is_some_and(|node| !node.members().is_empty());
    let command = if is_group { " COMMAND" } else { "" };
    format!("Usage:  {usage}{command}")
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
