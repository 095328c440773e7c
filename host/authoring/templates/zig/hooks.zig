//! The hooks of {{ file }}.

const std = @import("std");
const gatling = @import("bindings/{{ pipeline }}.zig");

const Env = gatling.{{ pipeline }}_env_t;
{%- if uses_failure %}
const Failure = gatling.{{ pipeline }}_failure_t;
{%- endif %}
const String = gatling.{{ pipeline }}_string_t;

fn text(string: String) []const u8 {
    return string.ptr[0..string.len];
}

/// Writes a line to the log of the deployment.
fn info(comptime format: []const u8, values: anytype) void {
    var buffer: [1024]u8 = undefined;
    const line = std.fmt.bufPrint(&buffer, format, values) catch "(this line is too long)";
    var message = String{ .ptr = @constCast(line.ptr), .len = line.len };
    gatling.gatling_hooks_log_log(gatling.GATLING_HOOKS_LOG_LEVEL_INFO, &message);
}
{%- for hook in hooks %}
{%- if hook.is_for_failure %}

/// Called when the run has failed. Its result does not change that.
export fn exports_{{ pipeline }}_{{ hook.name }}(env: *Env, failure: *Failure, err: *String) bool {
    defer gatling.{{ pipeline }}_env_free(env);
    defer gatling.{{ pipeline }}_failure_free(failure);
    _ = err;
    info("{s} {s}: {{ hook.name }}, because of {s}", .{ text(env.project), text(env.version), text(failure.message) });
    return true;
}
{%- else %}

/// To end the deployment here, call `gatling.{{ pipeline }}_string_dup(err, "why")` and return false.
export fn exports_{{ pipeline }}_{{ hook.name }}(env: *Env, err: *String) bool {
    defer gatling.{{ pipeline }}_env_free(env);
    _ = err;
    info("{s} {s}: {{ hook.name }}", .{ text(env.project), text(env.version) });
    return true;
}
{%- endif %}
{%- endfor %}
