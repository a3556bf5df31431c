//! What `inspect` says of containers, and what `run` and `create` keep for it.

#![allow(clippy::disallowed_methods, reason = "scratch files of the test itself")]

use std::fs;
use std::os::unix::fs::PermissionsExt;

use dhow_tests::scene::Scene;
use serde_json::Value;

use super::run::scene;

/// What docker's template says of a container, in its own words.
#[track_caller]
fn says(scene: &Scene, name: &str, template: &str, expected: &str) {
    let said = scene.docker(&["inspect", "--format", template, name]);
    assert_eq!((said.code, said.stdout.trim_end()), (0, expected), "{template}: {said}");
}

/// What was given is shown, typed and in docker's order.
#[test]
fn what_was_given_is_shown_as_by_docker() {
    let Some(scene) = scene() else { return };
    let options = "--network none -v /etc:/e:ro -v data:/d -v /anon --mount type=bind,src=/tmp,dst=/m,ro --mount type=volume,src=nv,dst=/nv \
                   --mount type=tmpfs,dst=/mt,tmpfs-size=1m,tmpfs-mode=700 --tmpfs /t:size=1m --tmpfs /t2 --device /dev/null:/dev/none:r \
                   --sysctl net.core.somaxconn=100 --security-opt no-new-privileges --security-opt seccomp=unconfined --dns-search x.y \
                   --stop-timeout 5 --health-cmd true --health-interval 5s --expose 80-81/udp --expose 9 --label b=1 --label a=2 \
                   --cap-add net_admin --stop-signal 99";
    let options: Vec<&str> = options.split_whitespace().collect();
    let created = scene.docker(&[&["create", "--name", "work"], &options[..], &["box", "true"]].concat());
    assert_eq!(created.code, 0, "{created}");
    let check = |template: &str, expected: &str| says(&scene, "work", template, expected);
    check("{{index .Config.Labels \"nope\"}}|{{index .Config.Labels \"a\"}}", "|2");
    check(
        "{{range .Mounts}}{{.Type}}:{{.Name}}:{{.Destination}}:{{.Mode}}:{{.RW}} {{end}}.",
        &format!(
            "bind::/e:ro:false volume:data:/d:z:true volume:{}:/anon::true bind::/m::false volume:nv:/nv:z:true tmpfs::/mt::true .",
            anonymous(&scene)
        ),
    );
    check("{{range $port, $to := .NetworkSettings.Ports}}{{$port}}{{end}}|{{.NetworkSettings.IPAddress}}", "|");
    check("{{range $name, $of := .NetworkSettings.Networks}}{{$name}} {{$of.NetworkID}}.{{end}}", "none .");
    check("{{.HostConfig.LogConfig.Type}}|{{if .State.Health}}h{{end}}|{{len .ID}}", "none||64");
    check("{{json .HostConfig.Binds}}", r#"["/etc:/e:ro","data:/d"]"#);
    check(
        "{{range .HostConfig.Mounts}}{{json .}}{{end}}",
        concat!(
            r#"{"Type":"bind","Source":"/tmp","Target":"/m","ReadOnly":true}{"Type":"volume","Source":"nv","Target":"/nv"}"#,
            r#"{"Type":"tmpfs","Target":"/mt","TmpfsOptions":{"SizeBytes":1048576,"Mode":448}}"#
        ),
    );
    check("{{json .HostConfig.Tmpfs}}", r#"{"/t":"size=1m","/t2":""}"#);
    check(
        "{{json .HostConfig.Devices}}",
        r#"[{"PathOnHost":"/dev/null","PathInContainer":"/dev/none","CgroupPermissions":"r"}]"#,
    );
    check(
        "{{.HostConfig.Sysctls}} {{.HostConfig.SecurityOpt}}",
        "map[net.core.somaxconn:100] [no-new-privileges seccomp=unconfined]",
    );
    check("{{.HostConfig.DnsSearch}}", "[x.y]");
    check("{{.HostConfig.DNSSearch}} {{.HostConfig.CapAdd}}", "[x.y] [CAP_NET_ADMIN]");
    check("{{.Config.StopTimeout}} {{.Config.StopSignal}}", "5 99");
    check("{{json .Config.Healthcheck}}", r#"{"Test":["CMD-SHELL","true"],"Interval":5000000000}"#);
    check("{{json .Config.ExposedPorts}}", r#"{"80/udp":{},"81/udp":{},"9/tcp":{}}"#);
    check(
        "{{json .State}}",
        concat!(
            r#"{"Status":"created","Running":false,"Paused":false,"Restarting":false,"OOMKilled":false,"Dead":false,"Pid":0,"ExitCode":0,"#,
            r#""Error":"","StartedAt":"0001-01-01T00:00:00Z","FinishedAt":"0001-01-01T00:00:00Z"}"#
        ),
    );
    check(
        "{{range .Mounts}}{{if eq .Destination \"/e\"}}{{json .}}{{end}}{{end}}",
        r#"{"Type":"bind","Source":"/etc","Destination":"/e","Mode":"ro","RW":false,"Propagation":"rprivate"}"#,
    );
    let sizes = scene.docker(&["inspect", "--size", "--format", "{{.SizeRw}} {{if .SizeRootFs}}some{{end}}", "work"]);
    assert_eq!(sizes.stdout, "0 some\n", "{sizes}");
}

/// Ports that are published go to nobody with such networks, but are kept, in the image that is made of the container, too.
#[test]
fn ports_are_kept_and_looked_at() {
    let Some(scene) = scene() else { return };
    let options = ["--network", "none", "-p", "8080:80", "-p", "[::1]::80/udp", "-P", "--expose", "9"];
    let created = scene.docker(&[&["create", "--name", "work"], &options[..], &["box", "true"]].concat());
    assert_eq!(created.code, 0, "{created}");
    let check = |template: &str, expected: &str| says(&scene, "work", template, expected);
    check(
        "{{json .HostConfig.PortBindings}} {{.HostConfig.PublishAllPorts}}",
        r#"{"80/tcp":[{"HostIp":"","HostPort":"8080"}],"80/udp":[{"HostIp":"::1","HostPort":""}]} true"#,
    );
    check("{{json .Config.ExposedPorts}}", r#"{"80/tcp":{},"80/udp":{},"9/tcp":{}}"#);
    check("{{.HostConfig.PortBindings}} {{json .NetworkSettings.Ports}}", "map[80/tcp:[{ 8080}] 80/udp:[{::1 }]] {}");
    // Go takes no string for a port, so that docker looks into the document.
    check("{{(index (index .HostConfig.PortBindings \"80/tcp\") 0).HostPort}}", "8080");
    check("{{index .HostConfig.PortBindings \"80/tcp\"}}", "[map[HostIp: HostPort:8080]]");
    check("{{index .NetworkSettings.Ports \"80/tcp\"}} {{index .Config.ExposedPorts \"9/tcp\"}}", "<no value> map[]");
    check(
        "{{range $port, $to := .HostConfig.PortBindings}}{{$port}}:{{(index $to 0).HostPort}} {{end}}",
        "80/tcp:8080 80/udp:",
    );
    scene.must(&["commit", "work", "made"]);
    let ports = scene.must(&["image", "inspect", "--format", "{{json .Config.ExposedPorts}}", "made"]);
    assert_eq!(ports, "{\"80/tcp\":{},\"80/udp\":{},\"9/tcp\":{}}\n");
    for verb in ["create", "run"] {
        let refused = scene.docker(&[verb, "--network", "none", "-p", "80:x", "box", "true"]);
        assert!(refused.code == 125 && refused.stderr.starts_with("docker: invalid containerPort: x\n"), "{refused}");
    }
}

/// The name by chance of the volume at `/anon`.
fn anonymous(scene: &Scene) -> String {
    let template = "{{range .Mounts}}{{if eq .Destination \"/anon\"}}{{.Name}}{{end}}{{end}}";
    scene.must(&["inspect", "--format", template, "work"]).trim().to_owned()
}

/// Docker's members, in docker's order: what is not here is as empty as docker has it.
#[test]
fn the_document_has_docker_s_members() {
    let Some(scene) = scene() else { return };
    scene.must(&["create", "--name", "work", "box", "true"]);
    let said: Value = serde_json::from_str(&scene.must(&["inspect", "work"])).expect("JSON");
    let names = |value: &Value| value.as_object().expect("an object").keys().cloned().collect::<Vec<_>>().join(" ");
    assert_eq!(
        names(&said[0]["HostConfig"]),
        "Binds ContainerIDFile LogConfig NetworkMode PortBindings RestartPolicy AutoRemove VolumeDriver VolumesFrom ConsoleSize CapAdd \
         CapDrop CgroupnsMode Dns DnsOptions DnsSearch ExtraHosts GroupAdd IpcMode Cgroup Links OomScoreAdj PidMode Privileged \
         PublishAllPorts ReadonlyRootfs SecurityOpt UTSMode UsernsMode ShmSize Runtime Isolation CpuShares Memory NanoCpus CgroupParent \
         BlkioWeight BlkioWeightDevice BlkioDeviceReadBps BlkioDeviceWriteBps BlkioDeviceReadIOps BlkioDeviceWriteIOps CpuPeriod CpuQuota \
         CpuRealtimePeriod CpuRealtimeRuntime CpusetCpus CpusetMems Devices DeviceCgroupRules DeviceRequests MemoryReservation MemorySwap \
         MemorySwappiness OomKillDisable PidsLimit Ulimits CpuCount CpuPercent IOMaximumIOps IOMaximumBandwidth MaskedPaths ReadonlyPaths"
    );
    assert_eq!(
        names(&said[0]["NetworkSettings"]["Networks"]["host"]),
        "IPAMConfig Links Aliases MacAddress DriverOpts GwPriority NetworkID EndpointID Gateway IPAddress IPPrefixLen IPv6Gateway \
         GlobalIPv6Address GlobalIPv6PrefixLen DNSNames"
    );
    assert_eq!(said[0]["HostConfig"]["ReadonlyPaths"][0], "/proc/bus");
    let nope = scene.docker(&["inspect", "--format", "{{.HostConfig.Nope}}", "work"]);
    assert!(nope.code == 1 && nope.stderr.contains("map has no entry for key \"Nope\""), "{nope}");
}

/// Why a container did not start is kept with it until it runs.
#[test]
fn why_a_container_did_not_start_is_kept() {
    let Some(scene) = scene() else { return };
    let state = "{{.State.Status}}|{{.State.ExitCode}}|{{.State.Error}}";
    let found = "exec: \"nosuch\": executable file not found in $PATH";
    let by_runc = format!("OCI runtime create failed: runc create failed: unable to start container process: {found}");
    let expected =
        format!("created|127|failed to create task for container: failed to create shim task: {by_runc}: unknown");
    assert_eq!(scene.docker(&["run", "--name", "one", "box", "nosuch"]).code, 127);
    says(&scene, "one", state, &expected);
    scene.must(&["create", "--name", "two", "box", "nosuch"]);
    says(&scene, "two", state, "created|0|");
    assert_eq!(scene.docker(&["start", "-a", "two"]).code, 1);
    says(&scene, "two", state, &expected);
    assert_eq!(scene.must(&["inspect", "--format", state, "two"]).trim_end(), format!("created|127|{found}"));
    // The next run makes it go.
    let directory = scene.path("tools");
    fs::create_dir(&directory).expect("a directory");
    let mount = format!("type=bind,src={},dst=/tools", directory.to_string_lossy());
    scene.must(&["create", "--name", "late", "--mount", &mount, "box", "/tools/tool"]);
    assert_eq!(scene.docker(&["start", "-a", "late"]).code, 1);
    says(&scene, "late", "{{.State.ExitCode}} {{if .State.Error}}told{{end}}", "127 told");
    fs::write(directory.join("tool"), "#!/bin/sh\nexit 5\n").expect("a program");
    fs::set_permissions(directory.join("tool"), fs::Permissions::from_mode(0o755)).expect("its rights");
    assert_eq!(scene.docker(&["start", "-a", "late"]).code, 5);
    says(&scene, "late", state, "exited|5|");
}

/// A container that the kernel killed something in for want of memory says so.
#[test]
fn want_of_memory_is_told() {
    let Some(scene) = scene() else { return };
    let eats = "x=aaaaaaaaaaaaaaaa; while :; do x=$x$x; done";
    let ran = scene.docker(&["run", "--name", "eater", "-m", "16m", "--memory-swap", "16m", "box", "sh", "-c", eats]);
    // Where memory cannot be limited here, the shell ends by itself.
    if ran.code != 137 || !ran.stderr.is_empty() {
        return;
    }
    says(&scene, "eater", "{{.State.OOMKilled}} {{.State.ExitCode}}", "true 137");
    scene.must(&["create", "--name", "other", "-m", "16m", "box", "true"]);
    says(&scene, "other", "{{.State.OOMKilled}}", "false");
}

/// An image of a container that nobody is to ask for its health says so.
#[test]
fn no_health_check_is_committed() {
    let Some(scene) = scene() else { return };
    scene.must(&["create", "--name", "work", "--no-healthcheck", "box", "true"]);
    scene.must(&["commit", "work", "sick"]);
    says(&scene, "sick", "{{json .Config.Healthcheck}}", r#"{"Test":["NONE"]}"#);
}
