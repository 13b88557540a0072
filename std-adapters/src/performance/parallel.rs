//! A slice worked on by several threads at once.

use std::any::Any;
use std::cell::Cell;
use std::fmt;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::thread::{self, Builder};

/// The same on the threads of rayon's pool: `#[parallelize(on = "rayon")]`.
#[cfg(feature = "rayon")]
pub mod rayon;

/// Threads that this module has at once in the whole process, beside those that call it. Who finds none left works
/// its parts off alone.
pub const MAX_HELPERS: usize = 256;

static HELPERS: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    /// Whether this thread is working on a part.
    static AT_WORK: Cell<bool> = const { Cell::new(false) };
}

/// How many threads the machine runs at once: the workers of a `#[parallelize]` that names no number.
#[must_use]
pub fn workers() -> usize {
    static WORKERS: OnceLock<usize> = OnceLock::new();
    *WORKERS.get_or_init(|| thread::available_parallelism().map_or(1, usize::from))
}

/// Gives `f` of each item, in the items' order.
///
/// For work that is much longer than the start of a thread: it is begun anew with each call. Where
/// work comes one by one, use a [`ThreadPool`](super::pool::ThreadPool).
///
/// # Rules
/// 1. What comes out stands in the items' order, whoever was ready first.
/// 2. The caller is one of the `workers`, so one worker or one item starts no thread. No more threads than
///    [`MAX_HELPERS`] are ever started by all callers together; what they do not do, the caller does.
/// 3. A call from within a part runs in place, on its own thread.
/// 4. A panic comes out once, when all threads have ended: that of the first item that panicked. What has not
///    begun by then is left out.
///
/// # Panics
/// With what `f` panicked with: a text in front of which stands the item's index, or else a [`Panicked`].
///
/// # Example
/// ```
/// use daur_std::performance::parallel;
///
/// let lengths = parallel::map(&["a", "bc", "def"], 4, |word| word.len());
/// assert_eq!(lengths, [1, 2, 3]);
/// ```
pub fn map<T: Sync, R: Send>(items: &[T], workers: usize, f: impl Fn(&T) -> R + Sync) -> Vec<R> {
    let all = try_map(items, workers, |item| Ok::<_, std::convert::Infallible>(f(item)));
    all.unwrap_or_else(|never| match never {})
}

/// Gives `f` of each item, in the items' order, or the first error in that order. As [`map`].
///
/// # Errors
/// That of the first item that has one. Items after it may have run or not.
///
/// # Panics
/// As [`map`], if no item before the one that panicked has an error.
///
/// # Example
/// ```
/// use daur_std::performance::parallel;
///
/// let read = |words: &[&str]| parallel::try_map(words, 4, |word| word.parse::<u8>().map_err(|_| word.len()));
/// assert_eq!(read(&["1", "2", "3"]), Ok(vec![1, 2, 3]));
/// assert_eq!(read(&["1", "two", "three"]), Err(3));
/// ```
pub fn try_map<T: Sync, R: Send, E: Send>(
    items: &[T],
    workers: usize,
    f: impl Fn(&T) -> Result<R, E> + Sync,
) -> Result<Vec<R>, E> {
    // Smaller parts than there are workers: who has an easy one takes another.
    let parts = if workers > 1 { workers.saturating_mul(4) } else { 1 };
    let work = |range: Range<usize>, part: &[T]| {
        let at = Cell::new(range.start);
        let each = || {
            let begun = part.iter().zip(range).map(|(item, index)| {
                at.set(index);
                f(item)
            });
            begun.collect::<Result<Vec<R>, E>>()
        };
        caught(each, || at.get()..at.get() + 1)
    };
    told(run(&Threads, items.in_parts(parts), workers, &work))
}

/// Runs `f` once for each part of `input` and joins what it returns: what `#[parallelize]` does. As [`map`].
///
/// There are as many parts as workers, or one an item if there are fewer; their lengths differ by one at most.
///
/// # Panics
/// With what `f` panicked with: a text in front of which stands the range of the part, or else a [`Panicked`].
///
/// # Example
/// ```
/// use daur_std::performance::parallel;
///
/// let words = vec!["b".to_owned(), "a".to_owned(), "c".to_owned()];
/// let shouted = parallel::map_parts(words, 2, |part: Vec<String>| {
///     part.into_iter().map(|word| word + "!").collect::<Vec<_>>()
/// });
/// assert_eq!(shouted, ["b!", "a!", "c!"]);
/// ```
pub fn map_parts<P: Split, J: Joined + Send>(input: P, workers: usize, f: impl Fn(P) -> J + Sync) -> J {
    told(catch_parts(input, workers, f))
}

/// As [`map_parts`], for who wants to see the panic as a value.
///
/// # Errors
/// [`Panicked`] if the first part that failed panicked.
pub fn catch_parts<P: Split, J: Joined + Send>(
    input: P,
    workers: usize,
    f: impl Fn(P) -> J + Sync,
) -> Result<J, Panicked> {
    split_and_run(&Threads, input, workers, f)
}

/// What can be worked on in parts: a slice, shared or not, and a `Vec`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be split among workers",
    label = "must be a `&[T]`, a `&mut [T]` or a `Vec<T>`, of items that may go to other threads"
)]
pub trait Split: Send + Sized {
    /// How many items there are.
    fn count(&self) -> usize;

    /// Parts in order, with the range of their items. At most `parts`, none of them empty, but at least one.
    fn in_parts(self, parts: usize) -> Vec<(Range<usize>, Self)>;
}

/// The lengths of the parts of `items` items: they differ by one at most.
fn ranges(items: usize, parts: usize) -> impl Iterator<Item = Range<usize>> {
    let parts = parts.clamp(1, items.max(1));
    let (least, longer) = (items / parts, items % parts);
    let mut start = 0;
    (0..parts).map(move |part| {
        let end = start + least + usize::from(part < longer);
        std::mem::replace(&mut start, end)..end
    })
}

impl<T: Sync> Split for &[T] {
    fn count(&self) -> usize {
        self.len()
    }

    fn in_parts(self, parts: usize) -> Vec<(Range<usize>, Self)> {
        ranges(self.len(), parts).map(|range| (range.clone(), &self[range])).collect()
    }
}

impl<T: Send> Split for &mut [T] {
    fn count(&self) -> usize {
        self.len()
    }

    fn in_parts(self, parts: usize) -> Vec<(Range<usize>, Self)> {
        let ranges = ranges(self.len(), parts);
        let mut rest = self;
        let part = |range: Range<usize>| {
            let (part, others) = std::mem::take(&mut rest).split_at_mut(range.len());
            rest = others;
            (range, part)
        };
        ranges.map(part).collect()
    }
}

impl<T: Send> Split for Vec<T> {
    fn count(&self) -> usize {
        self.len()
    }

    fn in_parts(self, parts: usize) -> Vec<(Range<usize>, Self)> {
        let ranges = ranges(self.len(), parts);
        let mut items = self.into_iter();
        ranges.map(|range| (range.clone(), items.by_ref().take(range.len()).collect())).collect()
    }
}

/// What the parts' results become together: a `Vec`, a `Result` or an `Option` of one, or nothing.
#[diagnostic::on_unimplemented(
    message = "the parts' `{Self}` cannot be joined",
    label = "must be a `Vec<R>`, a `Result` or an `Option` of one, or `()`"
)]
pub trait Joined: Sized {
    /// Whether nothing that comes after it counts any more.
    fn has_failed(&self) -> bool {
        false
    }

    /// All in one; of those that have failed, the first. There is at least one.
    fn join(first: Self, others: impl Iterator<Item = Self>) -> Self;
}

impl<R> Joined for Vec<R> {
    fn join(mut first: Self, others: impl Iterator<Item = Self>) -> Self {
        others.for_each(|mut part| first.append(&mut part));
        first
    }
}

impl Joined for () {
    fn join((): Self, others: impl Iterator<Item = Self>) -> Self {
        // Who asks may look whether one of them has failed.
        others.for_each(drop);
    }
}

impl<J: Joined, E> Joined for Result<J, E> {
    fn has_failed(&self) -> bool {
        self.as_ref().map_or(true, J::has_failed)
    }

    fn join(first: Self, others: impl Iterator<Item = Self>) -> Self {
        let mut failed = None;
        let good = others.map_while(|part| part.map_err(|error| failed = Some(error)).ok());
        let all = J::join(first?, good);
        failed.map_or(Ok(all), Err)
    }
}

impl<J: Joined> Joined for Option<J> {
    fn has_failed(&self) -> bool {
        self.as_ref().is_none_or(J::has_failed)
    }

    fn join(first: Self, others: impl Iterator<Item = Self>) -> Self {
        Result::join(first.ok_or(()), others.map(|part| part.ok_or(()))).ok()
    }
}

/// Says which items a panic came from, and with what.
pub struct Panicked {
    items: Range<usize>,
    /// Behind a lock that is never taken, which lets it be shared.
    payload: Mutex<Box<dyn Any + Send>>,
}

impl Panicked {
    fn new(items: Range<usize>, payload: Box<dyn Any + Send>) -> Self {
        Self { items, payload: Mutex::new(payload) }
    }

    /// The part's items, by their indices; of [`map`] the one item.
    #[must_use]
    pub fn items(&self) -> Range<usize> {
        self.items.clone()
    }

    /// What it panicked with.
    #[must_use]
    pub fn into_payload(self) -> Box<dyn Any + Send> {
        self.payload.into_inner().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets the panic go on, without telling the panic hook again.
    fn resume(self) -> ! {
        let Self { items, .. } = &self;
        let items = if items.len() == 1 {
            format!("item {}", items.start)
        } else {
            format!("items {}..{}", items.start, items.end)
        };
        let items_of = self.items();
        let payload = self.into_payload();
        match text(&*payload) {
            Some(text) => resume_unwind(Box::new(format!("{items}: {text}"))),
            None => resume_unwind(Box::new(Self::new(items_of, payload))),
        }
    }
}

fn text(payload: &(dyn Any + Send)) -> Option<&str> {
    payload.downcast_ref::<&str>().copied().or_else(|| payload.downcast_ref::<String>().map(String::as_str))
}

impl fmt::Debug for Panicked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Panicked").field("items", &self.items).finish_non_exhaustive()
    }
}

impl fmt::Display for Panicked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the work on items {}..{} panicked", self.items.start, self.items.end)
    }
}

impl std::error::Error for Panicked {}

/// What a panic leaves half done is dropped or never looked at: it goes on as soon as all have ended.
fn caught<R>(work: impl FnOnce() -> R, items: impl Fn() -> Range<usize>) -> Result<R, Panicked> {
    catch_unwind(AssertUnwindSafe(work)).map_err(|payload| Panicked::new(items(), payload))
}

fn told<J>(outcome: Result<J, Panicked>) -> J {
    outcome.unwrap_or_else(|panicked| panicked.resume())
}

/// Lets several threads do the same.
trait Crew {
    /// How many of `wanted` workers there will be, the caller among them.
    fn workers(&self, wanted: usize) -> usize;

    /// Runs `work` on so many threads, or fewer, the caller's among them; returns when all have ended.
    fn all(&self, workers: usize, work: &(impl Fn() + Sync));
}

/// Threads that end with the call.
struct Threads;

impl Crew for Threads {
    fn workers(&self, wanted: usize) -> usize {
        if AT_WORK.get() { 1 } else { wanted }
    }

    fn all(&self, workers: usize, work: &(impl Fn() + Sync)) {
        let helpers = Helpers::take(workers - 1);
        thread::scope(|scope| {
            for _ in 0..helpers.0 {
                // If the system has no thread left, the others do its work.
                let _ = Builder::new().name("daur-parallel".to_owned()).spawn_scoped(scope, work);
            }
            work();
        });
    }
}

/// The leave to have so many helpers.
struct Helpers(usize);

impl Helpers {
    fn take(wanted: usize) -> Self {
        let mut taken = 0;
        let more = |helpers: usize| {
            taken = wanted.min(MAX_HELPERS.saturating_sub(helpers));
            Some(helpers + taken)
        };
        // The closure never gives `None`, so this never fails.
        let _ = HELPERS.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more);
        Self(taken)
    }
}

impl Drop for Helpers {
    fn drop(&mut self) {
        HELPERS.fetch_sub(self.0, Ordering::Relaxed);
    }
}

fn split_and_run<P: Split, J: Joined + Send>(
    crew: &impl Crew,
    input: P,
    workers: usize,
    f: impl Fn(P) -> J + Sync,
) -> Result<J, Panicked> {
    let workers = crew.workers(workers.min(input.count()).max(1));
    let work = |range: Range<usize>, part| caught(|| f(part), || range.clone());
    run(crew, input.in_parts(workers), workers, &work)
}

/// Works off `parts`, of which there is at least one, and joins the results.
fn run<P: Send, J: Joined + Send>(
    crew: &impl Crew,
    parts: Vec<(Range<usize>, P)>,
    workers: usize,
    work: &(impl Fn(Range<usize>, P) -> Result<J, Panicked> + Sync),
) -> Result<J, Panicked> {
    let workers = crew.workers(workers.min(parts.len()).max(1));
    let mut done = Vec::with_capacity(parts.len());
    let todo = Mutex::new(parts.into_iter().enumerate());
    let finished = Mutex::new(&mut done);
    let worker = || {
        // Who works alone may still be helped by others further inside.
        let _at_work = (workers > 1).then(AtWork::new);
        loop {
            let next = todo.lock().unwrap_or_else(PoisonError::into_inner).next();
            let Some((place, (range, part))) = next else { break };
            let outcome = work(range, part);
            if outcome.as_ref().map_or(true, J::has_failed) {
                // Those that are left come after this one, so that they do not count any more. They are dropped
                // without the lock.
                let left: Vec<_> = todo.lock().unwrap_or_else(PoisonError::into_inner).by_ref().collect();
                drop(left);
            }
            finished.lock().unwrap_or_else(PoisonError::into_inner).push((place, outcome));
        }
    };
    if workers > 1 {
        crew.all(workers, &worker);
    } else {
        worker();
    }

    done.sort_unstable_by_key(|(place, _)| *place);
    let mut panicked = None;
    let before_it = done.into_iter().map_while(|(_, outcome)| outcome.map_err(|first| panicked = Some(first)).ok());
    let mut parts = before_it.collect::<Vec<J>>().into_iter();
    let joined = parts.next().map(|first| J::join(first, parts));
    match (joined, panicked) {
        (Some(joined), None) => Ok(joined),
        // An error before the panic comes first.
        (Some(joined), Some(_)) if joined.has_failed() => Ok(joined),
        (_, Some(panicked)) => Err(panicked),
        (None, None) => unreachable!("there is at least one part, and the first one always has an outcome"),
    }
}

/// Marks the thread as one that works on a part.
struct AtWork {
    before: bool,
}

impl AtWork {
    fn new() -> Self {
        Self { before: AT_WORK.replace(true) }
    }
}

impl Drop for AtWork {
    fn drop(&mut self) {
        AT_WORK.set(self.before);
    }
}
