//! The machines of reliability, performance and services, and the attributes, on the target: what the host's tests
//! prove in full is shown here to hold on a 32-bit processor, in the profile that ships, a few asserts each.
//!
//! Every test starts from a reset, and names the machines it is for: `.ci/on-target` makes the table of them.
#![no_std]
#![no_main]

use cortex_m_rt as _;

#[cfg(test)]
#[embedded_test::tests]
mod tests {
    use core::cell::Cell;
    use core::future::{Future, pending, poll_fn};
    use core::pin::pin;
    use core::task::{Context, Poll, Waker};

    use daur_core::attributes::Sleep;
    use daur_core::hal::{asynch, blocking};
    use daur_core::performance::balancer::{self, Balancer, Latency, Outcome, PeakEwma};
    use daur_core::performance::batch::{self, Batcher, Cause as Complete};
    use daur_core::performance::cache::{self, Cache, Lru};
    use daur_core::performance::memory::{self, Level, Monitor, Resize, Share, Shrink, Shrinkers, Usage, shrinkers};
    use daur_core::performance::queue::{self, Priority, Queue};
    use daur_core::reliability::breaker::{self, Breaker, Event, State};
    use daur_core::reliability::budget::{self, Budget, Exhausted};
    use daur_core::reliability::bulkhead::{self, Bulkhead, Entry, Refused};
    use daur_core::reliability::executor::{self, Cause, Execution, Executor, Failure};
    use daur_core::reliability::fallback::{Fallback, Registry, Source};
    use daur_core::reliability::health::{self, CheckConfig, Health, Status};
    use daur_core::reliability::limiter::{self, Limiter};
    use daur_core::reliability::retry::{self, Attempts, Class, Decision, Jitter, Reason, Retry};
    use daur_core::reliability::timeout::{self, Deadline, TimedOut, Timeout};
    use daur_core::shared::{CsShared, Shared};
    use daur_core::time::{Clock, Duration, Instant, UnixTime};
    use daur_firmware::clock::{self, Delay, Timer};
    use daur_firmware::config;
    use embedded_hal_async::delay::DelayNs;

    #[init]
    fn init() {
        // Once per reset, and there is one reset per test.
        let mut core = cortex_m::Peripherals::take().unwrap();
        clock::start(&mut core.SYST);
    }

    /// A delay without interrupts, for futures.
    struct Later;

    impl DelayNs for Later {
        async fn delay_ns(&mut self, nanos: u32) {
            let end = Timer.now() + Duration::from_nanos(nanos.into());
            poll_fn(|_| if Timer.now() >= end { Poll::Ready(()) } else { Poll::Pending }).await;
        }
    }

    fn block_on<T>(future: impl Future<Output = T>) -> T {
        let mut future = pin!(future);
        loop {
            if let Poll::Ready(value) = future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
                return value;
            }
        }
    }

    /// What an attribute's `time = PATH` names.
    struct Hardware;
    static HARDWARE: Hardware = Hardware;

    impl Clock for Hardware {
        fn now(&self) -> Instant {
            Timer.now()
        }
    }

    impl Sleep for Hardware {
        fn sleep(&self, length: Duration) {
            blocking::wait(&mut Delay, length);
        }
    }

    /// Machines: reliability::breaker.
    #[test]
    fn breaker_opens_refuses_until_its_time_probes_and_closes() {
        let mut breaker = Breaker::new(breaker::Config { failures: 3, ..breaker::Config::DEFAULT });
        let now = Instant::from_secs(5);
        for _ in 0..3 {
            let permit = breaker.try_acquire(now).unwrap();
            breaker.on_failure(permit, now);
        }
        let refused = breaker.try_acquire(now).unwrap_err();
        assert_eq!(refused.retry_at, Instant::from_secs(65));
        let just_before = Instant::from_nanos(refused.retry_at.as_nanos() - 1);
        assert!(breaker.try_acquire(just_before).is_err());
        let probe = breaker.try_acquire(refused.retry_at).unwrap();
        assert_eq!(breaker.on_success(probe, refused.retry_at), Some(Event::Closed));
        assert_eq!(breaker.state(), State::Closed);
    }

    /// Machines: reliability::retry.
    #[test]
    fn retry_doubles_its_wait_and_stops_at_its_last_attempt() {
        let config = retry::Config {
            max_attempts: Attempts::Limited(4),
            initial_delay: Duration::from_millis(100),
            jitter: Jitter::None,
            ..retry::Config::DEFAULT
        };
        let mut retry = Retry::new(config, 1, Instant::ZERO);
        for millis in [100, 200, 400] {
            let after = Duration::from_millis(millis);
            assert_eq!(retry.on_failure(Class::Transient, Instant::ZERO), Decision::Retry { after });
        }
        assert_eq!(retry.on_failure(Class::Transient, Instant::ZERO), Decision::Stop { reason: Reason::Exhausted });
    }

    /// Machines: reliability::executor, hal::blocking.
    #[test]
    fn executor_retries_on_the_real_clock_then_leaves_the_broken_alone() {
        static SENSOR: CsShared<Executor, Timer> = CsShared::new(Executor::new(config::SENSOR, 7), Timer);
        let mut calls = 0;
        let execution = blocking::execute(
            &SENSOR,
            &mut Delay,
            |()| Class::Transient,
            || {
                calls += 1;
                if calls < 3 { Err(()) } else { Ok(calls) }
            },
        );
        assert_eq!((execution.result, execution.attempts), (Ok(3), 3));

        let fail = || blocking::execute(&SENSOR, &mut Delay, |()| Class::Transient, || Err::<(), ()>(()));
        let first = fail();
        assert_eq!(first.result, Err(Failure::Error(())));
        let second = fail();
        assert!(matches!(second.result, Err(Failure::Open { .. })));
        assert!(matches!(second.cause, Some(Cause::Open { .. })));
        assert_eq!((second.attempts, second.refused_by_breaker), (0, 1));
    }

    /// Machines: reliability::executor.
    #[test]
    fn executor_config_of_the_node_is_valid() {
        assert_eq!(config::SENSOR.validate(), Ok(()));
        assert_eq!(executor::Config::DEFAULT.validate(), Ok(()));
    }

    /// Machines: performance::cache.
    #[test]
    fn cache_evicts_the_least_recently_used_and_expires() {
        let mut cache: Cache<u32, u32, 4, Lru<u8>> =
            Cache::new(cache::Config { ttl: Some(Duration::from_secs(1)), ..cache::Config::DEFAULT });
        let now = Instant::from_secs(1);
        for key in 0..4 {
            cache.insert(key, key * 10, now);
        }
        assert_eq!(cache.get(&0, now), Some(&0));
        cache.insert(4, 40, now); // 1 is the oldest since 0 was read
        let mut found = |key: u32| cache.get(&key, now).copied();
        assert_eq!((found(0), found(1), found(4)), (Some(0), None, Some(40)));
        assert_eq!(cache.get(&0, now + Duration::from_secs(1)), None);
        assert!(cache.snapshot().evicted == 1 && cache.capacity() == 4);
    }

    /// Machines: performance::cache.
    #[test]
    fn sieve_spares_what_was_used_and_coarse_moments_are_never_early() {
        use daur_core::performance::cache::{Coarse, Fast, Idle, Sieve};
        const TICK: Duration = Duration::from_nanos(1 << 20);
        let ttl = Duration::from_secs(1);
        let config = cache::Config { ttl: Some(ttl), idle: Some(Duration::from_millis(500)) };
        let mut cache: Cache<u32, u32, 4, Sieve<u8>, Fast, Idle<Coarse>> = Cache::new(config);
        let now = Instant::from_secs(1);
        for key in 0..4 {
            cache.insert(key, key * 10, now);
        }
        assert_eq!(cache.get(&0, now), Some(&0));
        assert_eq!(cache.insert(4, 40, now), cache::Inserted::Evicted(1, 10));
        assert_eq!(cache.pop(), Some((2, 20)));
        let idle_end = now + Duration::from_millis(500);
        assert_eq!(cache.get(&0, idle_end - Duration::from_nanos(1)), Some(&0));
        assert_eq!(cache.peek(&3, idle_end + TICK), None); // idle
        assert_eq!(cache.peek(&0, now + ttl - Duration::from_millis(2)), Some(&0));
        assert_eq!(cache.get(&0, now + ttl + TICK), None); // used, but its ttl is over
        cache.poll(Instant::from_secs(1 << 33)); // past the wrap of the ticks
        assert_eq!((cache.len(), cache.snapshot().expired), (0, 3));
    }

    /// Machines: performance::queue.
    #[test]
    fn queue_takes_the_urgent_job_first_and_passes_nobody_over_for_ever() {
        let mut queue: Queue<fn() -> u32, 4> = Queue::new(queue::Config { max_passed: 2 });
        let now = Instant::from_secs(1);
        queue.try_push(|| 1, Priority::Low, now).unwrap();
        for _ in 0..3 {
            queue.try_push(|| 2, Priority::High, now).unwrap();
        }
        assert!(queue.try_push(|| 3, Priority::High, now).is_err());
        let later = Instant::from_secs(3);
        let mut done = [0; 4];
        for place in &mut done {
            *place = queue.pop(later).unwrap()();
        }
        assert_eq!(done, [2, 2, 1, 2]);
        assert_eq!(queue.snapshot().wait_mean(), Some(Duration::from_secs(2)));
    }

    /// Machines: performance::balancer.
    #[test]
    fn balancer_picks_as_on_a_host_and_takes_lost_tickets_back() {
        let config = balancer::Config { lease: Duration::from_secs(30), ..balancer::Config::DEFAULT };
        let latency = Latency { half_life: Duration::from_millis(100), ..Latency::DEFAULT };
        let mut balancer: Balancer<3, PeakEwma> = Balancer::new(config, PeakEwma::new(latency, 7));
        let mut now = Instant::from_secs(1);
        let mut turns = [0; 3];
        for _ in 0..200 {
            let ticket = balancer.pick(now).unwrap();
            let worker = ticket.worker();
            turns[worker] += 1;
            now += Duration::from_millis([9, 3, 30][worker]);
            balancer.done(ticket, Outcome::Success, now);
        }
        assert_eq!(turns.iter().sum::<u32>(), 200);
        assert!(turns[1] > turns[0] && turns[0] > turns[2], "{:?}", turns);
        for _ in 0..5 {
            let ticket = balancer.pick_where(|worker| worker == 1, now).unwrap();
            balancer.done(ticket, Outcome::Failure, now);
        }
        assert_eq!(balancer.poll_at(), Some(now + Duration::from_secs(30)));
        assert_ne!(balancer.pick(now).unwrap().worker(), 1); // dropped: lost
        assert_eq!(balancer.loads().iter().sum::<u32>(), 1);
        now += Duration::from_secs(40);
        assert_eq!(balancer.poll(now), 1);
        assert_eq!((balancer.loads(), balancer.snapshot().ejected), ([0; 3], 0));
    }

    /// Machines: performance::batch.
    #[test]
    fn batch_goes_by_count_by_bytes_and_at_its_time() {
        let config = batch::Config { max_items: Some(3), max_bytes: Some(100), ..batch::Config::DEFAULT };
        let mut batcher: Batcher<u32, 4> = Batcher::new(config);
        let now = Instant::from_secs(1);
        assert_eq!(batcher.push(1, now).unwrap(), None);
        assert_eq!(batcher.push(2, now).unwrap(), None);
        assert_eq!(batcher.push(3, now).unwrap().unwrap().into_iter().sum::<u32>(), 6);
        assert_eq!(batcher.push_sized(4, 60, now).unwrap(), None);
        let ahead = batcher.push_sized(5, 60, now).unwrap().unwrap();
        assert_eq!((ahead.len(), ahead.cause()), (1, Complete::Bytes));
        assert!(batcher.push_sized(6, 101, now).is_err());
        let due = Instant::from_secs(2);
        assert_eq!(batcher.poll_at(), Some(due));
        assert!(batcher.poll(Instant::from_nanos(due.as_nanos() - 1)).is_none());
        assert_eq!(batcher.poll(due).unwrap().iter().copied().sum::<u32>(), 5);
    }

    /// Machines: performance::memory.
    #[test]
    fn memory_that_is_short_shrinks_a_cache_which_grows_back() {
        static CACHE: CsShared<Cache<u32, u32, 8>, Timer> = CsShared::new(Cache::new(cache::Config::DEFAULT), Timer);
        static SHRINK: Resize<fn(Share) -> u64> =
            Resize(|keep| CACHE.with(|cache, _| cache.resize_soft(keep.of(8)) as u64 * 20));
        for key in 0..8 {
            CACHE.with(|cache, now| cache.insert(key, key, now));
        }
        let mut monitor = Monitor::new(memory::Config::DEFAULT);
        let mut shrinkers: Shrinkers<&'static (dyn Shrink + Sync), 2> = Shrinkers::new(shrinkers::Config::DEFAULT);
        shrinkers.add("cache", 0, &SHRINK).unwrap();
        // A pool of 48-byte messages, of which 7 of 8 are taken.
        let now = Instant::from_secs(3);
        monitor.update(Usage::of_places::<[u8; 48]>(7, 8), now);
        assert_eq!(monitor.level(), Level::Elevated);
        assert_eq!(shrinkers.run(&monitor, now), 4 * 20);
        assert_eq!(CACHE.with(|cache, _| cache.len()), 4);

        let mut levels = 0;
        for second in 4..200 {
            let now = Instant::from_secs(second);
            levels += usize::from(monitor.update(Usage::of_places::<[u8; 48]>(2, 8), now).is_some());
            shrinkers.run(&monitor, now);
        }
        assert_eq!((levels, monitor.level()), (1, Level::Normal));
        assert_eq!(CACHE.with(|cache, _| cache.capacity()), 8);
    }

    /// Machines: attributes::memoize.
    #[test]
    fn a_memoized_function_answers_from_its_cache_until_the_ttl() {
        static CALLS: critical_section::Mutex<core::cell::Cell<u32>> =
            critical_section::Mutex::new(core::cell::Cell::new(0));

        fn calls(more: u32) -> u32 {
            critical_section::with(|cs| {
                let calls = CALLS.borrow(cs);
                calls.set(calls.get() + more);
                calls.get()
            })
        }

        #[daur_core::memoize(maxsize = 4, ttl = "10ms", time = Timer)]
        fn calibration(channel: u8) -> Result<u32, u8> {
            calls(1);
            if channel == 9 { Err(channel) } else { Ok(u32::from(channel) * 3) }
        }

        assert_eq!((calibration(1), calibration(1), calls(0)), (Ok(3), Ok(3), 1));
        assert_eq!((calibration(9), calibration(9), calls(0)), (Err(9), Err(9), 3));
        let end = Timer.now() + Duration::from_millis(10);
        while Timer.now() < end {}
        assert_eq!((calibration(1), calls(0)), (Ok(3), 4));
        let stats = calibration_memo().with(|cache, _| cache.snapshot());
        assert_eq!((stats.hits, stats.misses, stats.expired), (1, 4, 1));

        #[daur_core::memoize(maxsize = 16)]
        fn fib(n: u64) -> u64 {
            if n < 2 { n } else { fib(n - 1) + fib(n - 2) }
        }

        // As deep as the smallest stack goes.
        assert_eq!(fib(12), 144);
    }

    /// Machines: services::notify.
    #[test]
    fn notifications_reach_who_subscribed_and_lag_is_told_exactly() {
        use daur_core::services::notify::{NotSubscribed, Notifications, Received, TopicError, matches};
        assert!(matches("motor.*.hot", "motor.left.hot") && matches(">", "motor") && !matches("motor.>", "motor"));
        let mut alarms: Notifications<u16, 4, 2> = Notifications::new();
        let slow = alarms.subscribe("motor.>").unwrap();
        for payload in 0..10 {
            assert_eq!(alarms.notify("motor.left", payload, Instant::from_secs(1)).unwrap().subscribers, 1);
        }
        assert_eq!(alarms.try_recv(slow), Ok(Some(Received::Lagged(6))));
        for expected in 6..10 {
            let Ok(Some(Received::Notification(alarm))) = alarms.try_recv(slow) else { panic!("one waits") };
            assert_eq!((alarm.payload, alarm.number), (expected, expected.into()));
        }
        assert_eq!(alarms.try_recv(slow), Ok(None));
        assert_eq!(alarms.notify("motor..left", 7, Instant::ZERO).unwrap_err().error, TopicError::EmptyLevel);
        assert!(alarms.notifications("motor.*", 2).map(|alarm| alarm.payload).eq([8, 9]));
        alarms.unsubscribe(slow).unwrap();
        assert_eq!(alarms.try_recv(slow), Err(NotSubscribed));
        let shown = alarms.snapshot();
        assert_eq!((shown.sent, shown.delivered, shown.lagged, shown.refused, shown.kept), (10, 4, 6, 1, 4));
    }

    /// Machines: services::result_cache.
    #[test]
    fn results_have_the_keys_lives_and_turns_that_they_have_on_a_host() {
        use daur_core::services::result_cache::{Age, Hand, Key, Marks, Ttl, Verdict};
        let key = Key::of(["ls", "-la"]);
        assert_eq!(key.as_bytes()[..4], [0x3c, 0x78, 0x56, 0x5e]);
        let life = Ttl::DEFAULT.life(&key, Duration::from_secs(60), UnixTime::from_secs(100)).unwrap();
        assert_eq!(life.at(UnixTime::from_secs(159)), Age::Fresh(Duration::from_secs(1)));
        assert_eq!(life.at(UnixTime::from_secs(160)), Age::Expired);
        let (mut hand, marks) = (Hand::new(), Marks::<8>::new());
        marks.touch(1);
        let mut pass = hand.pass(4);
        assert_eq!((pass.judge(1, &marks), pass.judge(2, &marks)), (Verdict::Spare, Verdict::Evict));
        assert!(pass.turn());
        assert_eq!(pass.judge(1, &marks), Verdict::Evict);
    }

    /// Machines: services::scheduler.
    #[test]
    fn the_scheduler_keeps_its_times_on_every_target() {
        use daur_core::services::scheduler::{self, Missed, Plan, Scheduler};
        let at = Instant::from_millis;
        let plans =
            [(Missed::Burst(9), [350, 350, 350]), (Missed::Skip, [350, 400, 500]), (Missed::Delay, [350, 450, 550])];
        for (missed, starts) in plans {
            let mut tasks: Scheduler<u8, 2> = Scheduler::new(scheduler::Config::DEFAULT);
            let plan = Plan { missed, ..Plan::every(Duration::from_millis(100)) };
            let id = tasks.schedule(7, plan, at(0)).unwrap();
            let mut now = at(350);
            for start in starts {
                now = now.max(tasks.poll_at().unwrap());
                assert_eq!(now, at(start));
                let due = tasks.poll(now).unwrap();
                assert_eq!(*due.task, 7);
                let run = due.run;
                assert_eq!(tasks.finish(run, scheduler::Outcome::Done, now), Ok(None));
            }
            assert_eq!(tasks.cancel(id), Ok(Some(7)));
            assert_eq!(tasks.cancel(id), Err(scheduler::Error::Ended));
        }
    }

    /// Machines: reliability::health.
    #[test]
    fn health_takes_three_failures_to_fail_and_one_success_to_heal() {
        let mut health = Health::<2>::new(health::Config::DEFAULT);
        let bus =
            health.add("bus", CheckConfig { timeout: Duration::from_millis(50), ..CheckConfig::READINESS }).unwrap();
        let loop_runs = health.add("loop", CheckConfig::LIVENESS).unwrap();
        assert!(health.add("third", CheckConfig::LIVENESS).is_err());
        assert!(health.is_live() && !health.is_ready());
        let mut now = Instant::from_secs(1);
        let mut run = |health: &mut Health<2>, took: u64, outcome| {
            while let Some(check) = health.begin(now) {
                let outcome = if check == bus { outcome } else { health::Outcome::Pass };
                health.finish(check, outcome, now + Duration::from_millis(if check == bus { took } else { 1 }));
            }
            now = health.poll_at().unwrap();
            health.is_ready()
        };
        assert!(run(&mut health, 3, health::Outcome::Pass));
        assert!(run(&mut health, 3, health::Outcome::Fail));
        // It passed, and took too long.
        assert!(run(&mut health, 51, health::Outcome::Pass));
        assert!(!run(&mut health, 3, health::Outcome::Fail));
        assert!(run(&mut health, 50, health::Outcome::Pass));
        assert_eq!((now, health.overall(), health.is_live()), (Instant::from_secs(51), Status::Healthy, true));
        assert_eq!(health.get(loop_runs).unwrap().took, Duration::from_millis(1));
    }

    /// Machines: reliability::timeout.
    #[test]
    fn timeout_ends_an_attempt_and_the_whole_at_their_moments() {
        let config = timeout::Config { total: Some(Duration::from_secs(5)), attempt: Some(Duration::from_secs(2)) };
        let start = Instant::from_secs(u64::from(u32::MAX)); // past 32 bits of anything but nanoseconds
        let mut timeout = Timeout::new(config, start);
        timeout.start_attempt(start).unwrap();
        let end = start + Duration::from_secs(2);
        assert_eq!(timeout.poll_at(), Some(end));
        assert_eq!(timeout.poll(Instant::from_nanos(end.as_nanos() - 1)), Ok(()));
        assert_eq!(timeout.poll(end), Err(TimedOut::Attempt));
        timeout.start_attempt(start + Duration::from_secs(4)).unwrap();
        assert_eq!(timeout.poll(start + Duration::from_secs(5)), Err(TimedOut::Total));
        let outer = Deadline::after(Duration::from_secs(3), start);
        let inner = outer.within(Duration::from_secs(60), start);
        assert_eq!((inner, inner.remaining(end)), (outer, Some(Duration::from_secs(1))));
        assert!(!inner.is_over(end) && inner.is_over(start + Duration::from_secs(3)));
    }

    /// Machines: reliability::bulkhead.
    #[test]
    fn bulkhead_lets_in_as_many_as_it_has_places_and_the_next_in_line() {
        let config = bulkhead::Config { max_concurrent: 1, max_waiting: 1, ..bulkhead::Config::DEFAULT };
        let mut bulkhead: Bulkhead<1> = Bulkhead::new(config);
        let now = Instant::from_secs(1);
        let Ok(Entry::Go(first)) = bulkhead.enter(None, now) else { panic!("there is a place") };
        let Ok(Entry::Wait(second)) = bulkhead.enter(None, now) else { panic!("there is a place to wait in") };
        assert!(matches!(bulkhead.enter(None, now), Err(Refused::Full { running: 1, waiting: 1 })));
        let Ok(Entry::Wait(second)) = bulkhead.claim(second, None, now) else { panic!("nobody has left") };
        assert!(bulkhead.release(first, now).is_none());
        let Ok(Entry::Go(second)) = bulkhead.claim(second, None, now) else { panic!("it is its turn") };
        assert!(bulkhead.release(second, now).is_none());
        assert_eq!((bulkhead.snapshot().admitted, bulkhead.try_acquire(now).is_ok()), (2, true));
    }

    /// Machines: reliability::budget.
    #[test]
    fn budget_pays_for_as_many_retries_as_its_share_of_first_tries() {
        let mut budget = Budget::new(budget::Config::ratio(60));
        for _ in 0..10 {
            budget.on_first_try();
        }
        assert_eq!((0..10).filter(|_| budget.try_retry().is_ok()).count(), 6);
        assert_eq!(budget.try_retry(), Err(Exhausted));
        budget.cancel_retry();
        assert_eq!((budget.try_retry(), budget.try_retry()), (Ok(()), Err(Exhausted)));
    }

    /// Machines: reliability::limiter.
    #[test]
    fn limiter_lets_its_burst_go_and_says_exactly_when_again() {
        let mut limiter = Limiter::new(limiter::Config { rate: 3, period: Duration::from_secs(1), burst: 2 });
        let now = Instant::from_secs(100);
        assert!(limiter.check(now).is_ok() && limiter.check(now).is_ok());
        let retry_at = limiter.check(now).unwrap_err().retry_at;
        assert!((333_333_333..=333_333_334).contains(&(retry_at - now).as_nanos()));
        assert!(limiter.check(Instant::from_nanos(retry_at.as_nanos() - 1)).is_err());
        assert!(limiter.check(retry_at).is_ok());
        assert!(limiter.check_n(2, retry_at + Duration::from_secs(1)).is_ok());
    }

    /// Machines: reliability::fallback.
    #[test]
    fn fallback_gives_the_last_good_value_while_it_is_young_enough() {
        let mut fallback = Fallback::new(Source::<i32, ()>::LastGood { max_age: Duration::from_secs(10) });
        let failed = || Execution { result: Err(Failure::Error(())), ..Execution::of_value(0) };
        assert!(fallback.apply(failed(), Instant::ZERO).result.is_err());
        fallback.remember(&21, Instant::from_secs(1));
        let saved = fallback.apply(failed(), Instant::from_secs(11));
        assert_eq!((saved.result, saved.fallback_used), (Ok(21), true));
        assert!(fallback.apply(failed(), Instant::from_nanos(11_000_000_001)).result.is_err());

        let mut fallbacks = Registry::<i32, (), 1>::new();
        fallbacks.add("temperature", Source::Value(20)).unwrap();
        assert!(fallbacks.add("humidity", Source::Value(50)).is_err());
        assert_eq!(fallbacks.apply("temperature", failed(), &(), Instant::ZERO).result, Ok(20));
        assert!(fallbacks.apply("humidity", failed(), &(), Instant::ZERO).result.is_err());
        assert_eq!(fallbacks.unknown(), 1);
    }

    /// Machines: hal::asynch, reliability::executor.
    #[test]
    fn an_awaited_call_is_tried_again_and_dropped_at_its_deadline() {
        static SENSOR: CsShared<Executor, Timer> = CsShared::new(
            Executor::new(executor::Config { attempt_timeout: Some(Duration::from_millis(5)), ..config::SENSOR }, 7),
            Timer,
        );
        let calls = Cell::new(0);
        let begun = Timer.now();
        let execution = block_on(asynch::execute(
            &SENSOR,
            &mut Later,
            |()| Class::Transient,
            || {
                calls.set(calls.get() + 1);
                let call = calls.get();
                async move {
                    match call {
                        1 => Err(()),
                        2 => pending().await,
                        _ => Ok(call),
                    }
                }
            },
        ));
        assert_eq!((execution.result, execution.attempts), (Ok(3), 3));
        assert!(Timer.now() - begun >= Duration::from_millis(5));
        assert_eq!(block_on(asynch::within(&mut Later, Duration::from_millis(1), pending::<()>())), None);
    }

    /// Machines: attributes::retry, attributes::circuit_breaker, attributes::measure_time.
    #[test]
    fn attributes_try_again_leave_the_broken_alone_and_measure() {
        use daur_core::monitoring::histogram::Window;
        use daur_core::monitoring::profiler::Profiler;

        type Calls = Profiler<1, 1, Window<u32, 16>>;
        static CALLS: CsShared<Calls, Timer> = CsShared::new(Profiler::new(), Timer);

        #[derive(Debug, PartialEq)]
        enum Error {
            Bus,
            Open(Instant),
        }

        impl From<breaker::Open> for Error {
            fn from(open: breaker::Open) -> Self {
                Self::Open(open.retry_at)
            }
        }

        #[daur_core::retry(max_attempts = 3, delay = "2ms", strategy = "constant", jitter = "none", time = HARDWARE)]
        fn shaky(tries: &Cell<u32>) -> Result<u32, ()> {
            tries.set(tries.get() + 1);
            if tries.get() < 3 { Err(()) } else { Ok(tries.get()) }
        }

        #[daur_core::measure_time("dead", profiler = CALLS)]
        #[daur_core::circuit_breaker(failure_threshold = 2, recovery_timeout = "5ms", time = HARDWARE)]
        fn dead() -> Result<(), Error> {
            Err(Error::Bus)
        }

        let (tries, begun) = (Cell::new(0), Timer.now());
        assert_eq!(shaky(&tries), Ok(3));
        assert!(Timer.now() - begun >= Duration::from_millis(4));

        assert_eq!((dead(), dead()), (Err(Error::Bus), Err(Error::Bus)));
        let Err(Error::Open(retry_at)) = dead() else { panic!("it is open") };
        let measured = |calls: &mut Calls| calls.snapshot("dead").map(|dead| (dead.time.count, dead.errors));
        assert_eq!(CALLS.with(|calls, _| measured(calls)), Some((2, 2)));
        while Timer.now() < retry_at {}
        assert_eq!(dead(), Err(Error::Bus));
        assert_eq!(CALLS.with(|calls, _| measured(calls)), Some((3, 3)));
    }
}
