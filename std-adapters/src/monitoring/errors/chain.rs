//! What an error says, and its causes.

use std::error::Error;
use std::fmt::{self, Display, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};

use super::Config;

/// What an error has told.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Told {
    pub(super) message: String,
    pub(super) causes: Vec<String>,
    pub(super) more_causes: bool,
}

impl Told {
    /// Asks `error`.
    pub(super) fn by(config: &Config, error: &dyn Error) -> Self {
        let mut told = Self::text(config, &error);
        told.add_causes(config, source(error));
        told
    }

    /// Asks what has no causes.
    pub(super) fn text(config: &Config, shown: &dyn Display) -> Self {
        Self { message: text(config.text, shown), ..Self::default() }
    }

    /// Walks the causes from `next` on.
    pub(super) fn add_causes(&mut self, config: &Config, mut next: Option<&(dyn Error + 'static)>) {
        while let Some(cause) = next {
            if self.causes.len() >= config.causes {
                self.more_causes = true;
                return;
            }
            self.causes.push(text(config.text, &cause));
            next = source(cause);
        }
    }
}

/// The cause; none if asking for it panics.
pub(super) fn source(error: &dyn Error) -> Option<&(dyn Error + 'static)> {
    catch_unwind(AssertUnwindSafe(|| error.source())).unwrap_or(None)
}

/// What `shown` says, at most `max` bytes of it.
pub(super) fn text(max: usize, shown: &dyn Display) -> String {
    let mut limited = Limited { text: String::new(), max, is_full: false };
    let asked = catch_unwind(AssertUnwindSafe(|| {
        // Fails if the text is full, or if `shown` itself does.
        let _ = write!(limited, "{shown}");
    }));
    match asked {
        Ok(()) => limited.text,
        Err(_) => String::from("(panicked when asked what it says)"),
    }
}

/// Takes no more than `max` bytes, and fails from then on, so that whoever writes stops.
struct Limited {
    text: String,
    max: usize,
    is_full: bool,
}

const MORE: &str = "…";

impl Write for Limited {
    fn write_str(&mut self, piece: &str) -> fmt::Result {
        if self.is_full {
            return Err(fmt::Error);
        }
        if self.text.len() + piece.len() <= self.max {
            self.text.push_str(piece);
            return Ok(());
        }
        self.is_full = true;
        let room = self.max.saturating_sub(MORE.len());
        match room.checked_sub(self.text.len()) {
            Some(left) => self.text.push_str(cut(piece, left)),
            None => self.text.truncate(cut(&self.text, room).len()),
        }
        self.text.push_str(MORE);
        Err(fmt::Error)
    }
}

/// As much of `text` as fits, cut at a character's border.
pub(super) fn cut(text: &str, max: usize) -> &str {
    &text[..text.floor_char_boundary(max)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_text_ends_in_dots_and_is_made_no_further() {
        struct Endless;
        impl Display for Endless {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                loop {
                    f.write_str("ab€")?;
                }
            }
        }
        assert_eq!(text(16, &Endless), "ab€ab€ab…");
        assert_eq!(text(16, &"sixteen letters!"), "sixteen letters!");
        assert_eq!(text(16, &"seventeen letters"), "seventeen let…");
        assert_eq!(text(16, &"……………… and more"), "……………");
    }

    #[test]
    fn one_that_writes_on_although_it_is_full_adds_nothing() {
        struct Stubborn;
        impl Display for Stubborn {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                for _ in 0..10 {
                    let _ = f.write_str("12345");
                }
                Ok(())
            }
        }
        assert_eq!(text(16, &Stubborn), "1234512345123…");
    }
}
