//! The line to one device: connect, read, acknowledge, connect again.

use std::future::Future;
use std::io;
use std::sync::Arc;

use daur_core::reliability::retry::{Decision, Retry};
use daur_core::shared::Shared;
use daur_core::time::{Clock, Duration, Instant};
use daur_core::wire::decoder::Decoder;
use daur_core::wire::frame::{Downlink, MAX_DOWNLINK_ENCODED, MAX_PAYLOAD};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};

use super::device::{Answer, Device};
use super::registry::Config;
use crate::clock::TokioClock;
use crate::rng::os_seed;
use crate::shared::StdShared;

/// A device's state, shared by its task and the registry.
pub(super) type SharedDevice = Arc<StdShared<Device, TokioClock>>;

/// Keeps the line up until the task is aborted.
pub(super) async fn run<S, F, Fut>(
    device: SharedDevice,
    config: Config,
    mut connect: F,
    mut commands: mpsc::Receiver<Vec<u8>>,
) where
    S: AsyncRead + AsyncWrite + Unpin,
    F: FnMut() -> Fut,
    Fut: Future<Output = io::Result<S>>,
{
    loop {
        let mut retry = Retry::new(config.retry, os_seed(), TokioClock.now());
        // Begins anew whenever the line has worked: one that breaks once an hour is tried again at once.
        loop {
            // What was asked for while the line was down is not done when it is up again.
            while commands.try_recv().is_ok() {}
            let (worked, error) = match within(config.connect_timeout, connect()).await {
                Ok(stream) => {
                    device.with(|device, _| device.on_connected());
                    let mut session = Session::new(&device, config, stream);
                    let error = session.run(&mut commands).await;
                    (session.worked, error)
                }
                Err(error) => (false, error),
            };
            device.with(|device, _| device.on_disconnected(error.to_string()));
            if worked {
                sleep(config.retry.initial_delay.into()).await;
                break;
            }
            match retry.next(TokioClock.now()) {
                Decision::Retry { after } => sleep(after.into()).await,
                Decision::Stop { .. } => return,
            }
        }
    }
}

/// `work`, or an error when it takes too long.
async fn within<T>(limit: Duration, work: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    match timeout(limit.into(), work).await {
        Ok(result) => result,
        Err(_) => Err(io::Error::new(io::ErrorKind::TimedOut, "the device does not answer")),
    }
}

/// One connection.
struct Session<'a, S> {
    device: &'a SharedDevice,
    config: Config,
    stream: S,
    decoder: Decoder<MAX_PAYLOAD>,
    acked: Option<u32>,
    /// A valid frame has come.
    worked: bool,
    /// Has been asked for its name.
    asked: bool,
    identify_at: Instant,
}

impl<'a, S: AsyncRead + AsyncWrite + Unpin> Session<'a, S> {
    fn new(device: &'a SharedDevice, config: Config, stream: S) -> Self {
        let identify_at = TokioClock.now();
        Self { device, config, stream, decoder: Decoder::new(), acked: None, worked: false, asked: false, identify_at }
    }

    /// Serves the line until it breaks; why it did.
    async fn run(&mut self, commands: &mut mpsc::Receiver<Vec<u8>>) -> io::Error {
        loop {
            if let Err(error) = self.step(commands).await {
                return error;
            }
        }
    }

    async fn step(&mut self, commands: &mut mpsc::Receiver<Vec<u8>>) -> io::Result<()> {
        let known = self.device.with(|device, _| device.id.is_some());
        // Once on every line, since it may be another device by now, and again until it has said its name: the
        // question may be lost as well.
        if !self.asked || (!known && self.identify_at <= TokioClock.now()) {
            self.asked = true;
            self.identify_at = TokioClock.now() + self.config.identify_every;
            self.say(&Downlink::Identify).await?;
        }
        let mut bytes = [0; 1024];
        let quiet = if known { self.config.silence } else { self.config.identify_every };
        let read = tokio::select! {
            read = timeout(quiet.into(), self.stream.read(&mut bytes)) => read,
            command = commands.recv() => {
                // The registry lives as long as this task does; without it there is nobody to serve.
                let command = command.ok_or_else(|| io::Error::other("the registry is gone"))?;
                return self.write(&command).await;
            }
        };
        match read {
            Ok(Ok(0)) => Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(Ok(len)) => self.on_bytes(bytes.get(..len).unwrap_or_default()).await,
            Ok(Err(error)) => Err(error),
            Err(_) if known => Err(io::Error::new(io::ErrorKind::TimedOut, "the device is silent")),
            Err(_) => Ok(()),
        }
    }

    async fn on_bytes(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        let before = self.decoder.snapshot();
        let (decoder, worked) = (&mut self.decoder, &mut self.worked);
        let (answer, ack) = self.device.with(|device, now| {
            let mut answer = Answer::default();
            while let Some(payload) = decoder.feed(&mut bytes) {
                *worked = true;
                let one = device.on_payload(payload, now);
                answer.ask |= one.ask;
                answer.identify |= one.identify;
            }
            device.on_decoded(before, decoder.snapshot());
            (answer, device.ack())
        });
        self.keep_audit().await?;
        if answer.identify {
            self.say(&Downlink::Identify).await?;
        }
        if let Some(line) = self.device.with(Device::tell_time) {
            self.write(&line).await?;
        }
        let Some(seq) = ack else { return Ok(()) };
        if self.acked != ack {
            self.acked = ack;
            self.say(&Downlink::Ack { seq }).await?;
        }
        // The same once more says that the next one is missing, or that what comes again and again is here.
        if answer.ask || answer.identify { self.say(&Downlink::Ack { seq }).await } else { Ok(()) }
    }

    /// Stores what came of the device's audit chain: what is acknowledged, the device forgets.
    async fn keep_audit(&mut self) -> io::Result<()> {
        let Some(mut work) = self.device.with(|device, _| device.audit.work()) else { return Ok(()) };
        let done = tokio::task::spawn_blocking(move || {
            let result = work.run();
            (work, result)
        });
        let (work, result) = done.await.map_err(io::Error::other)?;
        self.device.with(|device, _| device.audit.done(work));
        result
    }

    async fn say(&mut self, message: &Downlink<'_>) -> io::Result<()> {
        let mut line = [0; MAX_DOWNLINK_ENCODED];
        let len = message.encode(&mut line).map_err(io::Error::other)?;
        self.write(line.get(..len).unwrap_or_default()).await
    }

    async fn write(&mut self, line: &[u8]) -> io::Result<()> {
        let stream = &mut self.stream;
        within(self.config.write_timeout, async {
            stream.write_all(line).await?;
            stream.flush().await
        })
        .await
    }
}
