//! A small harness for ratios: all subjects of a comparison take turns in one run, and each counts
//! with its fastest repeat.
//!
//! On a machine that others use too, the fastest of many short repeats is the least disturbed one, and
//! turns let a slow moment hit all subjects alike. The nanoseconds are this machine's; only the ratios
//! are worth comparing between machines.

use std::time::{Duration, Instant};

/// What the command line asks for.
pub(crate) struct Options {
    /// Repeats of each subject.
    repeats: u32,
    /// Only comparisons whose title contains it.
    filter: Option<String>,
}

impl Options {
    /// Reads `[--quick] [FILTER]`; cargo's own `--bench` is passed over.
    pub(crate) fn from_args() -> Self {
        let mut options = Self { repeats: 60, filter: None };
        for arg in std::env::args().skip(1) {
            match arg.as_str() {
                "--quick" => options.repeats = 18,
                flag if flag.starts_with("--") => {}
                filter => options.filter = Some(filter.to_owned()),
            }
        }
        options
    }

    /// Whether the comparison of this title is asked for; to be asked before a costly one is set up.
    pub(crate) fn wants(&self, title: &str) -> bool {
        self.filter.as_ref().is_none_or(|filter| title.contains(filter))
    }
}

/// One subject of a comparison: a closure that does one repeat and returns its time per operation.
pub(crate) struct Subject {
    name: &'static str,
    /// The greatest ratio of ours to it that we aim for.
    target: Option<f64>,
    /// The most nanoseconds that ours may take longer than it.
    above: Option<f64>,
    repeat: Box<dyn FnMut() -> Duration>,
    operations: u32,
    best: Option<Duration>,
    /// How often it is repeated less than others are, since one repeat is long.
    rarer: u32,
}

/// A subject whose repeat is one call of `batch`, which does `operations`.
pub(crate) fn subject(name: &'static str, operations: u32, mut batch: impl FnMut() + 'static) -> Subject {
    let repeat = move || {
        let start = Instant::now();
        batch();
        start.elapsed()
    };
    Subject { name, target: None, above: None, repeat: Box::new(repeat), operations, best: None, rarer: 1 }
}

impl Subject {
    pub(crate) fn target(mut self, ratio: f64) -> Self {
        self.target = Some(ratio);
        self
    }

    pub(crate) fn above(mut self, nanos: f64) -> Self {
        self.above = Some(nanos);
        self
    }

    #[expect(clippy::cast_precision_loss, reason = "nanoseconds of short repeats")]
    fn nanos(&self) -> f64 {
        self.best.map_or(f64::NAN, |best| best.as_nanos() as f64 / f64::from(self.operations))
    }
}

/// A subject whose repeats each time every single operation of the same sequence; one of `rarer` turns is its.
///
/// Each operation counts with the fastest of its repeats, and the slowest operation is the result: a
/// pause that some operation always has stays, one that the machine had does not. The cost of reading
/// the clock is in it.
pub(crate) fn worst_of(
    name: &'static str,
    rarer: u32,
    mut repeat: impl FnMut(&mut dyn FnMut(&mut dyn FnMut())) + 'static,
) -> Subject {
    let mut fastest: Vec<Duration> = Vec::new();
    let repeat = move || {
        let mut at = 0;
        repeat(&mut |operation| {
            let start = Instant::now();
            operation();
            let took = start.elapsed();
            match fastest.get_mut(at) {
                Some(best) => *best = took.min(*best),
                None => fastest.push(took),
            }
            at += 1;
        });
        fastest.iter().max().copied().unwrap_or_default()
    };
    Subject { name, target: None, above: None, repeat: Box::new(repeat), operations: 1, best: None, rarer }
}

/// Runs the subjects in turns and prints their rows; the first is ours, the others are its peers.
pub(crate) fn compare(options: &Options, title: &str, mut subjects: Vec<Subject>) {
    if !options.wants(title) {
        return;
    }
    for subject in &mut subjects {
        (subject.repeat)(); // caches, branch predictors and the allocator get to know it
    }
    for turn in 0..options.repeats {
        for subject in subjects.iter_mut().filter(|subject| turn % subject.rarer == 0) {
            let took = (subject.repeat)();
            subject.best = Some(subject.best.map_or(took, |best| best.min(took)));
        }
    }
    println!("\n{title}");
    let ours = subjects.first().map_or(f64::NAN, Subject::nanos);
    for (place, subject) in subjects.iter().enumerate() {
        print!("  {:<44} {:>12.1} ns", subject.name, subject.nanos());
        if place > 0 {
            print!("   ratio {:>7.3}", ours / subject.nanos());
        }
        if let Some(target) = subject.target {
            let verdict = if ours / subject.nanos() <= target { "met" } else { "MISSED" };
            print!("   target {target:<5} {verdict}");
        }
        if let Some(above) = subject.above {
            let more = ours - subject.nanos();
            let verdict = if more <= above { "met" } else { "MISSED" };
            print!("   ours is {more:.1} ns above, target {above} {verdict}");
        }
        println!();
    }
}
