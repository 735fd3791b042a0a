#!/bin/bash
# 47-examples.sh - the examples as real processes: the same files that the specs run in the simulator, byte for byte.
#
# With the sanitizers' build: ORR_PROGRAM names another.
set -u
. spec/stages/common.sh

program=${ORR_PROGRAM:-$PWD/build/asan/orrery}
under=$PWD/spec/asan
work=$(mktemp -d)
up=
trap '[ -z "$up" ] || kill -KILL $up 2>/dev/null; rm -rf "$work"' EXIT

# up NAME: the example's nodes, which must be ready; stop: they must stop cleanly.
up() {
    "$under" "$program" up "examples/$1/cluster.lua" --data "$work/$1" >"$work/out" 2>"$work/err" </dev/null &
    up=$!
    local end=$((SECONDS + 60))
    until grep -qs '^ready$' "$work/out"; do
        [ $SECONDS -lt $end ] || { cat "$work/out" "$work/err"; return 1; }
        sleep 0.05
    done
}
stop() {
    kill -TERM $up
    wait $up
    local status=$?
    up=
    [ $status = 0 ]
}
# client NAME: the script on stdin, connected to that example's nodes; it must say ok.
client() {
    cat >"$work/client.lua"
    local said
    said=$("$under" "$program" "$work/client.lua" 2>&1)
    [ "$said" = ok ] || { echo "$said"; return 1; }
}
# Asks until it is as expected, for 20 s at most.
cat >"$work/lib.lua" <<'END'
local function at(port)                                  -- the cluster may answer before this node does
  local last = os.time() + 20
  while true do
    local node, message = orrery.connect("127.0.0.1:" .. port)
    if node then return node end
    assert(os.time() < last, message)
    os.execute "sleep 0.05"
  end
end
local function within(what, f)
  local last = os.time() + 20
  while not f() do
    assert(os.time() < last, what)
    os.execute "sleep 0.05"
  end
end
END
with() { cat "$work/lib.lua" - >"$work/whole.lua" && client <"$work/whole.lua"; }

check "counter is up" up counter
with <<'END'
local a = at(7401)
assert(a:call("add", 5) == 5 and a.nodes.b:call("add", 2) == 7)
assert(a.nodes.c:call "get" == 7)
within("the copy here follows", function() return a:group("counter"):status().applied >= 4 end)
print "ok"
END
check "counter counts, whichever node is asked" [ $? = 0 ]
check "counter stops" stop

check "gossip is up" up gossip
with <<'END'
local a = at(7411)
for i = 1, 10 do assert(a.nodes[i % 2 == 0 and "c" or "e"]:call("broadcast", "m" .. i)) end
within("all have what was taken", function()
  for i = 1, 10 do
    for _, id in ipairs(a.ids) do
      if not (id == "a" and a or a.nodes[id]).state.seen["m" .. i] then return false end
    end
  end
  return true
end)
print "ok"
END
check "gossip reaches everybody" [ $? = 0 ]
check "gossip stops" stop
check "gossip is up again" up gossip
with <<'END'
assert(at(7413).state.seen.m7)
print "ok"
END
check "gossip has kept what it had" [ $? = 0 ]
check "gossip stops again" stop

check "shop is up" up shop
with <<'END'
local front = at(7421)
local page = front:call("page", "tea")
assert(page.price == 3.5 and page.stock == 42 and #page.missing == 0, orrery.show(page))
for _ = 1, 20 do assert(front:call("page", "cup").price == 7) end
assert(front:call("page", "tea").price == 3.5)
front.nodes.south:eval "node:stop()"
within("a page without the shelf that is away", function()
  local without = front:call("page", "tea")
  return without.stock == 12 and without.missing[1] == "south"
end)
print "ok"
END
check "shop makes its page in time, with a back end away too" [ $? = 0 ]
check "shop stops" stop

check "election is up" up election
with <<'END'
local a = at(7431)
assert(a.nodes.c:call "start")
within("all follow the greatest number's owner", function()
  for _, id in ipairs(a.ids) do
    if (id == "a" and a or a.nodes[id]).state.leader ~= "b" then return false end
  end
  return true
end)
print "ok"
END
check "election elects" [ $? = 0 ]
check "election stops" stop
finish
