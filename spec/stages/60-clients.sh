#!/bin/bash
# 60-clients.sh - other people's clients on a live cluster: redis-benchmark, redis-cli, Python's library.
set -u
. spec/stages/common.sh
. examples/packages.sh
packages_install redis-tools python3-redis || exit 1
live cluster
program=${ORR_PROGRAM:-build/release/orrery}

work=$(mktemp -d)
build/spec/live/cluster "$program" 3 >"$work/out" 2>&1 &
cluster=$!
trap 'kill $cluster 2>/dev/null; wait; rm -rf "$work"' EXIT
for _ in $(seq 600); do
    if grep -qs '^ready' "$work/out" || ! kill -0 $cluster 2>/dev/null; then break; fi
    sleep 0.05
done
if ! check "a cluster is up" grep -qs '^ready' "$work/out"; then cat "$work/out"; finish; fi
ports=($(sed -n 's/^node [a-z]* resp \([0-9]*\)$/\1/p' "$work/out"))

benchmark() {                       # every line a rate, and none of them an error
    redis-benchmark -p "$1" -t ping,set,get,incr,mset -n 20000 -r 1000 -c "$2" -P "$3" -d "$4" --csv \
        >"$work/benchmark" 2>"$work/errors"
    local status=$?
    awk -F'"' 'NR > 1 { printf "   %s: %.0f a second\n", $2, $4 }' "$work/benchmark"
    [ $status -eq 0 ] && [ "$(grep -c '^"' "$work/benchmark")" -ge 6 ] &&
        ! grep -qi 'err' "$work/benchmark" "$work/errors"
}
check "redis-benchmark works on the first node" benchmark "${ports[0]}" 50 16 64
check "on the second, without pipelining" benchmark "${ports[1]}" 10 1 1000

cli() { redis-cli -p "${ports[2]}" "$@"; }
check "redis-cli writes" [ "$(cli SET from cli)" = OK ]
check "redis-cli reads from a pipe" [ "$(printf 'GET from\nINCR n\nINCR n\n' | cli | tr '\n' ' ')" = "cli 1 2 " ]
check "redis-cli speaks RESP3" [ "$(cli -3 GET from)" = cli ]
check "redis-cli sees errors" [ "$(cli INCR from)" = "ERR value is not an integer or out of range" ]
check "redis-cli scans" [ "$(cli --scan --pattern 'fro*')" = from ]

check "Python's library works" /usr/bin/python3 spec/live/client.py "${ports[@]}"
finish
