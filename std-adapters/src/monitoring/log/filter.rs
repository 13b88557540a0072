//! Which lines are wanted.

use std::sync::atomic::{AtomicU8, Ordering};

use daur_core::monitoring::log::Level;

/// One level for all, and others for targets below a path.
#[derive(Debug)]
pub(super) struct Filter {
    level: AtomicU8,
    /// The longest path first.
    targets: Vec<(String, Level)>,
}

impl Filter {
    pub(super) fn new(level: Level, mut targets: Vec<(String, Level)>) -> Self {
        targets.sort_by_key(|(path, _)| std::cmp::Reverse(path.len()));
        Self { level: AtomicU8::new(level as u8), targets }
    }

    pub(super) fn level(&self) -> Level {
        let level = self.level.load(Ordering::Relaxed);
        Level::ALL.into_iter().find(|known| *known as u8 == level).unwrap_or(Level::Info)
    }

    pub(super) fn set_level(&self, level: Level) {
        self.level.store(level as u8, Ordering::Relaxed);
    }

    pub(super) fn wants(&self, level: Level, target: &str) -> bool {
        let own = self.targets.iter().find(|(path, _)| is_below(target, path)).map(|(_, level)| *level);
        level <= own.unwrap_or_else(|| self.level())
    }

    /// Nothing less grave is ever wanted.
    pub(super) fn least(&self) -> Level {
        self.targets.iter().map(|(_, level)| *level).fold(self.level(), Level::max)
    }
}

/// Whether `target` is `path` or a module in it.
fn is_below(target: &str, path: &str) -> bool {
    target.strip_prefix(path).is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
}

pub(super) fn of_tracing(level: tracing::Level) -> Level {
    match level {
        tracing::Level::ERROR => Level::Error,
        tracing::Level::WARN => Level::Warn,
        tracing::Level::INFO => Level::Info,
        tracing::Level::DEBUG => Level::Debug,
        tracing::Level::TRACE => Level::Trace,
    }
}

pub(super) fn to_tracing(level: Level) -> tracing::Level {
    match level {
        Level::Error => tracing::Level::ERROR,
        Level::Warn => tracing::Level::WARN,
        Level::Info => tracing::Level::INFO,
        Level::Debug => tracing::Level::DEBUG,
        _ => tracing::Level::TRACE,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_path_that_fits_counts() {
        let targets = vec![("hyper".to_owned(), Level::Warn), ("hyper::proto".to_owned(), Level::Trace)];
        let filter = Filter::new(Level::Info, targets);
        assert!(filter.wants(Level::Info, "app") && !filter.wants(Level::Debug, "app"));
        assert!(filter.wants(Level::Warn, "hyper::client") && !filter.wants(Level::Info, "hyper"));
        assert!(filter.wants(Level::Trace, "hyper::proto::h1"));
        assert!(filter.wants(Level::Info, "hyperspace"), "a name that begins alike is another target");
        assert_eq!(filter.least(), Level::Trace);
        filter.set_level(Level::Error);
        assert!(!filter.wants(Level::Warn, "app") && filter.wants(Level::Warn, "hyper"));
    }
}
