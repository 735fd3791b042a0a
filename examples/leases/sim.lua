-- orrery sim.lua [index]: how long a read takes where c is 10 ms from the others, one way; then with c cut off.
local orrery = require "orrery"

local nodes = {}
for i, id in ipairs { "a", "b", "c" } do
  nodes[i] = { id = id, at = "127.0.0.1:740" .. i, resp = "127.0.0.1:750" .. i }
end
local sim <close> = assert(orrery.sim(orrery.cluster { name = "leases", node = "node.lua", clock = {}, nodes = nodes,
  config = { reads = arg[1] or "lease" } }, { seed = 1 }))
for _, id in ipairs { "a", "b" } do
  sim:delay(id, "c", 0.010)
  sim:delay("c", id, 0.010)
end
sim:run(2)
local leader = sim:leader "kv"
sim:call(leader, "set", "title", "Orrery")

local function read(id, verb)
  local began = sim:now()
  local value, message, code = sim:call(id, verb, "title")
  print(("%-4s at %s, %-10s %7.4f s  %s"):format(verb, id, id == leader and "the leader" or "a follower",
    sim:now() - began, value or ("%s: %s"):format(code, message)))
end

sim:run(1)
for _, id in ipairs { "a", "b", "c" } do
  read(id, "get")
  read(id, "page")
end
sim:partition({ "a", "b" }, { "c" })
sim:run(0.5)
print(("c is cut off; its copy is %.3f s old at most"):format(sim.nodes.c:status().groups.kv.age))
read("c", "page")
sim:run(0.5)
read("c", "page")
