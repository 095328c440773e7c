#!/bin/sh
# {{ marker }}
# git runs this after a push, with the refs that were pushed.

# git points these at the repository that was pushed to; git commands inside mix would follow them.
unset GIT_DIR GIT_WORK_TREE GIT_INDEX_FILE GIT_QUARANTINE_PATH
{%- for name, value in roots %}
export {{ name }}={{ value | sh }}
{%- endfor %}
gatling={{ gatling | sh }}
[ -x "$gatling" ] || gatling=gatling
exec "$gatling" receive {{ project | sh }} "$@"
