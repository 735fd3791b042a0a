#!/usr/bin/env lua5.4
-- tasks.lua [COUNT [VERB]] - what tasks and messages of scripts cost, in the simulator, in µs of CPU; exit 1 where a
-- bar is missed: 1,000,000 task switches a second, 1.5 µs a spawn, 200,000 handler events a second. Best of three.
-- With VERB only that one; "flat" is COUNT tasks (10^7, say) that end, fail or are cancelled, and what they left.
local top = arg[0]:match "^(.*)/spec/bench/" or "."
package.path = ("%s/build/release/lua/?.lua;%s/build/release/lua/?/init.lua;%s"):format(top, top, package.path)
package.cpath = ("%s/build/release/lua/?.so;%s"):format(top, package.cpath)
local orrery = require "orrery"
local count = math.tointeger(tonumber(arg[1] or 100000))

local folder = os.tmpname()
os.remove(folder)
os.execute("mkdir " .. folder)
local function write(name, text)
  local file = assert(io.open(folder .. "/" .. name, "w"))
  file:write(text)
  file:close()
end
write("cluster.lua", [[return orrery.cluster { name = "bench", node = "node.lua", limits = { steps = 10^9 // 1 },
  timing = { call = 60 },
  nodes = { { id = "a", at = "127.0.0.1:1" }, { id = "b", at = "127.0.0.1:2" } } }]])
write("node.lua", [[
local ended
local verbs = {}
function verbs.switch(n)                        -- each value is two: one goes on with it, one with having given it
  local c = node:channel()
  local t = node:spawn(function() for i = 1, n // 2 do c:put(i) end end)
  for _ = 1, n // 2 do c:get() end
  t:wait()
end
function verbs.sleep(n) for _ = 1, n do node:sleep(0) end end
function verbs.spawn(n)
  local f = function() end
  for _ = 1, n // 1000 do
    for _ = 1, 1000 do node:spawn(f) end
    node:sleep(0)
  end
end
function verbs.wait(n)
  local f = function() return 1 end
  for _ = 1, n do node:spawn(f):wait() end
end
function verbs.cast(n)
  for _ = 1, n // 500 do
    for _ = 1, 500 do node:cast("b", "nop", 1) end
    node:call("b", "nop")
  end
end
function verbs.call(n)
  local tasks = {}
  for k = 1, 64 do
    tasks[k] = node:spawn(function() for _ = 1, n // 64 do node:call("b", "nop", 1) end end)
  end
  for k = 1, 64 do tasks[k]:wait() end
end
function verbs.flat(n)
  local function ends() return 1 end
  local function fails() error "as asked" end
  local function waits() node:sleep(1000) end
  for _ = 1, n // 1000 do
    for _ = 1, 247 do node:spawn(ends) node:spawn(ends):wait() node:spawn(waits):cancel() node:spawn(ends):cancel() end
    for _ = 1, 12 do node:spawn(fails):wait() end
    node:sleep(0)
  end
end
node:on("nop", function() return true end)
node:on("go", function(verb, n)
  node.state.done = false
  node:spawn(function() verbs[verb](n) node.state.done = true end)
end)
]])

-- What Lua's own coroutines take for as much, in the same run: a busy machine slows both.
local stock = {}
function stock.switch(n)                        -- there and back
  local resume = coroutine.wrap(function() while true do coroutine.yield() end end)
  for _ = 1, n // 2 do resume() end
end
function stock.spawn(n)
  local f = function() end
  for _ = 1, n do coroutine.resume(coroutine.create(f)) end
end

local missed = false
local function measure(verb, what, bar)
  if (arg[2] or verb) ~= verb then return end
  local best, bare = math.huge, math.huge
  for _ = 1, 3 do
    if stock[verb] then
      local begun = os.clock()
      stock[verb](count)
      bare = math.min(bare, (os.clock() - begun) / count * 1e6)
    end
    local sim <close> = orrery.sim(folder .. "/cluster.lua")
    sim:run(1)
    local begun = os.clock()
    assert(sim:cast("a", "go", verb, count))
    repeat sim:run(0.5) until sim.nodes.a.state.done
    best = math.min(best, (os.clock() - begun) / count * 1e6)
  end
  missed = missed or bar and best > bar
  print(("%-44s %7.2f µs %10.0f/s%s%s"):format(what, best, 1e6 / best,
    stock[verb] and ("  x %.1f of stock's %.2f µs"):format(best / bare, bare) or "",
    bar and ("  (bar %.1f µs: %s)"):format(bar, best <= bar and "met" or "MISSED") or ""))
end
local function resident()               -- bytes
  local file = assert(io.open("/proc/self/statm"))
  local pages = tonumber(file:read "a":match "^%d+ (%d+)")
  file:close()
  return pages * 4096
end
local function stay_flat()
  local sim <close> = orrery.sim(folder .. "/cluster.lua")
  sim:run(1)
  local function go(n)
    assert(sim:cast("a", "go", "flat", n))
    repeat sim:run(0.5) until sim.nodes.a.state.done
  end
  go(count // 10)
  local before = resident()
  go(count)
  local more = (resident() - before) / count
  missed = missed or more > 1
  print(("%-44s %7.2f bytes left by each  (bar 1: %s)"):format(count .. " tasks", more,
    more <= 1 and "met" or "MISSED"))
end
if arg[2] == "flat" then stay_flat() end

measure("switch", "a switch, by a channel without room", 1)
measure("sleep", "node:sleep(0)")
measure("spawn", "node:spawn, run and ended", 1.5)
measure("wait", "node:spawn():wait()")
measure("cast", "a cast to another node and its handler", 5)
measure("call", "a call, 64 under way, both nodes")
os.execute("rm -r " .. folder)
os.exit(not missed)
