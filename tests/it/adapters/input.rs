//! What the checks of texts from outside allocate: nothing.

use daur_core::security::input::command::{AllowList, DenyList, classify, parse};
use daur_core::security::input::{email, path, sanitize};

use crate::adapters::allocations;

#[test]
fn no_check_of_a_text_from_outside_allocates() {
    let lines = ["ls -la", "git commit -m 'a; b'", "sudo rm x", "echo $(id)", "sh -c 'r\"\"m'", "awk '{print $1}' f"];
    let paths = ["a/b/c", "../x", "/etc/passwd", "%2e%2e/", "/srv//x/./y"];
    let addresses = ["a.b@example.org", "\"a b\"@x.org", "a@[IPv6:::1]", "größe@x.org", "a@b"];
    let ((), allocations, held) = allocations::of(|| {
        let mut buffer = [0; 256];
        for line in lines {
            _ = (parse(line, &mut buffer).is_ok(), classify(line));
            _ = AllowList::DEFAULT.admit(line, &mut buffer).is_ok();
            _ = DenyList::DEFAULT.admit(line, &mut buffer).is_ok();
        }
        for path in paths {
            _ = path::check(path, &path::Rules { decodings: 1, ..path::Rules::DEFAULT }, &mut buffer).is_ok();
        }
        for address in addresses {
            let rules = email::Rules { quoted: true, literals: true, ..email::Rules::DEFAULT };
            _ = email::check(address, &rules).is_ok();
        }
        let html = sanitize::Rules { html: true, ..sanitize::Rules::DEFAULT };
        _ = sanitize::sanitize("<b>\x1b[0m Tom & Jerry", &html, &mut buffer);
    });
    assert_eq!((allocations, held), (0, 0));
}
