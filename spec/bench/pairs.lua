#!/usr/bin/env lua5.4
-- pairs.lua [KEYS] - ordered pairs, table.sort and patterns beside stock Lua's, in ns; exit 1 where pairs misses
-- its bars: 1.1 times stock on a sequence, 7 times on string keys (of 10,000). Best of seven runs each, in turn.
local top = arg[0]:match "^(.*)/spec/bench/" or "."
package.path = ("%s/lua/?.lua;%s/lua/?/init.lua;%s"):format(top, top, package.path)
package.cpath = ("%s/build/release/lua/?.so;%s"):format(top, package.cpath)
local core = require "orrery.core"
local keys = math.tointeger(tonumber(arg[1] or 10000))
local missed = false

local function time(f, ...)
  collectgarbage()
  local before = os.clock()
  f(...)
  return os.clock() - before
end

local function compare(name, elements, bar, run, stock, here)
  local a, b = math.huge, math.huge
  for _ = 1, 7 do
    a, b = math.min(a, time(run, stock)), math.min(b, time(run, here))
  end
  local ratio = b / a
  local verdict = bar and ("  (bar %.1f: %s)"):format(bar, ratio <= bar and "met" or "MISSED") or ""
  missed = missed or bar and ratio > bar
  print(("%-28s stock %7.1f ns   here %7.1f ns   x %.2f%s"):format(name, a / elements * 1e9, b / elements * 1e9, ratio,
    verdict))
end

local function walk(t, times)
  return function(pairs) for _ = 1, times do for _ in pairs(t) do end end end
end
local sequence, strings, short = {}, {}, { a = 1, b = 2, c = 3 }
for i = 1, keys do sequence[i], strings["key:" .. i] = i, i end
local times = math.max(1, 1000000 // keys)
compare("pairs, a sequence", keys * times, 1.1, walk(sequence, times), pairs, core.ordered.pairs)
compare("pairs, string keys", keys * times, 7, walk(strings, times), pairs, core.ordered.pairs)
compare("pairs, three string keys", 300000, nil, walk(short, 100000), pairs, core.ordered.pairs)
compare("table.sort, numbers", keys * 10, nil, function(sort)
  for _ = 1, 10 do
    local t = {}
    for i = 1, keys do t[i] = i * 7919 % 100003 end
    sort(t)
  end
end, table.sort, core.sort.sort)
local line = ("name=value; other = 17, "):rep(40)
compare("gmatch, a match", 160000, nil, function(gmatch)
  for _ = 1, 2000 do for _ in gmatch(line, "(%w+)%s*=%s*(%w+)") do end end
end, string.gmatch, core.pattern.gmatch)
compare("instructions in a budget", 10000000, nil, function(run)
  run(function() local x = 0 for i = 1, 5000000 do x = x + i end end)
end, pcall, function(f) return core.budget.run(1 << 40, f) end)
os.exit(not missed)
