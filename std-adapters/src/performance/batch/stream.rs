//! Batches of a stream.

use std::pin::Pin;
use std::task::{Context, Poll};

use daur_core::performance::batch::{Cause, Config, ConfigError, Limit, Snapshot, Trigger};
use daur_core::time::{Clock, Instant};
use futures_core::Stream;
use futures_core::stream::FusedStream;
use pin_project_lite::pin_project;
use tokio::time::Sleep;

use super::engine::LOOK_EVERY;
use crate::clock::{self, TokioClock};

pin_project! {
    /// Makes a stream of batches, each a `Vec`, of a stream of items (on tokio).
    ///
    /// For what comes as a stream already. Where many send, or a batch that fails must be tried again, use
    /// [`spawn`](super::spawn).
    ///
    /// # Rules
    /// 1. A batch comes with its `max_items`-th item or `max_bytes`-th byte, `max_wait` after its first item, or with the end
    ///    of the stream.
    /// 2. No batch is empty, no item is lost, and the order stays.
    /// 3. An item that is larger than `max_bytes` by itself is a batch by itself: a stream cannot give it back.
    ///
    /// # Cost
    /// One allocation a batch. The clock is read with a batch's first item, with every 64th after it, and when it is polled and
    /// nothing has come; to wait for more takes a timer too.
    ///
    /// # Errors
    /// Only the constructors have one.
    ///
    /// # Sharing
    /// Cancel-safe: a `next` that is dropped loses nothing. Dropped itself, it drops what it has gathered.
    ///
    /// # Example
    /// ```
    /// use std::pin::Pin;
    /// use std::task::{Context, Poll};
    ///
    /// use daur_std::core::performance::batch::Config;
    /// use daur_std::performance::batch::Batches;
    /// use futures_core::Stream;
    ///
    /// struct Numbers(u32);
    ///
    /// impl Stream for Numbers {
    ///     type Item = u32;
    ///     fn poll_next(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<u32>> {
    ///         self.0 += 1;
    ///         Poll::Ready((self.0 <= 7).then_some(self.0))
    ///     }
    /// }
    ///
    /// # let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    /// # runtime.block_on(async {
    /// let mut batches = std::pin::pin!(Batches::new(Numbers(0), Config { max_items: Some(3), ..Config::DEFAULT })?);
    /// let mut sizes = Vec::new();
    /// while let Some(batch) = std::future::poll_fn(|context| batches.as_mut().poll_next(context)).await {
    ///     sizes.push(batch.len());
    /// }
    /// assert_eq!(sizes, [3, 3, 1]);
    /// # Ok::<(), daur_std::core::performance::batch::ConfigError>(())
    /// # }).unwrap();
    /// ```
    #[must_use = "streams do nothing unless polled"]
    pub struct Batches<S: Stream, W = fn(&<S as Stream>::Item) -> usize> {
        #[pin]
        stream: S,
        weigh: W,
        // Whether items have bytes at all.
        weighs: bool,
        trigger: Trigger,
        items: Vec<S::Item>,
        // Has come, and did not fit beside the others.
        waiting: Option<(S::Item, usize)>,
        ended: bool,
        #[pin]
        timer: Option<Sleep>,
        // What the timer is set to.
        armed: Option<Instant>,
    }
}

impl<S: Stream> Batches<S> {
    /// Batches of the items of `stream`, which have no bytes. Without `max_items` there is no limit to their number.
    ///
    /// # Errors
    /// What [`Config::validate`] says.
    pub fn new(stream: S, config: Config) -> Result<Self, ConfigError> {
        Ok(Self { weighs: false, ..Self::sized(stream, config, |_| 0)? })
    }
}

impl<S: Stream, W: FnMut(&S::Item) -> usize> Batches<S, W> {
    /// Batches of the items of `stream`, whose bytes `weigh` tells.
    ///
    /// # Errors
    /// What [`Config::validate`] says.
    pub fn sized(stream: S, config: Config, weigh: W) -> Result<Self, ConfigError> {
        Ok(Self {
            stream,
            weigh,
            weighs: true,
            trigger: Trigger::try_new(config)?,
            items: Vec::new(),
            waiting: None,
            ended: false,
            timer: None,
            armed: None,
        })
    }

    /// Copies out what is worth showing. A batch of one large item is not in it.
    pub fn snapshot(&self) -> Snapshot {
        // Nothing is given back.
        Snapshot { refused: 0, ..self.trigger.snapshot() }
    }
}

impl<S: Stream, W: FnMut(&S::Item) -> usize> Stream for Batches<S, W> {
    type Item = Vec<S::Item>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Vec<S::Item>>> {
        let mut this = self.project();
        if *this.ended {
            return Poll::Ready(None);
        }
        // First what did not fit beside the others. It has come before the end.
        let mut waiting = this.waiting.take();
        let before = this.items.len();
        loop {
            let (item, bytes) = match waiting.take() {
                Some(waiting) => waiting,
                None => match next(
                    this.stream.as_mut(),
                    context,
                    this.weighs.then_some(&mut *this.weigh),
                    this.trigger,
                    this.items,
                ) {
                    Poll::Ready(Some(sized)) => sized,
                    Poll::Ready(None) => {
                        *this.ended = true;
                        if this.items.is_empty() {
                            return Poll::Ready(None);
                        }
                        this.trigger.close(Cause::Flush);
                        return Poll::Ready(Some(std::mem::take(this.items)));
                    }
                    Poll::Pending => break,
                },
            };
            // The time is asked for with the first item only.
            let now = if this.trigger.is_empty() { TokioClock.now() } else { Instant::ZERO };
            let cause = match this.trigger.offer(bytes, now) {
                Ok(()) => {
                    // While there is always another one, the timer is never asked.
                    let cause = if this.trigger.len().is_multiple_of(LOOK_EVERY) {
                        this.trigger.due(TokioClock.now())
                    } else {
                        this.trigger.full()
                    };
                    this.items.push(item);
                    cause
                }
                Err(_) if this.items.is_empty() => return Poll::Ready(Some(vec![item])),
                Err(limit) => {
                    *this.waiting = Some((item, bytes));
                    Some(if limit == Limit::Items { Cause::Items } else { Cause::Bytes })
                }
            };
            if let Some(cause) = cause {
                this.trigger.close(cause);
                // The next batch is likely to be as large.
                let next = Vec::with_capacity(this.items.len());
                return Poll::Ready(Some(std::mem::replace(this.items, next)));
            }
        }
        let Some(due) = this.trigger.due_at() else { return Poll::Pending };
        if *this.armed != Some(due) {
            // Later by less than a millisecond, to which tokio rounds up.
            let at = clock::tokio_at(due);
            match this.timer.as_mut().as_pin_mut() {
                // Put off, it keeps its place among the runtime's timers.
                Some(timer) => timer.reset(at),
                None => this.timer.set(Some(tokio::time::sleep_until(at))),
            }
            *this.armed = Some(due);
        }
        let waits = this.timer.as_mut().as_pin_mut().is_some_and(|timer| timer.poll(context).is_pending());
        // A timer says nothing either to a task that has received as much as tokio lets it at once: then, as above, every
        // 64th item tells the time.
        if waits && (this.items.len() > before || TokioClock.now() < due) {
            return Poll::Pending;
        }
        *this.armed = None;
        this.trigger.close(Cause::Time);
        Poll::Ready(Some(std::mem::take(this.items)))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let held = self.items.len() + usize::from(self.waiting.is_some());
        let (_, most) = self.stream.size_hint();
        // There are at most as many batches as items.
        (usize::from(held > 0), most.and_then(|most| most.checked_add(held)))
    }
}

/// The next item that somebody must look at, with its bytes. Those before it that weigh nothing, and neither begin nor complete a
/// batch, are put behind the others, and counted in together.
#[inline]
fn next<S: Stream>(
    mut stream: Pin<&mut S>,
    context: &mut Context<'_>,
    mut weigh: Option<&mut impl FnMut(&S::Item) -> usize>,
    trigger: &mut Trigger,
    items: &mut Vec<S::Item>,
) -> Poll<Option<(S::Item, usize)>> {
    // If `weigh` has panicked there are some that nobody has counted.
    count_in(trigger, items.len());
    let plain = (LOOK_EVERY - 1 - items.len() % LOOK_EVERY).min(trigger.room().saturating_sub(1));
    let last = if items.is_empty() { 0 } else { items.len() + plain };
    let found = loop {
        let item = match stream.as_mut().poll_next(context) {
            Poll::Ready(Some(item)) => item,
            Poll::Ready(None) => break Poll::Ready(None),
            Poll::Pending => break Poll::Pending,
        };
        let bytes = weigh.as_mut().map_or(0, |weigh| weigh(&item));
        if bytes > 0 || items.len() >= last {
            break Poll::Ready(Some((item, bytes)));
        }
        items.push(item);
    };
    count_in(trigger, items.len());
    found
}

/// Counts in those of so many items that are not yet, behind the first, which has told the time.
#[inline]
fn count_in(trigger: &mut Trigger, items: usize) {
    let plain = items.saturating_sub(trigger.len());
    if plain > 0 {
        trigger.offer_many(plain, Instant::ZERO);
    }
}

impl<S: Stream, W: FnMut(&S::Item) -> usize> FusedStream for Batches<S, W> {
    fn is_terminated(&self) -> bool {
        self.ended && self.items.is_empty() && self.waiting.is_none()
    }
}
