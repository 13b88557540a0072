//! Texts of stored passwords: what is read is within bounds, and written back as it was.

use daur_core::security::password::{self, Error, MAX_ITERATIONS, MIN_ITERATIONS, Phc};

pub(super) fn run(data: &[u8]) {
    let Ok(text) = str::from_utf8(data) else { return };
    let phc = match Phc::parse(text) {
        Ok(phc) => phc,
        Err(error) => {
            // Nothing is derived from it, so the answer is there at once.
            assert_eq!(password::verify("a", text), Err(error));
            assert!(password::needs_rehash(text, MIN_ITERATIONS));
            return;
        }
    };
    assert!((MIN_ITERATIONS..=MAX_ITERATIONS).contains(&phc.iterations));
    assert!((8..=48).contains(&phc.salt().len()));
    // One spelling for each value.
    assert_eq!(phc.text().as_str(), text);
    assert!(text.starts_with("$pbkdf2-sha256$i=") && text.is_ascii() && text.len() <= Phc::LEN);
    assert!(!password::needs_rehash(text, phc.iterations));
    assert!(phc.iterations == MAX_ITERATIONS || password::needs_rehash(text, phc.iterations + 1));
    // One character more or less, or another one, is another text or none.
    for (at, character) in text.char_indices() {
        let other = if character == 'A' { "B" } else { "A" };
        for changed in
            [format!("{}{}", &text[..at], &text[at + 1..]), format!("{}{other}{}", &text[..at], &text[at + 1..])]
        {
            match Phc::parse(&changed) {
                Ok(read) => assert!(read != phc && read.text().as_str() == changed, "{changed}"),
                Err(error) => assert!(matches!(error, Error::Malformed | Error::Iterations | Error::Salt), "{changed}"),
            }
        }
    }
    // As many iterations as a fuzzer has time for.
    if phc.iterations <= 2 * MIN_ITERATIONS {
        let matches = password::verify("password", text).expect("what parses can be verified");
        assert_eq!(password::verify("password\0", text), Ok(false));
        let again =
            password::hash("password", phc.salt(), phc.iterations).expect("its salt and iterations are allowed");
        assert_eq!(again.as_str() == text, matches);
    }
}
