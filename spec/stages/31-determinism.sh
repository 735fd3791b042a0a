#!/bin/sh
# 31-determinism.sh - a seed is its run: in another process, with other memory, from a program compiled another way.
#
# The digest is over all that was delivered. Where two differ, both runs are made again with their event logs, and the
# first event that is not the same is printed, with those before it.
#
#   ORR_LONG=1      ten times as many seeds
set -u
. spec/stages/common.sh
o2=${ORR_PROGRAM:-build/release/orrery}
o0=build/spec/o0/orrery
kv=examples/kv/cluster.lua lua=examples/luakv/cluster.lua
tmp=build/spec/determinism
rm -rf $tmp && mkdir -p $tmp || exit 1
if [ "${ORR_LONG:-}" ]; then times=10; else times=1; fi

unoptimised() {
    {
        cmake -S . -B build/spec/o0 -G Ninja -DCMAKE_BUILD_TYPE=Debug -DCMAKE_C_FLAGS_DEBUG='-O0 -g' \
            -DBUILD_TESTING=OFF && cmake --build build/spec/o0
    } >build/spec/build-o0.log 2>&1 && return
    tail -n 30 build/spec/build-o0.log
    return 1
}

# sim PROGRAM CLUSTER SECONDS OPTION...: one way to run it.
sim() {
    program=$1 cluster=$2 seconds=$3
    shift 3
    "$program" sim "$cluster" --faults default --for "$seconds" "$@"
}

# digests NAME PROGRAM CLUSTER SECONDS LAST: "SEED DIGEST" of the seeds 101 to LAST.
digests() {
    sim "$2" "$3" "$4" --seeds "101:$5" --json 2>"$tmp/$1.log" |
        sed -n 's/.*"seed":\([0-9]*\),.*"digest":"\([0-9a-f]*\)".*/\1 \2/p' | sort -n >"$tmp/$1"
    [ "$(wc -l <"$tmp/$1")" -eq $(($5 - 100)) ] && return
    tail -n 5 "$tmp/$1.log"
    return 1
}

# diverge A B: the first line in which two event logs differ, and three before it. True: there is one.
diverge() {
    at=$(cmp "$1" "$2" 2>&1 | sed -n 's/.* line \([0-9]*\)$/\1/p')
    if [ -z "$at" ]; then
        echo "   their events are the same: what differs is bytes of the same number"
        return 1
    fi
    echo "   the first event that differs is number $at"
    if [ "$at" -gt 1 ]; then sed -n "$((at > 3 ? at - 3 : 1)),$((at - 1))s/^/     both    /p" "$1"; fi
    sed -n "${at}s/^/     one     /p" "$1"
    sed -n "${at}s/^/     other   /p" "$2"
}

# same ONE OTHER CLUSTER SECONDS PROGRAM PROGRAM
same() {
    cmp -s "$tmp/$1" "$tmp/$2" && return
    seed=$(diff "$tmp/$1" "$tmp/$2" | sed -n 's/^[<>] \([0-9]*\) .*/\1/p' | head -n 1)
    echo "   seed $seed is not the same in $1 and $2"
    sim "$5" "$3" "$4" --seed "$seed" --events "$tmp/one.events" >/dev/null 2>&1
    perturbed sim "$6" "$3" "$4" --seed "$seed" --events "$tmp/other.events" >/dev/null 2>&1
    diverge "$tmp/one.events" "$tmp/other.events"
    return 1
}

# Freed memory and fresh memory hold other bytes, and everything lies elsewhere.
perturbed() {
    MALLOC_PERTURB_=165 MALLOC_ARENA_TEST=1 MALLOC_TOP_PAD_=9000001 ORR_UNUSED=$(printf '%5000s' x) "$@"
}

check "the program is built without optimisation" unoptimised || finish
last=$((100 + 30 * times))
check "seeds 101 to $last" digests kv.one "$o2" $kv 20 $last
check "and once more, in another process" perturbed digests kv.two "$o2" $kv 20 $last
check "are the same" same kv.one kv.two $kv 20 "$o2" "$o2"
last=$((100 + 10 * times))
check "seeds 101 to $last at -O2" digests kv.o2 "$o2" $kv 20 $last
check "and at -O0" digests kv.o0 $o0 $kv 20 $last
check "are the same" same kv.o2 kv.o0 $kv 20 "$o2" $o0
last=$((100 + 4 * times))
check "scripts: seeds 101 to $last at -O2" digests lua.o2 "$o2" $lua 5 $last
check "and at -O0, in other memory" perturbed digests lua.o0 $o0 $lua 5 $last
check "are the same" same lua.o2 lua.o0 $lua 5 "$o2" $o0

# The guard sees what it is there for: two runs that are not the same begin alike, and part at an event that it names.
# All nodes come up in the same order; then seeds decide.
sim "$o2" $kv 1 --seed 101 --events $tmp/first.events >/dev/null 2>&1
sim "$o2" $kv 1 --seed 102 --events $tmp/second.events >/dev/null 2>&1
check "where two differ, the first event is named" diverge $tmp/first.events $tmp/second.events
cp $tmp/first.events $tmp/again.events
check "where none does, none is" [ "$(diverge $tmp/first.events $tmp/again.events | grep -c 'are the same')" -eq 1 ]
sed '1s/$/ /' $tmp/first.events >$tmp/again.events
check "where the very first does, it is" [ "$(diverge $tmp/first.events $tmp/again.events |
    grep -c 'is number 1$')" -eq 1 ]
finish
