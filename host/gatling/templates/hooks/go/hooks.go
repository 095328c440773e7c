// Package hooks holds the hooks of {{ file }}.
package hooks

import (
	"fmt"

	log "{{ module }}/bindings/gatling_hooks_log"
	types "{{ module }}/bindings/gatling_hooks_types"
)
{%- for hook in hooks %}

// {{ hook.pascal }} returns an error to end the deployment here.
func {{ hook.pascal }}(env types.Env) error {
	log.Log(log.LevelInfo, fmt.Sprintf("%s %s: {{ hook.name }}", env.Project, env.Version))
	return nil
}
{%- endfor %}
