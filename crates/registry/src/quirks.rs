//! How registries differ where the specification lets them, or where they do not keep to it.

/// How a blob's bytes are sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UploadStyle {
    /// One `PUT` with the whole body after the `POST` that opens the upload: the fewest requests, and containerd's way.
    Put,
    /// One `PATCH` with the whole body, then an empty `PUT`: docker's way.
    Patch,
    /// A `PATCH` for every so many bytes, then an empty `PUT`.
    Chunks(u64),
}

/// What is known about one registry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quirks {
    /// How blobs are sent to it.
    pub upload: UploadStyle,
    /// Whether a blob may come in several `PATCH`es, and so an interrupted upload go on where it stopped.
    pub takes_chunks: bool,
    /// Whether it is to be believed when it says, by `OCI-Subject`, that it keeps a manifest among the referrers of its
    /// subject. If not, it is asked for them, and the fallback tag is written when the manifest is not there.
    pub keeps_referrers: bool,
    /// Whether reads of manifests count against a limit, and HEADs do not.
    pub counts_reads: bool,
}

/// What a registry that nothing is known about is expected to do: what the distribution specification says.
const STANDARD: Quirks =
    Quirks { upload: UploadStyle::Put, takes_chunks: true, keeps_referrers: true, counts_reads: false };

/// One exception: a host, or (from a dot on) the end of one; what it does; and who found out.
type Exception = (&'static str, Quirks, &'static str);

/// The exceptions. What every registry is treated to alike, because some need it and it harms none, is in
/// `docs/design/registry.md`, with its sources too.
const EXCEPTIONS: &[Exception] = &[
    ("docker.io", HUB, HUB_SOURCE),
    ("index.docker.io", HUB, HUB_SOURCE),
    (
        "ghcr.io",
        Quirks { upload: UploadStyle::Patch, takes_chunks: false, ..STANDARD },
        "a second PATCH overwrites the first (clowdhaus/ocync, ocync-distribution)",
    ),
    ("gcr.io", GOOGLE, GOOGLE_SOURCE),
    (".gcr.io", GOOGLE, GOOGLE_SOURCE),
    (".pkg.dev", GOOGLE, GOOGLE_SOURCE),
    (".azurecr.io", AZURE, AZURE_SOURCE),
    (".azurecr.cn", AZURE, AZURE_SOURCE),
    (".azurecr.us", AZURE, AZURE_SOURCE),
];

const HUB: Quirks = Quirks { keeps_referrers: false, counts_reads: true, ..STANDARD };
const HUB_SOURCE: &str = "answered OCI-Subject and did not serve referrers (docker/hub-feedback #2372); counts GETs of \
                          manifests, not HEADs (docs.docker.com, \"Docker Hub usage and limits\")";

const GOOGLE: Quirks = Quirks { takes_chunks: false, ..STANDARD };
const GOOGLE_SOURCE: &str = "no chunked uploads (clowdhaus/ocync, ocync-distribution)";

const AZURE: Quirks = Quirks { upload: UploadStyle::Chunks(16 << 20), ..STANDARD };
const AZURE_SOURCE: &str = "bodies above some 20 MB are rejected (clowdhaus/ocync, ocync-distribution)";

/// What is known about the registry of that name. Names are matched whole or from a dot on, never as a part
/// (`evil.azurecr.io.example.com` is not Azure's, GO-2026-6225).
pub(crate) fn of(domain: &str) -> Quirks {
    let host = domain.rsplit_once(':').map_or(domain, |(host, _)| host);
    let known = EXCEPTIONS.iter().find(|(name, _, _)| match name.starts_with('.') {
        true => host.ends_with(name),
        false => host == *name,
    });
    match known {
        Some((name, quirks, source)) => {
            tracing::debug!(domain, name, source, "this registry has its own way");
            *quirks
        }
        None => STANDARD,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_matched_by_their_end() {
        assert_eq!(of("team.azurecr.io").upload, UploadStyle::Chunks(16 << 20));
        assert_eq!(of("evil.azurecr.io.example.com"), STANDARD);
        assert_eq!(of("eu.gcr.io:443"), of("gcr.io"));
        assert_eq!(of("notgcr.io"), STANDARD);
        assert_eq!(of("ghcr.io").upload, UploadStyle::Patch);
        assert_eq!(of("localhost:5000"), STANDARD);
        assert_eq!(of("localhost"), STANDARD);
        assert!(of("docker.io").counts_reads && !of("ghcr.io").counts_reads);
        assert!(!of("docker.io").keeps_referrers && of("registry.docker.io.example.com").keeps_referrers);
    }
}
