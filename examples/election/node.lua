-- Chang and Roberts' election on a ring (1979), by hand: a candidate's number goes round; whoever has a greater one
-- sends its own instead; the number that comes back to its owner has been everywhere, and its owner leads.
local number, ids = node.config.number, {}
for i, n in ipairs(node.cluster.nodes) do ids[i] = n.id end
local following
for i, id in ipairs(ids) do if id == node.id then following = ids[i % #ids + 1] end end

local running = false
local function stand()
  running = true
  node:cast(following, "elect", number)
end
node:on("start", function()
  if not running then stand() end
  return true
end)
node:on("elect", function(n)
  if n > number then
    running = true
    node:cast(following, "elect", n)
  elseif n < number then
    if not running then stand() end           -- its owner can't win; this one might
  else
    node:cast(following, "elected", node.id)
  end
end)
node:on("elected", function(leader)
  running, node.state.leader = false, leader
  if leader ~= node.id then node:cast(following, "elected", leader) end
end)
