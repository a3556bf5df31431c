//! Basic authentication (RFC 7617).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use dhow_base::secret::Secret;

/// User and password in the value of an `Authorization` header; nothing when it is not of the scheme `Basic`.
pub fn credentials(header: &str) -> Option<(String, Secret)> {
    let (scheme, encoded) = header.trim().split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let decoded = String::from_utf8(STANDARD.decode(encoded.trim()).ok()?).ok()?;
    let (user, password) = decoded.split_once(':')?;
    Some((user.to_owned(), Secret::new(password)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_clients_send() {
        let found = |header: &str| credentials(header).map(|(user, password)| (user, password.expose().to_owned()));
        let pair = |user: &str, password: &str| Some((user.to_owned(), password.to_owned()));
        assert_eq!(found("Basic Ym9iOmh1bnRlcjI="), pair("bob", "hunter2"));
        assert_eq!(found("basic  Ym9iOmE6Yg=="), pair("bob", "a:b"));
        for bad in ["", "Basic", "Basic ", "Basic !", "Bearer Ym9iOmh1bnRlcjI=", "Basic Ym9i", "Basic /////w=="] {
            assert_eq!(found(bad), None, "{bad}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_without_panic(text in ".{0,60}") {
            let _ = credentials(&text);
            let _ = credentials(&format!("Basic {text}"));
        }
    }
}
