//! What `ls`, `diff`, `cp` and `cat` say of an image that is not unpacked: they look into its layers, and leave outlines of them.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use dhow_testkit::images::sha256;
use dhow_tests::crash::Dhow;
use dhow_tests::interop::{Bench, Sample, must};
use serde_json::Value;

use crate::images::BELOW;
use crate::listing::{Except, Listing, assert_equal, listing};
use crate::{NAME, load};

/// In a store that has nothing but the image, looking at it says what unpacking it makes: `ls` and `diff` of all of it, `cp` of `parts`,
/// `cat` of `files`, each with the file that it leads to. No whole layer is made for them, but that with the content where this stands
/// under another name: of a file with several, or behind links.
pub(crate) fn outlines_say_what_is_unpacked(
    bench: &Bench,
    image: &Sample,
    ours: &Path,
    parts: &[String],
    files: &[(&str, &str)],
) {
    let dhow = bench.dhow("looked-into");
    load(&dhow, image);
    let unpacked = listing(ours, Except::default());
    let listed = [&["ls", "-d"][..], &["ls", "-R"]].map(|words| {
        let place = format!("{NAME}:/");
        dhow.must(&[words, &["--format", "json", &place]].concat())
    });
    assert_equal(&as_ls_shows(&unpacked, ours), &from_ls(&listed.concat()), "ls");
    assert!(has_only_outlines(&dhow), "ls: {:?}", layer_files(&dhow));
    diff_is_told(bench, &dhow, &unpacked);
    for part in parts {
        forget_layers(&dhow);
        let folder = bench.path("a-part");
        fs::create_dir(&folder).expect("a folder");
        copy(&dhow, &format!("{NAME}:/{part}"), &folder);
        let name = part.rsplit('/').next().expect("a name");
        let copied = below(&listing(&folder, Except::default()), name);
        assert_parts(&below(&unpacked, part), &copied, &format!("cp of /{part}"));
        assert!(
            has_other_content(&unpacked, part) || has_only_outlines(&dhow),
            "cp of /{part}: {:?}",
            layer_files(&dhow)
        );
        fs::remove_dir_all(&folder).expect("removed");
    }
    for (file, found) in files {
        forget_layers(&dhow);
        let output = dhow.command(&["cat", &format!("{NAME}:/{file}")]).output().expect("dhow runs");
        assert!(output.status.success(), "{file}: {}", String::from_utf8_lossy(&output.stderr));
        let expected = fs::read(ours.join(found)).expect("a file");
        assert!(sha256(&output.stdout) == sha256(&expected), "cat of /{file}: {} bytes", output.stdout.len());
        let whole = layer_files(&dhow).iter().filter(|name| !name.ends_with(".outline")).count();
        let whole_max = usize::from(file != found || has_other_content(&unpacked, found));
        assert!(whole <= whole_max, "cat of /{file}: {:?}", layer_files(&dhow));
    }
}

/// The names of the files that unpacked layers and outlines have in the store.
fn layer_files(dhow: &Dhow) -> Vec<String> {
    let entries = fs::read_dir(dhow.root().join("layers/v1")).into_iter().flatten().flatten();
    entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}

fn has_only_outlines(dhow: &Dhow) -> bool {
    let names = layer_files(dhow);
    !names.is_empty() && names.iter().all(|name| name.ends_with(".outline"))
}

/// Whether a file at or below a path has its first name, with which the content stands in a layer, elsewhere.
fn has_other_content(tree: &Listing, part: &str) -> bool {
    let hex: String = format!("/{part}").bytes().map(|byte| format!("{byte:02x}")).collect();
    let mut groups = tree.iter().filter(|(path, _)| is_at_or_below(path, part)).map(|(_, cells)| &cells[6]);
    groups.any(|group| !group.is_empty() && !group.starts_with(&hex))
}

fn is_at_or_below(path: &str, part: &str) -> bool {
    path[1.min(path.len())..].strip_prefix(part).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

fn forget_layers(dhow: &Dhow) {
    fs::remove_dir_all(dhow.root().join("layers/v1")).expect("the layers");
}

/// A tree as `ls` shows it: sizes in place of content, and nothing of other names.
fn as_ls_shows(tree: &Listing, root: &Path) -> Listing {
    let shown = |(path, cells): (&String, &Vec<String>)| {
        let mut cells = cells.clone();
        cells.truncate(6);
        match cells[0].as_str() {
            // Not every name is text.
            "file" => {
                cells[4] =
                    fs::metadata(root.join(&path[1..])).map_or_else(|_| "?".to_owned(), |file| file.len().to_string())
            }
            "link" => {
                let hex = |at: usize| u8::from_str_radix(&cells[4][at..at + 2], 16).expect("hex");
                let target: Vec<u8> = (0..cells[4].len()).step_by(2).map(hex).collect();
                cells[4] = String::from_utf8_lossy(&target).into_owned();
            }
            _ => {}
        }
        (path.clone(), cells)
    };
    tree.iter().map(shown).collect()
}

/// What `ls` says, a document a line, as [`LIST`](crate::listing::LIST) does.
fn from_ls(text: &str) -> Listing {
    let mut found = Listing::new();
    for line in text.lines() {
        let file: Value = serde_json::from_str(line).expect("JSON");
        let path = file["path"].as_str().expect("a path").trim_end_matches('/').to_owned();
        let kind = match file["type"].as_str().expect("a type") {
            "file" => "file",
            "directory" => "dir",
            "symlink" => "link",
            "fifo" => "pipe",
            "char-device" => "char",
            "block-device" => "block",
            other => panic!("{path}: {other}"),
        };
        let content = match kind {
            "file" if path.contains('\u{fffd}') => "?".to_owned(),
            "file" => file["sizeBytes"].to_string(),
            "link" => file["target"].as_str().expect("a target").to_owned(),
            "char" | "block" => format!("{}:{}", file["device"]["major"], file["device"]["minor"]),
            _ => String::new(),
        };
        let mode = u32::from_str_radix(file["mode"].as_str().expect("a mode"), 8).expect("octal");
        let time: jiff::Timestamp = file["modified"].as_str().expect("a time").parse().expect("a time");
        let xattrs: BTreeMap<String, String> = serde_json::from_value(file["xattrs"].clone()).expect("attributes");
        let xattrs: Vec<String> = xattrs.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let owner = format!("{}:{}", file["uid"], file["gid"]);
        let time = time.as_nanosecond().to_string();
        found.insert(path, vec![kind.to_owned(), format!("{mode:o}"), owner, time, content, xattrs.join(",")]);
    }
    found
}

/// `diff` of the image and of what it lies on is the difference of their trees, whatever is looked into.
fn diff_is_told(bench: &Bench, dhow: &Dhow, unpacked: &Listing) {
    let lower = bench.path("below");
    bench.dhow("store").must(&["unpack", BELOW, lower.to_str().expect("a path")]);
    let lower = listing(&lower, Except::default());
    // Times alone are no difference, and another name of a file is none of its own.
    let told = |cells: &Vec<String>| [&cells[..3], &cells[4..6]].concat();
    let mut expected: Vec<String> = Vec::new();
    for (path, cells) in lower.iter().filter(|(path, _)| !path.is_empty()) {
        match unpacked.get(path) {
            None => expected.push(format!("D {path}")),
            Some(upper) if told(upper) != told(cells) => expected.push(format!("C {path}")),
            Some(_) => {}
        }
    }
    expected.extend(unpacked.keys().filter(|path| !lower.contains_key(*path)).map(|path| format!("A {path}")));
    expected.sort();
    assert!(expected.len() > 10, "{expected:?}");
    for looked_into in [dhow, &bench.dhow("store")] {
        let said = looked_into.must(&["diff", "--no-size", BELOW, NAME]);
        let mut said: Vec<&str> = said.lines().collect();
        said.sort_unstable();
        assert_eq!(said, expected);
    }
}

/// Copies to an archive, and has GNU tar take that apart.
fn copy(dhow: &Dhow, place: &str, folder: &Path) {
    let mut cp = dhow.command(&["cp", place, "-"]).stdout(Stdio::piped()).spawn().expect("dhow runs");
    let mut tar = Command::new("tar");
    tar.args(["--xattrs", "--xattrs-include=*", "--numeric-owner", "-xpf", "-"]).current_dir(folder);
    must(tar.stdin(cp.stdout.take().expect("its output")));
    assert!(cp.wait().expect("dhow").success(), "cp of {place}");
}

/// What is at a path of a tree and below it, by the paths from there.
fn below(tree: &Listing, part: &str) -> Listing {
    let at = format!("/{part}");
    let inside =
        |path: &str| path.strip_prefix(&at).filter(|rest| rest.is_empty() || rest.starts_with('/')).map(str::to_owned);
    let mut found: Listing = tree.iter().filter_map(|(path, cells)| Some((inside(path)?, cells.clone()))).collect();
    // A group is named by the first of its names, which is another one here, and one that is alone is none.
    let mut groups: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (path, cells) in found.iter().filter(|(_, cells)| !cells[6].is_empty()) {
        groups.entry(cells[6].clone()).or_default().push(path.clone());
    }
    for names in groups.values() {
        let group = if names.len() > 1 { names[0].clone() } else { String::new() };
        for name in names {
            found.get_mut(name).expect("a file")[6].clone_from(&group);
        }
    }
    found
}

#[track_caller]
fn assert_parts(ours: &Listing, copied: &Listing, what: &str) {
    assert!(!ours.is_empty() && ours.len() == copied.len(), "{what}: {} and {} files", ours.len(), copied.len());
    for (path, cells) in ours {
        assert_eq!(Some(cells), copied.get(path), "{what}: {path}");
    }
}
