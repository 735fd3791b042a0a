-- Wrong on purpose: the same lease by a time-out. A timer takes the lease from its holder when five seconds are over.
local mine, timer = false, nil
local lease = node:replicate("lease", {
  init  = function() return { ends = 0 } end,
  apply = { take = function(s, op, at)
    if s.by ~= op.by and at.time <= s.ends then return nil, "held by " .. s.by, "conflict" end
    s.by, s.ends = op.by, at.time + 5
    return true
  end },
})
node.state.done = 0

node:every(1, function()
  if not lease:propose { "take", by = node.id } then return end
  if timer then timer:close() end
  mine, timer = true, node:after(5, function() mine = false end)
end)

node:on("act", function()
  if not mine then return nil, node.id .. " does not hold the lease", "denied" end
  node.state.done = node.state.done + 1       -- a node that was paused comes here before its timer does
  return "done by " .. node.id
end)
