#!/usr/bin/env bash
# Installs the client libraries that tests/clients drives, and playwright-core for tests/browser, into $REDLOOP_CLIENTS (by default
# ~/.cache/redloop-clients). What can't be had is named, and its test says that it is skipped.
set -uo pipefail
clients=${REDLOOP_CLIENTS:-$HOME/.cache/redloop-clients}
failed=0

python() {
  "$clients/python/bin/python" -c 'import redis, prometheus_client, valkey, glide_sync' 2>/dev/null && return
  python3 -m venv "$clients/python" && "$clients/python/bin/pip" install --quiet 'redis==8.1.0' 'prometheus_client' 'valkey==6.2.0' 'valkey-glide-sync==2.6.0'
}

node() {
  [ -d "$clients/node/node_modules/ioredis" ] && [ -d "$clients/node/node_modules/iovalkey" ] && [ -d "$clients/node/node_modules/redis" ] \
    && [ -d "$clients/node/node_modules/playwright-core" ] && return
  mkdir -p "$clients/node" && npm install --silent --no-audit --no-fund --prefix "$clients/node" ioredis@5 iovalkey@0.4 redis@5 playwright-core@1
}

# Debian's packages, for all users.
ruby() {
  command ruby -e 'require "redis"' 2>/dev/null && return
  apt-get install -y -qq ruby-redis >/dev/null
}

php() {
  command php -r 'require "Predis/Autoloader.php";' 2>/dev/null && return
  apt-get install -y -qq --no-install-recommends php-cli php-predis >/dev/null
}

# The program itself: cargo knows whether it is up to date.
rust() {
  cargo build --quiet --locked --manifest-path "$(dirname "$0")/rust/Cargo.toml" --target-dir "$clients/rust"
}

python >&2 || { echo "redis-py, valkey-py, valkey-glide, prometheus_client"; failed=1; }
node >&2 || { echo "ioredis, iovalkey, node-redis, playwright-core"; failed=1; }
ruby >&2 || { echo "redis-rb"; failed=1; }
php >&2 || { echo "Predis"; failed=1; }
rust >&2 || { echo "redis-rs"; failed=1; }
exit $failed
