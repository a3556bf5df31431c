//! The tar reader beside GNU tar and Python's tarfile: the same archives mean the same.

#![allow(clippy::disallowed_methods, reason = "scratch files of the test itself")]

use std::fs;
use std::io::Write;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::{Command, Stdio};

use dhow_layer::tar::{EntryKind, TarLimits, TarReader};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

/// Lists archives as Python reads them: a line for each entry of each, `-` where it reads no further, `=` between archives.
const PYTHON: &str = r#"
import sys, tarfile, io
KIND = {b'0': 'f', b'\0': 'f', b'7': 'f', b'S': 'f', b'1': 'h', b'2': 'l', b'3': 'c', b'4': 'b', b'5': 'd', b'6': 'p'}
for name in sys.argv[1:]:
    try:
        with tarfile.open(name, 'r:', errors='surrogateescape', encoding='utf-8') as tar:
            for m in tar:
                path = [part for part in m.name.split('/') if part not in ('', '.')]
                target = m.linkname if m.type in b'12' else ''
                if m.type == b'1':
                    target = '/'.join(part for part in target.split('/') if part not in ('', '.'))
                row = [KIND.get(m.type, '?'), '/'.join(path), '%o' % (m.mode & 0o7777), m.uid, m.gid, m.size if m.isreg() else 0,
                       int(m.mtime // 1), m.offset_data, target]
                print('|'.join(str(cell) for cell in row).encode('utf-8', 'surrogateescape').hex())
    except (tarfile.TarError, ValueError, OverflowError, UnicodeError, EOFError, RecursionError):
        print('-')
    print('=')
"#;

/// The same of the reader here; nothing when it refuses the archive.
fn listing(archive: &[u8]) -> Option<Vec<String>> {
    let mut reader = TarReader::new(archive, "archive", TarLimits::LAYER).without_whiteouts();
    let mut rows = Vec::new();
    loop {
        let entry = match reader.next_entry() {
            Ok(Some(entry)) => entry,
            Ok(None) => return Some(rows),
            Err(_) => return None,
        };
        let (kind, size, target) = match &entry.kind {
            EntryKind::File { size, .. } => ('f', *size, Vec::new()),
            EntryKind::Directory { .. } => ('d', 0, Vec::new()),
            EntryKind::Symlink { target } => ('l', 0, target.clone()),
            EntryKind::HardLink { target } => ('h', 0, target.as_bytes().to_vec()),
            EntryKind::CharDevice { .. } => ('c', 0, Vec::new()),
            EntryKind::BlockDevice { .. } => ('b', 0, Vec::new()),
            _ => ('p', 0, Vec::new()),
        };
        let mut row = format!("{kind}|").into_bytes();
        row.extend_from_slice(entry.path.as_bytes());
        let (mode, seconds) = (entry.mode, entry.mtime.seconds);
        let rest = format!("|{mode:o}|{}|{}|{size}|{seconds}|{}|", entry.uid, entry.gid, entry.data_offset);
        row.extend_from_slice(rest.as_bytes());
        row.extend_from_slice(&target);
        rows.push(row.iter().map(|byte| format!("{byte:02x}")).collect());
    }
}

/// What Python says of each archive; nothing where it fails.
fn python(paths: &[&Path]) -> Option<Vec<Option<Vec<String>>>> {
    let output = Command::new("python3").args(["-c", PYTHON]).args(paths).stderr(Stdio::inherit()).output().ok()?;
    assert!(output.status.success(), "python failed");
    let text = String::from_utf8(output.stdout).expect("hexadecimal");
    let mut archives = vec![Some(Vec::new())];
    for line in text.lines() {
        let rows = archives.last_mut().expect("one");
        match line {
            "=" => archives.push(Some(Vec::new())),
            "-" => *rows = None,
            row => {
                if let Some(rows) = rows {
                    rows.push(row.to_owned());
                }
            }
        }
    }
    archives.pop();
    Some(archives)
}

fn text(rows: &[String]) -> Vec<String> {
    let byte = |row: &str, at: usize| u8::from_str_radix(&row[at..at + 2], 16).expect("hexadecimal");
    let decode = |row: &String| (0..row.len()).step_by(2).map(|at| byte(row, at)).collect::<Vec<u8>>();
    rows.iter().map(|row| String::from_utf8_lossy(&decode(row)).into_owned()).collect()
}

/// A tree with every type and with names and sizes that the old formats cannot hold.
fn tree(root: &Path) {
    let long = root.join("d".repeat(90)).join("e".repeat(90));
    fs::create_dir_all(&long).expect("directories");
    fs::write(long.join("ü-file"), "content").expect("a file");
    fs::write(root.join("plain"), "x".repeat(1000)).expect("a file");
    fs::set_permissions(root.join("plain"), fs::Permissions::from_mode(0o6751)).expect("a mode");
    fs::hard_link(root.join("plain"), root.join("hard")).expect("a link");
    symlink("t".repeat(150), root.join("soft")).expect("a link");
    let sparse = fs::File::create(root.join("sparse")).expect("a file");
    sparse.set_len(40 << 20).expect("a length");
    for number in 0..9 {
        std::os::unix::fs::FileExt::write_all_at(&sparse, b"data", number * (4 << 20)).expect("data");
    }
    assert!(Command::new("mkfifo").arg(root.join("pipe")).status().expect("mkfifo").success());
}

#[test]
fn what_gnu_tar_writes_reads_the_same_in_python() {
    let scratch = tempfile::tempdir_in("/var/tmp").expect("a folder");
    let root = scratch.path().join("tree");
    fs::create_dir(&root).expect("a folder");
    tree(&root);
    let mut paths = Vec::new();
    let formats = ["gnu", "oldgnu", "posix"];
    let options: [&[&str]; 5] = [
        &[],
        &["--sparse"],
        &["--sparse", "--sparse-version=0.0"],
        &["--sparse", "--sparse-version=0.1"],
        &["--owner=70000000:70000000", "--group=3:3", "--mtime=@-7.5"],
    ];
    for format in formats {
        for (number, options) in options.iter().enumerate() {
            let path = scratch.path().join(format!("{format}-{number}.tar"));
            let status = Command::new("tar")
                .current_dir(&root)
                .args(["--sort=name", "--numeric-owner", &format!("--format={format}")])
                .args(*options)
                .arg("-cf")
                .args([&path, Path::new(".")])
                .status();
            if status.expect("tar").success() {
                paths.push(path);
            }
        }
    }
    assert!(paths.len() >= 12, "GNU tar wrote only {} archives", paths.len());
    let Some(expected) = python(&paths.iter().map(|path| path.as_path()).collect::<Vec<_>>()) else {
        eprintln!("skipped: there is no python3");
        return;
    };
    for (path, expected) in paths.iter().zip(expected) {
        let archive = fs::read(path).expect("the archive");
        let rows = listing(&archive).unwrap_or_else(|| panic!("{path:?} is refused"));
        assert_eq!(text(&rows), text(&expected.expect("Python reads it")), "{path:?}");
        let listed = Command::new("tar").args(["--quoting-style=literal", "-tf"]).arg(path).output().expect("tar");
        let names: Vec<String> = String::from_utf8_lossy(&listed.stdout)
            .lines()
            .map(|name| name.trim_start_matches("./").trim_matches('/').to_owned())
            .collect();
        let ours: Vec<String> = text(&rows).iter().filter_map(|row| row.split('|').nth(1).map(str::to_owned)).collect();
        assert_eq!(ours, names, "{path:?}");
    }
}

/// An archive under construction: headers whose fields are arbitrary where that is interesting.
#[derive(Clone, Debug)]
struct Raw {
    type_flag: u8,
    name: String,
    link: String,
    size: Vec<u8>,
    mtime: Vec<u8>,
    magic: &'static [u8; 8],
    data: Vec<u8>,
}

impl Raw {
    fn write(&self, archive: &mut Vec<u8>) {
        let mut block = [0_u8; 512];
        block[..self.name.len()].copy_from_slice(self.name.as_bytes());
        block[100..108].copy_from_slice(b"0000644\0");
        block[108..116].copy_from_slice(b"0000001\0");
        block[116..124].copy_from_slice(b"0000002\0");
        block[124..124 + self.size.len()].copy_from_slice(&self.size);
        block[136..136 + self.mtime.len()].copy_from_slice(&self.mtime);
        block[148..156].fill(b' ');
        block[156] = self.type_flag;
        block[157..157 + self.link.len()].copy_from_slice(self.link.as_bytes());
        block[257..265].copy_from_slice(self.magic);
        let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
        block[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
        archive.extend_from_slice(&block);
        archive.extend_from_slice(&self.data);
        archive.resize(archive.len().next_multiple_of(512), 0);
    }
}

fn raws() -> impl Strategy<Value = Vec<Raw>> {
    let record = |key: &str, value: &str| {
        let body = key.len() + value.len() + 3;
        let length = (body..).find(|length| length.to_string().len() + body == *length).expect("a length");
        format!("{length} {key}={value}\n")
    };
    let pax = prop_oneof![
        "[a-c/]{1,6}".prop_map(move |value| record("path", &value)),
        "[0-9]{1,4}".prop_map(move |value| record("size", &value)),
        "-?[0-9]{1,3}(\\.[0-9]{1,3})?".prop_map(move |value| record("mtime", &value)),
        "[0-9]{1,6}".prop_map(move |value| record("uid", &value)),
        "[a-c]{1,4}".prop_map(move |value| record("linkpath", &value))
    ];
    let entry = (
        prop_oneof![3 => Just(b'0'), 1 => prop::sample::select(b"123456".to_vec())],
        "[a-c]{1,3}(/[a-c]{1,3}){0,2}",
        "[a-c]{1,3}",
        proptest::collection::vec(any::<u8>(), 0..700),
        prop_oneof![4 => Just(None), 1 => (0_u64..2000).prop_map(Some)],
        prop::sample::select(vec![b"ustar\x0000", b"ustar  \0", b"\0\0\0\0\0\0\0\0"]),
        prop::bool::ANY,
    )
        .prop_map(|(type_flag, name, link, data, lie, magic, wide)| {
            let size = lie.unwrap_or(if type_flag == b'0' { data.len() as u64 } else { 0 });
            let mut field = format!("{size:011o}\0").into_bytes();
            if wide {
                field = [vec![0x80, 0, 0, 0], size.to_be_bytes().to_vec()].concat();
            }
            let data = if type_flag == b'0' { data } else { Vec::new() };
            Raw { type_flag, name, link, size: field, mtime: b"00000000017\0".to_vec(), magic, data }
        });
    let extension = (prop::sample::select(b"xxxLKg".to_vec()), proptest::collection::vec(pax, 1..3)).prop_map(
        |(type_flag, records)| {
            let data = match type_flag {
                b'x' | b'g' => records.concat().into_bytes(),
                _ => b"long/name\0".to_vec(),
            };
            Raw {
                type_flag,
                name: "extension".to_owned(),
                link: String::new(),
                size: format!("{:011o}\0", data.len()).into_bytes(),
                mtime: b"0\0".to_vec(),
                magic: b"ustar\x0000",
                data,
            }
        },
    );
    proptest::collection::vec(prop_oneof![3 => entry, 1 => extension], 1..6)
}

/// Archives that lie: whatever is accepted here and by Python has the same entries at the same places.
#[test]
fn archives_that_lie_are_refused_or_mean_the_same() {
    let scratch = tempfile::tempdir().expect("a folder");
    let seed = std::env::var("DHOW_TEST_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or(7_u64);
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let mut runner = TestRunner::new_with_rng(Config::default(), TestRng::from_seed(RngAlgorithm::ChaCha, &bytes));
    let mut archives = Vec::new();
    for number in 0..400 {
        let raws = raws().new_tree(&mut runner).expect("an archive").current();
        let mut archive = Vec::new();
        raws.iter().for_each(|raw| raw.write(&mut archive));
        archive.extend_from_slice(&[0; 1024]);
        let path = scratch.path().join(format!("{number}.tar"));
        fs::File::create(&path).and_then(|mut file| file.write_all(&archive)).expect("a file");
        archives.push((path, archive, raws));
    }
    let paths: Vec<&Path> = archives.iter().map(|(path, ..)| path.as_path()).collect();
    let Some(expected) = python(&paths) else {
        eprintln!("skipped: there is no python3");
        return;
    };
    let (mut both, mut refused) = (0, 0);
    for ((_, archive, raws), expected) in archives.iter().zip(expected) {
        match (listing(archive), expected) {
            // Python reads on where Go and dhow refuse, or the other way round: one reading each.
            (None, _) | (_, None) => refused += 1,
            (Some(ours), Some(theirs)) => {
                both += 1;
                // Owners and times of global headers count for Python, and not for docker and dhow.
                let has_global = raws.iter().any(|raw| raw.type_flag == b'g');
                let told = |rows: &[String]| -> Vec<String> {
                    let shorten = |row: String| {
                        let mut cells: Vec<&str> = row.split('|').collect();
                        if has_global {
                            cells.drain(3..5);
                            cells.remove(4);
                        }
                        cells.join("|")
                    };
                    text(rows).into_iter().map(shorten).collect()
                };
                assert_eq!(told(&ours), told(&theirs), "seed {seed}");
            }
        }
    }
    assert!(both > 60 && refused > 20, "{both} archives were compared, {refused} refused");
}
