//! What every image needs: a start, values that the compiler cannot foresee, an end.
#![no_std]

pub use core::hint::black_box;
pub use cortex_m_rt;

use daur_core::time::Instant;

/// A moment that the compiler does not know.
#[must_use]
pub fn now() -> Instant {
    Instant::from_nanos(black_box(1_000_000_000))
}

/// Makes a program of one machine and of the calls that use it, over and over.
///
/// What the calls return must be passed to [`black_box`], or the compiler leaves it away.
#[macro_export]
macro_rules! image {
    ($machine:ident: $type:ty = $init:expr; $use:block) => {
        #[$crate::cortex_m_rt::entry]
        fn main() -> ! {
            static mut MACHINE: $type = $init;
            let $machine = $crate::black_box(MACHINE);
            loop {
                $use
            }
        }
    };
}

/// Ends the emulator or, in an image that is only weighed, does nothing: if nothing panics, the
/// linker leaves this function away together with all of `core::panicking`.
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    #[cfg(feature = "semihosting")]
    semihosting::process::exit(101);
    #[cfg(not(feature = "semihosting"))]
    loop {}
}
