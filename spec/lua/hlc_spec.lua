-- hlc_spec.lua - orrery.hlc as an object: stamps, messages, limits over restarts, the end of the numbers; what wrong
-- use is told; and that no script reaches an assertion of the core.
local orrery = require "orrery"

local s, at = 1000000000, 1790000000000000000
local unit = 15259                      -- ns, rounded up

describe("orrery.hlc", function()
  it("gives stamps that grow, by time and while that stands or goes back", function()
    local h = orrery.hlc {}
    local before = 0
    for _, wall in ipairs { at, at, at, at + 1, at + unit, at + s, at, 0, -5, math.mininteger, at + s + 1 } do
      local stamp = h:now(wall)
      assert.equal("integer", math.type(stamp))
      assert.is_true(stamp > before)
      before = stamp
    end
    assert.same({ at + s, 5 }, { h:parts(before) })
  end)

  it("tells the parts of a stamp", function()
    local h = orrery.hlc()
    local first, second = h:now(at), h:now(at)
    assert.same({ at, 0 }, { h:parts(first) })
    assert.same({ at, 1 }, { h:parts(second) })
    assert.equal(first, h:of(at))
    assert.is_true(at + 10 - (h:parts(h:of(at + 10))) < unit)
    assert.equal(first >> 16, at // s << 16)
    assert.same({ 0, 0 }, { h:parts(0) })
  end)

  it("puts a receipt after its message and all before", function()
    local a, b = orrery.hlc {}, orrery.hlc {}
    local sent = a:now(at + s // 4)
    local own = b:now(at)
    local received = b:recv(at, sent)
    assert.is_true(received > sent and received > own)
    assert.is_true(b:now(at) > received)
    assert.is_true(b:recv(at, own) > received)
  end)

  it("refuses a message from too far ahead, and nothing has changed", function()
    local h = orrery.hlc { skew_max = 1000000 }
    local stamp = h:now(at)
    local ahead = h:of(at + 1000000 + 2 * unit)
    assert.same({ nil, "orrery.hlc:recv: its stamp is more than 1000000 ns ahead", "denied" }, { h:recv(at, ahead) })
    assert.same({ nil, "orrery.hlc:recv: its stamp is more than 1000000 ns ahead", "denied" }, { h:recv(at, -1) })
    assert.same({ 2, stamp }, { h:status().refused, h:status().last })
    assert.equal(ahead + 1, (h:recv(at, ahead, at + 2 * unit)))
    assert.matches("last=1790000000001%d+ ns%+1 limit=0 ns refused=2%)$", tostring(h))
  end)

  it("carries a full counter into the time", function()
    local h = orrery.hlc {}
    local stamp = h:recv(at, h:of(at) | 0xffff)
    assert.equal(h:of(at) + 0x10000, stamp)
    assert.same({ 0, true }, { select(2, h:parts(stamp)), h:parts(stamp) > at })
    assert.is_true(h:now(at) > stamp)
  end)

  it("is compared by math.ult when Lua's integers have become negative, and ends in 2106", function()
    local h = orrery.hlc {}
    local in_2037, in_2039 = h:now(2145000000 * s), h:now(2180000000 * s)
    assert.is_true(math.ult(in_2037, in_2039) and in_2039 < 0)
    assert.is_true(math.ult(in_2039, (h:now(0))))
    local last = -2
    assert.equal(last, (h:recv((1 << 32) * s, last - 1)))
    assert.same({ nil, "orrery.hlc:now: not available here now", "unavailable" }, { h:now(at) })
    assert.same({ nil, "orrery.hlc:recv: not available here now", "unavailable" }, { h:recv((1 << 32) * s, 5) })
  end)
end)

describe("a limit", function()
  it("is told when half of the way is gone, and makes stamps usable", function()
    local h = orrery.hlc { ahead = s }
    local stamp = h:now(at)
    assert.is_false(h:usable(stamp))
    local limit = h:store(at)
    assert.is_true(limit > stamp and h:parts(limit) >= at + s - unit)
    assert.is_nil((h:store(at)))
    assert.is_false(h:usable(stamp))
    assert.is_true(h:stored(limit))
    assert.same({ true, false }, { h:usable(stamp), h:usable(limit) })
    assert.is_nil((h:store(at + s // 2 - unit)))
    assert.is_true(h:store(at + s // 2 + 2 * unit) > limit)
    assert.equal(limit, h:status().limit)
  end)

  it("is asked for anew when its write failed", function()
    local h = orrery.hlc {}
    local limit = h:store(at)
    assert.is_true(h:unstored())
    assert.equal(limit, h:store(at))
  end)

  it("is stored only if somebody asked for that", function()
    local h = orrery.hlc {}
    local limit = h:store(at)
    for _, wrong in ipairs { limit + 1, -1, math.maxinteger } do
      assert.same({ nil, "orrery.hlc:stored: nobody asked for this limit to be stored", "invalid" },
        { h:stored(wrong) })
    end
    assert.is_true(h:stored(0))
    assert.equal(0, h:status().limit)
  end)

  it("keeps a restart above all that was used, however often and whatever the wall says", function()
    local disk, used = 0, 0
    for run = 1, 50 do
      local h = orrery.hlc { limit = disk }
      local wall = at - run * 30 * s
      assert.is_true(h:ahead(wall) == 0 or run > 1)
      for _ = 1, 20 do
        local limit = h:store(wall)
        if limit then
          disk = limit
          h:stored(limit)
        end
        local stamp = h:now(wall)
        if h:usable(stamp) then
          assert.is_true(stamp > used)
          used = stamp
        end
      end
    end
    assert.is_true(used > 0)
    assert.is_true(orrery.hlc { limit = disk }:ahead(at) <= s)
  end)
end)

describe("wrong use of an hlc", function()
  local rows = {
    { "'skew_max' must be an integer of at least 0 (got -1)", { skew_max = -1 } },
    { "'ahead' must be an integer of at least 1000000 (got 999999)", { ahead = 999999 } },
    { "'limit' must be an integer (got 1.5)", { limit = 1.5 } },
    { "'skewmax' is unknown (nearest: 'skew_max')", { skewmax = 1 } },
  }
  for _, row in ipairs(rows) do
    it("is told: " .. row[1], function()
      assert.has_error(function() orrery.hlc(row[2]) end, "orrery.hlc: " .. row[1])
    end)
  end

  it("is told what is no integer", function()
    local h = orrery.hlc {}
    for _, v in ipairs { 1.5, 0 / 0, 2.0 ^ 63, "x", {}, false } do
      for _, name in ipairs { "now", "recv", "parts", "of", "store", "stored", "usable", "ahead" } do
        assert.is_false((pcall(h[name], h, v, v)))
      end
    end
    assert.has_error(function() h.now({}, 1) end)
  end)
end)

describe("in a node's script", function()
  local folder = dofile "spec/lua/folder.lua"()
  teardown(function() folder:remove() end)

  it("there are clocks, and in a pure function none", function()
    folder:write("n.lua", [[
      local c, h = orrery.clock { peers = { "x" } }, orrery.hlc {}
      c:sample("x", 1, 2, 3, 4)
      node.state.stamp, node.state.clock = h:now(1790000000000000000), tostring(c)
      node:replicate("g", { apply = function() return orrery.hlc({}):now(5) end })]])
    folder:write("c.lua", [[return orrery.cluster { name = "one", node = "n.lua",
      nodes = { { id = "a", at = "127.0.0.1:1" } } }]])
    local sim <close> = orrery.sim(folder.path .. "/c.lua")
    sim:run(2)
    assert.same({ stamp = 7687991459840000000, clock = "orrery.clock(unsync peers=1)" }, sim.nodes.a.state)
    local _, message, code = sim.nodes.a:group("g"):propose {}
    assert.equal("failed", code)
    assert.matches("orrery%.hlc: not in a pure function", message)
  end)
end)
