#!/bin/sh
# 70-fuzz.sh - each decoder under its corpus, with sanitizers and checksums left out, and how many of its lines that
# reaches; then, where clang is, a bounded number of new inputs from a fixed seed. An input that breaks something is
# left in build/spec/fuzz.
#
#   ORR_LONG=1      a hundred times as many
set -u
. spec/stages/common.sh
work=build/spec/fuzz
mkdir -p $work
if [ "${ORR_LONG:-}" ]; then runs=2000000; else runs=20000; fi

# The files whose lines count, the decoder itself first.
decoders() {
    case $1 in
    batch) echo node/batch.c node/filter.c ;;
    frame) echo node/frame.c ;;
    handshake) echo node/handshake.c node/identity.c node/forward.c ;;
    kv_op) echo node/kv/call.c node/kv/ops.c node/kv/query.c ;;
    kv_snapshot) echo node/kv/restore.c ;;
    raft) echo consensus/raft/raft_codec.c consensus/raft/raft_config.c ;;
    resp) echo node/resp/parser.c node/resp/commands.c node/resp/strings.c ;;
    wal) echo storage/wal_format.c storage/wal_recover.c storage/snapshot_format.c ;;
    *) echo ;;
    esac
}

core() {                            # NAME COMPILER FLAGS: liborrery.a of build/spec/fuzz/NAME
    {
        cmake -S . -B "$work/$1" -G Ninja -DCMAKE_C_COMPILER="$2" -DCMAKE_BUILD_TYPE=Debug -DCMAKE_C_FLAGS="$3" \
            -DCMAKE_C_FLAGS_DEBUG=-g -DBUILD_TESTING=OFF -DORR_CHECKS=ON &&
            cmake --build "$work/$1" --target orrery_static
    } >"$work/$1.log" 2>&1 && return
    tail -n 20 "$work/$1.log"
    return 1
}

lines() {                           # FILE: "97.2 % of 72" as the last program run reached them
    gcov -n -o "$work/gcc/CMakeFiles/orr_${1%%/*}.dir/core/$1.gcda" "core/$1" 2>/dev/null |
        grep -A1 "^File '.*core/$1'" | sed -n 's/^Lines executed:\([0-9.]*\)% of \([0-9]*\).*/\1 \2/p' | head -n 1
}

replay() {                          # NAME
    find $work/gcc -name '*.gcda' -delete
    gcc -g -O0 -fsanitize=address,undefined -fno-sanitize-recover=all -DORR_FUZZING -DORR_CHECKS \
        -Icore/include -Icore -Ispec -o "$work/$1" "spec/fuzz/$1_fuzz.c" spec/fuzz/replay.c $work/gcc/liborrery.a \
        --coverage -lxxhash -lpthread &&
        spec/asan timeout -k 5 120 "$work/$1" "spec/fuzz/corpus/$1"
}

reached() {                         # FILE: a fuzzer that has gone blind reaches next to nothing
    set -- "$1" $(lines "$1")
    echo "   core/$1: ${2:-0} % of ${3:-0} lines"
    awk -v percent="${2:-0}" 'BEGIN { exit !(percent >= 40) }'
}

fuzz() {                            # NAME
    clang -g -O1 -fsanitize=fuzzer,address,undefined -DORR_FUZZING -DORR_CHECKS -Icore/include -Icore -Ispec \
        -o "$work/$1-clang" "spec/fuzz/$1_fuzz.c" $work/clang/liborrery.a -lxxhash -lpthread || return 1
    rm -rf "$work/$1-found" && mkdir "$work/$1-found"
    spec/asan timeout -k 5 900 "$work/$1-clang" -runs=$runs -seed=1 -max_len=8192 -timeout=10 -rss_limit_mb=2048 \
        -artifact_prefix="$work/$1-broken-" "$work/$1-found" "spec/fuzz/corpus/$1" >"$work/$1-clang.log" 2>&1 && return
    tail -n 30 "$work/$1-clang.log"
    return 1
}

if ! core gcc gcc "-DORR_FUZZING --coverage -fsanitize=address,undefined -fno-sanitize-recover=all"; then
    check "the core compiles for its fuzzers" false
    finish
fi
new=
if command -v clang >/dev/null; then
    core clang clang "-O1 -DORR_FUZZING -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=all" && new=1
    check "the core compiles with clang" [ "$new" ]
else
    echo "no clang here: corpora only"
fi
for file in spec/fuzz/*_fuzz.c; do
    name=$(basename "$file" _fuzz.c)
    check "$name: nothing in its corpus breaks it" replay "$name"
    for decoder in $(decoders "$name"); do
        check "$name reaches core/$decoder" reached "$decoder"
    done
    if [ "$new" ]; then check "$name: nor do $runs new inputs" fuzz "$name"; fi
done
finish
