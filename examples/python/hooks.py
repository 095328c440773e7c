"""The hooks of upgrade.wasm."""

from pathlib import Path

import wit_world
from componentize_py_types import Err
from wit_world.imports import process
from wit_world.imports.failures import Failure
from wit_world.imports.log import Level, log
from wit_world.imports.types import Env


class WitWorld(wit_world.WitWorld):
    def before_mix_compile(self, env: Env) -> None:
        """Tells whoever pushed what is about to be replaced by what."""
        previous = env.previous_version or "nothing"
        log(Level.INFO, f"{env.project} {previous} -> {env.version} ({env.branch} {env.commit[:7]})")
        log(Level.INFO, f"served at {', '.join(env.domains)}")

    def before_mix_digest(self, env: Env) -> None:
        """Builds the assets, which the step then digests. Without the grant to do so, those of the
        repository have to do."""
        options = process.Options(cd=None, env=[("VERSION", env.version), ("COMMIT", env.commit)])
        try:
            output = process.run("sh", ["script/build_assets.sh"], options)
        except Err as error:
            match error.value:
                case process.Error_Denied(why):
                    log(Level.WARN, f"the assets are not built: {why}")
                    return
                case other:
                    raise Err(f"building the assets: {other.value}")
        if output.status != 0:
            raise Err(f"building the assets: sh ended with status {output.status}")
        log(Level.INFO, f"assets: {output.output.splitlines()[-1]}")

    def after_mix_release(self, env: Env) -> None:
        """Says what is new, in the words of the first line of the project's file CHANGES."""
        try:
            with open(Path(env.build_dir) / "CHANGES") as changes:
                log(Level.INFO, f"changes: {changes.readline().rstrip()}")
        except FileNotFoundError:
            log(Level.INFO, "there is no file CHANGES")
        except OSError as error:
            raise Err(f"cannot read CHANGES: {error}")

    def before_upgrade_service(self, env: Env) -> None:
        """Fails on demand. The version that is serving goes on serving."""
        if (Path(env.build_dir) / "FAIL").exists():
            raise Err("told to fail")

    def on_failure(self, env: Env, failure: Failure) -> None:
        """Tells the team what failed, and what visitors get now."""
        place = failure.hook or failure.step or "the checks"
        log(Level.INFO, f"told #ops: {env.project} {env.version} failed at {place}")
        moved = "it had taken over" if failure.traffic_moved else "it had not taken over"
        log(Level.INFO, f"{moved}, serving now: {failure.serving or 'nothing'}")
