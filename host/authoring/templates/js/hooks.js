// The hooks of {{ file }}.

import { log } from 'gatling:hooks/log@{{ version }}';
{%- for hook in hooks %}
{%- if hook.is_for_failure %}

// Called when the run has failed. Throwing an error does not change that.
export function {{ hook.camel }}(env, failure) {
  log('info', `${env.project} ${env.version}: {{ hook.name }}, because of ${failure.message}`);
}
{%- else %}

// `throw new Error('why')` ends the deployment here.
export function {{ hook.camel }}(env) {
  log('info', `${env.project} ${env.version}: {{ hook.name }}`);
}
{%- endif %}
{%- endfor %}
