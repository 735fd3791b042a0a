#!/bin/sh
# clock.sh - the clock's errors and bounds beside chrony's, on simulated networks and oscillators.
#
#   spec/bench/clock.sh [--mode ntp|pacemaker] [FIRST [SEEDS [SCENARIO...]]]    default: both, seeds 5 to 14, all
#
# Needs no chrony: its figures are stored with the scenarios (spec/clock/bench/scenarios.h). Seeds 1 to 4 are for tuning
# on. CLOCK_REPLAY="PROGRAM OPTION..." judges another program that reads traces as spec/bench/clock.c does, such as
# "build/release/orrery clock replay -". Prints a line for each scenario and mode with its bars (`mesh` is eight nodes
# that measure each other), then CPU for each exchange and bytes for each peer; exit 1 when a bar is missed.
set -u
cd "$(dirname "$0")/../.." || exit 2
modes="ntp pacemaker"
if [ "${1:-}" = --mode ]; then modes=${2:?}; shift 2; fi
first=${1:-5} seeds=${2:-10}
if [ $# -gt 2 ]; then shift 2; else set --; fi
work=build/bench/clock
mkdir -p "$work" || exit 2
build() {                           # NAME SOURCE
    "${CC:-cc}" -O2 -ffp-contract=off -Icore/include -Icore -Ispec -o "$work/$1" "$2" core/clock/clock*.c \
        core/clock/mesh.c core/base/*.c -lxxhash -lmd -lz -lm || exit 2
}
build trace spec/clock/bench/trace.c
build score spec/clock/bench/score.c
build replay spec/bench/clock.c
build mesh spec/clock/bench/mesh.c
replay=${CLOCK_REPLAY:-$work/replay}
[ $# -gt 0 ] || set -- $("$work/trace" --list) mesh

missed=0
"$work/score"
for scenario; do
    if [ "$scenario" = mesh ]; then
        for mode in $modes; do "$work/mesh" $mode "$first" "$seeds" || missed=1; done
        continue
    fi
    for seed in $(seq "$first" $((first + seeds - 1))); do
        "$work/trace" "$scenario" "$seed" >"$work/$seed.trace" || exit 2
    done
    peers=$(grep '^[XL]' "$work/$first.trace" | head -100 | cut -d' ' -f2 | sort -n | tail -1)
    for mode in $modes; do
        pairs=
        for seed in $(seq "$first" $((first + seeds - 1))); do
            $replay --mode $mode --peers $((peers + 1)) <"$work/$seed.trace" >"$work/$seed.answers" || exit 2
            pairs="$pairs $work/$seed.trace $work/$seed.answers"
        done
        "$work/score" $mode "$scenario" $pairs || missed=1
    done
    rm -f "$work"/*.trace "$work"/*.answers
done
"$work/replay" --cost
exit $missed
