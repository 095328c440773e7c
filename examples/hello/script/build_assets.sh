#!/bin/sh
# Writes assets/build.txt, which the app then serves at /assets/build.txt: stands for whatever
# builds the assets of a bigger app. VERSION and COMMIT come from the hook that runs it.
set -eu

built=$(date -u +'%Y-%m-%d %H:%M:%S')
printf 'version %s\ncommit %s\nbuilt %s UTC\n' "$VERSION" "$COMMIT" "$built" >assets/build.txt
echo "wrote assets/build.txt"
