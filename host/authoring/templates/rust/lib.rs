//! The hooks of {{ file }}.

wit_bindgen::generate!({ path: "wit", world: "{{ pipeline }}", generate_all });

use gatling::hooks::log::{Level, log};

struct Hooks;

impl Guest for Hooks {
{%- for hook in hooks %}
    {%- if not loop.first %}
{% endif %}
{%- if hook.is_for_failure %}
    /// Called when the run has failed. Its result does not change that.
    fn {{ hook.name }}(env: Env, failure: Failure) -> Result<(), String> {
        log(Level::Info, &format!("{} {}: {{ hook.name }}, because of {}", env.project, env.version, failure.message));
        Ok(())
    }
{%- else %}
    /// An `Err` ends the deployment here. Its text is the reason.
    fn {{ hook.name }}(env: Env) -> Result<(), String> {
        log(Level::Info, &format!("{} {}: {{ hook.name }}", env.project, env.version));
        Ok(())
    }
{%- endif %}
{%- endfor %}
}

export!(Hooks);
