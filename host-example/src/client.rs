//! Asks a server that runs, from a process of its own.

use std::time::Duration;

use reqwest::{Client, Method, Url};
use serde_json::Value;

use crate::cli::one_line;

type Error = Box<dyn std::error::Error + Send + Sync>;

/// The longest answer that is taken in.
const MOST: usize = 64 << 20;
/// How long the server may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// A server, and who asks it.
#[derive(Clone)]
pub struct Server {
    /// Where it listens.
    pub url: String,
    /// The token, if there is one.
    pub token: Option<String>,
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Server")
    }
}

impl Server {
    /// What it answers to `method` on a path of these parts.
    ///
    /// # Errors
    /// Why there is no answer, or how it refuses.
    pub async fn ask(&self, method: Method, path: &[&str], body: Option<Value>) -> Result<Vec<u8>, Error> {
        // Neither the url nor an error that repeats it is told: there may be a secret in it.
        let bad = |error: &dyn std::fmt::Display| format!("--url is no address of a server: {error}");
        let mut url = Url::parse(&self.url).map_err(|error| bad(&error))?;
        if !matches!(url.scheme(), "http" | "https") || !url.username().is_empty() || url.password().is_some() {
            return Err(bad(&"it must begin with http:// or https://, and have no name or password in it").into());
        }
        url.set_query(None);
        url.path_segments_mut().map_err(|()| bad(&"it has no path"))?.clear().extend(path);
        let _ = rustls::crypto::ring::default_provider().install_default();
        let builder = Client::builder().redirect(reqwest::redirect::Policy::none()).no_proxy().timeout(PATIENCE);
        let builder = if url.scheme() == "https" { builder } else { builder.tls_certs_only([]) };
        let unreachable = |error: reqwest::Error| format!("the server gave no answer: {}", cause(&error.without_url()));
        let mut request = builder.build().map_err(unreachable)?.request(method, url);
        if let Some(token) = &self.token {
            request = request.bearer_auth(token);
        }
        if let Some(body) = body {
            request = request.header("content-type", "application/json").body(body.to_string());
        }
        let mut answer = request.send().await.map_err(unreachable)?;
        let status = answer.status();
        let mut body = Vec::new();
        while let Some(chunk) = answer.chunk().await.map_err(unreachable)? {
            if body.len() + chunk.len() > MOST {
                return Err(format!("the answer is longer than {MOST} bytes").into());
            }
            body.extend_from_slice(&chunk);
        }
        if status.is_success() {
            return Ok(body);
        }
        let problem: Value = serde_json::from_slice(&body).unwrap_or_default();
        let said = problem["detail"].as_str().map(one_line).unwrap_or_default();
        Err(format!("the server refuses it with status {}: {said}", status.as_u16()).into())
    }

    /// The same, as JSON.
    ///
    /// # Errors
    /// As above, and that the answer is none.
    pub async fn ask_json(&self, method: Method, path: &[&str], body: Option<Value>) -> Result<Value, Error> {
        let answer = self.ask(method, path, body).await?;
        Ok(serde_json::from_slice(&answer).map_err(|error| format!("the server's answer is not JSON: {error}"))?)
    }
}

/// The last cause, which is what somebody can do something about.
fn cause(error: &dyn std::error::Error) -> String {
    let mut last = error;
    while let Some(next) = last.source() {
        last = next;
    }
    last.to_string()
}
