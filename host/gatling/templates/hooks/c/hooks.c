// The hooks of {{ file }}.

#include <stdarg.h>
#include <stdio.h>

#include "{{ task }}.h"

// A string of the contract as two values for "%.*s": it does not end with a zero.
#define TEXT(string) (int)(string).len, (const char *)(string).ptr

// Writes a line to the log of the deployment.
__attribute__((format(printf, 1, 2)))
static void info(const char *format, ...) {
  char line[1024];
  va_list values;
  va_start(values, format);
  vsnprintf(line, sizeof line, format, values);
  va_end(values);

  {{ task }}_string_t message;
  {{ task }}_string_set(&message, line);
  gatling_hooks_log_log(GATLING_HOOKS_LOG_LEVEL_INFO, &message);
}
{%- for hook in hooks %}
{%- if hook.is_for_failure %}

// Called when the run has failed. What it returns changes nothing about that.
bool exports_{{ task }}_{{ hook.name }}({{ task }}_env_t *env, {{ task }}_failure_t *failure, {{ task }}_string_t *err) {
  (void)err;
  info("%.*s %.*s: {{ hook.name }}, because of %.*s", TEXT(env->project), TEXT(env->version), TEXT(failure->message));
  {{ task }}_env_free(env);
  {{ task }}_failure_free(failure);
  return true;
}
{%- else %}

// To end the deployment here: {{ task }}_string_dup(err, "why"), and return false.
bool exports_{{ task }}_{{ hook.name }}({{ task }}_env_t *env, {{ task }}_string_t *err) {
  (void)err;
  info("%.*s %.*s: {{ hook.name }}", TEXT(env->project), TEXT(env->version));
  {{ task }}_env_free(env);
  return true;
}
{%- endif %}
{%- endfor %}
