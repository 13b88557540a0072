//! A number that no loss of power takes back: starts counted in two pages of flash, for a chip without entropy.

/// Two pages of flash, which take half-words: an erased one is all ones.
pub trait Pages {
    /// Half-words in a page.
    const LEN: usize;
    /// The half-word at `place` of `page`.
    fn read(&self, page: usize, place: usize) -> u16;
    /// Writes an erased half-word.
    fn program(&mut self, page: usize, place: usize, value: u16);
    /// Erases a page.
    fn erase(&mut self, page: usize);
}

const ERASED: u16 = 0xFFFF;
/// A page begins with the count that it goes on from, and a check of that.
const HEADER: usize = 3;

/// The page's first count, if it holds one.
fn base<P: Pages>(pages: &P, page: usize) -> Option<u32> {
    let (low, high) = (pages.read(page, 0), pages.read(page, 1));
    (pages.read(page, 2) == check(low, high)).then_some(u32::from(low) | u32::from(high) << 16)
}

/// Neither an erased page nor one of zeros passes.
const fn check(low: u16, high: u16) -> u16 {
    low.rotate_left(5) ^ high ^ 0x5A3C
}

/// The next number, which is on the pages before it is told: one that was told comes never again. `None`: the flash
/// holds nothing any more.
///
/// A start costs a half-word, and a page an erasure when it is full: ten thousand of them last for ten million starts.
pub fn next<P: Pages>(pages: &mut P) -> Option<u32> {
    let current = [0, 1].into_iter().filter_map(|page| Some((base(pages, page)?, page))).max();
    let Some((first, page)) = current else { return begin(pages, 0, 1) };
    // Whatever is not erased counts: a mark that lost its power half-way, too.
    let marks = (HEADER..P::LEN).take_while(|place| pages.read(page, *place) != ERASED).count();
    let number = u32::try_from(marks).ok().and_then(|marks| first.checked_add(marks)?.checked_add(1))?;
    let place = HEADER + marks;
    if place >= P::LEN {
        return begin(pages, 1 - page, number);
    }
    pages.program(page, place, 0);
    (pages.read(page, place) == 0).then_some(number)
}

/// Goes on with `number` in the other page. Its check comes last: until then the full one holds.
fn begin<P: Pages>(pages: &mut P, page: usize, number: u32) -> Option<u32> {
    let [a, b, c, d] = number.to_le_bytes();
    let (low, high) = (u16::from_le_bytes([a, b]), u16::from_le_bytes([c, d]));
    pages.erase(page);
    for (place, value) in [low, high, check(low, high)].into_iter().enumerate() {
        // Flash takes no ones: what is to stay erased is not written.
        if value != ERASED {
            pages.program(page, place, value);
        }
    }
    (base(pages, page) == Some(number)).then_some(number)
}
