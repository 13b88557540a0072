//! The list of programs that may not run, not even by way of others.

use super::{Argv, Forbidden, Refusal, parse};

mod known;

use known::{READERS, RUNNERS, Reads, STARTS, VALUES};

/// Lists programs that may not run; all others may. The seed's forbidden commands.
///
/// Prefer an [`AllowList`](super::AllowList): which programs can start others cannot be listed to the end, so this is a guard
/// against accidents and not against an attacker who is free to choose the program.
///
/// # Rules
/// 1. A program on the list is refused by its name in any directory and in any case; `mkfs` stands for
///    `mkfs.ext4` too, and `rm` for `rm.exe`. A name is ASCII, so that none only looks like another.
/// 2. It is refused in any argument as well, wherever it stands as a word of its own: `env`, `sudo`, `xargs`,
///    `find -exec`, `busybox`, `sh -c "a; rm"`. Only programs that are known to do nothing with their
///    arguments but to read or print them may be given its name: `echo rm`, `man rm`; and so may an option that is known to
///    take text: `git commit -m "rm it"`, `find -name rm`. All others may not, so `git rm` and `docker rm` are refused too,
///    which do what the name says.
/// 3. What can be given a program as text is not given text that could be quoted once more: a shell's `-c`, an
///    interpreter's `-e`, with a quote, a backslash or a dollar sign in it; nor text that itself starts programs: a pipe into
///    a shell, Python's `system`, an `e` of sed's.
/// 4. In an argument a path names a program where programs are: in a directory `bin` or `sbin`, or in this or the one above.
///    So `vim /etc/passwd` is no `passwd`. Behind `sudo` and its like it does in every directory but `/etc`.
/// 5. Where `rm` is on the list, `find -delete` is as well; where `telinit` is, so is `init` with a run level.
///
/// # Cost
/// O(n) for the line, times the length of the lists; no allocation. 128 bytes of RAM and 15,996 of flash on thumbv6m
/// (image `command_deny`: the splitting and all lists within): on a device an allow list costs less and holds better.
///
/// # Example
/// ```
/// use daur_core::security::input::command::{DenyList, Forbidden, Refusal};
///
/// let mut buffer = [0; 64];
/// let mut admit = |line| DenyList::DEFAULT.admit(line, &mut buffer).map(|argv| argv.words().count());
/// assert_eq!(admit("git log --oneline"), Ok(3));
/// assert_eq!(admit("echo how to rm a file"), Ok(6));
/// assert_eq!(admit("sudo -u root /bin/rm -rf /srv"), Err(Refusal::Forbidden(Forbidden::Program)));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[doc(alias = "forbidden_commands")]
pub struct DenyList<'a> {
    /// The programs' names. Of `/bin/rm -rf` the name counts: it denies `rm` whatever it is given.
    pub programs: &'a [&'a str],
}

impl DenyList<'static> {
    /// What erases, overwrites, stops the machine or changes who may what.
    pub const DEFAULT: Self = Self {
        programs: &[
            "rm",
            "rmdir",
            "unlink",
            "shred",
            "wipe",
            "dd",
            "mkfs",
            "mke2fs",
            "mkswap",
            "fdisk",
            "gdisk",
            "sfdisk",
            "sgdisk",
            "cfdisk",
            "parted",
            "wipefs",
            "blkdiscard",
            "shutdown",
            "reboot",
            "halt",
            "poweroff",
            "telinit",
            "kexec",
            "mount",
            "umount",
            "chmod",
            "chown",
            "chgrp",
            "chattr",
            "setfacl",
            "passwd",
            "chpasswd",
            "useradd",
            "userdel",
            "usermod",
            "adduser",
            "deluser",
            "groupadd",
            "groupdel",
            "visudo",
            "vipw",
            "insmod",
            "rmmod",
            "modprobe",
            "iptables",
            "ip6tables",
            "iptables-legacy",
            "iptables-restore",
            "ip6tables-restore",
            "nft",
            "crontab",
            "killall",
            "killall5",
            "pkill",
            "kill",
            "truncate",
            "fallocate",
            "nc",
            "ncat",
            "netcat",
            "telnet",
        ],
    };
}

impl DenyList<'_> {
    /// Whether the command may run.
    ///
    /// # Errors
    /// [`Forbidden::Program`] where a program of the list is named, [`Forbidden::Argument`] where it could be hidden,
    /// [`Forbidden::Option`] where an option does its work.
    pub fn check(&self, argv: &Argv<'_>) -> Result<(), Forbidden> {
        let path = argv.program();
        let program = base(path);
        if program.is_empty() || !path.is_ascii() || self.denies(stem(program)) || self.starts_any(path, Place::Any) {
            return Err(Forbidden::Program);
        }
        let mut behind = argv.words();
        behind.next();
        if READERS.contains(&program) && !may_start(program, behind.clone()) {
            return Ok(());
        }
        let place = if RUNNERS.iter().any(|name| is_named(program, name)) { Place::Any } else { Place::Bin };
        let mut is_text = false;
        for word in behind {
            let name = cut_value(word);
            let has_value = word.starts_with("--") && name.len() < word.len();
            let is_option = takes_text(argv, name);
            is_text |= has_value && is_option;
            if !is_text && self.starts_any(word, place) {
                return Err(Forbidden::Program);
            }
            is_text = is_option && !has_value;
        }
        // `init 6` is `telinit 6`, but `git init` is not.
        let is_level = |(word, next)| base(word) == "init" && matches!(next, "0" | "1" | "6");
        if self.denies("telinit") && argv.words().zip(argv.args()).any(is_level) {
            return Err(Forbidden::Program);
        }
        // One wrapper in front, such as `sudo`, must not hide a shell: every word may be the program.
        let mut words = argv.words();
        while let Some(word) = words.next() {
            self.check_text(base(word), &words)?;
        }
        Ok(())
    }

    /// Splits a command line and checks it (`InputValidator.validate_command`).
    ///
    /// # Errors
    /// [`Refusal`]: not plain, or forbidden.
    #[doc(alias = "validate_command")]
    pub fn admit<'b>(&self, line: &str, buffer: &'b mut [u8]) -> Result<Argv<'b>, Refusal> {
        let argv = parse(line, buffer)?;
        self.check(&argv)?;
        Ok(argv)
    }

    fn denies(&self, program: &str) -> bool {
        let name = |entry: &'_ str| base(entry.split(is_space).next().unwrap_or(entry)).eq_ignore_ascii_case(program);
        self.programs.iter().any(|entry| name(entry))
    }

    /// Whether any part of a text is a program of the list.
    fn starts_any(&self, text: &str, place: Place) -> bool {
        text.split(is_border).any(|part| {
            let name = base(part);
            let kind = name.get(stem(name).len()..).unwrap_or("");
            let is_kind = EXTENSIONS.iter().any(|extension| extension.eq_ignore_ascii_case(kind));
            let is_mkfs = stem(name).eq_ignore_ascii_case("mkfs");
            let is_denied = self.denies(name) || ((is_kind || is_mkfs) && self.denies(stem(name)));
            is_denied && place.is_programs(directory(part))
        })
    }

    /// Whether `program` may be given the words behind it.
    fn check_text(&self, program: &str, behind: &super::Words<'_>) -> Result<(), Forbidden> {
        let deletes = |word: &str| word == "-delete" && self.denies("rm");
        if is_named(program, "find") && behind.clone().any(deletes) {
            return Err(Forbidden::Option);
        }
        if is_named(program, "sed") || is_named(program, "gsed") {
            return if sed_runs(behind.clone()) { Err(Forbidden::Argument) } else { Ok(()) };
        }
        let Some((_, options, reads)) = STARTS.iter().find(|(name, ..)| is_named(program, name)) else { return Ok(()) };
        // `su -crm` and `env -iSrm`: what stands behind the letter is the text.
        let letters: &[&str] = if options.is_empty() { &["-c"] } else { options };
        let glued = |word| letters.iter().filter_map(move |option| behind_letter(word, option));
        if behind.clone().flat_map(glued).any(|text| self.starts_any(text, Place::Any)) {
            return Err(Forbidden::Program);
        }
        let is_given = options.is_empty() || behind.clone().any(|word| options.iter().any(|option| has(word, option)));
        let mut prints = false;
        let is_hidden = |word: &str| match reads {
            Reads::Nothing => false,
            Reads::Shell => hides(word) || (holds(word, "|") && word.split(is_border).any(is_reader_of_programs)),
            // `os.kill(1)`: what a language calls a function is here called by the program's name.
            Reads::Language(starts) => {
                let calls = |part| holds(word, "(") && self.denies(part);
                hides(word) || starts.iter().any(|start| holds(word, start)) || word.split(is_no_name).any(calls)
            }
            // A field separator may be a pipe.
            Reads::Script(_) if word == "|" || word.starts_with("-F") => false,
            Reads::Script(starts) => pipes(word, &mut prints) || starts.iter().any(|start| holds(word, start)),
        };
        if is_given && behind.clone().any(is_hidden) { Err(Forbidden::Argument) } else { Ok(()) }
    }
}

/// Which directories a program is looked for in.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    /// Wherever a runner may be sent.
    Any,
    /// Where programs are.
    Bin,
}

impl Place {
    fn is_programs(self, directory: Option<&str>) -> bool {
        let Some(directory) = directory else { return true };
        match self {
            Self::Any => !directory.trim_start_matches(is_slash).eq_ignore_ascii_case("etc"),
            Self::Bin => {
                let mut last = directory.rsplit(is_slash).filter(|part| !matches!(*part, "" | "."));
                let Some(last) = last.next() else { return !directory.is_empty() && !directory.starts_with('/') };
                last == ".." || BINS.iter().any(|bin| bin.eq_ignore_ascii_case(last))
            }
        }
    }
}

/// Where programs are kept.
const BINS: [&str; 5] = ["bin", "sbin", "libexec", "applets", "busybox"];

/// What may stand behind a program's name.
const EXTENSIONS: [&str; 12] =
    [".exe", ".com", ".bat", ".cmd", ".nfs", ".nfs4", ".cifs", ".fuse", ".ntfs", ".openbsd", ".traditional", ".static"];

/// Whether a program that otherwise reads is told to start one.
fn may_start<'w>(program: &str, mut behind: impl Iterator<Item = &'w str>) -> bool {
    let starter = STARTS.iter().find(|(name, ..)| *name == program);
    starter.is_some_and(|(_, options, _)| behind.any(|word| options.iter().any(|option| has(word, option))))
}

/// Whether the word behind `option` is text that the program keeps or looks for, and never runs.
fn takes_text(argv: &Argv<'_>, option: &str) -> bool {
    let program = base(argv.program());
    let Some((_, within, options)) = VALUES.iter().find(|(name, ..)| *name == program) else { return false };
    let mut args = argv.args();
    let is_within = match within {
        [] => !args.any(|word| matches!(word, "-exec" | "-execdir" | "-ok" | "-okdir")),
        _ => args.next().is_some_and(|first| within.contains(&first)),
    };
    is_within && options.contains(&option)
}

/// Whether `part`, which is not empty, stands in `text`. By bytes: `str`'s own search would bring a bounds check's panic into an image.
fn holds(text: &str, part: &str) -> bool {
    let part = part.as_bytes();
    (0..text.len()).filter_map(|at| text.as_bytes().get(at..)).any(|rest| rest.starts_with(part))
}

/// Whether a shell would read more in a text than its words.
fn hides(text: &str) -> bool {
    let one = |byte: u8| matches!(byte, b'\'' | b'"' | b'\\' | b'$' | b'`' | b'*' | b'?' | b'[' | b'~');
    let bytes = text.as_bytes();
    // `{}` is what xargs and parallel fill in; it expands to nothing.
    bytes.iter().copied().any(one) || bytes.windows(2).any(|two| matches!(two, [b'{', next] if *next != b'}'))
}

/// Whether a script pipes what it prints; two signs are an "or". Before the first `print` there are patterns: `/a|b/`.
/// What awk reads through a pipe is found by its `getline`.
fn pipes(script: &str, prints: &mut bool) -> bool {
    let (mut run, mut rest) = (0, script.as_bytes());
    while let [first, behind @ ..] = rest {
        match (first, run) {
            (b'|', _) => run += 1,
            (_, 1) if *prints => return true,
            _ => run = 0,
        }
        *prints |= rest.starts_with(b"print");
        rest = behind;
    }
    run == 1 && *prints
}

/// A program that reads programs: what is piped into it runs.
fn is_reader_of_programs(part: &str) -> bool {
    let shell = |(name, options, reads): &(&str, &[&str], Reads)| {
        let reads = matches!((reads, options), (Reads::Shell, []) | (Reads::Language(_), _));
        reads && is_named(base(part), name)
    };
    STARTS.iter().any(shell)
}

/// `python` is also `python2`, `python3.13` and `Python.exe`.
fn is_named(program: &str, name: &str) -> bool {
    let Some((head, rest)) = program.split_at_checked(name.len()) else { return false };
    let version = |byte: u8| byte.is_ascii_digit() || matches!(byte, b'.' | b'-');
    head.eq_ignore_ascii_case(name) && (rest.bytes().all(version) || rest.eq_ignore_ascii_case(".exe"))
}

/// Whether a word is that option, alone, among other letters, shortened, or with its value.
fn has(word: &str, option: &str) -> bool {
    let name = cut_value(word);
    let shortened = name.len() > 3 && name.starts_with("--") && option.starts_with(name);
    word.starts_with(option) || shortened || behind_letter(word, option).is_some()
}

/// What stands before a `=`.
fn cut_value(word: &str) -> &str {
    word.split(is_equals).next().unwrap_or(word)
}

/// What stands behind a one-letter option, which may stand among others: `-ne` has `-e`.
fn behind_letter<'w>(word: &'w str, option: &str) -> Option<&'w str> {
    let [b'-', letter] = option.as_bytes() else { return None };
    let letters = word.strip_prefix('-').filter(|letters| !letters.starts_with('-'))?;
    let at = letters.bytes().position(|byte| byte == *letter)?;
    let before = letters.as_bytes().get(..at)?;
    if before.iter().all(u8::is_ascii_alphanumeric) { letters.get(at + 1..) } else { None }
}

/// Whether sed is given a script that starts programs.
fn sed_runs<'w>(mut behind: impl Iterator<Item = &'w str> + Clone) -> bool {
    // With `-e` or `-f` the words that are no options are files, whose names say nothing.
    let mut is_named = behind
        .clone()
        .any(|word| has(word, "-e") || has(word, "-f") || word.starts_with("--e") || word.starts_with("--fi"));
    let mut option = "";
    behind.any(|word| {
        let before = core::mem::replace(&mut option, word);
        let script = match behind_letter(word, "-e") {
            // `-nes/a/b/`. In `-ie` it is a suffix, and the next word is the script all the same.
            Some(glued) => glued,
            None if word.starts_with("--e") => {
                word.get(cut_value(word).len()..).unwrap_or("").trim_start_matches(is_equals)
            }
            // Its value stands behind the letter, in this word or the next.
            None if behind_letter(before, "-f") == Some("") || before == "--file" => return false,
            None if behind_letter(before, "-e") == Some("") || is_bare_long_e(before) => word,
            None if word.starts_with('-') || is_named => return false,
            // The first word; a number may be the value of `-l`.
            None => {
                is_named = !word.bytes().all(|byte| byte.is_ascii_digit());
                word
            }
        };
        sed_starts(script.as_bytes())
    })
}

/// `--expression` or a shortening, with its value in the next word.
fn is_bare_long_e(word: &str) -> bool {
    word.starts_with("--e") && cut_value(word).len() == word.len()
}

/// Whether a script of sed's has its `e`: the command, or a flag of an `s`.
fn sed_starts(script: &[u8]) -> bool {
    let mut rest = script;
    while let [command, behind @ ..] = rest {
        rest = match command {
            b'e' => return true,
            // A pattern, of an address; `\,x,` is one too.
            b'/' => behind_delimiter(behind, b'/'),
            b'\\' => behind.split_first().map_or(behind, |(delimiter, behind)| behind_delimiter(behind, *delimiter)),
            b's' | b'y' => {
                let Some((delimiter, behind)) = behind.split_first() else { return false };
                let mut behind = behind_delimiter(behind_delimiter(behind, *delimiter), *delimiter);
                while let [b'g' | b'p' | b'i' | b'I' | b'm' | b'M' | b'0'..=b'9', flags @ ..] = behind {
                    behind = flags;
                }
                behind
            }
            // A label.
            b'b' | b't' | b'T' | b':' => {
                let behind = behind.trim_ascii_start();
                let end = behind.iter().position(|byte| matches!(byte, b' ' | b';' | b'}')).unwrap_or(behind.len());
                behind.get(end..).unwrap_or(&[])
            }
            // What follows is a text or the name of a file.
            b'a' | b'i' | b'c' | b'r' | b'R' | b'w' | b'W' | b'#' => return false,
            // Another command without a value, or what stands between commands.
            _ => behind,
        };
    }
    false
}

/// What stands behind the next delimiter that no backslash takes its meaning from.
fn behind_delimiter(mut text: &[u8], delimiter: u8) -> &[u8] {
    while let [first, behind @ ..] = text {
        text = match (*first, behind) {
            (byte, _) if byte == delimiter => return behind,
            (b'\\', [_, behind @ ..]) => behind,
            _ => behind,
        };
    }
    text
}

// Functions, since a pattern of characters brings a bounds check's panic into an image.

const fn is_space(character: char) -> bool {
    character == ' '
}

const fn is_equals(character: char) -> bool {
    character == '='
}

/// What cannot be part of a program's name or its directory.
const fn is_border(character: char) -> bool {
    character.is_ascii() && !(character.is_ascii_alphanumeric() || matches!(character, '_' | '-' | '+' | '.' | '/'))
}

/// What cannot be part of a function's name.
const fn is_no_name(character: char) -> bool {
    character.is_ascii() && !(character.is_ascii_alphanumeric() || character == '_')
}

const fn is_slash(character: char) -> bool {
    character == '/'
}

const fn is_dot(character: char) -> bool {
    character == '.'
}

/// A program's name without its directory.
fn base(word: &str) -> &str {
    word.rsplit(is_slash).next().unwrap_or(word)
}

/// What stands before the last slash.
fn directory(word: &str) -> Option<&str> {
    word.get(..word.len() - base(word).len()).and_then(|directory| directory.strip_suffix('/'))
}

/// A program's name without what stands behind its first dot.
fn stem(program: &str) -> &str {
    program.split(is_dot).next().unwrap_or(program)
}
