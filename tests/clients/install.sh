#!/usr/bin/env bash
# Installs the client libraries that tests/clients drives, and playwright-core for tests/browser, into $REDLOOP_CLIENTS (by default
# ~/.cache/redloop-clients). What can't be had is named, and its test says that it is skipped.
set -uo pipefail
clients=${REDLOOP_CLIENTS:-$HOME/.cache/redloop-clients}
node_packages='ioredis@5.11.1 iovalkey@0.4.0 redis@5.12.1 playwright-core@1.65.1'
python_packages='redis==8.1.0 prometheus_client==0.26.0 valkey==6.2.0 valkey-glide-sync==2.6.0'
failed=0

installed() { # installed DIRECTORY PACKAGES: whether exactly these have been installed there
  [ "$(cat "$clients/$1/installed" 2>/dev/null)" = "$2" ]
}

complete() { # complete DIRECTORY PACKAGES FUNCTION: tries again if a registry doesn't answer; leaves nothing half installed
  if "$3" || { sleep 10 && "$3"; }; then echo "$2" >"$clients/$1/installed"; else rm -rf "${clients:?}/$1" && return 1; fi
}

node() {
  # shellcheck disable=SC2086
  mkdir -p "$clients/node" && npm install --silent --no-audit --no-fund --prefix "$clients/node" $node_packages
}

python() {
  # shellcheck disable=SC2086
  python3 -m venv "$clients/python" && "$clients/python/bin/pip" install --quiet $python_packages
}

debian() { # debian PACKAGE…: for all users
  apt-get install -y -qq --no-install-recommends "$@" >/dev/null 2>&1 \
    || { apt-get update -qq && apt-get install -y -qq --no-install-recommends "$@" >/dev/null; }
}

ruby() {
  command ruby -e 'require "redis"' 2>/dev/null || debian ruby-redis
}

php() {
  command php -r 'require "Predis/Autoloader.php";' 2>/dev/null || debian php-cli php-predis
}

# The program itself: cargo knows whether it is up to date.
rust() {
  cargo build --quiet --locked --manifest-path "$(dirname "$0")/rust/Cargo.toml" --target-dir "$clients/rust"
}

installed python "$python_packages" || complete python "$python_packages" python >&2 \
  || { echo "redis-py, valkey-py, valkey-glide, prometheus_client"; failed=1; }
installed node "$node_packages" || complete node "$node_packages" node >&2 \
  || { echo "ioredis, iovalkey, node-redis, playwright-core"; failed=1; }
ruby >&2 || { echo "redis-rb"; failed=1; }
php >&2 || { echo "Predis"; failed=1; }
rust >&2 || { echo "redis-rs"; failed=1; }
exit $failed
