#!/bin/bash
# 49-shards.sh - examples/limiter and examples/cache as ten real processes each: one is killed, and keys find their way.
#
# With the sanitizers' build: ORR_PROGRAM names another.
set -u
. spec/stages/common.sh

program=${ORR_PROGRAM:-$PWD/build/asan/orrery}
under=$PWD/spec/asan
work=$(mktemp -d)
up=
trap '[ -z "$up" ] || kill -TERM $up 2>/dev/null; [ -z "$up" ] || wait $up 2>/dev/null; rm -rf "$work"' EXIT

# up NAME: the example's nodes, which must be ready; stop: they must stop.
up() {
    "$under" "$program" up "examples/$1/cluster.lua" --data "$work/$1" >"$work/out" 2>"$work/err" </dev/null &
    up=$!
    local end=$((SECONDS + 120))
    until grep -qs '^ready$' "$work/out"; do
        [ $SECONDS -lt $end ] || { cat "$work/out" "$work/err"; return 1; }
        sleep 0.05
    done
}
stop() {
    kill -TERM $up
    wait $up
    up=
    ! grep -E 'ERROR: |runtime error|broken invariant' "$work/err"
}
# killed ID: that node's process is gone at once, as by a crash.
killed() { kill -KILL "$(sed -n "s/^node $1 pid \([0-9]*\) .*/\1/p" "$work/out")"; }
is_id() { case $1 in [cg][0-9]) ;; *) return 1 ;; esac; }
# with: the script on stdin, connected to the example's nodes; it prints what comes next.
with() {
    cat "$work/lib.lua" - >"$work/client.lua"
    "$under" timeout -k 5 120 "$program" "$work/client.lua" 2>&1
}
cat >"$work/lib.lua" <<'END'
local function within(what, f)
  local last = os.time() + 40
  while true do
    local result = f()
    if result then return result end
    assert(os.time() < last, what)
    os.execute "sleep 0.05"
  end
end
local function at(port)                                  -- the cluster may answer before this node does
  return within("a connection", function() return orrery.connect("127.0.0.1:" .. port, { timeout = 5 }) end)
end
local function agree(a, gone)                            -- all that are there: all are alive but that one, which failed
  within("all agree on who is alive", function()
    local rows = a:matrix().rows
    for _, id in ipairs(a.ids) do
      for _, of in ipairs(id ~= gone and a.ids or {}) do
        local member = rows[id] and rows[id][of]
        if not member or member.state ~= (of == gone and "failed" or "alive") then return false end
      end
    end
    return true
  end)
end
END

check "limiter is up" up limiter
owner=$(with <<'END'
local a = at(7440)
-- The owner may be unreached in the first moment.
local _, by = nil, nil
within("somebody owns the key", function()
  _, by = a:call("allow", "ann")
  return by and by:match "^g%d since"
end)
print((by:match "^g%d"))
END
)
check "limiter has an owner for a key" is_id "$owner"
with >"$work/said" <<'END'
local a, began, n, asked, owners = at(7440), os.time(), 0, 0, {}
while os.time() < began + 3 do                           -- more than it may, at every gateway
  for _, id in ipairs(a.ids) do
    local allowed, by = a.nodes[id]:call("allow", "bob")
    asked = asked + 1
    if allowed then n, owners[by] = n + 1, true end
  end
end
local took, lives = os.time() - began + 1, 0
for _ in pairs(owners) do lives = lives + 1 end
assert(asked > 200 and n >= 10 and n <= lives * (10 + 20 * (took + 1)), ("%d of %d in %d s"):format(n, asked, took))
assert(lives == 1 or asked < 400, orrery.show(owners))
print "ok"
END
check "limiter keeps to its rate, whichever gateway is asked ($(cat "$work/said"))" [ "$(cat "$work/said")" = ok ]
is_id "$owner" || owner=g0
killed "$owner"
port=7440
[ "$owner" != g0 ] || port=7441
sed "s/PORT/$port/; s/OWNER/$owner/" >"$work/script" <<'END'
local a = at(PORT)
local by = within("the next one owns the key", function()
  local allowed, by = a:call("allow", "ann")
  return allowed and by:match "^(g%d) since"
end)
assert(by ~= "OWNER", by)
agree(a, "OWNER")
print "ok"
END
with <"$work/script" >"$work/said"
check "limiter goes on without the owner ($(cat "$work/said"))" [ "$(cat "$work/said")" = ok ]
check "limiter stops" stop

check "cache is up" up cache
owner=$(with <<'END'
local a = at(7453)
agree(a)
within("a write", function() return a:call("set", "k", "v1") end)
for _, id in ipairs(a.ids) do assert(a.nodes[id]:call("get", "k") == "v1", id) end
local owners = a:eval "ring:owners('k', 2)"
within("the copy is there", function() return a.nodes[owners[2]].state.count.taken > 0 end)
local hits = 0
for _, id in ipairs(a.ids) do hits = hits + a.nodes[id].state.count.hits end
assert(hits >= 5, hits)
print(owners[1])
END
)
check "cache serves what was written, from its owner ($owner)" is_id "$owner"
is_id "$owner" || owner=c0
killed "$owner"
port=7453
[ "$owner" != c3 ] || port=7454
sed "s/PORT/$port/; s/OWNER/$owner/" >"$work/script" <<'END'
local a = at(PORT)
within("the value without its owner", function() return a:call("get", "k") == "v1" end)
agree(a, "OWNER")
within("a write without it", function() return a:call("set", "k", "v2") end)
for _, id in ipairs(a.ids) do if id ~= "OWNER" then assert(a.nodes[id]:call("get", "k") == "v2", id) end end
assert(a:eval "ring:owners('k', 2)"[1] ~= "OWNER")
print "ok"
END
with <"$work/script" >"$work/said"
check "cache goes on without the owner ($(cat "$work/said"))" [ "$(cat "$work/said")" = ok ]
check "cache stops" stop
finish
