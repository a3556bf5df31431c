//! A network of its own, in which packets get lost: needs root, `ip` and `iptables`.

use std::io;
use std::process::Command;

use dhow_testkit::peers;

/// A network namespace that has only a loopback; it is gone when dropped.
#[derive(Debug)]
pub struct Namespace {
    name: String,
}

impl Namespace {
    /// Makes one. Its loopback has Ethernet's packet size, so that a transfer is many packets.
    ///
    /// # Errors
    /// That this user or machine has none.
    pub fn make() -> io::Result<Self> {
        if !peers::is_root() {
            return Err(io::Error::new(io::ErrorKind::PermissionDenied, "a network namespace needs root"));
        }
        for program in ["ip", "iptables"] {
            peers::find(program)?;
        }
        let name = format!("dhow-test-{}", std::process::id());
        peers::run(Command::new("ip").args(["netns", "add", &name]))?;
        let namespace = Self { name };
        peers::run(&mut namespace.command("ip", &["link", "set", "lo", "up", "mtu", "1500"]))?;
        Ok(namespace)
    }

    /// A command inside.
    pub fn command(&self, program: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.name, program]).args(arguments);
        command
    }

    /// Has packets lost, and others answered with a reset, by chance.
    ///
    /// `netem` drops packets too, but not every kernel has it and it resets nothing; netfilter's `statistic` does. What asks for a
    /// connection is never answered with a reset: that would say that nobody listens, which is an answer and no bad line.
    ///
    /// # Errors
    /// That the kernel cannot.
    pub fn damage(&self, loss: f64, reset: f64) -> io::Result<()> {
        let rules: [(f64, &[&str], &[&str]); 2] =
            [(loss, &[], &["DROP"]), (reset, &["!", "--syn"], &["REJECT", "--reject-with", "tcp-reset"])];
        for (probability, only, then) in rules {
            let probability = probability.to_string();
            let mut rule = self.command("iptables", &["--wait", "-A", "INPUT", "-p", "tcp"]);
            rule.args(only)
                .args(["-m", "statistic", "--mode", "random", "--probability", &probability, "-j"])
                .args(then);
            peers::run(&mut rule)?;
        }
        Ok(())
    }

    /// Has packets take 3 ms, but for one in twenty, which overtakes those before it.
    ///
    /// # Errors
    /// That the kernel has no `netem`.
    pub fn reorder(&self) -> io::Result<()> {
        let netem = ["qdisc", "add", "dev", "lo", "root", "netem", "delay", "3ms", "reorder", "5%", "25%"];
        peers::run(&mut self.command("tc", &netem)).map(drop)
    }

    /// How many packets each rule took.
    ///
    /// # Errors
    /// Those of asking.
    pub fn taken(&self) -> io::Result<Vec<u64>> {
        let list = peers::stdout_of(&mut self.command("iptables", &["-w", "-nvxL", "INPUT"]))?;
        Ok(list.lines().skip(2).filter_map(|line| line.split_whitespace().next()?.parse().ok()).collect())
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        let _ = peers::run(Command::new("ip").args(["netns", "del", &self.name]));
    }
}
