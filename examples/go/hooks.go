// Package hooks holds the hooks of upgrade.wasm.
package hooks

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	failures "hooks/bindings/gatling_hooks_failures"
	log "hooks/bindings/gatling_hooks_log"
	process "hooks/bindings/gatling_hooks_process"
	types "hooks/bindings/gatling_hooks_types"

	wit "go.bytecodealliance.org/pkg/wit/types"
)

func info(format string, values ...any) {
	log.Log(log.LevelInfo, fmt.Sprintf(format, values...))
}

// BeforeMixCompile tells whoever pushed what is about to be replaced by what.
func BeforeMixCompile(env types.Env) error {
	previous := env.PreviousVersion.SomeOr("nothing")
	commit := env.Commit[:min(7, len(env.Commit))]
	info("%s %s -> %s (%s %s)", env.Project, previous, env.Version, env.Branch, commit)
	info("served at %s", strings.Join(env.Domains, ", "))
	return nil
}

// BeforeMixDigest builds the assets, which the step then digests. Without the grant to do so,
// those of the repository have to do.
func BeforeMixDigest(env types.Env) error {
	result := process.Run("sh", []string{"script/build_assets.sh"}, process.Options{
		Cd:  wit.None[string](),
		Env: []wit.Tuple2[string, string]{{F0: "VERSION", F1: env.Version}, {F0: "COMMIT", F1: env.Commit}},
	})
	if result.IsErr() {
		why := result.Err()
		if why.Tag() == process.ErrorDenied {
			log.Log(log.LevelWarn, "the assets are not built: "+why.Denied())
			return nil
		}
		return fmt.Errorf("building the assets: %s", message(why))
	}
	output := result.Ok()
	if output.Status != 0 {
		return fmt.Errorf("building the assets: sh ended with status %d", output.Status)
	}
	lines := strings.Split(strings.TrimSpace(output.Output), "\n")
	info("assets: %s", lines[len(lines)-1])
	return nil
}

// AfterMixRelease says what is new, in the words of the first line of the project's file CHANGES.
func AfterMixRelease(env types.Env) error {
	changes, err := os.Open(filepath.Join(env.BuildDir, "CHANGES"))
	if errors.Is(err, fs.ErrNotExist) {
		info("there is no file CHANGES")
		return nil
	}
	if err != nil {
		return fmt.Errorf("cannot read CHANGES: %w", err)
	}
	defer changes.Close()
	lines := bufio.NewScanner(changes)
	lines.Scan()
	info("changes: %s", lines.Text())
	return lines.Err()
}

// BeforeUpgradeService fails on demand. The version that is serving goes on serving.
func BeforeUpgradeService(env types.Env) error {
	if _, err := os.Stat(filepath.Join(env.BuildDir, "FAIL")); err == nil {
		return errors.New("told to fail")
	}
	return nil
}

// OnFailure tells the team what failed, and what visitors get now.
func OnFailure(env types.Env, failure failures.Failure) error {
	place := failure.Hook.SomeOr(failure.Step.SomeOr("the checks"))
	info("told #ops: %s %s failed at %s", env.Project, env.Version, place)
	moved := "it had not taken over"
	if failure.TrafficMoved {
		moved = "it had taken over"
	}
	info("%s, serving now: %s", moved, failure.Serving.SomeOr("nothing"))
	return nil
}

// message is the text of an error, whose cases all carry one.
func message(why process.Error) string {
	switch why.Tag() {
	case process.ErrorDenied:
		return why.Denied()
	case process.ErrorNotFound:
		return why.NotFound()
	case process.ErrorTimedOut:
		return why.TimedOut()
	default:
		return why.Failed()
	}
}
