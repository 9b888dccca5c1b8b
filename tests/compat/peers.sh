#!/usr/bin/env bash
# Builds the peers from Debian's source packages (so it needs Debian, and apt), that every comparison may run
# against the strongest opponent and not against an old one.
#
#   tests/compat/peers.sh                            builds what is missing, prints where each lies and its version
#   PEERS_WANTED=redis-8.6 tests/compat/peers.sh     only that
#
# Result: $PEERS/redis-8.6/src/redis-server      Redis 8.6, which is followed (Debian's experimental)
#         $PEERS/redis/src/redis-server          Redis 8.0, whose suite has tests that 8.6 no longer has (sid)
#         $PEERS/valkey/src/{valkey-server,valkey-benchmark,valkey-cli}      Valkey 9.1 (sid)
# (PEERS defaults to ~/.cache/peers.) All trees keep their Tcl suites under tests/. Takes about eight minutes once.
# When a suite of Debian's has moved on to another minor version, that peer isn't built: what compares expects these.
set -euo pipefail

PEERS=${PEERS:-$HOME/.cache/peers}
mkdir -p "$PEERS/src"
install() { apt-get install -y -qq "$@" >/dev/null 2>&1 || { apt-get update -qq && apt-get install -y -qq "$@" >/dev/null; }; }

options_for() { # options_for SUITE: has apt read that suite's sources, and leaves the machine's own set-up alone
  local apt=$PEERS/apt-$1
  mkdir -p "$apt/parts" "$apt/lists/partial" "$apt/cache/archives/partial"
  [ -s "$apt/parts/$1.sources" ] \
    || sed -e 's/^Types:.*/Types: deb-src/' -e "s/^Suites: bookworm .*/Suites: $1/" /etc/apt/sources.list.d/debian.sources \
    | awk -v suite="$1" 'BEGIN{RS="";ORS="\n\n"} $0 ~ "Suites: " suite' >"$apt/parts/$1.sources"
  printf '%s\n' -o "Dir::Etc::SourceList=/dev/null" -o "Dir::Etc::SourceParts=$apt/parts" \
    -o "Dir::State::Lists=$apt/lists" -o "Dir::Cache=$apt/cache"
}

build() { # build FOLDER PACKAGE SUITE VERSION
  local folder=$PEERS/$1 work=$PEERS/src/$1 options program description
  # A build that was interrupted lacks one of these.
  for program in server cli benchmark; do [ -x "$folder/src/$2-$program" ] || break; done
  [ ! -x "$folder/src/$2-$program" ] || return 0
  command -v dpkg-source >/dev/null || install dpkg-dev
  [ -e /usr/include/openssl/ssl.h ] || install libssl-dev
  mapfile -t options < <(options_for "$3")
  apt-get "${options[@]}" update -qq
  rm -rf "$folder" "$work" && mkdir -p "$work"
  (cd "$work" && apt-get "${options[@]}" source --download-only -qq "$2" 2>/dev/null
   description=$(ls -t ./*.dsc | head -1)
   case $description in ./$2_$4.*) ;; *) echo "$1: Debian's $3 has ${description#./}, which is no $4" >&2 && exit 1 ;; esac
   dpkg-source --no-check -x "$description" "$folder" >/dev/null)
  make -C "$folder" -j"$(nproc)" MALLOC=jemalloc BUILD_TLS=yes >"$folder.log" 2>&1
}

for name in ${PEERS_WANTED:-redis-8.6 redis valkey}; do
  case $name in
    redis-8.6) build redis-8.6 redis experimental 8.6 ;;
    redis) build redis redis sid 8.0 ;;
    valkey) build valkey valkey sid 9.1 ;;
    *) echo "$name: no such peer" >&2 && exit 1 ;;
  esac
done
for name in ${PEERS_WANTED:-redis-8.6 redis valkey}; do "$PEERS/$name/src/${name%%-*}-server" --version | sed "s|^|$PEERS/$name: |"; done
