//! What fuzzers have found, or were given to begin with, replayed: see `tests/fuzz`.

use std::fs;
use std::path::Path;

use daur_tests::fuzz::{LEFT_OUT, TARGETS};

#[test]
fn every_input_that_is_kept_passes_its_target() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus");
    for (name, target) in TARGETS {
        let dir = corpus.join(name);
        let inputs = fs::read_dir(&dir).unwrap_or_else(|error| panic!("{}: {error}", dir.display()));
        let mut replayed = 0;
        for input in inputs {
            let path = input.unwrap().path();
            println!("{}", path.display()); // shown if the target panics
            target(&fs::read(&path).unwrap());
            replayed += 1;
        }
        assert!(replayed > 0, "{name} has no corpus");
    }
}

#[test]
fn every_corpus_and_every_fuzzer_has_its_target() {
    let fuzz = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz");
    let manifest = fs::read_to_string(fuzz.join("Cargo.toml")).unwrap();
    for (name, _) in TARGETS {
        assert!(manifest.contains(&format!("name = \"{name}\"")), "{name} has no fuzzer");
        let source = fs::read_to_string(fuzz.join(format!("fuzz_targets/{name}.rs"))).unwrap();
        assert!(source.contains(&format!("fuzz::run(\"{name}\"")), "{name} runs something else");
    }
    for dir in fs::read_dir(fuzz.join("corpus")).unwrap() {
        let name = dir.unwrap().file_name().into_string().unwrap();
        let is_known = TARGETS.iter().any(|(known, _)| *known == name) || LEFT_OUT.contains(&&*name);
        assert!(is_known, "{name} is nobody's corpus");
    }
}
