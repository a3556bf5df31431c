//! A container's `/etc/hosts`.

use dhow_sandbox::container::Habits;

use super::settings::{Configuration, Network};

/// Docker's hosts of a container that has no network of the machine's.
const LOOPBACK: &str = "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\nfe00::\tip6-localnet\n\
                        ff00::\tip6-mcastprefix\nff02::1\tip6-allnodes\nff02::2\tip6-allrouters\n";

/// The text of a container's `/etc/hosts`, where `machine` is this machine's and `name` the container's own.
pub(super) fn text(machine: &str, configuration: &Configuration, name: Option<&str>) -> String {
    let Configuration { config, settings, .. } = configuration;
    let has_network = settings.network == Network::Host;
    let given: String = settings
        .extra_hosts
        .iter()
        .filter_map(|host| host.split_once(':').or_else(|| host.split_once('=')))
        .map(|(name, address)| format!("{address}\t{name}\n"))
        .collect();
    let mut hosts = if has_network || settings.habits == Habits::Podman { machine } else { LOOPBACK }.to_owned();
    if !hosts.is_empty() && !hosts.ends_with('\n') {
        hosts.push('\n');
    }
    match settings.habits {
        Habits::Docker => hosts.push_str(&given),
        // The first line that has a name counts, and podman's user comes before the machine (containers/common `etchosts`).
        Habits::Podman => hosts.insert_str(0, &given),
    }
    let is_known = |hosts: &str, name: &str| hosts.split_whitespace().any(|word| word == name);
    match (settings.habits, has_network) {
        (Habits::Podman, true) => {
            let missing: Vec<&str> = MACHINE.into_iter().filter(|name| !is_known(&hosts, name)).collect();
            if !missing.is_empty() {
                hosts.extend(["127.0.0.1\t", &missing.join(" "), "\n"]);
            }
        }
        (Habits::Podman, false) => {
            let own = [config.hostname.as_str(), name.unwrap_or_default()].join(" ");
            hosts.extend(["127.0.0.1\t", own.trim_end(), "\n"]);
        }
        _ => {}
    }
    if has_network && !is_known(&hosts, &config.hostname) {
        // Podman's containers go by both of their names.
        let name = name.filter(|_| settings.habits == Habits::Podman).unwrap_or_default();
        let own = [config.hostname.as_str(), name].join(" ");
        hosts.extend(["127.0.1.1\t", own.trim_end(), "\n"]);
    }
    if settings.habits == Habits::Podman && !is_known(&hosts, "localhost") {
        hosts.push_str("127.0.0.1\tlocalhost\n::1\tlocalhost\n");
    }
    hosts
}

/// Podman's names for the machine, of which the second one is docker's.
const MACHINE: [&str; 2] = ["host.containers.internal", "host.docker.internal"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_whoever_s_the_container_is_like() {
        let check = |habits, network, expected: &str| {
            let mut configuration = Configuration::default();
            configuration.config.hostname = "box".to_owned();
            configuration.settings.habits = habits;
            configuration.settings.network = network;
            configuration.settings.extra_hosts = vec!["db:1.2.3.4".to_owned()];
            assert_eq!(text("127.0.0.1 here", &configuration, Some("name")), expected, "{habits:?} {network:?}");
        };
        check(Habits::Docker, Network::Host, "127.0.0.1 here\n1.2.3.4\tdb\n127.0.1.1\tbox\n");
        check(Habits::Docker, Network::None, &format!("{LOOPBACK}1.2.3.4\tdb\n"));
        let machine = "127.0.0.1\thost.containers.internal host.docker.internal\n127.0.1.1\tbox name\n";
        let local = "127.0.0.1\tlocalhost\n::1\tlocalhost\n";
        check(Habits::Podman, Network::Host, &format!("1.2.3.4\tdb\n127.0.0.1 here\n{machine}{local}"));
        check(Habits::Podman, Network::None, &format!("1.2.3.4\tdb\n127.0.0.1 here\n127.0.0.1\tbox name\n{local}"));
    }
}
