// The hooks of {{ file }}.

#include <stdarg.h>
#include <stdio.h>

#include "{{ pipeline }}.h"

// A string of the contract as two arguments for "%.*s": it is not null-terminated.
#define TEXT(string) (int)(string).len, (const char *)(string).ptr

// Writes a line to the log of the deployment.
__attribute__((format(printf, 1, 2)))
static void info(const char *format, ...) {
  char line[1024];
  va_list values;
  va_start(values, format);
  vsnprintf(line, sizeof line, format, values);
  va_end(values);

  {{ pipeline }}_string_t message;
  {{ pipeline }}_string_set(&message, line);
  gatling_hooks_log_log(GATLING_HOOKS_LOG_LEVEL_INFO, &message);
}
{%- for hook in hooks %}
{%- if hook.is_for_failure %}

// Called when the run has failed. Its result does not change that.
bool exports_{{ pipeline }}_{{ hook.name }}({{ pipeline }}_env_t *env, {{ pipeline }}_failure_t *failure, {{ pipeline }}_string_t *err) {
  (void)err;
  info("%.*s %.*s: {{ hook.name }}, because of %.*s", TEXT(env->project), TEXT(env->version), TEXT(failure->message));
  {{ pipeline }}_env_free(env);
  {{ pipeline }}_failure_free(failure);
  return true;
}
{%- else %}

// To end the deployment here, call {{ pipeline }}_string_dup(err, "why") and return false.
bool exports_{{ pipeline }}_{{ hook.name }}({{ pipeline }}_env_t *env, {{ pipeline }}_string_t *err) {
  (void)err;
  info("%.*s %.*s: {{ hook.name }}", TEXT(env->project), TEXT(env->version));
  {{ pipeline }}_env_free(env);
  return true;
}
{%- endif %}
{%- endfor %}
