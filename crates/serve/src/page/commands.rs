//! Commands that fetch an image, to be copied.

use super::address::spelled;
use super::html::{Attribute, Html};
use crate::name::RepositoryName;
use crate::route::ManifestName;

/// What clients call this registry when the request does not say it in a way that could be repeated.
const UNKNOWN_HOST: &str = "REGISTRY";

const HOST_BYTES_MAX: usize = 255;

/// How clients reach this registry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Host {
    /// Name or address, with the port where it is not the usual one.
    pub(super) name: String,
    /// Whether it speaks HTTPS.
    pub(super) is_secure: bool,
}

impl Host {
    /// Reads what the browser calls it. A name with anything unusual in it is none: it is to be pasted into a shell.
    pub(super) fn new(authority: Option<&str>, is_secure: bool) -> Self {
        let is_plain = |name: &&str| {
            let is_plain_byte = |byte: u8| byte.is_ascii_alphanumeric() || b".-:[]".contains(&byte);
            !name.is_empty()
                && name.len() <= HOST_BYTES_MAX
                && !name.starts_with('-')
                && name.bytes().all(is_plain_byte)
        };
        Self { name: authority.filter(is_plain).unwrap_or(UNKNOWN_HOST).to_owned(), is_secure }
    }

    /// Docker, podman and dhow take plain HTTP from this machine without being told.
    fn is_loopback(&self) -> bool {
        let name = match self.name.strip_prefix('[') {
            Some(rest) => rest.split(']').next().unwrap_or_default(),
            None => self.name.split(':').next().unwrap_or_default(),
        };
        name == "localhost" || name == "::1" || name.starts_with("127.")
    }

    fn reference(&self, repository: &RepositoryName, name: &ManifestName) -> String {
        format!("{}/{}", self.name, spelled(repository, name))
    }

    /// A program each, and how it fetches the image.
    fn pulls(&self, repository: &RepositoryName, name: &ManifestName, is_image: bool) -> Vec<(&'static str, String)> {
        let reference = self.reference(repository, name);
        let last = repository.as_str().rsplit('/').next().unwrap_or_default();
        let folder = match name {
            ManifestName::Tag(tag) => format!("{last}:{tag}"),
            ManifestName::Digest(_) => last.to_owned(),
        };
        let (podman, skopeo) = match self.is_secure {
            true => ("", ""),
            false => ("--tls-verify=false ", "--src-tls-verify=false "),
        };
        let skopeo = ("skopeo", format!("skopeo copy {skopeo}docker://{reference} oci:{folder}"));
        if !is_image {
            return vec![("dhow", format!("dhow artifact pull {reference}")), skopeo];
        }
        vec![
            ("dhow", format!("dhow pull {reference}")),
            ("docker", format!("docker pull {reference}")),
            ("podman", format!("podman pull {podman}{reference}")),
            skopeo,
        ]
    }

    /// The section of a page. The commands by digest are at hand behind those by tag.
    pub(super) fn section(
        &self,
        html: &mut Html,
        repository: &RepositoryName,
        name: &ManifestName,
        digest: &ManifestName,
        is_image: bool,
    ) {
        html.element("section", &[], |html| {
            html.leaf("h2", &[], if is_image { "Pull" } else { "Fetch" });
            commands(html, &self.pulls(repository, name, is_image));
            if name != digest {
                html.element("details", &[], |html| {
                    html.leaf("summary", &[], "By digest, which never changes");
                    commands(html, &self.pulls(repository, digest, is_image));
                });
            }
            if !self.is_secure && !self.is_loopback() {
                let note = "This registry speaks plain HTTP: dhow and docker take it only when it is among their insecure registries.";
                html.leaf("p", &[(Attribute::Class, "quiet")], note);
            }
        });
    }
}

fn commands(html: &mut Html, commands: &[(&'static str, String)]) {
    html.element("dl", &[(Attribute::Class, "commands")], |html| {
        for (program, command) in commands {
            html.leaf("dt", &[], program);
            html.element("dd", &[], |html| html.leaf("code", &[(Attribute::Class, "command")], command));
        }
    });
}

#[cfg(test)]
mod tests {
    use dhow_spec::{Digest, Tag};

    use super::*;

    fn pulls(host: &Host, name: &ManifestName) -> Vec<String> {
        let repository = RepositoryName::parse("team/app").expect("a repository name");
        host.pulls(&repository, name, true).into_iter().map(|(_, command)| command).collect()
    }

    #[test]
    fn each_program_in_its_own_words() {
        let tag = ManifestName::Tag(Tag::parse("v1").expect("a tag"));
        assert_eq!(
            pulls(&Host::new(Some("reg.example:5000"), true), &tag),
            [
                "dhow pull reg.example:5000/team/app:v1",
                "docker pull reg.example:5000/team/app:v1",
                "podman pull reg.example:5000/team/app:v1",
                "skopeo copy docker://reg.example:5000/team/app:v1 oci:app:v1",
            ]
        );
        let digest = Digest::sha256(b"");
        let plain = pulls(&Host::new(Some("127.0.0.1:5000"), false), &ManifestName::Digest(digest.clone()));
        assert_eq!(plain[2], format!("podman pull --tls-verify=false 127.0.0.1:5000/team/app@{digest}"));
        assert_eq!(
            plain[3],
            format!("skopeo copy --src-tls-verify=false docker://127.0.0.1:5000/team/app@{digest} oci:app")
        );
    }

    #[test]
    fn a_host_that_could_do_harm_in_a_shell_is_none() {
        for name in ["a;rm -rf /", "$(x)", "a b", "", "-x", "a`b`", "a\u{e9}", &"a".repeat(300)] {
            assert_eq!(Host::new(Some(name), true).name, UNKNOWN_HOST, "{name}");
        }
        assert_eq!(Host::new(None, true).name, UNKNOWN_HOST);
        for (name, is_loopback) in [
            ("localhost", true),
            ("127.0.0.1:5", true),
            ("[::1]:5000", true),
            ("[::2]", false),
            ("localhost.example", false),
        ] {
            assert_eq!(Host::new(Some(name), false).is_loopback(), is_loopback, "{name}");
        }
    }
}
