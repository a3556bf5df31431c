//! The image of an application, in as many layers as a build with many steps makes.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use dhow_testkit::images::Layout;
use dhow_tests::interop::{Bench, Sample, must};

use crate::images::{finished, layer, shell};

/// What an application does to the files below it, one layer each: a script of the shell for what is in the layer.
const STEPS: &[&str] = &[
    "mkdir -p opt/app/static srv; echo 'flask==3' > opt/app/requirements.txt; echo old > opt/app/static/a; echo old > opt/app/static/b",
    "mkdir -p opt/venv/bin opt/venv/lib; ln -s /usr/bin/python3 opt/venv/bin/python3; ln -s python3 opt/venv/bin/python; ln -s lib opt/venv/lib64",
    "mkdir -p opt/app; echo 'print(1)' > opt/app/app.py; chmod 755 opt/app/app.py; chown -R 1000:1000 opt/app",
    "mkdir -p etc/nginx/sites-enabled; echo 'user www-data;' > etc/nginx/nginx.conf; touch etc/nginx/sites-enabled/.wh.default",
    "mkdir -p var/log/nginx; ln -s /dev/stdout var/log/nginx/access.log; ln -s /dev/stderr var/log/nginx/error.log; chown 33:4 var/log/nginx",
    "mkdir -p usr/share; touch usr/share/.wh.doc usr/share/.wh.man",
    "mkdir -p opt/app/static; touch opt/app/static/.wh..wh..opq; echo new > opt/app/static/c; chown -R 1000:1000 opt/app",
    "mkdir -p opt/app/__pycache__; head -c 3000 /dev/zero > opt/app/__pycache__/app.pyc; chown -R 1000:1000 opt/app; chmod 700 opt/app/__pycache__",
    "mkdir -p opt/links; echo shared > opt/links/one; ln opt/links/one opt/links/two; ln opt/links/one opt/links/three",
    "mkdir -p opt/links; echo alone > opt/links/two",
    "mkdir -p usr/local/bin; echo server > usr/local/bin/serve; chmod 2755 usr/local/bin/serve; python3 -c '
import os, struct
os.setxattr(\"usr/local/bin/serve\", \"security.capability\", struct.pack(\"<IIIII\", 0x02000001, 1 << 10, 0, 0, 0))'",
    "mkdir -p opt/app; touch opt/app/.wh.requirements.txt; mkdir opt/app/app.py; echo x > opt/app/app.py/__init__.py; chown -R 1000:1000 opt/app",
    "mkdir -p var/cache/app run/app; chmod 1777 var/cache/app; chown 33:33 run/app",
    "mkdir -p srv; echo file > srv/data; touch .wh.media",
];

/// A Debian with Python and nginx from its packages, each a layer, and an application on top: forty layers.
pub(crate) fn image(bench: &Bench, tree: &Path, packages: &[PathBuf]) -> Sample {
    let layout = Layout::create(&bench.path("layout")).expect("a layout");
    let mut layers = vec![layer(&layout, tree, "posix", &["."])];
    // The many small ones first, then all that are left in one.
    let (single, rest) = packages.split_at(packages.len().min(24));
    layers.extend(single.iter().map(|package| layer(&layout, package, "posix", &["."])));
    if !rest.is_empty() {
        let together = bench.path("together");
        fs::create_dir(&together).expect("a folder");
        rest.iter().for_each(|package| drop(must(Command::new("cp").arg("-a").arg(package.join(".")).arg(&together))));
        layers.push(layer(&layout, &together, "gnu", &["."]));
    }
    for (number, step) in STEPS.iter().enumerate() {
        let folder = bench.path(&format!("step-{number}"));
        fs::create_dir(&folder).expect("a folder");
        shell(&folder, step);
        shell(&folder, "find . -exec touch -h -d '2021-03-03 03:03:03.125' {} +");
        layers.push(layer(&layout, &folder, "posix", &["."]));
    }
    assert_eq!(layers.len(), 40, "{} packages", packages.len());
    finished(layout, &layers)
}

/// A distribution in two layers.
pub(crate) fn debian(bench: &Bench, tree: &Path) -> Sample {
    let layout = Layout::create(&bench.path("layout")).expect("a layout");
    let layers =
        [layer(&layout, tree, "posix", &["--exclude=./usr/share/*", "."]), layer(&layout, tree, "gnu", &["usr/share"])];
    finished(layout, &layers)
}
