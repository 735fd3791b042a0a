#!/bin/sh
# calls.sh - calls and casts of scripts between two live processes over loopback: one at a time, 64 under way, casts.
# The bare figures beside them are those of rpc.c.
cd "$(dirname "$0")/../.." || exit 2
program=${ORR_PROGRAM:-$PWD/build/release/orrery}
folder=$(mktemp -d) || exit 1
trap 'rm -r "$folder"' EXIT
cat >"$folder/node.lua" <<'END'
local got = 0
node:on("echo", function(x) return x end)
node:on("count", function() got = got + 1 end)
node:on("counted", function() return got end)
local function rate(what, n, f)
  local begun = node:now()
  f()
  node.log:info(("%-16s %9.0f/s"):format(what, n / (node:now() - begun)))
end
local function measure()
  repeat node:sleep(0.1) until node:call("b", "echo", 1)
  rate("one at a time", 40000, function() for _ = 1, 40000 do node:call("b", "echo", 1) end end)
  rate("64 under way", 512000, function()
    local tasks = {}
    for k = 1, 64 do tasks[k] = node:spawn(function() for _ = 1, 8000 do node:call("b", "echo", 1) end end) end
    for k = 1, 64 do tasks[k]:wait() end
  end)
  rate("casts", 1000000, function()
    for _ = 1, 1000 do
      for _ = 1, 1000 do node:cast("b", "count", 1) end
      node:call("b", "echo", 1)
    end
  end)
  node.log:info("casts that came", (node:call("b", "counted")))
end
if node.id == "a" then node:spawn(measure) end
END
cat >"$folder/cluster.lua" <<'END'
return orrery.cluster { name = "calls", node = "node.lua", nodes = {
  { id = "a", at = "127.0.0.1:17401" }, { id = "b", at = "127.0.0.1:17402" } } }
END
timeout 15 "$program" up "$folder/cluster.lua" --data "$folder/data" 2>&1 | grep -E '/s$|came'
