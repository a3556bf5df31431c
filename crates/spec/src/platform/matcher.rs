//! Which platforms a host can run, best first (containerd/platforms, compare.go).

use std::ops::Range;

use super::Platform;

/// Says whether an image's platform fits the one that is wanted, and how well.
#[derive(Clone, Debug)]
pub struct Matcher {
    wanted: Platform,
    candidates: Vec<Platform>,
}

impl Matcher {
    /// Takes the wanted platform and, behind it, the older ones that its processor also runs: docker's default.
    pub fn ordered(wanted: &Platform) -> Self {
        let normal = wanted.normalized();
        let mut candidates = vec![normal.clone()];
        candidates.extend(
            fallbacks(&normal.architecture, normal.variant.as_deref().unwrap_or_default()).into_iter().map(
                |(architecture, variant)| {
                    Platform { architecture: architecture.to_owned(), ..normal.clone() }
                        .with_variant(variant)
                        .normalized()
                },
            ),
        );
        Self { wanted: wanted.clone(), candidates }
    }

    /// Takes the wanted platform only.
    pub fn strict(wanted: &Platform) -> Self {
        Self { wanted: wanted.clone(), candidates: vec![wanted.normalized()] }
    }

    /// The platform that is wanted, as it was given.
    pub fn wanted(&self) -> &Platform {
        &self.wanted
    }

    /// How well `platform` fits, 0 being best; nothing if it does not.
    pub fn rank(&self, platform: &Platform) -> Option<usize> {
        let normal = platform.normalized();
        self.candidates.iter().position(|candidate| fits(candidate, &normal))
    }

    /// Whether `platform` fits at all.
    pub fn matches(&self, platform: &Platform) -> bool {
        self.rank(platform).is_some()
    }
}

fn fits(wanted: &Platform, offered: &Platform) -> bool {
    wanted.os == offered.os
        && wanted.architecture == offered.architecture
        && wanted.variant == offered.variant
        && (wanted.os != "windows" || builds_agree(wanted.os_version.as_deref(), offered.os_version.as_deref()))
}

/// Whether two Windows versions name the same build: `10.0.17763.1` and `10.0.17763.2`. Unknown agrees with all.
fn builds_agree(wanted: Option<&str>, offered: Option<&str>) -> bool {
    match (wanted, offered) {
        (Some(wanted), Some(offered)) => wanted.split('.').take(3).eq(offered.split('.').take(3)),
        _ => true,
    }
}

/// What a processor also runs, best first, as architecture and variant.
fn fallbacks(architecture: &str, variant: &str) -> Vec<(&'static str, String)> {
    match architecture {
        "amd64" => {
            let level = whole_number(variant).unwrap_or(1);
            let mut list = below("amd64", level, 1);
            list.push(("386", String::new()));
            list
        }
        "arm" => below("arm", whole_number(variant).unwrap_or(0), 5),
        "arm64" => arm64_fallbacks(if variant.is_empty() { "v8" } else { variant }),
        _ => Vec::new(),
    }
}

/// `v8.x` runs every older `v8`, `v9.x` also `v8` up to `v8.(x+5)`, and all of them the 32-bit variants.
/// Nothing is known of what other variants run.
fn arm64_fallbacks(variant: &str) -> Vec<(&'static str, String)> {
    let (major, minor) = variant.split_once('.').unwrap_or((variant, "0"));
    let Some(minor) = minor.parse::<u8>().ok().filter(|minor| *minor <= 9) else { return Vec::new() };
    let older = |major: u8, minors: Range<u8>| minors.rev().map(move |minor| ("arm64", format!("v{major}.{minor}")));
    let mut list: Vec<_> = match major {
        "v8" => older(8, 0..minor).collect(),
        "v9" => older(9, 0..minor).chain(older(8, 0..minor + 6)).collect(),
        _ => return Vec::new(),
    };
    list.extend(below("arm", 9, 5));
    list
}

/// The variants below `level` down to `lowest`.
fn below(architecture: &'static str, level: u8, lowest: u8) -> Vec<(&'static str, String)> {
    (lowest..level).rev().map(|level| (architecture, format!("v{level}"))).collect()
}

/// The number of a variant such as `v7`; versions above 99 exist nowhere and would only make long lists.
fn whole_number(variant: &str) -> Option<u8> {
    variant.strip_prefix('v').unwrap_or(variant).parse().ok().filter(|level| *level <= 99)
}
