#!/bin/bash
# 36-up.sh - orrery up and orrery run with real processes: what they print, who dies with whom, what is refused.
#
# With the sanitizers' build: ORR_PROGRAM names another.
set -u
. spec/stages/common.sh

program=${ORR_PROGRAM:-$PWD/build/asan/orrery}
under=$PWD/spec/asan
work=$(mktemp -d)
pids=
trap 'kill -KILL $pids 2>/dev/null; rm -rf "$work"' EXIT

# A file of three nodes, with ports below those that the system gives out.
ports=$((150 + $$ % 80))
cluster() {
    sed "s/127\.0\.0\.1:740/127.0.0.1:${ports}1/; s/127\.0\.0\.1:750/127.0.0.1:${ports}2/; ${2-}" \
        examples/kv/cluster.lua >"$work/$1"
}
cluster cluster.lua
cp examples/kv/node.lua "$work/"

# up NAME [OPTION]..., run NAME [OPTION]...: in the background, as $up, $run; out and err in NAME.out, NAME.err.
begin() {
    local command=$1 name=$2
    shift 2
    "$under" "$program" "$command" "$work/cluster.lua" "$@" >"$work/$name.out" 2>"$work/$name.err" </dev/null &
    pids="$pids $!"
}
up() { begin up "$@" && up=$!; }
run() { begin run "$@" && run=$!; }
said() { grep -qsE "$1" "$work/$2"; }
pid_of() { sed -n "s/^node $1 pid \([0-9]*\) .*/\1/p" "$work/$2.out"; }
resp_of() { sed -n "s/^node $1 .* resp 127\.0\.0\.1:\([0-9]*\)$/\1/p" "$work/$2.out"; }
connects() { (exec 9<>"/dev/tcp/127.0.0.1/$(resp_of "$1" "$2")") 2>/dev/null; }
# within SECONDS COMMAND...: waits until it succeeds.
within() {
    local end=$((SECONDS + $1))
    shift
    until "$@"; do
        [ $SECONDS -lt $end ] || return 1
        sleep 0.02
    done
}
ended() { ! kill -0 "$1" 2>/dev/null || [ "$(cut -d ' ' -f 3 "/proc/$1/stat" 2>/dev/null)" = Z ]; }
# gone PID...: each has ended, within 15 s.
gone() {
    local pid
    for pid; do within 15 ended "$pid" || return 1; done
}
# ends_with STATUS PID: a child of this shell ends so, within 30 s.
ends_with() {
    local status
    within 30 ended "$2" || return 1
    wait "$2" 2>/dev/null
    status=$?
    [ $status = "$1" ] || { echo "status $status"; return 1; }
}
# redis PORT LINE: one inline command, the first line of its reply.
redis() {
    local answer
    { exec 9<>"/dev/tcp/127.0.0.1/$1" && printf '%s\r\n' "$2" >&9 && IFS= read -r -t 5 -u 9 answer; } 2>/dev/null ||
        return 1
    exec 9>&-
    echo "${answer%$'\r'}"
}

# -- A cluster comes up, says so, loses a node, gets it back, stops ---------------------------------------------------
up first --data "$work/data"
check "up says ready" within 30 said '^ready$' first.out
place='127\.0\.0\.1:[0-9]+'
check "a line for each node" [ "$(grep -cE "^node [abc] pid [0-9]+ at $place resp $place\$" "$work/first.out")" = 3 ]
check "ready comes after the nodes" [ "$(tail -n 1 "$work/first.out")" = ready ]
check "its data are in DIR/ID" [ -d "$work/data/a" ] && [ -d "$work/data/c" ]
a=$(pid_of a first) b=$(pid_of b first) c=$(pid_of c first)
check "logs come with the id in front" said '^a: .* info ' first.err
check "a write is taken at a" [ "$(redis "$(resp_of a first)" 'SET x 1')" = +OK ]
check "and read at c" [ "$(redis "$(resp_of c first)" 'GET x')" = '$1' ]

kill -KILL "$b"
check "a node's death is told" within 10 said "^node b pid $b died: SIGKILL$" first.out
check "and it is not started again" [ "$(grep -c '^node b pid' "$work/first.out")" = 2 ]
check "the others go on" [ "$(redis "$(resp_of a first)" 'SET x 2')" = +OK ]

run taken --node a --data "$work/data"
check "an address in use is status 2" ends_with 2 $run
check "and one line with its place" \
    said "^orrery: .*cluster\.lua:6: orrery\.cluster: 'nodes\[1\]\.at' is $place, which is in use\$" taken.err
check "no more than that" [ "$(wc -l <"$work/taken.err")" = 1 ]

run b --node b --data "$work/data"
check "run says its line and ready" within 30 said '^ready$' b.out
check "in that order" [ "$(sed 's/pid [0-9]* //' "$work/b.out" | head -n 1 | cut -d ' ' -f 1-3)" = 'node b at' ]
check "what was written is there" [ "$(redis "$(resp_of b first)" 'GET x')" = '$1' ]

cluster moved.lua 's/127\.0\.0\.1:\([0-9]*\)/127.0.0.2:\1/g'
"$under" "$program" run "$work/moved.lua" --node b --data "$work/data" \
    >"$work/locked.out" 2>"$work/locked.err" </dev/null
check "a directory in use is status 2" [ $? = 2 ]
check "and is told" said "data/b is in use by another process$" locked.err

kill -TERM $run
check "run stops cleanly at SIGTERM" ends_with 0 $run
kill -TERM $up
check "up stops cleanly at SIGTERM" ends_with 0 $up
check "and all its nodes with it" gone "$a" "$c"

# -- Who dies with whom -----------------------------------------------------------------------------------------------
up second --data "$work/data"
check "the same data come up again" within 30 said '^ready$' second.out
check "with what was written" [ "$(redis "$(resp_of c second)" 'GET x')" = '$1' ]
orphans="$(pid_of a second) $(pid_of b second) $(pid_of c second)"
kill -STOP "$(pid_of c second)"
kill -KILL $up
check "up killed leaves no orphans, stopped ones neither" gone $orphans
wait $up 2>/dev/null

up third --data "$work/data"
check "after that it comes up again" within 30 said '^ready$' third.out
kill -INT $up
check "up stops cleanly at SIGINT" ends_with 0 $up

up fourth --data "$work/data"
within 30 said '^ready$' fourth.out
kill -KILL $(pid_of a fourth) $(pid_of b fourth) $(pid_of c fourth)
check "when all have died, up ends with 1" ends_with 1 $up
check "having told of each" [ "$(grep -c 'died: SIGKILL$' "$work/fourth.out")" = 3 ]

up fifth --data "$work/data"
within 30 said '^ready$' fifth.out
stopped=$(pid_of b fifth)
kill -STOP "$stopped"
kill -TERM $up
check "a node that doesn't stop is killed, which is status 1" ends_with 1 $up
check "and is gone" gone "$stopped"
check "and told" said '^orrery: 1 node\(s\) did not stop within 10 s: killed$' fifth.err

# -- Refused before anything is started -------------------------------------------------------------------------------
run holder --node c --data "$work/else"
within 30 connects c holder
up refused --data "$work/data"
check "up refuses an address in use with 2" ends_with 2 $up
check "with one line" [ "$(wc -l <"$work/refused.err")" = 1 ]
check "and starts nothing" [ ! -s "$work/refused.out" ]
kill $run
check "run stops at SIGTERM before it is ready, too" ends_with 0 $run

# -- Settings ---------------------------------------------------------------------------------------------------------
cat >"$work/node.lua" <<'END'
local kv = node:replicate("kv", { machine = "kv" })
node:listen("resp", kv:resp())
node.log:info("rate is", node.config.rate, node.config.name, node.config.on)
END
up set --data "$work/data" --set rate=1.5 --set name=x=y --set on=true
check "--set reaches every node" within 30 said '^c: .* rate is 1\.5 x=y true$' set.err
kill -TERM $up
check "and up stops before it is ready, too" ends_with 0 $up
finish
