# The steps of an upgrade, as somebody would write them down who has no Gatling.
set -euo pipefail

build_dir=$PWD
site=$BENCH_DIR/nginx-site
set -a
. "$DEPLOY_DIR/.env"
MIX_ENV=prod
set +a

# Whoever writes this knows what their mix.exs looks like.
version=$(sed -n 's/^ *@version "\(.*\)"$/\1/p' mix.exs)
release=$version number=1
while [ -e "$DEPLOY_DIR/releases/$release" ]; do
  number=$((number + 1))
  release=$version+$number
done

mix deps.get --only prod
mix compile
mix assets.deploy
mix release --overwrite --quiet

new=$DEPLOY_DIR/releases/$release
mkdir "$new"
cp "$DEPLOY_DIR/current/service.env" "$new/service.env"
cp -a --reflink=auto "$build_dir/_build/prod/rel/hello" "$new/hello.partial"
mv -T "$new/hello.partial" "$new/hello"

(cd / && env -i LANG="${LANG-}" PATH="$PATH" TERM="${TERM-}" "$INIT_SCRIPT" upgrade "$release")
[ "$(readlink "$DEPLOY_DIR/current")" = "releases/$release" ]
: <"/dev/tcp/127.0.0.1/$PORT"

available=$NGINX_DIR/sites-available/hello
if ! cmp -s "$site" "$available"; then
  install -D -m 644 "$site" "$available"
  ln -sfn "$available" "$NGINX_DIR/sites-enabled/hello"
  nginx -c "$NGINX_DIR/nginx.conf" -t
  nginx -c "$NGINX_DIR/nginx.conf" -s reload
fi
echo "hello $release is serving"
