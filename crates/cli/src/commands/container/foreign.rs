//! Options of docker's `run` and `create` that say something to an engine, or to a kernel that it configures: refused with the reason, unless
//! they change nothing here.

use clap::Args;

use super::flags::integer;
use crate::errors::{Failure, Outcome};

/// Options that are refused.
#[derive(Args, Debug)]
pub(super) struct Foreign {
    #[arg(long, hide = true, value_name = "list")]
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
}

/// Options of which nothing is to be heeded: nobody asks how a container is, keeps what it says, stops it by a clock, or detaches from it.
#[derive(Args, Debug)]
#[allow(dead_code, reason = "that they are accepted is all there is to them")]
pub(super) struct Idle {
    #[arg(long, hide = true)]
    no_healthcheck: bool,
    #[arg(long, hide = true, value_name = "string")]
    health_cmd: Option<String>,
    #[arg(long, hide = true, value_name = "duration")]
    health_interval: Option<String>,
    #[arg(long, hide = true, value_name = "int", allow_negative_numbers = true, value_parser = integer)]
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
    #[arg(long, hide = true, value_name = "int", allow_negative_numbers = true, value_parser = integer)]
    stop_timeout: Option<i64>,
    #[arg(long, hide = true, value_name = "string")]
    detach_keys: Option<String>,
    #[arg(long, hide = true, value_name = "map")]
    annotation: Vec<String>,
    #[arg(long, hide = true, value_name = "list")]
    expose: Vec<String>,
    #[arg(long, hide = true, value_name = "bool", num_args = 0..=1, require_equals = true)]
    disable_content_trust: Option<Option<bool>>,
    #[arg(long, hide = true, value_name = "bytes")]
    kernel_memory: Option<String>,
}

const DEVICES: &str = "--blkio-weight limits reading and writing of all devices together";

const NETWORKS: &str = "networks are for a container engine";

impl Foreign {
    /// Refuses what is given, and says why.
    ///
    /// # Errors
    /// A sentence about the first of them.
    pub(super) fn check(&self) -> Outcome {
        match self.given().into_iter().find(|(_, is_given, _)| *is_given) {
            Some((flag, _, why)) => Err(Failure::Client(format!("--{flag} is not supported: {why}"))),
            None => self.check_attach(),
        }
    }

    fn given(&self) -> [(&'static str, bool, &'static str); 19] {
        [
            ("volumes-from", !self.volumes_from.is_empty(), "name the volumes with --volume"),
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

    /// Standard output and error are always shown; input is passed on with `--interactive`.
    fn check_attach(&self) -> Outcome {
        let is_stream = |name: &String| matches!(name.to_ascii_lowercase().as_str(), "stdin" | "stdout" | "stderr");
        if let Some(other) = self.attach.iter().find(|name| !is_stream(name)) {
            let message = format!(
                "invalid argument {other:?} for \"-a, --attach\" flag: valid streams are STDIN, STDOUT and STDERR"
            );
            return Err(Failure::Client(message));
        }
        let has = |name: &str| self.attach.iter().any(|given| given.eq_ignore_ascii_case(name));
        match self.attach.is_empty() || (has("stdout") && has("stderr")) {
            true => Ok(()),
            false => Err(Failure::Client(
                "--attach of some streams is not supported: redirect what is not to be seen to /dev/null".to_owned(),
            )),
        }
    }
}
