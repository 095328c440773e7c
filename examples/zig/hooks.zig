//! The hooks of upgrade.wasm.

const std = @import("std");
const gatling = @import("bindings/upgrade.zig");

const Env = gatling.upgrade_env_t;
const Failure = gatling.upgrade_failure_t;
const String = gatling.upgrade_string_t;

/// As much of a line as is shown.
const Line = [1024]u8;

fn text(string: String) []const u8 {
    return string.ptr[0..string.len];
}

fn borrowed(bytes: []const u8) String {
    return .{ .ptr = @constCast(bytes.ptr), .len = bytes.len };
}

fn print(line: *Line, comptime format: []const u8, values: anytype) []const u8 {
    return std.fmt.bufPrint(line, format, values) catch "(a line that is too long)";
}

fn log(level: u8, comptime format: []const u8, values: anytype) void {
    var line: Line = undefined;
    var message = borrowed(print(&line, format, values));
    gatling.gatling_hooks_log_log(level, &message);
}

fn info(comptime format: []const u8, values: anytype) void {
    log(gatling.GATLING_HOOKS_LOG_LEVEL_INFO, format, values);
}

/// Makes a hook's error. It is a copy: whoever called the hook frees it.
fn fail(err: *String, comptime format: []const u8, values: anytype) bool {
    var line: Line = undefined;
    const message = print(&line, format, values);
    gatling.upgrade_string_dup_n(err, message.ptr, message.len);
    return false;
}

/// Tells whoever pushed what is about to be replaced by what.
export fn exports_upgrade_before_mix_compile(env: *Env, err: *String) bool {
    defer gatling.upgrade_env_free(env);
    _ = err;
    const previous = if (env.previous_version.is_some) text(env.previous_version.val) else "nothing";
    const commit = text(env.commit)[0..@min(7, env.commit.len)];
    info("{s} {s} -> {s} ({s} {s})", .{ text(env.project), previous, text(env.version), text(env.branch), commit });

    var domains: Line = undefined;
    var used: usize = 0;
    for (env.domains.ptr[0..env.domains.len], 0..) |domain, i| {
        const part = std.fmt.bufPrint(domains[used..], "{s}{s}", .{ if (i == 0) "" else ", ", text(domain) }) catch break;
        used += part.len;
    }
    info("served at {s}", .{domains[0..used]});
    return true;
}

/// Builds the assets, which the step then digests. Without the grant to do so, those of the
/// repository have to do.
export fn exports_upgrade_before_mix_digest(env: *Env, err: *String) bool {
    defer gatling.upgrade_env_free(env);
    var program = borrowed("sh");
    var script = borrowed("script/build_assets.sh");
    var args = gatling.upgrade_list_string_t{ .ptr = &script, .len = 1 };
    var variables = [_]gatling.upgrade_tuple2_string_string_t{
        .{ .f0 = borrowed("VERSION"), .f1 = env.version },
        .{ .f0 = borrowed("COMMIT"), .f1 = env.commit },
    };
    var options = gatling.gatling_hooks_process_options_t{
        .cd = .{ .is_some = false },
        .env = .{ .ptr = &variables, .len = variables.len },
    };
    var output: gatling.gatling_hooks_process_output_t = undefined;
    var why: gatling.gatling_hooks_process_error_t = undefined;
    if (!gatling.gatling_hooks_process_run(&program, &args, &options, &output, &why)) {
        defer gatling.gatling_hooks_process_error_free(&why);
        // Each of its cases carries a text, in the same place.
        const message = text(why.val.denied);
        if (why.tag != gatling.GATLING_HOOKS_PROCESS_ERROR_DENIED) return fail(err, "building the assets: {s}", .{message});
        log(gatling.GATLING_HOOKS_LOG_LEVEL_WARN, "the assets are not built: {s}", .{message});
        return true;
    }
    defer gatling.gatling_hooks_process_output_free(&output);
    if (output.status != 0) return fail(err, "building the assets: sh ended with status {d}", .{output.status});
    var lines = std.mem.splitBackwardsScalar(u8, std.mem.trimEnd(u8, text(output.output), "\n"), '\n');
    info("assets: {s}", .{lines.first()});
    return true;
}

/// Opens a file of the build dir, with libc: it finds the folder that was granted by its absolute
/// path, which std doesn't.
fn open(env: *const Env, name: []const u8) ?*std.c.FILE {
    var buffer: [4096]u8 = undefined;
    const path = std.fmt.bufPrintSentinel(&buffer, "{s}/{s}", .{ text(env.build_dir), name }, 0) catch return null;
    return std.c.fopen(path, "r");
}

/// Says what is new, in the words of the first line of the project's file CHANGES.
export fn exports_upgrade_after_mix_release(env: *Env, err: *String) bool {
    defer gatling.upgrade_env_free(env);
    const file = open(env, "CHANGES") orelse {
        const why = std.c.errno(@as(c_int, -1));
        if (why != .NOENT) return fail(err, "cannot read CHANGES: {t}", .{why});
        info("there is no file CHANGES", .{});
        return true;
    };
    defer _ = std.c.fclose(file);
    var start: Line = undefined;
    const read = start[0..std.c.fread(&start, 1, start.len, file)];
    info("changes: {s}", .{std.mem.sliceTo(read, '\n')});
    return true;
}

/// Fails on demand. The version that is serving goes on serving.
export fn exports_upgrade_before_upgrade_service(env: *Env, err: *String) bool {
    defer gatling.upgrade_env_free(env);
    const file = open(env, "FAIL") orelse return true;
    _ = std.c.fclose(file);
    return fail(err, "told to fail", .{});
}

/// Tells the team what failed, and what visitors get now.
export fn exports_upgrade_on_failure(env: *Env, failure: *Failure, err: *String) bool {
    defer gatling.upgrade_env_free(env);
    defer gatling.upgrade_failure_free(failure);
    _ = err;
    const step = if (failure.step.is_some) text(failure.step.val) else "the checks";
    const place = if (failure.hook.is_some) text(failure.hook.val) else step;
    info("told #ops: {s} {s} failed at {s}", .{ text(env.project), text(env.version), place });
    const moved = if (failure.traffic_moved) "it had taken over" else "it had not taken over";
    const serving = if (failure.serving.is_some) text(failure.serving.val) else "nothing";
    info("{s}, serving now: {s}", .{ moved, serving });
    return true;
}
