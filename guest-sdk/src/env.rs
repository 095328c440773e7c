//! The env record and the failure record of the contract.

/// The contract's types, which are shared by the bindings of every hooks file.
#[allow(missing_docs, unreachable_pub)]
mod bindings {
    wit_bindgen::generate!({
        inline: "
            package gatling:sdk;
            world shared {
                import gatling:hooks/types@1.2.0;
                import gatling:hooks/failures@1.2.0;
            }
        ",
        path: "wit",
        world: "gatling:sdk/shared",
        generate_all,
        generate_unused_types: true,
        additional_derives: [PartialEq, Eq],
    });
}

pub use bindings::gatling::hooks::{failures, types};
pub use failures::Failure;
pub use types::Env;

impl Env {
    /// A sample env record for tests: an upgrade of the app `hello` from 0.1.0 to 0.2.0.
    ///
    /// ```
    /// use gatling_hooks::Env;
    ///
    /// let env = Env { version: "1.0.0".into(), ..Env::sample() };
    /// assert_eq!(env.project, "hello");
    /// ```
    pub fn sample() -> Self {
        let home = |path: &str| format!("/home/deploy/{path}");
        Self {
            available_port: 4001,
            available_tasks: ["compile", "deps.get", "phx.digest", "release"].map(String::from).to_vec(),
            build_dir: home("hello"),
            built_release_path: home("hello/_build/prod/rel/hello"),
            deploy_callback_module: None,
            deploy_dir: home("deployments/hello"),
            deploy_path: home("deployments/hello/hello.tar.gz"),
            domains: vec!["www.example.com".into()],
            etc_dir: "/etc/init.d".into(),
            etc_path: "/etc/init.d/hello".into(),
            git_hook_path: home("hello/.git/hooks/post-update"),
            nginx_available_path: "/etc/nginx/sites-available/hello".into(),
            nginx_dir: "/etc/nginx".into(),
            nginx_enabled_path: "/etc/nginx/sites-enabled/hello".into(),
            nginx_template: "server { server_name www.example.com; }\n".into(),
            project: "hello".into(),
            releases: vec!["0.1.0".into()],
            script_template: "#!/bin/sh\n".into(),
            upgrade_callback_module: Some(home("hello/upgrade.wasm")),
            upgrade_dir: home("deployments/hello/releases/0.2.0"),
            upgrade_path: home("deployments/hello/releases/0.2.0/hello"),
            version: "0.2.0".into(),
            task: "upgrade".into(),
            commit: "1a2b3c4d5e6f708192a3b4c5d6e7f8091a2b3c4d".into(),
            branch: "main".into(),
            previous_version: Some("0.1.0".into()),
            strategy: "restart".into(),
            unload_callback_module: None,
        }
    }
}

impl Failure {
    /// A sample failure of the upgrade of [`Env::sample`], for tests: the new release didn't answer, and 0.1.0 keeps
    /// serving.
    ///
    /// ```
    /// use gatling_hooks::Failure;
    ///
    /// let failure = Failure { traffic_moved: true, serving: Some("0.2.0".into()), ..Failure::sample() };
    /// assert_eq!(failure.step.as_deref(), Some("upgrade_service"));
    /// ```
    pub fn sample() -> Self {
        Self {
            step: Some("upgrade_service".into()),
            hook: None,
            message: "the step upgrade_service: 0.2.0 did not answer".into(),
            cancelled: false,
            traffic_moved: false,
            serving: Some("0.1.0".into()),
        }
    }

    /// The name of the hook or step that failed; `None` if the run failed before its first step.
    pub fn place(&self) -> Option<&str> {
        self.hook.as_deref().or(self.step.as_deref())
    }
}
