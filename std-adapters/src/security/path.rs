//! Files below one directory, whatever the text of their path and whatever the links in it.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use cap_fs_ext::{DirExt, FollowSymlinks, OpenOptionsFollowExt};
use cap_std::ambient_authority;
use cap_std::fs::{Dir, OpenOptions};
use daur_core::security::input::path::{Refusal, Rules, check};

/// Says what is done with a symbolic link below the root.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Links {
    /// It is refused, wherever in the path it stands.
    Refuse,
    /// It is followed as long as it stays below the root.
    ///
    /// What it leads to is held against the rules too; but who may change links while a file is opened may lead to what is
    /// forbidden below the root, never out of it.
    Inside,
}

/// Says which paths may be opened.
#[derive(Clone, Copy, Debug)]
pub struct Config {
    /// What the text of a path may be. [`Rules::roots`] counts for nothing here: the root is the one that was opened. A
    /// forbidden directory below it, as `/srv/uploads/keys`, is forbidden to relative paths too.
    pub rules: Rules<'static>,
    /// What is done with links.
    pub links: Links,
}

impl Config {
    /// [`Rules::DEFAULT`], and no link.
    pub const DEFAULT: Self = Self { rules: Rules::DEFAULT, links: Links::Refuse };
}

impl Default for Config {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// Says why a file was not opened.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// The path's text is refused, or what a link leads to is forbidden.
    Refused(Refusal),
    /// A symbolic link stands in the path and is not followed, or leads out of the root.
    Link,
    /// It is no regular file: a directory, a pipe, a device.
    NotFile,
    /// The operating system refused.
    Io(io::Error),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(why) => why.fmt(f),
            Self::Link => f.write_str("a symbolic link in the path is not followed or leads out of its directory"),
            Self::NotFile => f.write_str("it is no regular file"),
            Self::Io(source) => source.fmt(f),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Refused(why) => Some(why),
            Self::Io(source) => Some(source),
            Self::Link | Self::NotFile => None,
        }
    }
}

impl From<Refusal> for Error {
    fn from(why: Refusal) -> Self {
        Self::Refused(why)
    }
}

impl From<io::Error> for Error {
    fn from(error: io::Error) -> Self {
        // cap-std's own refusal has no number of the operating system's.
        let escapes = error.kind() == io::ErrorKind::PermissionDenied && error.raw_os_error().is_none();
        if escapes { Self::Link } else { Self::Io(error) }
    }
}

/// Opens files below one directory, and none else: `validate_path` against the real file system.
///
/// The text is judged by [`check`], and then each step is taken from an open directory, so that there is no moment between
/// a check and a use in which a link could be put in the way. Use [`check`] alone where the path goes no further than to
/// a log or a key.
///
/// # Rules
/// 1. What [`check`] refuses is refused without a look at the disk. An absolute path must begin with the root's own.
/// 2. No link leads out of the root: absolute, relative, behind others, put there meanwhile.
/// 3. With [`Links::Refuse`] no link is followed at all, so what is forbidden by name is not reached by another; nor is it by
///    a relative path where the rules name it by an absolute one.
/// 4. Only regular files are opened: a pipe would keep the caller waiting.
/// 5. [`Root::create_new`] never opens what is there already, not even a link that leads nowhere.
///
/// # Errors
/// [`Error`]: the first reason that was found.
///
/// # Sharing
/// By reference; every call asks the operating system, which may block: from a task by `spawn_blocking`. A hard link to a
/// file outside is that file: whoever may make one below the root needs to be kept from it by the file system.
///
/// # Example
/// ```
/// use std::io::Write;
///
/// use daur_std::security::path::{Config, Root};
///
/// # let dir = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/tmp/doc-path");
/// # let _ = std::fs::remove_dir_all(&dir);
/// std::fs::create_dir_all(&dir)?;
/// let uploads = Root::open(&dir, Config::DEFAULT)?;
/// uploads.create_new("may.csv")?.write_all(b"1,2")?;
/// assert_eq!(std::io::read_to_string(uploads.read("./may.csv")?)?, "1,2");
/// assert!(uploads.read("../may.csv").is_err());
/// # std::fs::remove_dir_all(&dir)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # References
/// CWE-22, CWE-59, CWE-367; `openat2(2)`, which cap-std uses where there is one.
#[derive(Debug)]
#[doc(alias = "validate_path")]
pub struct Root {
    dir: Dir,
    path: PathBuf,
    config: Config,
    /// The forbidden directories below the root, as if that were `/`.
    forbidden: Vec<String>,
}

impl Root {
    /// Opens the directory. It stays this one, even if another takes its name.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn open(path: impl AsRef<Path>, config: Config) -> io::Result<Self> {
        let given = path.as_ref();
        let path = std::fs::canonicalize(given)?;
        let below = |entry: &&str| {
            let entry = Path::new(entry);
            let below = entry.strip_prefix(&path).or_else(|_| entry.strip_prefix(given)).ok()?;
            (entry.is_absolute() && below != Path::new("")).then(|| format!("/{}", below.display()))
        };
        let forbidden = config.rules.forbidden.iter().filter_map(below).collect();
        Ok(Self { dir: Dir::open_ambient_dir(&path, ambient_authority())?, path, config, forbidden })
    }

    /// Its path when it was opened, without links.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Opens a file to read it.
    ///
    /// # Errors
    /// [`Error`], of which [`Error::Io`] with [`io::ErrorKind::NotFound`] if there is none.
    pub fn read(&self, path: &str) -> Result<std::fs::File, Error> {
        self.open_file(path, OpenOptions::new().read(true))
    }

    /// Creates a file, or empties the one that is there.
    ///
    /// # Errors
    /// [`Error`].
    pub fn create(&self, path: &str) -> Result<std::fs::File, Error> {
        self.open_file(path, OpenOptions::new().write(true).create(true).truncate(true))
    }

    /// Creates a file that is not there yet.
    ///
    /// # Errors
    /// [`Error`], of which [`Error::Io`] with [`io::ErrorKind::AlreadyExists`] if something is there.
    pub fn create_new(&self, path: &str) -> Result<std::fs::File, Error> {
        self.open_file(path, OpenOptions::new().write(true).create_new(true))
    }

    /// Creates a directory; those above it must be there.
    ///
    /// # Errors
    /// [`Error`].
    pub fn create_dir(&self, path: &str) -> Result<(), Error> {
        self.at(path, |dir, name| dir.create_dir(name))
    }

    /// Removes a file, or a link itself.
    ///
    /// # Errors
    /// [`Error`].
    pub fn remove_file(&self, path: &str) -> Result<(), Error> {
        self.at(path, |dir, name| dir.remove_file(name))
    }

    /// The path of what is there, below [`Root::path`] and without links: to show or to compare, since it may be another
    /// by the time it is used.
    ///
    /// # Errors
    /// [`Error`].
    pub fn canonicalize(&self, path: &str) -> Result<PathBuf, Error> {
        let below = self.below(path)?;
        if self.config.links == Links::Refuse {
            let (dir, name) = self.parent(&below)?;
            let dir = dir.as_ref().unwrap_or(&self.dir);
            if dir.symlink_metadata(name)?.is_symlink() {
                return Err(Error::Link);
            }
        }
        let real = self.real(&below)?;
        Ok(self.path.join(real))
    }

    /// The path from the root on, if its text may pass.
    fn below(&self, path: &str) -> Result<String, Error> {
        let mut buffer = vec![0; path.len()];
        let path = check(path, &Rules { roots: &[], ..self.config.rules }, &mut buffer)?;
        let mut below = path;
        if path.starts_with('/') {
            let rest = Path::new(path).strip_prefix(&self.path).map_err(|_| Error::Refused(Refusal::Outside))?;
            below = rest.to_str().filter(|rest| !rest.is_empty()).unwrap_or(".");
        }
        self.hold(below)?;
        Ok(below.to_owned())
    }

    /// Holds a path from the root on against what is forbidden, as it is on the disk.
    fn hold(&self, below: &str) -> Result<(), Error> {
        // What was decoded is decoded: the joiner, which does not count where names are compared, makes `%41` no encoding.
        let text = format!("/{}", below.replace('%', "%\u{200D}"));
        let forbidden: Vec<&str> = self.forbidden.iter().map(String::as_str).collect();
        let rules = Rules { decodings: 0, roots: &[], max_len: usize::MAX, ..self.config.rules };
        let mut buffer = vec![0; text.len()];
        check(&text, &Rules { forbidden: &forbidden, ..rules }, &mut buffer)?;
        // A root that is the working directory itself gives an empty path.
        match check(text.get(1..).unwrap_or_default(), &rules, &mut buffer) {
            Ok(_) | Err(Refusal::Empty) => Ok(()),
            Err(why) => Err(Error::Refused(why)),
        }
    }

    /// Where the links lead, if that is not forbidden.
    fn real(&self, below: &str) -> Result<PathBuf, Error> {
        let real = self.dir.canonicalize(below)?;
        let text = real.to_str().ok_or(Error::Refused(Refusal::Encoded))?;
        self.hold(text)?;
        Ok(real)
    }

    /// The open directory that the last name stands in (none: the root), and that name.
    fn parent<'p>(&self, below: &'p str) -> Result<(Option<Dir>, &'p str), Error> {
        if self.config.links == Links::Inside {
            if let Some((parent, _)) = below.rsplit_once('/') {
                self.real(parent)?;
            }
            return Ok((None, below));
        }
        let mut dir = None;
        let mut rest = below;
        while let Some((name, behind)) = rest.split_once('/') {
            let from = dir.as_ref().unwrap_or(&self.dir);
            let next = from.open_dir_nofollow(name).map_err(|error| link_or(from, name, error))?;
            (dir, rest) = (Some(next), behind);
        }
        Ok((dir, rest))
    }

    fn at<R>(&self, path: &str, work: impl FnOnce(&Dir, &str) -> io::Result<R>) -> Result<R, Error> {
        let below = self.below(path)?;
        let (dir, name) = self.parent(&below)?;
        Ok(work(dir.as_ref().unwrap_or(&self.dir), name)?)
    }

    fn open_file(&self, path: &str, options: &mut OpenOptions) -> Result<std::fs::File, Error> {
        let below = self.below(path)?;
        let (dir, name) = self.parent(&below)?;
        let dir = dir.as_ref().unwrap_or(&self.dir);
        match self.config.links {
            Links::Refuse => {
                options.follow(FollowSymlinks::No);
                check_kind(dir.symlink_metadata(name))?;
            }
            Links::Inside => {
                // A link that leads nowhere is not there yet, nor is a new file.
                match self.real(name) {
                    Ok(_) => {}
                    Err(Error::Io(error)) if error.kind() == io::ErrorKind::NotFound => {}
                    Err(error) => return Err(error),
                }
                check_kind(dir.metadata(name))?;
            }
        }
        let file = dir.open_with(name, options).map_err(|error| link_or(dir, name, error))?;
        // Again, by what was opened and not by its name.
        if file.metadata()?.is_file() { Ok(file.into_std()) } else { Err(Error::NotFile) }
    }
}

/// Before it is opened, since to open a pipe is to wait.
fn check_kind(found: io::Result<cap_std::fs::Metadata>) -> Result<(), Error> {
    match found {
        Ok(found) if found.is_symlink() => Err(Error::Link),
        Ok(found) if !found.is_file() => Err(Error::NotFile),
        Ok(_) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Systems name a link that is not followed by various errors.
fn link_or(dir: &Dir, name: &str, error: io::Error) -> Error {
    match dir.symlink_metadata(name) {
        Ok(found) if found.is_symlink() => Error::Link,
        _ => error.into(),
    }
}

#[cfg(all(test, unix))]
mod tests {
    use std::fs;
    use std::io::{Read, Write};
    use std::os::unix::fs::symlink;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

    use super::*;
    use crate::security::{TestDir, test_dir};

    /// `outside/secret` beside `root`, in which there are `a/b.txt` and links of every kind.
    fn tree(name: &str) -> TestDir {
        let dir = test_dir(name);
        let (root, outside) = (dir.path().join("root"), dir.path().join("outside"));
        fs::create_dir_all(root.join("a/.ssh")).unwrap();
        fs::create_dir_all(&outside).unwrap();
        fs::write(root.join("a/b.txt"), "inside").unwrap();
        fs::write(root.join("a/.ssh/id"), "key").unwrap();
        fs::write(outside.join("secret"), "outside").unwrap();
        symlink(outside.join("secret"), root.join("absolute")).unwrap();
        symlink("../outside/secret", root.join("relative")).unwrap();
        symlink("../../outside", root.join("a/up")).unwrap();
        symlink(&outside, root.join("dir")).unwrap();
        symlink("chain2", root.join("chain1")).unwrap();
        symlink("a/up/secret", root.join("chain2")).unwrap();
        symlink("/", root.join("slash")).unwrap();
        symlink("/proc/self/root/etc/passwd", root.join("proc")).unwrap();
        symlink("a/../../outside/secret", root.join("dotted")).unwrap();
        symlink("loop", root.join("loop")).unwrap();
        symlink("../outside/new", root.join("nowhere")).unwrap();
        symlink("a/b.txt", root.join("inside")).unwrap();
        symlink("a", root.join("inner")).unwrap();
        symlink("a/.ssh", root.join("keys")).unwrap();
        dir
    }

    fn root(dir: &TestDir, links: Links) -> Root {
        Root::open(dir.path().join("root"), Config { links, ..Config::DEFAULT }).unwrap()
    }

    fn text(file: Result<fs::File, Error>) -> Result<String, Error> {
        let mut text = String::new();
        file?.read_to_string(&mut text)?;
        Ok(text)
    }

    const ESCAPES: [&str; 11] = [
        "absolute",
        "relative",
        "a/up/secret",
        "dir/secret",
        "chain1",
        "chain2",
        "slash/etc/passwd",
        "proc",
        "dotted",
        "nowhere",
        "./a//up/secret",
    ];

    #[test]
    fn rule_1_what_the_text_says_is_refused_first_and_an_absolute_path_begins_with_the_roots() {
        let dir = tree("path-text");
        for links in [Links::Refuse, Links::Inside] {
            let root = root(&dir, links);
            for bad in ["../outside/secret", "a/../../outside/secret", "a/.ssh/id", "a\0", "~/x", "%2e%2e/x", ""] {
                assert!(matches!(root.read(bad), Err(Error::Refused(_))), "{bad:?}");
                assert!(matches!(root.create(bad), Err(Error::Refused(_))), "{bad:?}");
            }
            let inside = root.path().join("a/b.txt");
            assert_eq!(text(root.read(inside.to_str().unwrap())).unwrap(), "inside");
            let beside = format!("{}2/x", root.path().display());
            for bad in ["/etc2/passwd", "/srv/x", "/", beside.as_str()] {
                assert!(matches!(root.read(bad), Err(Error::Refused(Refusal::Outside))), "{bad}");
            }
        }
    }

    #[test]
    fn rule_2_no_link_leads_out_whatever_is_done_with_it() {
        let dir = tree("path-links");
        for links in [Links::Refuse, Links::Inside] {
            let root = root(&dir, links);
            for path in ESCAPES {
                for answer in [root.read(path), root.create(path), root.create_new(path)] {
                    assert!(answer.is_err(), "{path} with {links:?}");
                }
                assert!(root.canonicalize(path).is_err(), "{path} with {links:?}");
            }
            assert!(root.create_dir("a/up/x").is_err() && root.remove_file("dir/secret").is_err());
            assert!(root.read("loop").is_err());
            assert_eq!(text(root.read("a/b.txt")).unwrap(), "inside");
        }
        assert_eq!(fs::read_to_string(dir.path().join("outside/secret")).unwrap(), "outside");
        assert_eq!(fs::read_dir(dir.path().join("outside")).unwrap().count(), 1, "nothing was made there");
    }

    #[test]
    fn rule_3_links_below_the_root_are_followed_only_where_that_is_said_and_never_to_what_is_forbidden() {
        let dir = tree("path-inside");
        let (refuse, inside) = (root(&dir, Links::Refuse), root(&dir, Links::Inside));
        for path in ["inside", "inner/b.txt"] {
            assert!(matches!(refuse.read(path), Err(Error::Link)), "{path}");
            assert!(matches!(refuse.canonicalize(path), Err(Error::Link)), "{path}");
            assert_eq!(text(inside.read(path)).unwrap(), "inside");
            assert_eq!(inside.canonicalize(path).unwrap(), inside.path().join("a/b.txt"));
        }
        assert_eq!(refuse.canonicalize("a/b.txt").unwrap(), refuse.path().join("a/b.txt"));
        assert!(matches!(refuse.read("keys/id"), Err(Error::Link)));
        for answer in [inside.read("keys/id"), inside.create("keys/id"), inside.create_new("keys/new")] {
            assert!(matches!(answer, Err(Error::Refused(Refusal::Forbidden))), "{answer:?}");
        }
        assert_eq!(fs::read_to_string(dir.path().join("root/a/.ssh/id")).unwrap(), "key");
    }

    #[test]
    fn rule_3_what_an_absolute_path_forbids_is_not_reached_by_a_relative_one() {
        let dir = tree("path-forbidden");
        let entry: &'static str = dir.path().join("root/a").canonicalize().unwrap().to_str().unwrap().to_owned().leak();
        let forbidden: &'static [&'static str] = vec![entry].leak();
        for links in [Links::Refuse, Links::Inside] {
            let rules = Rules { forbidden, ..Rules::DEFAULT };
            let root = Root::open(dir.path().join("root"), Config { rules, links }).unwrap();
            fs::write(root.path().join("ab"), "inside").unwrap();
            for bad in ["a/b.txt", "./A//b.txt", entry, "a"] {
                assert!(matches!(root.read(bad), Err(Error::Refused(Refusal::Forbidden))), "{bad}");
                assert!(matches!(root.remove_file(bad), Err(Error::Refused(Refusal::Forbidden))), "{bad}");
            }
            assert_eq!(text(root.read("ab")).unwrap(), "inside");
            assert!(links == Links::Refuse || matches!(root.read("inside"), Err(Error::Refused(Refusal::Forbidden))));
        }
    }

    #[test]
    fn rule_3_a_name_on_the_disk_that_looks_encoded_hides_nothing_forbidden() {
        let dir = tree("path-percent");
        let base = dir.path().join("root");
        fs::create_dir_all(base.join("x%41/.ssh")).unwrap();
        fs::write(base.join("x%41/.ssh/id"), "key").unwrap();
        fs::write(base.join("x%41/b"), "inside").unwrap();
        symlink("x%41/.ssh", base.join("percent")).unwrap();
        symlink("x%41/b", base.join("fine")).unwrap();
        let root = root(&dir, Links::Inside);
        assert!(matches!(root.read("percent/id"), Err(Error::Refused(Refusal::Forbidden))));
        assert!(matches!(root.canonicalize("percent/id"), Err(Error::Refused(Refusal::Forbidden))));
        assert_eq!(text(root.read("fine")).unwrap(), "inside");
    }

    /// Whether there is one: not everywhere can it be made.
    fn make_pipe(path: &std::path::Path) -> bool {
        #[cfg(target_os = "linux")]
        rustix::fs::mkfifoat(rustix::fs::CWD, path, rustix::fs::Mode::RUSR).unwrap();
        path.exists()
    }

    #[test]
    fn rule_4_directories_and_pipes_are_not_opened() {
        let dir = tree("path-kinds");
        let pipe = dir.path().join("root/pipe");
        // Not by a program: its process would for a moment hold the locks of files that other tests have open.
        let made = make_pipe(&pipe);
        for links in [Links::Refuse, Links::Inside] {
            let root = root(&dir, links);
            assert!(matches!(root.read("a"), Err(Error::NotFile)));
            assert!(matches!(root.read("."), Err(Error::NotFile)));
            assert!(!made || matches!(root.read("pipe"), Err(Error::NotFile)));
            assert!(matches!(root.read("none"), Err(Error::Io(error)) if error.kind() == io::ErrorKind::NotFound));
        }
    }

    #[test]
    fn rule_5_what_is_there_is_not_created_anew_and_what_is_not_is() {
        let dir = tree("path-new");
        for (links, name) in [(Links::Refuse, "a/new1"), (Links::Inside, "a/new2")] {
            let root = root(&dir, links);
            root.create_new(name).unwrap().write_all(b"1").unwrap();
            for taken in [name, "nowhere", "loop"] {
                assert!(root.create_new(taken).is_err(), "{taken}");
            }
            root.create(name).unwrap().write_all(b"22").unwrap();
            assert_eq!(text(root.read(name)).unwrap(), "22");
            root.create_dir(&format!("{name}-dir")).unwrap();
            root.create_new(&format!("{name}-dir/x")).unwrap();
            root.remove_file(name).unwrap();
            assert!(root.read(name).is_err());
        }
    }

    #[test]
    fn a_link_put_in_the_way_between_check_and_use_leads_nowhere() {
        let dir = tree("path-race");
        let base = dir.path().join("root");
        fs::create_dir(base.join("real")).unwrap();
        fs::write(base.join("real/secret"), "inside").unwrap();
        symlink(dir.path().join("outside"), base.join("link")).unwrap();
        let (done, swaps) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU32::new(0)));
        let swapper = {
            let (base, done, swaps) = (base.clone(), done.clone(), swaps.clone());
            std::thread::spawn(move || {
                while !done.load(Ordering::Relaxed) {
                    // Now `swap` is the directory, now the link that leads out.
                    _ = fs::rename(base.join("real"), base.join("swap"));
                    _ = fs::rename(base.join("swap"), base.join("real"));
                    _ = fs::rename(base.join("link"), base.join("swap"));
                    _ = fs::rename(base.join("swap"), base.join("link"));
                    swaps.fetch_add(1, Ordering::Relaxed);
                }
            })
        };
        let (refuse, inside) = (root(&dir, Links::Refuse), root(&dir, Links::Inside));
        // As often as it takes for both to have had their turns.
        let mut reads = 0;
        while reads < 4_000 || swaps.load(Ordering::Relaxed) < 100 {
            reads += 1;
            for root in [&refuse, &inside] {
                if let Ok(found) = text(root.read("swap/secret")) {
                    assert_eq!(found, "inside");
                }
            }
        }
        done.store(true, Ordering::Relaxed);
        swapper.join().unwrap();
        // Which of the two an open met is the scheduler's luck; that none met what the link leads to is not.
        assert_eq!(text(refuse.read("real/secret")).unwrap(), "inside");
        assert_eq!(fs::read_to_string(dir.path().join("outside/secret")).unwrap(), "outside");
    }
}
