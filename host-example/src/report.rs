//! A report, asked of a server that runs.

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use reqwest::{Client, Url};
use serde_json::Value;

use crate::reports::Format;

type Error = Box<dyn std::error::Error + Send + Sync>;

/// The longest report that is taken in.
const MOST: usize = 64 << 20;
/// How long the server may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// What is to be done.
#[derive(Clone)]
pub struct Work {
    /// Of which kind.
    pub format: Format,
    /// Where to; `None` for stdout.
    pub output: Option<PathBuf>,
    /// Of which server.
    pub url: String,
    /// Who asks.
    pub token: String,
}

impl std::fmt::Debug for Work {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Work").field("format", &self.format).field("output", &self.output).finish_non_exhaustive()
    }
}

/// Does it.
///
/// # Errors
/// Why there is no report.
pub async fn run(work: Work) -> Result<(), Error> {
    let report = fetch(&work).await?;
    match &work.output {
        None => Ok(io::stdout().lock().write_all(&report)?),
        Some(path) => write_whole(path, &report).map_err(|error| format!("{}: {error}", path.display()).into()),
    }
}

async fn fetch(work: &Work) -> Result<Vec<u8>, Error> {
    // Neither the url nor an error that repeats it is told: there may be a secret in it.
    let bad = |error: &dyn std::fmt::Display| format!("--url is no address of a server: {error}");
    let mut url = Url::parse(&work.url).map_err(|error| bad(&error))?;
    if !matches!(url.scheme(), "http" | "https") || !url.username().is_empty() || url.password().is_some() {
        return Err(bad(&"it must begin with http:// or https://, and have no name or password in it").into());
    }
    url.set_path(&format!("/api/reports/{}", work.format.as_str()));
    url.set_query(None);
    let _ = rustls::crypto::ring::default_provider().install_default();
    let builder = Client::builder().redirect(reqwest::redirect::Policy::none()).no_proxy().timeout(PATIENCE);
    let builder = if url.scheme() == "https" { builder } else { builder.tls_certs_only([]) };
    let unreachable = |error: reqwest::Error| format!("the server gave no answer: {}", cause(&error.without_url()));
    let client = builder.build().map_err(unreachable)?;
    let mut answer = client.get(url).bearer_auth(&work.token).send().await.map_err(unreachable)?;
    let status = answer.status();
    let mut body = Vec::new();
    while let Some(chunk) = answer.chunk().await.map_err(unreachable)? {
        if body.len() + chunk.len() > MOST {
            return Err(format!("the report is longer than {MOST} bytes").into());
        }
        body.extend_from_slice(&chunk);
    }
    if status.is_success() {
        return Ok(body);
    }
    let problem: Value = serde_json::from_slice(&body).unwrap_or_default();
    let said = problem["detail"].as_str().map(crate::cli::one_line).unwrap_or_default();
    Err(format!("the server refuses it with status {}: {said}", status.as_u16()).into())
}

/// The last cause, which is what somebody can do something about.
fn cause(error: &dyn std::error::Error) -> String {
    let mut last = error;
    while let Some(next) = last.source() {
        last = next;
    }
    last.to_string()
}

/// Writes a file such that whoever looks sees all of it, or what was there before.
fn write_whole(path: &Path, text: &[u8]) -> io::Result<()> {
    let name = path.file_name().ok_or(io::ErrorKind::InvalidFilename)?.to_string_lossy();
    let beside = path.with_file_name(format!(".{name}.{}", std::process::id()));
    let write = || {
        let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&beside)?;
        file.write_all(text)?;
        file.sync_all()?;
        fs::rename(&beside, path)
    };
    write().inspect_err(|_| {
        let _ = fs::remove_file(&beside);
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_replaced_as_a_whole_or_not_at_all() {
        let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/tmp").join(format!("report-{}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        let path = dir.join("report.html");
        for text in ["one", "another"] {
            write_whole(&path, text.as_bytes()).unwrap();
            assert_eq!(fs::read_to_string(&path).unwrap(), text);
        }
        assert!(write_whole(&dir.join("none/report.html"), b"x").is_err());
        assert!(write_whole(Path::new("/"), b"x").is_err());
        assert_eq!(fs::read_dir(&dir).unwrap().count(), 1);
        fs::remove_dir_all(&dir).unwrap();
    }
}
