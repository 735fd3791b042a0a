-- A counter that goes up and down, kept by all without a leader (a PN-Counter: Shapiro et al. 2011). Each node counts
-- what it was asked to add and to take away, in two numbers that only grow: of two copies of a node's numbers the
-- greater is the newer. The value is the sum over all nodes. A node tells its own numbers only once they are on its
-- disk: if it told more, and forgot it in a crash, others would take its old numbers for new ones.
local own, why = node:load "own"
if why then return node:stop(why) end         -- its disk can't be read: better down than forgetful
own = own or { up = 0, down = 0 }
local known = {}                              -- id -> its numbers
node.state.known = known

local function merge(id, up, down)
  local old = known[id] or { up = 0, down = 0 }
  known[id] = { up = math.max(old.up, up), down = math.max(old.down, down) }
end
merge(node.id, own.up, own.down)

node:on("add", function(delta)
  if delta >= 0 then own.up = own.up + delta else own.down = own.down - delta end
  local up, down = own.up, own.down
  local ok, message = node:save("own", own)
  if not ok then return nil, message, "unknown" end   -- the next save takes it along
  merge(node.id, up, down)
  return true
end)
node:on("read", function()
  local sum = 0
  for _, numbers in pairs(known) do sum = sum + numbers.up - numbers.down end
  return sum
end)

node:on("merge", function(other) for id, numbers in pairs(other) do merge(id, numbers.up, numbers.down) end end)
node:every(0.2, function() node:cast(node.peers, "merge", known) end)
