//! `#[parallelize]`, and the functions that it expands to.

use std::any::Any;
use std::cell::Cell;
use std::collections::HashSet;
use std::panic::{AssertUnwindSafe, catch_unwind, panic_any, resume_unwind};
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Barrier, PoisonError, RwLock, RwLockReadGuard};
use std::thread::{self, ThreadId};

use daur_core::shared::Shared;
use daur_std::monitoring::profiler::PROFILER;
use daur_std::parallelize;
use daur_std::performance::parallel::{self, Joined, Panicked, Split};
use proptest::prelude::*;

#[parallelize(num_workers = 4)]
fn squares(numbers: &[u64]) -> Vec<u64> {
    numbers.iter().map(|number| number * number).collect()
}

#[test]
fn rule_1_results_stand_in_the_order_of_the_items() {
    for length in [0, 1, 2, 3, 4, 5, 7, 8, 1_000] {
        let numbers: Vec<u64> = (0..length).collect();
        assert_eq!(squares(&numbers), numbers.iter().map(|number| number * number).collect::<Vec<_>>());
    }
}

/// The body gives the part as it was given.
#[parallelize(num_workers = 3)]
fn parts(items: &[u8]) -> Vec<Vec<u8>> {
    vec![items.to_vec()]
}

#[test]
fn the_body_runs_once_for_each_part_and_the_parts_differ_by_one_at_most() {
    assert_eq!(parts(&[1, 2, 3, 4, 5, 6, 7]), [vec![1, 2, 3], vec![4, 5], vec![6, 7]]);
    assert_eq!(parts(&[1, 2]), [[1], [2]]);
    assert_eq!(parts(&[1]), [[1]]);
    assert_eq!(parts(&[]), [Vec::<u8>::new()], "in place");
}

/// The helpers are the whole process's: who cannot do without one reads, who takes all of them writes.
static HELPERS: RwLock<()> = RwLock::new(());

fn needs_helpers() -> RwLockReadGuard<'static, ()> {
    HELPERS.read().unwrap_or_else(PoisonError::into_inner)
}

fn here<T>(_: &[T]) -> Vec<ThreadId> {
    vec![thread::current().id()]
}

#[test]
fn rule_2_the_caller_is_one_of_the_workers_and_all_of_them_work_at_once() {
    let _helpers = needs_helpers();
    let together = Barrier::new(4);
    let threads = parallel::map_parts(&[0; 8][..], 4, |part: &[u8]| {
        together.wait();
        here(part)
    });
    let all: HashSet<ThreadId> = threads.iter().copied().collect();
    assert_eq!((threads.len(), all.len()), (4, 4));
    assert!(all.contains(&thread::current().id()));
}

#[test]
fn rule_2_one_worker_or_one_item_starts_no_thread() {
    let me = thread::current().id();
    assert_eq!(parallel::map_parts(&[0; 8][..], 1, here::<u8>), [me]);
    assert_eq!(parallel::map_parts(&[0; 8][..], 0, here::<u8>), [me]);
    assert_eq!(parallel::map_parts(&[0; 1][..], 8, here::<u8>), [me]);
    assert_eq!(parallel::map(&[0; 8], 1, |_| thread::current().id()), [me; 8]);
}

#[test]
fn rule_2_whoever_asks_for_more_threads_than_there_may_be_gets_its_work_done_all_the_same() {
    let _helpers = HELPERS.write().unwrap_or_else(PoisonError::into_inner);
    let (now, most) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let items: Vec<usize> = (0..2_000).collect();
    let given = parallel::map_parts(&items[..], items.len(), |part: &[usize]| {
        most.fetch_max(now.fetch_add(1, SeqCst) + 1, SeqCst);
        thread::yield_now();
        now.fetch_sub(1, SeqCst);
        part.to_vec()
    });
    assert_eq!(given, items);
    assert!(most.into_inner() <= parallel::MAX_HELPERS + 1);
}

#[parallelize(num_workers = 4)]
fn outer(rows: &[Vec<u64>], threads: &AtomicUsize) -> Vec<u64> {
    rows.iter().flat_map(|row| inner(row, threads, thread::current().id())).collect()
}

#[parallelize(num_workers = 4)]
fn inner(row: &[u64], threads: &AtomicUsize, caller: ThreadId) -> Vec<u64> {
    if thread::current().id() != caller {
        threads.fetch_add(1, SeqCst);
    }
    squares(row)
}

#[test]
fn rule_3_nested_calls_run_in_place() {
    let rows: Vec<Vec<u64>> = (0..16).map(|row| (row..row + 10).collect()).collect();
    let threads = AtomicUsize::new(0);
    let expected: Vec<u64> = rows.iter().flatten().map(|number| number * number).collect();
    assert_eq!(outer(&rows, &threads), expected);
    assert_eq!(threads.into_inner(), 0, "no thread but the outer ones");
    let _helpers = needs_helpers();
    // Within a part that has been worked on alone there is room for others.
    let inside = parallel::map_parts(&[0][..], 4, |_: &[u8]| {
        let together = Barrier::new(2);
        parallel::map(&[0; 2], 2, |_| together.wait().is_leader())
    });
    assert_eq!(inside.iter().filter(|leader| **leader).count(), 1);
}

fn panic_of<R>(work: impl FnOnce() -> R) -> Box<dyn Any + Send> {
    catch_unwind(AssertUnwindSafe(work)).map(|_| "a result").expect_err("it panics")
}

fn text_of(payload: &(dyn Any + Send)) -> &str {
    payload.downcast_ref::<String>().expect("a text")
}

#[parallelize(num_workers = 4)]
fn none_is_seven(numbers: &[u32]) -> Vec<u32> {
    assert!(!numbers.contains(&7), "seven among {}", numbers.len());
    numbers.to_vec()
}

#[test]
fn rule_4_a_panic_comes_out_once_with_the_items_of_its_part() {
    let numbers: Vec<u32> = (0..16).collect();
    let payload = panic_of(|| none_is_seven(&numbers));
    assert_eq!(text_of(&*payload), "items 4..8: seven among 4");
    // In place as well.
    assert_eq!(text_of(&*panic_of(|| none_is_seven(&[7]))), "item 0: seven among 1");
    // Those that come after it work on.
    assert_eq!(none_is_seven(&[1, 2, 3]), [1, 2, 3]);
}

#[test]
fn rule_4_of_several_panics_the_first_in_order_comes_out() {
    let _helpers = needs_helpers();
    let second_is_done = Barrier::new(2);
    let payload = panic_of(|| {
        parallel::map(&[0, 1], 2, |item| {
            if *item == 0 {
                second_is_done.wait();
                panic!("first");
            }
            let _waits = catch_unwind(AssertUnwindSafe(|| second_is_done.wait()));
            panic!("second");
        })
    });
    assert_eq!(text_of(&*payload), "item 0: first");
}

#[test]
fn rule_4_a_payload_that_is_no_text_is_found_in_the_panic() {
    #[derive(Debug, PartialEq)]
    struct Code(u32);

    let work = |part: &[u32]| -> Vec<u32> {
        if part.contains(&5) {
            panic_any(Code(5));
        }
        part.to_vec()
    };
    let payload = panic_of(|| parallel::map_parts(&[1, 2, 3, 4, 5, 6][..], 3, work));
    let panicked = payload.downcast::<Panicked>().unwrap();
    assert_eq!(panicked.items(), 4..6);
    assert_eq!(panicked.to_string(), "the work on items 4..6 panicked");
    assert_eq!(*panicked.into_payload().downcast::<Code>().unwrap(), Code(5));

    let panicked = parallel::catch_parts(&[5][..], 3, work).unwrap_err();
    assert_eq!(panicked.items(), 0..1);
    assert!(panic_of(|| resume_unwind(panicked.into_payload())).is::<Code>());
}

#[test]
fn rule_4_what_has_not_begun_when_something_fails_is_left_out() {
    let begun = AtomicUsize::new(0);
    let count = |fails: &(dyn Fn(u32) -> Result<(), u32> + Sync)| {
        begun.store(0, SeqCst);
        let run = || {
            parallel::try_map(&(0..100).collect::<Vec<_>>(), 1, |item| {
                begun.fetch_add(1, SeqCst);
                fails(*item)
            })
        };
        let _ = catch_unwind(AssertUnwindSafe(run));
        begun.load(SeqCst)
    };
    assert_eq!(count(&|_| Ok(())), 100);
    assert_eq!(count(&|item| if item == 3 { Err(item) } else { Ok(()) }), 4);
    assert_eq!(count(&|item| if item == 5 { panic!("five") } else { Ok(()) }), 6);
}

#[parallelize(num_workers = 4)]
fn parsed(words: &[&str], base: u32) -> Result<Vec<u32>, String> {
    let mut numbers = Vec::new();
    for word in words {
        if word.is_empty() {
            return Err("empty".to_owned());
        }
        numbers.push(u32::from_str_radix(word, base).map_err(|_| (*word).to_owned())?);
    }
    Ok(numbers)
}

#[test]
fn the_first_error_in_order_wins() {
    assert_eq!(parsed(&["1", "2", "3", "4", "ff"], 16), Ok(vec![1, 2, 3, 4, 255]));
    assert_eq!(parsed(&["1", "x", "3", "", "y"], 10), Err("x".to_owned()));
    let none: Option<Vec<u8>> =
        parallel::map_parts(&[1, 2, 3][..], 3, |part: &[u8]| (part[0] != 2).then(|| part.to_vec()));
    assert_eq!(none, None);
    for last in 1..=4 {
        // There may be nothing but the error.
        let check = |part: &[u32]| part.iter().try_for_each(|item| if *item == last { Err(last) } else { Ok(()) });
        assert_eq!(parallel::map_parts(&[1, 2, 3, 4][..], 4, check), Err(last));
        assert_eq!(parallel::map_parts(&[1, 2, 3, 4][..], 4, |part: &[u32]| check(part).ok()), None);
    }
    assert_eq!(parallel::try_map(&[3, 1, 2], 2, |item| if *item < 3 { Err(*item) } else { Ok(()) }), Err(1));
}

#[test]
fn an_error_before_a_panic_comes_first_and_one_after_it_does_not() {
    let work = |panics: u8| {
        catch_unwind(AssertUnwindSafe(|| {
            parallel::try_map(&[0_u8, 1], 2, |item| if *item == panics { panic!("no") } else { Err::<(), _>(*item) })
        }))
    };
    assert_eq!(work(1).unwrap(), Err(0));
    assert_eq!(text_of(&*work(0).unwrap_err()), "item 0: no");
}

/// An argument that is no reference is each part's own.
#[parallelize(num_workers = 2)]
fn joined(mut words: Vec<String>, mut end: String, _unused: Cell<u8>) -> Vec<String> {
    end.push('!');
    words.sort();
    words.into_iter().map(|word| word + &end).collect()
}

#[parallelize(num_workers = 3)]
fn bump(numbers: &mut [u32], by: &u32) {
    for number in numbers {
        *number += *by;
    }
}

#[parallelize(num_workers = 2)]
fn heads(lines: &[String]) -> Vec<&str> {
    lines.iter().map(|line| line.split(' ').next().unwrap_or("")).collect()
}

#[parallelize]
fn generic<T: Clone + Send + Sync, const N: usize>(items: &[[T; N]]) -> Vec<T> {
    items.iter().flatten().cloned().collect()
}

struct Scale {
    by: u32,
    workers: usize,
}

impl Scale {
    const WORKERS: usize = 2;

    #[parallelize(num_workers = self.workers)]
    fn scaled(&self, numbers: &[u32]) -> Vec<u32> {
        numbers.iter().map(|number| number * self.by).collect()
    }

    #[parallelize(num_workers = Self::WORKERS)]
    fn halves(numbers: &[u32]) -> Vec<usize> {
        vec![numbers.len()]
    }
}

#[test]
fn the_attribute_stands_on_everything_that_goes_from_many_to_many() {
    let words = ["b", "a", "d", "c"].map(str::to_owned).to_vec();
    assert_eq!(joined(words, "?".to_owned(), Cell::new(0)), ["a?!", "b?!", "c?!", "d?!"]);
    let mut numbers = vec![1, 2, 3, 4];
    bump(&mut numbers, &10);
    assert_eq!(numbers, [11, 12, 13, 14]);
    assert_eq!(heads(&["a b".to_owned(), "c d".to_owned(), String::new()]), ["a", "c", ""]);
    assert_eq!(generic(&[["a", "b"], ["c", "d"]]), ["a", "b", "c", "d"]);
    let scale = Scale { by: 3, workers: 2 };
    assert_eq!(scale.scaled(&[1, 2, 3]), [3, 6, 9]);
    assert_eq!(Scale::halves(&[0; 9]), [5, 4]);
}

#[parallelize(num_workers = 3)]
#[daur_std::measure_time("parallel.whole")]
fn measured_whole(numbers: &[u32]) -> Vec<u32> {
    numbers.to_vec()
}

#[daur_std::measure_time("parallel.part")]
#[parallelize(num_workers = 3)]
fn measured_parts(numbers: &[u32]) -> Vec<u32> {
    numbers.to_vec()
}

#[test]
fn the_first_attribute_is_the_nearest_to_the_body() {
    let calls = |name| PROFILER.with(|profiler, _| profiler.snapshot(name)).unwrap().time.count;
    assert_eq!((measured_whole(&[1, 2, 3]), measured_parts(&[1, 2, 3])), (vec![1, 2, 3], vec![1, 2, 3]));
    assert_eq!((calls("parallel.whole"), calls("parallel.part")), (1, 3));
}

#[parallelize(num_workers = 4, on = "rayon")]
fn on_rayon(numbers: &[u64]) -> Vec<u64> {
    if numbers.len() > 4 { on_rayon(numbers) } else { squares(numbers) }
}

#[test]
fn on_rayon_order_nesting_and_panics_are_the_same() {
    let numbers: Vec<u64> = (0..100).collect();
    assert_eq!(on_rayon(&numbers), squares(&numbers));
    let caught = parallel::rayon::catch_parts(&numbers[..], 10, |part: &[u64]| {
        assert!(!part.contains(&42) && !part.contains(&77), "found");
    });
    assert_eq!(caught.unwrap_err().items(), 40..50);
    assert_eq!(parallel::rayon::map_parts(&numbers[..], 0, here::<u64>).len(), 1);
}

proptest! {
    #[test]
    fn any_input_in_any_number_of_parts_comes_out_as_it_went_in(items: Vec<u16>, workers in 0_usize..9) {
        let (all, parts) = (items.clone(), Split::in_parts(items.clone(), workers));
        let mut next = 0;
        for (range, part) in &parts {
            prop_assert_eq!((range.start, range.len()), (next, part.len()));
            next = range.end;
        }
        prop_assert!(parts.len() <= workers.max(1) && next == items.len());
        let mut shared = items.clone();
        prop_assert_eq!(parallel::map_parts(items, workers, |part: Vec<u16>| part), all.clone());
        prop_assert_eq!(parallel::map(&all, workers, |item| *item), all.clone());
        parallel::map_parts(&mut shared[..], workers, |part: &mut [u16]| part.reverse());
        prop_assert_eq!(shared.len(), all.len());
    }

    /// Joining stops at the first that has failed, wherever the parts are cut.
    #[test]
    fn joining_is_as_collecting(parts: Vec<Result<Vec<u8>, u8>>) {
        prop_assume!(!parts.is_empty());
        let collected: Result<Vec<Vec<u8>>, u8> = parts.iter().cloned().collect();
        let mut parts = parts.into_iter();
        let first = parts.next().unwrap();
        prop_assert_eq!(Joined::join(first, parts), collected.map(|all| all.concat()));
    }
}
