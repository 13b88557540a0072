//! The balancer alone: four workers, by latency.
#![no_std]
#![no_main]

use daur_core::performance::balancer::{Balancer, Config, Latency, Outcome, PeakEwma};
use daur_measures::{black_box, image, now};

image!(balancer: Balancer<4, PeakEwma> = Balancer::new(Config::DEFAULT, PeakEwma::new(Latency::DEFAULT, 7)); {
    if let Ok(ticket) = balancer.pick(now()) {
        black_box(balancer.done(ticket, black_box(Outcome::Failure), now()));
    }
    black_box(balancer.poll(now()));
    black_box(balancer.loads());
});
