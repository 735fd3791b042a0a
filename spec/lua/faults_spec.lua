-- faults_spec.lua - fault files, written and played; who is found when a moment comes; moments of events.
local faults = require "orrery.faults"
local orrery = require "orrery"

local folder = dofile "spec/lua/folder.lua"()
teardown(function() folder:remove() end)
local kv = "examples/kv/cluster.lua"

local function state(sim, id) return sim.nodes[id]:status().state end

-- A cluster of five with roles, whose script does nothing.
local function five()
  folder:write("n.lua", 'node:replicate("g", { machine = "kv" }) node:replicate("h", { machine = "kv" })')
  local nodes = {}
  for i, id in ipairs { "a", "b", "c", "d", "e" } do
    nodes[i] = ('{ id = "%s", at = "127.0.0.1:%d", roles = { "%s" } }'):format(id, i, i <= 2 and "store" or "page")
  end
  return folder:write("c.lua", ('return orrery.cluster { name = "five", node = "n.lua", nodes = { %s } }'):format(
    table.concat(nodes, ", ")))
end

describe("a fault file", function()
  it("is verbs with moments; what is done at once comes first", function()
    local sim <close> = orrery.sim(kv)
    assert.is_true(faults.file(sim, [[
      cut("a", "b")
      at(0):delay(0.001)
      between(1, 2):pause "c"
      for i, id in ipairs { "a", "b" } do at(3 + i):kill(id) end
      every(1.5):reset()]]))
    assert.is_truthy(sim:matrix():find "x")
    assert.is_true(sim:run(1.5))
    assert.equal(1000000, sim.core:link("a", "c").delay)
    assert.equal("paused", state(sim, "c"))
    sim:run(1)
    assert.equal("up", state(sim, "c"))
    sim:run(1.7)
    assert.equal("down", state(sim, "a"))
    assert.equal("up", state(sim, "b"))
    assert.is_true(sim:check().faults == nil or sim.core:now() > 0)
  end)

  it("can be the option", function()
    local path = folder:write("f.lua", 'at(1):kill "a"\n')
    local sim <close> = orrery.sim(kv, { faults = path })
    sim:run(1.2)
    assert.equal("down", state(sim, "a"))
    sim:heal()
    assert.equal("up", state(sim, "a"))
  end)

  it("ends with heal(), what it has planned too, and no other plan", function()
    local path = folder:write("g.lua", [[
      between(1, 9):slow_disk("a", 0.1):cut("a", "b"):pause "c"
      at(5):kill "b"
      when("kill"):kill "c"]])
    local sim <close> = orrery.sim(kv, { faults = path })
    sim:at(5):kill "a"
    sim:run(2)
    assert.equal("paused", state(sim, "c"))
    sim:heal()
    assert.is_nil(sim:matrix():find "x")
    assert.equal("up", state(sim, "c"))
    sim:run(6)
    assert.equal("down", state(sim, "a"))
    assert.equal("up", state(sim, "b"))
    assert.equal("up", state(sim, "c"))
  end)

  local wrong = {
    { 'cut("a")', "f:1: cut: 'b' must be an id or an array of ids (got none)" },
    { '\nkil "a"', "f:2: kil is unknown (nearest: 'kill')" },
    { 'at(3):kil "a"', "f:1: moment:kil is unknown (nearest: 'kill')" },
    { 'at(3):kill "z"', [[f:1: kill: 'node' must be a node of the cluster (got "z")]] },
    { 'at "x"', [[f:1: at: 'T' must be a number from 0 to 1000000000.0 (got "x")]] },
    { "between(5, 3)", "f:1: between: 'till' must be after 'from' (got 5, 3)" },
    { 'when "leder"', [[f:1: when: 'event' must be an event (got "leder" (nearest: 'leader'))]] },
    { "at(", "f:1: unexpected symbol near <eof>" },
    { "print(1)", "f:1: print is unknown (nearest: 'drift')" },
    { "local x = math.random()", "f:1: attempt to call a nil value (field 'random')" },
  }
  for i, case in ipairs(wrong) do
    it("is told what is wrong at its line: " .. case[1]:gsub("\n", " "), function()
      local sim <close> = orrery.sim(kv)
      local path = folder:write("f" .. i .. ".lua", case[1])
      local ok, message = faults.file(sim, path)
      assert.is_nil(ok)
      assert.equal(case[2]:gsub("^f", (path:gsub("%%", "%%%%"))), message)
      assert.same({ false, message }, { pcall(orrery.sim, kv, { faults = path }) })
    end)
  end

  it("that isn't there is told", function()
    local sim <close> = orrery.sim(kv)
    assert.same({ nil, "none.lua: No such file or directory" }, { faults.file(sim, "none.lua") })
  end)
end)

-- -- Writing --------------------------------------------------------------------------------------------------------
describe("strikes", function()
  it("are written a line each, in order", function()
    assert.equal([[
at(0.5):reset("a", "b")
between(1, 2.000000001):partition({ "a" }, { "b", "c" })
between(3.2, 4.1):crash_at("a", "written", 3, "power")
at(4):step_clock("b", -1.5)
at(4):drift("b", 123.456)
]], faults.write {
      { at = 3200000000, till = 4100000000, verb = "crash_at", "a", "written", 3, "power" },
      { at = 4000000000, verb = "step_clock", "b", -1.5 },
      { at = 1000000000, till = 2000000001, verb = "partition", { "a" }, { "b", "c" } },
      { at = 4000000000, verb = "drift", "b", 123.456 },
      { at = 500000000, verb = "reset", "a", "b" },
    })
  end)

  -- Digests, each second; of the last ones all is healed.
  local function run(seed, which, text)
    local path = text and folder:write("again.lua", text)
    local sim <close> = orrery.sim(kv, { seed = seed, faults = path or which })
    local digests, strikes = {}, nil
    for i = 1, 15 do
      sim:run(1)
      digests[i] = sim:digest()
      if i == 12 then
        strikes = assert(sim.core:strikes())
        sim:heal()
      end
    end
    return table.concat(digests, " "), strikes, sim:check().faults
  end

  it("played again without chaos are the same run, to the byte", function()
    local verbs, same = {}, 0
    for seed = 1, 10 do
      local first, strikes = run(seed, seed % 3 == 0 and "default" or "swarm")
      assert.is_true(#strikes > 3)
      for _, strike in ipairs(strikes) do verbs[strike.verb] = true end
      local again, none = run(seed, "none", faults.write(strikes))
      assert.same({}, none)
      if again == first then same = same + 1 end
    end
    assert.is_true(same >= 9)
    for _, verb in ipairs { "cut", "cut_way", "partition", "reset", "stall", "slow", "far", "crash_at", "pause",
      "wear_disk", "step_clock", "drift", "wander", "strike" } do
      assert.is_true(verbs[verb], verb .. " never struck")
    end
  end)

  it("of a part of them are another run, in which the others don't strike", function()
    local _, strikes, counts = run(4, "swarm")
    local crashes = {}
    for _, strike in ipairs(strikes) do
      if strike.verb == "crash_at" then crashes[#crashes + 1] = strike end
    end
    local _, _, few = run(4, "none", faults.write(crashes))
    assert.is_true((counts.crash or 0) + (counts.crash_written or 0) + (counts.crash_synced or 0) > 0)
    for _, kind in ipairs { "cut", "partition", "reset", "delay", "pause" } do assert.is_nil(few[kind]) end
  end)
end)

-- -- Lies ------------------------------------------------------------------------------------------------------------
describe("mutated and replayed bytes", function()
  -- Counts to 40, now and then; what was done is between what was acknowledged and what was asked.
  local function count(seed, hurt)
    local sim <close> = orrery.sim(kv, { seed = seed })
    sim:run(1)
    hurt(sim)
    local acknowledged = 0
    for i = 1, 40 do
      local client <close> = sim:client { to = ({ "a", "b", "c" })[i % 3 + 1] }
      if client:call("INCR", "n") then acknowledged = acknowledged + 1 end
      sim:run(0.1)
    end
    local faults_seen = assert(sim:check()).faults
    sim:heal()
    assert.is_true(sim:eventually("somebody leads", 10, function(s) return s:leader() ~= nil end))
    sim:run(2)
    local client <close> = sim:client { to = "b" }
    local n = tonumber(client:call("GET", "n"))
    assert.is_true(acknowledged >= 20 and n >= acknowledged and n <= 40)
    assert(sim:check())
    return faults_seen
  end

  it("cost connections, and nothing else", function()
    for seed = 1, 4 do
      assert.is_true((count(seed, function(sim) sim:mutate(0.02) end).mutate or 0) > 3)
    end
  end)

  it("come again without being done twice", function()
    for seed = 1, 4 do
      assert.is_true((count(seed, function(sim) sim:replay(0.2) end).replay or 0) > 3)
    end
  end)
end)

-- -- Rates of one node ------------------------------------------------------------------------------------------------
describe("a rate", function()
  it("is of one node, for a while, and ends with it", function()
    local sim <close> = orrery.sim(kv)
    sim:between(1, 3):rate("a", "delay", 1)
    sim:between(1, 3):freeze_clock "b"
    sim:run(2)
    local slow = sim:check().faults.delay
    local stands = sim.core:clock "b"
    assert.is_true(slow > 10)
    sim:run(0.9)
    assert.equal(stands, (sim.core:clock "b"))
    sim:run(0.2)
    slow = sim:check().faults.delay
    sim:run(2)
    assert.equal(slow, sim:check().faults.delay)
    assert.is_true(sim.core:clock "b" > stands)
  end)

  it("of a clock walks, no farther than it may, and is itself again afterwards", function()
    local sim <close> = orrery.sim(kv)
    local drift = select(2, sim.core:clock "a")
    sim:between(1, 101):wander("a", 5000)
    sim:between(1, 101):wander("b", 5000, 900)
    local most = { a = 0, b = 0 }
    for _ = 1, 100 do
      sim:run(1)
      for id, so_far in pairs(most) do most[id] = math.max(so_far, math.abs((sim.core:oscillator(id)))) end
    end
    assert.is_true(most.a > 300000 and most.a <= 500000)
    assert.is_true(most.b > 500000 and most.b <= 900000)
    sim:run(2)
    assert.equal(drift, (sim.core:oscillator "a"))
    assert.same({ nil, nil }, { select(2, sim.core:oscillator "a") })
  end)

  it("of a clock follows the temperature, which a sensor shows meanwhile", function()
    local sim <close> = orrery.sim(kv)
    local drift = select(2, sim.core:clock "c")
    sim:between(1, 91):heat("c", 20, 120, -1000)
    local least, most = 1e9, -1e9
    for _ = 1, 89 do
      sim:run(1)
      local rate, shown = sim.core:oscillator "c"
      if shown then
        least, most = math.min(least, shown), math.max(most, shown)
        assert.is_true(math.abs(rate - drift + (shown - 25000)) <= 2)
      end
    end
    assert.is_true(least < 10000 and most > 40000)
    sim:run(3)
    assert.same({ drift }, { sim.core:oscillator "c" })
  end)

  it("of a clock is what the last verb says, in all its figures", function()
    local sim <close> = orrery.sim(kv)
    local drift = select(2, sim.core:clock "a")
    sim:wander("a", 5000, 100)
    sim:heat("b", 20, 3600, 10)
    sim:wander("a", 5000, 900)
    sim:heat("b", 20, 60, -1000)
    local most, warmest = 0, 0
    for _ = 1, 60 do
      sim:run(1)
      most = math.max(most, math.abs((sim.core:oscillator "a")))
      local rate, shown = sim.core:oscillator "b"
      warmest = math.max(warmest, shown)
      assert.is_true(math.abs(rate - select(2, sim.core:clock "b") + (shown - 25000)) <= 2)
    end
    assert.is_true(most > 100000 and warmest > 40000)
    sim:wander("a", 0)
    assert.equal(drift, (sim.core:oscillator "a"))
  end)

  it("of a clock that can't be is refused", function()
    local sim <close> = orrery.sim(kv)
    for call, message in pairs {
      ["sim:wander('a', -1)"] = "sim:wander: 'ppm' must be a number from 0 to 100000 (got -1)",
      ["sim:wander('a', 1, 0)"] = "sim:wander: 'most' must be a number from 0.001 to 100000 (got 0)",
      ["sim:wander('z', 1)"] = [[sim:wander: 'node' must be a node of the cluster (got "z")]],
      ["sim:heat('a', 101)"] = "sim:heat: 'kelvin' must be a number from 0 to 100 (got 101)",
      ["sim:heat('a', 1, 0)"] = "sim:heat: 'T' must be a number from 1 to 1000000000.0 (got 0)",
      ["sim:heat('a', 1, 1, 1e7)"] = "sim:heat: 'ppb' must be a number from -1000000.0 to 1000000.0 (got 10000000.0)",
      ["sim:heat('a')"] = "sim:heat: 'kelvin' must be a number from 0 to 100 (got nothing)",
    } do
      local _, problem = pcall(load("local sim = ... " .. call, "=call"), sim)
      assert.equal("call:1: " .. message, problem)
    end
  end)

  it("of rot, lost and misdirected writes strikes where it is set", function()
    local sim <close> = orrery.sim(kv)
    sim:run(1)
    sim:rot("a", 20)
    sim:stale("b", 0.5)
    sim:run(0.5)
    local client <close> = sim:client { to = "c", timeout = 1 }
    for i = 1, 10 do client:call("SET", "k", "v" .. i) end
    sim:misdirect("b", 0.5)
    sim:stale("b", 0)
    for i = 1, 10 do client:call("SET", "k", "v" .. i) end
    local counts = sim.core:counts()
    assert.is_true(counts.rot > 3)
    assert.is_true((counts.stale or 0) > 0)
    assert.is_true((counts.misdirected or 0) > 0)
  end)
end)

-- -- Damage ----------------------------------------------------------------------------------------------------------
describe("damage by chance", function()
  local core = require "orrery.core"
  local cluster = require "orrery.cluster"
  local plan = require "orrery.plan"

  -- Five nodes, a group of three of them.
  local function nodes_of(path)
    local value = assert(cluster.load(path))
    local bundle, nodes = assert(plan.bundle(value)), {}
    for i, id in ipairs(cluster.ids(value)) do nodes[i] = { id = id, plan = plan.text(value, bundle, id) } end
    return nodes
  end

  it("is of a minority of each group's voters", function()
    folder:write("q/n.lua", 'node:replicate("kv", { machine = "kv", on = "store" })')
    local list = {}
    for i, id in ipairs { "a", "b", "c", "d", "e" } do
      list[i] = ('{ id = "%s", at = "127.0.0.1:%d", roles = { %s } }'):format(id, i, i <= 3 and '"store"' or "")
    end
    local text = ('return orrery.cluster { name = "q", node = "n.lua", nodes = { %s } }'):format(
      table.concat(list, ", "))
    local nodes = nodes_of(folder:write("q/c.lua", text))
    local store, page = 0, 0
    for seed = 1, 6 do
      local s <close> = assert(core.sim.new { seed = seed, path = package.path, nodes = nodes, faults = { rot = 8 } })
      s:run(5000000000)
      local n = { store = 0, page = 0 }
      for i, id in ipairs { "a", "b", "c", "d", "e" } do
        local role = i <= 3 and "store" or "page"
        n[role] = n[role] + (s:damaged(id) and 1 or 0)
      end
      assert.is_true(n.store <= 1)
      store, page = store + n.store, page + n.page
    end
    assert.is_true(store >= 3)
    assert.is_true(page >= 4)
  end)
end)

-- -- Who ------------------------------------------------------------------------------------------------------------
describe("who", function()
  it("is found when the moment comes", function()
    local sim <close> = orrery.sim(kv)
    sim:at(1):kill(sim.leader)
    sim:at(2):pause(sim.follower "kv")
    sim:run(0.9)
    local leader = sim:leader()
    sim:run(0.2)
    assert.equal("down", state(sim, leader))
    sim:run(1)
    local states = {}
    for _, id in ipairs(sim:all()) do states[state(sim, id)] = id end
    assert.is_truthy(states.paused)
    assert.not_equal(leader, states.paused)
    assert.not_equal(sim:leader(), states.paused)
  end)

  it("may be nobody", function()
    local sim <close> = orrery.sim(kv)
    assert.is_nil(sim:leader())
    assert.is_true(sim:kill(sim.leader))
    assert.is_true(sim:cut(function() return {} end, "a"))
    assert.equal("up", state(sim, "a"))
  end)

  it("that is wrong is told at the line that asked, be it found much later", function()
    local path = folder:write("late.lua", "\nat(2):kill(any(0))")
    local sim <close> = orrery.sim(kv, { faults = path })
    assert.is_true(sim:run(1.5))
    assert.same({ false, path .. ":2: any: 'k' must be an integer of at least 1 (got 0)" }, { pcall(sim.run, sim, 1) })
    assert.is_true(sim:run(1))
    local here = load("local sim = ...\nsim:pause(function() return 'z' end)", "=here")
    assert.same({ false, [[here:2: sim:pause: 'node' must be a node of the cluster (got "z")]] }, { pcall(here, sim) })
  end)

  it("is all, some by the seed, those of a role", function()
    local path = five()
    local function drawn(seed)
      local sim <close> = orrery.sim(path, { seed = seed })
      local list = {}
      for i = 1, 8 do list[i] = table.concat(sim:any(2), "") end
      assert.same({ "a", "b", "c", "d", "e" }, sim:all())
      assert.same({ "a", "b", "c", "d", "e" }, sim:any(9))
      assert.same({ "a", "b" }, sim:role "store")
      assert.has_error(function() sim:role "stor" end, [[role: no node of the cluster has the role "stor"]] ..
        " (nearest: 'store')")
      assert.has_error(function() sim:any(0) end, "any: 'k' must be an integer of at least 1 (got 0)")
      sim:at(1):kill(sim.role "page")
      sim:run(1.1)
      assert.equal("down", state(sim, "e"))
      assert.equal("up", state(sim, "b"))
      return table.concat(list, " ")
    end
    assert.equal(drawn(1), drawn(1))
    assert.not_equal(drawn(1), drawn(2))
  end)
end)

-- -- Events ---------------------------------------------------------------------------------------------------------
describe("when", function()
  it("is the next such event", function()
    local sim <close> = orrery.sim(kv)
    sim:when("leader", "kv"):kill(sim.leader)
    sim:when("kill"):cut("a", "b")
    sim:run(3)
    local down = 0
    for _, id in ipairs(sim:all()) do if state(sim, id) == "down" then down = down + 1 end end
    assert.equal(1, down)
    assert.is_truthy(sim:leader())
    assert.is_truthy(sim:matrix():find "[x-]")
    assert.equal("orrery.moment(when commit)", tostring(sim:when "commit"))
  end)

  it("is of that group alone", function()
    local sim <close> = orrery.sim(five())
    local led = {}
    for _, group in ipairs { "g", "h" } do
      sim:when("leader", group):pause(function(s)
        led[group] = s:leader(group)
        return {}
      end)
    end
    sim:when("leader", "none"):kill "a"
    sim:run(2)
    assert.equal("up", state(sim, "a"))
    assert.is_truthy(led.g)
    assert.is_truthy(led.h)
  end)

  it("knows snapshots and new code", function()
    local sim <close> = orrery.sim "examples/counter/cluster.lua"
    sim:run(1)
    local seen = {}
    for _, event in ipairs { "snapshot", "upgrade", "commit" } do
      sim:when(event):kill(function()
        seen[event] = true
        return {}
      end)
    end
    sim.nodes.a:group("counter"):propose { by = 1 }
    assert.is_true(seen.commit)
    assert.is_nil(seen.snapshot)
    sim.nodes.a:group("counter"):snapshot()
    sim:run(1)
    assert.is_true(seen.snapshot)
    assert.is_nil(seen.upgrade)
  end)
end)
