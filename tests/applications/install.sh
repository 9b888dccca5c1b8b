#!/usr/bin/env bash
# Installs the applications that tests/applications drives, into $REDLOOP_CLIENTS/applications (by default
# ~/.cache/redloop-clients/applications). What can't be had is named, and its test says that it is skipped. Sidekiq is Debian's
# package ruby-sidekiq, which .ci/run installs.
set -uo pipefail
applications=${REDLOOP_CLIENTS:-$HOME/.cache/redloop-clients}/applications
node_packages='bullmq@6.7.0 ioredis@5.11.1 redis@5.12.1 redlock@4.2.0 rate-limiter-flexible@11.4.0 connect-redis@10.0.0 express-session@1.19.0'
python_packages='redis==8.1.0 rq==3.0.0 celery[redis]==5.7.0 limits==5.8.0 python-redis-lock==4.0.1'
failed=0

installed() { # installed DIRECTORY PACKAGES: whether exactly these have been installed there
  [ "$(cat "$applications/$1/installed" 2>/dev/null)" = "$2" ]
}

complete() { # complete DIRECTORY PACKAGES FUNCTION: tries again if a registry doesn't answer; leaves nothing half installed
  if "$3" || { sleep 10 && "$3"; }; then echo "$2" >"$applications/$1/installed"; else rm -rf "${applications:?}/$1" && return 1; fi
}

node() {
  # shellcheck disable=SC2086
  mkdir -p "$applications/node" && npm install --silent --no-audit --no-fund --prefix "$applications/node" $node_packages
}

python() {
  # shellcheck disable=SC2086
  python3 -m venv "$applications/python" && "$applications/python/bin/pip" install --quiet $python_packages
}

installed node "$node_packages" || complete node "$node_packages" node >&2 \
  || { echo "BullMQ, redlock, rate-limiter-flexible, connect-redis"; failed=1; }
installed python "$python_packages" || complete python "$python_packages" python >&2 \
  || { echo "RQ, Celery, limits, python-redis-lock"; failed=1; }
exit $failed
