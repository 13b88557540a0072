//! The balancer alone: four workers, the least loaded one first, with all that it can do about who fails.
#![no_std]
#![no_main]

use daur_core::performance::balancer::{Balancer, Config, LeastLoaded, Outcome};
use daur_measures::{black_box, image, now};

image!(balancer: Balancer<4> = Balancer::new(Config::DEFAULT, LeastLoaded::new(7)); {
    if let Ok(ticket) = balancer.pick(now()) {
        black_box(balancer.done(ticket, black_box(Outcome::Failure), now()));
    }
    black_box(balancer.poll(now()));
    black_box(balancer.loads());
});
