-- A broadcast by gossip: each node tells its neighbours what they lack until they have said that they have it. What a
-- node takes is on its disk before anybody hears of it; so it reaches all, whatever is lost, cut or killed for a while.
local taken, why = node:load "taken"          -- messages
if why then return node:stop(why) end         -- its disk can't be read: better down than forgetful
taken = taken or {}
local kept, lacks = {}, {}                    -- those of them that are on the disk; neighbour -> those that it may lack
node.state.kept = kept
for _, peer in ipairs(node.peers) do lacks[peer] = {} end

local function list(set)
  local messages = {}
  for message in pairs(set) do messages[#messages + 1] = message end
  return messages
end
local function tell(messages, from)
  for _, message in ipairs(messages) do
    if not kept[message] then
      kept[message] = true
      for peer, set in pairs(lacks) do if peer ~= from then set[message] = true end end
    end
  end
end
local function take(messages, from)
  for _, message in ipairs(messages) do taken[message] = true end
  local ok, message = node:save("taken", taken)
  if not ok then return nil, message, "unknown" end   -- the next save takes them along
  tell(messages, from)
  return true
end
tell(list(taken))

node:on("broadcast", function(message) return take({ message }) end)
node:on("read", function() return list(kept) end)

node:on("gossip", function(messages)
  if take(messages, node:from()) then node:cast(node:from(), "got", messages) end
end)
node:on("got", function(messages) for _, message in ipairs(messages) do lacks[node:from()][message] = nil end end)
node:every(0.1, function()
  for peer, set in pairs(lacks) do
    local messages = list(set)
    if #messages > 0 then node:cast(peer, "gossip", messages) end
  end
end)
