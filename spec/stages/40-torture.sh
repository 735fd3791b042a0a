#!/bin/sh
# 40-torture.sh - real processes under kill -9 each second while clients write; the same with what wasn't synced lost;
# and with the sanitizers.
#
#   ORR_LONG=1      two minutes each
set -u
. spec/stages/common.sh
live torture powerloss nosync
libraries=$PWD/build/spec/live
if [ "${ORR_LONG:-}" ]; then seconds=120; else seconds=20; fi
tally build/spec/live/torture build/release/orrery --seconds $seconds --seed 1
tally build/spec/live/torture build/release/orrery --seconds $seconds --seed 2 --preload "$libraries/powerloss.so"
tally spec/asan build/spec/live/torture build/asan/orrery --seconds $((seconds / 2)) --seed 3
caught() {
    build/spec/live/torture build/release/orrery --seconds 5 --preload "$libraries/nosync.so $libraries/powerloss.so" \
        >"$TMPDIR/nosync" 2>&1
    [ $? -eq 1 ] && grep -q '^not ok: node .* acknowledged keys' "$TMPDIR/nosync"
}
check "a program that never syncs would be caught" caught
finish
