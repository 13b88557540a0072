//! An interrupt at every instruction of an operation: what is shared loses no update, and what is not shared does.
//!
//! The timer's reload is stepped by one tick, which is less than an instruction takes, so from step to step the interrupt
//! comes one instruction later, from before the operation until after it. In QEMU that is exact, since virtual time is
//! counted in instructions; on a chip a tick is a cycle. The nRF51 itself has no SysTick: leave this binary out there.
#![no_std]
#![no_main]

use cortex_m_rt as _;
#[cfg(daur_board)]
use defmt_rtt as _;
#[cfg(not(daur_board))]
use defmt_semihosting as _;

#[cfg(test)]
mod sweep {
    use core::cell::Cell;
    use core::sync::atomic::{AtomicU32, Ordering, compiler_fence};

    use cortex_m::peripheral::{SCB, SYST};
    use cortex_m_rt::ExceptionFrame;
    use critical_section::Mutex;

    /// What the interrupt does.
    static WORK: Mutex<Cell<fn()>> = Mutex::new(Cell::new(|| {}));
    /// Where main is: before the operation, in it, after it.
    static PHASE: AtomicU32 = AtomicU32::new(BEFORE);
    /// Where it was when the interrupt came.
    static CAME: AtomicU32 = AtomicU32::new(NOT_YET);
    /// The instruction that the interrupt came before.
    static PLACE: AtomicU32 = AtomicU32::new(0);

    const NOT_YET: u32 = 0;
    const BEFORE: u32 = 1;
    const INSIDE: u32 = 2;
    const AFTER: u32 = 3;

    const ENABLE: u32 = 1;
    const INTERRUPT: u32 = 1 << 1;
    const CORE_CLOCK: u32 = 1 << 2;

    // The stack's pointer as the exception finds it is where the processor has put the registers.
    core::arch::global_asm!(
        ".section .text.SysTick, \"ax\"",
        ".global SysTick",
        ".type SysTick, %function",
        ".thumb_func",
        "SysTick:",
        "mov r0, sp",
        "ldr r1, ={interrupt}",
        "bx r1",
        ".pool",
        interrupt = sym interrupt,
    );

    extern "C" fn interrupt(frame: *const ExceptionFrame) {
        set_timer(CORE_CLOCK);
        // A period that is shorter than this has ended again.
        SCB::clear_pendst();
        // SAFETY: called by the lines above only, with where the processor has put the frame, which nobody changes.
        PLACE.store(unsafe { (*frame).pc() }, Ordering::Relaxed);
        CAME.store(PHASE.load(Ordering::Relaxed), Ordering::Relaxed);
        critical_section::with(|cs| WORK.borrow(cs).get())();
    }

    fn set_timer(control: u32) {
        // SAFETY: nobody else in this program uses the timer.
        unsafe { (*SYST::PTR).csr.write(control) };
    }

    fn start_timer(reload: u32, control: u32) {
        // SAFETY: as in `set_timer`; it stands still.
        unsafe {
            (*SYST::PTR).rvr.write(reload);
            (*SYST::PTR).cvr.write(0);
        }
        set_timer(control);
    }

    /// What a sweep has been through.
    #[derive(Debug)]
    pub(super) struct Sweep {
        /// Steps at which the interrupt came within the operation.
        pub(super) inside: u32,
        /// Ticks that the operation takes when nobody interrupts it.
        pub(super) length: u32,
        /// Different instructions within it that the interrupt came before, as far as 96.
        pub(super) places: u32,
        /// Most steps after one another that came before the same instruction: as long a critical section put them off.
        pub(super) put_off: u32,
    }

    impl Sweep {
        /// The interrupt came at every instruction, and the critical section of a shared machine was among them.
        pub(super) fn went_through_a_critical_section(&self) -> bool {
            self.went_through() && self.put_off > 16
        }

        /// The interrupt came at every instruction.
        pub(super) fn went_through(&self) -> bool {
            // A tick or two stand between the readings of the timer.
            self.inside + 8 >= self.length && self.places >= 2
        }
    }

    /// Runs `operation` again and again, interrupted by `work` one instruction later each time, with `prepare` before and
    /// `check` after each.
    pub(super) fn sweep(prepare: impl Fn(), operation: impl Fn(), work: fn(), mut check: impl FnMut()) -> Sweep {
        critical_section::with(|cs| WORK.borrow(cs).set(work));
        prepare();
        let length = measure(&operation);
        let mut places = [0; 96];
        let mut sweep = Sweep { inside: 0, length, places: 0, put_off: 0 };
        let (mut last, mut same) = (0, 0);
        for reload in 1.. {
            prepare();
            let (came, place) = step(reload, &operation);
            check();
            // The first comes before the operation, or there would be instructions that none came at.
            assert!(reload > 1 || came == BEFORE);
            match came {
                AFTER => break,
                INSIDE => {
                    sweep.inside += 1;
                    same = if place == last { same + 1 } else { 1 };
                    last = place;
                    sweep.put_off = sweep.put_off.max(same);
                    if let Some(free) = places.iter_mut().find(|known| **known == place || **known == 0) {
                        sweep.places += u32::from(*free == 0);
                        *free = place;
                    }
                }
                _ => {}
            }
        }
        sweep
    }

    /// Where main was when the interrupt came, and before which instruction.
    #[inline(never)]
    fn step(reload: u32, operation: &impl Fn()) -> (u32, u32) {
        CAME.store(NOT_YET, Ordering::Relaxed);
        PHASE.store(BEFORE, Ordering::Relaxed);
        start_timer(reload, CORE_CLOCK | INTERRUPT | ENABLE);
        cortex_m::asm::delay(16);
        PHASE.store(INSIDE, Ordering::Relaxed);
        compiler_fence(Ordering::SeqCst);
        operation();
        compiler_fence(Ordering::SeqCst);
        PHASE.store(AFTER, Ordering::Relaxed);
        while CAME.load(Ordering::Relaxed) == NOT_YET {}
        (CAME.load(Ordering::Relaxed), PLACE.load(Ordering::Relaxed))
    }

    /// Ticks that `operation` takes.
    #[inline(never)]
    fn measure(operation: &impl Fn()) -> u32 {
        start_timer(0x00FF_FFFF, CORE_CLOCK | ENABLE);
        while SYST::get_current() == 0 {}
        let begun = SYST::get_current();
        compiler_fence(Ordering::SeqCst);
        operation();
        compiler_fence(Ordering::SeqCst);
        let took = begun - SYST::get_current();
        set_timer(CORE_CLOCK);
        took
    }
}

#[cfg(test)]
#[embedded_test::tests]
mod tests {
    use core::cell::{Cell, RefCell};

    use critical_section::Mutex;
    use daur_core::monitoring::histogram::Auto;
    use daur_core::monitoring::log::{self, Level, Log};
    use daur_core::monitoring::metrics::{Counter, IsrCounter};
    use daur_core::reliability::breaker::{self, Breaker, Event, State};
    use daur_core::shared::{CsShared, Shared};
    use daur_core::text::Text;
    use daur_core::time::{Duration, Instant};
    use daur_core::wire::decoder::Decoder;
    use daur_core::wire::frame::{Frame, MAX_PAYLOAD};
    use daur_core::wire::outbox::{self, Outbox};
    use daur_core::wire::record::Record;

    use super::sweep::sweep;

    /// The present moment of every machine here.
    const NOW: Instant = Instant::from_secs(5);

    /// Machines: monitoring::metrics, shared.
    #[test]
    fn no_count_of_a_shared_counter_is_lost() {
        static COUNTER: CsShared<Counter, Instant> = CsShared::new(Counter::new(), NOW);
        // The sum's lower half overflows, at main's hand or at the interrupt's.
        const BEGIN: u64 = u32::MAX as u64 - 2;
        let swept = sweep(
            || COUNTER.with(|counter, _| *counter = Counter::from(BEGIN)),
            || COUNTER.with(|counter, _| counter.add(3)),
            || COUNTER.with(|counter, _| counter.add(1 << 33 | 1)),
            || assert_eq!(COUNTER.with(|counter, _| counter.total()), BEGIN + 4 + (1 << 33)),
        );
        assert!(swept.went_through(), "{swept:?}");
    }

    /// Machines: monitoring::histogram, shared.
    #[test]
    fn no_record_of_a_shared_histogram_is_lost_and_none_is_torn() {
        static TIMES: CsShared<Auto<32>, Instant> = CsShared::new(Auto::new(), NOW);
        let swept = sweep(
            || TIMES.with(|times, _| times.clear()),
            || TIMES.with(|times, _| times.record(1_000)),
            || TIMES.with(|times, _| times.record(1 << 40)),
            || {
                TIMES.with(|times, _| {
                    assert_eq!((times.count(), times.sum()), (2, 1_000 + (1 << 40)));
                    assert_eq!((times.min(), times.max()), (Some(1_000), Some(1 << 40)));
                    assert_eq!(times.buckets().map(|bucket| bucket.count).sum::<u64>(), 2);
                });
            },
        );
        assert!(swept.went_through_a_critical_section(), "{swept:?}");
    }

    /// Machines: monitoring::metrics.
    #[test]
    fn no_count_of_an_interrupts_own_counter_is_lost_while_main_reads() {
        static COUNTER: IsrCounter = IsrCounter::new();
        let (before, read) = (Cell::new(0), Cell::new(0));
        let swept = sweep(
            || before.set(COUNTER.total()),
            || read.set(COUNTER.total()),
            || COUNTER.increment(),
            || {
                assert_eq!(COUNTER.total(), before.get() + 1);
                assert!((before.get()..=before.get() + 1).contains(&read.get()));
            },
        );
        assert!(swept.inside > 0, "{swept:?}");
    }

    /// Two failures open the breaker, whoever comes between whose call and report.
    ///
    /// Machines: reliability::breaker, shared.
    #[test]
    fn no_failure_that_is_told_to_a_shared_breaker_is_lost() {
        const CONFIG: breaker::Config = breaker::Config { failures: 2, ..breaker::Config::DEFAULT };
        static BUS: CsShared<Breaker, Instant> = CsShared::new(Breaker::new(CONFIG), NOW);

        fn fail() {
            let permit = BUS.with(Breaker::try_acquire).unwrap();
            BUS.with(|bus, now| bus.on_failure(permit, now));
        }

        let swept = sweep(
            || BUS.with(|bus, _| *bus = Breaker::new(CONFIG)),
            fail,
            fail,
            || {
                let seen = BUS.with(|bus, _| bus.snapshot());
                assert_eq!((seen.state, seen.opened, seen.refused, seen.late), (State::Open, 1, 0, 0));
            },
        );
        assert!(swept.went_through_a_critical_section(), "{swept:?}");
    }

    /// A half-open breaker has one probe to give: never two at a time.
    ///
    /// Machines: reliability::breaker, shared.
    #[test]
    fn one_probe_of_a_shared_breaker_is_given_once() {
        const CONFIG: breaker::Config =
            breaker::Config { failures: 1, recovery_timeout: Duration::from_secs(1), ..breaker::Config::DEFAULT };
        static BUS: CsShared<Breaker, Instant> = CsShared::new(Breaker::new(CONFIG), NOW);
        static REFUSED: Mutex<Cell<u32>> = Mutex::new(Cell::new(0));

        /// Calls that are admitted go well.
        fn call() {
            match BUS.with(Breaker::try_acquire) {
                Ok(permit) => {
                    BUS.with(|bus, now| {
                        // Of two probes at a time, the second would find the breaker closed by the first.
                        let state = bus.state();
                        let event = bus.on_success(permit, now);
                        assert_eq!(event, (state == State::HalfOpen).then_some(Event::Closed));
                    });
                }
                Err(_) => critical_section::with(|cs| REFUSED.borrow(cs).set(REFUSED.borrow(cs).get() + 1)),
            }
        }

        let (mut refused, mut granted) = (0, 0);
        let swept = sweep(
            || {
                BUS.with(|bus, _| {
                    *bus = Breaker::new(CONFIG);
                    let permit = bus.try_acquire(Instant::ZERO).unwrap();
                    bus.on_failure(permit, Instant::ZERO);
                });
                critical_section::with(|cs| REFUSED.borrow(cs).set(0));
            },
            call,
            call,
            || {
                let seen = BUS.with(|bus, _| bus.snapshot());
                let told = critical_section::with(|cs| REFUSED.borrow(cs).get());
                assert_eq!((seen.state, seen.refused, seen.late), (State::Closed, told, 0));
                assert!(told <= 1);
                refused += told;
                granted += 2 - told;
            },
        );
        assert!(swept.went_through_a_critical_section(), "{swept:?}");
        // The interrupt has come between main's call and report, and it has come elsewhere.
        assert!(refused > 0 && granted > refused, "{refused} {granted}");
    }

    /// Machines: wire::outbox, shared.
    #[test]
    fn no_record_of_a_shared_outbox_is_lost_doubled_or_torn() {
        static LINK: CsShared<Outbox<128>, Instant> = CsShared::new(Outbox::new(outbox::Config::DEFAULT), NOW);

        fn record(value: i64) -> Record {
            Record::Gauge { name: Text::cut("value"), value }
        }

        let line = RefCell::new(([0; 128], 0));
        let read = |most: usize| {
            let (bytes, len) = &mut *line.borrow_mut();
            let end = (*len + most).min(bytes.len());
            *len += LINK.with(|link, now| link.read(&mut bytes[*len..end], now));
        };
        let mut firsts = [0; 2];
        let swept = sweep(
            || {
                LINK.with(|link, now| {
                    *link = Outbox::new(outbox::Config::DEFAULT);
                    link.push(&record(0), now).unwrap();
                });
                line.borrow_mut().1 = 0;
            },
            || {
                LINK.with(|link, now| link.push(&record(1), now).unwrap());
                read(9);
            },
            || {
                LINK.with(|link, now| link.push(&record(2), now).unwrap());
            },
            || {
                read(128);
                let (bytes, len) = &*line.borrow();
                let (mut input, mut decoder) = (&bytes[..*len], Decoder::<MAX_PAYLOAD>::new());
                let mut values = [-1; 3];
                for (seq, place) in (0..).zip(&mut values) {
                    let frame = Frame::decode(decoder.feed(&mut input).unwrap()).unwrap();
                    let Record::Gauge { value, .. } = frame.record else { panic!("{:?}", frame.record) };
                    assert_eq!((frame.seq, frame.record), (seq, record(value)));
                    *place = value;
                }
                assert!(decoder.feed(&mut input).is_none() && decoder.snapshot().crc_errors == 0);
                assert!(values == [0, 1, 2] || values == [0, 2, 1], "{values:?}");
                firsts[usize::from(values[1] == 2)] += 1;
            },
        );
        assert!(swept.went_through_a_critical_section(), "{swept:?}");
        assert!(firsts.iter().all(|times| *times > 0), "{firsts:?}");
    }

    /// Machines: monitoring::log, shared.
    #[test]
    fn no_line_of_a_shared_log_is_lost_or_torn() {
        static LINES: CsShared<Log<4, 32>, Instant> = CsShared::new(Log::new(log::Config::DEFAULT), NOW);
        let swept = sweep(
            || LINES.with(|lines, _| *lines = Log::new(log::Config::DEFAULT)),
            || {
                let _ = LINES.with(|lines, now| lines.record(Level::Info, "main", "reads the sensor", now));
            },
            || {
                let _ = LINES.with(|lines, now| lines.record(Level::Warn, "interrupt", "the line is down", now));
            },
            || {
                LINES.with(|lines, _| {
                    let mut main = 0;
                    for (number, line) in (0..).zip(lines.records()) {
                        let (target, message) = (line.target.as_str(), line.message.as_str());
                        main += u32::from((target, message) == ("main", "reads the sensor"));
                        assert!(target == "main" || (target, message) == ("interrupt", "the line is down"));
                        assert_eq!((line.number, line.at, line.repeated), (number, NOW, 0));
                    }
                    assert_eq!((main, lines.snapshot().len, lines.snapshot().total), (1, 2, 2));
                    let found = lines.recover(log::Config::DEFAULT);
                    assert_eq!((found.kept, found.damaged), (2, 0));
                });
            },
        );
        assert!(swept.went_through_a_critical_section(), "{swept:?}");
    }

    /// The sweeps above could fail: each of these lets a second writer come between reading and writing.
    #[test]
    fn a_sweep_finds_what_is_lost_without_sharing() {
        // Rule 1 of `IsrCounter` allows one writer.
        static COUNTER: IsrCounter = IsrCounter::new();
        let (before, mut lost, mut kept) = (Cell::new(0), 0, 0);
        let swept = sweep(
            || before.set(COUNTER.total()),
            || COUNTER.increment(),
            || COUNTER.increment(),
            || *(if COUNTER.total() == before.get() + 1 { &mut lost } else { &mut kept }) += 1,
        );
        assert!(lost > 0 && kept > 0 && swept.inside >= lost, "{swept:?} {lost} {kept}");

        // A breaker that is lent as a copy and put back.
        const CONFIG: breaker::Config = breaker::Config { failures: 2, ..breaker::Config::DEFAULT };
        static BUS: Mutex<RefCell<Breaker>> = Mutex::new(RefCell::new(Breaker::new(CONFIG)));

        fn fail() {
            let mut bus = critical_section::with(|cs| BUS.borrow_ref(cs).clone());
            let permit = bus.try_acquire(NOW).unwrap();
            bus.on_failure(permit, NOW);
            critical_section::with(|cs| *BUS.borrow_ref_mut(cs) = bus);
        }

        let (mut lost, mut kept) = (0, 0);
        let swept = sweep(
            || critical_section::with(|cs| *BUS.borrow_ref_mut(cs) = Breaker::new(CONFIG)),
            fail,
            fail,
            || {
                let state = critical_section::with(|cs| BUS.borrow_ref(cs).state());
                *(if state == State::Open { &mut kept } else { &mut lost }) += 1;
            },
        );
        assert!(lost > 0 && kept > 0 && swept.went_through_a_critical_section(), "{swept:?} {lost} {kept}");
    }
}
