//! The WIT world of a hooks file, with the hooks that its author has written.

/// The contract, to which the world refers.
const CONTRACT: &str = include_str!("../../wit/hooks.wit");

/// The hook that also takes a failure.
pub(crate) const ON_FAILURE: &str = "on_failure";

/// The line with the name of the contract's package.
const PACKAGE: &str = "package gatling:hooks@1.2.0;";

/// The world's name, for `wit_bindgen::generate!`.
pub(crate) const NAME: &str = "gatling:my-hooks/hooks";

/// WIT text with a world that exports `hooks`, followed by the contract as a nested package.
///
/// The world doesn't include the contract's imports: the bindings in the SDK import them, and the linker combines
/// the two.
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

/// Whether the world uses the contract's failure.
pub(crate) fn uses_failure(hooks: &[String]) -> bool {
    hooks.iter().any(|hook| hook == ON_FAILURE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_world_exports_exactly_the_given_hooks() {
        let text = text(&["before_mix_compile".into(), "after_upgrade_service".into()]);
        assert!(text.contains("export before-mix-compile: func(env: env) -> result<_, string>;"));
        assert!(text.contains("export after-upgrade-service: func"));
        let exports = text.lines().filter(|line| line.starts_with("  export "));
        assert_eq!(exports.count(), 2);
        assert!(!text.contains("failures@1.2.0.{failure}"));
    }

    #[test]
    fn on_failure_takes_a_failure() {
        let text = text(&["on_failure".into()]);
        assert!(text.contains("use gatling:hooks/failures@1.2.0.{failure};"));
        assert!(text.contains("export on-failure: func(env: env, failure: failure) -> result<_, string>;"));
    }
}
