//! The list of programs that may run, and with what.

use super::{Argv, Forbidden, Refusal, parse};

/// Says what a program's arguments may be, apart from options.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operands<'a> {
    /// None at all.
    None,
    /// Any text: the program does nothing with it but print it. Then nothing is an option either.
    Any,
    /// Relative paths without `..`.
    Paths,
    /// Numbers, with an optional unit `s`, `m`, `h`, `d`.
    Numbers,
    /// Formats: texts that begin with `+`. No more than two digits in a row, since a width of a billion fills memory.
    Formats,
    /// Any text that looks like no option: a pattern, a message.
    Text,
    /// Names of units, hosts, versions: letters, digits and `@`, `.`, `_`, `:`, `+`, `-`.
    Names,
    /// As [`Operands::Paths`], and absolute paths that are one of these directories or below one.
    Below(&'a [&'a str]),
    /// One of these words, and then what else: `status` and the names of units.
    Verb(&'a [&'a str], &'a Self),
}

/// Names a program that may run, and what it may be given.
///
/// What is not named is refused, so that an option that writes a file or runs a program cannot be forgotten.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Program<'a> {
    /// Its name, without a path: which file that is, is the host's business.
    pub name: &'a str,
    /// The letters that may stand after one `-`, together or alone.
    pub letters: &'a str,
    /// The names that may stand after `--`, without or with `=value`; with a dash of their own, as `-name`, after a single one.
    pub options: &'a [&'a str],
    /// What else it may be given.
    pub operands: Operands<'a>,
}

/// Lists the programs that may run; nothing else may. The seed's allowed commands.
///
/// # Rules
/// 1. The program must be on the list by exactly its name: `/bin/ls` is not `ls`.
/// 2. Every option must be named. After `--` there are none, and nothing may look like one: an option before it may
///    have taken the `--` for its value.
/// 3. A path is relative and has no `..`: it cannot leave the working directory but by a symbolic link. So is the value of
///    an option, or it is no path at all. Absolute ones only below directories that are named.
///
/// # Cost
/// O(n) for the line, times the lengths of the lists; no allocation. 128 bytes of RAM and 5,976 of flash on thumbv6m
/// (image `command`: the splitting and the default list within).
///
/// # Example
/// ```
/// use daur_core::security::input::command::{AllowList, Forbidden, Invalid, Refusal};
///
/// let mut buffer = [0; 64];
/// let mut admit = |line| AllowList::DEFAULT.admit(line, &mut buffer).map(|argv| argv.words().count());
/// assert_eq!(admit("uname -a"), Ok(2));
/// assert_eq!(admit("rm -rf /"), Err(Refusal::Forbidden(Forbidden::Program)));
/// assert_eq!(admit("ls /etc"), Err(Refusal::Forbidden(Forbidden::Path)));
/// assert_eq!(admit("echo a; id"), Err(Refusal::Invalid(Invalid::Separator)));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[doc(alias = "allowed_commands")]
pub struct AllowList<'a> {
    /// The programs.
    pub programs: &'a [Program<'a>],
}

const fn program(name: &'static str, letters: &'static str, operands: Operands<'static>) -> Program<'static> {
    Program { name, letters, options: &["help", "version"], operands }
}

impl AllowList<'static> {
    /// echo, date, uname, uptime, hostname, whoami, df, free, ls, sleep, as far as they only tell.
    ///
    /// `date` and `hostname` cannot set what they show; `ls` and `df` see the working directory only.
    pub const DEFAULT: Self = Self {
        programs: &[
            program("echo", "", Operands::Any),
            Program {
                options: &["utc", "universal", "rfc-3339", "iso-8601"],
                ..program("date", "uRI", Operands::Formats)
            },
            Program {
                options: &[
                    "all",
                    "kernel-name",
                    "nodename",
                    "kernel-release",
                    "kernel-version",
                    "machine",
                    "help",
                    "version",
                ],
                ..program("uname", "asnrvmpio", Operands::None)
            },
            Program { options: &["pretty", "since", "help", "version"], ..program("uptime", "psV", Operands::None) },
            program("hostname", "fsiIdA", Operands::None),
            program("whoami", "", Operands::None),
            Program {
                options: &[
                    "all",
                    "human-readable",
                    "inodes",
                    "local",
                    "output",
                    "total",
                    "print-type",
                    "help",
                    "version",
                ],
                ..program("df", "ahHiklPT", Operands::Paths)
            },
            Program {
                options: &["bytes", "kibi", "mebi", "gibi", "human", "wide", "total", "help", "version"],
                ..program("free", "bkmghwtl", Operands::None)
            },
            Program {
                options: &["all", "almost-all", "human-readable", "recursive", "reverse", "size", "sort", "color"],
                ..program("ls", "aAbBcCdfFgGhHiklLmnNopqQrRsStuUvxXZ1", Operands::Paths)
            },
            program("sleep", "", Operands::Numbers),
        ],
    };
}

impl AllowList<'_> {
    /// Whether the command may run.
    ///
    /// # Errors
    /// [`Forbidden`]: the first thing that the list does not name.
    pub fn check(&self, argv: &Argv<'_>) -> Result<(), Forbidden> {
        let name = argv.program();
        let program = self.programs.iter().find(|program| program.name == name).ok_or(Forbidden::Program)?;
        program.check(argv)
    }

    /// Splits a command line and checks it (`InputValidator.validate_command`).
    ///
    /// # Errors
    /// [`Refusal`]: not plain, or not allowed.
    #[doc(alias = "validate_command")]
    pub fn admit<'b>(&self, line: &str, buffer: &'b mut [u8]) -> Result<Argv<'b>, Refusal> {
        let argv = parse(line, buffer)?;
        self.check(&argv)?;
        Ok(argv)
    }
}

impl Program<'_> {
    fn check(&self, argv: &Argv<'_>) -> Result<(), Forbidden> {
        if self.operands == Operands::Any {
            return Ok(());
        }
        let mut operands = &self.operands;
        let mut options = true;
        for word in argv.args() {
            match word.strip_prefix('-') {
                Some("-") if options => options = false,
                Some("") | None => operands = operands.take(word)?,
                Some(_) if !options => return Err(Forbidden::Option),
                Some(option) => self.option(option)?,
            }
        }
        // A verb that never came.
        if matches!(operands, Operands::Verb(..)) { Err(Forbidden::Argument) } else { Ok(()) }
    }

    /// An option without its first dash.
    fn option(&self, option: &str) -> Result<(), Forbidden> {
        let (name, value) = cut(option.as_bytes(), b'=');
        let is_named = match name {
            [b'-', long @ ..] => self.options.iter().any(|option| option.as_bytes() == long),
            _ => self.options.iter().any(|option| option.as_bytes().strip_prefix(b"-") == Some(name)),
        };
        if is_named {
            return value.map_or(Ok(()), |value| self.operands.value(value));
        }
        let are_letters = option.bytes().all(|letter| self.letters.as_bytes().contains(&letter));
        if are_letters { Ok(()) } else { Err(Forbidden::Option) }
    }
}

impl<'a> Operands<'a> {
    /// Checks one; gives what the next ones may be.
    fn take(&'a self, word: &str) -> Result<&'a Self, Forbidden> {
        let (good, otherwise) = match self {
            Self::None => (false, Forbidden::Argument),
            Self::Any | Self::Text => (true, Forbidden::Argument),
            Self::Paths => (stays_inside(word.as_bytes()), Forbidden::Path),
            Self::Below(roots) => (stays_below(word.as_bytes(), roots), Forbidden::Path),
            Self::Numbers => (is_number(word), Forbidden::Argument),
            Self::Formats => (is_format(word.as_bytes()), Forbidden::Argument),
            Self::Names => (is_name(word.as_bytes()), Forbidden::Argument),
            Self::Verb(verbs, then) => {
                return if verbs.contains(&word) { Ok(then) } else { Err(Forbidden::Argument) };
            }
        };
        if good { Ok(self) } else { Err(otherwise) }
    }

    /// What stands behind the `=` of an option: a path that may be, or no path.
    fn value(&self, value: &[u8]) -> Result<(), Forbidden> {
        let good = match self {
            Self::Any | Self::Text => true,
            Self::Below(roots) => stays_below(value, roots),
            Self::Verb(_, then) => return then.value(value),
            _ => stays_inside(value),
        };
        if good { Ok(()) } else { Err(Forbidden::Path) }
    }
}

// Bytes and not `str`'s searches: those would bring a bounds check's panic into a device's image.

/// Relative, without `..` or a backslash.
fn stays_inside(path: &[u8]) -> bool {
    !matches!(path.first(), None | Some(b'/' | b'~')) && has_no_way_up(path)
}

fn has_no_way_up(path: &[u8]) -> bool {
    !path.contains(&b'\\') && path.split(|b| *b == b'/').all(|part| part != b"..")
}

/// Relative, or in one of the directories.
fn stays_below(path: &[u8], roots: &[&str]) -> bool {
    let is_below = |root: &&str| {
        let root = root.as_bytes();
        let root = root.strip_suffix(b"/").unwrap_or(root);
        path.strip_prefix(root).is_some_and(|rest| matches!(rest, [] | [b'/', ..]))
    };
    stays_inside(path) || (path.first() == Some(&b'/') && has_no_way_up(path) && roots.iter().any(is_below))
}

fn is_name(text: &[u8]) -> bool {
    let stands = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'@' | b'.' | b'_' | b':' | b'+' | b'-');
    !text.is_empty() && text != b"-" && text.iter().all(stands)
}

fn is_format(text: &[u8]) -> bool {
    text.first() == Some(&b'+') && !text.windows(3).any(|three| three.iter().all(u8::is_ascii_digit))
}

fn is_number(text: &str) -> bool {
    let text = text.as_bytes();
    let digits = match text.split_last() {
        Some((b's' | b'm' | b'h' | b'd', digits)) => digits,
        _ => text,
    };
    let (whole, part) = cut(digits, b'.');
    let all = |digits: &[u8]| (1..=9).contains(&digits.len()) && digits.iter().all(u8::is_ascii_digit);
    all(whole) && part.is_none_or(all)
}

/// What stands before the first `at`, and what behind it if it is there.
fn cut(text: &[u8], at: u8) -> (&[u8], Option<&[u8]>) {
    let end = text.iter().position(|b| *b == at);
    match end.and_then(|end| text.split_at_checked(end)) {
        Some((before, behind)) => (before, behind.get(1..)),
        None => (text, None),
    }
}
