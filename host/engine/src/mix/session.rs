//! A mix session: one process that runs several mix tasks in turn, each as if mix had been started for it.
//! `session.exs` is the code of that process.

mod marker;
mod snapshot;

use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::ExitStatus;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use gatling_process::{Command, CommandError, Lines, Started};
use marker::MarkerFilter;
use snapshot::Snapshot;

/// The code of the process that runs the tasks.
const CODE: &str = include_str!("session.exs");

/// How long a session may take to start, and to accept a task.
const TIMEOUT: Duration = Duration::from_secs(20);

/// How often to check whether it has started.
const POLL_INTERVAL: Duration = Duration::from_millis(2);

/// The session's answer when it accepts a task.
const BEGUN: &[u8] = b"\0\0\0\x05begun";

/// How a task ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// The task succeeded, and the session is still running.
    Done,
    /// The session's process exited with this status.
    Ended(ExitStatus),
}

impl Outcome {
    /// The exit status that mix would have returned.
    pub(super) fn status(self) -> ExitStatus {
        match self {
            Self::Done => ExitStatus::from_raw(0),
            Self::Ended(status) => status,
        }
    }
}

/// The session of a run. It is started for the first task, and restarted if it has ended or if files that mix has
/// read have changed. Clones share it; it ends when the last of them is dropped.
#[derive(Clone, Debug, Default)]
pub(super) struct Sessions(Arc<Mutex<State>>);

#[derive(Debug, Default)]
enum State {
    /// There is none: it is disabled or cannot be started.
    #[default]
    Off,
    /// It is started when it is needed.
    Ready,
    Running(Box<Session>),
}

impl Sessions {
    /// A session that is not started yet; if not `enabled`, it is never started.
    pub(super) fn new(enabled: bool) -> Self {
        Self(Arc::new(Mutex::new(if enabled { State::Ready } else { State::Off })))
    }

    /// Ends the running session, if there is one. The next task starts another.
    pub(super) fn end(&self) {
        let mut state = self.state();
        if let State::Running(_) = *state {
            *state = State::Ready;
        }
    }

    /// Runs a task, and passes its output to `take`. The command `elixir` starts a session if none is running.
    /// Returns none if there is no session: then nothing was run.
    ///
    /// # Errors
    /// If there is no Elixir, or the system cannot report how the task ended.
    pub(super) fn run(
        &self,
        elixir: &Command,
        task: &[String],
        take: &mut dyn FnMut(Lines),
    ) -> Result<Option<Outcome>, CommandError> {
        let mut state = self.state();
        // A session ends itself if it is idle for long, or if a task changed its process permanently.
        if let State::Running(session) = &mut *state
            && session.snapshot == Snapshot::take(&elixir.dir)
            && session.start_task(task).is_ok()
        {
            return Self::follow(&mut state, take).map(Some);
        }
        if let State::Off = *state {
            return Ok(None);
        }
        *state = State::Off;
        match Session::start(elixir) {
            Ok(mut session) => {
                if let Err(error) = session.start_task(task) {
                    tracing::debug!(%error, "the mix session does not accept a task");
                    return Ok(None);
                }
                *state = State::Running(Box::new(session));
                Self::follow(&mut state, take).map(Some)
            }
            Err(StartError::Command(error @ CommandError::NotFound { .. })) => Err(error),
            Err(error) => {
                tracing::debug!(%error, "cannot start a mix session");
                Ok(None)
            }
        }
    }

    /// Passes on the output of the current task until it ends.
    fn follow(state: &mut State, take: &mut dyn FnMut(Lines)) -> Result<Outcome, CommandError> {
        let State::Running(session) = state else { unreachable!("a session has accepted the task") };
        let outcome = session.follow(take);
        if !matches!(outcome, Ok(Outcome::Done)) {
            *state = State::Ready;
        }
        outcome
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Why a session could not be started.
#[derive(Debug, thiserror::Error)]
enum StartError {
    #[error(transparent)]
    Command(#[from] CommandError),
    #[error(transparent)]
    Channel(#[from] io::Error),
}

/// A process that runs tasks. It is killed, with all its child processes, when it is dropped.
#[derive(Debug)]
struct Session {
    started: Started,
    channel: UnixStream,
    /// The files that mix reads, as they were when the session was started.
    snapshot: Snapshot,
    /// The line that ends the output of the current task.
    marker: String,
}

impl Session {
    fn start(elixir: &Command) -> Result<Self, StartError> {
        let snapshot = Snapshot::take(&elixir.dir);
        // Only this user can enter the folder. It is only needed until the session has started.
        let folder = tempfile::Builder::new().prefix("gatling-mix-").tempdir()?;
        let path = folder.path().join("channel");
        let listener = UnixListener::bind(&path)?;
        listener.set_nonblocking(true)?;
        let main = format!("Gatling.Session.main({})", elixir_string(&path));
        let mut command = elixir.clone();
        command.args.extend(["-e", CODE, "-e", &main].map(str::to_owned));
        let mut started = command.start_in_group()?;
        let channel = accept(&listener, &mut started)?;
        channel.set_nonblocking(false)?;
        channel.set_read_timeout(Some(TIMEOUT))?;
        channel.set_write_timeout(Some(TIMEOUT))?;
        Ok(Self { started, channel, snapshot, marker: String::new() })
    }

    /// Starts a task. If this fails, the task has done nothing.
    fn start_task(&mut self, task: &[String]) -> io::Result<()> {
        self.marker = marker()?;
        let words: Vec<_> = std::iter::once(&self.marker).chain(task).map(String::as_str).collect();
        let request = words.join("\0");
        let length = u32::try_from(request.len()).map_err(io::Error::other)?;
        self.channel.write_all(&[&length.to_be_bytes(), request.as_bytes()].concat())?;
        let mut answer = [0; BEGUN.len()];
        self.channel.read_exact(&mut answer)?;
        if answer == BEGUN { Ok(()) } else { Err(io::Error::other("unexpected answer")) }
    }

    /// Passes on the output of the current task until it ends.
    fn follow(&mut self, take: &mut dyn FnMut(Lines)) -> Result<Outcome, CommandError> {
        let mut filter = MarkerFilter::new(&self.marker);
        let status = self.started.stream_while(|lines| {
            filter.take(lines, take);
            !filter.is_over()
        })?;
        filter.finish(take);
        Ok(status.map_or(Outcome::Done, Outcome::Ended))
    }
}

/// Waits until the session connects to the channel.
fn accept(listener: &UnixListener, started: &mut Started) -> io::Result<UnixStream> {
    let begun = Instant::now();
    loop {
        match listener.accept() {
            Ok((channel, _)) => return Ok(channel),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
        if started.has_ended()? {
            return Err(io::Error::other("it ended before it connected"));
        }
        if begun.elapsed() > TIMEOUT {
            return Err(io::ErrorKind::TimedOut.into());
        }
        thread::sleep(POLL_INTERVAL);
    }
}

/// A random line, which no task can write by accident or on purpose.
fn marker() -> io::Result<String> {
    let mut bytes = [0; 16];
    File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(format!("gatling-mix-{:032x}", u128::from_ne_bytes(bytes)))
}

/// A path as an Elixir string literal.
fn elixir_string(path: &Path) -> String {
    let text = path.to_string_lossy();
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\"").replace('#', "\\#"))
}
