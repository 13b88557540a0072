//! What cannot be parallelized.

use daur_std::parallelize;

struct Data(u32);

impl Data {
    #[parallelize]
    fn changes(&mut self, numbers: &[u32]) -> Vec<u32> {
        numbers.to_vec()
    }

    #[parallelize]
    fn consumes(self, numbers: &[u32]) -> Vec<u32> {
        numbers.to_vec()
    }

    #[parallelize]
    fn nothing_else(&self) -> Vec<u32> {
        vec![self.0]
    }
}

#[parallelize]
fn nothing() -> Vec<u32> {
    Vec::new()
}

#[parallelize(num_workers = 0)]
fn nobody(numbers: &[u32]) -> Vec<u32> {
    numbers.to_vec()
}

#[parallelize(num_workers = "four", on = "tokio", queue = 5)]
fn wrong_arguments(numbers: &[u32]) -> Vec<u32> {
    numbers.to_vec()
}

#[parallelize]
async fn later(numbers: &[u32]) -> Vec<u32> {
    numbers.to_vec()
}

#[parallelize]
fn a_future(numbers: Vec<u32>) -> impl Future<Output = Vec<u32>> {
    std::future::ready(numbers)
}

#[parallelize]
const fn constant(_numbers: &[u32]) -> Vec<u32> {
    Vec::new()
}

#[parallelize]
fn not_shared(numbers: &[u32], sum: &mut u32) -> Vec<u32> {
    *sum += 1;
    numbers.to_vec()
}

#[parallelize]
fn taken_apart([a, b]: &[u32; 2]) -> Vec<u32> {
    vec![*a, *b]
}

#[parallelize]
fn one_number(number: u32) -> Vec<u32> {
    vec![number]
}

#[parallelize]
fn to_one_number(numbers: &[u32]) -> u32 {
    numbers.iter().sum()
}

fn main() {}
