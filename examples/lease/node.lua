-- A lease whose holder acts without asking anybody, while it is surely before the lease's end. The others wait until
-- that has surely passed. Neither is a guess: node:time() is an interval, and the cluster's time is in it.
local mine = 0                                -- until when the lease is ours
local lease = node:replicate("lease", {
  init  = function() return { ends = 0 } end,
  apply = { take = function(s, op)
    if s.by ~= op.by and op.earliest <= s.ends then return nil, "held by " .. s.by, "conflict" end
    s.by, s.ends = op.by, op.earliest + 5
    return s.ends
  end },
})
node.state.done = 0

node:every(1, function()
  local earliest = node:time()
  if earliest then mine = lease:propose { "take", by = node.id, earliest = earliest } or mine end
end)

node:on("act", function()
  if not node.clock:before(mine) then return nil, node.id .. " does not hold the lease", "denied" end
  node.state.done = node.state.done + 1
  return "done by " .. node.id
end)
