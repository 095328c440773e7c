//! The WIT world of one hooks file: just the hooks that its author wrote.

/// The contract, which the world refers to.
const CONTRACT: &str = include_str!("../../wit/hooks.wit");

/// The hook that takes a failure beside the env.
pub(crate) const ON_FAILURE: &str = "on_failure";

/// The line that names the contract's package.
const PACKAGE: &str = "package gatling:hooks@1.2.0;";

/// The world's name, as `wit_bindgen::generate!` wants it.
pub(crate) const NAME: &str = "gatling:my-hooks/hooks";

/// WIT text with a world that exports `hooks`, and the contract as a nested package after it.
///
/// The world includes none of the contract's imports: what a hook calls is imported by the
/// bindings in the SDK, and the linker joins the two.
pub(crate) fn text(hooks: &[String]) -> String {
    let export = |hook: &String| {
        let failure = if hook == ON_FAILURE { ", failure: failure" } else { "" };
        format!("  export {}: func(env: env{failure}) -> result<_, string>;\n", hook.replace('_', "-"))
    };
    let exports: String = hooks.iter().map(export).collect();
    let failure = if uses_failure(hooks) { "  use gatling:hooks/failures@1.2.0.{failure};\n" } else { "" };
    let (_docs, contract) = CONTRACT.split_once(PACKAGE).expect("hooks.wit names its package");
    format!(
        "package gatling:my-hooks;\n\
         world hooks {{\n  use gatling:hooks/types@1.2.0.{{env}};\n{failure}{exports}}}\n\
         package gatling:hooks@1.2.0 {{{contract}}}\n"
    )
}

/// Whether the world has the contract's failure in it.
pub(crate) fn uses_failure(hooks: &[String]) -> bool {
    hooks.iter().any(|hook| hook == ON_FAILURE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_world_exports_what_was_written_and_nothing_else() {
        let text = text(&["before_mix_compile".into(), "after_upgrade_service".into()]);
        assert!(text.contains("export before-mix-compile: func(env: env) -> result<_, string>;"));
        assert!(text.contains("export after-upgrade-service: func"));
        let exports = text.lines().filter(|line| line.starts_with("  export "));
        assert_eq!(exports.count(), 2);
        assert!(!text.contains("failures@1.2.0.{failure}"));
    }

    #[test]
    fn the_hook_for_a_failure_takes_one() {
        let text = text(&["on_failure".into()]);
        assert!(text.contains("use gatling:hooks/failures@1.2.0.{failure};"));
        assert!(text.contains("export on-failure: func(env: env, failure: failure) -> result<_, string>;"));
    }
}
