-- orrery sim.lua: what the workload `lock` says of the files here, in a run with this seed.
local orrery = require "orrery"
local workload = require "orrery.workload"

local sim <close> = orrery.sim("cluster.lua", { seed = 1, faults = "default", workload = "lock" })
local runner = workload.of(sim)
sim:run(10)                                   -- faults strike, clients are at work
sim:heal()
runner:quiet()                                -- no new operations; those under way end
assert(sim:run_until(function() return runner:settled() end, 60))
local ok, property, message = runner:judge()
print(ok and "all held" or property, message)
