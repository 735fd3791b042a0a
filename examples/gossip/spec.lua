-- Whatever is lost, cut or killed for a while: what was taken, all have in the end, and nobody makes messages up.
local orrery = require "orrery"

describe("gossip on a ring", function()
  for seed = 1, 200 do
    it("loses nothing that it took, seed " .. seed, function()
      local sim <close> = orrery.sim("examples/gossip/cluster.lua", { seed = seed })
      sim:between(1, 8):lose(0.3)
      sim:between(2, 6):partition({ "a", "b" }, { "c", "d", "e" })
      sim:between(4, 5):kill("d")
      local sent, taken = {}, {}
      sim:always("nobody makes messages up", function(s)
        for id, n in pairs(s.nodes) do
          for m in pairs(n.state.seen or {}) do if not sent[m] then return false, id .. " has " .. m end end
        end
        return true
      end)
      for i = 1, 20 do
        local m = "m" .. i
        sent[m] = true
        if sim:call(i % 2 == 0 and "a" or "d", "broadcast", m) then taken[m] = true end
        sim:run(0.4)
      end
      sim:eventually("all have what was taken", 5, function(s)
        for m in pairs(taken) do for _, n in pairs(s.nodes) do if not n.state.seen[m] then return false end end end
        return true
      end)
      assert(sim:check())                     -- nil, "gossip, seed 17, at 4.213: ...", and how to replay it
    end)
  end
end)
