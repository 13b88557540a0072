//! A security policy that is read at run time: its check, and what the machines take of it.
#![no_std]
#![no_main]

use daur_core::security::policy::Policy;
use daur_measures::{black_box, image};

image!(policy: Policy = Policy::DEFAULT; {
    black_box(policy.validate().is_ok());
    black_box((policy.api_limit(), policy.login_limit()));
});
