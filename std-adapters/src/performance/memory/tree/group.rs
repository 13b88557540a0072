//! The control groups that a process is in.

use std::path::{Path, PathBuf};

use daur_core::performance::memory::Usage;

use super::super::provider::Group;
use super::{Unread, text};

/// More groups than that are not nested by anybody.
const MAX_DEPTH: usize = 64;

/// The names of a version's files.
#[derive(Clone, Copy, Debug)]
struct Names {
    used: &'static str,
    limits: &'static [&'static str],
    /// In `memory.stat`: file pages that nobody has used of late.
    inactive: &'static str,
    /// In `memory.stat`: the smallest limit of this group and those around it, seen or not.
    around: Option<&'static str>,
}

const V1: Names = Names {
    used: "memory.usage_in_bytes",
    limits: &["memory.limit_in_bytes"],
    inactive: "total_inactive_file",
    around: Some("hierarchical_memory_limit"),
};

const V2: Names =
    Names { used: "memory.current", limits: &["memory.max", "memory.high"], inactive: "inactive_file", around: None };

/// Where the process's group and those around it are.
#[derive(Debug, Default)]
pub(super) struct Groups {
    /// What was found belongs to this `/proc/self/cgroup`.
    told: Option<String>,
    names: Option<Names>,
    /// The process's own first.
    dirs: Vec<PathBuf>,
    pressure: Option<PathBuf>,
}

impl Groups {
    /// Looks where the process is now.
    pub(super) fn find(&mut self, file: impl Fn(&str) -> PathBuf, unread: &mut Unread) {
        let Some(told) = unread.optional(&file("/proc/self/cgroup"), |text| Some(text.to_string())) else {
            *self = Self::default();
            return;
        };
        if self.told.as_ref() == Some(&told) {
            return;
        }
        let mounts = unread.optional(&file("/proc/self/mountinfo"), |text| Some(text.to_string()));
        let place = |version| {
            let group = group_of(&told, version)?;
            let (shown, at) = mount_of(mounts.as_deref()?, version)?;
            Some(dirs(&file(&at), below(group, &shown)))
        };
        let (first, second) = (place(Version::First), place(Version::Second));
        let pressure = second.as_ref().and_then(|dirs| dirs.first()).map(|dir| dir.join("memory.pressure"));
        let (names, dirs) = match (first, second) {
            (Some(dirs), _) => (Some(V1), dirs),
            (None, Some(dirs)) => (Some(V2), dirs),
            (None, None) => (None, Vec::new()),
        };
        // Without the table nothing is known: it is looked for again.
        *self = Self { told: mounts.is_some().then_some(told), names, dirs, pressure };
    }

    /// The file of the group's own pressure, which only version 2 has.
    pub(super) fn pressure(&self) -> Option<&Path> {
        self.pressure.as_deref()
    }

    /// The figures; `None` without a group, or one that tells nothing.
    pub(super) fn read(&self, total: u64, unread: &mut Unread) -> Option<Group> {
        let names = self.names?;
        let mut own = None;
        let (mut smallest, mut tightest) = (None, Usage::default());
        for (depth, dir) in self.dirs.iter().enumerate() {
            let told = names.limits.iter().filter_map(|name| unread.optional(&dir.join(name), text::limit).flatten());
            let told = told.min().filter(|limit| *limit < total);
            if depth > 0 && told.is_none() {
                // What is used there, without a limit, says nothing; and `memory.stat` takes long to write.
                continue;
            }
            let stat = unread.optional(&dir.join("memory.stat"), |text| {
                Some((text::figure(text, names.inactive)?, names.around.and_then(|name| text::figure(text, name))))
            });
            let (inactive, around) = stat.unwrap_or_default();
            let used = unread.optional(&dir.join(names.used), text::bytes);
            let used = used.map(|used| used.saturating_sub(inactive));
            own = own.or(used.filter(|_| depth == 0));
            let limit = told.into_iter().chain(around).min().filter(|limit| *limit < total);
            smallest = smallest.into_iter().chain(limit).min();
            if let (Some(used), Some(limit)) = (used, limit) {
                // A limit of 0 is one: nothing may be used.
                tightest = tightest.tighter(Usage::new(used, limit.max(1)));
            }
        }
        if own.is_none() && smallest.is_none() {
            return None;
        }
        Some(Group { used: own.unwrap_or(tightest.used), limit: smallest, tightest })
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Version {
    First,
    Second,
}

/// The process's group, of lines such as `4:cpu,memory:/a/b` and `0::/a/b`.
fn group_of(told: &str, version: Version) -> Option<&str> {
    told.lines().find_map(|line| {
        let mut parts = line.splitn(3, ':');
        let (number, controllers, group) = (parts.next()?, parts.next()?, parts.next()?);
        let found = match version {
            Version::First => controllers.split(',').any(|controller| controller == "memory"),
            Version::Second => number == "0" && controllers.is_empty(),
        };
        found.then_some(group)
    })
}

/// What part of the hierarchy is mounted, and where.
fn mount_of(mounts: &str, version: Version) -> Option<(String, String)> {
    mounts.lines().find_map(|line| {
        let (mount, system) = line.split_once(" - ")?;
        let mut mount = mount.split_ascii_whitespace().skip(3);
        let (shown, at) = (mount.next()?, mount.next()?);
        let mut system = system.split_ascii_whitespace();
        let (kind, options) = (system.next()?, system.nth(1).unwrap_or(""));
        let found = match version {
            Version::First => kind == "cgroup" && options.split(',').any(|option| option == "memory"),
            Version::Second => kind == "cgroup2",
        };
        found.then(|| (unescaped(shown), unescaped(at)))
    })
}

/// A space in a table of mounts is written `\040`, and so are some others.
fn unescaped(name: &str) -> String {
    let mut bytes = Vec::with_capacity(name.len());
    let mut rest = name.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        let octal = |digits: &[u8; 3]| {
            digits.iter().try_fold(0_u8, |value, digit| {
                let digit = digit.checked_sub(b'0').filter(|digit| *digit < 8)?;
                value.checked_mul(8)?.checked_add(digit)
            })
        };
        let escaped = after
            .split_first_chunk()
            .filter(|_| byte == b'\\')
            .and_then(|(digits, after)| Some((octal(digits)?, after)));
        let (byte, after) = escaped.unwrap_or((byte, after));
        bytes.push(byte);
        rest = after;
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// The group as seen from where the part `shown` is mounted. Outside of it, nothing of the path is to be seen: the
/// mounted group is the nearest.
fn below<'a>(group: &'a str, shown: &str) -> &'a str {
    let shown = shown.trim_end_matches('/');
    match group.strip_prefix(shown) {
        Some(rest) if rest.is_empty() || rest.starts_with('/') => rest,
        _ => "",
    }
}

/// The directory of `group` below `mount`, and those around it up to `mount`.
fn dirs(mount: &Path, group: &str) -> Vec<PathBuf> {
    let mut dirs = vec![mount.to_path_buf()];
    // A namespace shows a group outside of it as `/../other`.
    if !group.split('/').any(|name| name == "..") {
        let names = group.split('/').filter(|name| !name.is_empty() && *name != ".");
        for name in names.take(MAX_DEPTH - 1) {
            let dir = dirs.last().map(|dir| dir.join(name));
            dirs.extend(dir);
        }
    }
    dirs.reverse();
    dirs
}
