//! Command lines that need no shell, and the list of those that may run.

use core::fmt;

mod allow;
mod deny;

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
    /// A NUL, an escape or another control character.
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
    /// A variable, a tilde or braces.
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
            Self::Control => "the command line has a control character",
            Self::Newline => "the command line has a line break",
            Self::Unfinished => "the command line ends within a quote or after a backslash",
            Self::Separator => "the command line has an unquoted ; or &",
            Self::Pipe => "the command line has an unquoted |",
            Self::Redirect => "the command line has an unquoted < or >",
            Self::Substitution => "the command line has a command within: $( ), ( ) or backquotes",
            Self::AnsiQuote => "the command line has a $'..' quote",
            Self::Expansion => "the command line has an unquoted variable, tilde or brace expansion",
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
///    double quotes.
/// 3. Nothing that follows a line break or a comment sign is dropped unseen.
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
pub fn parse<'b>(line: &str, buffer: &'b mut [u8]) -> Result<Argv<'b>, Invalid> {
    let mut lexer = Lexer { out: buffer, len: 0, word: Word::None, braces: Braces::None, words: 0 };
    let mut bytes = line.bytes();
    while let Some(byte) = bytes.next() {
        lexer.take(byte, &mut bytes)?;
    }
    lexer.end_word()?;
    if lexer.words == 0 {
        return Err(Invalid::Empty);
    }
    let Lexer { out, len, .. } = lexer;
    // Words are the line's characters without some ASCII ones: still UTF-8.
    let words = out.get(..len).and_then(|words| core::str::from_utf8(words).ok()).ok_or(Invalid::TooLong)?;
    let argv = Argv { words };
    if RESERVED.contains(&argv.program()) { Err(Invalid::Reserved) } else { Ok(argv) }
}

/// POSIX.1-2024, XCU section 2.4, and those that it leaves to shells.
const RESERVED: [&str; 20] = [
    "!", "{", "}", "case", "do", "done", "elif", "else", "esac", "fi", "for", "if", "in", "then", "until", "while",
    "function", "select", "time", "coproc",
];

#[derive(Clone, Copy, PartialEq, Eq)]
enum Word {
    None,
    /// Unquoted so far, and could be the name of a variable.
    Name,
    Some,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Braces {
    None,
    Open,
    /// Open, and the last was a dot: `{1..3}` expands.
    Dot,
}

struct Lexer<'b> {
    out: &'b mut [u8],
    len: usize,
    word: Word,
    braces: Braces,
    words: usize,
}

impl Lexer<'_> {
    /// An unquoted byte.
    fn take(&mut self, byte: u8, rest: &mut core::str::Bytes<'_>) -> Result<(), Invalid> {
        match byte {
            b' ' | b'\t' => self.end_word(),
            b'\n' | b'\r' => Err(Invalid::Newline),
            0..0x20 | 0x7F => Err(Invalid::Control),
            b';' | b'&' => Err(Invalid::Separator),
            b'|' => Err(Invalid::Pipe),
            b'<' | b'>' => Err(Invalid::Redirect),
            b'`' | b'(' | b')' => Err(Invalid::Substitution),
            b'*' | b'?' | b'[' => Err(Invalid::Glob),
            b'#' if self.word == Word::None => Err(Invalid::Comment),
            // At a word's start, and where an assignment's value would begin or go on.
            b'~' if self.word == Word::None || self.ends_with(b"=:") => Err(Invalid::Expansion),
            b'=' if self.words == 0 && self.word == Word::Name => Err(Invalid::Assignment),
            b'$' => {
                dollar(rest, false)?;
                self.push(byte, Word::Some)
            }
            b'\'' => self.single(rest),
            b'"' => self.double(rest),
            b'\\' => match rest.next() {
                None => Err(Invalid::Unfinished),
                Some(b'\n' | b'\r') => Err(Invalid::Newline),
                Some(0..0x20 | 0x7F) => Err(Invalid::Control),
                Some(byte) => self.push(byte, Word::Some),
            },
            _ => {
                self.brace(byte)?;
                let name =
                    byte.is_ascii_alphabetic() || byte == b'_' || byte.is_ascii_digit() && self.word == Word::Name;
                let word = if name && self.word != Word::Some { Word::Name } else { Word::Some };
                self.push(byte, word)
            }
        }
    }

    /// `{a,b}` and `{1..3}` expand in most shells; `{}`, `@{1}` do not. A closing brace ends nothing here: `{a}b,c}` and
    /// `{x{y},z}` expand too.
    fn brace(&mut self, byte: u8) -> Result<(), Invalid> {
        self.braces = match (byte, self.braces) {
            (b'{', _) => Braces::Open,
            (_, Braces::None) => Braces::None,
            (b',', _) | (b'.', Braces::Dot) => return Err(Invalid::Expansion),
            (b'.', Braces::Open) => Braces::Dot,
            (_, _) => Braces::Open,
        };
        Ok(())
    }

    fn single(&mut self, rest: &mut core::str::Bytes<'_>) -> Result<(), Invalid> {
        self.open();
        loop {
            match rest.next().ok_or(Invalid::Unfinished)? {
                b'\'' => return Ok(()),
                byte => self.quoted_byte(byte)?,
            }
        }
    }

    fn double(&mut self, rest: &mut core::str::Bytes<'_>) -> Result<(), Invalid> {
        self.open();
        loop {
            match rest.next().ok_or(Invalid::Unfinished)? {
                b'"' => return Ok(()),
                b'`' => return Err(Invalid::Substitution),
                b'$' => {
                    dollar(rest, true)?;
                    self.quoted_byte(b'$')?;
                }
                b'\\' => match rest.next().ok_or(Invalid::Unfinished)? {
                    escaped @ (b'$' | b'`' | b'"' | b'\\') => self.quoted_byte(escaped)?,
                    other => {
                        self.quoted_byte(b'\\')?;
                        self.quoted_byte(other)?;
                    }
                },
                byte => self.quoted_byte(byte)?,
            }
        }
    }

    /// A quote makes a word, even of nothing.
    fn open(&mut self) {
        self.word = Word::Some;
    }

    fn quoted_byte(&mut self, byte: u8) -> Result<(), Invalid> {
        match byte {
            b'\n' | b'\r' => Err(Invalid::Newline),
            b'\t' => self.push(byte, Word::Some),
            0..0x20 | 0x7F => Err(Invalid::Control),
            _ => self.push(byte, Word::Some),
        }
    }

    fn push(&mut self, byte: u8, word: Word) -> Result<(), Invalid> {
        *self.out.get_mut(self.len).ok_or(Invalid::TooLong)? = byte;
        self.len += 1;
        self.word = word;
        Ok(())
    }

    fn ends_with(&self, any: &[u8]) -> bool {
        self.len.checked_sub(1).and_then(|last| self.out.get(last)).is_some_and(|last| any.contains(last))
    }

    fn end_word(&mut self) -> Result<(), Invalid> {
        if self.word != Word::None {
            self.push(0, Word::None)?;
            self.words += 1;
        }
        self.braces = Braces::None;
        Ok(())
    }
}

/// What a dollar sign begins; alone it is a character like any other.
fn dollar(rest: &core::str::Bytes<'_>, in_quotes: bool) -> Result<(), Invalid> {
    match rest.clone().next() {
        Some(b'(') => Err(Invalid::Substitution),
        Some(b'\'') if !in_quotes => Err(Invalid::AnsiQuote),
        Some(b'"') if !in_quotes => Err(Invalid::Expansion),
        Some(b'{' | b'[' | b'_' | b'@' | b'*' | b'#' | b'?' | b'-' | b'$' | b'!') => Err(Invalid::Expansion),
        Some(byte) if byte.is_ascii_alphanumeric() => Err(Invalid::Expansion),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests;
