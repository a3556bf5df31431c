//! The rows of a list as texts.

use std::collections::BTreeMap;
use std::rc::Rc;

use dhow_ops::images;
use dhow_spec::{Repository, Tag};

use super::Images;
use crate::format::{NONE, ago, units};

/// A row as texts.
#[derive(Clone, Debug)]
pub(super) struct Shown<'a> {
    pub(super) repository: &'a str,
    pub(super) tag: &'a str,
    pub(super) digest: &'a str,
    pub(super) id: &'a str,
    pub(super) created: Option<i64>,
    pub(super) created_since: Rc<str>,
    /// When the image was last used, and how long ago that is.
    pub(super) used: Option<(i64, String)>,
    pub(super) bytes: u64,
    pub(super) size: Rc<str>,
}

impl<'a> Shown<'a> {
    pub(super) fn all(
        rows: &'a [images::Row],
        options: &Images,
        with_digests: bool,
        now: i128,
    ) -> impl Iterator<Item = Self> {
        let mut texts = Texts::new(now);
        rows.iter().map(move |row| {
            texts.follow(row);
            Self::new(row, options, with_digests, &texts)
        })
    }

    fn new(row: &'a images::Row, options: &Images, with_digests: bool, texts: &Texts) -> Self {
        let digest = match &row.digest {
            Some(digest) if options.digests || (with_digests && row.tag.is_some()) => digest.as_str(),
            // Docker leaves the field empty where the digest is the only name, and does not look it up elsewhere.
            _ if row.repository.is_some() && row.tag.is_none() => "",
            _ => NONE,
        };
        Self {
            repository: row.repository.as_ref().map_or(NONE, Repository::familiar),
            tag: row.tag.as_ref().map_or(NONE, Tag::as_str),
            digest,
            id: if options.no_trunc { row.id.as_str() } else { row.id.short() },
            created: row.created,
            created_since: texts.created_since.clone(),
            used: row.last_used.map(|used| (used, ago::ago(used.into(), texts.now))),
            bytes: row.size,
            size: texts.size.clone(),
        }
    }

    /// The object of `--format json`. Docker's numbers of containers and shared bytes are not asked for by its own list
    /// command either.
    pub(super) fn object(&self) -> BTreeMap<&'static str, String> {
        let unknown = || "N/A".to_owned();
        let mut object = BTreeMap::from([
            ("Containers", unknown()),
            ("CreatedAt", self.created_at()),
            ("CreatedSince", self.created_since.to_string()),
            ("Digest", self.digest.to_string()),
            ("ID", self.id.to_string()),
            ("Repository", self.repository.to_string()),
            ("SharedSize", unknown()),
            ("Size", self.size.to_string()),
            ("Tag", self.tag.to_string()),
            ("UniqueSize", unknown()),
            ("VirtualSize", units::human_size(self.bytes)),
        ]);
        if let Some((at, since)) = &self.used {
            object.extend([("LastUsed", since.clone()), ("LastUsedAt", ago::go_time((*at).into()))]);
        }
        object
    }

    /// Not worked out for the table, which does not show it: time zones are slow where there are many rows.
    pub(super) fn created_at(&self) -> String {
        self.created.map_or_else(|| ago::GO_ZERO_TIME.to_owned(), |created| ago::go_time(created.into()))
    }
}

/// The texts of a row that are worked out: mostly it is another name of the image above, and they are the same.
#[derive(Debug)]
struct Texts {
    now: i128,
    created: Option<i64>,
    created_since: Rc<str>,
    bytes: u64,
    size: Rc<str>,
}

impl Texts {
    fn new(now: i128) -> Self {
        Self { now, created: None, created_since: "".into(), bytes: 0, size: units::short_size(0).into() }
    }

    fn follow(&mut self, row: &images::Row) {
        if self.created != row.created {
            self.created = row.created;
            let since = row.created.map(|created| ago::ago(created.into(), self.now));
            self.created_since = since.unwrap_or_default().into();
        }
        if self.bytes != row.size {
            self.bytes = row.size;
            self.size = units::short_size(row.size).into();
        }
    }
}
