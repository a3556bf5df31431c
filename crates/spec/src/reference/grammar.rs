//! The grammar of references, one predicate for each of its productions (`distribution/reference`, regexp.go).

use std::borrow::Cow;

/// The registry that is meant when a name begins with none.
pub(super) const DEFAULT_DOMAIN: &str = "docker.io";

/// What docker.io was called once.
const LEGACY_DEFAULT_DOMAIN: &str = "index.docker.io";

/// Where docker.io keeps repositories whose name has a single component.
pub(super) const OFFICIAL_PREFIX: &str = "library/";

/// Splits a familiar name (which may still have tag and digest) into its registry and the rest, both normalised.
///
/// A name without a slash is always an image on docker.io, even if it looks like a host: `localhost`, `example.com`.
pub(super) fn split_domain(name: &str) -> (&str, Cow<'_, str>) {
    let (domain, remainder) = match name.split_once('/') {
        Some((LEGACY_DEFAULT_DOMAIN, remainder)) => (DEFAULT_DOMAIN, remainder),
        Some((first, remainder)) if names_a_host(first) => (first, remainder),
        _ => (DEFAULT_DOMAIN, name),
    };
    if domain == DEFAULT_DOMAIN && !remainder.contains('/') {
        return (domain, Cow::Owned(format!("{OFFICIAL_PREFIX}{remainder}")));
    }
    (domain, Cow::Borrowed(remainder))
}

/// Whether the first component of a name is read as a host. Upper case counts, for no path may have it.
pub(super) fn names_a_host(component: &str) -> bool {
    component == "localhost" || component.contains(['.', ':']) || has_uppercase(component)
}

/// Whether lower-casing would change the text.
pub(super) fn has_uppercase(text: &str) -> bool {
    if text.is_ascii() {
        return text.bytes().any(|byte| byte.is_ascii_uppercase());
    }
    text.chars().any(|character| !character.to_lowercase().eq([character]))
}

/// `[a-f0-9]{64}`: an image ID without its algorithm.
pub(super) fn is_identifier(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// `host [":" port]`
pub(super) fn is_domain(text: &str) -> bool {
    let host_end = if text.starts_with('[') { text.find(']').map(|bracket| bracket + 1) } else { text.find(':') };
    let (host, port) = text.split_at(host_end.unwrap_or(text.len()));
    let port_is_valid = match port.strip_prefix(':') {
        Some(digits) => !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()),
        None => port.is_empty(),
    };
    port_is_valid && (is_ipv6_literal(host) || host.split('.').all(is_domain_label))
}

/// `"[" [a-fA-F0-9:]+ "]"`
fn is_ipv6_literal(host: &str) -> bool {
    let address = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or_default();
    !address.is_empty() && address.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b':')
}

/// `[a-zA-Z0-9]` or `[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9]`
fn is_domain_label(label: &str) -> bool {
    let is_alphanumeric = |character: char| character.is_ascii_alphanumeric();
    label.starts_with(is_alphanumeric)
        && label.ends_with(is_alphanumeric)
        && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

/// `component ("/" component)*`
pub(super) fn is_path(text: &str) -> bool {
    text.split('/').all(is_path_component)
}

/// `[a-z0-9]+ (("." | "_" | "__" | "-"+) [a-z0-9]+)*`
fn is_path_component(component: &str) -> bool {
    let is_alphanumeric = |character: char| character.is_ascii_lowercase() || character.is_ascii_digit();
    let is_separator = |text: &str| matches!(text, "." | "_" | "__") || text.bytes().all(|byte| byte == b'-');
    component.starts_with(is_alphanumeric)
        && component.ends_with(is_alphanumeric)
        && component.split(is_alphanumeric).all(is_separator)
}

/// `[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}`
pub(super) fn is_tag(text: &str) -> bool {
    text.len() <= 128
        && text.starts_with(|first: char| first.is_ascii_alphanumeric() || first == '_')
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-'))
}

/// `[A-Za-z][A-Za-z0-9]*([-_+.][A-Za-z][A-Za-z0-9]*)* ":" hex{32,}`, which is looser than a digest.
pub(super) fn is_digest(text: &str) -> bool {
    let is_name_part = |part: &str| {
        part.starts_with(|first: char| first.is_ascii_alphabetic())
            && part.bytes().all(|byte| byte.is_ascii_alphanumeric())
    };
    text.split_once(':').is_some_and(|(algorithm, encoded)| {
        algorithm.split(['-', '_', '+', '.']).all(is_name_part)
            && encoded.len() >= 32
            && encoded.bytes().all(|byte| byte.is_ascii_hexdigit())
    })
}
