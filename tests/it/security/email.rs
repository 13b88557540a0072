//! Addresses of mail: what people have, and what only looks like it.

use daur_core::rng::Rng;
use daur_core::security::input::email::{Refusal, Rules, check};

const ALL: Rules = Rules { quoted: true, international: true, local_domains: true, literals: true };

#[test]
fn everyday_addresses_pass_and_are_taken_apart() {
    let good = [
        "a@b.co",
        "simple@example.com",
        "very.common@example.com",
        "x@example.com",
        "long.email-address-with-hyphens@and.subdomains.example.com",
        "user.name+tag+sorting@example.com",
        "name/surname@example.com",
        "admin@sub.example.co.uk",
        "example@s.example",
        "mailhost!username@example.org",
        "user%example.com@example.org",
        "user-@example.org",
        "-user@example.org",
        "_@example.org",
        "__init__@example.org",
        "o'reilly@example.com",
        "!#$%&'*+-/=?^_`{|}~@example.org",
        "1234567890@example.com",
        "1@2.com",
        "a@1example.com",
        "a@example.x1",
        "a@a-b.example",
        "a@a--b.example",
        "a@xn--bcher-kva.example",
        "a@b.xn--p1ai",
        "A.B@EXAMPLE.ORG",
        "a.b.c.d.e@f.g.h.i.example",
        "first.last@123.example",
        "a@example.museum",
        "postmaster@example.org",
    ];
    for address in good {
        let email = check(address, &Rules::DEFAULT).unwrap_or_else(|why| panic!("{address}: {why}"));
        assert_eq!((email.local, email.domain), address.split_once('@').unwrap());
    }
}

#[test]
fn each_address_that_is_none_is_refused_with_the_reason() {
    use Refusal::{
        DomainCharacter, DomainForm, EmptyLabel, Hyphen, International, LabelTooLong, Literal, LocalCharacter,
        LocalDot, LocalTooLong, NoAt, NoDomain, NoLocal, Quoted, TooLong,
    };
    let a64 = "a".repeat(64);
    let long = [
        (format!("{a64}a@example.org"), LocalTooLong),
        (format!("a@{a64}.org"), LabelTooLong),
        (format!("a@{}.org", ["b"; 130].join(".")), TooLong),
        (format!("{}@x.org", "a".repeat(1_000_000)), TooLong),
    ];
    let bad = [
        ("", NoAt),
        ("@", NoLocal),
        ("abc.example.com", NoAt),
        ("@example.org", NoLocal),
        ("a@", NoDomain),
        ("a@@example.org", LocalCharacter),
        ("a@b@c@example.com", LocalCharacter),
        (".a@example.org", LocalDot),
        ("a.@example.org", LocalDot),
        ("a..b@example.org", LocalDot),
        (".@example.org", LocalDot),
        ("a b@example.org", LocalCharacter),
        (" a@example.org", LocalCharacter),
        ("a\tb@example.org", LocalCharacter),
        ("a(comment)@example.org", LocalCharacter),
        ("(comment)a@example.org", LocalCharacter),
        ("a@(comment)example.org", DomainCharacter),
        ("a@example.org(comment)", DomainCharacter),
        ("Ada <a@example.org>", LocalCharacter),
        ("<a@example.org>", LocalCharacter),
        ("mailto:a@example.org", LocalCharacter),
        ("a,b@example.org", LocalCharacter),
        ("a@example.org,b@example.org", LocalCharacter),
        ("a;b@example.org", LocalCharacter),
        ("a\\b@example.org", LocalCharacter),
        ("a[b]@example.org", LocalCharacter),
        ("a\"b@example.org", LocalCharacter),
        ("a\r\nBcc: x@example.org", LocalCharacter),
        ("a%0aBcc:x@example.org", LocalCharacter),
        ("a\n@example.org", LocalCharacter),
        ("a\0@example.org", LocalCharacter),
        ("a\x7f@example.org", LocalCharacter),
        ("\"a b\"@example.org", Quoted),
        ("\"a@example.org", Quoted),
        ("\"\"@example.org", Quoted),
        ("a@example", DomainForm),
        ("root@localhost", DomainForm),
        ("a@127.0.0.1", DomainForm),
        ("a@1.2", DomainForm),
        ("a@example.42", DomainForm),
        ("a@[127.0.0.1]", Literal),
        ("a@[IPv6:::1]", Literal),
        ("a@[", Literal),
        ("a@-x.org", Hyphen),
        ("a@x-.org", Hyphen),
        ("a@x.-org", Hyphen),
        ("a@x.org-", Hyphen),
        ("a@.org", EmptyLabel),
        ("a@x..org", EmptyLabel),
        ("a@x.org.", EmptyLabel),
        ("a@.", EmptyLabel),
        ("a@x_y.org", DomainCharacter),
        ("a@x y.org", DomainCharacter),
        ("a@ x.org", DomainCharacter),
        ("a@x.org ", DomainCharacter),
        ("a@x.org\n", DomainCharacter),
        ("a@x.org\r\n.", DomainCharacter),
        ("a@x.org\0", DomainCharacter),
        ("a@x.org>", DomainCharacter),
        ("a@x!.org", DomainCharacter),
        ("a@x.org/path", DomainCharacter),
        ("a@x.org:25", DomainCharacter),
        ("a@x.o'rg", DomainCharacter),
        ("größe@example.org", International),
        ("a@bücher.example", International),
        ("a@exаmple.org", International),
        ("a\u{200b}@example.org", International),
        ("a@x\u{3002}org", International),
        ("\u{ff41}@example.org", International),
    ];
    assert!(bad.len() >= 60);
    for (address, why) in
        bad.iter().map(|(address, why)| (*address, *why)).chain(long.iter().map(|(a, why)| (&**a, *why)))
    {
        assert_eq!(check(address, &Rules::DEFAULT), Err(why), "{address:?}");
    }
}

#[test]
fn the_longest_that_may_be_pass_and_one_byte_more_does_not() {
    let (a63, a64) = ("a".repeat(63), "a".repeat(64));
    assert!(check(&format!("{a64}@{a63}.{a63}.{}", "b".repeat(61)), &Rules::DEFAULT).is_ok());
    assert_eq!(check(&format!("{a64}@{a63}.{a63}.{}", "b".repeat(62)), &Rules::DEFAULT), Err(Refusal::TooLong));
    // Lengths are bytes, as on the line: 32 letters of two bytes each.
    assert!(check(&format!("{}@x.org", "ö".repeat(32)), &ALL).is_ok());
    assert_eq!(check(&format!("{}@x.org", "ö".repeat(33)), &ALL), Err(Refusal::LocalTooLong));
}

/// What rules 2 and 3 say, written plainly a second time.
fn is_plain_address(address: &str) -> bool {
    let Some((local, domain)) = address.rsplit_once('@') else { return false };
    let atom = |atom: &str| {
        !atom.is_empty() && atom.chars().all(|c| c.is_ascii_alphanumeric() || "!#$%&'*+-/=?^_`{|}~".contains(c))
    };
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let last = domain.rsplit('.').next().unwrap_or("");
    address.len() <= 254
        && (1..=64).contains(&local.len())
        && local.split('.').all(atom)
        && domain.contains('.')
        && domain.split('.').all(label)
        && last.chars().any(|c| !c.is_ascii_digit())
}

#[test]
fn a_million_texts_are_judged_as_the_plain_reading_of_the_rules_does() {
    const PIECES: [&str; 24] = [
        "a", "b", "Z", "9", "0", ".", ".", "-", "_", "+", "@", "@", "example", "org", "\"", "\\", " ", "\n", "ö", "[",
        "'", "~", ",", "xn--a",
    ];
    let (mut rng, mut passed) = (Rng::new(5_321), 0);
    for round in 0..1_000_000 {
        let mut text = String::new();
        for place in 0..=rng.at_most(8) {
            text.push_str(PIECES[usize::try_from(rng.at_most(23)).unwrap()]);
            if round % 2 == 0 && place == 2 {
                text.push_str("@b.");
            }
        }
        let judged = check(&text, &Rules::DEFAULT);
        assert_eq!(judged.is_ok(), is_plain_address(&text), "{text:?}: {judged:?}");
        passed += u32::from(judged.is_ok());
    }
    assert!(passed > 1_000, "the test must not pass by refusing everything: {passed}");
}
