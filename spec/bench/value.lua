-- value.lua - orrery.pack, orrery.unpack and orrery.map: ns of this process's own time for each. [KEYS]
local orrery = require "orrery"
local keys = tonumber(arg[1] or 1000000)
local op = { "set", key = ("k"):rep(16), value = ("v"):rep(64) }
local bytes = orrery.pack(op)

local function cost(what, n, f)
  local best = math.huge
  for _ = 1, 3 do
    collectgarbage()
    local from = os.clock()
    f(n)
    best = math.min(best, (os.clock() - from) / n * 1e9)
  end
  print(("%-40s %8.0f ns"):format(what, best))
end

cost("pack { 'set', key = 16, value = 64 bytes }", 1000000, function(n) for _ = 1, n do orrery.pack(op) end end)
cost("unpack the same", 1000000, function(n) for _ = 1, n do orrery.unpack(bytes) end end)
local list = {}
for i = 1, 1000 do list[i] = i end
cost("pack 1,000 integers", 2000, function(n) for _ = 1, n do orrery.pack(list) end end)

local names, m = {}, orrery.map()
for i = 1, keys do names[i] = ("key:%012d"):format(i * 7919 % keys) end
local function once(what, f)
  local from = os.clock()
  f()
  print(("%-40s %8.0f ns"):format(what, (os.clock() - from) / keys * 1e9))
end
local value = ("v"):rep(64)
once("map: set, keys in no order", function() for i = 1, keys do m[names[i]] = value end end)
once("map: get", function() for i = keys, 1, -1 do local _ = m[names[i]] end end)
once("map: a step of pairs", function() for _ in pairs(m) do end end)
once("map: set anew", function() for i = 1, keys do m[names[i]] = value end end)
once("map: remove", function() for i = 1, keys do m[names[i]] = nil end end)
