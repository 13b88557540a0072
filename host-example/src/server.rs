//! One server from its start to its end.

use std::io::Write;
use std::net::SocketAddr;
use std::sync::Arc;

use daur_core::security::audit::Head;
use daur_core::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::timeout_at;

use crate::app::{App, Writers};
use crate::config::Config;
use crate::jobs::{Job, UntilDropped};
use crate::{audit, http, routes, status};

type Error = Box<dyn std::error::Error + Send + Sync>;

/// A server that runs.
pub struct Server {
    /// Where it listens: the port that the system chose, if none was named.
    pub address: SocketAddr,
    app: Arc<App>,
    stop: watch::Sender<bool>,
    serving: JoinHandle<usize>,
    writers: Writers,
    /// For who drops it without a stop.
    _jobs: UntilDropped,
}

impl Server {
    /// Opens the data directory and begins to serve. Call it inside a tokio runtime.
    ///
    /// # Errors
    /// What cannot be opened or bound; an address other than loopback while no user exists.
    pub async fn start(config: Config) -> Result<Self, Error> {
        let (stop, stopped) = watch::channel(false);
        let (listen, limits) = (config.listen, config.http);
        let (app, writers) = App::open(config, stopped.clone())?;
        let users = app.gate.users().map_err(|_| "the users cannot be counted")?;
        if users == 0 && !listen.ip().is_loopback() {
            return Err(
                format!("{listen} can be reached from outside, and no user exists yet; {}", how_to_add(&app)).into()
            );
        }
        let listener =
            TcpListener::bind(listen).await.map_err(|error| format!("cannot listen on {listen}: {error}"))?;
        let address = listener.local_addr()?;
        // Whoever probes from now on is told what is so, not that nobody has looked yet.
        app.health.checker.run_checks().await;
        begin_jobs(&app);
        let jobs = UntilDropped(Arc::clone(&app.jobs));
        let serving = tokio::spawn(http::serve(listener, routes::router(Arc::clone(&app)), limits, stopped));
        Ok(Self { address, app, stop, serving, writers, _jobs: jobs })
    }

    /// The server's parts.
    #[must_use]
    pub fn app(&self) -> &Arc<App> {
        &self.app
    }

    /// Ends it: no new requests, streams and commands end, what is under way is answered. Gives the end of the audit
    /// chain, unless the disk takes too long for it.
    pub async fn stop(self) -> Option<Head> {
        let until = tokio::time::Instant::now() + self.app.config.stop_within;
        self.stop.send_replace(true);
        self.app.registry.shutdown();
        self.app.system.stop().await;
        let cut = self.serving.await.unwrap_or(0);
        if cut > 0 {
            tracing::warn!(cut, "connections were cut");
        }
        // What is written last has a quarter of the rest at least, whatever waits for the disk.
        let half_of_rest = || (until.saturating_duration_since(tokio::time::Instant::now()) / 2).into();
        self.app.pool.close(half_of_rest()).await;
        self.app.jobs.stop(half_of_rest()).await;
        // Others may hold the app yet, for a moment.
        let app = self.app;
        let flushed = spawn_blocking(move || {
            app.history.flush();
            app.usage.flush();
        });
        let Writers { audit, events } = self.writers;
        let (flushed, head, counted) = tokio::join!(
            timeout_at(until, flushed),
            timeout_at(until, audit.close()),
            timeout_at(until, events.close())
        );
        let late = [("history", flushed.is_err()), ("audit", head.is_err()), ("events", counted.is_err())];
        for (what, _) in late.into_iter().filter(|(_, late)| *late) {
            tracing::warn!(what, "not all was written in time");
        }
        head.ok()
    }
}

/// How often what time has ended is forgotten, and it is found out what people did.
const TIDY_EVERY: Duration = Duration::from_secs(60);

/// Begins the server's own periodic work.
fn begin_jobs(app: &Arc<App>) {
    let jobs = &app.jobs;
    let of = Arc::clone(app);
    jobs.keep(Job::Sample, app.config.sample_every, None, move || {
        let app = Arc::clone(&of);
        async move { status::sample(&app) }
    });
    let of = Arc::clone(app);
    jobs.keep(Job::Tidy, TIDY_EVERY, None, move || {
        let (gate, pool) = (Arc::clone(&of.gate), of.pool.clone());
        // Where nobody has time for it, the next minute will do.
        async move { pool.run_late(move || gate.poll()).await.map_err(|problem| problem.to_string()) }
    });
    let (of, memory) = (Arc::clone(app), app.memory.clone());
    jobs.keep(Job::Memory, TIDY_EVERY, Some(Box::new(move || of.memory.poll_at())), move || {
        let memory = memory.clone();
        async move { spawn_blocking(move || memory.poll()).await.map_err(|error| error.to_string())? }
    });
    let of = Arc::clone(app);
    jobs.keep(Job::Analytics, TIDY_EVERY, None, move || {
        let app = Arc::clone(&of);
        async move { app.usage.report(&app.pool).await.map(drop).map_err(|problem| problem.to_string()) }
    });
    let of = Arc::clone(app);
    jobs.keep(Job::Health, app.config.health.period, None, move || {
        let (app, mut stop) = (Arc::clone(&of), of.stop.clone());
        async move {
            // A check that hangs is not waited for at the end. One that fails is no failure of the job.
            tokio::select! {
                () = app.health.look(&app) => {}
                () = http::stopped(&mut stop) => {}
            }
            Ok(())
        }
    });
    jobs.start();
}

/// One line that says how to add a user.
#[must_use]
pub fn how_to_add(app: &App) -> String {
    format!(
        "add one: daur-host user add NAME --permissions read,write,admin --password-stdin --data-dir {}",
        app.dir.path().display()
    )
}

/// Serves until a signal ends it.
///
/// # Errors
/// As [`Server::start`].
pub async fn run(config: Config) -> Result<(), Error> {
    // Before anything is said, so that whoever stops it as soon as it speaks sees it end in order.
    let ended = ended()?;
    let server = Server::start(config).await?;
    // Tests and scripts read the port from here.
    let mut stdout = std::io::stdout();
    let _ = writeln!(stdout, "daur-host listens on http://{}/", server.address);
    let _ = stdout.flush();
    if server.app().gate.users().is_ok_and(|users| users == 0) {
        eprintln!("No user exists yet; {}", how_to_add(server.app()));
    } else {
        eprintln!("Log in on that page, or get a token: POST /api/login {{\"user\":\"..\",\"password\":\"..\"}}");
    }
    let signal = ended.await;
    tracing::info!(signal, "stopping");
    if let Some(head) = server.stop().await {
        let _ = writeln!(stdout, "audit head {}", audit::head_text(&head));
    }
    Ok(())
}

/// Listens for signals from now on; the future tells which one came.
fn ended() -> std::io::Result<impl Future<Output = &'static str>> {
    use tokio::signal::unix::{SignalKind, signal};
    let (mut term, mut int) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    Ok(async move {
        tokio::select! {
            _ = term.recv() => "SIGTERM",
            _ = int.recv() => "SIGINT",
        }
    })
}
