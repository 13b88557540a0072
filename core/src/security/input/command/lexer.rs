//! The reading of a command line, character by character.

use core::str::Chars;

use super::super::sanitize::{is_blank, is_hidden};
use super::{Class, Invalid, is_reserved};

/// What a reading is for.
pub(super) trait Sink {
    /// A byte of a word; a NUL ends one.
    fn put(&mut self, byte: u8) -> Result<(), Invalid>;
    /// Something that is not plain. `Ok` reads on.
    fn fault(&mut self, why: Invalid) -> Result<(), Invalid>;
}

/// Keeps the words and ends at the first fault.
pub(super) struct Words<'b> {
    pub(super) out: &'b mut [u8],
    pub(super) len: usize,
}

impl Sink for Words<'_> {
    fn put(&mut self, byte: u8) -> Result<(), Invalid> {
        *self.out.get_mut(self.len).ok_or(Invalid::TooLong)? = byte;
        self.len += 1;
        Ok(())
    }

    fn fault(&mut self, why: Invalid) -> Result<(), Invalid> {
        Err(why)
    }
}

/// Keeps the gravest fault, and the first word as far as it may be reserved.
pub(super) struct Worst {
    class: Class,
    first: [u8; 9],
    len: usize,
    ended: bool,
}

impl Worst {
    pub(super) const fn new() -> Self {
        Self { class: Class::Plain, first: [0; 9], len: 0, ended: false }
    }

    pub(super) fn class(&self) -> Class {
        if self.first.get(..self.len).is_some_and(is_reserved) { Class::Executing } else { self.class }
    }
}

impl Sink for Worst {
    fn put(&mut self, byte: u8) -> Result<(), Invalid> {
        self.ended |= byte == 0;
        if let (false, Some(place)) = (self.ended, self.first.get_mut(self.len)) {
            *place = byte;
            self.len += 1;
        }
        Ok(())
    }

    fn fault(&mut self, why: Invalid) -> Result<(), Invalid> {
        self.class = self.class.max(why.class());
        Ok(())
    }
}

/// Reads all of a line.
pub(super) fn run(line: &str, sink: &mut impl Sink) -> Result<(), Invalid> {
    let mut lexer = Lexer { sink, rest: line.chars(), last: 0, word: Word::None, braces: Braces::None, words: 0 };
    while let Some(character) = lexer.rest.next() {
        lexer.take(character)?;
    }
    lexer.end_word()?;
    if lexer.words == 0 { lexer.sink.fault(Invalid::Empty) } else { Ok(()) }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Word {
    None,
    /// Unquoted so far, and could be the name of a variable.
    Name,
    /// Such a name and a plus sign: `A+=b` assigns in some shells.
    Plus,
    Some,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Braces {
    None,
    Open,
    /// Open, and the last was a dot: `{1..3}` expands.
    Dot,
}

struct Lexer<'l, 's, S> {
    sink: &'s mut S,
    rest: Chars<'l>,
    /// The last byte of the words so far.
    last: u8,
    word: Word,
    braces: Braces,
    words: usize,
}

impl<S: Sink> Lexer<'_, '_, S> {
    /// An unquoted character.
    fn take(&mut self, character: char) -> Result<(), Invalid> {
        let starts = self.word == Word::None;
        match character {
            'a'..='z' | 'A'..='Z' | '_' => self.plain(character, if starts { Word::Name } else { self.word.go_on() }),
            ' ' | '\t' => self.end_word(),
            '\n' | '\r' => self.sink.fault(Invalid::Newline),
            ';' | '&' => self.sink.fault(Invalid::Separator),
            '|' => self.sink.fault(Invalid::Pipe),
            '<' | '>' => self.sink.fault(Invalid::Redirect),
            '`' | '(' | ')' => self.sink.fault(Invalid::Substitution),
            '*' | '?' | '[' => self.fault(Invalid::Glob, character),
            '#' if starts => self.comment(),
            // At a word's start, and where an assignment's value would begin or go on.
            '~' if starts || matches!(self.last, b'=' | b':') => self.fault(Invalid::Expansion, character),
            '=' if self.words == 0 && matches!(self.word, Word::Name | Word::Plus) => {
                self.fault(Invalid::Assignment, character)
            }
            // `!!` and `!rm` are the history's words, `=rm` is `/bin/rm` to some, and so `^a^b` is the line before, changed.
            '!' if self.is_before(|next| !matches!(next, ' ' | '\t' | '=' | '"' | '\'')) => {
                self.fault(Invalid::Expansion, character)
            }
            '=' if starts && self.is_before(|next| next.is_ascii_alphanumeric() || matches!(next, '/' | '_')) => {
                self.fault(Invalid::Expansion, character)
            }
            '^' if starts && self.words == 0 => self.fault(Invalid::Expansion, character),
            '$' => {
                self.dollar(false)?;
                self.push(character)
            }
            '\'' => self.single(),
            '"' => self.double(),
            '\\' => match self.rest.next() {
                None => self.sink.fault(Invalid::Unfinished),
                Some(escaped) => self.quoted(escaped, false),
            },
            '+' if self.word == Word::Name => self.plain(character, Word::Plus),
            '0'..='9' => self.plain(character, self.word.go_on()),
            ascii if ascii.is_ascii() && !ascii.is_ascii_control() => self.plain(character, Word::Some),
            _ => self.quoted(character, false),
        }
    }

    /// Part of a word that is not quoted.
    fn plain(&mut self, character: char, word: Word) -> Result<(), Invalid> {
        self.brace(character)?;
        self.push(character)?;
        self.word = word;
        Ok(())
    }

    /// `{a,b}` and `{1..3}` expand in most shells; `{}`, `@{1}` do not. A closing brace ends nothing here: `{a}b,c}` and
    /// `{x{y},z}` expand too.
    fn brace(&mut self, character: char) -> Result<(), Invalid> {
        self.braces = match (character, self.braces) {
            ('{', _) => Braces::Open,
            (_, Braces::None) => return Ok(()),
            (',', _) | ('.', Braces::Dot) => {
                self.braces = Braces::None;
                return self.sink.fault(Invalid::Expansion);
            }
            ('.', Braces::Open) => Braces::Dot,
            (_, _) => Braces::Open,
        };
        Ok(())
    }

    /// What is read on after a fault is a word's part all the same.
    fn fault(&mut self, why: Invalid, character: char) -> Result<(), Invalid> {
        self.sink.fault(why)?;
        self.push(character)
    }

    /// The rest of the line is none of a shell's business.
    fn comment(&mut self) -> Result<(), Invalid> {
        self.sink.fault(Invalid::Comment)?;
        for character in self.rest.by_ref() {
            if matches!(character, '\n' | '\r') {
                return self.sink.fault(Invalid::Newline);
            }
        }
        Ok(())
    }

    fn single(&mut self) -> Result<(), Invalid> {
        // A quote makes a word, even of nothing.
        self.word = Word::Some;
        loop {
            match self.rest.next() {
                None => return self.sink.fault(Invalid::Unfinished),
                Some('\'') => return Ok(()),
                Some(character) => self.quoted(character, true)?,
            }
        }
    }

    fn double(&mut self) -> Result<(), Invalid> {
        self.word = Word::Some;
        loop {
            match self.rest.next() {
                None => return self.sink.fault(Invalid::Unfinished),
                Some('"') => return Ok(()),
                Some('`') => self.sink.fault(Invalid::Substitution)?,
                Some('$') => {
                    self.dollar(true)?;
                    self.push('$')?;
                }
                Some('\\') => match self.rest.next() {
                    None => return self.sink.fault(Invalid::Unfinished),
                    Some(escaped @ ('$' | '`' | '"' | '\\')) => self.push(escaped)?,
                    Some(other) => {
                        self.push('\\')?;
                        self.quoted(other, true)?;
                    }
                },
                Some(character) => self.quoted(character, true)?,
            }
        }
    }

    /// A character that means itself, where it is one that may stand in a command line at all.
    fn quoted(&mut self, character: char, in_quotes: bool) -> Result<(), Invalid> {
        match character {
            ' '..='~' => {}
            '\t' if in_quotes => {}
            '\n' | '\r' => self.sink.fault(Invalid::Newline)?,
            hidden if is_hidden(hidden) => self.sink.fault(Invalid::Control)?,
            // A reader takes it for a space, a shell for a letter.
            blank if !in_quotes && is_blank(blank) => self.sink.fault(Invalid::Control)?,
            _ => {}
        }
        self.push(character)
    }

    /// What a dollar sign begins; alone it is a character like any other.
    fn dollar(&mut self, in_quotes: bool) -> Result<(), Invalid> {
        let Some(next) = self.rest.clone().next() else { return Ok(()) };
        let why = match next {
            '(' => Invalid::Substitution,
            '\'' if !in_quotes => Invalid::AnsiQuote,
            '"' if !in_quotes => Invalid::Expansion,
            '{' | '[' | '_' | '@' | '*' | '#' | '?' | '-' | '$' | '!' | '=' | '~' | '^' | '+' => Invalid::Expansion,
            letter if letter.is_ascii_alphanumeric() || !letter.is_ascii() => Invalid::Expansion,
            _ => return Ok(()),
        };
        self.sink.fault(why)
    }

    fn push(&mut self, character: char) -> Result<(), Invalid> {
        self.word = Word::Some;
        let mut bytes = [0; 4];
        for byte in character.encode_utf8(&mut bytes).bytes() {
            self.sink.put(byte)?;
            self.last = byte;
        }
        Ok(())
    }

    fn is_before(&self, is_it: impl FnOnce(char) -> bool) -> bool {
        self.rest.clone().next().is_some_and(is_it)
    }

    fn end_word(&mut self) -> Result<(), Invalid> {
        if self.word != Word::None {
            self.sink.put(0)?;
            (self.last, self.word) = (0, Word::None);
            self.words += 1;
        }
        self.braces = Braces::None;
        Ok(())
    }
}

impl Word {
    /// What a letter or a digit that is not the first makes of it.
    const fn go_on(self) -> Self {
        match self {
            Self::Name => Self::Name,
            _ => Self::Some,
        }
    }
}
