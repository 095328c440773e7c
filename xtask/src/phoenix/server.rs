//! The server that the app is pushed to, and what people do there.

use std::cell::Cell;
use std::fmt::Write as _;
use std::fs;
use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, TcpStream};
use std::path::PathBuf;
use std::process::{self, Command};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use gatling_tests::{Certificate, Output, Postgres, Project, Sandbox, Sshd, http};
use rustix::process::Pid;

use super::visitor::Visitor;
use super::{HOSTS, toolchain};

/// How many of the last lines of a push are shown where it was to end otherwise.
const SHOWN: usize = 25;

/// A server with the project `shop`, and the repository of whoever pushes.
pub(crate) struct Server<'s> {
    pub(crate) sandbox: &'s Sandbox,
    pub(crate) project: &'s Project<'s>,
    pub(crate) postgres: Postgres,
    pub(crate) sshd: Sshd,
    pub(crate) visitor: Visitor,
    /// The folder of what is left to look at: logs of pushes, and pictures.
    pub(crate) evidence: PathBuf,
    /// How many outputs were kept there.
    kept: Cell<usize>,
}

impl<'s> Server<'s> {
    /// Starts an ssh server and a database, and has the project push over ssh.
    pub(crate) fn start(sandbox: &'s Sandbox, project: &'s Project<'s>, evidence: PathBuf) -> Result<Self> {
        let sshd = Sshd::start(sandbox)?;
        project.git(&["remote", "set-url", "server", &sshd.url(&sandbox.home().join(project.name()))])?;
        project.git(&["config", "core.sshCommand", &sshd.client()])?;
        let visitor = Visitor { http_port: sandbox.nginx_port(), https: None };
        let server =
            Self { sandbox, project, postgres: Postgres::start(sandbox)?, sshd, visitor, evidence, kept: Cell::new(0) };
        server.write_operators_file()?;
        Ok(server)
    }

    /// Names a certificate for both hosts in the operator's file.
    pub(crate) fn serve_https(&mut self) -> Result<()> {
        self.visitor.https = Some((http::free_port()?, Certificate::new(self.sandbox, &HOSTS)?));
        self.write_operators_file()
    }

    fn write_operators_file(&self) -> Result<()> {
        let folders = toolchain::program_folders()?;
        let mut text = format!("path = {folders:?}\n\n[nginx]\nlisten = [\"127.0.0.1:{}\"]\n", self.visitor.http_port);
        if let Some((port, Certificate { certificate, key })) = &self.visitor.https {
            write!(
                text,
                "https_listen = [\"127.0.0.1:{port} ssl\"]\n\n[[nginx.certificates]]\ndomains = {HOSTS:?}\n\
                 certificate = {certificate:?}\nkey = {key:?}\n"
            )?;
        }
        fs::write(self.sandbox.config(), text)?;
        Ok(())
    }

    /// Runs `gatling` on the server, and fails when it does.
    pub(crate) fn gatling(&self, arguments: &[&str]) -> Result<Output> {
        let output = self.sandbox.run(arguments)?;
        // These outputs hold secrets.
        if arguments[0] != "config" {
            self.keep(&format!("gatling-{}", arguments[0]), &output)?;
        }
        output.expect_success().with_context(|| format!("gatling {}", arguments.join(" ")))
    }

    /// Makes the project's place on the server. Where a node of the app's name runs on this machine
    /// already, the app gets another one; returns what was done about that.
    pub(crate) fn load(&self) -> Result<String> {
        let name = self.project.name();
        self.gatling(&["load", name])?;
        if !is_taken(name) {
            return Ok(String::new());
        }
        let setting = format!("RELEASE_NODE={name}_{}@127.0.0.1", process::id());
        self.gatling(&["config", "set", name, &setting])?;
        Ok(format!("another Erlang node is called {name} on this machine, so: gatling config set {name} {setting}"))
    }

    /// Sets a variable of the app's as one that nobody else is to see: on standard input.
    pub(crate) fn set_secret(&self, name: &str, value: &str) -> Result<()> {
        let mut gatling = self.sandbox.gatling(&["config", "set", self.project.name(), &format!("{name}=-")]);
        Output::of_with_input(&mut gatling, &format!("{value}\n"))?.expect_success()?;
        if self.variable(name)? == value {
            return Ok(());
        }
        self.gatling(&["config", "set", self.project.name(), &format!("{name}={value}")])?;
        bail!("`gatling config set` did not read the value from standard input; it was set with {name}=VALUE instead");
    }

    /// The value of a variable of the app's.
    pub(crate) fn variable(&self, name: &str) -> Result<String> {
        Ok(self.gatling(&["config", "get", self.project.name(), name])?.stdout.trim_end().to_owned())
    }

    /// Pushes `refs`, and keeps what was said in a file that is named after `what`.
    pub(crate) fn push(&self, what: &str, refs: &[&str]) -> Result<Output> {
        let output = self.project.push_refs(refs)?;
        self.keep(&format!("push-{what}"), &output)?;
        Ok(output)
    }

    /// Writes an output to a file.
    fn keep(&self, what: &str, output: &Output) -> Result<()> {
        self.kept.update(|number| number + 1);
        let file = self.evidence.join(format!("{:02}-{what}.log", self.kept.get()));
        fs::write(&file, output.lines().join("\n") + "\n").with_context(|| format!("writing {}", file.display()))
    }

    /// Commits and pushes, and fails unless this version serves in the end.
    pub(crate) fn deploy(&self, what: &str, version: &str) -> Result<Output> {
        self.project.commit(what)?;
        let output = self.push(what, &["main"])?;
        ensure!(output.says(" is serving at "), "it was not deployed:\n{}", end_of(&output));
        self.visitor.expect_version(version)?;
        Ok(output)
    }

    /// Commits and pushes, and fails unless Gatling refuses that with these texts before it builds
    /// anything.
    pub(crate) fn expect_refusal(&self, what: &str, texts: &[&str]) -> Result<()> {
        let output = self.expect_failure(what, texts)?;
        let step = output.lines().into_iter().find(|line| line.starts_with("mix_")).map(str::to_owned);
        ensure!(step.is_none(), "it was refused only after the step {}", step.unwrap_or_default());
        Ok(())
    }

    /// Commits and pushes, and fails unless that fails with these texts.
    pub(crate) fn expect_failure(&self, what: &str, texts: &[&str]) -> Result<Output> {
        self.project.commit(what)?;
        let output = self.push(what, &["main"])?;
        ensure!(!output.says(" is serving at "), "it was deployed");
        for text in texts {
            ensure!(output.says(text), "nothing says {text:?}:\n{}", end_of(&output));
        }
        Ok(output)
    }

    /// The process of the app.
    pub(crate) fn app(&self) -> Result<Pid> {
        let file = self.deploy_dir().join("run/shop.pid");
        let text = fs::read_to_string(&file).with_context(|| format!("reading {}", file.display()))?;
        text.trim()
            .parse()
            .ok()
            .and_then(Pid::from_raw)
            .with_context(|| format!("{} has no process id", file.display()))
    }

    /// `bin/shop` of the release that serves, to be called by somebody whose environment is empty.
    pub(crate) fn release_command(&self, arguments: &[&str]) -> Command {
        let mut command = self.sandbox.command("env", self.sandbox.root());
        command.args(["-i", "PATH=/usr/bin:/bin", "LANG=C.UTF-8"]);
        command.arg(self.deploy_dir().join("current/shop/bin/shop")).args(arguments);
        command
    }

    fn deploy_dir(&self) -> PathBuf {
        self.sandbox.home().join("deployments").join(self.project.name())
    }
}

/// Whether an Erlang node of this name runs on the machine: its port mapper is asked, if there is one.
fn is_taken(node: &str) -> bool {
    // A request of one byte, with its length before it: all names, as lines of text.
    const NAMES: [u8; 3] = [0, 1, b'n'];
    let ask = || {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, 4369))?;
        stream.set_read_timeout(Some(Duration::from_secs(5)))?;
        stream.write_all(&NAMES)?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer)?;
        io::Result::Ok(answer)
    };
    let answer = ask().unwrap_or_default();
    String::from_utf8_lossy(&answer).contains(&format!("name {node} at port "))
}

/// The end of what a push has said.
pub(crate) fn end_of(output: &Output) -> String {
    let lines = output.lines();
    lines[lines.len().saturating_sub(SHOWN)..].join("\n")
}
