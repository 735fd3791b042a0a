-- A set that only grows, kept by all without a leader: the union of two copies is the newer copy, in whatever order and
-- how often they come (a G-Set: Shapiro et al. 2011). So a node needs no answer: it tells its whole set now and then.
local set, why = node:load "set"
if why then return node:stop(why) end         -- its disk can't be read: better down than forgetful
set = set or {}
node.state.set = set

node:on("add", function(element)
  set[element] = true
  local ok, message = node:save("set", set)
  if ok then return true end
  return nil, message, "unknown"                  -- others may have heard of it
end)
node:on("read", function()
  local elements = {}
  for element in pairs(set) do elements[#elements + 1] = element end
  local ok, message = node:save("set", set)   -- what is told must not be forgotten
  if ok then return elements end
  return nil, message, "unavailable"
end)

node:on("merge", function(other) for element in pairs(other) do set[element] = true end end)
node:every(0.3, function() node:cast(node.peers, "merge", set) end)
