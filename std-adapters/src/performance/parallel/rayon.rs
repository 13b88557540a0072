use super::{Crew, Joined, Panicked, Split, split_and_run, told};

/// As [`map_parts`](super::map_parts), on the threads of the rayon pool that it is called from, or the global one's.
///
/// A call from within a part is split too: rayon's threads work on one another's parts while they wait.
///
/// # Panics
/// As [`map_parts`](super::map_parts).
///
/// # Example
/// ```
/// use daur_std::performance::parallel;
///
/// let doubled = parallel::rayon::map_parts(&[1, 2, 3][..], 2, |part: &[i32]| {
///     part.iter().map(|item| item * 2).collect::<Vec<_>>()
/// });
/// assert_eq!(doubled, [2, 4, 6]);
/// ```
pub fn map_parts<P: Split, J: Joined + Send>(input: P, workers: usize, f: impl Fn(P) -> J + Sync) -> J {
    told(catch_parts(input, workers, f))
}

/// As [`catch_parts`](super::catch_parts), on rayon's threads.
///
/// # Errors
/// [`Panicked`] if the first part that failed panicked.
pub fn catch_parts<P: Split, J: Joined + Send>(
    input: P,
    workers: usize,
    f: impl Fn(P) -> J + Sync,
) -> Result<J, Panicked> {
    split_and_run(&Pool, input, workers, f)
}

/// Rayon's threads.
struct Pool;

impl Crew for Pool {
    fn workers(&self, wanted: usize) -> usize {
        wanted
    }

    fn all(&self, workers: usize, work: &(impl Fn() + Sync)) {
        rayon::in_place_scope(|scope| {
            for _ in 1..workers {
                scope.spawn(|_| work());
            }
            work();
        });
    }
}
