//! `gatling logs`.

use std::io::{self, BufReader, IsTerminal as _, Write as _};
use std::os::unix::process::CommandExt as _;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use gatling_config::paths::ProjectPaths;
use gatling_config::project::ProjectName;
use gatling_config::slot::Slot;
use gatling_engine::AppLog;
use gatling_engine::tail::{Show, Tail};
use gatling_templates as templates;
use gatling_text::escape;
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::loaded;

/// How often the log is read.
const FOLLOW: Duration = Duration::from_millis(100);

/// How many lines are shown of a release that takes over: those of its start.
const FIRST_LINES: usize = 20;

/// Show the end of the app's log
///
/// The log is what the app writes to its standard output and error. With systemd, it is in the journal, for the units
/// PROJECT@blue and PROJECT@green; otherwise in deployments/PROJECT/log/PROJECT.log, or, for every second release,
/// PROJECT-green.log. On a terminal, colours are removed and other control characters are escaped.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The project
    project: ProjectName,
    /// Keep showing what the app writes, until Ctrl-C
    #[arg(short, long)]
    follow: bool,
    /// How many lines to show
    #[arg(short = 'n', long, value_name = "LINES", default_value_t = 100)]
    lines: usize,
}

pub(super) fn main(args: &Args) -> Result<u8> {
    let paths = loaded(&args.project)?;
    let slot = paths.live_slot();
    let show = if io::stdout().is_terminal() { Show::Plain } else { Show::Raw };
    let log = match AppLog::of(&paths, slot) {
        AppLog::File(log) => log,
        AppLog::Journal(_) => return show_journal(&paths, args, show),
    };
    let tail = Tail::open(&log, args.lines, show).with_context(|| format!("cannot read {}", log.display()))?;
    if !tail.exists() && !args.follow {
        bail!(
            "the app of {} has not written a log yet: {} does not exist. The logs of its deployments are in {}",
            paths.name,
            log.display(),
            paths.state_dir().join("runs").display()
        );
    }
    let result = match args.follow {
        false => copy(tail),
        true => follow(&paths, slot, tail, show),
    };
    match result {
        // The reader has closed the output, for example `head`.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(0),
        result => result.map(|()| 0).with_context(|| format!("cannot show {}", log.display())),
    }
}

/// Shows the log from systemd's journal.
fn show_journal(paths: &ProjectPaths, args: &Args, show: Show) -> Result<u8> {
    let mut journalctl = Command::new("journalctl");
    journalctl.args(["--no-pager", "--output=cat", "--lines"]).arg(args.lines.to_string());
    for slot in [Slot::Blue, Slot::Green] {
        journalctl.arg("--unit").arg(paths.slot_unit(slot));
    }
    if args.follow {
        journalctl.arg("--follow");
    }
    if show == Show::Raw {
        return Err(journalctl.exec()).context("cannot run journalctl, which shows systemd's journal");
    }
    let mut child = journalctl
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .context("cannot run journalctl, which shows systemd's journal")?;
    let lines = BufReader::new(child.stdout.take().context("its output is read")?);
    let result = copy_escaped(lines);
    // If the reader of the output is gone, journalctl would only notice at the next line.
    let is_closed = result.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::BrokenPipe);
    if is_closed {
        _ = child.kill();
    }
    let status = child.wait().context("cannot wait for journalctl")?;
    if is_closed {
        return Ok(0);
    }
    result.context("cannot show the journal")?;
    if !status.success() {
        bail!(
            "journalctl failed. If this user may not read the journal, as root: adduser {} systemd-journal",
            templates::user_name()
        );
    }
    Ok(0)
}

/// Copies lines to a terminal.
fn copy_escaped(mut lines: impl io::BufRead) -> io::Result<()> {
    let mut out = io::stdout().lock();
    let mut line = Vec::new();
    while lines.read_until(b'\n', &mut line)? > 0 {
        out.write_all(escape(&String::from_utf8_lossy(&line)).as_bytes())?;
        out.flush()?;
        line.clear();
    }
    Ok(())
}

fn copy(mut tail: Tail) -> io::Result<()> {
    let mut out = io::stdout().lock();
    tail.copy_new(&mut out)?;
    tail.flush(&mut out)
}

/// Shows what the release that serves writes, also when another one takes over.
fn follow(paths: &ProjectPaths, mut slot: Slot, mut tail: Tail, show: Show) -> io::Result<()> {
    let mut out = io::stdout().lock();
    tail.copy_new(&mut out)?;
    while !reader_is_gone(&out)? {
        if !tail.copy_new(&mut out)? {
            tail.flush(&mut out)?;
        }
        let live = paths.live_slot();
        if live != slot {
            slot = live;
            tail = Tail::open(&paths.app_log(slot), FIRST_LINES, show)?;
        }
    }
    Ok(())
}

/// Waits a moment, and returns whether the reader of standard output has closed it. Writing would also show that, but
/// only when there is something to write.
fn reader_is_gone(out: &io::StdoutLock) -> io::Result<bool> {
    let moment = Timespec { tv_sec: 0, tv_nsec: FOLLOW.subsec_nanos().into() };
    let mut fds = [PollFd::new(out, PollFlags::empty())];
    match poll(&mut fds, Some(&moment)) {
        Ok(_) => Ok(fds[0].revents().intersects(PollFlags::ERR | PollFlags::HUP)),
        Err(rustix::io::Errno::INTR) => Ok(false),
        Err(error) => Err(error.into()),
    }
}
