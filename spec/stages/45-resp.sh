#!/bin/bash
# 45-resp.sh - the same commands to a real Redis and to us: to the service alone, then to each node of a live
# cluster, leader and followers.
set -u
. spec/stages/common.sh
. examples/packages.sh
packages_install redis-server || exit 1

program=${ORR_PROGRAM:-$PWD/build/release/orrery}
work=$(mktemp -d)
up=
trap '[ -z "$up" ] || kill "$up" 2>/dev/null; wait 2>/dev/null; rm -rf "$work"' EXIT

# Built from the sources, so that the fake node is the only one; with the sanitizers.
${CC:-cc} -std=c11 -g -O1 -fsanitize=address,undefined -fno-sanitize-recover=all -Icore -Icore/include \
    -o "$work/compare" spec/resp/compare.c core/node/kv/*.c core/node/resp/*.c core/base/*.c -lxxhash -lmd -lz || exit 1
check "the service alone answers as Redis does" spec/asan spec/resp/compare "$work/compare"

ports=$((230 + $$ % 80))
sed "s/127\.0\.0\.1:740/127.0.0.1:${ports}1/; s/127\.0\.0\.1:750/127.0.0.1:${ports}2/" \
    examples/kv/cluster.lua >"$work/cluster.lua"
cp examples/kv/node.lua "$work/"
"$program" up "$work/cluster.lua" --data "$work/data" >"$work/out" 2>"$work/err" </dev/null &
up=$!
for _ in $(seq 600); do
    grep -qs '^ready' "$work/out" && break
    kill -0 "$up" 2>/dev/null || break
    sleep 0.1
done
check "a cluster is up" grep -qs '^ready' "$work/out"
for node in a b c; do
    port=$(sed -n "s/^node $node .* resp 127\.0\.0\.1:\([0-9]*\).*/\1/p" "$work/out")
    check "node $node answers as Redis does" spec/resp/compare "$work/compare" "$port"
done
finish
