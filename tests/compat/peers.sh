#!/usr/bin/env bash
# Builds the two newest peers from Debian's source packages (so it needs Debian, and apt), that every
# comparison may run against the strongest opponent and not against an old one.
#
#   tests/compat/peers.sh     builds what is missing, prints where each lies
#
# Result: $PEERS/valkey/src/{valkey-server,valkey-benchmark,valkey-cli}
#         $PEERS/redis/src/redis-server          (PEERS defaults to ~/.cache/peers)
# Both trees keep their Tcl suites under tests/. Takes about five minutes once.
set -euo pipefail

PEERS=${PEERS:-$HOME/.cache/peers}
APT=$PEERS/apt
mkdir -p "$APT/lists/partial" "$APT/cache/archives/partial" "$PEERS/src"

# The newest suite's sources, without touching the machine's own apt set-up.
if [ ! -s "$APT/debian.sources" ]; then
  sed -e 's/^Types:.*/Types: deb-src/' -e 's/^Suites: bookworm .*/Suites: sid/' \
      -e '/^Suites: bookworm-security/s/.*/Suites: bookworm-security/' \
      /etc/apt/sources.list.d/debian.sources | awk 'BEGIN{RS="";ORS="\n\n"} /sid/' >"$APT/debian.sources"
fi
O=(-o "Dir::Etc::SourceList=/dev/null" -o "Dir::Etc::SourceParts=$APT" -o "Dir::State::Lists=$APT/lists" -o "Dir::Cache=$APT/cache")

for name in ${PEERS_WANTED:-valkey redis}; do
  if [ -x "$PEERS/$name/src/$name-server" ]; then continue; fi
  [ -n "$(ls "$APT/lists" | grep -i sources || true)" ] || apt-get "${O[@]}" update -qq
  command -v dpkg-source >/dev/null || apt-get install -y -qq dpkg-dev >/dev/null
  (cd "$PEERS/src" && apt-get "${O[@]}" source --download-only -qq "$name" 2>/dev/null
   dsc=$(ls -t ${name}_*.dsc | head -1)
   rm -rf "$PEERS/$name" && dpkg-source --no-check -x "$dsc" "$PEERS/$name" >/dev/null
   make -C "$PEERS/$name" -j"$(nproc)" MALLOC=jemalloc >"$PEERS/$name.log" 2>&1)
done
for name in ${PEERS_WANTED:-valkey redis}; do "$PEERS/$name/src/$name-server" --version | sed "s|^|$PEERS/$name: |"; done
