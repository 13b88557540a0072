//! The list of programs that may not run, not even by way of others.

use super::{Argv, Forbidden, Refusal, parse};

/// Lists programs that may not run; all others may. The seed's forbidden commands.
///
/// Prefer an [`AllowList`](super::AllowList): which programs can start others cannot be listed to the end, so this is a guard
/// against accidents and not against an attacker who is free to choose the program.
///
/// # Rules
/// 1. A program on the list is refused by its name in any directory and in any case; `mkfs` stands for
///    `mkfs.ext4` too, and `rm` for `rm.exe`.
/// 2. It is refused in any argument as well, wherever it stands as a word of its own: `env`, `sudo`, `xargs`,
///    `find -exec`, `busybox`, `sh -c "a; rm"`. Only programs that are known to do nothing with their
///    arguments but to read or print them may be given its name: `echo rm`, `man rm`. So `git rm` is refused too.
/// 3. What can be given a program as text is not given text that could be quoted once more: a shell's `-c`, an
///    interpreter's `-e`, with a quote, a backslash or a dollar sign in it.
///
/// # Cost
/// O(n) for the line, times the length of the list.
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
    /// The programs' names, without a directory.
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
            "sfdisk",
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
            "setfacl",
            "passwd",
            "chpasswd",
            "useradd",
            "userdel",
            "usermod",
            "adduser",
            "deluser",
            "groupadd",
            "visudo",
            "insmod",
            "rmmod",
            "modprobe",
            "iptables",
            "nft",
            "crontab",
            "killall",
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

/// Programs that read or print what they are given, and start nothing.
const READERS: [&str; 34] = [
    "echo", "printf", "cat", "head", "tail", "wc", "nl", "tac", "rev", "cut", "ls", "dir", "stat", "file", "du", "df",
    "grep", "egrep", "fgrep", "which", "whereis", "type", "apropos", "whatis", "man", "basename", "dirname",
    "realpath", "readlink", "touch", "mkdir", "test", "expr", "locate",
];

/// Programs that may be given a program as text, with the options that say so; with none, any argument may be one.
const READS_TEXT: [(&str, &[&str]); 30] = [
    ("sh", &[]),
    ("bash", &[]),
    ("dash", &[]),
    ("ash", &[]),
    ("zsh", &[]),
    ("ksh", &[]),
    ("mksh", &[]),
    ("fish", &[]),
    ("csh", &[]),
    ("tcsh", &[]),
    ("rbash", &[]),
    ("su", &[]),
    ("runuser", &[]),
    ("ssh", &[]),
    ("eval", &[]),
    ("watch", &[]),
    ("parallel", &[]),
    ("xargs", &[]),
    ("script", &[]),
    ("busybox", &[]),
    ("toybox", &[]),
    ("env", &["-S", "-vS", "--split-string"]),
    ("python", &["-c"]),
    ("python3", &["-c"]),
    ("perl", &["-e", "-E", "-n", "-p", "-i"]),
    ("ruby", &["-e", "-n", "-p"]),
    ("node", &["-e", "-p", "--eval", "--print"]),
    ("php", &["-r", "--run"]),
    ("lua", &["-e"]),
    ("tclsh", &[]),
];

/// awk starts programs by these.
const AWK_STARTS: [&str; 3] = ["system", "|", "getline"];

impl DenyList<'_> {
    /// Whether the command may run.
    ///
    /// # Errors
    /// [`Forbidden::Program`] where a program of the list is named, [`Forbidden::Argument`] where it could be hidden.
    pub fn check(&self, argv: &Argv<'_>) -> Result<(), Forbidden> {
        let program = base(argv.program());
        if self.denies(stem(program)) || self.denies(program) {
            return Err(Forbidden::Program);
        }
        if READERS.contains(&program) {
            return Ok(());
        }
        let mut starts = argv.args().flat_map(|word| word.split(is_border)).map(base);
        if starts.any(|word| self.denies(word) || word.starts_with("mkfs.") && self.denies("mkfs")) {
            return Err(Forbidden::Program);
        }
        // One wrapper in front, such as `sudo`, must not hide a shell: every word may be the program.
        let mut words = argv.words();
        while let Some(word) = words.next() {
            check_text(base(word), &words)?;
        }
        Ok(())
    }

    /// Splits a command line and checks it.
    ///
    /// # Errors
    /// [`Refusal`]: not plain, or forbidden.
    pub fn admit<'b>(&self, line: &str, buffer: &'b mut [u8]) -> Result<Argv<'b>, Refusal> {
        let argv = parse(line, buffer)?;
        self.check(&argv)?;
        Ok(argv)
    }

    fn denies(&self, program: &str) -> bool {
        self.programs.iter().any(|denied| denied.eq_ignore_ascii_case(program))
    }
}

/// Whether `part`, which is not empty, stands in `text`. By bytes: `str`'s own search would bring a bounds check's panic into an image.
fn holds(text: &str, part: &str) -> bool {
    let part = part.as_bytes();
    (0..text.len()).filter_map(|at| text.as_bytes().get(at..)).any(|rest| rest.starts_with(part))
}

/// Whether `program` may be given the words behind it.
fn check_text(program: &str, behind: &super::Words<'_>) -> Result<(), Forbidden> {
    if matches!(program, "awk" | "gawk" | "mawk" | "nawk") {
        let starts = |word: &str| AWK_STARTS.iter().any(|start| holds(word, start));
        return if behind.clone().any(starts) { Err(Forbidden::Argument) } else { Ok(()) };
    }
    let Some((_, options)) = READS_TEXT.iter().find(|(name, _)| is_named(program, name)) else { return Ok(()) };
    let reads = options.is_empty()
        || behind.clone().any(|word| options.iter().any(|option| word.starts_with(option) || is_cluster(word, option)));
    let hides = |word: &str| word.contains(['\'', '"', '\\', '$', '`', '*', '?', '[', '{', '~']);
    if reads && behind.clone().any(hides) { Err(Forbidden::Argument) } else { Ok(()) }
}

/// `python` is also `python2` and `python3.13`.
fn is_named(program: &str, name: &str) -> bool {
    program.strip_prefix(name).is_some_and(|rest| rest.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.'))
}

/// Whether a one-letter option stands among others: `-ne` has `-e`.
fn is_cluster(word: &str, option: &str) -> bool {
    match (word.strip_prefix('-'), option.strip_prefix('-')) {
        (Some(letters), Some(option)) if option.len() == 1 && !letters.starts_with('-') => holds(letters, option),
        _ => false,
    }
}

/// What cannot be part of a program's name or its directory.
fn is_border(character: char) -> bool {
    !(character.is_ascii_alphanumeric() || matches!(character, '_' | '-' | '+' | '.' | '/')) && character.is_ascii()
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

/// A program's name without what stands behind its first dot.
fn stem(program: &str) -> &str {
    program.split(is_dot).next().unwrap_or(program)
}
