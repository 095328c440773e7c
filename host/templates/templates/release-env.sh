
# Added by gatling: the environment that this release was deployed with, for each of its commands.
if [ -r "$RELEASE_ROOT/../.env" ]; then
  set -a
  . "$RELEASE_ROOT/../.env"
  set +a
fi
