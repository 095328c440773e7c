
# Added by gatling: every command of this release gets the environment that it was deployed with.
if [ -r "$RELEASE_ROOT/../.env" ]; then
  set -a
  . "$RELEASE_ROOT/../.env"
  set +a
fi
