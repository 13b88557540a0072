//! The host example as a program.

fn main() -> std::process::ExitCode {
    daur_host::main_entry()
}
