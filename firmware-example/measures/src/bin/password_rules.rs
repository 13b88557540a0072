//! The rules of a new password alone, with the small list of common ones.
#![no_std]
#![no_main]

use daur_core::security::password::Rules;
use daur_measures::{black_box, image};

image!(rules: Rules = Rules::DEVICE; {
    black_box(rules.check(black_box("correct horse"), black_box("ada")).is_ok());
    black_box(rules.check_with(black_box("correct horse"), &[black_box("ada"), black_box("boiler")]).is_ok());
});
