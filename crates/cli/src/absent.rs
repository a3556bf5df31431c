//! Commands of docker and podman that dhow does not have, and what does the same: who types one gets more than that it is unknown.

/// The words behind the program's name, and what to do instead.
const ABSENT: &[(&str, &str)] = &[
    (
        "image sign",
        "dhow does not sign images; `cosign sign` does, and `dhow copy --referrers` takes its signatures along",
    ),
    (
        "image trust",
        "dhow does not check signatures, and reads no policy.json; `cosign verify` and `skopeo standalone-verify` do",
    ),
    (
        "image scp",
        "images go to another machine by `dhow save IMAGE | ssh HOST dhow load`, or through a registry by `dhow copy`",
    ),
    ("trust", "docker's content trust has ended; `cosign sign` and `cosign verify` sign and check images"),
    ("build", BUILD),
    ("image build", BUILD),
    ("buildx", BUILD),
    ("builder", BUILD),
    ("compose", "dhow runs single containers: `dhow run`"),
];

const BUILD: &str = "dhow builds no images; docker or buildah does, and `dhow copy docker-daemon:NAME NAME` or \
                     `dhow copy containers-storage:NAME NAME` takes the image over";

/// What to do instead of a command; `path` is what was understood, with the program's name, and `word` what was not.
pub(crate) fn instead(path: &str, word: &str) -> Option<&'static str> {
    let behind = path.split_once(' ').map_or(String::new(), |(_, words)| format!("{words} ")) + word;
    ABSENT.iter().find(|(words, _)| *words == behind).map(|(_, instead)| *instead)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::personality::Personality;
    use crate::tree::root;

    #[test]
    fn none_of_them_is_there() {
        for personality in [Personality::Dhow, Personality::Podman] {
            for (words, _) in ABSENT {
                let root = root(personality);
                let found = words.split(' ').try_fold(&root, |command, word| command.find_subcommand(word));
                assert!(found.is_none(), "{words}: there is one now");
            }
        }
        assert!(instead("docker image", "scp").is_some() && instead("podman", "scp").is_none());
        assert!(instead("dhow", "trust").is_some());
    }
}
