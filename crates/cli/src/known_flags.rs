//! Every flag about images and containers that docker 28 and podman know is known here too: it is heeded, accepted where it changes nothing, or
//! refused with a reason. None of them is told as a mistake of the user's.

use clap::Command;

use crate::personality::Personality;
use crate::tree;

/// From the help of docker 28.2.2, verb by verb; the program itself first.
const DOCKER: &[(&str, &str)] = &[
    (
        "",
        "--config -c --context -D --debug -H --host -l --log-level --tls --tlscacert --tlscert --tlskey --tlsverify -v --version",
    ),
    ("image history", "--format -H --human --no-trunc --platform -q --quiet"),
    ("image import", "-c --change -m --message --platform"),
    ("image inspect", "-f --format --platform"),
    ("image load", "-i --input --platform -q --quiet"),
    ("image ls", "-a --all --digests -f --filter --format --no-trunc -q --quiet --tree"),
    ("image prune", "-a --all --filter -f --force"),
    ("image pull", "-a --all-tags --disable-content-trust --platform -q --quiet"),
    ("image push", "-a --all-tags --disable-content-trust --platform -q --quiet"),
    ("image rm", "-f --force --no-prune --platform"),
    ("image save", "-o --output --platform"),
    ("image tag", ""),
    ("images", "-a --all --digests -f --filter --format --no-trunc -q --quiet --tree"),
    ("info", "-f --format"),
    ("inspect", "-f --format -s --size --type"),
    ("login", "-p --password --password-stdin -u --username"),
    ("logout", ""),
    ("manifest annotate", "--arch --os --os-features --os-version --variant"),
    ("manifest create", "-a --amend --insecure"),
    ("manifest inspect", "--insecure -v --verbose"),
    ("manifest push", "--insecure -p --purge"),
    ("manifest rm", ""),
    ("search", "-f --filter --format --limit --no-trunc"),
    ("system df", "--format -v --verbose"),
    ("system prune", "-a --all --filter -f --force --volumes"),
    ("version", "-f --format"),
    ("commit", "-a --author -c --change -m --message -p --pause"),
    ("container diff", ""),
    ("container inspect", "-f --format -s --size"),
    ("container prune", "--filter -f --force"),
    ("cp", "-a --archive -L --follow-link -q --quiet"),
    (
        "create",
        "--add-host --annotation -a --attach --blkio-weight --blkio-weight-device --cap-add --cap-drop \
         --cgroup-parent --cgroupns --cidfile --cpu-count --cpu-percent --cpu-period --cpu-quota --cpu-rt-period \
         --cpu-rt-runtime -c --cpu-shares --cpus --cpuset-cpus --cpuset-mems --device --device-cgroup-rule \
         --device-read-bps --device-read-iops --device-write-bps --device-write-iops --disable-content-trust --dns \
         --dns-option --dns-search --domainname --entrypoint -e --env --env-file --expose --gpus --group-add \
         --health-cmd --health-interval --health-retries --health-start-interval --health-start-period \
         --health-timeout --hostname --init -i --interactive --io-maxbandwidth --io-maxiops --ip --ip6 --ipc \
         --isolation --kernel-memory -l --label --label-file --link --link-local-ip --log-driver --log-opt \
         --mac-address -m --memory --memory-reservation --memory-swap --memory-swappiness --mount --name --network \
         --network-alias --no-healthcheck --oom-kill-disable --oom-score-adj --pid --pids-limit --platform \
         --privileged -p --publish -P --publish-all --pull -q --quiet --read-only --restart --rm \
         --security-opt --shm-size --stop-signal --stop-timeout --sysctl --tmpfs -t --tty --ulimit \
         --use-api-socket -u --user --userns --uts -v --volume --volume-driver --volumes-from -w --workdir",
    ),
    ("diff", ""),
    ("export", "-o --output"),
    ("ps", "-a --all -f --filter --format -n --last -l --latest --no-trunc -q --quiet -s --size"),
    ("rename", ""),
    ("rm", "-f --force -l --link -v --volumes"),
    (
        "run",
        "--add-host --annotation -a --attach --blkio-weight --blkio-weight-device --cap-add --cap-drop \
         --cgroup-parent --cgroupns --cidfile --cpu-count --cpu-percent --cpu-period --cpu-quota --cpu-rt-period \
         --cpu-rt-runtime -c --cpu-shares --cpus --cpuset-cpus --cpuset-mems -d --detach --detach-keys --device \
         --device-cgroup-rule --device-read-bps --device-read-iops --device-write-bps --device-write-iops \
         --disable-content-trust --dns --dns-option --dns-search --domainname --entrypoint -e --env --env-file \
         --expose --gpus --group-add --health-cmd --health-interval --health-retries --health-start-interval \
         --health-start-period --health-timeout --hostname --init -i --interactive --io-maxbandwidth --io-maxiops \
         --ip --ip6 --ipc --isolation --kernel-memory -l --label --label-file --link --link-local-ip --log-driver \
         --log-opt --mac-address -m --memory --memory-reservation --memory-swap --memory-swappiness --mount --name \
         --network --network-alias --no-healthcheck --oom-kill-disable --oom-score-adj --pid --pids-limit --platform \
         --privileged -p --publish -P --publish-all --pull -q --quiet --read-only --restart --rm \
         --security-opt --shm-size --sig-proxy --stop-signal --stop-timeout --sysctl --tmpfs -t --tty \
         --ulimit --use-api-socket -u --user --userns --uts -v --volume --volume-driver --volumes-from -w --workdir",
    ),
    ("start", "-a --attach --checkpoint --checkpoint-dir --detach-keys -i --interactive"),
    (
        "volume create",
        "--availability -d --driver --group --label --limit-bytes -o --opt --required-bytes --scope --secret \
         --sharing --topology-preferred --topology-required --type",
    ),
    ("volume inspect", "-f --format"),
    ("volume ls", "--cluster -f --filter --format -q --quiet"),
    ("volume prune", "-a --all --filter -f --force"),
    ("volume rm", "-f --force"),
];

/// From the help of podman 4.3.1, and what podman 5 has beside that.
const PODMAN: &[(&str, &str)] = &[
    (
        "",
        "--cgroup-manager --conmon -c --connection --events-backend --hooks-dir --identity --imagestore --log-level --module \
         --network-cmd-path --network-config-dir --noout --out -r --remote --root --runroot --runtime --runtime-flag --storage-driver \
         --storage-opt --syslog --tmpdir --url -v --version --volumepath",
    ),
    ("diff", "--format -l --latest"),
    ("history", "--format -H --human --no-trunc -q --quiet"),
    ("image diff", "--format"),
    ("image exists", ""),
    ("image import", "--arch -c --change -m --message --os -q --quiet --variant"),
    ("image inspect", "-f --format"),
    ("image ls", "-a --all --digests -f --filter --format --history --no-trunc -n --noheading -q --quiet --sort"),
    ("image load", "-i --input -q --quiet"),
    ("image mount", "-a --all --format"),
    ("image prune", "-a --all --build-cache --external --filter -f --force"),
    (
        "image pull",
        "-a --all-tags --arch --authfile --cert-dir --creds --disable-content-trust --os --platform --policy -q --quiet --retry \
         --retry-delay --tls-verify --variant",
    ),
    (
        "image push",
        "--authfile --cert-dir --compress --compression-format --compression-level --creds --digestfile \
         --disable-content-trust --encrypt-layer --encryption-key --force-compression -f --format -q --quiet \
         --remove-signatures --retry --retry-delay --sign-by --sign-by-sigstore --sign-by-sigstore-private-key \
         --sign-by-sq-fingerprint --sign-passphrase-file --tls-verify",
    ),
    ("image rm", "-a --all -f --force -i --ignore --no-prune"),
    ("image save", "--compress --format -m --multi-image-archive -o --output -q --quiet --uncompressed"),
    (
        "image search",
        "--authfile --cert-dir --compatible --creds -f --filter --format --limit --list-tags --no-trunc --tls-verify",
    ),
    ("image tag", ""),
    ("image tree", "--whatrequires"),
    ("image unmount", "-a --all -f --force"),
    ("image untag", ""),
    ("info", "-f --format"),
    ("inspect", "-f --format -s --size -t --type"),
    (
        "login",
        "--authfile --cert-dir --get-login -p --password --password-stdin --tls-verify -u --username -v --verbose",
    ),
    ("logout", "-a --all --authfile"),
    (
        "manifest add",
        "--all --annotation --arch --artifact --artifact-type --authfile --cert-dir --creds --features --os --os-features \
         --os-version --tls-verify --variant",
    ),
    ("manifest annotate", "--annotation --arch --features --index --os --os-features --os-version --subject --variant"),
    ("manifest create", "--all -a --amend --annotation --tls-verify"),
    ("manifest exists", ""),
    ("manifest inspect", "--authfile --tls-verify -v --verbose"),
    (
        "manifest push",
        "--add-compression --all --authfile --cert-dir --compression-format --compression-level --creds --digestfile \
         --force-compression -f --format -q --quiet --remove-signatures --rm --sign-by --sign-by-sigstore \
         --sign-by-sigstore-private-key --sign-passphrase-file --tls-verify",
    ),
    ("manifest rm", "-i --ignore"),
    ("system df", "--format -v --verbose"),
    ("system prune", "-a --all --build --external --filter -f --force --volumes"),
    ("version", "-f --format"),
    (
        "commit",
        "-a --author -c --change -f --format --iidfile --include-volumes -m --message -p --pause -q --quiet -s \
         --squash",
    ),
    ("container diff", "--format -l --latest"),
    ("container exists", "--external"),
    ("container inspect", "-f --format -l --latest -s --size"),
    ("container prune", "--filter -f --force"),
    ("cp", "-a --archive"),
    ("cp", "-a --archive --overwrite"),
    (
        "create",
        "--creds --decryption-key --group-entry --health-log-destination --health-max-log-count --health-max-log-size \
         --health-startup-cmd --health-startup-interval --health-startup-retries --health-startup-success \
         --health-startup-timeout --hosts-file --no-hostname --rdt-class --retry --retry-delay --shm-size-systemd \
         --arch --os --variant --add-host --annotation -a --attach --authfile --blkio-weight --blkio-weight-device --cap-add \
         --cap-drop --cgroup-conf --cgroup-parent --cgroupns --cgroups --chrootdirs --cidfile --conmon-pidfile \
         --cpu-period --cpu-quota --cpu-rt-period --cpu-rt-runtime -c --cpu-shares --cpus --cpuset-cpus --cpuset-mems \
         --device --device-cgroup-rule --device-read-bps --device-read-iops --device-write-bps --device-write-iops \
         --disable-content-trust --dns --dns-option --dns-search --entrypoint -e --env --env-file --env-host \
         --env-merge --expose --gidmap --group-add --health-cmd --health-interval --health-on-failure \
         --health-retries --health-start-period --health-timeout --hostname --hostuser --http-proxy --image-volume \
         --init --init-ctr --init-path -i --interactive --ip --ip6 --ipc -l --label --label-file --log-driver \
         --log-opt --mac-address -m --memory --memory-reservation --memory-swap --memory-swappiness --mount --name \
         --network --network-alias --no-healthcheck --no-hosts --oom-kill-disable --oom-score-adj --passwd-entry \
         --personality --pid --pidfile --pids-limit --platform --pod --pod-id-file --privileged -p --publish -P \
         --publish-all --pull -q --quiet --read-only --read-only-tmpfs --replace --requires --restart --rm --rootfs \
         --sdnotify --seccomp-policy --secret --security-opt --shm-size --stop-signal --stop-timeout --subgidname \
         --subuidname --sysctl --systemd --timeout --tls-verify --tmpfs -t --tty --tz --uidmap --ulimit --umask \
         --unsetenv --unsetenv-all -u --user --userns --uts -v --volume --volumes-from -w --workdir",
    ),
    ("export", "-o --output"),
    ("mount", "-a --all --format -l --latest --no-trunc"),
    (
        "ps",
        "-a --all --external -f --filter --format -n --last -l --latest --no-trunc --noheading --ns -p --pod -q \
         --quiet -s --size --sort --sync -w --watch",
    ),
    ("rename", ""),
    ("rm", "-a --all --cidfile --depend --filter -f --force -i --ignore -l --latest -t --time -v --volumes"),
    (
        "run",
        "--creds --decryption-key --group-entry --health-log-destination --health-max-log-count --health-max-log-size \
         --health-startup-cmd --health-startup-interval --health-startup-retries --health-startup-success \
         --health-startup-timeout --hosts-file --no-hostname --rdt-class --retry --retry-delay --shm-size-systemd \
         --arch --os --variant --add-host --annotation -a --attach --authfile --blkio-weight --blkio-weight-device --cap-add \
         --cap-drop --cgroup-conf --cgroup-parent --cgroupns --cgroups --chrootdirs --cidfile --conmon-pidfile \
         --cpu-period --cpu-quota --cpu-rt-period --cpu-rt-runtime -c --cpu-shares --cpus --cpuset-cpus --cpuset-mems \
         -d --detach --detach-keys --device --device-cgroup-rule --device-read-bps --device-read-iops \
         --device-write-bps --device-write-iops --disable-content-trust --dns --dns-option --dns-search --entrypoint \
         -e --env --env-file --env-host --env-merge --expose --gidmap --group-add --health-cmd --health-interval \
         --health-on-failure --health-retries --health-start-period --health-timeout --hostname --hostuser \
         --http-proxy --image-volume --init --init-path -i --interactive --ip --ip6 --ipc -l --label --label-file \
         --log-driver --log-opt --mac-address -m --memory --memory-reservation --memory-swap --memory-swappiness \
         --mount --name --network --network-alias --no-healthcheck --no-hosts --oom-kill-disable --oom-score-adj \
         --passwd --passwd-entry --personality --pid --pidfile --pids-limit --platform --pod --pod-id-file \
         --preserve-fds --privileged -p --publish -P --publish-all --pull -q --quiet --read-only --read-only-tmpfs \
         --replace --requires --restart --rm --rmi --rootfs --sdnotify --seccomp-policy --secret --security-opt \
         --shm-size --sig-proxy --stop-signal --stop-timeout --subgidname --subuidname --sysctl --systemd --timeout \
         --tls-verify --tmpfs -t --tty --tz --uidmap --ulimit --umask --unsetenv --unsetenv-all -u --user --userns \
         --uts -v --volume --volumes-from -w --workdir",
    ),
    ("start", "--all -a --attach --detach-keys -f --filter -i --interactive -l --latest --sig-proxy"),
    ("unmount", "-a --all -f --force -l --latest"),
    ("unshare", "--rootless-netns"),
    ("volume create", "--driver --ignore -l --label -o --opt"),
    ("volume exists", ""),
    ("volume inspect", "-a --all -f --format"),
    ("volume ls", "-f --filter --format -n --noheading -q --quiet"),
    ("volume prune", "--filter -f --force"),
    ("volume rm", "-a --all -f --force -t --time"),
];

/// The command at the end of the words.
fn at<'c>(root: &'c Command, words: &str) -> &'c Command {
    words.split_whitespace().fold(root, |command, word| {
        command.find_subcommand(word).unwrap_or_else(|| panic!("{words:?}: there is no {word:?}"))
    })
}

fn knows(command: &Command, flag: &str) -> bool {
    command.get_arguments().any(|argument| match flag.strip_prefix("--") {
        Some(long) => argument.get_long_and_visible_aliases().is_some_and(|names| names.contains(&long)),
        None => flag.chars().nth(1).is_some_and(|letter| argument.get_short() == Some(letter)),
    })
}

fn unknown(personality: Personality, flags: &[(&str, &str)]) -> Vec<String> {
    let root = tree::root(personality);
    let mut unknown = Vec::new();
    for (words, flags) in flags {
        let command = at(&root, words);
        let missing = flags.split_whitespace().filter(|flag| !knows(command, flag));
        unknown.extend(missing.map(|flag| format!("{} {words} {flag}", personality.program())));
    }
    unknown
}

#[test]
fn all_flags_of_docker_and_podman_are_known() {
    assert_eq!(unknown(Personality::Docker, DOCKER), Vec::<String>::new());
    assert_eq!(unknown(Personality::Dhow, DOCKER), Vec::<String>::new());
    assert_eq!(unknown(Personality::Podman, PODMAN), Vec::<String>::new());
    assert_eq!(unknown(Personality::Docker, &[("images", "--nope -z")]), ["docker images --nope", "docker images -z"]);
}
