//! Command lines that need no shell, and the list of those that may run.

use core::fmt;

/// Says why a text is not a plain command line: HTTP's 400.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum Invalid {
    /// No word.
    Empty,
    /// Longer than the buffer.
    TooLong,
    /// A NUL, an escape or another control character.
    Control,
    /// A line break would begin a second command.
    Newline,
    /// An open quote, or a backslash at the end.
    Unfinished,
    /// `;` or `&`.
    Separator,
    /// `|`.
    Pipe,
    /// `<` or `>`.
    Redirect,
    /// A command within: `$(`, a backquote, parentheses.
    Substitution,
    /// `$'..'`, which is another language.
    AnsiQuote,
    /// A variable, a tilde, braces.
    Expansion,
    /// `*`, `?` or `[`.
    Glob,
    /// `#`: the rest would be ignored.
    Comment,
    /// `NAME=value` before the program.
    Assignment,
}

/// Says why the policy refuses a plain command line: HTTP's 403.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum Forbidden {
    /// The program is not on the list.
    Program,
    /// An option that the program may not be given.
    Option,
    /// An argument of a kind that the program may not be given.
    Argument,
    /// A path that may lead out of the working directory.
    Path,
}

/// Says why a command does not run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Refusal {
    /// Not a plain command line.
    Invalid(Invalid),
    /// Refused by the policy.
    Forbidden(Forbidden),
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let _ = f;
        todo!()
    }
}
impl core::error::Error for Refusal {}

/// The words of a command line, quotes removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Argv<'b> {
    words: &'b str,
}

impl<'b> Argv<'b> {
    /// The program.
    #[must_use]
    pub fn program(&self) -> &'b str {
        todo!()
    }
    /// The program and its arguments.
    pub fn words(&self) -> impl Iterator<Item = &'b str> + use<'b> {
        self.words.split('\0')
    }
    /// The arguments.
    pub fn args(&self) -> impl Iterator<Item = &'b str> + use<'b> {
        self.words().skip(1)
    }
    /// The words, a NUL after each: one text per command line, fit for a cache key.
    #[must_use]
    pub const fn canonical(&self) -> &'b str {
        self.words
    }
}

/// Splits a plain command line into its words; `buffer` needs `line.len() + 1` bytes.
///
/// # Errors
/// [`Invalid`]: the first thing that is not plain.
pub fn parse<'b>(line: &str, buffer: &'b mut [u8]) -> Result<Argv<'b>, Invalid> {
    let _ = (line, buffer);
    todo!()
}

/// What a program's arguments may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operands {
    /// None.
    None,
    /// Any text.
    Any,
    /// Relative paths without `..`.
    Paths,
    /// Non-negative numbers, with an optional unit `s`, `m`, `h`, `d`.
    Numbers,
    /// Texts that begin with `+`.
    Formats,
}

/// A program that may run, and with what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Program<'a> {
    /// Its name, without a path.
    pub name: &'a str,
    /// The letters that it may be given after one `-`.
    pub letters: &'a str,
    /// The names that it may be given after `--`, without `=value`.
    pub options: &'a [&'a str],
    /// What else.
    pub operands: Operands,
}

/// The programs that may run; everything else may not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AllowList<'a> {
    /// The programs.
    pub programs: &'a [Program<'a>],
}

impl AllowList<'static> {
    /// echo, date, uname, uptime, hostname, whoami, df, free, ls, sleep.
    pub const DEFAULT: Self = Self { programs: &[] };
}

impl AllowList<'_> {
    /// Whether the policy lets the command run.
    ///
    /// # Errors
    /// [`Forbidden`].
    pub fn check(&self, argv: &Argv<'_>) -> Result<(), Forbidden> {
        let _ = argv;
        todo!()
    }
    /// Splits and checks a command line.
    ///
    /// # Errors
    /// [`Refusal`].
    pub fn admit<'b>(&self, line: &str, buffer: &'b mut [u8]) -> Result<Argv<'b>, Refusal> {
        let _ = (line, buffer);
        todo!()
    }
}
