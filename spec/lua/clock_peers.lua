-- clock_peers.lua - peers of a clock that runs too fast, on paths with queues; from one seed, the truth is known.
--
-- dofile "spec/lua/clock_peers.lua" (clock, { lie = { a = ns }, rate = s/s })
local ms, s = 1000000, 1000000000

return function(clock, opts)
  local w = { time = 1790000000 * s, rate = opts and opts.rate or 12e-6, lie = opts and opts.lie or {}, state = 7 }

  local function chance()
    w.state = (w.state * 6364136223846793005 + 1442695040888963407)
    return (w.state >> 11) / (1 << 53)
  end
  local function queue() return 100000 + math.floor(-50000 * math.log(1 - chance())) end

  -- The local clock: began at 10^10 ns.
  function w:here()
    local gone = self.time - 1790000000 * s
    return 10 * s + gone + math.floor(gone * self.rate)
  end

  function w:exchange(peer)
    local t1 = self:here()
    self.time = self.time + queue()
    local t2 = self.time + (self.lie[peer] or 0)
    self.time = self.time + 5000
    local t3 = self.time + (self.lie[peer] or 0)
    self.time = self.time + queue()
    return t1, t2, t3, self:here()
  end

  function w:ask(peer)
    local t1, t2, t3, t4 = self:exchange(peer)
    return clock:sample(peer, t1, t2, t3, t4, { root_dispersion = 1000 })
  end

  -- Each of these peers n times, a second apart. True time is looked for in the interval after each.
  function w:run(peers, n, each)
    for _ = 1, n do
      for _, peer in ipairs(peers) do
        local verdict = self:ask(peer)
        local t = clock:now(self:here())
        if t and t.state ~= "unsync" then
          assert(t.earliest <= self.time and self.time <= t.latest, "the truth is not in the interval")
          assert(t.earliest <= self:here() + t.offset and self:here() + t.offset <= t.latest, "nor the offset")
        end
        if each then each(peer, verdict, t) end
      end
      self.time = self.time + 1000 * ms
    end
  end

  return w
end
