//! The valid names of hooks.

/// One hook per line: the pipeline, then the hook's name. The host's tests compare it with the table of steps.
const HOOKS: &str = include_str!("../hooks.txt");

/// The names of the hooks of every pipeline, in pipeline order.
fn all() -> impl Iterator<Item = &'static str> {
    HOOKS.lines().filter_map(|line| line.split_once(' ')).map(|(_pipeline, hook)| hook)
}

/// Whether any pipeline has a hook of this name.
pub(crate) fn is_hook(name: &str) -> bool {
    all().any(|hook| hook == name)
}

/// The hook with the smallest edit distance to `name`.
pub(crate) fn nearest(name: &str) -> &'static str {
    all().min_by_key(|hook| strsim::damerau_levenshtein(hook, name)).expect("hooks.txt names hooks")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_step_has_a_hook_before_and_a_hook_after() {
        let hooks: Vec<_> = all().filter(|hook| *hook != "on_failure").collect();
        assert_eq!(hooks.len() % 2, 0);
        for pair in hooks.chunks(2) {
            let step = pair[0].strip_prefix("before_").unwrap();
            assert_eq!(pair[1], format!("after_{step}"));
        }
    }

    #[test]
    fn hooks_of_all_three_pipelines_are_known() {
        assert!(is_hook("before_expand_release"));
        assert!(is_hook("after_upgrade_service"));
        assert!(is_hook("after_remove_build_dir"));
        assert!(is_hook("on_failure"));
        assert!(!is_hook("upgrade_service"));
        assert!(!is_hook("before_lunch"));
    }

    #[test]
    fn the_nearest_hook_to_a_misspelled_name_is_found() {
        assert_eq!(nearest("before_mix_compil"), "before_mix_compile");
        assert_eq!(nearest("after_upgrade_servcie"), "after_upgrade_service");
    }
}
