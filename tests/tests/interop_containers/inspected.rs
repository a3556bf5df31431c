//! What `inspect` says of a container, called as podman, beside the real one.

use serde_json::Value;

use super::{Bench, must, pair, podman_and_dhow};

/// Options of containers, each of which is inspected.
const MADE: [&str; 5] = [
    "",
    "--label a=b --label c -e X=1 -v data:/data -v /etc:/e:ro --tmpfs /t -w /tmp --user 7:8 --hostname away",
    "--cap-add NET_ADMIN --cap-drop CHOWN --read-only --add-host a:1.2.3.4 --group-add 5",
    "--cap-drop ALL --memory 64m --cpu-shares 100 --stop-signal SIGUSR1 --umask 0077 -it --pids-limit 50",
    "--oom-score-adj 100 --security-opt no-new-privileges --entrypoint /bin/sh --device /dev/null:/dev/none",
];

/// What is the same in both, value for value.
const SAME: &str = "{{.Name}} {{.Path}} {{.Args}} {{.State.Status}} {{.State.Running}} {{.State.ExitCode}} {{.State.Pid}} \
    {{.State.Error}} {{.ImageName}} {{.RestartCount}} {{.Pod}} {{.IsInfra}} {{.EffectiveCaps}} {{.BoundingCaps}} {{.ExecIDs}} \
    {{range .Mounts}}{{.Type}} {{.Destination}} {{.RW}} {{.Mode}} {{.Driver}} {{.Options}} {{.Propagation}};{{end}} \
    {{.NetworkSettings.IPAddress}} {{.NetworkSettings.Ports}} {{.Config.User}} {{.Config.DomainName}} {{.Config.Tty}} \
    {{.Config.OpenStdin}} {{.Config.Cmd}} {{.Config.Image}} {{.Config.WorkingDir}} {{.Config.Labels}} {{.Config.Umask}} \
    {{.Config.Timeout}} {{.Config.StopTimeout}} {{.HostConfig.NetworkMode}} {{.HostConfig.AutoRemove}} {{.HostConfig.CapAdd}} \
    {{.HostConfig.CapDrop}} {{.HostConfig.ExtraHosts}} {{.HostConfig.GroupAdd}} \
    {{.HostConfig.IpcMode}} {{.HostConfig.PidMode}} {{.HostConfig.UTSMode}} {{.HostConfig.UsernsMode}} {{.HostConfig.Privileged}} \
    {{.HostConfig.ReadonlyRootfs}} {{.HostConfig.Tmpfs}} {{.HostConfig.OomScoreAdj}} \
    {{.HostConfig.PortBindings}} {{.HostConfig.RestartPolicy.Name}} {{.HostConfig.CpuShares}} {{.HostConfig.Memory}}";

/// Members of podman's document that dhow's lacks, or has with values of another kind.
fn lacking(theirs: &Value, ours: &Value, path: &str, found: &mut Vec<String>) {
    match (theirs, ours) {
        (Value::Null, _) => {}
        (Value::Array(theirs), Value::Array(ours)) => {
            for (theirs, ours) in theirs.iter().zip(ours) {
                lacking(theirs, ours, &format!("{path}[]"), found);
            }
        }
        (Value::Object(theirs), Value::Object(ours)) => {
            for (name, value) in theirs {
                let path = format!("{path}.{name}");
                match ours.get(name) {
                    Some(own) => lacking(value, own, &path, found),
                    None => found.push(path),
                }
            }
        }
        _ if std::mem::discriminant(theirs) != std::mem::discriminant(ours) => found.push(path.to_owned()),
        _ => {}
    }
}

#[test]
fn containers_are_inspected_as_by_podman() {
    let bench = Bench::new();
    let Some((podman, dhow)) = podman_and_dhow(&bench) else { return };
    let both = |arguments: &[&str]| {
        [
            must(podman.command().args(arguments)),
            dhow.must(&[&["--compat", "podman"], arguments].concat()).trim_end().to_owned(),
        ]
    };
    for (number, options) in MADE.iter().enumerate() {
        let name = format!("number-{number}");
        let create = ["create", "--name", &name, "--network", "none", "--ulimit", "nofile=100:200"];
        let options: Vec<&str> = options.split_whitespace().collect();
        both(&[&create[..], &options, &["box", "/bin/true", "a b"]].concat());
        for verb in [&["inspect"][..], &["container", "inspect"]] {
            let [theirs, ours] = both(&[verb, &["--format", SAME, &name]].concat());
            assert_eq!(ours, theirs, "{options:?}");
            let [theirs, ours] =
                both(&[verb, &[&name]].concat()).map(|text| serde_json::from_str::<Value>(&text).expect("JSON"));
            let mut found = Vec::new();
            lacking(&theirs[0], &ours[0], "", &mut found);
            // The driver's and podman's own notes, and what podman 5 has as lists and names.
            let known = [
                ".Config.CreateCommand",
                ".GraphDriver.Data",
                ".Config.Annotations",
                ".Config.StopSignal",
                ".Config.Entrypoint",
            ];
            found.retain(|path| !known.iter().any(|known| path.starts_with(known)));
            assert_eq!(found, Vec::<String>::new(), "{options:?}");
        }
    }
    let [theirs, ours] = both(&["container", "inspect", "--latest", "--size", "--format", "{{.Name}} {{.SizeRw}}"]);
    assert_eq!(ours, theirs);
    for arguments in
        [&["container", "inspect"][..], &["container", "inspect", "-l", "number-1"], &["container", "inspect", "nope"]]
    {
        let theirs = podman.command().args(arguments).output().expect("podman");
        let ours = dhow.command(&[&["--compat", "podman"], arguments].concat()).output().expect("dhow");
        let told = |output: &std::process::Output| {
            let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            (output.status.code(), text(&output.stdout), text(&output.stderr))
        };
        assert_eq!(told(&ours), told(&theirs), "{arguments:?}");
    }
}

/// Options of a container that has what docker shows.
const SHOWN: &str = "--network none -v /etc:/e:ro -v data:/d --mount type=bind,src=/tmp,dst=/m,ro --mount type=volume,src=nv,dst=/nv,ro \
    --mount type=tmpfs,dst=/mt,tmpfs-size=1m,tmpfs-mode=700 --tmpfs /t:size=1m --tmpfs /t2 --device /dev/null:/dev/none:r \
    --sysctl net.core.somaxconn=100 --security-opt no-new-privileges --security-opt seccomp=unconfined --dns-search x.y \
    --dns-option ndots:2 --stop-timeout 5 --stop-signal 99 --health-cmd true --health-interval 5s --expose 80 --expose 90-91/udp \
    --cap-add net_admin --cap-drop ALL --ulimit nofile=1:2 --label q=w --label b=1 -e X=1 --shm-size 1m --memory-swappiness 5";

/// What scripts ask for.
const ASKED: [&str; 26] = [
    "{{index .Config.Labels \"nope\"}}|{{index .Config.Labels \"q\"}}",
    "{{range $port, $to := .NetworkSettings.Ports}}{{$port}}{{end}}|{{.NetworkSettings.IPAddress}}|{{json .NetworkSettings.Ports}}",
    "{{range $name, $of := .NetworkSettings.Networks}}{{$name}} {{$of.IPAddress}} {{$of.IPPrefixLen}}{{end}}",
    "{{if .State.Health}}h{{end}}|{{len .ID}}|{{len .Id}}",
    "{{json .State}}",
    "{{json .Config.Labels}} {{json .Config.Env}} {{json .Config.Cmd}} {{json .Config.Volumes}} {{json .Config.Entrypoint}}",
    "{{json .Config.Healthcheck}} {{.Config.Healthcheck}}",
    "{{json .Config.ExposedPorts}} {{.Config.StopTimeout}} {{.Config.StopSignal}} {{json .Config.Shell}}",
    // In an order that is by chance with docker.
    "{{range .HostConfig.Binds}}{{.}}\n{{end}}",
    "{{range .HostConfig.Mounts}}{{json .}} {{.Type}} {{.Source}} {{.Target}} {{.ReadOnly}};{{end}}",
    "{{json .HostConfig.Tmpfs}} {{.HostConfig.Tmpfs}}",
    "{{json .HostConfig.Devices}} {{.HostConfig.Devices}}",
    "{{json .HostConfig.Sysctls}} {{json .HostConfig.SecurityOpt}}",
    "{{json .HostConfig.DnsSearch}} {{json .HostConfig.DnsOptions}} {{.HostConfig.DNS}}",
    "{{json .HostConfig.CapAdd}} {{json .HostConfig.CapDrop}} {{json .HostConfig.Ulimits}}",
    "{{json .HostConfig.PortBindings}} {{json .HostConfig.Links}} {{json .HostConfig.VolumesFrom}} {{.HostConfig.ContainerIDFile}}",
    "{{json .HostConfig.RestartPolicy}} {{.HostConfig.RestartPolicy}} {{.HostConfig.Isolation}} {{.HostConfig.CgroupParent}}",
    "{{json .HostConfig.BlkioWeightDevice}} {{.HostConfig.BlkioWeight}} {{json .HostConfig.DeviceRequests}} {{json .HostConfig.DeviceCgroupRules}}",
    "{{.HostConfig.PublishAllPorts}} {{.HostConfig.ConsoleSize}} {{.HostConfig.VolumeDriver}} {{json .HostConfig.StorageOpt}}",
    "{{json .HostConfig.ReadonlyPaths}} {{.HostConfig.ShmSize}} {{json .HostConfig.ExtraHosts}} {{json .HostConfig.GroupAdd}}",
    "{{json .HostConfig.MemorySwappiness}} {{json .HostConfig.PidsLimit}} {{.HostConfig.PidsLimit}} {{.HostConfig.Init}}",
    "{{.HostConfig.NetworkMode}} {{.HostConfig.IpcMode}} {{.HostConfig.LogConfig.Config}} {{.HostConfig.CPUShares}} {{.HostConfig.NanoCpus}}",
    "{{range .Mounts}}{{if eq .Destination \"/e\" \"/m\"}}{{json .}}{{end}}{{end}}",
    "{{range .Mounts}}{{if eq .Type \"tmpfs\"}}{{json .}}{{end}}{{end}}",
    "{{range .Mounts}}{{if eq .Type \"volume\"}}{{.Name}}{{.Destination}}{{.Driver}}{{.Mode}}{{.RW}}\n{{end}}{{end}}",
    "{{.HostConfig.Nope}}",
];

#[test]
fn containers_are_inspected_as_by_docker() {
    let bench = Bench::new();
    let Some(pair) = pair(&bench) else { return };
    pair.both(&["import", &bench.path("root.tar").to_string_lossy(), "box"]);
    let options: Vec<&str> = SHOWN.split_whitespace().collect();
    pair.both(&[&["create", "--name", "work"], &options[..], &["box", "/bin/true"]].concat());
    pair.both(&["create", "--name", "bare", "--network", "none", "box", "/bin/true"]);
    pair.both(&["create", "--name", "free", "--network", "none", "--privileged", "--init", "box", "/bin/true"]);
    pair.both(&["create", "--name", "sick", "--network", "none", "--no-healthcheck", "box", "/bin/true"]);
    for name in ["work", "bare", "free", "sick"] {
        for template in ASKED {
            let [theirs, ours] = pair.both(&["inspect", "--format", template, name]).map(|output| output.stdout);
            // Which of several mounts comes first is by chance with docker.
            let sorted = |text: Vec<u8>| {
                let text = String::from_utf8_lossy(&text).into_owned();
                let mut parts: Vec<String> = text.replace("}{", "}\n{").lines().map(str::to_owned).collect();
                parts.sort();
                parts
            };
            assert_eq!(sorted(ours), sorted(theirs), "{name}: {template}");
        }
    }
    pair.both(&["commit", "sick", "sick"]);
    pair.say_the_same(&["image", "inspect", "--format", "{{json .Config.Healthcheck}}", "sick"]);
    pair.docker(&["run", "--name", "no", "--network", "none", "box", "nosuch"]);
    pair.dhow(&["run", "--name", "no", "--network", "none", "box", "nosuch"]);
    pair.say_the_same(&[
        "inspect",
        "--format",
        "{{.State.Status}} {{.State.ExitCode}} {{if .State.Error}}told{{end}}",
        "no",
    ]);
    for size in ["{{if .SizeRootFs}}some{{end}} {{.SizeRw}}", "{{json .SizeRw}}"] {
        pair.say_the_same(&["inspect", "--size", "--format", size, "bare"]);
    }
}
