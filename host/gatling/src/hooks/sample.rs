//! The record that a hook gets when it is tried outside any deployment.

use std::path::Path;

use anyhow::{Context, Result, bail};
use serde_json::{Map, Value};

use super::EnvRecord;
use crate::task::Task;

/// The record of a made-up run of a task, for a project in `build_dir`.
#[must_use]
pub fn env(task: Task, build_dir: &Path) -> EnvRecord {
    let project = build_dir.file_name().map_or_else(|| "hello".into(), |name| name.to_string_lossy().into_owned());
    let build = |path: &str| build_dir.join(path).display().to_string();
    let home = build_dir.parent().unwrap_or(Path::new("/"));
    let deploy_dir = home.join("deployments").join(&project);
    let deployed = |path: &str| deploy_dir.join(path).display().to_string();
    let is_upgrade = task == Task::Upgrade;
    let hooks_file = |task: Task| Some(build(&task.hooks_file())).filter(|file| Path::new(file).exists());
    EnvRecord {
        available_port: 4001,
        available_tasks: ["compile", "deps.get", "phx.digest", "release"].map(String::from).to_vec(),
        build_dir: build_dir.display().to_string(),
        built_release_path: build(&format!("_build/prod/rel/{project}")),
        deploy_callback_module: hooks_file(Task::Deploy),
        deploy_dir: deploy_dir.display().to_string(),
        deploy_path: deployed(&format!("{project}.tar.gz")),
        domains: vec!["www.example.com".to_owned()],
        etc_dir: "/etc/init.d".to_owned(),
        etc_path: format!("/etc/init.d/{project}"),
        git_hook_path: build(".git/hooks/post-update"),
        nginx_available_path: format!("/etc/nginx/sites-available/{project}"),
        nginx_dir: "/etc/nginx".to_owned(),
        nginx_enabled_path: format!("/etc/nginx/sites-enabled/{project}"),
        nginx_template: "server { server_name www.example.com; }\n".to_owned(),
        releases: if is_upgrade { vec!["0.1.0".to_owned()] } else { Vec::new() },
        script_template: "#!/bin/sh\n".to_owned(),
        upgrade_callback_module: hooks_file(Task::Upgrade),
        upgrade_dir: deployed("releases/0.2.0"),
        upgrade_path: deployed(&format!("releases/0.2.0/{project}")),
        version: "0.2.0".to_owned(),
        task: task.name().to_owned(),
        commit: "1a2b3c4d5e6f708192a3b4c5d6e7f8091a2b3c4d".to_owned(),
        branch: "main".to_owned(),
        previous_version: is_upgrade.then(|| "0.1.0".to_owned()),
        strategy: "restart".to_owned(),
        unload_callback_module: hooks_file(Task::Unload),
        project,
    }
}

/// The sample with what a JSON object says in the place of its own: `{"version": "1.2.0"}`. The
/// names are those that `gatling env --json` prints.
///
/// # Errors
/// When the text is no JSON object, or names a field that the record hasn't, or one has the wrong
/// type: the error names the field.
pub fn env_from_json(text: &str, sample: &EnvRecord) -> Result<EnvRecord> {
    let given: Map<String, Value> = serde_json::from_str(text).context("it is no JSON object of fields of the env")?;
    let Value::Object(mut fields) = serde_json::to_value(sample)? else { bail!("the env is no record") };
    for (name, value) in given {
        if !fields.contains_key(&name) {
            let nearest = fields.keys().min_by_key(|field| strsim::damerau_levenshtein(field, &name));
            bail!("the env has no field {name:?}; did you mean {:?}?", nearest.map_or("", String::as_str));
        }
        let one = Map::from_iter(fields.clone().into_iter().chain([(name.clone(), value.clone())]));
        EnvRecord::deserialize_from(one).with_context(|| format!("the field {name:?} of the env"))?;
        fields.insert(name, value);
    }
    EnvRecord::deserialize_from(fields)
}

impl EnvRecord {
    fn deserialize_from(fields: Map<String, Value>) -> Result<Self> {
        Ok(serde_json::from_value(Value::Object(fields))?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> EnvRecord {
        env(Task::Upgrade, Path::new("/home/deploy/hello"))
    }

    #[test]
    fn what_is_given_takes_the_place_of_the_samples_own() {
        let env = env_from_json(r#"{"version": "1.2.0", "previous_version": null, "domains": []}"#, &sample());
        let env = env.expect("it is understood");
        assert_eq!((env.version.as_str(), env.previous_version, env.domains.len()), ("1.2.0", None, 0));
        assert_eq!(env.project, "hello");
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (text, part) in [
            (r#"{"versoin": "1"}"#, "did you mean \"version\""),
            (r#"{"version": 1}"#, "version"),
            (r#"{"available_port": 70000}"#, "available_port"),
            (r#"{"version": null}"#, "version"),
            ("[]", "JSON object"),
            ("", "JSON object"),
        ] {
            let error = format!("{:#}", env_from_json(text, &sample()).expect_err(text));
            assert!(error.contains(part), "{text}: {error}");
        }
    }
}
