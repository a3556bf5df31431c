//! Names and addresses that a container is given: `--add-host` and `--dns`, as docker's client checks them.

use std::net::IpAddr;

/// Docker's word for the address of this machine.
pub(super) const GATEWAY: &str = "host-gateway";

/// Name and address of `name:address` or `name=address` (docker/cli, `opts.ValidateExtraHost`).
pub(super) fn host(text: &str) -> Result<(&str, &str), String> {
    let split = text.split_once('=').or_else(|| text.split_once(':'));
    let Some((name, address)) = split.filter(|(name, _)| !name.is_empty()) else {
        return Err(format!("bad format for add-host: {text:?}"));
    };
    let bare = address.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(address);
    match address == GATEWAY || bare.parse::<IpAddr>().is_ok() {
        true => Ok((name, bare)),
        false => Err(format!("invalid IP address in add-host: {address:?}")),
    }
}

/// Refuses what is no address (docker/cli, `opts.ValidateIPAddress`).
pub(super) fn check_server(text: &str) -> Result<(), String> {
    match text.trim().parse::<IpAddr>() {
        Ok(_) => Ok(()),
        Err(_) => Err(format!("IP address is not correctly formatted: {text}")),
    }
}

/// An address as resolvers read it, as docker's client has it; what is none stays as it is.
pub(super) fn server(text: &str) -> String {
    text.trim().parse::<IpAddr>().map_or_else(|_| text.to_owned(), |address| address.to_string())
}

/// Refuses what is no domain (docker/cli, `opts.ValidateDNSSearch`); `.` stands for none.
pub(super) fn check_domain(text: &str) -> Result<(), String> {
    let is_label = |label: &str| {
        let is_inner = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
        !label.is_empty() && label.bytes().all(is_inner) && !label.starts_with('-') && !label.ends_with('-')
    };
    let has_letter = text.bytes().any(|byte| byte.is_ascii_alphabetic());
    match text == "." || (has_letter && text.strip_suffix('.').unwrap_or(text).split('.').all(is_label)) {
        true => Ok(()),
        false => Err(format!("{text} is not a valid domain")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_docker_s() {
        let check = |text: &str, expected: Result<(&str, &str), &str>| {
            assert_eq!(host(text), expected.map_err(str::to_owned), "{text}");
        };
        check("a:1.2.3.4", Ok(("a", "1.2.3.4")));
        check("a=::1", Ok(("a", "::1")));
        check("a:::1", Ok(("a", "::1")));
        check("a:[::1]", Ok(("a", "::1")));
        check("a:host-gateway", Ok(("a", "host-gateway")));
        check("a", Err("bad format for add-host: \"a\""));
        check(":1.2.3.4", Err("bad format for add-host: \":1.2.3.4\""));
        check("a:b", Err("invalid IP address in add-host: \"b\""));
        let is_domain = |text: &str| check_domain(text).is_ok();
        assert!([".", "a", "a.example", "a-b.example."].into_iter().all(is_domain));
        assert!(!["", "1.2", "a..b", "-a", "a_b", "a b"].into_iter().any(is_domain));
        assert_eq!(check_server("1.2.3.4"), Ok(()));
        assert_eq!(check_server("x"), Err("IP address is not correctly formatted: x".to_owned()));
    }
}
