//! The imports that hooks get from Gatling: the interfaces of the contract.

use std::time::UNIX_EPOCH;

use anyhow::anyhow;

use super::State;
use crate::contract::{deployment, failures, log, process, types, variables};
use crate::effects::PlannedEffect;
use crate::event::Level;
use crate::program;
use gatling_grants::Run;
use gatling_names::Name;
use gatling_process::{Command, CommandError, Environment};

impl types::Host for State {}

impl failures::Host for State {}

impl log::Host for State {
    fn log(&mut self, level: log::Level, message: String) -> wasmtime::Result<()> {
        let level = match level {
            log::Level::Debug => Level::Debug,
            log::Level::Info => Level::Info,
            log::Level::Warn => Level::Warning,
            log::Level::Error => Level::Error,
        };
        Ok(self.log.log(level, &message)?)
    }
}

impl variables::Host for State {
    fn get(&mut self, name: String) -> wasmtime::Result<Result<String, variables::Error>> {
        if let Err(message) = self.grants.can_read_variable(&name) {
            self.log.denied("env", &message)?;
            return Ok(Err(variables::Error::Denied(message)));
        }
        self.log.used("env", &format!("gets the variable {name}"))?;
        let value = self.variables.get(&name).map(str::to_owned);
        Ok(value.ok_or_else(|| {
            variables::Error::NotSet(format!("{name} is not set: set it with `{} {name}=...`", self.set_command))
        }))
    }
}

impl deployment::Host for State {
    fn run_id(&mut self) -> String {
        self.deployment.run_id.clone()
    }

    fn step(&mut self) -> String {
        let failed = || self.deployment.failure.as_ref()?.step.as_deref();
        self.deployment.hook.point.step().map(Name::as_str).or_else(failed).unwrap_or_default().to_owned()
    }

    fn phase(&mut self) -> deployment::HookPhase {
        (&self.deployment.hook.point).into()
    }

    fn attempt(&mut self) -> u32 {
        self.deployment.attempt
    }

    fn started_at(&mut self) -> u64 {
        let since_epoch = self.deployment.started_at.duration_since(UNIX_EPOCH).unwrap_or_default();
        u64::try_from(since_epoch.as_millis()).unwrap_or(u64::MAX)
    }

    fn failed(&mut self) -> Option<deployment::Failure> {
        self.deployment.failure.as_ref().map(deployment::Failure::from)
    }
}

impl process::Host for State {
    async fn run(
        &mut self,
        name: String,
        args: Vec<String>,
        options: process::Options,
    ) -> wasmtime::Result<Result<process::Output, process::Error>> {
        let dir = options.cd.as_deref().map_or_else(|| self.build_dir.clone(), |cd| self.build_dir.join(cd));
        let mut command = Command::new(&name, args, &dir)
            .with_env(options.env.iter().map(|(name, value)| (name.as_str(), value.as_str())));
        command.environment = Environment::only(["PATH", "HOME", "LANG"]);
        let variables: Vec<_> = command.env.names().map(str::to_owned).collect();
        let mut suffix = if dir == self.build_dir { String::new() } else { format!("  (in {})", dir.display()) };
        if !variables.is_empty() {
            // Only the names: values can be secrets.
            suffix += &format!("  (with {})", variables.join(", "));
        }
        self.log.command(&format!("{command}{suffix}"))?;
        let variables: Vec<_> = variables.iter().map(String::as_str).collect();
        let folder = options.cd.as_deref().filter(|_| dir != self.build_dir);
        let run = Run { program: &name, args: &command.args, env: &variables, cd: folder };
        if let Err(message) = self.grants.may_run(run) {
            self.log.denied("run", &message)?;
            return Ok(Err(process::Error::Denied(message)));
        }
        if let Some(problem) = program::invalid(&command) {
            return Ok(Err(process::Error::Failed(problem)));
        }
        if self.effects.plan(|| PlannedEffect::Run(format!("{command}{suffix}"))) {
            return Ok(Ok(process::Output { status: 0, output: String::new() }));
        }
        if name.contains('/') {
            // The grant is for a program of the project, in whichever folder it runs.
            command.program = self.build_dir.join(&name).display().to_string();
        }
        match program::run(command, self.log.clone(), self.limits.output).await? {
            Ok((status, output)) => Ok(Ok(process::Output { status, output })),
            Err(error @ (CommandError::NotFound { .. } | CommandError::NoDir { .. })) => {
                Ok(Err(process::Error::NotFound(error.to_string())))
            }
            Err(error) => Ok(Err(process::Error::Failed(format!("{:#}", anyhow!(error))))),
        }
    }
}
