//! One set of logging macros over `log`, `defmt` or nothing.
#![allow(unused_macros, unused_imports, reason = "which of them are used depends on the features")]

#[cfg(all(feature = "log", feature = "defmt"))]
compile_error!("features `log` and `defmt` exclude each other: a program has one logger");

macro_rules! log_warn {
    ($text:literal $(, $arg:expr)* $(,)?) => {{
        #[cfg(feature = "log")]
        ::log::warn!($text $(, $arg)*);
        #[cfg(feature = "defmt")]
        ::defmt::warn!($text $(, $arg)*);
        #[cfg(not(any(feature = "log", feature = "defmt")))]
        let _ = ($(&$arg,)*);
    }};
}
