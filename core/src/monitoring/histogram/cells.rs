//! Where a histogram counts: a cell for every bucket, or a window that follows the data.

use super::grid;

mod sealed {
    pub trait Sealed {}
}

/// A counter of a histogram: `u16`, `u32` or `u64`, which is full at 2^51 so that no total of cells wraps.
pub trait Cell: Copy + Eq + core::fmt::Debug + sealed::Sealed {
    /// Nothing counted.
    const ZERO: Self;

    /// Adds `n` up to the type's end; `false` if that was reached and something was not counted.
    fn add(&mut self, n: u64) -> bool;

    /// Adds one; `false` if it could not.
    fn bump(&mut self) -> bool;

    /// What has been counted.
    fn value(self) -> u64;
}

macro_rules! cell {
    ($($word:ty: $end:expr),*) => {$(
        impl sealed::Sealed for $word {}

        impl Cell for $word {
            const ZERO: Self = 0;

            #[inline]
            fn add(&mut self, n: u64) -> bool {
                let sum = Self::try_from(n).ok().and_then(|n| self.checked_add(n)).filter(|sum| *sum <= $end);
                *self = sum.unwrap_or($end);
                sum.is_some()
            }

            #[inline]
            fn bump(&mut self) -> bool {
                match self.checked_add(1) {
                    Some(next) if next <= $end => {
                        *self = next;
                        true
                    }
                    _ => false,
                }
            }

            #[inline]
            fn value(self) -> u64 {
                u64::from(self)
            }
        }
    )*};
}

cell!(u16: u16::MAX, u32: u32::MAX, u64: 1 << 51);

/// Where a value is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// With the zeros, which no exponential bucket holds.
    Zero,
    /// In the bucket of this index.
    At(i32),
    /// With the values above the range.
    Above,
}

impl Place {
    /// The index, if the place has one.
    pub(super) const fn index(self) -> Option<i32> {
        match self {
            Self::At(index) => Some(index),
            Self::Zero | Self::Above => None,
        }
    }
}

/// How a histogram's cells are laid out. [`Dense`] and [`Window`] are.
pub trait Cells: sealed::Sealed {
    /// Nothing counted.
    const EMPTY: Self;

    /// Counts `value`; `false` if a cell was full.
    fn add(&mut self, value: u64) -> bool;

    /// [`add`](Cells::add) in 32-bit steps.
    fn add_word(&mut self, value: u32) -> bool;

    /// Adds what `other` has counted; `false` if a cell was full.
    fn merge(&mut self, other: &Self) -> bool;

    /// How often the resolution has been halved, from scale 5.
    fn shift(&self) -> u32;

    /// The highest value that has a bucket.
    fn limit(&self) -> u64;

    /// All places with their counts, lowest first.
    fn slots(&self) -> impl Iterator<Item = (Place, u64)> + '_;

    /// The place of a value that `above` values exceed or follow, of which `max` is the highest.
    fn nth_from_above(&self, above: u64, max: u64) -> Option<Place>;
}

/// The place in which the `left`-th count from the end (from 0) lies; else how many are left.
fn walk(slots: impl Iterator<Item = (Place, u64)>, mut left: u64) -> Result<Place, u64> {
    for (place, count) in slots {
        if left < count {
            return Ok(place);
        }
        left -= count;
    }
    Err(left)
}

/// A cell for every scale-5 bucket of `OCTAVES` octaves: values up to 2^`OCTAVES`.
///
/// 32 octaves of microseconds are 71 minutes; 42 of nanoseconds are 73.
#[derive(Clone, Debug)]
#[repr(C)] // What is near the start is near for the instructions too.
pub struct Dense<C, const OCTAVES: usize> {
    zeros: C,
    /// The value 1, whose bucket has the index -1.
    ones: C,
    above: C,
    rows: [[C; grid::PER_OCTAVE as usize]; OCTAVES],
}

impl<C: Cell, const OCTAVES: usize> sealed::Sealed for Dense<C, OCTAVES> {}

impl<C: Cell, const OCTAVES: usize> Dense<C, OCTAVES> {
    #[inline]
    #[expect(clippy::cast_sign_loss, reason = "-1 becomes a cell that does not exist")]
    fn count(&mut self, index: i32, value: u64) -> bool {
        // The index of 0 has no cell in the rows, no more than that of 1.
        match self.rows.as_flattened_mut().get_mut(index as usize) {
            Some(cell) => cell.bump(),
            None => self.outside(value),
        }
    }

    /// Counts what has no cell in the rows: 0, 1 and all above.
    #[cold]
    #[inline(never)]
    fn outside(&mut self, value: u64) -> bool {
        match value {
            0 => self.zeros.bump(),
            1 => self.ones.bump(),
            _ => self.above.bump(),
        }
    }
}

impl<C: Cell, const OCTAVES: usize> Cells for Dense<C, OCTAVES> {
    const EMPTY: Self = {
        assert!(OCTAVES >= 1 && OCTAVES <= 64, "a dense histogram has 1 to 64 octaves");
        Self { zeros: C::ZERO, ones: C::ZERO, above: C::ZERO, rows: [[C::ZERO; grid::PER_OCTAVE as usize]; OCTAVES] }
    };

    #[inline]
    fn add(&mut self, value: u64) -> bool {
        self.count(grid::index(value), value)
    }

    #[inline]
    fn add_word(&mut self, value: u32) -> bool {
        self.count(grid::index_of_word(value), u64::from(value))
    }

    fn merge(&mut self, other: &Self) -> bool {
        let mut fits = self.zeros.add(other.zeros.value());
        fits &= self.ones.add(other.ones.value());
        fits &= self.above.add(other.above.value());
        for (row, other) in self.rows.iter_mut().zip(&other.rows) {
            for (cell, other) in row.iter_mut().zip(other) {
                fits &= cell.add(other.value());
            }
        }
        fits
    }

    fn shift(&self) -> u32 {
        0
    }

    #[expect(clippy::cast_possible_truncation, clippy::cast_possible_wrap, reason = "at most 64 octaves")]
    fn limit(&self) -> u64 {
        grid::upper((OCTAVES as i32) * grid::PER_OCTAVE as i32 - 1, 0)
    }

    fn slots(&self) -> impl Iterator<Item = (Place, u64)> + '_ {
        let low = [(Place::Zero, self.zeros.value()), (Place::At(-1), self.ones.value())];
        let rows = (0..).zip(self.rows.iter().flatten()).map(|(index, cell)| (Place::At(index), cell.value()));
        low.into_iter().chain(rows).chain([(Place::Above, self.above.value())])
    }

    /// By whole octaves from the one of `max` down: the interesting quantiles are near the top.
    fn nth_from_above(&self, above: u64, max: u64) -> Option<Place> {
        let mut left = above;
        match self.above.value() {
            count if left < count => return Some(Place::Above),
            count => left -= count,
        }
        let octaves = usize::try_from(max.checked_ilog2().map_or(0, |octave| octave + 1)).unwrap_or(OCTAVES);
        for (octave, row) in self.rows.get(..octaves).unwrap_or(&self.rows).iter().enumerate().rev() {
            let count = row.iter().map(|cell| cell.value()).sum();
            if left < count {
                let first = i32::try_from(octave).unwrap_or(0).wrapping_mul(grid::PER_OCTAVE.cast_signed());
                let cells = (0..grid::PER_OCTAVE.cast_signed()).zip(row).rev();
                return walk(cells.map(|(at, cell)| (Place::At(first + at), cell.value())), left).ok();
            }
            left -= count;
        }
        walk([(Place::At(-1), self.ones.value()), (Place::Zero, self.zeros.value())].into_iter(), left).ok()
    }
}

/// `N` cells that lie where the data is, as fine as the data's range allows.
#[derive(Clone, Debug)]
pub struct Window<C, const N: usize> {
    /// The index of the first cell, at the present scale.
    base: i32,
    /// How often the resolution has been halved.
    shift: u32,
    zeros: C,
    cells: [C; N],
}

impl<C: Cell, const N: usize> sealed::Sealed for Window<C, N> {}

impl<C: Cell, const N: usize> Window<C, N> {
    /// The cell of a bucket, if the window covers it.
    #[inline]
    #[expect(clippy::cast_sign_loss, reason = "what is below the window becomes a place far above it")]
    fn cell(&mut self, index: i32) -> Option<&mut C> {
        self.cells.get_mut(index.wrapping_sub(self.base) as usize)
    }

    #[inline]
    fn count(&mut self, index: i32) -> bool {
        match self.cell(index >> (self.shift & 31)) {
            Some(cell) => cell.bump(),
            None => self.count_outside(index),
        }
    }

    /// Counts what the window does not cover yet.
    #[cold]
    #[inline(never)]
    fn count_outside(&mut self, index: i32) -> bool {
        let fits = self.make_room(index, index, 0);
        let counted = self.cell(index >> (self.shift & 31)).is_some_and(Cell::bump);
        fits & counted
    }

    /// The first and the last bucket in use.
    fn used(&self) -> Option<(i32, i32)> {
        let mut used = (self.base..).zip(&self.cells).filter(|(_, cell)| **cell != C::ZERO).map(|(index, _)| index);
        let first = used.next()?;
        Some((first, used.last().unwrap_or(first)))
    }

    /// Halves and moves until the window covers `low..=high` (at the scale of `shift`) besides what is in
    /// use. `false` if a cell was full.
    #[expect(clippy::cast_possible_wrap, clippy::cast_possible_truncation, reason = "a window has few cells")]
    fn make_room(&mut self, low: i32, high: i32, shift: u32) -> bool {
        let target = self.shift.max(shift);
        let (mut low, mut high) = (low >> (target - shift), high >> (target - shift));
        if let Some((first, last)) = self.used() {
            low = low.min(first >> (target - self.shift));
            high = high.max(last >> (target - self.shift));
        }
        let mut by = target - self.shift;
        while high - low >= N as i32 {
            low >>= 1;
            high >>= 1;
            by += 1;
        }
        let fits = self.fold(by);
        // What is free is shared between both ends.
        self.move_to(low - (N as i32 - 1 - (high - low)) / 2);
        fits
    }

    /// Halves the resolution `by` times.
    #[expect(clippy::cast_sign_loss, reason = "a bucket does not come before the first one")]
    fn fold(&mut self, by: u32) -> bool {
        let mut fits = true;
        let (old, new) = (self.base, self.base >> by);
        for place in 0..N {
            let Some(cell) = self.cells.get_mut(place) else { break };
            let count = core::mem::replace(cell, C::ZERO).value();
            // A bucket only ever moves towards the first one: what it meets there has moved before it.
            let to = (old.saturating_add_unsigned(u32::try_from(place).unwrap_or(0)) >> by) - new;
            if let Some(cell) = self.cells.get_mut(to as usize) {
                fits &= cell.add(count);
            }
        }
        self.base = new;
        self.shift += by;
        fits
    }

    /// Lets the window begin at `base`. What is in use must lie inside.
    fn move_to(&mut self, base: i32) {
        let distance = usize::try_from(base.abs_diff(self.base)).unwrap_or(N);
        let take = |cells: &mut [C; N], from: Option<usize>| {
            from.and_then(|from| cells.get_mut(from)).map_or(C::ZERO, |cell| core::mem::replace(cell, C::ZERO))
        };
        if base < self.base {
            for place in (0..N).rev() {
                let count = take(&mut self.cells, place.checked_sub(distance));
                if let Some(cell) = self.cells.get_mut(place) {
                    *cell = count;
                }
            }
        } else if base > self.base {
            for place in 0..N {
                let count = take(&mut self.cells, place.checked_add(distance));
                if let Some(cell) = self.cells.get_mut(place) {
                    *cell = count;
                }
            }
        }
        self.base = base;
    }
}

impl<C: Cell, const N: usize> Cells for Window<C, N> {
    const EMPTY: Self = {
        assert!(N >= 2 && N <= 4096, "a window has 2 to 4096 cells");
        Self { base: 0, shift: 0, zeros: C::ZERO, cells: [C::ZERO; N] }
    };

    #[inline]
    fn add(&mut self, value: u64) -> bool {
        // The index of 0 is asked and not the value: of one that it knows not to be 0, x86's old instruction that counts
        // zeros is made to wait for what its register held before, which is the last record's cell.
        match grid::index(value) {
            ..-1 => self.zeros.bump(),
            index => self.count(index),
        }
    }

    #[inline]
    fn add_word(&mut self, value: u32) -> bool {
        if value == 0 { self.zeros.bump() } else { self.count(grid::index_of_word(value)) }
    }

    fn merge(&mut self, other: &Self) -> bool {
        let mut fits = self.zeros.add(other.zeros.value());
        let Some((low, high)) = other.used() else { return fits };
        fits &= self.make_room(low, high, other.shift);
        let down = self.shift.saturating_sub(other.shift);
        for (index, cell) in (other.base..).zip(&other.cells) {
            if let Some(mine) = self.cell(index >> down) {
                fits &= mine.add(cell.value());
            }
        }
        fits
    }

    fn shift(&self) -> u32 {
        self.shift
    }

    fn limit(&self) -> u64 {
        u64::MAX
    }

    fn slots(&self) -> impl Iterator<Item = (Place, u64)> + '_ {
        let cells = (self.base..).zip(&self.cells).map(|(index, cell)| (Place::At(index), cell.value()));
        [(Place::Zero, self.zeros.value())].into_iter().chain(cells)
    }

    fn nth_from_above(&self, above: u64, _: u64) -> Option<Place> {
        let cells = self.cells.iter().enumerate().rev();
        let at = |place: usize| Place::At(self.base.wrapping_add(i32::try_from(place).unwrap_or(0)));
        let slots = cells.map(|(place, cell)| (at(place), cell.value()));
        walk(slots.chain([(Place::Zero, self.zeros.value())]), above).ok()
    }
}
