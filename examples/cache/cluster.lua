-- Ten nodes that cache what three of them store. Nothing that is served was true more than max_age seconds ago.
local nodes = {}
for i = 0, 9 do
  nodes[i + 1] = { id = "c" .. i, at = "127.0.0.1:745" .. i, zone = i < 5 and "north" or "south",
    roles = i < 3 and { "cache", "store" } or { "cache" } }
end
return orrery.cluster {
  name = "cache",
  node = "node.lua",
  config = { max_age = 2, copies = 2, most = 10000 },
  nodes = nodes,
}
