-- trace_spec.lua - what a simulation remembers of its last events: messages and what became of them, lives, cuts, roles
local orrery = require "orrery"
local core = require "orrery.core"
local counter = "examples/counter/cluster.lua"

local function all(sim, kinds) return (sim.core:trace(0, math.maxinteger, kinds)) end

-- How often each thing happened: "message append delivered".
local function counts(sim)
  local n = {}
  for _, e in ipairs(all(sim)) do
    local words = { e.kind }
    words[#words + 1] = e.what
    words[#words + 1] = e.outcome
    local text = table.concat(words, " ")
    n[text] = (n[text] or 0) + 1
  end
  return n
end

describe("the trace", function()
  it("has messages by kind and size, and when they came", function()
    local sim <close> = orrery.sim(counter)
    sim:run(1)
    sim:call("b", "add", 5)
    sim:run(0.5)
    for _, e in ipairs(all(sim, { message = true })) do
      assert.equal("message", e.kind)
      assert.is_true(e.size >= 20)
      assert.is_true(e.outcome ~= "delivered" or e.till > e.at and e.till < e.at + 5000000, orrery.show(e))
      assert.not_equal("lost", e.outcome)
    end
    local n = counts(sim)
    assert.equal(3, n["life up"])
    assert.is_true(n["status leader"] >= 1 and n["commit leader"] >= 2 and n.apply >= 6)
    for _, kind in ipairs { "hello", "ping", "prevote", "vote", "vote_reply", "heartbeat", "append", "append_reply" } do
      assert.is_true((n["message " .. kind .. " delivered"] or 0) > 0, kind)
    end
    local last
    for _, e in ipairs(all(sim, { apply = true })) do last = e end
    assert.equal("counter", last.group)
    assert.equal(sim.nodes.a:group("counter"):status().applied, last.index)
  end)

  it("names calls between nodes", function()
    local sim <close> = orrery.sim "examples/shop/cluster.lua"
    sim:run(1)
    local names = {}
    sim:call(sim.ids[1], "page", "x")
    for _, e in ipairs(all(sim, { message = true })) do if e.what == "call" then names[e.name] = true end end
    assert.is_truthy(next(names))
  end)

  it("says which messages were lost, or wait at a cut", function()
    local sim <close> = orrery.sim(counter)
    sim:run(1)
    local leader = sim:leader()
    local other = leader == "a" and "b" or "a"
    sim:cut_way(leader, other)
    local at = sim.core:now()
    sim:run(0.2)
    local waiting = 0
    for _, e in ipairs(all(sim, { message = true })) do
      local cut = e.from == leader and e.to == other and e.at >= at
      if cut then waiting = waiting + 1 end
      if e.at < sim.core:now() - 10000000 then
        assert.equal(cut and "under way" or "delivered", e.outcome, orrery.show(e))
      end
    end
    assert.is_true(waiting > 0)
    sim:kill(leader)
    sim:heal()
    sim:run(1)
    local n = counts(sim)
    assert.equal(1, n["cut cut"])
    assert.equal(1, n["cut whole"])
    assert.equal(1, n["life down"])
    assert.is_nil(n["message heartbeat under way"])
  end)

  it("is bounded, and says so", function()
    local sim <close> = orrery.sim(counter)
    sim:run(900)
    local events, forgot = sim.core:trace(0, math.maxinteger)
    assert.equal(65536, #events)
    assert.is_true(forgot)
    local late
    late, forgot = sim.core:trace(sim.core:now() - 1000000000, sim.core:now())
    assert.is_false(forgot)
    assert.is_true(#late > 10 and #late < 1000)
    for i = 2, #late do assert.is_true(late[i].at >= late[i - 1].at) end
  end)

  it("changes nothing", function()
    local new = core.sim.new
    finally(function() core.sim.new = new end)
    for seed = 1, 5 do
      local digests = {}
      for _, record in ipairs { true, false } do
        function core.sim.new(t)
          t.record = record
          return new(t)
        end
        local sim <close> = orrery.sim("examples/kv/cluster.lua", { seed = seed, faults = "default" })
        local client <close> = sim:client { to = "a" }
        for i = 1, 20 do
          client:call("SET", "k", "v" .. i)
          sim:run(0.3)
        end
        digests[#digests + 1] = sim:digest()
        assert.equal(record, #all(sim) > 0)
      end
      assert.equal(digests[1], digests[2])
    end
  end)
end)
