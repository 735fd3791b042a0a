#!/bin/sh
# sim.sh - the simulator's speed on one core, with all oracles, the ledger and the digest on.
#
#   spec/bench/sim.sh [SEEDS]       default 20 seeds of 30 virtual seconds, in three rounds
#
# Events a second of the key-value example under load, with faults and without; what a seed of default faults takes;
# handler events of Lua scripts; a virtual hour of an idle five-node cluster; what ten times the events leave in memory.
# All in CPU time, and of the rounds the least counts, seed by seed: whatever else the machine does can only add to it.
# Where valgrind is there, instructions an event too, which no other load changes.
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
kv=examples/kv/cluster.lua
field() { sed "s/.*\"$1\":\([0-9.]*\).*/\1/"; }
simulate() {                        # OPTION...: prints events and CPU seconds of each seed
    "$orrery" sim "$@" --json >"$tmp/run" || { echo "sim.sh: orrery sim $* failed" >&2; exit 2; }
    field events <"$tmp/run" >"$tmp/events"
    field cpu_s <"$tmp/run" | paste "$tmp/events" -
}
report() {                          # NAME FIGURE UNIT HOW BAR
    met=met
    awk -v a="$2" -v b="$5" -v how="$4" 'BEGIN { exit !(how == "least" ? a >= b : a <= b) }' || met=MISSED missed=1
    printf '%-46s %10s %-20s (at %s %s: %s)\n' "$1" "$2" "$3" "$4" "$5" $met
}

# -- Seeds -----------------------------------------------------------------------------------------------------------
for _ in 1 2 3; do
    for faults in none default; do
        simulate "$kv" --seeds "1:$seeds" --for 30 --faults $faults | awk '{ print NR, $0 }' >>"$tmp/$faults"
    done
done
least() {                           # FILE: events and the least seconds of each seed, quickest first
    awk '!($1 in s) || $3 < s[$1] { s[$1] = $3; e[$1] = $2 } END { for (i in s) print e[i], s[i] }' "$1" | sort -g -k2
}
rate() { least "$1" | awk '{ e += $1; s += $2 } END { printf "%.0f", e / s }'; }
report "three nodes, four clients, no faults" "$(rate "$tmp/none")" "events/s" least 1000000
report "three nodes, four clients, default faults" "$(rate "$tmp/default")" "events/s" least 500000
report "a seed of default faults, the median" \
    "$(least "$tmp/default" | awk '{ a[NR] = $2 } END { printf "%.1f", 1000 * a[int((NR + 1) / 2)] }')" ms most 100

# -- Lua -------------------------------------------------------------------------------------------------------------
# Of tasks.lua: "... 0.68 µs    1470588/s  (bar ...)", the best of three.
handlers=$(lua5.4 spec/bench/tasks.lua 100000 cast | sed -n 's,.* \([0-9]*\)/s .*,\1,p')
report "handlers of Lua scripts" "${handlers:-0}" "events/s" least 200000

# -- Idle, and memory ------------------------------------------------------------------------------------------------
cp examples/kv/node.lua "$tmp/"
{
    echo 'return orrery.cluster { name = "five", node = "node.lua", nodes = {'
    for i in 1 2 3 4 5; do echo "{ id = \"n$i\", at = \"127.0.0.1:74$i$i\", resp = \"127.0.0.1:75$i$i\" },"; done
    echo '} }'
} >"$tmp/five.lua"
idle=$(for _ in 1 2 3; do simulate "$tmp/five.lua" --for 3600 --workload none; done | sort -g -k2 |
    awk 'NR == 1 { print $2 }')
report "an idle hour of five nodes" "$idle" "s" most 2

peak() {                            # OPTION...: the most memory that a run took, in MB, and its events and operations
    python3 -c '
import json, resource, subprocess, sys
run = json.loads(subprocess.run(sys.argv[1:], stdout=subprocess.PIPE, check=True).stdout)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024, run["events"], run["operations"])
' "$orrery" sim "$@" --json || exit 2
}
# Idle nodes: whatever is left behind by an event would show. Under load the history is judged and forgotten as it goes;
# what grows is the ledger of what was committed, and what each disk bears of it.
peak "$kv" --for 7600 --workload none >"$tmp/short"
peak "$kv" --for 76000 --workload none >"$tmp/long"
report "memory left by $(awk '{ print $2 }' "$tmp/long") events, not $(awk '{ print $2 }' "$tmp/short"), idle" \
    "$(paste "$tmp/short" "$tmp/long" | awk '{ printf "%.1f", $4 - $1 }')" MB most 1
peak "$kv" --for 260 >"$tmp/short"
peak "$kv" --for 2600 >"$tmp/long"
report "memory of $(awk '{ print $2 }' "$tmp/long") events under load" \
    "$(paste "$tmp/short" "$tmp/long" | awk '{ printf "%.0f", 1048576 * ($4 - $1) / ($6 - $3) }')" \
    bytes/operation most 40

# -- Instructions ----------------------------------------------------------------------------------------------------
counted() {                         # SECONDS FAULTS: events and instructions of a run
    valgrind --tool=callgrind --callgrind-out-file=/dev/null "$orrery" sim "$kv" --for "$1" --faults "$2" --json \
        >"$tmp/counted" 2>"$tmp/valgrind" || exit 2
    echo "$(field events <"$tmp/counted") $(sed -n 's/.*Collected : *//p' "$tmp/valgrind")"
}
if command -v valgrind >/dev/null 2>&1; then
    for faults in none default; do
        bar=10000
        [ $faults = none ] || bar=16000
        { counted 5 $faults && counted 15 $faults; } >"$tmp/two"
        report "instructions, faults: $faults" "$(awk 'NR == 1 { e = $1; i = $2 }
            END { printf "%.0f", ($2 - i) / ($1 - e) }' "$tmp/two")" "an event" most $bar
    done
fi
exit $missed
