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
good() { grep "^$1 " $tmp/table | grep -qE ' met$| MISSED settle$'; }
for scenario in $(build/bench/clock/trace --list); do check "$scenario: errors and interval" good "$scenario"; done
below() {                           # LIMIT FIELD: in both lines on cost; that of time is the bench's to judge
    awk -v limit="$1" -v field="$2" '/bytes a peer$/ { n++; if ($field > limit) n = 9 } END { exit n != 2 }' $tmp/table
}
check "at most 16 KiB a peer" below 16384 9

unoptimised() {
    cc -O0 -ffp-contract=off -Icore/include -Icore -o $tmp/replay spec/bench/clock.c core/clock/clock*.c \
        core/base/*.c -lxxhash -lm
}
same() {                            # SCENARIO PEERS
    build/bench/clock/trace "$1" 5 >$tmp/trace && build/bench/clock/replay --peers "$2" <$tmp/trace >$tmp/o2 &&
        $tmp/replay --peers "$2" <$tmp/trace >$tmp/o0 && [ -s $tmp/o0 ] && cmp $tmp/o2 $tmp/o0
}
by_program() {                      # SCENARIO PEERS
    build/bench/clock/trace "$1" 6 >$tmp/trace && build/bench/clock/replay --peers "$2" <$tmp/trace >$tmp/o2 &&
        build/release/orrery clock replay $tmp/trace --peers "$2" >$tmp/lua && [ -s $tmp/lua ] && cmp $tmp/o2 $tmp/lua
}
check "it compiles without optimisation" unoptimised
check "and answers the same, with four peers" same rstep 4
check "and with a sensor" same tsout 1
check "orrery clock replay answers the same, with a falseticker" by_program false1 4
check "and without replies for hours" by_program outage 1
finish
