#!/bin/sh
# 33-clock.sh - the clock on simulated networks, beside chrony's stored figures, on seeds that nothing was tuned on; and
# the same answers from a program that is compiled another way, and from `orrery clock replay`.
#
# How soon the clock settles is shown by the table and not judged here: of few seeds that is chance.
#
#   ORR_LONG=1      ten seeds instead of four
set -u
. spec/stages/common.sh
tmp=build/spec/clock
rm -rf $tmp && mkdir -p $tmp || exit 1
if [ "${ORR_LONG:-}" ]; then seeds=10; else seeds=4; fi

spec/bench/clock.sh 5 $seeds >$tmp/table 2>&1
cat $tmp/table
good() { grep -E "^$1 +$2 " $tmp/table | grep -qE ' met$| MISSED settle$'; }
for mode in ntp pacemaker; do
    for scenario in $(build/bench/clock/trace --list) mesh; do
        check "$mode, $scenario: errors and interval" good $mode "$scenario"
    done
done
below() {                           # LIMIT FIELD: in all lines on cost; that of time is the bench's to judge
    awk -v limit="$1" -v field="$2" '/bytes a peer$/ { n++; if ($field > limit) n = 9 } END { exit n != 4 }' $tmp/table
}
check "at most 16 KiB a peer" below 16384 10

unoptimised() {
    cc -O0 -ffp-contract=off -Icore/include -Icore -o $tmp/replay spec/bench/clock.c core/clock/clock*.c \
        core/base/*.c -lxxhash -lmd -lz -lm
}
same() {                            # MODE SCENARIO PEERS
    build/bench/clock/trace "$2" 5 >$tmp/trace &&
        build/bench/clock/replay --mode "$1" --peers "$3" <$tmp/trace >$tmp/o2 &&
        $tmp/replay --mode "$1" --peers "$3" <$tmp/trace >$tmp/o0 && [ -s $tmp/o0 ] && cmp $tmp/o2 $tmp/o0
}
by_program() {                      # MODE SCENARIO PEERS
    build/bench/clock/trace "$2" 6 >$tmp/trace &&
        build/bench/clock/replay --mode "$1" --peers "$3" <$tmp/trace >$tmp/o2 &&
        build/release/orrery clock replay $tmp/trace --mode "$1" --peers "$3" >$tmp/lua && [ -s $tmp/lua ] &&
        cmp $tmp/o2 $tmp/lua
}
check "it compiles without optimisation" unoptimised
for mode in ntp pacemaker; do
    check "$mode: and answers the same, with four peers" same $mode rstep 4
    check "$mode: and with a sensor" same $mode tsout 1
done
check "orrery clock replay answers the same, with a falseticker" by_program ntp false1 4
check "and without replies for hours" by_program ntp outage 1
check "and in mode pacemaker" by_program pacemaker lan4 4
finish
