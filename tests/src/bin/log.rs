//! Logs numbered lines, as the process's own log, until it is killed or has logged enough.
//!
//! `log DIR [LINES]`: after each hundred it prints how many are in the file.

use std::time::Duration;

use daur_std::monitoring::log::file::FileConfig;
use daur_std::monitoring::log::{self, Config};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let dir = args.next().ok_or("DIR [LINES]")?;
    let lines = args.next().map_or(Ok(u64::MAX), |lines| lines.parse())?;
    let file = FileConfig { max_bytes: 256 << 10, max_files: 100_000, ..FileConfig::in_dir(dir) };
    let log = log::init(Config { console: None, file: Some(file), ..Config::default() })?;
    for n in 0..lines {
        tracing::info!(target: "named", n, "line");
        if n % 100 == 99 {
            if !log.flush(Duration::from_secs(60)) {
                return Err("the file is not written".into());
            }
            println!("{}", n + 1);
        }
    }
    let end = log.shutdown(Duration::from_secs(60));
    if end.written == end.sent { Ok(()) } else { Err(format!("{end:?}").into()) }
}
