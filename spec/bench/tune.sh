#!/bin/sh
# tune.sh - build/tuned/orrery: the program for this processor, optimised by what a run of the simulator does most
# (gcc's profiles).
#
# Builds it once so that it counts, runs seeds of the key-value example, builds it again by the counts, and compares the
# digests of other seeds with those of build/release: the same program, a fifth faster. Some minutes of one core.
# ORR_PROGRAM=build/tuned/orrery spec/bench/sim.sh measures it.
set -u
cd "$(dirname "$0")/../.." || exit 2
build=$PWD/build/tuned kv=examples/kv/cluster.lua
fail() {
    echo "tune.sh: $*; all that it said is in $build.log" >&2
    exit 1
}
make_it() {                         # HOW LTO
    cmake -S . -B "$build" -G Ninja -DCMAKE_BUILD_TYPE=RelWithDebInfo -DBUILD_TESTING=OFF \
        '-DCMAKE_C_FLAGS_RELWITHDEBINFO=-O3 -g -march=native' -DORR_PROFILE="$1" -DORR_LTO="$2" &&
        cmake --build "$build" --target orrery_program
}
digests() { "$1" sim $kv --seeds 101:104 --for 10 --faults default --json | sed 's/.*"digest":"\([^"]*\)".*/\1/'; }

mkdir -p build
rm -rf "$build"
make_it record OFF >"$build.log" 2>&1 || fail "the build that counts failed"
{
    "$build/orrery" sim $kv --seeds 1:2 --for 30 && "$build/orrery" sim $kv --seeds 1:4 --for 30 --faults default &&
        "$build/orrery" sim $kv --seeds 1:4 --for 30 --faults swarm
} >>"$build.log" 2>&1 || fail "a run to learn from failed"
make_it use ON >>"$build.log" 2>&1 || fail "the build by the counts failed"
if [ -x build/release/orrery ]; then
    [ "$(digests "$build/orrery")" = "$(digests build/release/orrery)" ] || fail "it does not do as build/release"
fi
echo "$build/orrery"
