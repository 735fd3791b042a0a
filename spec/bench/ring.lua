-- ring.lua [SECONDS] - look-ups of random 16-byte keys from Lua, among 100 nodes of 160 points: a line, exit 1 where
-- fewer than 12 million a second were done. Best of five rounds.
local top = arg[0]:match "^(.*)/spec/bench/" or "."
package.path = ("%s/lua/?.lua;%s/lua/?/init.lua;%s"):format(top, top, package.path)
package.cpath = ("%s/build/release/lua/?.so;%s"):format(top, package.cpath)
local ring = require "orrery.ring"
local seconds, bar = tonumber(arg[1] or 1), 12

local nodes, keys = {}, {}
for i = 1, 100 do nodes[i] = ("node%03d"):format(i - 1) end
math.randomseed(7)
for i = 1, 65536 do
  local bytes = {}
  for j = 1, 16 do bytes[j] = string.char(97 + math.random(0, 25)) end
  keys[i] = table.concat(bytes)
end
local r = ring.new { nodes = nodes }
local owner, best = r.owner, 0
for _ = 1, 5 do
  local n, began = 0, os.clock()
  local took
  repeat
    for i = 1, #keys do owner(r, keys[i]) end
    n, took = n + #keys, os.clock() - began
  until took >= seconds / 5
  best = math.max(best, n / took / 1e6)
end
local line = "from Lua: %.1f million look-ups a second (at least %d: %s)"
print(line:format(best, bar, best >= bar and "met" or "MISSED"))
os.exit(best >= bar)
