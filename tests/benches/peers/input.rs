//! The checks of texts from outside beside crates that do one part of each: splitting a command line, cleaning a path,
//! judging an address of mail.

use std::hint::black_box;

use daur_core::security::input::command::parse;
use daur_core::security::input::{email, path};
use email_address::EmailAddress;

use crate::harness::{Options, compare, subject};

const ROUNDS: u32 = 512;

const LINES: [&str; 6] = [
    "ls -la",
    "git commit -m \"fix: say why it was kept\"",
    "tar -czf backup.tar.gz --exclude='*.o' src tests docs",
    "grep -rn 'foo|bar' src/security/input",
    "find . -name '*.rs' -newer Cargo.toml",
    "journalctl -u nginx --since \"1 hour ago\" --no-pager",
];
const PATHS: [&str; 6] = [
    "a.txt",
    "reports/2026/may.csv",
    "reports//2026/./may.csv",
    "uploads/images/holiday/lake-and-mountains.jpeg",
    "/home/user/file.txt",
    "/srv/data/projects/daur/core/src/security/input/path.rs",
];
const ADDRESSES: [&str; 6] = [
    "a@b.co",
    "ada.lovelace+news@example.org",
    "very.common@sub.domain.example.com",
    "firstname.lastname@department.university.example",
    "not an address",
    "user@localhost..example",
];

pub(crate) fn run(options: &Options) {
    let each = 6 * ROUNDS;
    let subjects = vec![
        subject("daur: command::parse", each, || {
            let mut buffer = [0; 128];
            for _ in 0..ROUNDS {
                for line in LINES {
                    _ = black_box(parse(black_box(line), &mut buffer));
                }
            }
        }),
        subject("shlex", each, || {
            for _ in 0..ROUNDS {
                for line in LINES {
                    _ = black_box(shlex::split(black_box(line)));
                }
            }
        })
        .target(1.0),
    ];
    compare(options, "input: split a command line", subjects);

    let subjects = vec![
        subject("daur: path::check, 11 forbidden", each, || {
            let mut buffer = [0; 128];
            for _ in 0..ROUNDS {
                for path in PATHS {
                    _ = black_box(path::check(black_box(path), &path::Rules::DEFAULT, &mut buffer));
                }
            }
        }),
        subject("path-clean", each, || {
            for _ in 0..ROUNDS {
                for path in PATHS {
                    _ = black_box(path_clean::clean(black_box(path)));
                }
            }
        })
        .target(1.0),
    ];
    compare(options, "input: check a path", subjects);

    let subjects = vec![
        subject("daur: email::check", each, || {
            for _ in 0..ROUNDS {
                for address in ADDRESSES {
                    _ = black_box(email::check(black_box(address), &email::Rules::DEFAULT));
                }
            }
        }),
        subject("email_address", each, || {
            for _ in 0..ROUNDS {
                for address in ADDRESSES {
                    _ = black_box(EmailAddress::is_valid(black_box(address)));
                }
            }
        })
        .target(1.0),
    ];
    compare(options, "input: judge an address of mail", subjects);
}
