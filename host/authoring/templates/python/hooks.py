"""The hooks of {{ file }}."""

import wit_world
from componentize_py_types import Err  # `raise Err("why")` ends the deployment
{%- if uses_failure %}
from wit_world.imports.failures import Failure
{%- endif %}
from wit_world.imports.log import Level, log
from wit_world.imports.types import Env


class WitWorld(wit_world.WitWorld):
{%- for hook in hooks %}
    {%- if not loop.first %}
{% endif %}
{%- if hook.is_for_failure %}
    def {{ hook.name }}(self, env: Env, failure: Failure) -> None:
        """Called when the run has failed. Raising an exception does not change that."""
        log(Level.INFO, f"{env.project} {env.version}: {{ hook.name }}, because of {failure.message}")
{%- else %}
    def {{ hook.name }}(self, env: Env) -> None:
        log(Level.INFO, f"{env.project} {env.version}: {{ hook.name }}")
{%- endif %}
{%- endfor %}
