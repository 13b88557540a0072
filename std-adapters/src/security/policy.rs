//! The policy from a TOML file and from the environment.
//!
//! ```toml
#![doc = include_str!("policy.toml")]
//! ```

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use daur_core::security::input::command::{AllowList, DenyList, Operands, Program};
use daur_core::security::password::Common;
use daur_core::security::policy::{ConfigError, Policy};
use daur_core::time::Duration;
use serde::de::{Deserialize, Deserializer};
use toml::{Table, Value};

/// What the names of all variables begin with.
pub const PREFIX: &str = "DAUR_POLICY_";

/// Says what is wrong with a policy, by the key and by the variable of the environment that can give it.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// The file cannot be read.
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// The text is not TOML; it says where.
    Syntax(String),
    /// No setting has that name.
    Unknown {
        /// The key, or the variable.
        name: String,
    },
    /// A setting cannot be so.
    Wrong {
        /// The key.
        key: &'static str,
        /// Whether it came from the environment.
        from_env: bool,
        /// What is allowed.
        allowed: Cow<'static, str>,
    },
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Read { path, error } => write!(f, "the policy {}: {error}", path.display()),
            Self::Syntax(said) => write!(f, "the policy is not TOML: {said}"),
            Self::Unknown { name } => write!(f, "the policy has no setting `{name}`"),
            Self::Wrong { key, from_env: false, allowed } => {
                write!(f, "the policy's `{key}` must be {allowed} (variable {})", variable(key))
            }
            Self::Wrong { key, from_env: true, allowed } => {
                write!(f, "the variable {} must be {allowed} (the policy's `{key}`)", variable(key))
            }
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Read { error, .. } => Some(error),
            _ => None,
        }
    }
}

/// What a setting takes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Takes {
    Number,
    Flag,
    Length,
    Words,
    Programs,
    Common,
}

/// Every key, which is also the path of its field.
const KEYS: [(&str, Takes); 37] = [
    ("iterations", Takes::Number),
    ("token_lifetime", Takes::Length),
    ("api_rate", Takes::Number),
    ("api_burst", Takes::Number),
    ("login_rate", Takes::Number),
    ("commands", Takes::Programs),
    ("any_command", Takes::Flag),
    ("forbidden_commands", Takes::Words),
    ("max_command_len", Takes::Number),
    ("max_email_len", Takes::Number),
    ("max_body", Takes::Number),
    ("password.min_len", Takes::Number),
    ("password.max_len", Takes::Number),
    ("password.require_upper", Takes::Flag),
    ("password.require_lower", Takes::Flag),
    ("password.require_digit", Takes::Flag),
    ("password.require_special", Takes::Flag),
    ("password.common", Takes::Common),
    ("session.idle", Takes::Length),
    ("session.absolute", Takes::Length),
    ("session.per_user", Takes::Number),
    ("lockout.max_attempts", Takes::Number),
    ("lockout.first_lock", Takes::Length),
    ("lockout.max_lock", Takes::Length),
    ("lockout.forget_after", Takes::Length),
    ("paths.max_len", Takes::Number),
    ("paths.decodings", Takes::Number),
    ("paths.roots", Takes::Words),
    ("paths.forbidden", Takes::Words),
    ("emails.quoted", Takes::Flag),
    ("emails.international", Takes::Flag),
    ("emails.local_domains", Takes::Flag),
    ("emails.literals", Takes::Flag),
    ("texts.max_len", Takes::Number),
    ("texts.keep_lines", Takes::Flag),
    ("texts.keep_tabs", Takes::Flag),
    ("texts.html", Takes::Flag),
];

const OPERANDS: [(&str, Operands<'static>); 7] = [
    ("none", Operands::None),
    ("any", Operands::Any),
    ("paths", Operands::Paths),
    ("numbers", Operands::Numbers),
    ("formats", Operands::Formats),
    ("text", Operands::Text),
    ("names", Operands::Names),
];

impl Takes {
    const fn words(self) -> &'static str {
        match self {
            Self::Number => "a whole number from 0",
            Self::Flag => "`true` or `false`",
            Self::Length => "a length of time such as `\"5s\"`",
            Self::Words => "a list of texts",
            Self::Common => "one of `none`, `small`, `large`",
            Self::Programs => {
                "a list of programs' names, or of tables with `name`, `letters`, `options` and `operands` (one of \
                 `none`, `any`, `paths`, `numbers`, `formats`, `text`, `names`)"
            }
        }
    }
}

/// The variable that gives a key.
fn variable(key: &str) -> String {
    format!("{PREFIX}{}", key.to_ascii_uppercase().replace('.', "_"))
}

fn known(key: &str) -> Option<(&'static str, Takes)> {
    KEYS.into_iter().find(|(known, _)| *known == key)
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Given {
    Number(u64),
    Flag(bool),
    Length(Duration),
    Words(Vec<String>),
    Programs(Vec<Entry>),
    Common(Common),
}

/// One entry of `commands`.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Entry {
    /// A program of the list that it changes.
    Named(String),
    Whole {
        name: String,
        letters: String,
        options: Vec<String>,
        operands: Operands<'static>,
    },
}

/// Holds what a file and the environment say; the rest of a policy stays as it is.
///
/// # Rules
/// 1. What is left out keeps its value; what the environment says counts more than the file.
/// 2. A key or variable that no setting has is refused: one that is misspelt must not be left at its default unseen.
/// 3. Each error names the key, its variable and what is allowed.
/// 4. What is applied validates, or nothing is applied.
///
/// # Cost
/// [`apply`](Self::apply) leaks the lists that are given, a few hundred bytes, since a policy borrows them: once for a
/// program that reads its policy at its start. [`with`](Self::with) leaks nothing.
///
/// # Errors
/// [`Error`]
///
/// # Example
/// ```
/// use daur_std::core::security::policy::Policy;
/// use daur_std::core::time::Duration;
/// use daur_std::security::policy::PolicyToml;
///
/// let file = "token_lifetime = '30m'\ncommands = ['uptime', 'df']\n[password]\nmin_len = 12\n";
/// let variables = [("DAUR_POLICY_PASSWORD_MIN_LEN".to_owned(), "15".to_owned())];
/// let mut policy = Policy::DEFAULT;
/// PolicyToml::parse(file)?.with_vars(variables)?.apply(&mut policy)?;
/// assert_eq!(policy.token_lifetime, Duration::from_secs(1_800));
/// assert_eq!((policy.password.min_len, policy.commands.programs.len()), (15, 2));
///
/// let wrong = PolicyToml::parse("iterations = 5")?.apply(&mut policy).unwrap_err();
/// assert_eq!(
///     wrong.to_string(),
///     "the policy's `iterations` must be between 1000 and 10000000 (variable DAUR_POLICY_ITERATIONS)"
/// );
/// # Ok::<(), daur_std::security::policy::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PolicyToml {
    /// With each setting, whether the environment has given it.
    given: BTreeMap<&'static str, (Given, bool)>,
}

/// The policy of the file at `path`, where there is one, and of the environment, over [`Policy::DEFAULT`].
///
/// Call it once, at the start: see [`PolicyToml`] for what it leaks.
///
/// # Errors
/// [`Error`]
pub fn load(path: Option<&Path>) -> Result<Policy<'static>, Error> {
    let mut policy = Policy::DEFAULT;
    let file = path.map_or_else(|| Ok(PolicyToml::default()), PolicyToml::load)?;
    file.with_env()?.apply(&mut policy)?;
    Ok(policy)
}

impl PolicyToml {
    /// Reads a file's text.
    ///
    /// # Errors
    /// [`Error::Syntax`], [`Error::Unknown`], [`Error::Wrong`].
    pub fn parse(text: &str) -> Result<Self, Error> {
        let table: Table = text.parse().map_err(|error: toml::de::Error| Error::Syntax(error.to_string()))?;
        Self::from_table(&table)
    }

    /// Reads a file.
    ///
    /// # Errors
    /// As [`parse`](Self::parse), and [`Error::Read`].
    pub fn load(path: &Path) -> Result<Self, Error> {
        let text = std::fs::read_to_string(path).map_err(|error| Error::Read { path: path.to_owned(), error })?;
        Self::parse(&text)
    }

    /// Reads a table: of a file that holds more than the policy.
    ///
    /// # Errors
    /// [`Error::Unknown`], [`Error::Wrong`].
    pub fn from_table(table: &Table) -> Result<Self, Error> {
        let mut read = Self::default();
        for (name, value) in table {
            match value {
                Value::Table(inner)
                    if KEYS.iter().any(|(key, _)| key.split_once('.').is_some_and(|at| at.0 == name)) =>
                {
                    for (field, value) in inner {
                        read.put(&format!("{name}.{field}"), value)?;
                    }
                }
                _ => read.put(name, value)?,
            }
        }
        Ok(read)
    }

    fn put(&mut self, key: &str, value: &Value) -> Result<(), Error> {
        let (key, takes) = known(key).ok_or_else(|| Error::Unknown { name: key.to_owned() })?;
        let wrong = || Error::Wrong { key, from_env: false, allowed: takes.words().into() };
        self.given.insert(key, (given(takes, value).ok_or_else(wrong)?, false));
        Ok(())
    }

    /// Takes what the environment of this process says.
    ///
    /// # Errors
    /// As [`with_vars`](Self::with_vars).
    pub fn with_env(self) -> Result<Self, Error> {
        let text = |value: std::ffi::OsString| value.to_string_lossy().into_owned();
        self.with_vars(std::env::vars_os().map(|(name, value)| (text(name), text(value))))
    }

    /// Takes variables whose names begin with [`PREFIX`]; others are none of ours. A list's entries are separated by
    /// commas; of `commands`, only names can be given so.
    ///
    /// # Errors
    /// [`Error::Unknown`], [`Error::Wrong`].
    pub fn with_vars(mut self, variables: impl IntoIterator<Item = (String, String)>) -> Result<Self, Error> {
        for (name, text) in variables {
            if !name.starts_with(PREFIX) {
                continue;
            }
            let found = KEYS.into_iter().find(|(key, _)| variable(key) == name);
            let (key, takes) = found.ok_or(Error::Unknown { name })?;
            let wrong = || Error::Wrong { key, from_env: true, allowed: takes.words().into() };
            let given = given_by(takes, text.trim()).ok_or_else(wrong)?;
            self.given.insert(key, (given, true));
        }
        Ok(self)
    }

    /// Lends the policy that `base` becomes by this.
    ///
    /// # Errors
    /// [`Error::Wrong`]; `f` is not called then.
    pub fn with<R>(&self, base: &Policy<'_>, f: impl FnOnce(&Policy<'_>) -> R) -> Result<R, Error> {
        let words = Words::of(self);
        let programs = self.programs(base, &words)?;
        let mut policy = *base;
        self.put_all(&mut policy, &words, programs.as_deref())?;
        Ok(f(&policy))
    }

    /// Changes a policy; its lists live as long as the program from then on.
    ///
    /// # Errors
    /// [`Error::Wrong`]; the policy is as it was then.
    pub fn apply(&self, policy: &mut Policy<'static>) -> Result<(), Error> {
        // What cannot be leaks nothing.
        self.with(policy, |_| ())?;
        let file: &'static Self = Box::leak(Box::new(self.clone()));
        let words: &'static Words<'static> = Box::leak(Box::new(Words::of(file)));
        let programs = file.programs(policy, words)?.map(|programs| &*programs.leak());
        let mut changed = *policy;
        file.put_all(&mut changed, words, programs)?;
        *policy = changed;
        Ok(())
    }

    fn programs<'a>(&'a self, base: &Policy<'a>, words: &'a Words<'a>) -> Result<Option<Vec<Program<'a>>>, Error> {
        let Some((Given::Programs(entries), from_env)) = self.given.get("commands") else { return Ok(None) };
        let mut options = words.options.iter();
        let programs = entries.iter().map(|entry| match entry {
            Entry::Named(name) => {
                let known = base.commands.programs.iter().find(|program| program.name == name);
                known.copied().ok_or_else(|| {
                    let names: Vec<_> = base.commands.programs.iter().map(|program| program.name).collect();
                    let allowed = format!("names of {}; a table for each other program", names.join(", "));
                    Error::Wrong { key: "commands", from_env: *from_env, allowed: allowed.into() }
                })
            }
            Entry::Whole { name, letters, operands, .. } => {
                let options = options.next().map_or(&[][..], Vec::as_slice);
                Ok(Program { name, letters, options, operands: *operands })
            }
        });
        programs.collect::<Result<_, _>>().map(Some)
    }

    fn put_all<'a>(
        &'a self,
        policy: &mut Policy<'a>,
        words: &'a Words<'a>,
        programs: Option<&'a [Program<'a>]>,
    ) -> Result<(), Error> {
        for (key, (given, from_env)) in &self.given {
            let put = match given {
                Given::Number(number) => put_number(policy, key, *number),
                Given::Flag(flag) => put_flag(policy, key, *flag),
                Given::Length(length) => put_length(policy, key, *length),
                Given::Words(_) => put_words(policy, key, words),
                Given::Common(common) => {
                    policy.password.common = *common;
                    Some(())
                }
                Given::Programs(_) => programs.map(|programs| policy.commands = AllowList { programs }),
            };
            let allowed = "a number that is less large";
            put.ok_or_else(|| Error::Wrong { key, from_env: *from_env, allowed: allowed.into() })?;
        }
        policy.validate().map_err(|error| self.wrong(error))
    }

    fn wrong(&self, ConfigError { field, allowed, .. }: ConfigError) -> Error {
        let from_env = self.given.get(field).is_some_and(|(_, from_env)| *from_env);
        Error::Wrong { key: field, from_env, allowed: allowed.into() }
    }
}

impl<'de> Deserialize<'de> for PolicyToml {
    /// As [`PolicyToml::from_table`]: for a field `policy` of a larger file.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::from_table(&Table::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

/// Borrows the lists of words in the form in which a policy borrows them.
struct Words<'a> {
    lists: BTreeMap<&'static str, Vec<&'a str>>,
    /// Of the programs that are given whole, in their order.
    options: Vec<Vec<&'a str>>,
}

impl<'a> Words<'a> {
    fn of(file: &'a PolicyToml) -> Self {
        let mut words = Self { lists: BTreeMap::new(), options: Vec::new() };
        for (key, (given, _)) in &file.given {
            match given {
                Given::Words(list) => {
                    words.lists.insert(key, list.iter().map(String::as_str).collect());
                }
                Given::Programs(entries) => words.options.extend(entries.iter().filter_map(|entry| match entry {
                    Entry::Whole { options, .. } => Some(options.iter().map(String::as_str).collect()),
                    Entry::Named(_) => None,
                })),
                Given::Number(_) | Given::Flag(_) | Given::Length(_) | Given::Common(_) => {}
            }
        }
        words
    }
}

fn given(takes: Takes, value: &Value) -> Option<Given> {
    match (takes, value) {
        (Takes::Number, Value::Integer(number)) => u64::try_from(*number).ok().map(Given::Number),
        (Takes::Flag, Value::Boolean(flag)) => Some(Given::Flag(*flag)),
        (Takes::Length, Value::String(text)) => text.parse().ok().map(Given::Length),
        (Takes::Common, Value::String(name)) => Common::by_name(name).map(Given::Common),
        (Takes::Words, Value::Array(list)) => texts(list).map(Given::Words),
        (Takes::Programs, Value::Array(list)) => list.iter().map(entry).collect::<Option<_>>().map(Given::Programs),
        _ => None,
    }
}

fn given_by(takes: Takes, text: &str) -> Option<Given> {
    let list = || text.split(',').map(|word| word.trim().to_owned()).filter(|word| !word.is_empty());
    match takes {
        Takes::Number => text.parse().ok().map(Given::Number),
        Takes::Flag => text.parse().ok().map(Given::Flag),
        Takes::Length => text.parse().ok().map(Given::Length),
        Takes::Common => Common::by_name(text).map(Given::Common),
        Takes::Words => Some(Given::Words(list().collect())),
        Takes::Programs => Some(Given::Programs(list().map(Entry::Named).collect())),
    }
}

fn texts(list: &[Value]) -> Option<Vec<String>> {
    list.iter().map(|value| value.as_str().map(str::to_owned)).collect()
}

fn entry(value: &Value) -> Option<Entry> {
    let table = match value {
        Value::String(name) => return Some(Entry::Named(name.clone())),
        Value::Table(table) => table,
        _ => return None,
    };
    if table.keys().any(|key| !matches!(key.as_str(), "name" | "letters" | "options" | "operands")) {
        return None;
    }
    let text = |key: &str, default: &str| match table.get(key) {
        Some(value) => value.as_str().map(str::to_owned),
        None => Some(default.to_owned()),
    };
    let operands = text("operands", "none")?;
    Some(Entry::Whole {
        name: table.get("name")?.as_str()?.to_owned(),
        letters: text("letters", "")?,
        options: table.get("options").map_or(Some(Vec::new()), |value| texts(value.as_array()?))?,
        operands: OPERANDS.iter().find(|(name, _)| *name == operands)?.1,
    })
}

fn put_number(policy: &mut Policy<'_>, key: &str, number: u64) -> Option<()> {
    let small = match key {
        "iterations" => &mut policy.iterations,
        "api_rate" => &mut policy.api_rate,
        "api_burst" => &mut policy.api_burst,
        "login_rate" => &mut policy.login_rate,
        "session.per_user" => &mut policy.session.per_user,
        "lockout.max_attempts" => &mut policy.lockout.max_attempts,
        "paths.decodings" => {
            policy.paths.decodings = number.try_into().ok()?;
            return Some(());
        }
        _ => {
            let size = match key {
                "max_command_len" => &mut policy.max_command_len,
                "max_email_len" => &mut policy.max_email_len,
                "max_body" => &mut policy.max_body,
                "password.min_len" => &mut policy.password.min_len,
                "password.max_len" => &mut policy.password.max_len,
                "paths.max_len" => &mut policy.paths.max_len,
                "texts.max_len" => &mut policy.texts.max_len,
                _ => return None,
            };
            *size = number.try_into().ok()?;
            return Some(());
        }
    };
    *small = number.try_into().ok()?;
    Some(())
}

fn put_flag(policy: &mut Policy<'_>, key: &str, flag: bool) -> Option<()> {
    let place = match key {
        "any_command" => &mut policy.any_command,
        "password.require_upper" => &mut policy.password.require_upper,
        "password.require_lower" => &mut policy.password.require_lower,
        "password.require_digit" => &mut policy.password.require_digit,
        "password.require_special" => &mut policy.password.require_special,
        "emails.quoted" => &mut policy.emails.quoted,
        "emails.international" => &mut policy.emails.international,
        "emails.local_domains" => &mut policy.emails.local_domains,
        "emails.literals" => &mut policy.emails.literals,
        "texts.keep_lines" => &mut policy.texts.keep_lines,
        "texts.keep_tabs" => &mut policy.texts.keep_tabs,
        "texts.html" => &mut policy.texts.html,
        _ => return None,
    };
    *place = flag;
    Some(())
}

fn put_length(policy: &mut Policy<'_>, key: &str, length: Duration) -> Option<()> {
    let place = match key {
        "token_lifetime" => &mut policy.token_lifetime,
        "session.idle" => &mut policy.session.idle,
        "session.absolute" => &mut policy.session.absolute,
        "lockout.first_lock" => &mut policy.lockout.first_lock,
        "lockout.max_lock" => &mut policy.lockout.max_lock,
        "lockout.forget_after" => &mut policy.lockout.forget_after,
        _ => return None,
    };
    *place = length;
    Some(())
}

fn put_words<'a>(policy: &mut Policy<'a>, key: &str, words: &'a Words<'a>) -> Option<()> {
    let list = words.lists.get(key)?.as_slice();
    match key {
        "forbidden_commands" => policy.forbidden_commands = DenyList { programs: list },
        "paths.roots" => policy.paths.roots = list,
        "paths.forbidden" => policy.paths.forbidden = list,
        _ => return None,
    }
    Some(())
}

/// Writes a policy as the text of a file, which [`PolicyToml::parse`] reads: every setting, for whoever wants to see them.
#[must_use]
pub fn to_toml(policy: &Policy<'_>) -> String {
    let mut root = Table::new();
    for (key, _) in KEYS {
        let value = value_of(policy, key);
        match key.split_once('.') {
            None => {
                root.insert(key.to_owned(), value);
            }
            Some((name, field)) => {
                let inner = root.entry(name.to_owned()).or_insert_with(|| Value::Table(Table::new()));
                if let Value::Table(inner) = inner {
                    inner.insert(field.to_owned(), value);
                }
            }
        }
    }
    root.to_string()
}

fn value_of(policy: &Policy<'_>, key: &str) -> Value {
    // Of what a file can say, nothing is larger.
    let size = |size: usize| Value::Integer(i64::try_from(size).unwrap_or(i64::MAX));
    let number = |number: u32| Value::Integer(number.into());
    let length = |length: Duration| Value::String(length.to_string());
    let words = |list: &[&str]| Value::Array(list.iter().map(|word| Value::String((*word).to_owned())).collect());
    match key {
        "iterations" => number(policy.iterations),
        "token_lifetime" => length(policy.token_lifetime),
        "api_rate" => number(policy.api_rate),
        "api_burst" => number(policy.api_burst),
        "login_rate" => number(policy.login_rate),
        "commands" => Value::Array(policy.commands.programs.iter().map(program_value).collect()),
        "any_command" => policy.any_command.into(),
        "forbidden_commands" => words(policy.forbidden_commands.programs),
        "max_command_len" => size(policy.max_command_len),
        "max_email_len" => size(policy.max_email_len),
        "max_body" => size(policy.max_body),
        "password.min_len" => size(policy.password.min_len),
        "password.max_len" => size(policy.password.max_len),
        "password.require_upper" => policy.password.require_upper.into(),
        "password.require_lower" => policy.password.require_lower.into(),
        "password.require_digit" => policy.password.require_digit.into(),
        "password.require_special" => policy.password.require_special.into(),
        "password.common" => {
            let mut names = ["none", "small"].into_iter();
            names.find(|name| Common::by_name(name) == Some(policy.password.common)).unwrap_or("large").into()
        }
        "session.idle" => length(policy.session.idle),
        "session.absolute" => length(policy.session.absolute),
        "session.per_user" => number(policy.session.per_user),
        "lockout.max_attempts" => number(policy.lockout.max_attempts),
        "lockout.first_lock" => length(policy.lockout.first_lock),
        "lockout.max_lock" => length(policy.lockout.max_lock),
        "lockout.forget_after" => length(policy.lockout.forget_after),
        "paths.max_len" => size(policy.paths.max_len),
        "paths.decodings" => number(policy.paths.decodings.into()),
        "paths.roots" => words(policy.paths.roots),
        "paths.forbidden" => words(policy.paths.forbidden),
        "emails.quoted" => policy.emails.quoted.into(),
        "emails.international" => policy.emails.international.into(),
        "emails.local_domains" => policy.emails.local_domains.into(),
        "emails.literals" => policy.emails.literals.into(),
        "texts.max_len" => size(policy.texts.max_len),
        "texts.keep_lines" => policy.texts.keep_lines.into(),
        "texts.keep_tabs" => policy.texts.keep_tabs.into(),
        // The last of them.
        _ => policy.texts.html.into(),
    }
}

fn program_value(program: &Program<'_>) -> Value {
    let mut table = Table::new();
    let operands = OPERANDS.iter().find(|(_, operands)| *operands == program.operands).map_or("none", |(name, _)| name);
    let options = program.options.iter().map(|option| Value::String((*option).to_owned())).collect();
    table.insert("name".to_owned(), program.name.into());
    table.insert("letters".to_owned(), program.letters.into());
    table.insert("options".to_owned(), Value::Array(options));
    table.insert("operands".to_owned(), operands.into());
    Value::Table(table)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy_of(text: &str) -> Result<Policy<'static>, Error> {
        let mut policy = Policy::DEFAULT;
        PolicyToml::parse(text)?.apply(&mut policy)?;
        Ok(policy)
    }

    fn vars(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn the_example_names_every_key_and_the_defaults() {
        const EXAMPLE: &str = include_str!("policy.toml");
        let default = Policy::DEFAULT;
        let forbidden_commands = policy_of(EXAMPLE).unwrap().forbidden_commands;
        assert!(forbidden_commands.programs.iter().all(|name| default.forbidden_commands.programs.contains(name)));
        assert_eq!(policy_of(EXAMPLE).unwrap(), Policy { forbidden_commands, ..default });
        let file = PolicyToml::parse(EXAMPLE).unwrap();
        for (key, _) in KEYS {
            assert!(file.given.contains_key(key), "{key}");
        }
    }

    #[test]
    fn rule_1_what_is_left_out_stays_and_the_environment_counts_more() {
        assert_eq!(policy_of("").unwrap(), Policy::DEFAULT);
        let file = PolicyToml::parse("iterations = 5000\napi_rate = 7\n").unwrap();
        let file =
            file.with_vars(vars(&[("DAUR_POLICY_API_RATE", " 8 "), ("HOME", "/x"), ("DAUR_DATA", "y")])).unwrap();
        let mut policy = Policy::DEFAULT;
        file.apply(&mut policy).unwrap();
        assert_eq!((policy.iterations, policy.api_rate, policy.api_burst), (5_000, 8, 20));
    }

    #[test]
    fn rule_1_every_key_can_come_from_the_environment() {
        let other = |key, takes| match takes {
            Takes::Number if key == "max_body" => "70000",
            Takes::Number => "70",
            Takes::Flag => "true",
            Takes::Length => "20m",
            Takes::Words => "/a, /b",
            Takes::Common => "small",
            Takes::Programs => "ls,df",
        };
        for (key, takes) in KEYS {
            let file = PolicyToml::default().with_vars([(variable(key), other(key, takes).to_owned())]).unwrap();
            let mut policy = Policy::DEFAULT;
            // Alone, one cannot be so: then it is that key that is named.
            match file.apply(&mut policy) {
                Ok(()) => assert_ne!(value_of(&policy, key), value_of(&Policy::DEFAULT, key), "{key}"),
                Err(error) => assert!(error.to_string().contains(&variable(key)), "{error}"),
            }
        }
        let names: std::collections::BTreeSet<_> = KEYS.iter().map(|(key, _)| variable(key)).collect();
        assert_eq!(names.len(), KEYS.len(), "each has a name of its own");
    }

    #[test]
    fn rule_2_what_no_setting_is_called_is_refused() {
        for text in ["iteration = 1\n", "[password]\nmin = 1\n", "[lock]\nmax_attempts = 1\n", "password = 5\n"] {
            assert!(matches!(PolicyToml::parse(text), Err(Error::Unknown { .. })), "{text}");
        }
        let misspelt = PolicyToml::default().with_vars(vars(&[("DAUR_POLICY_API_RATES", "1")])).unwrap_err();
        assert_eq!(misspelt.to_string(), "the policy has no setting `DAUR_POLICY_API_RATES`");
    }

    #[test]
    fn rule_3_each_error_names_the_key_its_variable_and_what_is_allowed() {
        for (key, takes) in KEYS {
            let (table, field) = key.split_once('.').map_or((String::new(), key), |(t, f)| (format!("[{t}]\n"), f));
            let error = PolicyToml::parse(&format!("{table}{field} = 1979-05-27\n")).unwrap_err().to_string();
            assert!(error.contains(&format!("`{key}`")) && error.contains(&variable(key)), "{error}");
            assert!(error.contains(takes.words()), "{error}");
        }
        let cases = [
            ("iterations = 5", "iterations", "between 1000"),
            ("iterations = -5", "iterations", "from 0"),
            ("iterations = 4294967296", "iterations", "less large"),
            ("[paths]\ndecodings = 256", "paths.decodings", "less large"),
            ("token_lifetime = '25h'", "token_lifetime", "24h"),
            ("[session]\nabsolute = '1s'", "session.absolute", "session.idle"),
            ("[password]\ncommon = 'Large'", "password.common", "`large`"),
            ("[lockout]\nmax_attempts = 101", "lockout.max_attempts", "between 1 and 100"),
            ("[lockout]\nmax_lock = '25h'", "lockout.max_lock", "24h"),
            ("[lockout]\nforget_after = '0s'", "lockout.forget_after", "above 0"),
            ("[paths]\nroots = ['srv']", "paths.roots", "begins with /"),
            ("commands = ['git']", "commands", "names of echo, date"),
            ("commands = [{ letters = 'a' }]", "commands", "`operands`"),
            ("commands = [{ name = 'a', operand = 'any' }]", "commands", "`operands`"),
            ("commands = [{ name = 'a', operands = 'some' }]", "commands", "`formats`"),
            ("commands = [{ name = '/bin/a' }]", "commands", "without a directory"),
        ];
        for (text, key, allowed) in cases {
            let error = policy_of(text).unwrap_err().to_string();
            assert!(error.starts_with(&format!("the policy's `{key}` must be ")) && error.contains(allowed), "{error}");
        }
        let file = PolicyToml::default().with_vars(vars(&[("DAUR_POLICY_ITERATIONS", "5")])).unwrap();
        let error = file.apply(&mut { Policy::DEFAULT }).unwrap_err().to_string();
        assert!(error.starts_with("the variable DAUR_POLICY_ITERATIONS must be between 1000"), "{error}");
        assert!(PolicyToml::parse("a = ").unwrap_err().to_string().contains("line 1"));
    }

    #[test]
    fn rule_4_what_cannot_be_changes_nothing() {
        let mut policy = Policy::DEFAULT;
        let file = PolicyToml::parse("api_rate = 7\nlogin_rate = 0\n").unwrap();
        assert!(file.apply(&mut policy).is_err());
        assert_eq!(policy, Policy::DEFAULT);
    }

    #[test]
    fn lists_are_taken_as_they_are_given() {
        let text = "forbidden_commands = []\ncommands = ['df', { name = 'git', letters = 'n', options = ['oneline'], \
                    operands = 'any' }, { name = 'id' }]\n[paths]\nroots = ['/srv', '/var/lib']\n";
        let policy = policy_of(text).unwrap();
        let names: Vec<_> = policy.commands.programs.iter().map(|program| program.name).collect();
        assert_eq!(names, ["df", "git", "id"]);
        assert_eq!(policy.commands.programs[1].options, ["oneline"]);
        assert_eq!(policy.commands.programs[2].options, [""; 0]);
        assert_eq!((policy.paths.roots, policy.forbidden_commands.programs.len()), (&["/srv", "/var/lib"][..], 0));
        assert!(policy.admit_command("git log", &mut [0; 64]).is_ok());
    }

    #[test]
    fn what_is_written_is_read_again() {
        for text in ["", "commands = ['df', { name = \"a\\\"b\", options = [\"x'\\n\"] }]\n[texts]\nhtml = true\n"] {
            let policy = policy_of(text).unwrap();
            assert_eq!(policy_of(&to_toml(&policy)).unwrap(), policy);
        }
    }

    #[test]
    fn it_is_a_table_of_a_larger_file() {
        #[derive(serde::Deserialize)]
        struct File {
            policy: PolicyToml,
        }
        let file: File = toml::from_str("[policy]\napi_rate = 3\n[policy.password]\nmin_len = 15\n").unwrap();
        let (rate, length) =
            file.policy.with(&Policy::DEFAULT, |policy| (policy.api_rate, policy.password.min_len)).unwrap();
        assert_eq!((rate, length), (3, 15));
        let wrong = toml::from_str::<File>("[policy]\napi_rates = 3\n").err().unwrap().to_string();
        assert!(wrong.contains("api_rates"), "{wrong}");
    }
}
