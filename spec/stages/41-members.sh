#!/bin/bash
# 41-members.sh - node.members among real processes: killed, stopped, gone cleanly, with keys and without theirs.
#
# With the sanitizers' build: ORR_PROGRAM names another.
set -u
. spec/stages/common.sh

program=${ORR_PROGRAM:-$PWD/build/asan/orrery}
under=$PWD/spec/asan
work=$(mktemp -d)
declare -A pid
trap 'kill -KILL "${pid[@]}" 2>/dev/null; wait 2>/dev/null; rm -rf "$work"' EXIT

ports=$((180 + $$ % 80))
cat >"$work/node.lua" <<'EOF'
node:on("states", function()
  local out = {}
  for _, m in ipairs(node.members:list()) do out[#out + 1] = m.id .. " " .. m.state end
  return table.concat(out, ", ")
end)
node:on("rtt", function(a, b) return node.members:rtt(a, b) end)
node:on("why", function(id) return tostring(node.members:why(id)) end)
node:on("dropped", function() return node.members:status().wrong_key end)
node:on("key", function(verb, name) return node.members:key(verb, name) end)
EOF
cat >"$work/cluster.lua" <<EOF
local nodes = {}
for i, id in ipairs { "a", "b", "c", "d", "e" } do nodes[i] = { id = id, at = "127.0.0.1:${ports}2" .. i } end
return orrery.cluster { name = "members", node = "node.lua", nodes = nodes,
  secrets = { old = "env:MEMBERS_KEY", new = "file:new.key" },
  members = { probe = 0.2, sync = 2, keys = { "old" } } }
EOF
printf 'another secret\n' >"$work/new.key"
# ask.lua NODE NAME [ARG...]: what its handler returns.
cat >"$work/ask.lua" <<EOF
local orrery = require "orrery"
local at = { a = 1, b = 2, c = 3, d = 4, e = 5 }
local handle = assert(orrery.connect("127.0.0.1:${ports}2" .. at[arg[1]]))
local results = table.pack(handle:call(table.unpack(arg, 2)))
for i = 1, results.n do results[i] = tostring(results[i]) end
print(table.concat(results, "  "))
EOF

begin() {                           # NODE [VARIABLE=VALUE]...
    local node=$1
    shift
    env MEMBERS_KEY=secret "$@" "$under" "$program" run "$work/cluster.lua" --node "$node" --data "$work/data" \
        >>"$work/$node.log" 2>&1 </dev/null &
    pid[$node]=$!
}
ask() { "$under" "$program" "$work/ask.lua" "$@" 2>"$work/ask.err"; }
within() {                          # SECONDS COMMAND...
    local end=$((SECONDS + $1))
    shift
    until "$@"; do
        [ $SECONDS -lt $end ] || return 1
        sleep 0.1
    done
}
hold() {                            # STATES NODE...: do these nodes hold these?
    local states=$1
    shift
    for node in "$@"; do [ "$(ask "$node" states)" = "$states" ] || return 1; done
}

for node in a b c d e; do begin $node; done
all="a alive, b alive, c alive, d alive, e alive"
check "five nodes find each other" within 20 hold "$all" a b c d e
apart() { grep -qE '^([0-9.]+|[0-9.]+e-[0-9]+)  [0-9.]+$' <<<"$(ask a rtt b c)"; }
check "and know how far apart they are" within 10 apart

kill -KILL ${pid[c]}
wait ${pid[c]} 2>/dev/null
check "who is killed is failed" within 20 hold "a alive, b alive, c failed, d alive, e alive" a b d e
check "and why can be read" grep -q "no answer" <<<"$(ask a why c)"
begin c
check "and in another life alive" within 20 hold "$all" a b c d e

kill -STOP ${pid[d]}
check "who stands still is failed" within 20 hold "a alive, b alive, c alive, d failed, e alive" a b c e
kill -CONT ${pid[d]}
check "and alive again when it goes on" within 20 hold "$all" a b c d e

kill -TERM ${pid[e]}
wait ${pid[e]} 2>/dev/null
check "who goes has left" within 5 hold "a alive, b alive, c alive, d alive, e left" a b c d
check "and nobody took it for failed" [ "$(cat "$work"/[a-d].log | grep -c 'members: e failed')" = 0 ]

begin e MEMBERS_KEY=wrong
within 10 grep -q "^ready" "$work/e.log"
counts() { [ "$(ask a dropped)" != 0 ]; }
check "who has another key is not believed" within 10 counts
check "nor does it believe the others" within 5 hold "e alive" e
kill -KILL ${pid[e]}
wait ${pid[e]} 2>/dev/null

rotate() { for node in a b c d; do [ "$(ask $node key "$@")" = true ] || return 1; done; }
before=$(ask b dropped)
check "a key is added, used, the old one removed" eval "rotate add new && rotate use new && rotate remove old"
sleep 2                             # a few probes of each
check "and no message was dropped for it" [ "$(ask b dropped)" = "$before" ]
check "nor anybody lost" hold "a alive, b alive, c alive, d alive, e left" a b c d

refused() {
    env -u MEMBERS_KEY "$under" "$program" run "$work/cluster.lua" --node e --data "$work/data" >"$work/refused" 2>&1
    [ $? = 2 ] || return 1
    grep -q 'members.keys\[1\]: secret env:MEMBERS_KEY: the environment has no MEMBERS_KEY' "$work/refused"
}
check "a node without its secret does not start, and says which" refused
for node in a b c d; do kill -TERM ${pid[$node]}; done
for node in a b c d; do
    wait ${pid[$node]}
    check "$node ends cleanly" [ $? = 0 ]
done
finish
