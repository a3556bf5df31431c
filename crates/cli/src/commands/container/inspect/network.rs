//! A container's network, in docker's shape: the machine's, another's, or none, and no address of its own in any of them.

use std::collections::BTreeMap;

use dhow_ops::container::{NamespaceKind, Network, PortBinding, Settings};
use dhow_template::{Field, Type, Value};

use super::object::{called, flag, number, text, texts};

/// The type of Go's by which docker calls ports.
pub(super) const PORT: &str = "nat.Port";

const ENDPOINT: &str = "*network.EndpointSettings";

/// Docker's `container.NetworkSettings`.
pub(super) fn object(settings: &Settings) -> Value {
    let network = match settings.network {
        _ if settings.joins.contains_key(&NamespaceKind::Network) => None,
        Network::Host => Some("host"),
        Network::None => Some("none"),
    };
    let networks = network.map(|name| (name, endpoint())).into_iter().collect();
    let fields = vec![
        text("Bridge", ""),
        text("SandboxID", ""),
        text("SandboxKey", ""),
        Field::new("Ports", ports(&BTreeMap::new())),
        flag("HairpinMode", false),
        text("LinkLocalIPv6Address", ""),
        number("LinkLocalIPv6PrefixLen", 0),
        Field::new("SecondaryIPAddresses", Value::list(Type::Named("network.Address"), None)),
        Field::new("SecondaryIPv6Addresses", Value::list(Type::Named("network.Address"), None)),
        text("EndpointID", ""),
        text("Gateway", ""),
        text("GlobalIPv6Address", ""),
        number("GlobalIPv6PrefixLen", 0),
        text("IPAddress", ""),
        number("IPPrefixLen", 0),
        text("IPv6Gateway", ""),
        text("MacAddress", ""),
        Field::new("Networks", Value::map(Type::Pointer(ENDPOINT), Some(networks))),
    ];
    Value::pointer("container.NetworkSettings", fields)
}

/// Ports and where on the machine they are.
pub(super) fn ports(bindings: &BTreeMap<String, Vec<PortBinding>>) -> Value {
    let binding = |binding: &PortBinding| {
        let fields = vec![called("HostIp", text("HostIP", &binding.address)), text("HostPort", &binding.port)];
        Value::structure("nat.PortBinding", fields)
    };
    let list = |bindings: &Vec<PortBinding>| {
        Value::list(Type::Named("nat.PortBinding"), Some(bindings.iter().map(binding).collect()))
    };
    let ports = bindings.iter().map(|(port, bindings)| (port, list(bindings))).collect();
    Value::map_by(PORT, Type::Slice("nat.PortBinding"), Some(ports))
}

fn endpoint() -> Value {
    const CONFIG_FIELDS: [&str; 3] = ["IPv4Address", "IPv6Address", "LinkLocalIPs"];
    let fields = vec![
        Field::new("IPAMConfig", Value::Null { name: "*network.EndpointIPAMConfig", fields: &CONFIG_FIELDS }),
        texts::<&str>("Links", None),
        texts::<&str>("Aliases", None),
        text("MacAddress", ""),
        Field::new("DriverOpts", Value::map::<&str>(Type::Text, None)),
        number("GwPriority", 0),
        text("NetworkID", ""),
        text("EndpointID", ""),
        text("Gateway", ""),
        text("IPAddress", ""),
        number("IPPrefixLen", 0),
        text("IPv6Gateway", ""),
        text("GlobalIPv6Address", ""),
        number("GlobalIPv6PrefixLen", 0),
        texts::<&str>("DNSNames", None),
    ];
    Value::pointer("network.EndpointSettings", fields)
}
