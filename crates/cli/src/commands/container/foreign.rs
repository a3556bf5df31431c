//! Options of docker's `run` and `create` that say something to an engine, or to a kernel that it configures: refused with the reason, unless
//! they change nothing here.

use std::collections::BTreeMap;

use clap::Args;
use dhow_base::{Error, Kind};
use dhow_ops::strconv::parse_int;
use dhow_spec::config::Healthcheck;

use super::super::podman::container as podman;
use super::duration::nanoseconds;
use super::flags::{bytes, misread, unknown_flag};
use crate::errors::{FAILED, Failure, Outcome};
use crate::personality::Personality;
use crate::session::Session;

/// The shortest that docker's engine asks or waits, in nanoseconds.
const SHORTEST: i64 = 1_000_000;

/// How often podman asks, and how long it waits, in nanoseconds.
const PODMAN_S_INTERVAL: i64 = 30_000_000_000;

/// The shortest that podman waits, in nanoseconds.
const SECOND: i64 = 1_000_000_000;

/// The streams of a container.
const STREAMS: [&str; 3] = ["stdin", "stdout", "stderr"];

/// Options that are refused.
#[derive(Args, Debug)]
pub(super) struct Foreign {
    /// Mount what another container has mounted, too: "NAME", or "NAME:ro" to read it only
    #[arg(long, value_name = "list")]
    volumes_from: Vec<String>,
    #[arg(long, hide = true, value_name = "string")]
    volume_driver: Option<String>,
    #[arg(long, hide = true, value_name = "list")]
    link: Vec<String>,
    #[arg(long, hide = true, value_name = "string")]
    ip: Option<String>,
    #[arg(long, hide = true, value_name = "string")]
    ip6: Option<String>,
    #[arg(long, hide = true, value_name = "string")]
    mac_address: Option<String>,
    #[arg(long, visible_alias = "net-alias", hide = true, value_name = "list")]
    network_alias: Vec<String>,
    #[arg(long, hide = true, value_name = "gpu-request")]
    gpus: Option<String>,
    #[arg(long, hide = true, value_name = "string")]
    cgroup_parent: Option<String>,
    #[arg(long, hide = true, value_name = "list")]
    device_cgroup_rule: Vec<String>,
    #[arg(long, hide = true, value_name = "list")]
    link_local_ip: Vec<String>,
    #[arg(long, hide = true)]
    use_api_socket: bool,
    #[arg(long, hide = true, value_name = "list")]
    blkio_weight_device: Vec<String>,
    #[arg(long, hide = true, value_name = "list")]
    device_read_bps: Vec<String>,
    #[arg(long, hide = true, value_name = "list")]
    device_read_iops: Vec<String>,
    #[arg(long, hide = true, value_name = "list")]
    device_write_bps: Vec<String>,
    #[arg(long, hide = true, value_name = "list")]
    device_write_iops: Vec<String>,
    #[arg(long, hide = true, value_name = "int", allow_negative_numbers = true)]
    cpu_rt_period: Option<String>,
    #[arg(long, hide = true, value_name = "int", allow_negative_numbers = true)]
    cpu_rt_runtime: Option<String>,
    #[arg(short, long, hide = true, value_name = "list")]
    attach: Vec<String>,
    #[arg(long, hide = true, value_name = "string")]
    isolation: Option<String>,
    #[arg(long, hide = true, value_name = "int", allow_negative_numbers = true, value_parser = parse_int::<i64>)]
    cpu_count: Option<i64>,
    #[arg(long, hide = true, value_name = "int", allow_negative_numbers = true, value_parser = parse_int::<i64>)]
    cpu_percent: Option<i64>,
    #[arg(long, hide = true, value_name = "bytes")]
    io_maxbandwidth: Option<String>,
    #[arg(long, hide = true, value_name = "uint")]
    io_maxiops: Option<String>,
}

/// Options that change nothing, though docker's client checks some: nobody asks how a container is, keeps what it says, stops it by a clock, or detaches from it.
#[derive(Args, Debug)]
#[allow(dead_code, reason = "most are accepted, and that is all there is to them")]
pub(super) struct Idle {
    #[arg(long, hide = true)]
    no_healthcheck: bool,
    #[arg(long, hide = true, value_name = "string")]
    health_cmd: Option<String>,
    #[arg(long, hide = true, value_name = "duration")]
    health_interval: Option<String>,
    #[arg(long, hide = true, value_name = "int", allow_negative_numbers = true, value_parser = parse_int::<i64>)]
    health_retries: Option<i64>,
    #[arg(long, hide = true, value_name = "duration")]
    health_start_interval: Option<String>,
    #[arg(long, hide = true, value_name = "duration")]
    health_start_period: Option<String>,
    #[arg(long, hide = true, value_name = "duration")]
    health_timeout: Option<String>,
    #[arg(long, hide = true, value_name = "string")]
    log_driver: Option<String>,
    #[arg(long, hide = true, value_name = "list")]
    log_opt: Vec<String>,
    #[arg(long, hide = true, value_name = "int", allow_negative_numbers = true, value_parser = parse_int::<i64>)]
    stop_timeout: Option<i64>,
    #[arg(long, hide = true, value_name = "string")]
    detach_keys: Option<String>,
    #[arg(long, hide = true, value_name = "map")]
    annotation: Vec<String>,
    #[arg(long, hide = true, value_name = "bool", num_args = 0..=1, require_equals = true)]
    disable_content_trust: Option<Option<bool>>,
    #[arg(long, hide = true, value_name = "bytes")]
    kernel_memory: Option<String>,
}

impl Idle {
    /// Refuses what docker's client refuses of logs and health before it asks its daemon; podman's does not look.
    ///
    /// # Errors
    /// In docker's words for the first.
    pub(super) fn check(&self, session: &Session<'_>) -> Outcome {
        if session.personality == Personality::Podman {
            return self.check_as_podman(session);
        }
        bytes(session, self.kernel_memory.as_deref(), "--kernel-memory", podman::MEMORY)?;
        // Docker tells of the first in this order.
        let health = self.durations(session)?;
        let numbers = [
            ("--health-interval", health.interval),
            ("--health-timeout", health.timeout),
            ("--health-retries", health.retries),
            ("--health-start-period", health.start_period),
            ("--health-start-interval", health.start_interval),
        ];
        let refuse = |message: String| Err(Failure::Client(message));
        if self.log_driver.as_deref() == Some("none") && !self.log_opt.is_empty() {
            return refuse("invalid logging opts for driver none".to_owned());
        }
        if self.no_healthcheck {
            let has_command = self.health_cmd.as_deref().is_some_and(|command| !command.is_empty());
            return match has_command || numbers.iter().any(|(_, number)| *number != 0) {
                true => refuse("--no-healthcheck conflicts with --health-* options".to_owned()),
                false => Ok(()),
            };
        }
        match numbers.iter().find(|(_, number)| *number < 0) {
            Some((flag, _)) => refuse(format!("{flag} cannot be negative")),
            None => Ok(()),
        }
    }

    /// Podman looks at what says how to tell whether the container is well only where that is said.
    fn check_as_podman(&self, session: &Session<'_>) -> Outcome {
        if self.health_start_interval.is_some() {
            return Err(unknown_flag(session, "health-start-interval"));
        }
        if self.annotation.iter().any(|text| !text.contains('=')) {
            return Err(Failure::Client(podman::ANNOTATION.to_owned()));
        }
        let has_command = self.health_cmd.as_deref().is_some_and(|command| !command.is_empty() && command != "none");
        if !has_command || self.no_healthcheck {
            return Ok(());
        }
        let read = |text: &Option<String>| text.as_deref().and_then(|text| nanoseconds(text).ok());
        let why = match () {
            () if self.health_retries.is_some_and(|count| count < 1) => "healthcheck-retries must be greater than 0",
            () if read(&self.health_timeout).is_some_and(|time| time < SECOND) => {
                "healthcheck-timeout must be at least 1 second"
            }
            () if read(&self.health_start_period).is_some_and(|time| time < 0) => {
                "healthcheck-start-period must be 0 seconds or greater"
            }
            () => return Ok(()),
        };
        Err(Failure::Client(why.to_owned()))
    }

    /// What is said in numbers of how to tell whether the container is well.
    fn durations(&self, session: &Session<'_>) -> Outcome<Healthcheck> {
        let read = |flag: &str, text: &Option<String>| {
            let read = |text: &String| nanoseconds(text).map_err(|why| misread(session, text, flag, &why));
            text.as_ref().map_or(Ok(0), read)
        };
        Ok(Healthcheck {
            interval: read("--health-interval", &self.health_interval)?,
            timeout: read("--health-timeout", &self.health_timeout)?,
            retries: self.health_retries.unwrap_or(0),
            start_period: read("--health-start-period", &self.health_start_period)?,
            start_interval: read("--health-start-interval", &self.health_start_interval)?,
            ..Healthcheck::default()
        })
    }

    /// How to tell whether the container is well, as the image of it is to have it: nobody asks here.
    ///
    /// # Errors
    /// In the words of docker's engine for what is too short.
    pub(super) fn health(&self, session: &Session<'_>) -> Outcome<Option<Healthcheck>> {
        let command = self.health_cmd.as_deref().filter(|command| !command.is_empty());
        let words = |words: &[&str]| Some(words.iter().map(|word| (*word).to_owned()).collect());
        if self.no_healthcheck {
            return Ok(Some(Healthcheck { test: words(&["NONE"]), ..Healthcheck::default() }));
        }
        if session.personality == Personality::Podman {
            // Podman's own numbers where nobody says; what it takes for a list of words is left to it.
            return Ok(command.map(|command| Healthcheck {
                test: words(&["CMD-SHELL", command]),
                interval: PODMAN_S_INTERVAL,
                timeout: PODMAN_S_INTERVAL,
                retries: self.health_retries.unwrap_or(3),
                ..Healthcheck::default()
            }));
        }
        let check = Healthcheck {
            test: command.and_then(|command| words(&["CMD-SHELL", command])),
            ..self.durations(session)?
        };
        for (what, nanoseconds) in [
            ("Interval", check.interval),
            ("Timeout", check.timeout),
            ("StartPeriod", check.start_period),
            ("StartInterval", check.start_interval),
        ] {
            if (1..SHORTEST).contains(&nanoseconds) {
                return Err(Error::new(Kind::Invalid, format!("{what} in Healthcheck cannot be less than 1ms")).into());
            }
        }
        Ok(Some(check).filter(|check| *check != Healthcheck::default()))
    }

    /// What is noted for a runtime.
    ///
    /// # Errors
    /// In the words of docker's engine for what has no name.
    pub(super) fn annotations(&self, personality: Personality) -> Outcome<BTreeMap<String, String>> {
        let pair = |text: &String| {
            let (name, value) = text.split_once('=').unwrap_or((text, ""));
            (name.to_owned(), value.to_owned())
        };
        let annotations: BTreeMap<_, _> = self.annotation.iter().map(pair).collect();
        if annotations.contains_key("") && personality != Personality::Podman {
            let message = "invalid Annotations: the empty string is not permitted as an annotation key";
            return Err(Error::new(Kind::Invalid, message).into());
        }
        Ok(annotations)
    }

    /// How many seconds the container has to end.
    pub(super) fn stop_timeout(&self) -> Option<i64> {
        self.stop_timeout
    }
}

const DEVICES: &str = "--blkio-weight limits reading and writing of all devices together";

const NETWORKS: &str = "networks are for a container engine";

impl Foreign {
    /// Refuses what is given, and says why.
    ///
    /// # Errors
    /// A sentence about the first of them.
    pub(super) fn check(&self, session: &Session<'_>) -> Outcome {
        if session.personality == Personality::Podman
            && let Some((flag, _)) = self.docker_only().into_iter().find(|(_, is_given)| *is_given)
        {
            return Err(unknown_flag(session, flag));
        }
        self.check_windows()?;
        match self.given().into_iter().find(|(_, is_given, _)| *is_given) {
            Some((flag, _, why)) => Err(Failure::Client(format!("--{flag} is not supported: {why}"))),
            None => {
                self.check_isolation()?;
                self.check_attach(session)
            }
        }
    }

    /// Docker's client asks for which system its daemon is before anything else.
    fn check_windows(&self) -> Outcome {
        let given = [
            ("cpu-count", self.cpu_count.is_some()),
            ("cpu-percent", self.cpu_percent.is_some()),
            ("io-maxbandwidth", self.io_maxbandwidth.is_some()),
            ("io-maxiops", self.io_maxiops.is_some()),
        ];
        let Some((flag, _)) = given.into_iter().find(|(_, is_given)| *is_given) else { return Ok(()) };
        let why = "is only supported on a Docker daemon running on windows, but the Docker daemon is running on linux";
        Err(Failure::Usage { message: format!("\"--{flag}\" {why}"), code: FAILED })
    }

    /// Containers whose volumes this one has, too.
    pub(super) fn volumes_from(&self) -> &[String] {
        &self.volumes_from
    }

    /// What podman's client does not know.
    fn docker_only(&self) -> [(&'static str, bool); 9] {
        [
            ("volume-driver", self.volume_driver.is_some()),
            ("link", !self.link.is_empty()),
            ("link-local-ip", !self.link_local_ip.is_empty()),
            ("use-api-socket", self.use_api_socket),
            ("isolation", self.isolation.is_some()),
            ("cpu-count", self.cpu_count.is_some()),
            ("cpu-percent", self.cpu_percent.is_some()),
            ("io-maxbandwidth", self.io_maxbandwidth.is_some()),
            ("io-maxiops", self.io_maxiops.is_some()),
        ]
    }

    fn check_isolation(&self) -> Outcome {
        let isolation = self.isolation.as_deref().unwrap_or_default();
        if isolation.is_empty() || isolation.eq_ignore_ascii_case("default") {
            return Ok(());
        }
        let message = format!("Invalid isolation: {isolation:?} - linux only supports 'default'");
        Err(Error::new(Kind::Invalid, message).into())
    }

    fn given(&self) -> [(&'static str, bool, &'static str); 18] {
        [
            ("volume-driver", self.volume_driver.is_some(), "a volume is a directory of the store"),
            ("link", !self.link.is_empty(), NETWORKS),
            ("ip", self.ip.is_some(), NETWORKS),
            ("ip6", self.ip6.is_some(), NETWORKS),
            ("mac-address", self.mac_address.is_some(), NETWORKS),
            ("network-alias", !self.network_alias.is_empty(), NETWORKS),
            ("gpus", self.gpus.is_some(), "devices are shown by --device"),
            ("cgroup-parent", self.cgroup_parent.is_some(), "control groups are made below the caller's own"),
            ("link-local-ip", !self.link_local_ip.is_empty(), NETWORKS),
            ("use-api-socket", self.use_api_socket, "there is no engine to ask"),
            ("blkio-weight-device", !self.blkio_weight_device.is_empty(), DEVICES),
            ("device-read-bps", !self.device_read_bps.is_empty(), DEVICES),
            ("device-read-iops", !self.device_read_iops.is_empty(), DEVICES),
            ("device-write-bps", !self.device_write_bps.is_empty(), DEVICES),
            ("device-write-iops", !self.device_write_iops.is_empty(), DEVICES),
            ("cpu-rt-period", self.cpu_rt_period.is_some(), "there is no real-time scheduling for containers"),
            ("cpu-rt-runtime", self.cpu_rt_runtime.is_some(), "there is no real-time scheduling for containers"),
            ("device-cgroup-rule", !self.device_cgroup_rule.is_empty(), "devices are shown by --device"),
        ]
    }

    /// Refuses what is no stream; podman's `create` does not look.
    fn check_attach(&self, session: &Session<'_>) -> Outcome {
        let is_stream = |name: &str| STREAMS.iter().any(|stream| name.eq_ignore_ascii_case(stream));
        let lists = session.personality == Personality::Podman;
        let mut names = self.attach.iter().flat_map(|text| text.split(move |letter| letter == ',' && lists));
        match (names.find(|name| !is_stream(name)), session.personality) {
            (None, _) => Ok(()),
            (Some(_), Personality::Podman) if session.path.ends_with("create") => Ok(()),
            (Some(other), Personality::Podman) => {
                let known = "must be one of stdin, stdout, or stderr: invalid argument";
                Err(Failure::Client(format!("invalid stream {other:?} for --attach - {known}")))
            }
            (Some(other), _) => {
                Err(misread(session, other, "-a, --attach", "valid streams are STDIN, STDOUT and STDERR"))
            }
        }
    }

    /// Which of the container's input, output and errors have to do with this process: all, unless some are named. Podman takes several
    /// at once, which docker's check has refused.
    pub(super) fn attached(&self) -> [bool; 3] {
        let given = self.attach.iter().flat_map(|text| text.split(','));
        let has = |stream: &str| given.clone().any(|given| given.eq_ignore_ascii_case(stream));
        STREAMS.map(|stream| self.attach.is_empty() || has(stream))
    }
}
