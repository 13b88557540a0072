use super::*;

fn plan(from: u64, to: u64, points: usize, present: u64) -> (u64, u64, usize) {
    let plan = Question::new(&Config::DEFAULT, &[], from, to, points).unwrap().plan(&Config::DEFAULT, present);
    assert!(plan.steps <= points, "{plan:?}");
    (Config::DEFAULT.tiers[plan.tier].step.as_millis(), plan.step, plan.steps)
}

#[test]
fn rule_4_a_query_reads_the_coarsest_tier_that_is_fine_enough_and_reaches_back() {
    const NOW: u64 = 1_700_000_000_000;
    let minutes = |n: u64| NOW - n * 60_000;
    // Five minutes in 301 points: by the second. In 31: from rows of ten seconds.
    assert_eq!(plan(minutes(5), NOW, 301, NOW), (1_000, 1_000, 300));
    assert_eq!(plan(minutes(5), NOW, 31, NOW), (10_000, 10_000, 30));
    // An hour by the second would be wished for, but seconds are kept for ten minutes.
    assert_eq!(plan(minutes(60), NOW, 4_000, NOW), (10_000, 10_000, 360));
    // So are those of yesterday's five minutes.
    assert_eq!(plan(minutes(1_445), minutes(1_440), 301, NOW), (60_000, 60_000, 6));
    // Steps between two tiers are made of the finer one.
    assert_eq!(plan(minutes(5), NOW, 11, NOW).0, 10_000);
    assert_eq!(plan(minutes(5), NOW, 11, NOW).1, 30_000);
    // Beyond what is kept, and a single step.
    assert_eq!(plan(0, NOW, 100, NOW).0, 600_000);
    assert_eq!(plan(minutes(5) + 1, NOW - 1, 1, NOW).2, 1);
}

#[test]
fn rule_4_no_question_gets_more_steps_than_it_asks_for() {
    let mut random = 0x2545_F491_4F6C_DD1D_u64;
    let mut next = move || {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        random
    };
    for _ in 0..20_000 {
        let (a, b) = (next() >> (next() % 64), next() >> (next() % 64));
        let (from, to) = (a.min(b), a.max(b).max(a.min(b) + 1));
        let points = (next() % MAX_POINTS as u64) as usize + 1;
        let question = Question::new(&Config::DEFAULT, &[], from, to, points).unwrap();
        let answer = question.plan(&Config::DEFAULT, next()).unanswered();
        assert!((1..=points).contains(&answer.t.len()));
        assert!(answer.from_ms <= from && answer.to_ms >= to.min(answer.from_ms.saturating_add(answer.step_ms)));
    }
}

#[test]
fn a_mean_is_between_the_ends_whatever_the_values() {
    for (a, b) in [(f64::MAX, f64::MAX), (-f64::MAX, f64::MAX), (0.1, 0.1), (5e-324, 5e-324)] {
        let both = Step::of(a).with(Step::of(b)).with(Step::of(b));
        assert!(both.min <= both.mean && both.mean <= both.max && both.count == 3, "{both:?}");
    }
}
