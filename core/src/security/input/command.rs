//! Command lines that need no shell, and the list of those that may run.

use core::fmt;

mod allow;
mod deny;
mod lexer;

pub use allow::{AllowList, Operands, Program};
pub use deny::DenyList;

/// Says why a text is not a plain command line: an HTTP 400.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum Invalid {
    /// No word.
    Empty,
    /// Longer than its buffer.
    TooLong,
    /// A control character, one that is not seen, or a blank that a shell takes for a letter.
    Control,
    /// A line break: what follows would be another command.
    Newline,
    /// A quote that is not closed, or a backslash at the end.
    Unfinished,
    /// `;` or `&`.
    Separator,
    /// `|`.
    Pipe,
    /// `<` or `>`.
    Redirect,
    /// A command within: `$(`, a backquote, parentheses.
    Substitution,
    /// `$'..'`, whose escapes are another language.
    AnsiQuote,
    /// A variable, a tilde, braces, or a word of the history such as `!!`.
    Expansion,
    /// `*`, `?` or `[`.
    Glob,
    /// `#` at a word's start: the rest would be ignored.
    Comment,
    /// `NAME=value` before the program.
    Assignment,
    /// The first word is the shell's own, such as `!` or `if`.
    Reserved,
}

/// Says what a shell would do with a text, from the harmless to the grave.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Class {
    /// Split it into words, and no more.
    Plain,
    /// Put something else in its place: a variable, a home, file names.
    Expanding,
    /// Wait for its end, or read another text than is seen: a quote left open, a control character, a comment.
    Broken,
    /// Run something, or set what is run, beyond one program and its arguments.
    Executing,
}

impl Invalid {
    /// What a shell would do with it.
    #[must_use]
    pub const fn class(self) -> Class {
        match self {
            Self::Empty | Self::TooLong | Self::Control | Self::Unfinished | Self::Comment => Class::Broken,
            Self::Expansion | Self::Glob => Class::Expanding,
            Self::Newline
            | Self::Separator
            | Self::Pipe
            | Self::Redirect
            | Self::Substitution
            | Self::AnsiQuote
            | Self::Assignment
            | Self::Reserved => Class::Executing,
        }
    }
}

/// Says why the policy refuses a plain command line: an HTTP 403.
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

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Empty => "there is no command",
            Self::TooLong => "the command line is too long",
            Self::Control => "the command line has a control character or an unseen one",
            Self::Newline => "the command line has a line break",
            Self::Unfinished => "the command line ends within a quote or after a backslash",
            Self::Separator => "the command line has an unquoted ; or &",
            Self::Pipe => "the command line has an unquoted |",
            Self::Redirect => "the command line has an unquoted < or >",
            Self::Substitution => "the command line has a command within: $( ), ( ) or backquotes",
            Self::AnsiQuote => "the command line has a $'..' quote",
            Self::Expansion => "the command line has an unquoted variable, tilde, brace or history expansion",
            Self::Glob => "the command line has an unquoted *, ? or [",
            Self::Comment => "the command line has a comment",
            Self::Assignment => "the command line begins with an assignment",
            Self::Reserved => "the command line begins with a word of the shell's own",
        })
    }
}

impl fmt::Display for Forbidden {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Program => "the program is not on the allow list",
            Self::Option => "the program may not be given that option",
            Self::Argument => "the program may not be given that argument",
            Self::Path => "the path may lead out of the working directory",
        })
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Invalid(why) => why.fmt(f),
            Self::Forbidden(why) => why.fmt(f),
        }
    }
}

impl core::error::Error for Invalid {}
impl core::error::Error for Forbidden {}
impl core::error::Error for Refusal {}

impl From<Invalid> for Refusal {
    fn from(why: Invalid) -> Self {
        Self::Invalid(why)
    }
}

impl From<Forbidden> for Refusal {
    fn from(why: Forbidden) -> Self {
        Self::Forbidden(why)
    }
}

/// Holds the words of a command line, quotes removed; there is at least one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Argv<'b> {
    words: &'b str,
}

impl<'b> Argv<'b> {
    /// The program's name.
    #[must_use]
    pub fn program(&self) -> &'b str {
        self.words().next().unwrap_or_default()
    }

    /// The program's name and its arguments.
    #[must_use]
    pub const fn words(&self) -> Words<'b> {
        Words { rest: self.words }
    }

    /// The arguments.
    pub fn args(&self) -> impl Iterator<Item = &'b str> + use<'b> {
        self.words().skip(1)
    }

    /// The words, a NUL after each: the same for every spelling of the same command, fit for a cache's key.
    #[must_use]
    pub const fn canonical(&self) -> &'b str {
        self.words
    }
}

/// Gives the words of an [`Argv`].
#[derive(Clone, Debug)]
pub struct Words<'b> {
    rest: &'b str,
}

impl<'b> Iterator for Words<'b> {
    type Item = &'b str;

    fn next(&mut self) -> Option<&'b str> {
        let end = self.rest.bytes().position(|b| b == 0)?;
        let word = self.rest.get(..end)?;
        self.rest = self.rest.get(end + 1..)?;
        Some(word)
    }
}

/// Splits a plain command line into its words, as a POSIX shell would.
///
/// Plain is a line that a shell would only split and unquote: no variable, no glob, no second command, nothing that
/// is read twice. What is not plain is refused even where we would not act on it, because whoever wrote it expected a
/// shell to. `buffer` holds the words: `line.len() + 1` bytes are enough.
///
/// # Rules
/// 1. An `Ok` line gives a shell and us the same words.
/// 2. Every metacharacter of a shell is refused unquoted, and `$`, backquote and backslash keep their meaning within
///    double quotes. What only some shells act on is refused as well: `!!`, `=ls`, `$=x`, `{a,b}`.
/// 3. Nothing that follows a line break or a comment sign is dropped unseen.
/// 4. No character that is not seen but the joiners and variation selectors of scripts and emoji, nor a blank of another
///    script outside quotes: the words are those that a reader sees.
///
/// # Cost
/// O(n), no allocation.
///
/// # Errors
/// [`Invalid`]: the first thing that is not plain.
///
/// # Example
/// ```
/// use daur_core::security::input::command::{Invalid, parse};
///
/// let mut buffer = [0; 64];
/// let argv = parse(r#"echo 'a; b' "c d" e\ f"#, &mut buffer).unwrap();
/// assert!(argv.words().eq(["echo", "a; b", "c d", "e f"]));
/// assert_eq!(parse("echo a; id", &mut buffer), Err(Invalid::Separator));
/// ```
///
/// # References
/// POSIX.1-2024, XCU section 2.2 (quoting) and 2.3 (token recognition).
#[doc(alias = "shlex")]
pub fn parse<'b>(line: &str, buffer: &'b mut [u8]) -> Result<Argv<'b>, Invalid> {
    let mut words = lexer::Words { out: buffer, len: 0 };
    lexer::run(line, &mut words)?;
    let lexer::Words { out, len } = words;
    // Words are the line's characters without some ASCII ones: still UTF-8.
    let words = out.get(..len).and_then(|words| core::str::from_utf8(words).ok()).ok_or(Invalid::TooLong)?;
    let argv = Argv { words };
    if is_reserved(argv.program().as_bytes()) { Err(Invalid::Reserved) } else { Ok(argv) }
}

/// Says what a shell would do with a text, by the gravest thing in it.
///
/// [`parse`] ends at the first thing that is not plain; this reads on, so `echo $HOME; id` executes.
///
/// # Rules
/// 1. It is [`Class::Plain`] exactly where [`parse`] with a large enough buffer says `Ok`.
/// 2. It is at least as grave as the class of what [`parse`] found first.
///
/// # Example
/// ```
/// use daur_core::security::input::command::{Class, classify};
///
/// assert_eq!(classify("ls -la 'my file'"), Class::Plain);
/// assert_eq!(classify("ls $HOME/*"), Class::Expanding);
/// assert_eq!(classify("echo 'no end"), Class::Broken);
/// assert_eq!(classify("echo $HOME; id"), Class::Executing);
/// ```
#[must_use]
pub fn classify(line: &str) -> Class {
    let mut worst = lexer::Worst::new();
    // It refuses nothing, so that it sees all.
    _ = lexer::run(line, &mut worst);
    worst.class()
}

/// POSIX.1-2024, XCU section 2.4, and those that it leaves to shells.
const RESERVED: [&str; 22] = [
    "!", "{", "}", "case", "do", "done", "elif", "else", "esac", "fi", "for", "if", "in", "then", "until", "while",
    "function", "select", "time", "coproc", "foreach", "repeat",
];

fn is_reserved(word: &[u8]) -> bool {
    RESERVED.iter().any(|reserved| reserved.as_bytes() == word)
}

#[cfg(test)]
mod tests;
