//! A policy in TOML: what is taken is valid and reads back, what is not says which key.

use daur_core::security::policy::Policy;
use daur_std::security::policy::{Error, PREFIX, PolicyToml, to_toml};

pub(super) fn run(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    // Lines of `DAUR_POLICY_..=value` in front are the environment; all else is the file.
    let is_variable = |line: &&str| line.starts_with(PREFIX);
    let variables = text.lines().take_while(is_variable).filter_map(|line| line.split_once('='));
    let variables: Vec<_> = variables.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    let file: Vec<_> = text.lines().skip_while(is_variable).collect();

    let read = PolicyToml::parse(&file.join("\n")).and_then(|file| file.with_vars(variables));
    let applied = read.and_then(|taken| {
        taken.with(&Policy::DEFAULT, |policy| {
            assert_eq!(policy.validate(), Ok(()), "what is taken is valid");
            let again = PolicyToml::parse(&to_toml(policy)).expect("what is written is read");
            let same = again.with(&Policy::DEFAULT, |again| again == policy);
            assert!(same.expect("and taken"), "and is the same");
            // What it admits it admits by its own limits.
            let mut buffer = [0; 256];
            for line in &file {
                assert!(policy.admit_command(line, &mut buffer).is_err() || line.len() <= policy.max_command_len);
            }
        })
    });
    match applied {
        Ok(()) | Err(Error::Syntax(_) | Error::Read { .. }) => {}
        Err(error) => assert!(error.to_string().contains('`'), "it says which: {error}"),
    }
}
