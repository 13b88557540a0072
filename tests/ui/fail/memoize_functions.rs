//! What cannot be memoized.

use daur_std::memoize;

struct Sensor {
    id: u32,
}

impl Sensor {
    #[memoize]
    fn read(&self, channel: u8) -> u32 {
        self.id
    }

    #[memoize]
    fn new(id: u32) -> Self {
        Self { id }
    }
}

#[memoize]
fn generic<T: Clone, const N: usize>(key: T) -> u32 {
    5
}

#[memoize]
fn any(key: impl ToString) -> u32 {
    5
}

#[memoize]
fn changes(key: &mut u32) -> u32 {
    5
}

#[memoize]
fn borrowed_inside(words: &[&str], maybe: Option<&str>) -> u32 {
    5
}

#[memoize]
fn lent(text: &str) -> Option<&str> {
    text.split(' ').next()
}

#[memoize]
fn named<'a>(text: &'a str) -> std::borrow::Cow<'a, str> {
    text.into()
}

#[memoize]
fn hidden(key: u8) -> impl Iterator<Item = u8> {
    0..key
}

#[memoize]
fn taken_apart((a, b): (u32, u32)) -> u32 {
    a + b
}

#[memoize]
#[allow(clippy::too_many_arguments)]
fn many(a: u8, b: u8, c: u8, d: u8, e: u8, f: u8, g: u8, h: u8, i: u8) -> u8 {
    a
}

#[memoize]
const fn constant(key: u32) -> u32 {
    key
}

#[memoize]
fn never(key: u32) -> ! {
    loop {}
}

#[memoize]
struct Data;

fn main() {}
