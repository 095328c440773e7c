"""The hooks of {{ file }}."""

import wit_world
from componentize_py_types import Err  # `raise Err("why")` ends the deployment
from wit_world.imports.log import Level, log
from wit_world.imports.types import Env


class WitWorld(wit_world.WitWorld):
{%- for hook in hooks %}
    {%- if not loop.first %}
{% endif %}
    def {{ hook.name }}(self, env: Env) -> None:
        log(Level.INFO, f"{env.project} {env.version}: {{ hook.name }}")
{%- endfor %}
