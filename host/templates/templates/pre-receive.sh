#!/bin/sh
# {{ marker }}
# git runs this during a push, before it updates any ref. If this fails, git refuses the push. Standard input has a line
# "OLD NEW REF" for each ref.

# A git that was killed leaves its locks, and no push gets past them. They are removed if no process works in this
# repository except this hook and the git that called it; otherwise if they are old, for git holds them only a moment.
repository=$(cd .. && pwd -P)
others=$(cd / && find /proc/[0-9]*/cwd -maxdepth 0 \( -lname "$repository" -o -lname "$repository/*" \) \
  ! -path "/proc/$$/*" ! -path "/proc/$PPID/*" 2>/dev/null)
find . -path ./objects -prune -o -name '*.lock' ! -name index.lock ${others:+-mmin +1} -exec rm -f {} +
{% if strict -%}
# git sets these to the repository of the push. Without this line, git commands that mix runs would use it too.
quarantine=$GIT_QUARANTINE_PATH
unset GIT_DIR GIT_WORK_TREE GIT_INDEX_FILE GIT_QUARANTINE_PATH GIT_OBJECT_DIRECTORY GIT_ALTERNATE_OBJECT_DIRECTORIES
{%- for name, value in roots %}
export {{ name }}={{ value | sh }}
{%- endfor %}
gatling={{ gatling | sh }}
[ -x "$gatling" ] || gatling=gatling
exec "$gatling" receive --strict --quarantine "$quarantine" {{ project | sh }}
{%- else -%}
exit 0
{%- endif %}
