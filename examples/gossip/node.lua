-- A broadcast over whatever links there are: each node tells its neighbours what they lack until they have said "got".
local seen, owed = node:load("seen") or {}, {}    -- what was saved before the last crash; peer -> messages it lacks
node.state.seen = seen                            -- what is in node.state can be looked at from outside
for _, peer in ipairs(node.peers) do
  owed[peer] = {}
  for m in pairs(seen) do owed[peer][m] = true end
end
local function learn(message, from)
  if seen[message] then return end
  seen[message] = true
  for peer, set in pairs(owed) do if peer ~= from then set[message] = true end end
end
node:on("broadcast", function(message) learn(message) return node:save("seen", seen) end)   -- durable, then answered
node:on("gossip", function(messages)
  for _, m in ipairs(messages) do learn(m, node:from()) end
  if node:save("seen", seen) then node:cast(node:from(), "got", messages) end
end)
node:on("got", function(messages) for _, m in ipairs(messages) do owed[node:from()][m] = nil end end)
node:every(0.1, function()
  for peer, set in pairs(owed) do
    local list = {}
    for m in pairs(set) do list[#list + 1] = m end
    if #list > 0 then node:cast(peer, "gossip", list) end
  end
end)
