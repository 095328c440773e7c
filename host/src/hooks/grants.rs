//! What hooks may do.

use std::path::{Path, PathBuf};

use crate::settings::{GrantCaps, GrantSettings, PROJECT_FILE};

/// The grants of a project's hooks, within the operator's caps.
#[derive(Clone, Debug)]
pub(super) struct Grants {
    run: Vec<String>,
    run_cap: Option<Vec<String>>,
    operator_file: PathBuf,
}

impl Grants {
    pub(super) fn of(granted: &GrantSettings, caps: &GrantCaps, operator_file: &Path) -> Self {
        Self { run: granted.run.clone(), run_cap: caps.run.clone(), operator_file: operator_file.to_owned() }
    }

    /// Whether a hook may run a program, which is granted by the very name that the hook uses.
    ///
    /// # Errors
    /// A message that says what to add where.
    pub(super) fn may_run(&self, program: &str) -> Result<(), String> {
        if self.run_cap.as_ref().is_some_and(|cap| !cap.iter().any(|name| name == program)) {
            return Err(format!(
                "hooks may not run {program:?} on this server: its operator allows it by adding it to `run` under [hooks.grants] in {}",
                self.operator_file.display()
            ));
        }
        if !self.run.iter().any(|name| name == program) {
            let line: Vec<_> =
                self.run.iter().map(String::as_str).chain([program]).map(|name| format!("{name:?}")).collect();
            return Err(format!(
                "hooks may not run {program:?}: to grant it, write into {PROJECT_FILE}, under [hooks.grants]: run = [{}]",
                line.join(", ")
            ));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grants(run: &[&str], cap: Option<&[&str]>) -> Grants {
        let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        Grants { run: owned(run), run_cap: cap.map(owned), operator_file: "/etc/gatling/gatling.toml".into() }
    }

    #[test]
    fn nothing_may_be_run_that_is_not_granted_by_its_very_name() {
        let grants = grants(&["npm"], None);
        assert_eq!(grants.may_run("npm"), Ok(()));
        for program in ["np", "npmx", "/usr/bin/npm", "./npm", "", "NPM"] {
            let error = grants.may_run(program).expect_err(program);
            assert!(error.contains(&format!("run = [\"npm\", {program:?}]")), "{error}");
        }
    }

    #[test]
    fn the_operator_caps_what_a_project_grants_itself() {
        let grants = grants(&["npm", "sh"], Some(&["npm"]));
        assert_eq!(grants.may_run("npm"), Ok(()));
        assert!(grants.may_run("sh").expect_err("it is capped").contains("/etc/gatling/gatling.toml"));
    }
}
