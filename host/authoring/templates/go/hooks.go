// Package hooks contains the hooks of {{ file }}.
package hooks

import (
	"fmt"

{% if uses_failure %}	failures "{{ module }}/bindings/gatling_hooks_failures"
{% endif %}	log "{{ module }}/bindings/gatling_hooks_log"
	types "{{ module }}/bindings/gatling_hooks_types"
)
{%- for hook in hooks %}
{%- if hook.is_for_failure %}

// {{ hook.pascal }} is called when the run has failed. Its result does not change that.
func {{ hook.pascal }}(env types.Env, failure failures.Failure) error {
	log.Log(log.LevelInfo, fmt.Sprintf("%s %s: {{ hook.name }}, because of %s", env.Project, env.Version, failure.Message))
	return nil
}
{%- else %}

// {{ hook.pascal }} can return an error to end the deployment here.
func {{ hook.pascal }}(env types.Env) error {
	log.Log(log.LevelInfo, fmt.Sprintf("%s %s: {{ hook.name }}", env.Project, env.Version))
	return nil
}
{%- endif %}
{%- endfor %}
