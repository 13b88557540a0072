//! A sensor node.
#![no_std]
#![no_main]

use cortex_m_rt::entry;
use daur_firmware::boot::{BootSource, Scripted};
use daur_firmware::sensor::{Script, ScriptedBus};
use daur_firmware::{board, clock, stack, uart::Uart};
use daur_core::time::Instant;
#[cfg(feature = "qemu")]
use defmt_semihosting as _;
#[cfg(not(feature = "qemu"))]
use defmt_rtt as _;

#[panic_handler]
fn panic(info: &core::panic::PanicInfo<'_>) -> ! {
    match info.location() {
        Some(at) => defmt::error!("panic at {=str}:{=u32}", at.file(), at.line()),
        None => defmt::error!("panic"),
    }
    board::abort()
}

#[entry]
fn main() -> ! {
    let mut core = cortex_m::Peripherals::take().unwrap();
    clock::start(&mut core.SYST);
    let boot = Scripted { seed: 1 }.boot();
    defmt::info!("{}", boot);
    let mut uart = Uart::start();
    uart.write(b"hello\n");
    let mut n = 0;
    struct C;
    impl daur_core::time::Clock for C {
        fn now(&self) -> Instant { Instant::from_micros(clock::micros().into()) }
    }
    let mut sht = shtcx::shtc3(ScriptedBus::new(Script::DEFAULT, C));
    loop {
        use embedded_hal::delay::DelayNs;
        clock::Delay.delay_ms(500);
        while let Some(b) = uart.read() { defmt::info!("got {}", b); }
        match sht.measure(shtcx::PowerMode::NormalMode, &mut clock::Delay) {
            Ok(m) => defmt::info!("{} {}", m.temperature.as_millidegrees_celsius(), m.humidity.as_millipercent()),
            Err(_) => defmt::info!("no"),
        }
        n += 1;
        defmt::info!("{} us, stack {}/{}", clock::micros(), stack::high_water(), stack::size());
        if n == 24 { cortex_m::peripheral::SCB::sys_reset(); }
    }
}
