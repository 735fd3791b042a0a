#!/bin/bash
# 37-reload.sh - new code on live processes: orrery reload while a client writes; one node after the other restarted.
#
# With the sanitizers' build: ORR_PROGRAM names another.
set -u
. spec/stages/common.sh

program=${ORR_PROGRAM:-$PWD/build/asan/orrery}
under=$PWD/spec/asan
work=$(mktemp -d)
pids=
trap 'kill -KILL $pids 2>/dev/null; rm -rf "$work"' EXIT
ports=$((150 + $$ % 80))

# scripts VERSION: the files that the nodes are to run. The state of each version has another shape.
scripts() {
    cat >"$work/cluster.lua" <<END
return orrery.cluster { name = "r", node = "node.lua", timing = { call = 10 }, nodes = {
  { id = "a", at = "127.0.0.1:${ports}31" }, { id = "b", at = "127.0.0.1:${ports}32" },
  { id = "c", at = "127.0.0.1:${ports}33" } } }
END
    cat >"$work/node.lua" <<END
local version = $1
local seen = node:replicate("seen", {
  version = version,
  init = function() return { version = version, path = "", keys = {}, n = 0 } end,
  upgrade = function(s, from) s.version, s.path = version, s.path .. from .. " " return s end,
  apply = function(s, op)
    if not s.keys[op.key] then s.keys[op.key], s.n = true, s.n + 1 end
    return s.n, s.version
  end,
  query = { all = function(s) return s.n, s.version, s.path end },
})
node:on("add", function(key) return seen:propose { key = key } end)
node:on("all", function() return seen:read { "all" } end)
node:on("script", function() return version end)
END
}

# run ID: in the background; err in ID.err.
run() {
    "$under" "$program" run "$work/cluster.lua" --node "$1" --data "$work/data" >"$work/$1.out" 2>>"$work/$1.err" \
        </dev/null &
    pids="$pids $!"
    eval "pid_$1=$!"
}
within() {
    local end=$((SECONDS + $1))
    shift
    until "$@"; do
        [ $SECONDS -lt $end ] || return 1
        sleep 0.05
    done
}
ready() { grep -qs '^ready$' "$work/$1.out"; }
reload() { "$under" "$program" reload "$work/cluster.lua" "$@" >"$work/reload.out" 2>"$work/reload.err" </dev/null; }
said() { grep -qs "$1" "$work/$2"; }
# ask NODE EXPRESSION: its values, with a bar between.
ask() {
    "$under" "$program" "$work/ask.lua" "${ports}3$1" "$2" 2>&1
}
cat >"$work/ask.lua" <<'END'
local a <close> = assert(orrery.connect("127.0.0.1:" .. arg[1]))
local results = table.pack(load("local a = ... return " .. arg[2])(a))
for i = 1, results.n do results[i] = tostring(results[i]) end
print(table.concat(results, "|"))
END
# Writes keys by any node until it is told to stop; says how many were acknowledged, and every failure but `unknown`.
cat >"$work/writer.lua" <<'END'
local nodes, taken, failures, i = {}, 0, 0, 0
for n = 1, 3 do nodes[n] = assert(orrery.connect("127.0.0.1:" .. arg[1] .. n, { timeout = 10 })) end
print "begun"
io.stdout:flush()
while not io.open(arg[2]) do
  i = i + 1
  local done, message, code = nil, nil, nil
  for try = 1, 50 do
    done, message, code = nodes[(i + try) % 3 + 1]:call("add", "k" .. i)
    if done then break end
    failures = failures + 1
    if arg[3] == "strict" then print("not done", message, code) end
  end
  if done then taken = taken + 1 end
end
print("taken", taken, "of", i, "failures", failures)
END
writer() {
    rm -f "$work/stop" "$work/writer.out"
    "$under" "$program" "$work/writer.lua" "${ports}3" "$work/stop" "$1" >"$work/writer.out" 2>&1 </dev/null &
    writer=$!
    pids="$pids $!"
    check "a client writes" within 20 said begun writer.out
}
written() {
    touch "$work/stop"
    wait "$writer"
    taken=$(sed -n 's/^taken[[:space:]]*\([0-9]*\).*/\1/p' "$work/writer.out")
    [ "${taken:-0}" -gt 20 ] || { cat "$work/writer.out"; return 1; }
}

# -- Reloaded --------------------------------------------------------------------------------------------------------
scripts 1
for id in a b c; do run $id; done
for id in a b c; do check "$id is ready" within 60 ready $id; done
writer strict
lead='a:status().groups.seen.leader, a:status().groups.seen.term'
before=$(ask 1 "$lead")
scripts 2
check "orrery reload: all nodes, and then their group" reload
check "it says so of each node" [ "$(grep -c '^node [abc] reloaded$' "$work/reload.out")" = 3 ]
check "and of the group" said '^group seen runs bundle [0-9a-f]\{8\}$' reload.out
check "the scripts are the new ones" [ "$(ask 3 'a:call("script")')" = 2 ]
check "leader and term stay" [ "$(ask 1 "$lead")" = "$before" ]
check "the writer wrote meanwhile" written
check "and not one write failed" said 'failures[[:space:]]*0$' writer.out
check "nothing is lost, the state went over once" [ "$(ask 2 'a:call("all")')" = "$taken|2|1 " ]

echo 'node:on("x", function(' >"$work/node.lua"
reload
check "scripts that don't run are refused before any node is asked" [ $? = 2 ]
check "with their line" said "node.lua:2: .* expected near <eof>" reload.err
check "which the nodes don't notice" [ "$(ask 1 'a:call("script")')" = 2 ]

scripts 1
reload
check "a version that goes down is refused" [ $? = 1 ]
check "by each node" [ "$(grep -c "goes on as it was: .*'version' must not go down" "$work/reload.err")" = 3 ]
check "which goes on" [ "$(ask 1 'a:call("script")')" = 2 ]

scripts 3
check "one node alone" reload --node b
check "has new scripts" [ "$(ask 2 'a:call("script")')" = 3 ]
check "the group waits for the others" [ "$(ask 2 'a:status().groups.seen.version')" = 2 ]
check "the others say so" within 10 said "warn .*b runs other scripts than this node" a.err
check "the rest" reload
check "are with it" [ "$(ask 1 'select(2, a:call("all"))')" = "3|1 2 " ]

# -- Restarted, one after the other ----------------------------------------------------------------------------------
n=$(ask 1 'a:call("all")' | cut -d "|" -f 1)
writer patient
scripts 4
for id in a b c; do
    eval "pid=\$pid_$id"
    kill -TERM "$pid"
    wait "$pid" 2>/dev/null
    run $id
    check "$id is back with other scripts" within 60 ready $id
done
gone_over() { [ "$(ask 1 'select(2, a:call("all"))')" = "4|1 2 3 " ]; }
check "then the group goes over" within 20 gone_over
check "the writer wrote on" written
again=$(ask 3 'a:call("all")' | cut -d "|" -f 1)
check "nothing is lost ($taken of $((again - 0)) keys, $n before)" [ "$again" -ge "$taken" ]

# -- A node that is away, with old scripts ---------------------------------------------------------------------------
kill -KILL "$pid_c"
wait "$pid_c" 2>/dev/null
scripts 5
reload
check "a node that is away is told of" said "node c is not reached: .*refused" reload.err
check "and the group waits for it" [ "$(ask 1 'a:status().groups.seen.version')" = 4 ]
run c
check "it comes back with the new ones" within 60 ready c
over() { [ "$(ask 1 'select(2, a:call("all"))')" = "5|1 2 3 4 " ]; }
check "and the group goes over" within 20 over
kill -TERM $pid_a $pid_b $pid_c
for id in a b c; do
    eval "pid=\$pid_$id"
    wait "$pid"
    check "$id stops cleanly" [ $? = 0 ]
done
finish
