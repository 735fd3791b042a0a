-- orrery draw.lua: what least.lua leaves of the run, as a picture and as what clients saw of one register.
local orrery = require "orrery"
local sim <close> = orrery.sim("cluster.lua", { seed = 1, faults = "least.lua", workload = "register" })
sim:run(3.4)
sim:diagram("stale.svg", { from = 3.05, till = 3.35 })
for _, line in ipairs(sim:history()) do
  if line.key == "r2" and line.time > 3.1e9 and line.time < 3.3e9 then
    print(("%.6f  process %d  %-6s %-5s %s"):format(line.time / 1e9, line.process, line.type, line.f,
      orrery.show(line.value)))
  end
end
