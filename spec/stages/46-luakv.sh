#!/bin/bash
# 46-luakv.sh - examples/luakv as real processes, a machine and a service in Lua, by a real redis-cli: what a real Redis
# answers, it answers too, on every node; and what was acknowledged outlives kill -9 of any node, the leader among them.
set -u
. spec/stages/common.sh
. examples/packages.sh
packages_install redis-server redis-tools || exit 1

program=${ORR_PROGRAM:-$PWD/build/release/orrery}
work=$(mktemp -d)
pids=()
trap 'kill -KILL "${pids[@]}" 2>/dev/null; wait 2>/dev/null; rm -rf "$work"' EXIT

ports=$((230 + $$ % 80))
cp examples/luakv/*.lua "$work/"
sed -i "s/127\.0\.0\.1:740/127.0.0.1:${ports}1/; s/127\.0\.0\.1:750/127.0.0.1:${ports}2/" "$work/cluster.lua"
redis=${ports}30

# within SECONDS COMMAND...: waits until it succeeds.
within() {
    local end=$((SECONDS + $1))
    shift
    until "$@"; do
        [ $SECONDS -lt $end ] || return 1
        sleep 0.05
    done
}
declare -A pid port
begin() { # a node, which must become ready
    rm -f "$work/$1.out"
    "$program" run "$work/cluster.lua" --node "$1" --data "$work/data" >"$work/$1.out" 2>"$work/$1.err" </dev/null &
    pid[$1]=$!
    pids+=($!)
}
is_ready() { grep -qs '^ready' "$work/$1.out"; }
cli() { timeout 30 redis-cli -p "$@" 2>&1; }

for node in a b c; do begin $node; done
ready=0
for node in a b c; do
    within 60 is_ready $node && ready=$((ready + 1))
    port[$node]=$(sed -n "s/^node $node .* resp 127\.0\.0\.1:\([0-9]*\).*/\1/p" "$work/$node.out")
done
check "a cluster is up" [ $ready = 3 ] || { cat "$work"/?.err; finish; }
redis-server --port "$redis" --bind 127.0.0.1 --save '' --dir "$work" >"$work/redis.log" 2>&1 &
pids+=($!)
answers() { [ "$(cli "$1" PING)" = PONG ]; }
check "so is a Redis" within 20 answers "$redis"

# -- The same answers -------------------------------------------------------------------------------------------------
# Keys begin with the node's name, so that each node meets them fresh.
cat >"$work/commands" <<'END'
GET @k
SET @k hello
GET @k
get @k
SET @k ""
GET @k
SET @k "two words\x00and\r\nmore"
GET @k
SETNX @k other
SETNX @n once
SETNX @n twice
GET @n
INCR @count
INCR @count
GET @count
SET @count -3
INCR @count
INCR @k
SET @big 9223372036854775806
INCR @big
INCR @big
GET @big
SET @odd 0x10
INCR @odd
SET @odd " 5"
INCR @odd
SET @odd 1e2
INCR @odd
SET @odd 5.0
INCR @odd
SET @odd 007
INCR @odd
SET @odd -0
INCR @odd
SET @odd 9223372036854775808
INCR @odd
SETEX @t 100 here
GET @t
SETEX @t 100.5 here
SETEX @t none here
SETEX @t 0 here
SETEX @t -1 here
GET @t
INCR @t
SET @t 41
INCR @t
GET
GET @k extra
SET @k
SETNX @k
SETEX @k 5
INCR
INCR @k extra
NOSUCH
NOSUCH @a @b
END
ask() { sed "s/@/$1-/g" "$work/commands" | cli "$2" --no-raw >"$work/$3"; }
for node in a b c; do
    ask $node "$redis" redis.$node
    ask $node "${port[$node]}" ours.$node
    check "node $node answers as Redis does" diff -a "$work/redis.$node" "$work/ours.$node"
done
check "and says something" [ "$(wc -l <"$work/redis.a")" -ge "$(wc -l <"$work/commands")" ]
check "redis-cli speaks RESP3 to it" [ "$(cli "${port[b]}" -3 GET a-n)" = once ]
expires() { [ "$(cli "${port[c]}" GET soon)" = "" ]; }
check "a key is set for a second" [ "$(cli "${port[a]}" SETEX soon 1 now)" = OK ]
check "and goes" within 10 expires

# -- kill -9 of each node in turn: whoever leads is among them --------------------------------------------------------
others() { case $1 in a) echo "b c" ;; b) echo "c a" ;; c) echo "a b" ;; esac; }
sets() { [ "$(cli "$1" SET "$2" "$3")" = OK ]; }
has() { # PORT KEY VALUE: an error may come first, while there is no leader; another value must not
    local end=$((SECONDS + 20)) said
    while [ $SECONDS -lt $end ]; do
        said=$(cli "$1" GET "$2")
        [ "$said" = "$3" ] && return
        [[ $said =~ ^[A-Z]+\  ]] || break
        sleep 0.05
    done
    echo "$2 is $said, not $3"
    return 1
}
n=0
for node in a b c; do
    set -- $(others $node)
    for i in $(seq 20); do [ "$(cli "${port[$node]}" INCR tally)" = $((n + i)) ] || break; done
    n=$((n + 20))
    kill -KILL "${pid[$node]}"
    wait "${pid[$node]}" 2>/dev/null
    check "after kill -9 of $node the others have what was written" has "${port[$1]}" tally $n
    check "both of them" has "${port[$2]}" tally $n
    check "and take more" within 20 sets "${port[$1]}" "without-$node" yes
    begin $node
    check "$node comes back" within 60 is_ready $node
    check "with what it missed" has "${port[$node]}" "without-$node" yes
done

# -- kill -9 of all ---------------------------------------------------------------------------------------------------
kill -KILL "${pid[a]}" "${pid[b]}" "${pid[c]}"
wait "${pid[a]}" "${pid[b]}" "${pid[c]}" 2>/dev/null
for node in a b c; do begin $node; done
for node in a b c; do within 60 is_ready $node; done
check "after kill -9 of all, everything is there" has "${port[b]}" tally $n
check "and counting goes on" [ "$(cli "${port[c]}" INCR tally)" = $((n + 1)) ]
finish
