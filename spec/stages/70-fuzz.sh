#!/bin/sh
# 70-fuzz.sh - each decoder under its corpus, with sanitizers and checksums left out, which reaches nearly all of its
# lines; then, where clang is, a bounded number of new inputs from a fixed seed. An input that breaks something is left
# in build/spec/fuzz.
#
#   ORR_LONG=1      a hundred times as many
set -u
. spec/stages/common.sh
work=build/spec/fuzz
mkdir -p $work
if [ "${ORR_LONG:-}" ]; then runs=2000000; else runs=20000; fi

# The files that decode, and what they lead to at once: percent of lines that the corpus reaches, less two or three for
# other compilers. What it can't reach needs a disk or an allocation that fails, or millions of something.
decoders() {
    case $1 in
    batch) echo node/batch.c:97 node/filter.c:90 ;;
    clock) echo clock/clock_saved.c:90 ;;
    clock_replay) echo clock/clock_replay.c:97 ;;
    code) echo ../bindings/orrb_code.c:84 ;;
    coordinate) echo membership/vivaldi.c:95 membership/keyring.c:97 membership/arrivals.c:92 ;;
    frame) echo node/frame.c:97 node/glance.c:92 ;;
    handshake) echo node/handshake.c:95 node/identity.c:97 node/forward.c:95 ;;
    history) echo check/json.c:97 check/history.c:93 check/value.c:93 check/judge.c:95 check/draw.c:96 \
        check/objects.c:96 check/eventual.c:95 check/log.c:97 check/append.c:86 check/graph.c:96 ;;
    kv_op) echo node/kv/call.c:97 node/kv/ops.c:96 node/kv/query.c:90 ;;
    kv_snapshot) echo node/kv/restore.c:97 ;;
    node) echo node/agree.c:85 node/link.c:91 node/group.c:73 node/snapshot.c:84 node/apply.c:68 ;;
    membership)
        echo membership/codec.c:97 membership/membership.c:94 membership/merge.c:91 membership/records.c:94 \
            membership/suspicion.c:90 membership/sync.c:88 membership/relay.c:86 membership/probe.c:88 \
            membership/pulse.c:93 membership/send.c:97 membership/forget.c:97
        ;;
    ntp) echo clock/ntp_packet.c:95 clock/ntp_client.c:95 clock/ntp_server.c:97 clock/hlc.c:95 ;;
    raft) echo consensus/raft/raft_codec.c:97 consensus/raft/raft_glance.c:97 consensus/raft/raft_config.c:91 ;;
    rpc) echo node/message.c:92 node/results.c:97 node/saved.c:42 node/carry.c:49 node/rpc.c:82 node/out.c:80 ;;
    time)
        echo node/time.c:86 node/time_known.c:83 node/time_told.c:82 node/time_saved.c:91 node/edges.c:97 \
            node/time_mesh.c:89 node/stamps.c:90
        ;;
    resp) echo node/resp/parser.c:97 node/resp/commands.c:90 node/resp/strings.c:92 ;;
    visit) echo node/out.c:82 node/welcome.c:97 node/visit.c:90 node/visitor.c:84 ;;
    value) echo ../bindings/orrb_unpack.c:73 ../bindings/orrb_pack.c:79 ;;
    wal) echo storage/wal_format.c:97 storage/wal_recover.c:95 storage/recover.c:92 storage/snapshot_format.c:97 ;;
    *) echo ;;
    esac
}

# What reads bytes that came from outside: all but base/codec and core/lab, which reads its own memory.
forgotten() {
    for file in spec/fuzz/*_fuzz.c; do decoders "$(basename "$file" _fuzz.c)"; done | tr ' ' '\n' | cut -d : -f 1 |
        grep -v '^\.\./' | sort >"$work/floors"
    grep -rlE 'orri_(reader|get_le)\(' core | sed 's,^core/,,' | grep -v '^lab/\|^base/codec\.[ch]$' | sort |
        comm -23 - "$work/floors"
}

# What a target needs beyond the core.
beyond() {
    case $1 in
    code) echo bindings/orrb_code.c; beyond value ;;
    value)
        echo bindings/orrb_pack.c bindings/orrb_unpack.c bindings/orrb_why.c bindings/orrb_map.c -Ibindings
        pkg-config --cflags --libs lua5.4
        ;;
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
    notes=$work/gcc/CMakeFiles/orr_${1%%/*}.dir/core/$1.gcda
    case $1 in ../*) notes=$(echo "$work"/*-"$(basename "$1" .c).gcda") ;; esac
    gcov -n -o "$notes" "core/$1" 2>/dev/null | grep -A1 "^File '.*${1#../}'" |
        sed -n 's/^Lines executed:\([0-9.]*\)% of \([0-9]*\).*/\1 \2/p' | head -n 1
}

replay() {                          # NAME
    find $work -name '*.gcda' -delete
    gcc -g -O0 -fsanitize=address,undefined -fno-sanitize-recover=all -DORR_FUZZING -DORR_CHECKS \
        -Icore/include -Icore -Ispec -o "$work/$1" "spec/fuzz/$1_fuzz.c" spec/fuzz/replay.c $(beyond "$1") \
        $work/gcc/liborrery.a --coverage -lxxhash -lmd -lz -lsodium -lpthread -lm &&
        spec/asan timeout -k 5 120 "$work/$1" "spec/fuzz/corpus/$1"
}

reached() {                         # FILE FLOOR
    set -- "$1" "$2" $(lines "$1")
    echo "   core/$1: ${3:-0} % of ${4:-0} lines"
    awk -v percent="${3:-0}" -v floor="$2" 'BEGIN { exit !(percent >= floor) }'
}

fuzz() {                            # NAME: a whole node takes longer than a decoder
    if [ "$1" = node ] || [ "$1" = time ]; then set -- "$1" $((runs / 10)); else set -- "$1" "$runs"; fi
    clang -g -O1 -fsanitize=fuzzer,address,undefined -DORR_FUZZING -DORR_CHECKS -Icore/include -Icore -Ispec \
        -o "$work/$1-clang" "spec/fuzz/$1_fuzz.c" $(beyond "$1") \
        $work/clang/liborrery.a -lxxhash -lmd -lz -lsodium -lpthread -lm || return 1
    rm -rf "$work/$1-found" && mkdir "$work/$1-found"
    spec/asan timeout -k 5 900 "$work/$1-clang" -runs="$2" -seed=1 -max_len=8192 -timeout=10 -rss_limit_mb=2048 \
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
check "no decoder is without a floor:$(forgotten)" [ -z "$(forgotten)" ]
for file in spec/fuzz/*_fuzz.c; do
    name=$(basename "$file" _fuzz.c)
    check "$name: nothing in its corpus breaks it" replay "$name"
    for decoder in $(decoders "$name"); do
        check "$name reaches ${decoder#*:} % of core/${decoder%:*}" reached "${decoder%:*}" "${decoder#*:}"
    done
    if [ "$new" ]; then check "$name: nor do new inputs" fuzz "$name"; fi
done
finish
