#!/bin/sh
# 80-tsan.sh - under ThreadSanitizer: the C tests, the Lua specs with the live world inside, a cluster under kill -9.
#
# Left out is what has one thread: tests of the simulator that would take minutes, the Lua specs without a live node.
# connect_spec visits nodes; legacy_spec has three with threads, which get other scripts while they run.
set -u
. spec/stages/common.sh
live torture badinput posix
export TSAN_OPTIONS="halt_on_error=1:second_deadlock_stack=1"

build() {
    { cmake --preset tsan && cmake --build --preset tsan; } >build/spec/build-tsan.log 2>&1 && return
    tail -n 30 build/spec/build-tsan.log
    return 1
}
slow='^(layers|tidy|(check|clock|lab|sim)\.|consensus\.raft_(ailing|random))|log_random'
slow="$slow|^node\.(agree|cluster|kv_image|resp|two_groups|visit)"
tests() {
    timeout -k 5 600 ctest --preset tsan -E "$slow" >build/spec/ctest-tsan.log 2>&1 && return
    grep -vE ' Passed |^ +Start ' build/spec/ctest-tsan.log
    return 1
}
specs() {
    timeout -k 5 600 build/tsan/orrery /usr/bin/busted --output=spec/lines.lua --pattern=bindings_spec \
        --pattern=start_spec --pattern=connect_spec --pattern=legacy_spec spec/lua \
        >build/spec/lua-tsan.log 2>&1 && return
    tail -n 30 build/spec/lua-tsan.log
    return 1
}

# A program with a node on a thread of its own, which leaves it in one of several ways.
host() {
    mkdir -p build/spec/host
    LUA_CPATH="$PWD/build/spec/live/?.so;;" timeout -k 5 120 build/tsan/orrery spec/live/host.lua build/spec/host \
        $((20003 + $$ % 10000)) "$1" >build/spec/host-tsan.log 2>&1
    status=$?
    rm -rf build/spec/host
    [ $status = 0 ] && return
    tail -n 30 build/spec/host-tsan.log
    return 1
}

check "build/tsan is built" build
if [ "${ORR_LONG:-}" ]; then seconds=60; else seconds=8; fi
check "the C tests are clean" tests
check "so are the Lua specs" specs
for way in close return exit exit-closed; do check "and a node with a thread whose host ends by $way" host $way; done
tally build/spec/live/torture build/tsan/orrery --seconds $seconds --seed 3
tally build/spec/live/badinput build/tsan/orrery protocol garbage byte strangers many
finish
