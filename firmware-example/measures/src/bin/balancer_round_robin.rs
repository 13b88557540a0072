//! The balancer alone: four workers in turn, none of them ever left out.
#![no_std]
#![no_main]

use daur_core::performance::balancer::{Balancer, Config, Outcome, RoundRobin};
use daur_measures::{black_box, image, now};

image!(balancer: Balancer<4, RoundRobin> = Balancer::new(Config { eject: None, ..Config::DEFAULT }, RoundRobin::new()); {
    if let Ok(ticket) = balancer.pick(now()) {
        black_box(balancer.done(ticket, black_box(Outcome::Success), now()));
    }
    black_box(balancer.loads());
});
