//! What both loops stand on: sleep, the watchdog, a wire that is slower than the node.
#![no_std]
#![no_main]

use cortex_m_rt as _;

#[cfg(test)]
#[embedded_test::tests]
mod tests {
    use core::cell::Cell;

    use daur_core::reliability::health::{self, Health, Outcome};
    use daur_core::time::{Clock, Duration, Instant};
    use daur_core::wire::record::ResetCause;
    use daur_firmware::boot::{self, Boot, BootSource};
    use daur_firmware::clock::{self, Delay, Timer};
    use daur_firmware::tally::{self, Pages};
    use daur_firmware::uart::Uart;
    use daur_firmware::watchdog::{Dog, Watchdog};
    use daur_firmware::{config, idle, log, script};
    use embedded_hal::delay::DelayNs;

    const MILLI: Duration = Duration::from_millis(1);

    #[init]
    fn init() -> Boot {
        let mut core = cortex_m::Peripherals::take().unwrap();
        clock::start(&mut core.SYST);
        { boot::SOURCE }.boot()
    }

    /// Works on without sleep.
    fn spin(time: Duration) {
        let until = Timer.now() + time;
        while Timer.now() < until {}
    }

    #[test]
    fn watchdog_that_is_fed_does_not_bite(boot: Boot) {
        assert_eq!(boot.cause, ResetCause::PowerOn);
        let mut dog = Dog::default();
        dog.start(MILLI.times(20));
        for _ in 0..20 {
            spin(MILLI.times(15));
            dog.feed();
        }
    }

    #[test]
    fn watchdog_that_is_not_fed_bites_and_the_next_life_knows_and_has_the_log(boot: Boot) {
        // The chip runs this test again after its reset; the RAM tells the two lives apart.
        if boot.id.0 == 1 {
            let _ = log::record(daur_core::wire::record::Level::Warn, "test", "it hangs now", Timer.now());
            let mut dog = Dog::default();
            dog.start(MILLI.times(20));
            loop {
                core::hint::spin_loop();
            }
        }
        assert_eq!((boot.id.0, boot.cause), (2, ResetCause::Watchdog));
        assert_eq!(log::untold().unwrap().1.message.as_str(), "it hangs now");
    }

    #[test]
    fn watchdog_is_not_fed_for_a_task_that_is_not_heard_of(boot: Boot) {
        if boot.id.0 == 1 {
            let mut health = Health::<2>::new(health::Config::DEFAULT);
            let [one, other] = ["one", "other"].map(|name| health.add(name, config::ALIVE).unwrap());
            health.poll(Timer.now());
            let mut dog = Dog::default();
            dog.start(config::WATCHDOG);
            // One beats on, the other stops after a while in which the dog would have bitten unfed.
            let (start, alive_until) = (Timer.now(), Timer.now() + config::WATCHDOG.times(3));
            loop {
                let now = Timer.now();
                health.report(one, Outcome::Pass, Duration::ZERO, now);
                if now < alive_until {
                    health.report(other, Outcome::Pass, Duration::ZERO, now);
                }
                health.poll(now);
                if health.is_live() {
                    dog.feed();
                }
                let max_age = config::ALIVE.max_age.unwrap();
                assert!(now - start < config::WATCHDOG.times(4) + max_age + MILLI.times(200), "it has not bitten");
                let until = now + MILLI.times(100);
                idle::until(|| Timer.now() >= until);
            }
        }
        assert_eq!((boot.id.0, boot.cause), (2, ResetCause::Watchdog));
    }

    #[test]
    fn idle_time_is_the_time_asleep_and_no_other(_: Boot) {
        let before = idle::asleep();
        spin(MILLI.times(50));
        assert_eq!(idle::asleep(), before);
        Delay.delay_ms(50);
        let asleep = idle::asleep() - before;
        assert!((MILLI.times(48)..=MILLI.times(52)).contains(&asleep), "{}", asleep.as_micros());
    }

    #[test]
    fn idle_sleeps_not_through_an_interrupt_that_comes_after_the_look(_: Boot) {
        let mut uart = Uart::start();
        for _ in 0..50 {
            // At the beginning of a millisecond, when the timer would let it sleep longest.
            let tick = Timer.now() + MILLI;
            idle::until(|| Timer.now() >= tick);
            let asked = Cell::new(None);
            let mut woken = Instant::ZERO;
            idle::until(|| match asked.get() {
                None => {
                    // The port's interrupt is pended between the look and the sleep.
                    uart.write(b"x");
                    asked.set(Some(Timer.now()));
                    false
                }
                Some(_) => {
                    woken = Timer.now();
                    true
                }
            });
            let slept = woken - asked.get().unwrap();
            assert!(slept < Duration::from_micros(300), "{}", slept.as_micros());
        }
    }

    #[test]
    fn slow_wire_keeps_nobody_waiting_and_loses_nothing_that_was_taken(_: Boot) {
        let mut uart = Uart::start();
        script::stall(MILLI.times(30));
        let (before, all) = (Timer.now(), uart.room());
        assert_eq!(uart.write(&[7; 100]), all);
        assert_eq!((uart.room(), uart.write(&[7; 100]), uart.has_room()), (0, 0, false));
        assert!(Timer.now() - before < MILLI.times(2));
        let bound = Timer.now() + MILLI.times(100);
        idle::until(|| uart.has_room() || Timer.now() >= bound);
        let waited = Timer.now() - before;
        assert!((MILLI.times(28)..=MILLI.times(50)).contains(&waited), "{}", waited.as_millis());
        idle::until(|| uart.is_empty() || Timer.now() >= bound);
        assert_eq!(uart.room(), all);
    }

    /// Two small pages, whose power fails after so many operations, the last of them half-way.
    struct Flash {
        pages: [[u16; 8]; 2],
        power: u32,
    }

    impl Flash {
        /// Whether the operation that begins now ends; `None`: it does not even begin.
        fn spend(&mut self) -> Option<bool> {
            let left = self.power.checked_sub(1)?;
            self.power = left;
            Some(left > 0)
        }
    }

    impl Pages for Flash {
        const LEN: usize = 8;

        fn read(&self, page: usize, place: usize) -> u16 {
            self.pages[page][place]
        }

        fn program(&mut self, page: usize, place: usize, value: u16) {
            if let Some(whole) = self.spend() {
                assert_eq!(self.pages[page][place], 0xFFFF, "programmed twice");
                self.pages[page][place] = if whole { value } else { value | 0x00FF };
            }
        }

        fn erase(&mut self, page: usize) {
            if let Some(whole) = self.spend() {
                self.pages[page][if whole { 0 } else { 4 }..].fill(0xFFFF);
            }
        }
    }

    #[test]
    fn tally_tells_no_number_twice_wherever_power_fails(_: Boot) {
        for first in 0..40 {
            for second in 1..8 {
                // As it comes from the factory, and as another program may have left it.
                let mut flash = Flash { pages: [[0xFFFF; 8], [0; 8]], power: first };
                let mut last = 0;
                for start in 0..30 {
                    let number = tally::next(&mut flash);
                    if let Some(number) = number {
                        assert!(number > last && number <= last + 3, "{number} after {last}");
                        last = number;
                    }
                    if flash.power == 0 {
                        flash.power = if start % 2 == 0 { second } else { u32::MAX };
                    }
                }
                assert!(last > 10);
            }
        }
    }

    #[test]
    fn tally_counts_each_start_over_many_pages_and_refuses_a_flash_that_holds_nothing(_: Boot) {
        let mut flash = Flash { pages: [[0; 8]; 2], power: u32::MAX };
        for number in 1..=1_000 {
            assert_eq!(tally::next(&mut flash), Some(number));
        }
        flash.power = 0;
        assert_eq!(tally::next(&mut flash), None);
    }

    #[test]
    fn panic_or_watchdog_is_known_to_the_next_life_once(_: Boot) {
        boot::note(boot::End::Fault);
        assert_eq!({ boot::SOURCE }.boot().cause, ResetCause::Fault);
        boot::note(boot::End::Watchdog);
        assert_eq!({ boot::SOURCE }.boot().cause, ResetCause::Watchdog);
        assert_eq!({ boot::SOURCE }.boot().cause, ResetCause::Software);
    }
}
