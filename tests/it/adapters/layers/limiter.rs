//! [`LimiterLayer`].

use std::collections::HashMap;
use std::future::ready;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use super::*;
use daur_core::reliability::limiter::{Config, Gcra, Limited, Limiter, Quota};
use daur_core::time::Instant;
use daur_std::clock::ManualClock;
use daur_std::reliability::layers::LimiterLayer;
use daur_std::shared::StdShared;

/// One a second, two at once.
const CONFIG: Config = Config { rate: 1, period: Duration::from_secs(1), burst: 2 };

type Shared = StdShared<Limiter, ManualClock>;

fn limiter() -> Arc<Shared> {
    Arc::new(StdShared::with_clock(Limiter::new(CONFIG), ManualClock::new(Instant::from_secs(100))))
}

#[tokio::test]
async fn rule_1_clones_share_the_limiter_and_the_refused_do_not_reach_the_service() {
    let calls = Arc::new(AtomicU32::new(0));
    let counting = {
        let calls = Arc::clone(&calls);
        strict(move |x: u32| {
            calls.fetch_add(1, Ordering::SeqCst);
            ready(Ok(x))
        })
    };
    let mut service = LimiterLayer::new(limiter()).layer(counting);
    let mut other = service.clone();
    assert_eq!(call(&mut service, 1).await, Ok(1));
    assert_eq!(call(&mut other, 2).await, Ok(2));
    let limited = Err(Error::Limited(Limited { retry_at: Instant::from_secs(101) }));
    assert_eq!(call(&mut service, 3).await, limited);
    assert_eq!(call(&mut other.clone(), 4).await, limited);
    assert_eq!(calls.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn rule_2_a_refusal_says_when_to_come_back_and_then_the_call_passes() {
    let limiter = limiter();
    let mut service = LimiterLayer::new(Arc::clone(&limiter)).layer(strict(|x: u32| ready(Ok(x))));
    call(&mut service, 1).await.unwrap();
    call(&mut service, 2).await.unwrap();
    let retry_at = call(&mut service, 3).await.unwrap_err().retry_at().unwrap();
    limiter.clock().set(retry_at - Duration::from_nanos(1));
    assert!(call(&mut service, 4).await.unwrap_err().is_refusal());
    limiter.clock().set(retry_at);
    assert_eq!(call(&mut service, 5).await, Ok(5));
}

#[tokio::test]
async fn rule_3_being_asked_whether_it_is_ready_uses_nothing_up() {
    let mut service = LimiterLayer::new(limiter()).layer(strict(|x: u32| ready(Ok(x))));
    for _ in 0..100 {
        service.ready().await.unwrap();
    }
    assert_eq!(call(&mut service, 1).await, Ok(1));
    assert_eq!(call(&mut service, 2).await, Ok(2));
}

#[tokio::test]
async fn a_limit_by_key_lets_each_key_have_its_own() {
    let quota = Quota::new(CONFIG);
    let users: Mutex<HashMap<&str, Gcra>> = Mutex::default();
    let by_user = LimiterLayer::by(|user: &&'static str| {
        users.lock().unwrap().entry(*user).or_default().check(&quota, Instant::from_secs(100))
    });
    let mut service = by_user.layer(strict(|user: &'static str| ready(Ok(user))));
    for user in ["ada", "ada", "bob", "bob"] {
        assert_eq!(call(&mut service, user).await, Ok(user));
    }
    for user in ["ada", "bob"] {
        assert!(matches!(call(&mut service, user).await, Err(Error::Limited(_))));
    }
}
