//! Images of entries that others are easily wrong about.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use dhow_testkit::images::{Compression, Format, Layer, Layout, Recipe};
use dhow_tests::interop::{Bench, Sample};

/// Runs a script of the shell in a directory.
pub(crate) fn shell(directory: &Path, script: &str) {
    let output = Command::new("sh").arg("-euc").arg(script).current_dir(directory).output().expect("sh");
    assert!(output.status.success(), "{script}: {}", String::from_utf8_lossy(&output.stderr));
}

pub(crate) fn layer(layout: &Layout, tree: &Path, format: &str, members: &[&str]) -> Layer {
    let mut tar = Command::new("tar")
        .current_dir(tree)
        .args(["--sort=name", "--numeric-owner", "--create", "--file=-", "--sparse"])
        .args(if format == "posix" { &["--xattrs", "--xattrs-include=*"][..] } else { &[] })
        .arg(format!("--format={format}"))
        .args(members)
        .stdout(Stdio::piped())
        .spawn()
        .expect("tar");
    let layer = layout.layer(tar.stdout.take().expect("its output"), Format::Oci, Compression::Gzip).expect("a layer");
    assert!(tar.wait().expect("tar").success());
    layer
}

/// The name of what an image's first layer makes alone.
pub(crate) const BELOW: &str = "registry.example/acme/below:1";

/// The image of these layers, and [`BELOW`].
pub(crate) fn finished(mut layout: Layout, layers: &[Layer]) -> Sample {
    let recipe = Recipe { entrypoint: vec!["/bin/sh".to_owned()], ..Recipe::default() };
    let manifest = layout.image(layers, &recipe).expect("an image");
    let below = layout.image(&layers[..1], &recipe).expect("an image");
    layout.name(&manifest, &["it"]).expect("its name");
    layout.name_images([(&below, BELOW)]).expect("its name");
    Sample { layout, manifest }
}

/// An image with an entry of every type and everything that layers do to each other.
pub(crate) fn odd_image(bench: &Bench) -> Sample {
    let lower = bench.path("lower");
    fs::create_dir(&lower).expect("a folder");
    shell(
        &lower,
        r#"
        mkdir -p etc usr/bin var/empty opaque/deep gone modes 'name with spaces' kept
        echo one > etc/one; echo two > etc/two; ln etc/one usr/bin/one; ln etc/one usr/bin/uno
        ln -s ../etc/one usr/bin/soft; ln -s /nowhere usr/bin/dangling; ln -s usr/bin bin
        mkfifo pipe; mknod char c 1 3; mknod block b 7 0; chmod 620 char; ln char char-again; ln pipe pipe-again
        echo hidden > opaque/deep/file; echo hidden > opaque/file; echo x > gone/x; echo y > kept/y
        for mode in 0000 0400 0755 1777 2755 4755 6711; do echo $mode > modes/$mode; chmod $mode modes/$mode; done
        mkdir modes/sticky modes/closed; chmod 1777 modes/sticky; chmod 0500 modes/closed
        echo caps > usr/bin/ping
        python3 -c '
import os, struct
os.setxattr("usr/bin/ping", "security.capability", struct.pack("<IIIII", 0x02000001, 1 << 13, 0, 0, 0))
os.setxattr("etc/two", "user.note", b"a\0b")
os.setxattr("kept", "user.note", b"directory")
acl = struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *e) for e in [(1, 7, 0xffffffff), (2, 5, 1000), (4, 5, 0xffffffff), (16, 7, 0xffffffff), (32, 5, 0xffffffff)])
os.setxattr("kept", "system.posix_acl_default", acl)
os.setxattr("kept", "system.posix_acl_access", acl)
with open("sparse", "wb") as f:
    f.truncate(10 << 20); f.seek(5 << 20); f.write(b"middle")
os.makedirs("d" * 100 + "/" + "e" * 100); open("d" * 100 + "/" + "e" * 100 + "/f", "w").write("long")
open(b"not-utf8-\xff", "w").write("x")
'
        chown 12:34 etc/two; chown -h 56:78 usr/bin/soft; chown 3000000:3000001 etc/one; chmod 4755 etc/one
        touch -d '2001-02-03 04:05:06.789' etc/two; touch -h -d '1999-01-01 00:00:00.5' usr/bin/soft
        find . -newermt 2020-01-01 -exec touch -h -d '2020-02-02 02:02:02.25' {} +
        "#,
    );
    let upper = bench.path("upper");
    fs::create_dir(&upper).expect("a folder");
    shell(
        &upper,
        r#"
        mkdir -p etc opaque usr/bin kept replaced 'd'
        echo new > etc/three; touch etc/.wh.two; touch .wh.gone; touch opaque/.wh..wh..opq; echo new > opaque/new
        echo changed > usr/bin/uno; echo z > kept/z; ln etc/three etc/four; chmod 0711 opaque; chown 9:9 kept
        find . -exec touch -h -d '2021-03-03 03:03:03.125' {} +
        "#,
    );
    let layout = Layout::create(&bench.path("layout")).expect("a layout");
    let layers = [layer(&layout, &lower, "posix", &["."]), layer(&layout, &upper, "posix", &["."])];
    finished(layout, &layers)
}

/// An image whose upper layer has entries below names that are links or files in the lower one.
pub(crate) fn links_image(bench: &Bench) -> Sample {
    let lower = bench.path("lower");
    fs::create_dir(&lower).expect("a folder");
    let make =
        "mkdir -p usr/lib/a usr/lib/b etc dev proc sys; echo x > usr/lib/x; ln -s usr/lib lib; ln -s nowhere gone
                ln -s usr all; echo f > f; touch etc/hosts etc/hostname etc/resolv.conf; ln -s /proc/mounts etc/mtab
                find . -exec touch -h -d '2020-02-02 02:02:02' {} +";
    shell(&lower, make);
    let upper = bench.path("upper");
    fs::create_dir(&upper).expect("a folder");
    let make = "mkdir -p lib gone f/g all/lib; echo y > lib/y; echo y > gone/y; echo y > f/g/y; echo y > all/lib/y
                find . -exec touch -h -d '2020-02-02 02:02:02' {} +";
    shell(&upper, make);
    let layout = Layout::create(&bench.path("layout")).expect("a layout");
    let layers = [
        layer(&layout, &lower, "posix", &["."]),
        layer(&layout, &upper, "posix", &["lib/y", "gone/y", "f", "all/lib/y"]),
    ];
    finished(layout, &layers)
}
