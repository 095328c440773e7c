//! A mix session: one process that runs one task of mix after the other, each as a start of mix would.
//! `session.exs` is its other end.

mod seen;
mod until;

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
use seen::Seen;
use until::Until;

/// What runs the tasks.
const CODE: &str = include_str!("session.exs");

/// How long a session may take to start, and to take up a task.
const PATIENCE: Duration = Duration::from_secs(20);

/// How often it is looked whether it has started.
const LOOK: Duration = Duration::from_millis(2);

/// What a session answers when it takes up a task.
const BEGUN: &[u8] = b"\0\0\0\x05begun";

/// How a task ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// Well, and the session goes on.
    Done,
    /// With the process.
    Ended(ExitStatus),
}

impl Outcome {
    /// The exit status that mix would have had.
    pub(super) fn status(self) -> ExitStatus {
        match self {
            Self::Done => ExitStatus::from_raw(0),
            Self::Ended(status) => status,
        }
    }
}

/// The session of a run: started when there is a task, and started anew when it has ended or when what
/// mix has read has changed. Clones share it. It ends with the last of them.
#[derive(Clone, Debug, Default)]
pub(super) struct Sessions(Arc<Mutex<State>>);

#[derive(Debug, Default)]
enum State {
    /// There is none: it isn't wanted, or can't be had.
    #[default]
    Off,
    /// There is one as soon as it is needed.
    Ready,
    Running(Box<Session>),
}

impl Sessions {
    /// No session yet, and none ever unless it is `wanted`.
    pub(super) fn new(wanted: bool) -> Self {
        Self(Arc::new(Mutex::new(if wanted { State::Ready } else { State::Off })))
    }

    /// Ends the session that runs, if any. The next task starts another.
    pub(super) fn end(&self) {
        let mut state = self.state();
        if let State::Running(_) = *state {
            *state = State::Ready;
        }
    }

    /// Runs a task, and hands what it writes to `take`. A session that has to be started is `elixir`.
    /// Returns none where there is no session: then nothing was run.
    ///
    /// # Errors
    /// When there is no Elixir, or the system can't tell how it ended.
    pub(super) fn run(
        &self,
        elixir: &Command,
        task: &[String],
        take: &mut dyn FnMut(Lines),
    ) -> Result<Option<Outcome>, CommandError> {
        let mut state = self.state();
        // One that waited for long has ended, as has one that a task has changed for good.
        if let State::Running(session) = &mut *state
            && session.seen == Seen::look(&elixir.dir)
            && session.takes_up(task).is_ok()
        {
            return Self::follow(&mut state, take).map(Some);
        }
        if let State::Off = *state {
            return Ok(None);
        }
        *state = State::Off;
        match Session::start(elixir) {
            Ok(mut session) => {
                if let Err(error) = session.takes_up(task) {
                    tracing::debug!(%error, "the mix session takes up no task");
                    return Ok(None);
                }
                *state = State::Running(Box::new(session));
                Self::follow(&mut state, take).map(Some)
            }
            Err(StartError::Command(error @ CommandError::NotFound { .. })) => Err(error),
            Err(error) => {
                tracing::debug!(%error, "there is no mix session");
                Ok(None)
            }
        }
    }

    /// Follows the task that the session has taken up.
    fn follow(state: &mut State, take: &mut dyn FnMut(Lines)) -> Result<Outcome, CommandError> {
        let State::Running(session) = state else { unreachable!("a session has taken up the task") };
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

/// Why there is no session.
#[derive(Debug, thiserror::Error)]
enum StartError {
    #[error(transparent)]
    Command(#[from] CommandError),
    #[error(transparent)]
    Channel(#[from] io::Error),
}

/// A process that runs tasks. It is killed, with all that it has started, when it is dropped.
#[derive(Debug)]
struct Session {
    started: Started,
    channel: UnixStream,
    /// What mix reads, as it was when the session began.
    seen: Seen,
    /// What follows the output of the task that was taken up last.
    marker: String,
}

impl Session {
    fn start(elixir: &Command) -> Result<Self, StartError> {
        let seen = Seen::look(&elixir.dir);
        // Only this user can enter it. It isn't needed any longer than the session needs to start.
        let folder = tempfile::Builder::new().prefix("gatling-mix-").tempdir()?;
        let path = folder.path().join("channel");
        let listener = UnixListener::bind(&path)?;
        listener.set_nonblocking(true)?;
        let main = format!("Gatling.Session.main({})", elixir_text(&path));
        let mut command = elixir.clone();
        command.args.extend(["-e", CODE, "-e", &main].map(str::to_owned));
        let mut started = command.start_in_group()?;
        let channel = accept(&listener, &mut started)?;
        channel.set_nonblocking(false)?;
        channel.set_read_timeout(Some(PATIENCE))?;
        channel.set_write_timeout(Some(PATIENCE))?;
        Ok(Self { started, channel, seen, marker: String::new() })
    }

    /// Has it take up a task. If it doesn't, nothing of the task was done.
    fn takes_up(&mut self, task: &[String]) -> io::Result<()> {
        self.marker = marker()?;
        let words: Vec<_> = std::iter::once(&self.marker).chain(task).map(String::as_str).collect();
        let request = words.join("\0");
        let length = u32::try_from(request.len()).map_err(io::Error::other)?;
        self.channel.write_all(&[&length.to_be_bytes(), request.as_bytes()].concat())?;
        let mut answer = [0; BEGUN.len()];
        self.channel.read_exact(&mut answer)?;
        if answer == BEGUN { Ok(()) } else { Err(io::Error::other("it answers something else")) }
    }

    /// Follows the task that it has taken up.
    fn follow(&mut self, take: &mut dyn FnMut(Lines)) -> Result<Outcome, CommandError> {
        let mut until = Until::new(&self.marker);
        let status = self.started.stream_while(|lines| {
            until.take(lines, take);
            !until.is_over()
        })?;
        until.end(take);
        Ok(status.map_or(Outcome::Done, Outcome::Ended))
    }
}

/// The session's end of the channel, as soon as it is there.
fn accept(listener: &UnixListener, started: &mut Started) -> io::Result<UnixStream> {
    let begun = Instant::now();
    loop {
        match listener.accept() {
            Ok((channel, _)) => return Ok(channel),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
        if started.has_ended()? {
            return Err(io::Error::other("it ended before it began"));
        }
        if begun.elapsed() > PATIENCE {
            return Err(io::ErrorKind::TimedOut.into());
        }
        thread::sleep(LOOK);
    }
}

/// A line that no task writes, because none can know it.
fn marker() -> io::Result<String> {
    let mut bytes = [0; 16];
    File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(format!("gatling-mix-{:032x}", u128::from_ne_bytes(bytes)))
}

/// A path as Elixir reads it.
fn elixir_text(path: &Path) -> String {
    let text = path.to_string_lossy();
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\"").replace('#', "\\#"))
}
