//! The names of operating systems and architectures: Go's list, and the other spellings that people use.

const KNOWN_OS: &[&str] = &[
    "aix",
    "android",
    "darwin",
    "dragonfly",
    "freebsd",
    "hurd",
    "illumos",
    "ios",
    "js",
    "linux",
    "nacl",
    "netbsd",
    "openbsd",
    "plan9",
    "solaris",
    "windows",
    "zos",
];

const KNOWN_ARCHITECTURES: &[&str] = &[
    "386",
    "amd64",
    "amd64p32",
    "arm",
    "armbe",
    "arm64",
    "arm64be",
    "ppc64",
    "ppc64le",
    "loong64",
    "mips",
    "mipsle",
    "mips64",
    "mips64le",
    "mips64p32",
    "mips64p32le",
    "ppc",
    "riscv",
    "riscv64",
    "s390",
    "s390x",
    "sparc",
    "sparc64",
    "wasm",
];

pub(super) fn is_known_os(os: &str) -> bool {
    KNOWN_OS.contains(&os)
}

pub(super) fn is_known_architecture(architecture: &str) -> bool {
    KNOWN_ARCHITECTURES.contains(&architecture)
}

/// One spelling for each operating system; nothing means the host's.
pub(super) fn normalize_os(os: &str) -> String {
    match os.to_ascii_lowercase().as_str() {
        "" => host_os().to_owned(),
        "macos" => "darwin".to_owned(),
        other => other.to_owned(),
    }
}

/// One spelling for each architecture and variant; the variant that everybody has is left out.
pub(super) fn normalize_architecture(architecture: &str, variant: &str) -> (String, Option<String>) {
    let architecture = architecture.to_ascii_lowercase();
    let variant = variant.to_ascii_lowercase();
    let (architecture, variant) = match (architecture.as_str(), variant.as_str()) {
        ("i386", _) => ("386", ""),
        ("x86_64" | "x86-64" | "amd64", "v1") => ("amd64", ""),
        ("x86_64" | "x86-64" | "amd64", variant) => ("amd64", variant),
        ("aarch64" | "arm64", "8" | "v8" | "v8.0") => ("arm64", ""),
        ("aarch64" | "arm64", "9" | "9.0" | "v9.0") => ("arm64", "v9"),
        ("aarch64" | "arm64", variant) => ("arm64", variant),
        ("armhf", _) => ("arm", "v7"),
        ("armel", _) => ("arm", "v6"),
        ("arm", "" | "7") => ("arm", "v7"),
        ("arm", "5") => ("arm", "v5"),
        ("arm", "6") => ("arm", "v6"),
        ("arm", "8") => ("arm", "v8"),
        (architecture, variant) => (architecture, variant),
    };
    (architecture.to_owned(), Some(variant.to_owned()).filter(|variant| !variant.is_empty()))
}

/// Go's name of the operating system this program was built for.
pub(super) fn host_os() -> &'static str {
    match std::env::consts::OS {
        "macos" => "darwin",
        other => other,
    }
}

/// Go's name of the processor this program was built for, and its variant as docker shows it.
pub(super) fn host_architecture() -> (&'static str, &'static str) {
    let little_endian = cfg!(target_endian = "little");
    match std::env::consts::ARCH {
        "x86_64" => ("amd64", ""),
        "x86" => ("386", ""),
        "aarch64" => ("arm64", "v8"),
        "arm" if cfg!(target_feature = "v7") => ("arm", "v7"),
        "arm" => ("arm", "v6"),
        "powerpc64" if little_endian => ("ppc64le", ""),
        "powerpc64" => ("ppc64", ""),
        "mips" if little_endian => ("mipsle", ""),
        "mips64" if little_endian => ("mips64le", ""),
        "loongarch64" => ("loong64", ""),
        other => (other, ""),
    }
}
