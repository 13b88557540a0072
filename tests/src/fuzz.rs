//! What is fuzzed: one function a parser, which takes any bytes and asserts what must hold for all of them.
//!
//! The fuzzers (`tests/fuzz`, run by `.ci/long`) look for inputs; `cargo test` replays those that are kept under
//! `tests/fuzz/corpus`, so a fault that was found once stays found.

mod audit;
mod input;
mod phc;
#[cfg(feature = "policy")]
mod policy;
mod token;
mod wire;

/// One parser: its name, which is that of its corpus, and its function.
pub type Target = (&'static str, fn(&[u8]));

/// All of them.
pub const TARGETS: &[Target] = &[
    ("audit", audit::run),
    ("claims", token::claims),
    ("command", input::command),
    ("email", input::email),
    ("header", token::header),
    ("path", input::path),
    ("phc", phc::run),
    #[cfg(feature = "policy")]
    ("policy", policy::run),
    ("sanitize", input::sanitize),
    ("token", token::run),
    ("wire", wire::run),
];

/// Those that this build leaves out, since they need `daur-std`.
pub const LEFT_OUT: &[&str] = if cfg!(feature = "policy") { &[] } else { &["policy"] };

/// Runs the parser called `name`.
///
/// # Panics
/// If there is none of that name, or if an assertion of it fails: that is what a fuzzer looks for.
pub fn run(name: &str, data: &[u8]) {
    let Some((_, target)) = TARGETS.iter().find(|(known, _)| *known == name) else {
        panic!("no fuzz target is called {name}")
    };
    target(data);
}
