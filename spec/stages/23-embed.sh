#!/bin/bash
# 23-embed.sh - examples/embed, built against what is installed, as its README says: three programs, a node in each.
set -u
. spec/stages/common.sh
work=$(mktemp -d)
others=
trap '[ -z "$others" ] || kill $others 2>/dev/null; wait; rm -rf "$work"' EXIT

DESTDIR="$work/root" cmake --install build/release >"$work/log" 2>&1
check "it installs" [ $? = 0 ]
PKG_CONFIG_PATH=$(dirname "$(find "$work/root" -name orrery.pc)")
LD_LIBRARY_PATH=$(dirname "$(find "$work/root" -name liborrery.so)")
export PKG_CONFIG_PATH LD_LIBRARY_PATH PKG_CONFIG_SYSROOT_DIR="$work/root"
# shellcheck disable=SC2046
check "it compiles with pkg-config's flags" cc -Wall -Wextra -Werror -o "$work/embed" examples/embed/embed.c \
    examples/embed/tally.c $(pkg-config --cflags --libs orrery)

port=$((20000 + $$ % 10000))
cd "$work" || exit 1
timeout 60 ./embed $port b 2>/dev/null & others="$others $!"
timeout 60 ./embed $port c 2>/dev/null & others="$others $!"
check "a node in C adds, and calls another" \
    [ "$(timeout 30 ./embed $port a 5 7)" = "$(printf '5\n12\nb has 12')" ]
check "and finds its data again" [ "$(timeout 30 ./embed $port a -2)" = "$(printf '10\nb has 10')" ]
finish
