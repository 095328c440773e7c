//! Serializes the env record as JSON by hand, to keep the tests' hooks files small.

use gatling_hooks::Env;

/// The env record as one line. Its keys are the fields in snake_case, in the order of the contract.
pub(crate) fn object(env: &Env) -> String {
    // Without `..`, so that a new field of the contract must be added here too.
    macro_rules! object {
        ($($field:ident)*) => {{
            let Env { $($field),* } = env;
            let fields = [$(format!("\"{}\":{}", stringify!($field), $field.json())),*];
            format!("{{{}}}", fields.join(","))
        }};
    }
    object!(
        available_port available_tasks build_dir built_release_path deploy_callback_module
        deploy_dir deploy_path domains etc_dir etc_path git_hook_path nginx_available_path
        nginx_dir nginx_enabled_path nginx_template project releases script_template
        upgrade_callback_module upgrade_dir upgrade_path version task commit branch
        previous_version strategy unload_callback_module
    )
}

trait Json {
    fn json(&self) -> String;
}

impl Json for u16 {
    fn json(&self) -> String {
        self.to_string()
    }
}

impl Json for String {
    fn json(&self) -> String {
        let escaped: String = self.chars().map(escape).collect();
        format!("\"{escaped}\"")
    }
}

impl<T: Json> Json for Vec<T> {
    fn json(&self) -> String {
        let items: Vec<_> = self.iter().map(Json::json).collect();
        format!("[{}]", items.join(","))
    }
}

impl<T: Json> Json for Option<T> {
    fn json(&self) -> String {
        self.as_ref().map_or_else(|| "null".into(), Json::json)
    }
}

fn escape(c: char) -> String {
    match c {
        '"' => "\\\"".into(),
        '\\' => "\\\\".into(),
        '\n' => "\\n".into(),
        '\t' => "\\t".into(),
        c if c.is_control() => format!("\\u{:04x}", u32::from(c)),
        c => c.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_escaped_onto_one_line() {
        let text = String::from("a \"quoted\"\n\\path\t\u{1b}");
        assert_eq!(text.json(), r#""a \"quoted\"\n\\path\t\u001b""#);
    }

    #[test]
    fn an_env_begins_and_ends_with_its_first_and_last_field() {
        let json = object(&Env::sample());
        assert!(json.starts_with(r#"{"available_port":4001,"available_tasks":["compile","#));
        assert!(json.ends_with(r#""strategy":"restart","unload_callback_module":null}"#));
    }
}
