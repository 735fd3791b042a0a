#!/bin/sh
# sim.sh - the simulator's speed on one core, oracles and digest on: events a second of the key-value example under
# load, with faults and without, and how long a virtual hour of an idle five-node cluster takes.
#
#   spec/bench/sim.sh [SEEDS]       default 20 seeds of 30 virtual seconds, each measured three times; the medians count
#
# Prints a line for each figure with its bar; exit 1 when one is missed.
set -u
cd "$(dirname "$0")/../.." || exit 2
orrery=${ORR_PROGRAM:-build/release/orrery}
seeds=${1:-20}
[ -x "$orrery" ] || { echo "sim.sh: build/release/orrery is missing; run examples/quickstart first" >&2; exit 2; }
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
missed=0
if taskset -c 0 true 2>/dev/null; then pin="taskset -c 0"; else pin=; fi
median() { sort -g | awk '{ a[NR] = $1 } END { print a[int((NR + 1) / 2)] }'; }
fields() { sed 's/.*"events":\([0-9]*\),.*"wall_s":\([0-9.]*\),.*/\1 \2/'; }

rate() {                            # FAULTS: the median of three rates
    for _ in 1 2 3; do
        $pin "$orrery" sim examples/kv/cluster.lua --seeds "1:$seeds" --for 30 --faults "$1" --json >"$tmp/out" ||
            exit 1
        fields <"$tmp/out" | awk '{ e += $1; s += $2 } END { printf "%.0f\n", e / s }'
    done | median
}
compare() {                         # NAME FIGURE UNIT HOW BAR
    met=met
    awk -v a="$2" -v b="$5" -v how="$4" 'BEGIN { exit !(how == "least" ? a >= b : a <= b) }' || met=MISSED missed=1
    printf '%-44s %10s %s   (at %s %s: %s)\n' "$1" "$2" "$3" "$4" "$5" $met
}

compare "three nodes, four clients, no faults" "$(rate none)" "events/s" least 300000
compare "three nodes, four clients, faults" "$(rate default)" "events/s" least 300000

cp examples/kv/node.lua "$tmp/"
{
    echo 'return orrery.cluster { name = "five", node = "node.lua", nodes = {'
    for i in 1 2 3 4 5; do echo "{ id = \"n$i\", at = \"127.0.0.1:74$i$i\", resp = \"127.0.0.1:75$i$i\" },"; done
    echo '} }'
} >"$tmp/five.lua"
idle=$(for _ in 1 2 3; do
    $pin "$orrery" sim "$tmp/five.lua" --for 3600 --workload none --json >"$tmp/idle" || exit 1
    fields <"$tmp/idle" | cut -d' ' -f2
done | median)
compare "an idle hour of five nodes" "$idle" "s" most 5
exit $missed
