// The hooks of {{ file }}.

import { log } from 'gatling:hooks/log@{{ version }}';
{%- for hook in hooks %}

// `throw new Error('why')` ends the deployment here.
export function {{ hook.camel }}(env) {
  log('info', `${env.project} ${env.version}: {{ hook.name }}`);
}
{%- endfor %}
