//! This test program, started again as another process that works on the same store.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::common::SCRATCH;
use crate::{crash, outlines, power, processes};

const ORDER: &str = "DHOW_STORE_TEST_ORDER";

/// A process that will run `order` on the store at `root`, with up to two further words. What it makes aside is in `folder`, which
/// goes with the test: the process may be killed before it removes anything.
pub(crate) fn command(order: &str, folder: &Path, root: &Path, words: &[&str]) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "child::child", "--ignored", "--nocapture", "--test-threads=1"]);
    command.env(SCRATCH, folder).env(ORDER, [&[order, root.to_str().unwrap()], words].concat().join("\n"));
    command.stdout(Stdio::null()).stderr(Stdio::inherit()).stdin(Stdio::null());
    command
}

#[test]
#[ignore = "only run by other tests, as another process"]
fn child() {
    let Ok(order) = std::env::var(ORDER) else { return };
    let words: Vec<&str> = order.split('\n').collect();
    let root = PathBuf::from(words[1]);
    match words[0] {
        "crash" => crash::child(&root, Path::new(words[2]), words.get(3).copied().unwrap_or_default()),
        "outlines" => outlines::child(&root, words[2]),
        "power" => power::child(&root, Path::new(words[2]), words[3]),
        "busy" => processes::child(&root, words[2].parse().unwrap()),
        other => panic!("unknown order {other}"),
    }
}
