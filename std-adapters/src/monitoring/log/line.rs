//! A line as it is remembered.

use std::fmt;

use daur_core::monitoring::log::Level;
use serde::ser::{Serialize, SerializeMap, Serializer};

use super::entry::{Piece, View};

/// One line, or several in a row that said the same.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
#[non_exhaustive]
pub struct Line {
    /// Its number among all that were sent, from 1; of several the last one's, so that the first had `seq - repeated`.
    pub seq: u64,
    /// When it was said, in milliseconds since 1970; of several, the first.
    pub at_ms: u64,
    /// When it was said last.
    pub last_at_ms: u64,
    /// How grave.
    pub level: Level,
    /// Who says it.
    pub target: String,
    /// What is said.
    pub message: String,
    /// Its fields, in their order.
    #[serde(serialize_with = "as_map")]
    pub fields: Vec<(String, Value)>,
    /// The spans it was said in, the outermost first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub spans: Vec<Span>,
    /// How often it was said once more.
    pub repeated: u64,
    /// It was longer, or had more fields.
    pub cut: bool,
    /// When it was said, to the microsecond.
    #[serde(skip)]
    pub(super) micros: u64,
}

/// What a line was said in.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
#[non_exhaustive]
pub struct Span {
    /// Its name.
    pub name: String,
    /// Its fields.
    #[serde(serialize_with = "as_map")]
    pub fields: Vec<(String, Value)>,
}

/// A field's value.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Value {
    /// A text, or a value as it describes itself.
    Text(String),
    /// A whole number that may be below zero.
    Signed(i64),
    /// A whole number.
    Unsigned(u64),
    /// Another number.
    Float(f64),
    /// Yes or no.
    Bool(bool),
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => f.write_str(text),
            Self::Signed(value) => value.fmt(f),
            Self::Unsigned(value) => value.fmt(f),
            Self::Float(value) => value.fmt(f),
            Self::Bool(value) => value.fmt(f),
        }
    }
}

impl Serialize for Value {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Text(text) => serializer.serialize_str(text),
            Self::Signed(value) => serializer.serialize_i64(*value),
            Self::Unsigned(value) => serializer.serialize_u64(*value),
            // JSON has no other numbers.
            Self::Float(value) if !value.is_finite() => serializer.serialize_str(&value.to_string()),
            Self::Float(value) => serializer.serialize_f64(*value),
            Self::Bool(value) => serializer.serialize_bool(*value),
        }
    }
}

fn as_map<S: Serializer>(fields: &[(String, Value)], serializer: S) -> Result<S::Ok, S::Error> {
    let mut map = serializer.serialize_map(Some(fields.len()))?;
    for (name, value) in fields {
        map.serialize_entry(name, value)?;
    }
    map.end()
}

impl Line {
    pub(super) fn of(view: &View<'_>) -> Self {
        let mut line = Self::note(view.micros, view.number, "", String::new());
        (line.level, line.cut) = (view.level, view.cut);
        let mut named = None;
        for piece in view.pieces() {
            let (name, value) = match piece {
                Piece::Message(text) => {
                    text.clone_into(&mut line.message);
                    continue;
                }
                Piece::Target(name) => {
                    named = Some(name);
                    continue;
                }
                Piece::Span(name) => {
                    line.spans.push(Span { name: name.to_owned(), fields: Vec::new() });
                    continue;
                }
                Piece::Text(name, text) => (name, Value::Text(text.to_owned())),
                Piece::Signed(name, value) => (name, Value::Signed(value)),
                Piece::Unsigned(name, value) => (name, Value::Unsigned(value)),
                Piece::Float(name, value) => (name, Value::Float(value)),
                Piece::Bool(name, value) => (name, Value::Bool(value)),
            };
            let fields = line.spans.last_mut().map_or(&mut line.fields, |span| &mut span.fields);
            // A span whose field got another value has it twice; the latter is true.
            match fields.iter_mut().find(|(known, _)| known == name) {
                Some((_, known)) => *known = value,
                None => fields.push((name.to_owned(), value)),
            }
        }
        named.unwrap_or(view.target).clone_into(&mut line.target);
        line
    }

    /// A line of the log's own.
    pub(super) fn note(micros: u64, seq: u64, target: &str, message: String) -> Self {
        Self {
            seq,
            at_ms: micros / 1_000,
            last_at_ms: micros / 1_000,
            level: Level::Warn,
            target: target.to_owned(),
            message,
            fields: Vec::new(),
            spans: Vec::new(),
            repeated: 0,
            cut: false,
            micros,
        }
    }

    /// Whether this one says the same.
    pub(super) fn says_the_same(&self, other: &Self) -> bool {
        (self.level, &self.target, &self.message) == (other.level, &other.target, &other.message)
            && (&self.fields, &self.spans) == (&other.fields, &other.spans)
    }

    /// Bytes of its texts, about.
    pub(super) fn size(&self) -> usize {
        let fields = |fields: &[(String, Value)]| -> usize {
            let of = |(name, value): &(String, Value)| {
                name.len() + if let Value::Text(text) = value { text.len() } else { 8 }
            };
            fields.iter().map(of).sum()
        };
        let spans: usize = self.spans.iter().map(|span| span.name.len() + fields(&span.fields)).sum();
        self.target.len() + self.message.len() + fields(&self.fields) + spans
    }
}
