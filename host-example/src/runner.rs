//! Runs a program without a shell, and leaves nothing of it behind.
//!
//! # Rules
//! 1. The program is a path, its arguments go to it as they are: there is no shell in between.
//! 2. It starts with a cleared environment, no input, in the directory it is given.
//! 3. It leads a process group of its own. The group is killed when the time is up, when the caller
//!    goes away (the future is dropped) and after the program itself has ended, so that a child that
//!    it left in the background goes too.
//! 4. Of each output at most `output_limit` bytes are kept; the rest is read and thrown away, and
//!    the result says so.

use std::io;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::{Child, Command};
use tokio::time;

/// Where programs are looked for: never in a directory that the client or the environment names.
pub const PROGRAM_DIRS: [&str; 3] = ["/usr/bin", "/bin", "/usr/local/bin"];

/// How long to wait for the last output of a program that has ended: longer only if a process that
/// left the group holds the pipe.
const LINGER: Duration = Duration::from_secs(2);

/// Says what to run.
#[derive(Clone, Debug)]
pub struct Job {
    /// The program's file.
    pub program: PathBuf,
    /// What it is told.
    pub args: Vec<String>,
    /// Where it runs.
    pub dir: PathBuf,
    /// When it is ended.
    pub timeout: Duration,
    /// Bytes kept of each of its two outputs.
    pub output_limit: usize,
}

/// Says why there is no result.
#[derive(Debug)]
pub enum Error {
    /// The program could not be started, or its end not be awaited.
    Spawn(io::Error),
    /// It ran for longer than allowed; it has been ended.
    Timeout,
    /// There was no place for it; it was not started.
    NoPlace,
}

impl std::fmt::Display for Error {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Spawn(error) => write!(f, "the program could not be started: {error}"),
            Self::Timeout => f.write_str("the program ran for longer than allowed and was ended"),
            Self::NoPlace => f.write_str("there was no place for the program"),
        }
    }
}

impl std::error::Error for Error {}

/// What a program left.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
pub struct Output {
    /// Its exit code; 128 + the signal's number if a signal ended it, as shells say it.
    pub exit_code: i32,
    /// Its output as text; what is not UTF-8 is replaced.
    pub stdout: String,
    /// Its messages, likewise.
    pub stderr: String,
    /// Whether either is incomplete.
    pub truncated: bool,
    /// Whether anything that is not UTF-8 was replaced.
    pub replaced: bool,
}

/// The file of a program that is named without a path.
#[must_use]
pub fn find(program: &str, dirs: &[PathBuf]) -> Option<PathBuf> {
    if program.is_empty() || program.contains('/') {
        return None;
    }
    dirs.iter().map(|dir| dir.join(program)).find(|path| path.is_file())
}

/// Kills a process group when it is dropped.
struct Group(Option<Pid>);

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(group) = self.0 {
            // The only error left is that nobody is in the group any more.
            let _ = kill_process_group(group, Signal::KILL);
        }
    }
}

/// Runs `job` to its end, or ends it.
///
/// # Errors
/// [`Error::Spawn`] if it cannot be started, [`Error::Timeout`] if it had to be ended.
pub async fn run(job: &Job) -> Result<Output, Error> {
    let mut child = spawn(job).map_err(Error::Spawn)?;
    let group = Group(child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw));
    let mut stdout = Head::new(job.output_limit);
    let mut stderr = Head::new(job.output_limit);
    let (out, err) = (child.stdout.take(), child.stderr.take());
    let (status, complete) = {
        let mut reading = std::pin::pin!(async { tokio::join!(stdout.fill(out), stderr.fill(err)) });
        let mut read_all = false;
        let ended = time::timeout(job.timeout, async {
            loop {
                tokio::select! {
                    status = child.wait() => return status,
                    _ = &mut reading, if !read_all => read_all = true,
                }
            }
        })
        .await;
        drop(group);
        let Ok(status) = ended else {
            // The kill has been sent; wait until the process is gone, so that the answer does not precede its end.
            let _ = time::timeout(LINGER, child.wait()).await;
            return Err(Error::Timeout);
        };
        let complete = read_all || time::timeout(LINGER, &mut reading).await.is_ok();
        (status.map_err(Error::Spawn)?, complete)
    };
    let (stdout, replaced_out) = stdout.text();
    let (stderr, replaced_err) = stderr.text();
    Ok(Output {
        exit_code: exit_code(status),
        truncated: !complete || stdout.cut || stderr.cut,
        stdout: stdout.text,
        stderr: stderr.text,
        replaced: replaced_out || replaced_err,
    })
}

fn spawn(job: &Job) -> io::Result<Child> {
    Command::new(&job.program)
        .args(&job.args)
        .current_dir(&job.dir)
        .env_clear()
        .env("PATH", PROGRAM_DIRS.join(":"))
        .env("LANG", "C.UTF-8")
        .env("HOME", &job.dir)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .kill_on_drop(true)
        .spawn()
}

fn exit_code(status: ExitStatus) -> i32 {
    use std::os::unix::process::ExitStatusExt;
    status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0))
}

/// Keeps the beginning of a stream.
struct Head {
    kept: Vec<u8>,
    limit: usize,
    cut: bool,
}

struct Kept {
    text: String,
    cut: bool,
}

impl Head {
    fn new(limit: usize) -> Self {
        Self { kept: Vec::new(), limit, cut: false }
    }

    async fn fill(&mut self, source: Option<impl AsyncRead + Unpin>) {
        let Some(mut source) = source else { return };
        let mut buffer = [0; 8192];
        while let Ok(n @ 1..) = source.read(&mut buffer).await {
            let room = self.limit - self.kept.len();
            self.kept.extend_from_slice(&buffer[..n.min(room)]);
            self.cut |= n > room;
        }
    }

    /// The text, and whether anything in it was replaced. A character that the limit cut in two is
    /// dropped, not replaced.
    fn text(mut self) -> (Kept, bool) {
        if self.cut
            && let Err(error) = std::str::from_utf8(&self.kept)
            && error.error_len().is_none()
        {
            self.kept.truncate(error.valid_up_to());
        }
        match String::from_utf8(self.kept) {
            Ok(text) => (Kept { text, cut: self.cut }, false),
            Err(error) => (Kept { text: String::from_utf8_lossy(error.as_bytes()).into_owned(), cut: self.cut }, true),
        }
    }
}

/// The directories that programs are looked for in, as the runner takes them.
#[must_use]
pub fn program_dirs() -> Vec<PathBuf> {
    PROGRAM_DIRS.iter().map(|dir| Path::new(dir).to_path_buf()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job(program: &str, args: &[&str]) -> Job {
        Job {
            program: find(program, &program_dirs()).expect("a program of every Linux"),
            args: args.iter().map(ToString::to_string).collect(),
            dir: env!("CARGO_MANIFEST_DIR").into(),
            timeout: Duration::from_secs(600),
            output_limit: 64,
        }
    }

    #[tokio::test]
    async fn arguments_arrive_as_they_are() {
        let output = run(&job("echo", &["$HOME", "a;b", "*"])).await.unwrap();
        assert_eq!((output.exit_code, output.stdout.as_str()), (0, "$HOME a;b *\n"));
        assert!(!output.truncated && !output.replaced);
    }

    #[tokio::test]
    async fn the_environment_of_the_server_is_not_seen() {
        let output = run(&job("env", &[])).await.unwrap();
        let mut names: Vec<_> = output.stdout.lines().filter_map(|line| line.split('=').next()).collect();
        names.sort_unstable();
        assert_eq!(names, ["HOME", "LANG", "PATH"]);
    }

    #[tokio::test]
    async fn output_over_the_limit_is_cut_at_a_character_and_marked() {
        let output = run(&Job { output_limit: 4, ..job("echo", &["abc€def"]) }).await.unwrap();
        assert_eq!((output.stdout.as_str(), output.truncated, output.replaced), ("abc", true, false));
    }

    #[tokio::test]
    async fn bytes_that_are_not_text_are_replaced_and_marked() {
        let output = run(&job("printf", &["a\\377b"])).await.unwrap();
        assert_eq!((output.stdout.as_str(), output.replaced), ("a\u{fffd}b", true));
    }

    #[tokio::test]
    async fn what_runs_too_long_is_ended_with_its_children() {
        let mut job = job("sh", &["-c", "sleep 3217 & sleep 3217"]);
        job.timeout = Duration::from_millis(200);
        assert!(matches!(run(&job).await, Err(Error::Timeout)));
        assert!(!running("3217"));
    }

    #[tokio::test]
    async fn a_child_left_in_the_background_goes_with_the_program() {
        let output = run(&job("sh", &["-c", "sleep 3218 & echo done"])).await.unwrap();
        assert_eq!((output.stdout.as_str(), output.truncated), ("done\n", false));
        assert!(!running("3218"));
    }

    #[tokio::test]
    async fn a_caller_that_goes_away_takes_the_program_with_it() {
        let job = job("sh", &["-c", "sleep 3219 & sleep 3219"]);
        assert!(time::timeout(Duration::from_millis(200), run(&job)).await.is_err());
        assert!(!running("3219"));
    }

    #[tokio::test]
    async fn a_program_that_is_not_there_is_a_spawn_error() {
        let missing = Job { program: "/nonexistent/program".into(), ..job("echo", &[]) };
        assert!(matches!(run(&missing).await, Err(Error::Spawn(_))));
        assert_eq!(find("../bin/echo", &program_dirs()), None);
    }

    /// Whether a process with `mark` among its arguments lives; waits a little for the kernel to bury it.
    fn running(mark: &str) -> bool {
        let alive = || {
            std::fs::read_dir("/proc").into_iter().flatten().flatten().any(|entry| {
                let line = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
                line.split(|b| *b == 0).any(|argument| argument == mark.as_bytes())
            })
        };
        (0..3_000).all(|_| {
            std::thread::sleep(Duration::from_millis(if alive() { 20 } else { 0 }));
            alive()
        })
    }
}
