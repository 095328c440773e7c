#!/bin/sh
# {{ marker }}
# git runs this after a push. The arguments are the pushed refs.

# git sets these to the repository of the push. Without this line, git commands that mix runs would use it too.
unset GIT_DIR GIT_WORK_TREE GIT_INDEX_FILE GIT_QUARANTINE_PATH
{%- for name, value in roots %}
export {{ name }}={{ value | sh }}
{%- endfor %}
gatling={{ gatling | sh }}
[ -x "$gatling" ] || gatling=gatling
exec "$gatling" receive {{ project | sh }} "$@"
