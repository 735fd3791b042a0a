-- busted spec.lua: what this service promises its users when something breaks, over 20 seeds.
local orrery = require "orrery"
local cluster = arg and arg[0] and debug.getinfo(1, "S").source:match "^@(.*/)spec.lua$" or ""
cluster = cluster .. "cluster.lua"

describe("the service", function()
  for seed = 1, 20 do
    it("is back within two seconds of its leader's death, seed " .. seed, function()
      local sim <close> = orrery.sim(cluster, { seed = seed })
      sim:run(2)
      local median, longest = sim:rto("kill leader", { write = { "add", 1 } })
      assert.is_true(median < 1.5 and longest < 2, ("median %.3f s, longest %.3f s"):format(median, longest))
    end)

    it("has every acknowledged addition on all replicas after a bad minute, seed " .. seed, function()
      local sim <close> = orrery.sim(cluster, { seed = seed, faults = "default" })
      for T = 8, 50, 14 do sim:between(T, T + 2):kill(sim.leader) end
      local sum, unknown = 0, 0
      for i = 1, 60 do
        local n, _, code = sim:call(sim.ids[i % 3 + 1], "add", 1)
        if n then sum = sum + 1 elseif code == "unknown" then unknown = unknown + 1 end
        sim:run(1)
      end
      sim:heal()
      sim:assert_converges(10)
      local n = assert(sim:call("a", "add", 0))
      assert.is_true(n >= sum and n <= sum + unknown, ("%d, of %d and perhaps %d"):format(n, sum, unknown))
      assert(sim:check())
    end)
  end
end)
