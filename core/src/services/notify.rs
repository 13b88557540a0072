//! Notifications by topic, for whoever subscribed to them, and those of late.

mod topic;

use core::fmt;

use crate::text::Text;
use crate::time::Instant;

pub use self::topic::{TopicError, check_pattern, check_topic, is_topic, matches};

/// One thing that somebody was to be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Notification<T, const TOPIC: usize = 32> {
    /// How many were sent before it, on all topics.
    pub number: u64,
    /// When it was sent.
    pub at: Instant,
    /// What it is about.
    pub topic: Text<TOPIC>,
    /// What is said.
    pub payload: T,
}

/// What a subscriber gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Received<'a, T, const TOPIC: usize = 32> {
    /// The next one.
    Notification(&'a Notification<T, TOPIC>),
    /// So many made room for others before they were read. The next one is the oldest that is still there.
    Lagged(u32),
}

/// Names a subscriber for as long as it is one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct SubscriberId {
    place: u8,
    generation: u32,
}

/// Says that a subscriber has ended its subscription, whoever has its place now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct NotSubscribed;

impl fmt::Display for NotSubscribed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("this subscription has ended")
    }
}

impl core::error::Error for NotSubscribed {}

/// Says why somebody cannot subscribe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum SubscribeError {
    /// There are as many subscribers as places.
    Full,
    /// The text is no pattern of topics.
    Pattern(TopicError),
}

impl fmt::Display for SubscribeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Full => f.write_str("there are as many subscribers as places"),
            Self::Pattern(error) => error.fmt(f),
        }
    }
}

impl core::error::Error for SubscribeError {}

/// Gives back what was to be said on a topic that is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Rejected<T> {
    /// What was to be said.
    pub payload: T,
    /// What is wrong with its topic.
    pub error: TopicError,
}

impl<T> fmt::Display for Rejected<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error.fmt(f)
    }
}

impl<T: fmt::Debug> core::error::Error for Rejected<T> {}

/// What became of a notification that was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Sent {
    /// How many were sent before it, on all topics.
    pub number: u64,
    /// How many subscribers it waits for.
    pub subscribers: u32,
}

/// The figures of [`Notifications`].
///
/// `matched` is the sum of `delivered`, `lagged`, `abandoned` and `waiting`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Snapshot {
    /// Notifications sent.
    pub sent: u64,
    /// Those of them that nobody had subscribed to.
    pub unheard: u64,
    /// Notifications, each as often as somebody had subscribed to it.
    pub matched: u64,
    /// Of the matched, those that were read.
    pub delivered: u64,
    /// Of the matched, those that made room for others before they were read.
    pub lagged: u64,
    /// Of the matched, those that waited when their subscriber left.
    pub abandoned: u64,
    /// Of the matched, those that wait.
    pub waiting: u64,
    /// Notifications whose topic was none, and subscriptions that were refused.
    pub refused: u32,
    /// Subscribers now.
    pub subscribers: u32,
    /// Notifications that the history holds.
    pub kept: u32,
}

#[derive(Clone, Copy, Debug)]
struct Slot<T, const TOPIC: usize> {
    notification: Notification<T, TOPIC>,
    /// A bit for each seat that has not read it yet.
    unread: u32,
}

#[derive(Clone, Copy, Debug)]
struct Seat<const TOPIC: usize> {
    /// Empty if nobody sits here.
    pattern: Text<TOPIC>,
    /// How many have left it.
    generation: u32,
    /// The number of the first notification that was not looked at.
    cursor: u64,
    /// Notifications that wait.
    waiting: u32,
    /// Notifications that made room, which the subscriber was not told yet.
    lagged: u32,
}

impl<const TOPIC: usize> Seat<TOPIC> {
    const FREE: Self = Self { pattern: Text::EMPTY, generation: 0, cursor: 0, waiting: 0, lagged: 0 };
}

/// Sends notifications by topic to up to `SUBSCRIBERS` subscribers, and keeps the last `N` (the seed's `NotificationManager`).
///
/// For what several parts of a program want to hear of: a device's alarms. For what one of them is to do, a
/// [`queue`](crate::performance::queue); for what the other end of a line is to know, an [outbox](crate::wire::outbox). On hosts
/// `daur_std::services::notify` has callbacks and streams.
///
/// A topic has levels between dots, `motor.left.hot`, and up to `TOPIC` bytes. A subscriber's pattern is a topic, or one with
/// wildcards: `*` is any one level, and `>` at the end is any one or more.
///
/// # Rules
/// 1. A pattern stands for the topics that are alike level by level: `foo.*` for `foo.a`, not for `foo.a.b`; `foo.>` for both, not for
///    `foo`; `>` for all.
/// 2. The last `N` notifications are the history, whoever has read them, and though nobody subscribed.
/// 3. A subscriber gets each notification of its pattern that is sent after it subscribed, once, in the order in which they were sent.
/// 4. Who is slow stays subscribed: what made room for others before it was read is told as [`Received::Lagged`], exactly, ahead of the
///    oldest that is still there. With 4 places and ten notifications: `Lagged(6)`, then 6, 7, 8, 9.
/// 5. Every notification is accounted for to each who subscribed to it: delivered, lagged, abandoned or waiting.
/// 6. The id of a subscriber who left is refused for ever, and is nobody else's. What waited for it is counted as abandoned.
/// 7. A topic that is none gives the payload back; a subscriber beyond the places, or with a pattern that is none, is refused. Both are
///    counted, and nothing else changes.
///
/// # Cost
/// `Notifications<u16, 8, 4>`: 856 bytes of RAM and 3,688 of flash on thumbv6m (image `notify`). To send is O(`SUBSCRIBERS`) comparisons of a topic
/// with a pattern; to read passes over what others get in between, each once.
///
/// # Errors
/// [`Rejected`], [`SubscribeError`], [`NotSubscribed`].
///
/// # Sharing
/// Behind a [`crate::shared::Shared`]; what is to be used outside of `with` is copied in it.
///
/// # Example
/// ```
/// use daur_core::services::notify::{Notifications, Received};
/// use daur_core::time::Instant;
///
/// #[derive(Clone, Copy, Debug, PartialEq)]
/// enum Alarm {
///     Hot(i16),
///     Stuck,
/// }
///
/// let mut alarms: Notifications<Alarm, 8, 2> = Notifications::new();
/// let panel = alarms.subscribe("motor.>")?;
/// alarms.notify("motor.left.heat", Alarm::Hot(81), Instant::from_secs(1))?;
/// alarms.notify("valve.2", Alarm::Stuck, Instant::from_secs(2))?;
///
/// let Some(Received::Notification(first)) = alarms.try_recv(panel)? else { unreachable!("one waits") };
/// assert!(first.topic == "motor.left.heat" && first.payload == Alarm::Hot(81));
/// assert_eq!(alarms.try_recv(panel)?, None);
/// assert_eq!(alarms.notifications(">", 8).count(), 2);
/// # Ok::<(), Box<dyn core::error::Error>>(())
/// ```
///
/// # References
/// The wildcards are those of NATS subjects.
#[doc(alias = "NotificationManager")]
#[derive(Clone, Debug)]
pub struct Notifications<T, const N: usize, const SUBSCRIBERS: usize, const TOPIC: usize = 32> {
    slots: [Option<Slot<T, TOPIC>>; N],
    seats: [Seat<TOPIC>; SUBSCRIBERS],
    /// The next notification's number.
    next: u64,
    /// The slot that it takes.
    place: usize,
    unheard: u64,
    matched: u64,
    delivered: u64,
    lagged: u64,
    abandoned: u64,
    refused: u32,
}

impl<T, const N: usize, const SUBSCRIBERS: usize, const TOPIC: usize> Notifications<T, N, SUBSCRIBERS, TOPIC> {
    /// No notifications and no subscribers.
    #[must_use]
    pub const fn new() -> Self {
        const {
            assert!(N > 0 && N <= 65_536, "there are between 1 and 65,536 places for notifications");
            assert!(SUBSCRIBERS <= 32, "there are at most 32 places for subscribers");
            assert!(TOPIC > 0 && TOPIC <= 255, "a topic has between 1 and 255 bytes");
        }
        Self {
            slots: [const { None }; N],
            seats: [Seat::FREE; SUBSCRIBERS],
            next: 0,
            place: 0,
            unheard: 0,
            matched: 0,
            delivered: 0,
            lagged: 0,
            abandoned: 0,
            refused: 0,
        }
    }

    /// Subscribes to what is sent from now on to the topics of `pattern`.
    ///
    /// # Errors
    /// [`SubscribeError`]: there is no place, or the pattern is none. Counted.
    pub fn subscribe(&mut self, pattern: &str) -> Result<SubscriberId, SubscribeError> {
        let result = self.try_subscribe(pattern);
        self.refused = self.refused.saturating_add(u32::from(result.is_err()));
        self.invariants();
        result
    }

    fn try_subscribe(&mut self, pattern: &str) -> Result<SubscriberId, SubscribeError> {
        check_pattern(pattern).map_err(SubscribeError::Pattern)?;
        let pattern = Text::new(pattern).map_err(|error| SubscribeError::Pattern(error.into()))?;
        let free = self.seats.iter_mut().zip(0_u8..).find(|(seat, _)| seat.pattern.is_empty());
        let (seat, place) = free.ok_or(SubscribeError::Full)?;
        *seat = Seat { pattern, cursor: self.next, generation: seat.generation, ..Seat::FREE };
        Ok(SubscriberId { place, generation: seat.generation })
    }

    /// Ends a subscription. What waits for it stays in the history.
    ///
    /// # Errors
    /// [`NotSubscribed`]: it has ended already.
    pub fn unsubscribe(&mut self, id: SubscriberId) -> Result<(), NotSubscribed> {
        let seat = seat(&mut self.seats, id)?;
        self.abandoned = self.abandoned.saturating_add(seat.waiting.into());
        *seat = Seat { generation: seat.generation.wrapping_add(1), ..Seat::FREE };
        for slot in self.slots.iter_mut().flatten() {
            slot.unread &= !bit(id.place);
        }
        self.invariants();
        Ok(())
    }

    /// Sends `payload` to all who subscribed to `topic`, and into the history. The oldest one makes room.
    ///
    /// # Errors
    /// [`Rejected`] with the payload: the topic is none, or too long. Counted.
    pub fn notify(&mut self, topic: &str, payload: T, now: Instant) -> Result<Sent, Rejected<T>> {
        let too_long = TopicError::TooLong { len: topic.len(), max: TOPIC };
        let fits = if topic.len() > TOPIC { Err(too_long) } else { Ok(()) };
        if let Err(error) = check_topic(topic).and(fits) {
            self.refused = self.refused.saturating_add(1);
            return Err(Rejected { payload, error });
        }
        self.make_room();
        let (mut unread, mut subscribers) = (0, 0);
        for (seat, place) in self.seats.iter_mut().zip(0_u8..) {
            if !seat.pattern.is_empty() && topic::matches_bytes(seat.pattern.as_bytes(), topic.as_bytes()) {
                unread |= bit(place);
                subscribers += 1;
                seat.waiting = seat.waiting.saturating_add(1);
            }
        }
        self.matched = self.matched.saturating_add(u64::from(subscribers));
        self.unheard = self.unheard.saturating_add(u64::from(subscribers == 0));
        let number = self.next;
        if let Some(slot) = self.slots.get_mut(self.place) {
            let topic = Text::cut(topic);
            *slot = Some(Slot { notification: Notification { number, at: now, topic, payload }, unread });
        }
        self.next = number.saturating_add(1);
        self.place = if self.place + 1 < N { self.place + 1 } else { 0 };
        self.invariants();
        Ok(Sent { number, subscribers })
    }

    /// Notes who has not read the notification in whose place the next one comes.
    fn make_room(&mut self) {
        // It stays where it is: to take it out would be to copy it.
        let unread = self.slots.get(self.place).and_then(Option::as_ref).map_or(0, |slot| slot.unread);
        if unread == 0 {
            return;
        }
        for (seat, place) in self.seats.iter_mut().zip(0_u8..) {
            if unread & bit(place) != 0 {
                seat.waiting = seat.waiting.saturating_sub(1);
                seat.lagged = seat.lagged.saturating_add(1);
            }
        }
        self.lagged = self.lagged.saturating_add(unread.count_ones().into());
    }

    /// Gives a subscriber the next notification that waits for it, or how many have gone before it; `None` if nothing waits.
    ///
    /// # Errors
    /// [`NotSubscribed`]: this subscription has ended.
    pub fn try_recv(&mut self, id: SubscriberId) -> Result<Option<Received<'_, T, TOPIC>>, NotSubscribed> {
        let seat = seat(&mut self.seats, id)?;
        if seat.lagged > 0 {
            return Ok(Some(Received::Lagged(core::mem::take(&mut seat.lagged))));
        }
        if seat.waiting == 0 {
            return Ok(None);
        }
        // From the oldest on, all places stand for numbers in a row, of which the last is before `next`.
        let behind = usize::try_from(self.next.saturating_sub(seat.cursor)).unwrap_or(N);
        let (newer, older) = self.slots.split_at_mut_checked(self.place).unwrap_or_default();
        let mut from_cursor = older.iter_mut().chain(newer).skip(N.saturating_sub(behind)).flatten();
        let Some(slot) = from_cursor.find(|slot| slot.unread & bit(id.place) != 0) else { return Ok(None) };
        slot.unread &= !bit(id.place);
        seat.cursor = slot.notification.number.saturating_add(1);
        seat.waiting = seat.waiting.saturating_sub(1);
        self.delivered = self.delivered.saturating_add(1);
        Ok(Some(Received::Notification(&slot.notification)))
    }

    /// Notifications that wait for a subscriber; what it lags behind by is not among them.
    ///
    /// # Errors
    /// [`NotSubscribed`]: this subscription has ended.
    pub fn waiting(&self, id: SubscriberId) -> Result<u32, NotSubscribed> {
        let seat = self.seats.get(usize::from(id.place)).filter(|seat| is_of(seat, id));
        seat.map(|seat| seat.waiting).ok_or(NotSubscribed)
    }

    /// The last `limit` notifications on the topics of `pattern`, the oldest of them first. A text that is no pattern has none.
    #[doc(alias = "get_notifications")]
    pub fn notifications<'a>(
        &'a self,
        pattern: &'a str,
        limit: usize,
    ) -> impl Iterator<Item = &'a Notification<T, TOPIC>> {
        let is_pattern = check_pattern(pattern).is_ok();
        let wanted = move |slot: &&Slot<T, TOPIC>| {
            is_pattern && topic::matches_bytes(pattern.as_bytes(), slot.notification.topic.as_bytes())
        };
        let passed = self.slots.iter().flatten().filter(wanted).count().saturating_sub(limit);
        let (newer, older) = self.slots.split_at_checked(self.place).unwrap_or_default();
        let in_order = older.iter().chain(newer).flatten();
        in_order.filter(wanted).skip(passed).take(limit).map(|slot| &slot.notification)
    }

    /// The figures.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        Snapshot {
            sent: self.next,
            unheard: self.unheard,
            matched: self.matched,
            delivered: self.delivered,
            lagged: self.lagged,
            abandoned: self.abandoned,
            waiting: self.seats.iter().map(|seat| u64::from(seat.waiting)).sum(),
            refused: self.refused,
            subscribers: count(self.seats.iter().filter(|seat| !seat.pattern.is_empty()).count()),
            kept: count(self.slots.iter().flatten().count()),
        }
    }

    fn invariants(&self) {
        if cfg!(debug_assertions) {
            let shown = self.snapshot();
            debug_assert_eq!(shown.matched, shown.delivered + shown.lagged + shown.abandoned + shown.waiting);
            let unread: u32 = self.slots.iter().flatten().map(|slot| slot.unread.count_ones()).sum();
            debug_assert_eq!(u64::from(unread), shown.waiting);
        }
    }
}

impl<T, const N: usize, const SUBSCRIBERS: usize, const TOPIC: usize> Default
    for Notifications<T, N, SUBSCRIBERS, TOPIC>
{
    fn default() -> Self {
        Self::new()
    }
}

fn seat<const TOPIC: usize>(seats: &mut [Seat<TOPIC>], id: SubscriberId) -> Result<&mut Seat<TOPIC>, NotSubscribed> {
    seats.get_mut(usize::from(id.place)).filter(|seat| is_of(seat, id)).ok_or(NotSubscribed)
}

fn is_of<const TOPIC: usize>(seat: &Seat<TOPIC>, id: SubscriberId) -> bool {
    !seat.pattern.is_empty() && seat.generation == id.generation
}

/// The bit of a seat. There are 32 at most.
const fn bit(place: u8) -> u32 {
    1_u32.wrapping_shl(place as u32)
}
