//! The program `daur-host`, where the tests of this package can start it.

fn main() -> std::process::ExitCode {
    daur_host::main_entry()
}
