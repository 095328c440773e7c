//! Sample records, to try a hook outside of any deployment.

use std::path::Path;

use anyhow::{Context, Result, bail};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use gatling_hook_host::{EnvRecord, FailureRecord};
use gatling_pipeline::Pipeline;

/// A sample env record for a run of a pipeline, for a project in `build_dir`.
#[must_use]
pub fn env(pipeline: Pipeline, build_dir: &Path) -> EnvRecord {
    let project = build_dir.file_name().map_or_else(|| "hello".into(), |name| name.to_string_lossy().into_owned());
    let build = |path: &str| build_dir.join(path).display().to_string();
    let home = build_dir.parent().unwrap_or(Path::new("/"));
    let deploy_dir = home.join("deployments").join(&project);
    let deployed = |path: &str| deploy_dir.join(path).display().to_string();
    let is_upgrade = matches!(pipeline, Pipeline::Upgrade | Pipeline::Rollback);
    let hooks_file = |pipeline: Pipeline| Some(build(&pipeline.hooks_file())).filter(|file| Path::new(file).exists());
    EnvRecord {
        available_port: 4001,
        available_tasks: ["compile", "deps.get", "phx.digest", "release"].map(String::from).to_vec(),
        build_dir: build_dir.display().to_string(),
        built_release_path: build(&format!("_build/prod/rel/{project}")),
        deploy_callback_module: hooks_file(Pipeline::Deploy),
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
        upgrade_callback_module: hooks_file(Pipeline::Upgrade),
        upgrade_dir: deployed("releases/0.2.0"),
        upgrade_path: deployed(&format!("releases/0.2.0/{project}")),
        version: "0.2.0".to_owned(),
        task: pipeline.to_string(),
        commit: "1a2b3c4d5e6f708192a3b4c5d6e7f8091a2b3c4d".to_owned(),
        branch: "main".to_owned(),
        previous_version: is_upgrade.then(|| "0.1.0".to_owned()),
        strategy: "restart".to_owned(),
        unload_callback_module: hooks_file(Pipeline::Unload),
        project,
    }
}

/// A sample failure record for that run: the last step but one has failed, and traffic has not moved.
#[must_use]
pub fn failure(pipeline: Pipeline, env: &EnvRecord) -> FailureRecord {
    let step = pipeline.steps().iter().rev().nth(1).map_or("", |step| step.name.as_str());
    FailureRecord {
        step: Some(step.to_owned()),
        hook: None,
        message: format!("the step {step}: a sample failure of gatling hooks run"),
        cancelled: false,
        traffic_moved: false,
        serving: env.previous_version.clone(),
    }
}

/// The sample with fields replaced by those of a JSON object, such as `{"version": "1.2.0"}`. The names are those
/// that `gatling env --json` prints.
///
/// # Errors
/// When the text is not a JSON object, or a field is unknown or has the wrong type. The error names the field.
pub fn env_from_json(text: &str, sample: &EnvRecord) -> Result<EnvRecord> {
    from_json(text, sample, "env record")
}

/// As [`env_from_json`], for the failure record: `{"step": "mix_compile"}`.
///
/// # Errors
/// As [`env_from_json`].
pub fn failure_from_json(text: &str, sample: &FailureRecord) -> Result<FailureRecord> {
    from_json(text, sample, "failure record")
}

fn from_json<R: Serialize + DeserializeOwned>(text: &str, sample: &R, record: &str) -> Result<R> {
    let mut given: Map<String, Value> =
        serde_json::from_str(text).with_context(|| format!("it is not a JSON object with fields of the {record}"))?;
    let Value::Object(mut fields) = serde_json::to_value(sample)? else { bail!("the {record} is not a JSON object") };
    // `gatling env --json` also prints the version of the format.
    given.remove("v");
    for (name, value) in given {
        if !fields.contains_key(&name) {
            let nearest = fields.keys().min_by_key(|field| strsim::damerau_levenshtein(field, &name));
            bail!("the {record} has no field {name:?}; did you mean {:?}?", nearest.map_or("", String::as_str));
        }
        let one = Map::from_iter(fields.clone().into_iter().chain([(name.clone(), value.clone())]));
        deserialize::<R>(one).with_context(|| format!("the field {name:?} of the {record}"))?;
        fields.insert(name, value);
    }
    deserialize(fields)
}

fn deserialize<R: DeserializeOwned>(fields: Map<String, Value>) -> Result<R> {
    Ok(serde_json::from_value(Value::Object(fields))?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> EnvRecord {
        env(Pipeline::Upgrade, Path::new("/home/deploy/hello"))
    }

    #[test]
    fn given_fields_replace_those_of_the_sample() {
        let env = env_from_json(r#"{"version": "1.2.0", "previous_version": null, "domains": []}"#, &sample());
        let env = env.expect("it is understood");
        assert_eq!((env.version.as_str(), env.previous_version, env.domains.len()), ("1.2.0", None, 0));
        assert_eq!(env.project, "hello");
    }

    #[test]
    fn given_fields_replace_those_of_the_sample_failure() {
        let sample = failure(Pipeline::Upgrade, &sample());
        assert_eq!((sample.step.as_deref(), sample.serving.as_deref()), (Some("upgrade_service"), Some("0.1.0")));
        let given = failure_from_json(r#"{"hook": "before_mix_compile", "traffic_moved": true}"#, &sample);
        let given = given.expect("it is understood");
        assert_eq!((given.hook.as_deref(), given.traffic_moved), (Some("before_mix_compile"), true));
        let error = format!("{:#}", failure_from_json(r#"{"massage": "no"}"#, &sample).expect_err("a typo"));
        assert!(
            error.contains("the failure record has no field") && error.contains("did you mean \"message\""),
            "{error}"
        );
    }

    #[test]
    fn errors_name_the_wrong_field() {
        for (text, part) in [
            (r#"{"versoin": "1"}"#, "did you mean \"version\""),
            (r#"{"version": 1}"#, "version"),
            (r#"{"available_port": 70000}"#, "available_port"),
            (r#"{"version": null}"#, "version"),
            ("[]", "it is not a JSON object"),
            ("", "it is not a JSON object"),
        ] {
            let error = format!("{:#}", env_from_json(text, &sample()).expect_err(text));
            assert!(error.contains(part), "{text}: {error}");
        }
    }
}
