//! The devices that a host knows.

use std::fmt;
use std::future::Future;
use std::io;
use std::path::PathBuf;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};

use daur_core::id::DeviceId;
use daur_core::reliability::retry::{self, Attempts, Jitter};
use daur_core::security::audit::Entry;
use daur_core::security::permission::Permissions;
use daur_core::shared::Shared;
use daur_core::text::Text;
use daur_core::time::Duration;
use daur_core::wire::inbox;
use daur_core::wire::record::Verdict;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::{mpsc, oneshot};
use tokio::task::AbortHandle;
use tokio::time::timeout;

use super::audit::Store;
use super::device::{Device, Pending};
use super::endpoint::Endpoint;
use super::status::DeviceStatus;
use super::task::{self, SharedDevice};
use super::time::Signer;
use crate::clock::TokioClock;
use crate::shared::StdShared;

/// Bounds what a [`Registry`] keeps and waits for.
#[derive(Clone, Copy, Debug)]
pub struct Config {
    /// How a broken line is tried again. With [`Attempts::Forever`] it is never given up.
    pub retry: retry::Config,
    /// How long a missing frame is waited for.
    pub inbox: inbox::Config,
    /// How long a connection may take.
    pub connect_timeout: Duration,
    /// How long a line may refuse to take bytes.
    pub write_timeout: Duration,
    /// How often a device that has not said its name is asked for it.
    pub identify_every: Duration,
    /// A line without a byte for so long is broken off and tried again. A device should speak more often.
    pub silence: Duration,
    /// How long a command's answer is waited for.
    pub reply_timeout: Duration,
    /// How long a command may take to arrive; later the device refuses it, if it knows the time.
    pub command_lifetime: Duration,
    /// Whether a device that can know the time is told it, by a signed `set-time`, at the beginning of each life.
    pub tell_time: bool,
    /// How soon it is told again if it has not answered, or is late by more than 10 s.
    pub tell_time_every: Duration,
    /// The most series that one device may have; so for its breakers, its caches and its kinds of errors.
    pub max_series: usize,
    /// The lines of its log that are kept.
    pub log_lines: usize,
}

impl Config {
    /// Tried again after 250 ms, doubling up to 10 s, for ever; 30 s of silence; 5 s for an answer; 30 s for a command; 128
    /// series.
    pub const DEFAULT: Self = Self {
        retry: retry::Config {
            max_attempts: Attempts::Forever,
            initial_delay: Duration::from_millis(250),
            max_delay: Duration::from_secs(10),
            jitter: Jitter::Equal,
            ..retry::Config::DEFAULT
        }
        .checked(),
        inbox: inbox::Config::DEFAULT,
        connect_timeout: Duration::from_secs(5),
        write_timeout: Duration::from_secs(5),
        identify_every: Duration::from_secs(1),
        silence: Duration::from_secs(30),
        reply_timeout: Duration::from_secs(5),
        command_lifetime: Duration::from_secs(30),
        tell_time: true,
        tell_time_every: Duration::from_secs(60),
        max_series: 128,
        log_lines: 100,
    };
}

impl Default for Config {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// Keeps the state of every attached device; clones are the same registry.
///
/// # Rules
/// 1. A line that breaks is tried again by the core retry machine; what the device keeps arrives when it is back.
/// 2. Frames are acknowledged when they have been taken in, and a gap is asked for.
/// 3. A device's status holds at most `max_series` names of each kind and `log_lines` lines; what is left out is
///    counted.
/// 4. A command is signed for one device, one life of it and one use; one is under way at a time.
/// 5. The records of a device's audit chain are verified in order and, where there is a directory for them, on disk
///    before their frames are acknowledged; if they cannot be, the line is broken off, and the device keeps them.
/// 6. A device that can know the time (schema 5) is told it in each of its lives before any other command, and a command
///    to one that knows it expires after `command_lifetime`, by the later of the two clocks. One that does not answer
///    is sent commands without an end.
///
/// # Cost
/// One task and about 3 KB a device, and what its series take.
///
/// # Sharing
/// `Clone`, `Send`, `Sync`. Each device has a task on tokio that ends when the last clone is dropped, or at
/// [`Registry::shutdown`]. [`Registry::send_command`] may be dropped while it waits: the command may then have
/// been run.
///
/// # Example
/// ```
/// use daur_std::link::{Config, Registry};
///
/// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
/// let devices = Registry::new(Config::DEFAULT, None);
/// devices.attach(&"tcp:127.0.0.1:9".parse().unwrap());
/// let status = devices.snapshot();
/// assert_eq!(status[0].endpoint, "tcp:127.0.0.1:9");
/// assert!(!status[0].connected);
/// # });
/// ```
#[derive(Clone)]
pub struct Registry {
    inner: Arc<Inner>,
}

struct Inner {
    config: Config,
    store: Store,
    attached: Mutex<Vec<Attached>>,
}

#[derive(Clone)]
struct Attached {
    device: SharedDevice,
    commands: mpsc::Sender<Vec<u8>>,
    task: AbortHandle,
}

/// Holds a device's answer to a command.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Reply {
    /// The command's counter; 0 if the device could not read it.
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
    /// Its line is down, or went down before the answer.
    Disconnected,
    /// The registry has no fleet key, or one that is too short.
    NoKey,
    /// The command or the user's name is too long.
    TooLong,
    /// Another command is waiting for its answer.
    Busy,
    /// No answer came; the command may have been run.
    Timeout,
}

impl fmt::Display for SendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::UnknownDevice => "no attached device has said this id",
            Self::Disconnected => "the line to the device is down",
            Self::NoKey => "there is no fleet key of at least 32 bytes to sign commands with",
            Self::TooLong => "a command has at most 64 bytes and a user's name at most 32",
            Self::Busy => "another command to this device is waiting for its answer",
            Self::Timeout => "the device did not answer; it may have run the command",
        })
    }
}

impl std::error::Error for SendError {}

impl Registry {
    /// A registry without devices. Without `fleet_key` it cannot send commands, nor verify audit chains. Of those it
    /// holds the last records in memory.
    #[must_use]
    pub fn new(config: Config, fleet_key: Option<&[u8]>) -> Self {
        Self::with_store(config, fleet_key, None)
    }

    /// As [`new`](Self::new), and keeps the audit chain of each life of each device in a file in `dir`, which is made
    /// when the first comes. [`device::check_at`](crate::security::audit::device::check_at) verifies one later.
    #[must_use]
    pub fn with_audit_dir(config: Config, fleet_key: Option<&[u8]>, dir: impl Into<PathBuf>) -> Self {
        Self::with_store(config, fleet_key, Some(dir.into()))
    }

    fn with_store(config: Config, fleet_key: Option<&[u8]>, dir: Option<PathBuf>) -> Self {
        let store = Store { dir, fleet_key: fleet_key.map(Arc::from) };
        Self { inner: Arc::new(Inner { config, store, attached: Mutex::default() }) }
    }

    /// Starts to read the device at `endpoint`. Call it inside a tokio runtime.
    pub fn attach(&self, endpoint: &Endpoint) {
        let name = endpoint.to_string();
        match endpoint.clone() {
            Endpoint::Tcp(address) => self.attach_with(&name, move || {
                let address = address.clone();
                async move {
                    let stream = TcpStream::connect(address).await?;
                    // An acknowledgement is small and wanted now.
                    stream.set_nodelay(true)?;
                    Ok(stream)
                }
            }),
            #[cfg(feature = "serial")]
            Endpoint::Serial { path, baud } => self.attach_with(&name, move || {
                let port = tokio_serial::SerialStream::open(&tokio_serial::new(path.clone(), baud));
                async move { port.map_err(io::Error::from) }
            }),
            #[cfg(not(feature = "serial"))]
            Endpoint::Serial { .. } => self.attach_with(&name, || async {
                Err::<TcpStream, _>(io::Error::new(io::ErrorKind::Unsupported, "built without the feature `serial`"))
            }),
        }
    }

    /// Starts to read a device called `name` over whatever `connect` gives. Call it inside a tokio runtime.
    pub fn attach_with<S, F, Fut>(&self, name: &str, connect: F)
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
        F: FnMut() -> Fut + Send + 'static,
        Fut: Future<Output = io::Result<S>> + Send + 'static,
    {
        let config = self.inner.config;
        let device = Arc::new(StdShared::with_clock(Device::new(name, config, self.inner.store.clone()), TokioClock));
        let (commands, receiver) = mpsc::channel(1);
        let task = tokio::spawn(task::run(device.clone(), config, connect, receiver)).abort_handle();
        self.inner.attached().push(Attached { device, commands, task });
    }

    /// How every attached device stands, in the order of attaching.
    #[must_use]
    pub fn snapshot(&self) -> Vec<DeviceStatus> {
        self.inner.attached().iter().map(Attached::status).collect()
    }

    /// How the device called `id` stands.
    #[must_use]
    pub fn device(&self, id: &str) -> Option<DeviceStatus> {
        self.find(id).map(|(_, attached)| attached.status())
    }

    /// The last records of the audit chain of the device called `id`, of its present life, the newest first.
    #[must_use]
    pub fn audit(&self, id: &str) -> Vec<Entry> {
        let recent = |attached: Attached| attached.device.with(|device, _| device.audit.recent().to_vec());
        self.find(id).map(|(_, attached)| recent(attached)).unwrap_or_default()
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
        let command = Text::new(command).map_err(|_| SendError::TooLong)?;
        let user = Text::new(user).map_err(|_| SendError::TooLong)?;
        let (id, attached) = self.find(device).ok_or(SendError::UnknownDevice)?;
        let signer = Signer::new(self.inner.store.fleet_key.as_ref(), id)?;

        attached.settle(self.inner.config.reply_timeout).await;
        let (nonce, counter, answer) = attached.reserve()?;
        let _reserved = Reserved { device: &attached.device, counter };
        let exp = attached.device.with(|device, now| device.expiry(now));
        let line = signer.line((nonce, counter), (user, permissions), command, exp)?;
        attached.commands.try_send(line).map_err(|_| SendError::Disconnected)?;
        match timeout(self.inner.config.reply_timeout.into(), answer).await {
            Ok(Ok(reply)) => Ok(reply),
            Ok(Err(_)) => Err(SendError::Disconnected),
            Err(_) => Err(SendError::Timeout),
        }
    }

    /// Ends all tasks and closes the lines. The statuses stay as they were.
    pub fn shutdown(&self) {
        self.inner.stop();
    }

    fn find(&self, id: &str) -> Option<(DeviceId, Attached)> {
        let id = DeviceId::new(id).ok()?;
        let attached = self.inner.attached();
        // The one whose line is up, if the same device was attached twice.
        let named = || attached.iter().filter(|one| one.device.with(|device, _| device.id == Some(id)));
        let found = named().find(|one| one.device.with(|device, _| device.is_connected())).or_else(|| named().next());
        found.map(|found| (id, found.clone()))
    }
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The fleet key stays out of logs.
        f.debug_struct("Registry").field("devices", &self.inner.attached().len()).finish_non_exhaustive()
    }
}

impl Inner {
    fn attached(&self) -> std::sync::MutexGuard<'_, Vec<Attached>> {
        self.attached.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn stop(&self) {
        for one in self.attached().iter() {
            one.task.abort();
            one.device.with(|device, _| device.on_disconnected("the host has closed the line".to_owned()));
        }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Attached {
    fn status(&self) -> DeviceStatus {
        self.device.with(|device, now| device.status(now))
    }

    /// Waits for the device's answer to being told the time, if it is due: so long at most.
    async fn settle(&self, limit: Duration) {
        let settled = self.device.with(|device, _| device.settled.clone());
        let wait = async {
            loop {
                let mut told = pin!(settled.notified());
                // Before the look, so that what happens between the two is not missed.
                told.as_mut().enable();
                if self.device.with(|device, _| device.is_settled()) {
                    return;
                }
                told.await;
            }
        };
        let _ = timeout(limit.into(), wait).await;
    }

    /// Takes the place of the one command that may be under way: the life's nonce, a counter, the answer to come.
    fn reserve(&self) -> Result<(u64, u64, oneshot::Receiver<Reply>), SendError> {
        self.device.with(|device, _| {
            if !device.is_connected() {
                return Err(SendError::Disconnected);
            }
            if device.pending.is_some() {
                return Err(SendError::Busy);
            }
            let (answer, receiver) = oneshot::channel();
            let counter = device.next_counter();
            device.pending = Some(Pending { counter, answer });
            Ok((device.nonce, counter, receiver))
        })
    }
}

/// Gives the place back, also when the caller goes away.
struct Reserved<'a> {
    device: &'a SharedDevice,
    counter: u64,
}

impl Drop for Reserved<'_> {
    fn drop(&mut self) {
        self.device.with(|device, _| device.pending.take_if(|pending| pending.counter == self.counter));
    }
}
