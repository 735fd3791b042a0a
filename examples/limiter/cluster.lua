-- Ten gateways. A client may do `rate` things a second for long, and `burst` at once.
local nodes = {}
for i = 0, 9 do nodes[i + 1] = { id = "g" .. i, at = "127.0.0.1:744" .. i, roles = { "gateway" } } end
return orrery.cluster {
  name = "limiter",
  node = "node.lua",
  config = { rate = 20, burst = 10, lot = 3, fail_open = false },
  nodes = nodes,
}
