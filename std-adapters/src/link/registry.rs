//! The devices that a host knows.

use std::fmt;
use std::future::Future;
use std::io;
use std::sync::Arc;

use daur_core::security::permission::Permissions;
use daur_core::time::Duration;
use daur_core::wire::inbox;
use daur_core::wire::record::Verdict;
use tokio::io::{AsyncRead, AsyncWrite};

use super::endpoint::Endpoint;
use super::status::DeviceStatus;

/// Bounds what a [`Registry`] keeps and waits for.
#[derive(Clone, Copy, Debug)]
pub struct Config {
    /// How a broken line is tried again; it is never given up.
    pub retry: daur_core::reliability::retry::Config,
    /// How long a missing frame is waited for.
    pub inbox: inbox::Config,
    /// How long a command's answer is waited for.
    pub reply_timeout: Duration,
    /// The most series that one device may have; so for its breakers, caches and kinds of errors.
    pub max_series: usize,
    /// The lines of its log that are kept.
    pub log_lines: usize,
}

/// Keeps the state of every attached device; clones are the same registry.
///
/// # Sharing
/// Each device has a task on tokio that ends when the last clone is dropped, or at [`Registry::shutdown`].
#[derive(Clone)]
pub struct Registry {
    inner: Arc<()>,
}

/// Holds a device's answer to a command.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Reply {
    /// The command's counter.
    pub counter: u64,
    /// What became of it.
    pub verdict: Verdict,
    /// What it gave, or why not.
    pub message: String,
}

/// Says why there is no answer to a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SendError {
    /// No attached device has said this id.
    UnknownDevice,
    /// Its line is down.
    Disconnected,
    /// The registry has no fleet key.
    NoKey,
    /// The command or the user's name is too long.
    TooLong,
    /// Another command is waiting for its answer.
    Busy,
    /// No answer came; the command may have been run.
    Timeout,
}

impl Registry {
    /// A registry without devices. Without `fleet_key` it cannot send commands.
    #[must_use]
    pub fn new(config: Config, fleet_key: Option<&[u8]>) -> Self {
        todo!("{config:?} {fleet_key:?}")
    }

    /// Starts to read the device at `endpoint`. Call it inside a tokio runtime.
    pub fn attach(&self, endpoint: &Endpoint) {
        todo!("{endpoint}")
    }

    /// Starts to read a device called `name` over whatever `connect` gives.
    pub fn attach_with<S, F, Fut>(&self, name: &str, connect: F)
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
        F: FnMut() -> Fut + Send + 'static,
        Fut: Future<Output = io::Result<S>> + Send,
    {
        let _ = (name, connect);
        todo!()
    }

    /// How every attached device stands, in the order of attaching.
    #[must_use]
    pub fn snapshot(&self) -> Vec<DeviceStatus> {
        todo!()
    }

    /// How the device called `id` stands.
    #[must_use]
    pub fn device(&self, id: &str) -> Option<DeviceStatus> {
        todo!("{id}")
    }

    /// Signs `command` with the device's key and waits for its answer.
    ///
    /// # Errors
    /// [`SendError`].
    pub async fn send_command(
        &self,
        device: &str,
        command: &str,
        user: &str,
        permissions: Permissions,
    ) -> Result<Reply, SendError> {
        todo!("{device} {command} {user} {permissions:?}")
    }

    /// Ends all tasks and closes the lines.
    pub fn shutdown(&self) {
        todo!()
    }
}
