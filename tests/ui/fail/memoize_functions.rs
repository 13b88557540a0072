//! What cannot be memoized.

use daur_std::memoize;

struct Sensor {
    id: u32,
}

impl Sensor {
    #[memoize]
    fn read(&self, _channel: u8) -> u32 {
        self.id
    }

    #[memoize]
    fn new(id: u32) -> Self {
        Self { id }
    }
}

#[memoize]
fn generic<T: Clone, const N: usize>(_key: T) -> u32 {
    5
}

#[memoize]
fn any(_key: impl ToString) -> u32 {
    5
}

#[memoize]
fn changes(_key: &mut u32) -> u32 {
    5
}

#[memoize]
fn borrowed_inside(_words: &[&str], _maybe: Option<&str>) -> u32 {
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
fn many(_a: u8, _b: u8, _c: u8, _d: u8, _e: u8, _f: u8, _g: u8, _h: u8, _i: u8) -> u8 {
    5
}

#[memoize]
const fn constant(key: u32) -> u32 {
    key
}

#[memoize]
fn never(_key: u32) -> ! {
    loop {}
}

#[memoize]
struct Data;

fn main() {}
