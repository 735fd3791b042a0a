#!/bin/sh
# 40-torture.sh - real processes under kill -9 each second while clients write; the same with what wasn't synced lost; and with the sanitizers.
#
#   ORR_LONG=1      two minutes each
set -u
. spec/stages/common.sh
live torture powerloss
if [ "${ORR_LONG:-}" ]; then seconds=120; else seconds=20; fi
tally build/spec/live/torture build/release/orrery --seconds $seconds --seed 1
tally build/spec/live/torture build/release/orrery --seconds $seconds --seed 2 --preload "$PWD/build/spec/live/powerloss.so"
tally spec/asan build/spec/live/torture build/asan/orrery --seconds $((seconds / 2)) --seed 3
finish
