-- orrery draw.lua: what least.lua leaves of the run, as a picture and as what clients saw of one register.
local orrery = require "orrery"
local sim <close> = orrery.sim("cluster.lua", { seed = 3, faults = "least.lua", workload = "register" })
sim:run(2.4)
sim:diagram("stale.svg", { from = 2.1, till = 2.26 })
for _, line in ipairs(sim:history()) do
  if line.key == "r1" and line.time > 2.1e9 and line.time < 2.2e9 then
    print(("%.6f  process %d  %-6s %-5s %s"):format(line.time / 1e9, line.process, line.type, line.f,
      orrery.show(line.value)))
  end
end
