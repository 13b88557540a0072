//! The parts that touch the chip.
#![no_std]
#![no_main]

use cortex_m_rt as _;

#[cfg(test)]
#[embedded_test::tests]
mod tests {
    use daur_core::reliability::limiter::Limiter;
    use daur_core::time::{Clock, Duration, Instant};
    use daur_core::wire::record::{ResetCause, Verdict};
    use daur_firmware::boot::{BootSource, Scripted};
    use daur_firmware::clock::{self, Delay, Timer};
    use daur_firmware::command::Command;
    use daur_firmware::sensor::{Script, ScriptedBus};
    use daur_firmware::{config, stack};
    use embedded_hal::delay::DelayNs;

    #[init]
    fn init() {
        let mut core = cortex_m::Peripherals::take().unwrap();
        clock::start(&mut core.SYST);
    }

    #[test]
    fn clock_never_goes_back_and_a_delay_lasts_as_long_as_asked() {
        let mut last = clock::micros();
        for _ in 0..20_000 {
            let now = clock::micros();
            assert!(now.wrapping_sub(last) < 1_000);
            last = now;
        }
        let before = Timer.now();
        Delay.delay_ms(25);
        let waited = Timer.now() - before;
        assert!((25..=27).contains(&waited.as_millis()));
    }

    /// Where the timer is SysTick; the nRF51's counts on through the end of a millisecond.
    #[test]
    #[cfg(not(daur_chip = "nrf51"))]
    fn clock_takes_the_end_of_a_millisecond_for_the_beginning_of_the_next() {
        // The last tick, the end with its interrupt waiting, the first tick of the next: never back.
        assert_eq!(clock::reading(7, 1, false, 1), Some(7_999));
        assert_eq!(clock::reading(7, 1, false, 0), None);
        assert_eq!(clock::reading(7, 0, true, 0), Some(8_000));
        assert_eq!(clock::reading(8, 0, false, 0), Some(8_000));
        assert_eq!(clock::reading(8, 0, false, daur_firmware::board::SYSCLK_HZ / 1_000 - 1), Some(8_000));
        assert_eq!(clock::reading(u32::MAX, 0, true, 0), Some(0));
    }

    #[test]
    fn clock_is_right_while_interrupts_are_masked() {
        cortex_m::interrupt::free(|_| {
            let start = clock::micros();
            let mut last = start;
            // Past the timer's wrap, whose interrupt waits.
            while last.wrapping_sub(start) < 900 {
                let now = clock::micros();
                assert!(now.wrapping_sub(last) < 100);
                last = now;
            }
        });
    }

    #[test]
    fn first_start_has_number_one_and_comes_from_power() {
        let boot = Scripted { seed: 1 }.boot();
        assert_eq!((boot.id.0, boot.cause), (1, ResetCause::PowerOn));
        // Asked again, as after a reset, since RAM stands: the next life, another nonce.
        let next = Scripted { seed: 1 }.boot();
        assert_eq!((next.id.0, next.cause), (2, ResetCause::Software));
        assert_ne!(boot.nonce, next.nonce);
    }

    #[test]
    fn stack_mark_rises_with_use_and_stays() {
        // The bytes are in its own frame: were they in the test's, an interrupt could still raise the mark later.
        #[inline(never)]
        fn deep() {
            core::hint::black_box(&mut [1_u8; 2_048]);
        }
        let before = stack::high_water();
        deep();
        let after = stack::high_water();
        assert!(after >= before.max(2_048) && after <= stack::size());
        assert_eq!(stack::high_water(), after);
    }

    #[test]
    fn sensor_answers_fails_and_heals_by_script() {
        let script = Script { healthy: Duration::from_secs(5), broken: Duration::from_secs(6) };
        let measure = |at| {
            let mut sensor = shtcx::shtc3(ScriptedBus::new(script, Instant::from_secs(at)));
            sensor.measure(shtcx::PowerMode::LowPower, &mut Delay)
        };
        let measured = measure(1).unwrap();
        assert!((20_000..=25_200).contains(&measured.temperature.as_millidegrees_celsius()));
        assert!((40_000..=55_100).contains(&measured.humidity.as_millipercent()));
        assert!(measure(4).is_ok() && measure(5).is_err() && measure(10).is_err() && measure(11).is_ok());

        // The fourth command gets through, and its answer is caught by the checksum alone.
        let mut sensor = shtcx::shtc3(ScriptedBus::new(script, Instant::from_secs(6)));
        let mut errors = [(); 4].map(|()| sensor.device_identifier().unwrap_err()).into_iter();
        assert!(errors.by_ref().take(3).all(|error| matches!(error, shtcx::Error::I2c(_))));
        assert_eq!(errors.next(), Some(shtcx::Error::Crc));
    }

    #[test]
    fn commands_are_read_strictly() {
        assert_eq!(Command::parse("report"), Ok(Command::Report));
        assert_eq!(Command::parse("set-interval 250"), Ok(Command::SetInterval(Duration::from_millis(250))));
        for text in
            ["set-interval", "set-interval x", "set-interval 99", "set-interval 60001", "report now", "restart 1"]
        {
            assert_eq!(Command::parse(text), Err(Verdict::Invalid), "{text}");
        }
        for text in ["", "reboot", "REPORT"] {
            assert_eq!(Command::parse(text), Err(Verdict::UnknownCommand), "{text}");
        }
        assert!(Limiter::try_new(config::COMMANDS).is_ok());
    }

    #[test]
    #[should_panic]
    fn a_panic_is_seen() {
        // Shows that the tests above could fail.
        assert_eq!(stack::high_water(), 0);
    }
}
