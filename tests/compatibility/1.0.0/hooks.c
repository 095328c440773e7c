// Hooks that use everything of the contract 1.0.0 that C can reach. hooks.js says the same things.

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "upgrade.h"

#define LINE 1024

static upgrade_string_t text(const char *s) {
  upgrade_string_t text;
  upgrade_string_set(&text, s);
  return text;
}

static void say(gatling_hooks_log_level_t level, const char *line) {
  upgrade_string_t message = text(line);
  gatling_hooks_log_log(level, &message);
}

#define SAY(...)                                     \
  do {                                               \
    char line[LINE];                                 \
    snprintf(line, LINE, __VA_ARGS__);               \
    say(GATLING_HOOKS_LOG_LEVEL_INFO, line);         \
  } while (0)

#define TEXT(s) (int)(s).len, (const char *)(s).ptr
#define OPTION(o) (int)((o).is_some ? (o).val.len : 4), (o).is_some ? (const char *)(o).val.ptr : "none"

static void say_env(const upgrade_env_t *env) {
  SAY("project %.*s, version %.*s, task %.*s, branch %.*s, strategy %.*s", TEXT(env->project), TEXT(env->version),
      TEXT(env->task), TEXT(env->branch), TEXT(env->strategy));
  SAY("previous version %.*s, deploy hooks %.*s", OPTION(env->previous_version), OPTION(env->deploy_callback_module));
  char domains[LINE] = "";
  for (size_t i = 0; i < env->domains.len; i++) {
    size_t used = strlen(domains);
    snprintf(domains + used, LINE - used, " %.*s", TEXT(env->domains.ptr[i]));
  }
  SAY("domains%s", domains);
  SAY("build dir %.*s", TEXT(env->build_dir));
  SAY("a port: %s, a commit of %zu digits", env->available_port > 0 ? "yes" : "no", env->commit.len);
}

static void say_deployment(void) {
  upgrade_string_t run, step;
  gatling_hooks_deployment_run_id(&run);
  gatling_hooks_deployment_step(&step);
  const char *phase = gatling_hooks_deployment_phase() == GATLING_HOOKS_DEPLOYMENT_HOOK_PHASE_BEFORE ? "before" : "after";
  SAY("%s %.*s, attempt %" PRIu32, phase, TEXT(step), gatling_hooks_deployment_attempt());
  SAY("run %.*s", TEXT(run));
  SAY("started at %" PRIu64, gatling_hooks_deployment_started_at());
  gatling_hooks_deployment_failure_t failure;
  SAY("failed: %s", gatling_hooks_deployment_failed(&failure) ? "something" : "nothing");
}

static void run(const char *program, const char *script) {
  upgrade_string_t name = text(program);
  upgrade_string_t arguments[] = {text("-c"), text(script)};
  upgrade_list_string_t args = {arguments, 2};
  upgrade_tuple2_string_string_t variables[] = {{text("WHO"), text("a hook")}};
  gatling_hooks_process_options_t options = {{true, text("lib")}, {variables, 1}};
  gatling_hooks_process_output_t output;
  gatling_hooks_process_error_t error;
  if (gatling_hooks_process_run(&name, &args, &options, &output, &error)) {
    SAY("status %" PRId32 ", output %.*s", output.status, TEXT(output.output));
  } else {
    const char *why[] = {"denied", "not found", "timed out", "failed"};
    SAY("%s: %.*s", why[error.tag], TEXT(error.val.denied));
  }
}

bool exports_upgrade_before_mix_deps_get(upgrade_env_t *env, upgrade_string_t *err) {
  say(GATLING_HOOKS_LOG_LEVEL_DEBUG, "a line to debug with");
  say(GATLING_HOOKS_LOG_LEVEL_INFO, "a line\nand another");
  say(GATLING_HOOKS_LOG_LEVEL_WARN, "a warning");
  say(GATLING_HOOKS_LOG_LEVEL_ERROR, "an error");
  say_env(env);
  say_deployment();
  run("sh", "printf 'from %s in %s' \"$WHO\" \"${PWD##*/}\"; exit 3");
  run("no-such-program", "");
  run("cat", "");
  return true;
}

bool exports_upgrade_before_mix_compile(upgrade_env_t *env, upgrade_string_t *err) {
  if (env->version.len >= 8 && memcmp(env->version.ptr + env->version.len - 8, "-refused", 8) == 0) {
    upgrade_string_dup(err, "this version is refused");
    return false;
  }
  return true;
}

void exports_upgrade_after_configure_nginx(upgrade_env_t *env) {
  upgrade_string_t step;
  gatling_hooks_deployment_step(&step);
  const char *phase = gatling_hooks_deployment_phase() == GATLING_HOOKS_DEPLOYMENT_HOOK_PHASE_AFTER ? "after" : "before";
  SAY("%s %.*s", phase, TEXT(step));
}
