//! Passwords on the blocking pool: nothing of them is left in memory that is given back.

use daur_core::time::Duration;
use daur_std::security::password::argon2::{self, Argon2id, Costs, New};
use daur_std::security::password::{Config, Error, Hasher, Scheme};

use crate::adapters::allocations::{MARK, freed_with_mark, look_for_marks};

/// A password that can be found in memory, in a string that never grows: that would leave a copy behind.
fn marked(end: &str) -> String {
    let mut password = String::with_capacity(64);
    password.extend([str::from_utf8(MARK).unwrap(), end]);
    password
}

/// What every caller may do with a hasher.
async fn use_it<S: Scheme>(hasher: &Hasher<S>) {
    let stored = hasher.hash(marked("")).await.unwrap();
    assert!(hasher.verify(marked(""), Some(&stored)).await.unwrap().matches);
    assert!(!hasher.verify(marked("!"), Some(&stored)).await.unwrap().matches);
    assert!(!hasher.verify(marked(""), None).await.unwrap().matches);
    assert!(hasher.verify(marked(""), Some("not a hash")).await.is_err());
    assert!(matches!(hasher.hash(marked("\0")).await, Err(Error::Nul)));
    // Never polled, polled and given up, and given up while it waits.
    drop(hasher.hash(marked("")));
    let mut tasks: Vec<_> = (0..4).map(|_| tokio::spawn(hasher.hash(marked("")))).collect();
    tokio::task::yield_now().await;
    for task in &tasks {
        task.abort();
    }
    while let Some(task) = tasks.pop() {
        // A busy machine may have answered one before it was given up.
        match task.await {
            Ok(stored) => drop(stored.unwrap()),
            Err(error) => assert!(error.is_cancelled()),
        }
    }
}

#[test]
fn rule_5_a_password_is_wiped_whatever_becomes_of_its_hash() {
    look_for_marks();
    let config = Config { iterations: 1_000, at_once: 1, wait: Duration::from_secs(600) };
    let argon2 =
        argon2::Config { new: New::Argon2id(Costs { memory_kib: 64, passes: 1, lanes: 1 }), ..argon2::Config::DEFAULT };
    // Its end waits for what is under way.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    runtime.block_on(async {
        use_it(&Hasher::new(config)).await;
        use_it(&Hasher::with_scheme(Argon2id::try_new(argon2).unwrap(), config).unwrap()).await;
    });
    drop(runtime);
    assert_eq!(freed_with_mark(), 0);
    drop(marked(""));
    assert_eq!(freed_with_mark(), 1, "the allocator would have seen it");
}
