#!/bin/sh
# 80-tsan.sh - what has threads, under ThreadSanitizer: the tests of the loop, and a cluster under kill -9.
set -u
. spec/stages/common.sh
live torture badinput
export TSAN_OPTIONS="halt_on_error=1:second_deadlock_stack=1"

build() {
    { cmake --preset tsan && cmake --build --preset tsan; } >build/spec/build-tsan.log 2>&1 && return
    tail -n 30 build/spec/build-tsan.log
    return 1
}
tests() {
    timeout -k 5 600 ctest --preset tsan -R '^loop\.' >build/spec/ctest-tsan.log 2>&1 && return
    grep -vE ' Passed |^ +Start ' build/spec/ctest-tsan.log
    return 1
}

check "build/tsan is built" build
check "the tests of the loop are clean" tests
if [ "${ORR_LONG:-}" ]; then seconds=60; else seconds=8; fi
tally build/spec/live/torture build/tsan/orrery --seconds $seconds --seed 3
tally build/spec/live/badinput build/tsan/orrery protocol garbage byte strangers
finish
