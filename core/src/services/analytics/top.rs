//! The most frequent of many things, in a few places.

/// Counts the most frequent of a stream of items in `N` places.
///
/// While there are no more than `N` different ones, every count is exact. Beyond that a new one takes the place of the rarest
/// and inherits its count as the bound of its error.
///
/// # Rules
/// 1. The counts in the table sum up to the total.
/// 2. Every item that makes up more than an `N`-th of all is in the table.
/// 3. An item's true count is at most `count` and at least `count - overestimate`.
///
/// # Cost
/// `N` items with 16 bytes each. O(`N`) comparisons a record.
///
/// # Example
/// ```
/// use daur_core::services::analytics::Top;
///
/// let mut top: Top<char, 3> = Top::new();
/// "abracadabra".chars().for_each(|letter| top.record(letter));
/// let first = top.iter().next().unwrap();
/// assert_eq!((first.item, first.count - first.overestimate <= 5 && 5 <= first.count), ('a', true));
/// assert_eq!(top.total(), 11);
/// ```
///
/// # References
/// Metwally, Agrawal, El Abbadi: "Efficient computation of frequent and top-k elements in data streams", 2005.
#[derive(Clone, Debug)]
pub struct Top<T, const N: usize> {
    places: [Option<Ranked<T>>; N],
    total: u64,
}

/// An item and how often it came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Ranked<T> {
    /// What came.
    pub item: T,
    /// How often, at most.
    pub count: u64,
    /// By how much `count` may be too high; 0 if it is exact.
    pub overestimate: u64,
}

impl<T, const N: usize> Top<T, N> {
    /// Nothing counted.
    #[must_use]
    pub const fn new() -> Self {
        Self { places: [const { None }; N], total: 0 }
    }

    /// Items counted.
    #[must_use]
    pub const fn total(&self) -> u64 {
        self.total
    }

    /// What is in the table, the most frequent first.
    pub fn iter(&self) -> impl Iterator<Item = &Ranked<T>> {
        let mut before: Option<(u64, usize)> = None;
        core::iter::from_fn(move || {
            // The next in order of falling count, then of rising place: a selection sort, one step a call.
            let ranked = self.places.iter().enumerate().filter_map(|(place, ranked)| Some((ranked.as_ref()?, place)));
            let rest = ranked.filter(|(ranked, place)| {
                before.is_none_or(|(count, at)| ranked.count < count || (ranked.count == count && *place > at))
            });
            let (ranked, place) = rest.min_by_key(|(ranked, place)| (core::cmp::Reverse(ranked.count), *place))?;
            before = Some((ranked.count, place));
            Some(ranked)
        })
    }
}

impl<T: Eq, const N: usize> Top<T, N> {
    /// Counts `item`.
    pub fn record(&mut self, item: T) {
        self.total = self.total.saturating_add(1);
        // Its own place, else a free one (which counts as rarer than any), else the rarest.
        let mut rarest: Option<&mut Option<Ranked<T>>> = None;
        let mut fewest = u64::MAX;
        for place in &mut self.places {
            match place {
                Some(known) if known.item == item => {
                    known.count = known.count.saturating_add(1);
                    return;
                }
                _ => {
                    let count = place.as_ref().map_or(0, |known| known.count);
                    if rarest.is_none() || count < fewest {
                        (rarest, fewest) = (Some(place), count);
                    }
                }
            }
        }
        if let Some(place) = rarest {
            *place = Some(Ranked { item, count: fewest.saturating_add(1), overestimate: fewest });
        }
    }
}

impl<T, const N: usize> Default for Top<T, N> {
    fn default() -> Self {
        Self::new()
    }
}
