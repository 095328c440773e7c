//! The hooks of {{ file }}.

wit_bindgen::generate!({ path: "wit", world: "{{ task }}", generate_all });

use gatling::hooks::log::{Level, log};

struct Hooks;

impl Guest for Hooks {
{%- for hook in hooks %}
    {%- if not loop.first %}
{% endif %}
    /// An `Err` ends the deployment here, and its text says why.
    fn {{ hook.name }}(env: Env) -> Result<(), String> {
        log(Level::Info, &format!("{} {}: {{ hook.name }}", env.project, env.version));
        Ok(())
    }
{%- endfor %}
}

export!(Hooks);
