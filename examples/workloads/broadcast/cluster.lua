-- Five nodes on a ring whose links lose every fifth datagram and are slow (in the simulator; elsewhere they are what
-- they are).
local ids = { "a", "b", "c", "d", "e" }
local nodes, links = {}, {}
for i, id in ipairs(ids) do
  nodes[i] = { id = id, at = "127.0.0.1:" .. 7400 + i }
  links[i] = { id, ids[i % #ids + 1], delay = 0.02, loss = 0.2 }
end
return orrery.cluster { name = "broadcast", node = "node.lua", nodes = nodes, links = orrery.topology.links(links) }
