//! Options that mean nothing in the foreground are checked as the real docker's client checks them.

use super::{Bench, pair};

#[test]
fn what_cannot_be_meant_is_refused_as_by_docker() {
    let bench = Bench::new();
    let Some(pair) = pair(&bench) else { return };
    pair.both(&["import", &bench.path("root.tar").to_string_lossy(), "box"]);
    let cases: [&[&str]; 27] = [
        &["--restart", "always"],
        &["--restart=on-failure:2"],
        &["--restart", "odd"],
        &["--restart", "on-failure:x"],
        &["--restart", ":3"],
        &["--restart", "a:b:c"],
        &["--log-driver", "none", "--log-opt", "a"],
        &["--no-healthcheck", "--health-cmd", "x"],
        &["--no-healthcheck", "--health-interval=-1s"],
        &["--health-interval=-1s"],
        &["--health-timeout=-1s", "--health-retries=-1"],
        &["--health-retries=-1", "--health-start-period=-1s"],
        &["--health-start-period=-1s"],
        &["--health-retries=-1", "--log-driver", "none", "--log-opt", "a", "--restart", "x:y"],
        &["--no-healthcheck", "--health-cmd=", "--health-retries=0", "--health-interval=0s"],
        &["--restart", "no", "--log-driver", "none"],
        &["--health-interval=1x"],
        &["--health-start-interval="],
        &["--health-interval", "1us"],
        &["--stop-signal", "99"],
        &["--network="],
        &["-l", "x y=z"],
        &["-l", "x\ty=z"],
        &["--expose", "abc"],
        &["--expose", "5-2"],
        &["--expose", "80:1"],
        &["-v", "/a:/b:/c:d"],
    ];
    for options in cases {
        pair.both(&[&["run", "--rm", "--network", "none"], options, &["box", "/bin/true"]].concat());
    }
    let windows: [&[&str]; 6] = [
        &["--cpu-count", "2"],
        &["--cpu-percent", "10", "--isolation", "odd"],
        &["--io-maxiops", "5"],
        &["--isolation", "process"],
        &["--isolation", "default"],
        &["--runtime", "runc"],
    ];
    for options in windows {
        pair.both(&[&["run", "--rm", "--network", "none"], options, &["box", "/bin/true"]].concat());
    }
    let not_made: [&[&str]; 6] = [
        &["--rm", "--restart", "always"],
        &["--userns", "odd"],
        &["--health-retries=-1"],
        &["--log-driver", "none", "--log-opt", "a"],
        &["--health-timeout=1h1"],
        &["--pull", "odd"],
    ];
    for options in not_made {
        pair.both(&[&["create"], options, &["box", "/bin/true"]].concat());
    }
    pair.both(&["create", "--name", "work", "--network", "none", "box", "/bin/true"]);
    for arguments in [
        &["start", "--checkpoint", "x", "work"][..],
        &["start", "-a", "--detach-keys", "ctrl-x", "work"],
        &["rm", "--link", "work"],
        &["rm", "--link", "work/other"],
        &["rm", "--link", "-f", "nope"],
    ] {
        pair.both(arguments);
    }
}
