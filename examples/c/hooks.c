// The hooks of upgrade.wasm.

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "upgrade.h"

// A string of the contract as two arguments for "%.*s": it is not null-terminated.
#define TEXT(string) (int)(string).len, (const char *)(string).ptr

// As much of a line as is shown.
#define LINE 1024

// Writes a line to the log of the deployment.
__attribute__((format(printf, 2, 3)))
static void say(gatling_hooks_log_level_t level, const char *format, ...) {
  char line[LINE];
  va_list values;
  va_start(values, format);
  vsnprintf(line, sizeof line, format, values);
  va_end(values);

  upgrade_string_t message;
  upgrade_string_set(&message, line);
  gatling_hooks_log_log(level, &message);
}

#define info(...) say(GATLING_HOOKS_LOG_LEVEL_INFO, __VA_ARGS__)
#define warn(...) say(GATLING_HOOKS_LOG_LEVEL_WARN, __VA_ARGS__)

// Makes a hook's error. It is a copy: whoever called the hook frees it.
__attribute__((format(printf, 2, 3)))
static bool fail(upgrade_string_t *err, const char *format, ...) {
  char line[LINE];
  va_list values;
  va_start(values, format);
  vsnprintf(line, sizeof line, format, values);
  va_end(values);

  upgrade_string_dup(err, line);
  return false;
}

// The path of a file in the build dir.
static const char *in_build_dir(const upgrade_env_t *env, const char *name) {
  static char path[4096];
  snprintf(path, sizeof path, "%.*s/%s", TEXT(env->build_dir), name);
  return path;
}

// The names of a list, with commas between them.
static const char *joined(const upgrade_list_string_t *names) {
  static char text[LINE];
  size_t used = 0;
  text[0] = 0;
  for (size_t i = 0; i < names->len && used < sizeof text; i++)
    used += snprintf(text + used, sizeof text - used, "%s%.*s", i ? ", " : "", TEXT(names->ptr[i]));
  return text;
}

// The last line of a text, without its end.
static upgrade_string_t last_line(upgrade_string_t text) {
  while (text.len && text.ptr[text.len - 1] == '\n') text.len--;
  for (size_t i = text.len; i; i--)
    if (text.ptr[i - 1] == '\n') return (upgrade_string_t){text.ptr + i, text.len - i};
  return text;
}

// Tells whoever pushed what is about to be replaced by what.
bool exports_upgrade_before_mix_compile(upgrade_env_t *env, upgrade_string_t *err) {
  (void)err;
  upgrade_string_t previous;
  upgrade_string_set(&previous, "nothing");
  if (env->previous_version.is_some) previous = env->previous_version.val;
  upgrade_string_t commit = env->commit;
  if (commit.len > 7) commit.len = 7;

  info("%.*s %.*s -> %.*s (%.*s %.*s)", TEXT(env->project), TEXT(previous), TEXT(env->version), TEXT(env->branch),
       TEXT(commit));
  info("served at %s", joined(&env->domains));
  upgrade_env_free(env);
  return true;
}

// Builds the assets, which the step then digests. Without the grant to do so, those of the
// repository have to do.
bool exports_upgrade_before_mix_digest(upgrade_env_t *env, upgrade_string_t *err) {
  upgrade_string_t program, script;
  upgrade_string_set(&program, "sh");
  upgrade_string_set(&script, "script/build_assets.sh");
  upgrade_list_string_t args = {&script, 1};
  upgrade_tuple2_string_string_t variables[2] = {{.f1 = env->version}, {.f1 = env->commit}};
  upgrade_string_set(&variables[0].f0, "VERSION");
  upgrade_string_set(&variables[1].f0, "COMMIT");
  gatling_hooks_process_options_t options = {.env = {variables, 2}};
  gatling_hooks_process_output_t output;
  gatling_hooks_process_error_t error;

  bool ran = gatling_hooks_process_run(&program, &args, &options, &output, &error);
  upgrade_env_free(env);
  bool well = true;
  if (ran) {
    if (output.status == 0) {
      upgrade_string_t line = last_line(output.output);
      info("assets: %.*s", TEXT(line));
    } else {
      well = fail(err, "building the assets: sh ended with status %d", output.status);
    }
    gatling_hooks_process_output_free(&output);
  } else {
    // Each of its cases carries a text, in the same place.
    if (error.tag == GATLING_HOOKS_PROCESS_ERROR_DENIED)
      warn("the assets are not built: %.*s", TEXT(error.val.denied));
    else
      well = fail(err, "building the assets: %.*s", TEXT(error.val.failed));
    gatling_hooks_process_error_free(&error);
  }
  return well;
}

// Says what is new, in the words of the first line of the project's file CHANGES.
bool exports_upgrade_after_mix_release(upgrade_env_t *env, upgrade_string_t *err) {
  FILE *file = fopen(in_build_dir(env, "CHANGES"), "r");
  int reason = errno;
  upgrade_env_free(env);
  if (!file) {
    if (reason != ENOENT) return fail(err, "cannot read CHANGES: %s", strerror(reason));
    info("there is no file CHANGES");
    return true;
  }
  char line[LINE] = "";
  if (fgets(line, sizeof line, file)) line[strcspn(line, "\n")] = 0;
  fclose(file);
  info("changes: %s", line);
  return true;
}

// Fails on demand. The version that is serving goes on serving.
bool exports_upgrade_before_upgrade_service(upgrade_env_t *env, upgrade_string_t *err) {
  bool told = access(in_build_dir(env, "FAIL"), F_OK) == 0;
  upgrade_env_free(env);
  return told ? fail(err, "told to fail") : true;
}

// Tells the team what failed, and what visitors get now.
bool exports_upgrade_on_failure(upgrade_env_t *env, upgrade_failure_t *failure, upgrade_string_t *err) {
  (void)err;
  upgrade_string_t place, serving;
  upgrade_string_set(&place, "the checks");
  upgrade_string_set(&serving, "nothing");
  if (failure->step.is_some) place = failure->step.val;
  if (failure->hook.is_some) place = failure->hook.val;
  if (failure->serving.is_some) serving = failure->serving.val;

  info("told #ops: %.*s %.*s failed at %.*s", TEXT(env->project), TEXT(env->version), TEXT(place));
  info("%s, serving now: %.*s", failure->traffic_moved ? "it had taken over" : "it had not taken over", TEXT(serving));
  upgrade_env_free(env);
  upgrade_failure_free(failure);
  return true;
}
