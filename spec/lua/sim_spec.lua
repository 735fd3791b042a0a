-- sim_spec.lua - orrery.sim: a run is its seed and its calls; verbs, moments, looking, judging, bad input.
local orrery = require "orrery"
local core = require "orrery.core"

local folder = dofile "spec/lua/folder.lua"()
teardown(function() folder:remove() end)
local kv = "examples/kv/cluster.lua"

-- A cluster of three with that script.
local function cluster_of(name, script, more)
  folder:write(name .. "/n.lua", script)
  return folder:write(name .. "/c.lua", ([[
    return orrery.cluster { name = "%s", node = "n.lua", %s nodes = {
      { id = "a", at = "127.0.0.1:1", resp = "127.0.0.1:11" },
      { id = "b", at = "127.0.0.1:2", resp = "127.0.0.1:12" },
      { id = "c", at = "127.0.0.1:3", resp = "127.0.0.1:13" } } }]]):format(name, more or ""))
end

-- A run with a bit of everything, told in one line.
local function story(seed, watched)
  local sim <close> = orrery.sim(kv, { seed = seed })
  if watched then sim:always("time passes", function(s) return s:now() >= 0 end) end
  sim:between(1, 3):lose(0.2):cut("a", "b")
  sim:at(2):kill "c"
  sim:every(0.7):reset()
  sim:run(1.5)
  local client <close> = sim:client { to = "a" }
  client:call("SET", "k", "v" .. seed)
  sim:run(1)
  sim:restart "c"
  sim:run(2)
  return sim:digest() .. " " .. tostring(sim)
end

describe("a simulation", function()
  it("is its seed and the calls", function()
    local first = story(5)
    assert.equal(first, story(5))
    assert.not_equal(first, story(6))
  end)

  it("is the same where something watches it", function()
    assert.equal(story(7), story(7, true))
  end)

  it("doesn't depend on others beside it", function()
    local alone = orrery.sim(kv, { seed = 3 })
    local up = alone:now()
    alone:run(2)
    local digest = alone:digest()
    alone:close()
    local one <close> = orrery.sim(kv, { seed = 3 })
    local other <close> = orrery.sim(kv, { seed = 4 })
    for _ = 1, 20 do
      one:run(0.1)
      other:run(0.1)
    end
    assert.near(up + 2, one:now(), 1e-9)
    assert.equal(digest, one:digest())
    assert.not_equal(digest, other:digest())
  end)

  it("asks a node's groups", function()
    local sim <close> = orrery.sim "examples/counter/cluster.lua"
    sim:run(1)
    local group = sim.nodes.a:group "counter"
    assert.equal(3, group:propose { by = 3 })
    assert.equal(5, sim.nodes.b:group("counter"):propose { by = 2 })
    assert.same({ nil, "counter: the group has no query", "invalid" }, { group:read { "n" } })
    assert.has_error(function() group:propose(1) end, "counter:propose: 'op' must be a table (got 1)")
    sim:kill "a"
    assert.same({ nil, "a: not available here now", "unavailable" }, { group:propose { by = 1 } })
  end)

  it("keeps a line for each node, and tells who leads", function()
    local sim <close> = orrery.sim(kv)
    assert.equal("kv  seed 1  t 0.000  |  a up  |  b up  |  c up", tostring(sim))
    assert.is_nil(sim:leader())
    assert.is_true(sim:run_until("leader", 5))
    assert.is_true(sim:run(0.5))
    local leader = sim:leader "kv"
    local term = sim.nodes[leader]:group("kv"):status().term
    assert.matches(("  |  %s up leader of kv, term %d"):format(leader, term), tostring(sim), 1, true)
    assert.equal(("%s up leader of kv, term %d"):format(leader, term), tostring(sim.nodes[leader]))
    sim:kill(leader)
    assert.equal(leader .. " down", tostring(sim.nodes[leader]))
    assert.equal("down", sim.nodes[leader]:status().state)
  end)

  it("writes its events into a file", function()
    local path = folder.path .. "/events"
    do
      local sim <close> = orrery.sim(kv, { trace = path })
      sim:run(1)
    end
    assert.matches("^0.000000000 a UP 0 start\n", folder:read "events")
  end)

  it("takes a cluster value as well, and its topology's figures", function()
    local value = assert(require "orrery.cluster".load(cluster_of("slow",
      'node:replicate("kv", { machine = "kv" })',
      'links = orrery.topology.links { { "a", "b", delay = 0.3 }, { "b", "c" } },')))
    local sim <close> = orrery.sim(value)
    sim:run(5)
    assert.equal("     a b c\n  a  . o\n  b  o . o\n  c    o .", sim:matrix())
    sim:delay("a", "b", 0.5)
    sim:heal()
    assert.equal(300000000, sim.core:link("b", "a").delay)
    assert.equal(100000, sim.core:link("b", "c").delay)
  end)
end)

describe("what was acknowledged", function()
  it("outlives kills and power losses of any node", function()
    for seed = 1, 8 do
      local sim <close> = orrery.sim(kv, { seed = seed })
      sim:run(1)
      local kept = {}
      for i, id in ipairs { "a", "b", "c" } do
        local client <close> = sim:client { to = id }
        if client:call("SET", "k" .. i, "v" .. i) == "OK" then kept["k" .. i] = "v" .. i end
        sim:kill(id)
        sim:run(0.7)
        assert.is_true(sim:restart(id))
      end
      assert.is_true(sim:eventually("somebody leads", 10, function(s) return s:leader() ~= nil end))
      sim:run(1)
      assert.is_truthy(next(kept))
      for _, id in ipairs { "a", "b", "c" } do
        local client <close> = sim:client { to = id }
        for key, value in pairs(kept) do assert.equal(value, client:call("GET", key)) end
      end
      assert(sim:check())
    end
  end)

  it("is still there after all nodes lost power at once", function()
    local sim <close> = orrery.sim(kv)
    sim:run(1)
    local client <close> = sim:client { to = "b" }
    assert.equal("OK", client:call("SET", "k", "v"))
    sim:kill { "a", "b", "c" }
    assert.same({ nil, "b: the connection was closed", "unknown" }, { client:call("GET", "k") })
    sim:restart { "a", "b", "c" }
    sim:run(3)
    local again <close> = sim:client { to = "c" }
    assert.equal("v", again:call("GET", "k"))
    assert.is_nil(again:call("GET", "none"))
    assert.same({ "v", false }, again:call("MGET", "k", "none"))
  end)
end)

describe("a partition", function()
  it("leaves the majority a leader, and the minority none that is heard", function()
    local sim <close> = orrery.sim(kv, { seed = 2 })
    sim:run(1)
    local old = sim:leader()
    local rest = {}
    for _, id in ipairs { "a", "b", "c" } do if id ~= old then rest[#rest + 1] = id end end
    sim:partition({ old }, rest)
    sim:run(3)
    local new = sim:leader()
    assert.is_truthy(new == rest[1] or new == rest[2])
    local minority <close> = sim:client { to = old, timeout = 3 }
    local majority <close> = sim:client { to = new }
    assert.is_nil((minority:call("SET", "k", "lost")))
    assert.equal("OK", majority:call("SET", "k", "kept"))
    sim:heal()
    sim:run(2)
    local anew <close> = sim:client { to = old }
    assert.equal("kept", anew:call("GET", "k"))
  end)

  it("is drawn", function()
    local sim <close> = orrery.sim(kv)
    sim:cut("a", "b")
    assert.equal("     a b c\n  a  . x o\n  b  x . o\n  c  o o .", sim:matrix())
    sim:heal("b", "a")
    sim:cut_way("a", { "b", "c" })
    assert.equal("     a b c\n  a  . x x\n  b  o . o\n  c  o o .", sim:matrix())
    sim:heal()
    sim:partition { "c" }
    sim:kill "b"
    assert.equal("     a b c\n  a  . - x\n  b  - . -\n  c  x - .", sim:matrix())
  end)
end)

describe("moments", function()
  local function cut(sim) return sim:matrix():find "x" ~= nil end

  it("come when they come, and between is undone", function()
    local sim <close> = orrery.sim(kv)
    sim:at(1):kill "a"
    sim:at(2):restart("a"):pause "b"
    sim:between(3, 4):cut("a", "b"):slow_disk("c", 0.1)
    sim:run(0.999)
    assert.equal("up", sim.nodes.a:status().state)
    sim:run(0.001)
    assert.equal("down", sim.nodes.a:status().state)
    sim:run(1.5)
    assert.equal("up", sim.nodes.a:status().state)
    assert.equal("paused", sim.nodes.b:status().state)
    sim:resume "b"
    assert.is_false(cut(sim))
    sim:run(1)
    assert.is_true(cut(sim))
    sim:run(0.5)
    assert.is_false(cut(sim))
  end)

  it("lie over each other", function()
    local sim <close> = orrery.sim(kv)
    sim:between(1, 3):cut("a", "b")
    sim:between(2, 4):cut("a", "b")
    sim:between(1, 2):delay(0.2)
    sim:between(1.5, 3):delay("a", "c", 0.4)
    sim:run(1.7)
    assert.equal(400000000, sim.core:link("a", "c").delay)
    assert.equal(200000000, sim.core:link("c", "a").delay)
    sim:run(0.8)
    assert.equal(400000000, sim.core:link("a", "c").delay)
    assert.equal(100000, sim.core:link("c", "a").delay)
    sim:run(1)
    assert.equal(100000, sim.core:link("a", "c").delay)
    assert.is_true(cut(sim))
    sim:run(1)
    assert.is_false(cut(sim))
  end)

  it("undo a kill by a restart, and look up who it is when they come", function()
    local sim <close> = orrery.sim(kv)
    local victim
    sim:between(1, 2):kill(function(s)
      victim = s:leader()
      return victim
    end)
    sim:run(1.5)
    assert.equal("down", sim.nodes[victim]:status().state)
    assert.not_equal(victim, sim:leader())
    sim:run(1)
    assert.equal("up", sim.nodes[victim]:status().state)
  end)

  it("recur", function()
    local sim <close> = orrery.sim(kv)
    sim:every(1):restart "a"
    sim:run(3.5)
    assert.equal(4, sim.nodes.a:status().incarnation)
    assert.equal("orrery.moment(every 1.000)", tostring(sim:every(1)))
  end)
end)

describe("disks and clocks", function()
  it("are slow, full, failing, wrong", function()
    local sim <close> = orrery.sim(kv)
    sim:run(1)
    sim:fill_disk "a"
    local client <close> = sim:client { to = "a" }
    local ok, message, code = client:call("SET", "k", ("v"):rep(600000))
    assert.same({ nil, "failed" }, { ok, code })
    assert.is_string(message)
    sim:step_clock("b", 100)
    local before = sim.core:clock "b"
    sim:set_clock("b", 1000)
    assert.equal(1000 * 1000000000, (sim.core:clock "b"))
    assert.is_true(before > 0)
    sim:drift("b", 50)
    assert.equal(50000, select(2, sim.core:clock "b"))
    sim:fail_disk("c", "sync")
    sim:crash_at("b", "synced", 3)
    local writer <close> = sim:client { to = "b", timeout = 1 }
    for i = 1, 10 do writer:call("SET", "k", i) end
    sim:run(5)
    assert.equal("down", sim.nodes.c:status().state)
    assert.equal("down", sim.nodes.b:status().state)
    assert.is_string(sim.nodes.c:status().why)
  end)
end)

describe("a call", function()
  it("to a node without such a handler, or to one that is down, is told so", function()
    local sim <close> = orrery.sim(kv)
    local ok, message, code = sim:call("a", "none", 1, nil, "x")
    assert.is_nil(ok)
    assert.matches("^a: ", message)
    assert.is_truthy(code == "invalid" or code == "unavailable", code)
    assert.is_true(sim:now() > 0)           -- it has waited for the node to be there
    sim:kill "a"
    ok, message, code = sim.nodes.a:call "none"
    assert.same({ nil, "unavailable" }, { ok, code })
    assert.matches("^a: ", message)
    assert.is_nil((sim:cast("a", "none")))
    assert.has_error(function() sim:call("b", "none", print) end)
    assert.is_true(sim:run(1))
  end)
end)

describe("what is always to hold", function()
  it("is looked at after each event; the first breach is kept, with its seed", function()
    local sim <close> = orrery.sim(kv, { seed = 9 })
    local asked = 0
    sim:always("a stays up", function(s)
      asked = asked + 1
      local up = s.nodes.a:status().state == "up"
      return up, "it is down"
    end)
    assert.is_true(sim:run(1))
    assert.is_true(asked > 100)
    sim:at(1.5):kill "a"
    local ok, message = sim:run(5)
    assert.is_nil(ok)
    assert.matches("^kv, seed 9, at 1.5%d+: a stays up: it is down$", message)
    assert.is_true(sim:now() < 2)
    local report, first = sim:check()
    assert.is_nil(report)
    assert.equal(1, first:find(message, 1, true))
    local again = '; again: orrery.sim%("examples/kv/cluster.lua", { seed = 9 }%) in spec/lua/sim_spec.lua:%d+$'
    assert.matches(again, first)
    assert.is_true(sim:run(1))
    assert.is_nil((sim:check()))
  end)

  it("may come in time, or not", function()
    local sim <close> = orrery.sim(kv)
    assert.is_true(sim:eventually("there is a leader", 5, function(s) return s:leader() end))
    assert.equal(0, sim:check().properties)
    assert.same({ nil, "sim:run_until: no kill within 1 s", "timeout" }, { sim:run_until("kill", 1) })
    local ok, message = sim:eventually("pigs fly", 1, function() return false, "none does" end)
    assert.is_nil(ok)
    assert.matches("^kv, seed 1, at %d%.%d+: pigs fly: not within 1 s: none does$", message)
  end)

  it("sees what scripts show, as a copy", function()
    local sim <close> = orrery.sim(cluster_of("shown", [[
      node.state.seen, node.state.n = { x = true, [2] = 1.5 }, node.id
      node.state.itself, node.state.f = node.state, print]]))
    local state = sim.nodes.b.state
    assert.equal("b", state.n)
    assert.same({ x = true, [2] = 1.5 }, state.seen)
    assert.equal(state, state.itself)
    assert.equal("(function)", state.f)
    state.n = "z"
    sim:run(0.1)
    assert.equal("b", sim.nodes.b.state.n)
    sim:kill "b"
    assert.same({}, sim.nodes.b.state)
  end)

  it("includes that no node ends by a mistake of its own", function()
    local sim <close> = orrery.sim(kv)
    sim:run(1)
    sim:restart("a", "empty")
    sim:run(1)
    assert(sim:check())
  end)
end)

describe("faults = swarm", function()
  it("differ from seed to seed, and are the seed's", function()
    local function struck(seed)
      local sim <close> = orrery.sim(kv, { seed = seed, faults = "swarm" })
      sim:run(10)
      return assert(sim:check()).faults, sim:digest()
    end
    local kinds, digests = {}, {}
    for seed = 1, 6 do
      local faults, digest = struck(seed)
      digests[seed] = digest
      for kind in pairs(faults) do kinds[kind] = (kinds[kind] or 0) + 1 end
    end
    assert.equal(digests[2], select(2, struck(2)))
    local some = 0
    for _, n in pairs(kinds) do if n < 6 then some = some + 1 end end
    assert.is_true(some >= 10)
    assert.is_nil(kinds.rot or kinds.restart_empty)
  end)
end)

describe("faults = default", function()
  it("strike until heal", function()
    local sim <close> = orrery.sim(kv, { seed = 3, faults = "default" })
    sim:run(20)
    assert.is_true((sim:check().faults.crash or 0) + (sim:check().faults.reset or 0) > 0)
    sim:heal()
    assert.is_true(sim:eventually("all are up", 10, function(s)
      for _, id in ipairs { "a", "b", "c" } do if s.nodes[id]:status().state ~= "up" then return false end end
      return s:leader() ~= nil
    end))
  end)
end)

-- -- Bad input ------------------------------------------------------------------------------------------------------
local mistakes = {
  { "sim:kill 'aa'", [[sim:kill: 'node' must be a node of the cluster (got "aa" (nearest: 'a'))]] },
  { "sim:kill()", "sim:kill: 'node' must be an id or an array of ids (got none)" },
  { "sim:kill { 'a', 7 }", "sim:kill: 'node' must be a node of the cluster (got 7)" },
  { "sim:kill('a', 'b')", "sim:kill: takes 1 argument (got 2)" },
  { "sim:cut('a', 'zz')", [[sim:cut: 'b' must be a node of the cluster (got "zz")]] },
  { "sim:restart('a', 'new')", [[sim:restart: 'disk' must be "kept", "old" or "empty" (got "new")]] },
  { "sim:lose(2)", "sim:lose: 'amount' must be a number from 0 to 1 (got 2)" },
  { "sim:delay('a', 'b', -1)", "sim:delay: 'amount' must be a number from 0 to 3600 (got -1)" },
  { "sim:delay('a', 'b')", "sim:delay: 'amount' must be a number from 0 to 3600 (got nothing)" },
  { "sim:run(-1)", "sim:run: 'T' must be a number from 0 to 1000000000.0 (got -1)" },
  { "sim:run()", "sim:run: 'T' must be a number from 0 to 1000000000.0 (got nothing)" },
  { "sim:step(0)", "sim:step: 'n' must be an integer of at least 1 (got 0)" },
  { "sim:at(0.5):kill 'a'", "sim:at: 'T' must not be past (got 0.5, it is 1.000)" },
  { "sim:at(2):kil 'a'", "moment:kil is unknown (nearest: 'kill')" },
  { "sim:at(2):kill 'd'", [[sim:kill: 'node' must be a node of the cluster (got "d")]] },
  { "sim:between(3, 2)", "sim:between: 'till' must be after 'from' (got 3, 2)" },
  { "sim:every(0)", "sim:every: 'T' must be a number of seconds above 0 (got 0)" },
  { "sim:levitate()", "sim:levitate is unknown" },
  { "sim.run(5)", "sim.run must be called as a method: sim:run(...)" },
  { "sim.kill('a')", "sim.kill must be called as a method: sim:kill(...)" },
  { "sim:partion()", "sim:partion is unknown (nearest: 'partition')" },
  { "sim:history()", "sim:history: no workload is attached to this simulation" },
  { "sim:run_until('leder')",
    [[sim:run_until: 'event' must be a function or an event (got "leder" (nearest: 'leader'))]] },
  { "sim:run_until('suspect')",
    "sim:run_until: the event suspect is not available in this version of Orrery (0.1.0)" },
  { "sim:always('x')", "sim:always: 'f' must be a function (got nothing)" },
  { "sim:leader('kw')", [[sim:leader: no node that is up has a group "kw" (nearest: 'kv')]] },
  { "sim:client { to = 'q' }", [[sim:client: 'node' must be a node of the cluster (got "q")]] },
  { "sim:client { to = 'a', listener = 'rest' }",
    [[sim:client: node a has no listener "rest" in the cluster file (nearest: 'resp')]] },
  { "sim:call('a')", "sim:call: 'name' must be a message's name (got nothing)" },
  { "sim:call('d', 'x')", [[sim:call: 'node' must be a node of the cluster (got "d")]] },
  { "sim.nodes.a.why('x')", "node a:why is not available in this version of Orrery (0.1.0)" },
  { "sim:eval('a', 5)", "sim:eval: a text is expected (got 5)" },
  { "sim:eval('d', '1')", [[sim:eval: 'node' must be a node of the cluster (got "d")]] },
  { "sim.nodes.a:statsu()", "node a:statsu is unknown (nearest: 'status')" },
  { "sim.nodes.a:group 'kw'", [[node a has no replica of a group "kw" (nearest: 'kv')]] },
  { "orrery.sim()", "orrery.sim: a cluster or the path of one is expected (got nothing)" },
  { "orrery.sim(kv, { sed = 1 })", "orrery.sim: 'sed' is unknown (nearest: 'seed')" },
  { "orrery.sim(kv, { faults = 'some' })",
    [[orrery.sim: 'faults' must be "none", "default", "swarm" or the path of a fault file (FILE.lua) (got "some")]] },
  { "orrery.sim(kv, { secrets = {} })", "orrery.sim: 'secrets' is not available in this version of Orrery (0.1.0)" },
  { "orrery.sim(kv, { workload = 1 })",
    "orrery.sim: 'workload' must be a workload, the name of one, or the path of its file (got 1)" },
  { "orrery.sim(kv, { workload = 'no/w.lua' })", "orrery.sim: no/w.lua: No such file or directory" },
}

describe("a mistake", function()
  for _, mistake in ipairs(mistakes) do
    it("is told at its line: " .. mistake[1], function()
      local sim <close> = orrery.sim(kv)
      sim:run(1)
      local f = assert(load("local sim, orrery, kv = ...\n" .. mistake[1], "=x"))
      local ok, message = pcall(f, sim, orrery, kv)
      assert.is_false(ok)
      assert.equal("x:2: " .. mistake[2], message)
    end)
  end

  it("in a cluster file or a script is one line", function()
    assert.has_error(function() orrery.sim(folder.path .. "/none.lua") end,
      folder.path .. "/none.lua: No such file or directory")
    local bad = cluster_of("bad", "node:replicate('kv', {})")
    local ok, message = pcall(orrery.sim, bad)
    assert.is_false(ok)
    assert.matches("bad/n.lua:1: node:replicate kv: 'apply' is missing", message)
  end)

  it("to run it from inside itself is refused, and the run can go on", function()
    local sim <close> = orrery.sim(kv)
    local property = true
    sim:always("calm", function(s)
      if property then s:run(1) end
      return true
    end)
    local ok, message = pcall(sim.run, sim, 1)
    assert.is_false(ok)
    assert.matches("sim:run: can't be called from what the simulation itself calls$", message)
    property = false
    assert.is_true(sim:run(1))
  end)

  it("to use a closed one is told", function()
    local sim = orrery.sim(kv)
    local client = sim:client { to = "a" }
    sim:close()
    sim:close()
    assert.equal("kv  closed", tostring(sim))
    assert.has_error(function() sim:run(1) end, "sim:run: the simulation is closed")
    assert.has_error(function() client:call "PING" end)
    client:close()
  end)
end)

-- The oracles of the laboratory (lab.h) look on whatever runs; spec/mutants plants the bugs that they see in the core.
describe("oracles", function()
  it("tell the first thing that they saw, once, and it stays", function()
    local sim <close> = orrery.sim(kv, { seed = 3 })
    assert.is_true(sim:run(1))
    sim:violate("liveness", "b owes an answer")
    sim:violate("digest", "a consequence")
    assert.is_true(sim:run(1))
    assert.matches("kv, seed 3, at 1.000: liveness: b owes an answer; again: ", (select(2, sim:check())), 1, true)
  end)

  it("judge no more once a majority's disks are gone, and a minority's all the same", function()
    local function with(emptied)
      local sim <close> = orrery.sim(kv, { seed = 4 })
      sim:run(1)
      for _, id in ipairs(emptied) do sim:restart(id, "empty") end
      sim:run(1)
      sim:violate("liveness", "seen")
      return (sim:check() == nil)
    end
    assert.is_true(with { "a" })
    assert.is_false(with { "a", "b" })
  end)

  it("ask nothing of a node that is excused, and know how long a sync hangs", function()
    local sim <close> = orrery.sim(kv, { seed = 6 })
    sim:run(1)
    sim:strike("c", "sync_hang", 1)
    local client <close> = sim:client { to = "a" }
    client:call("SET", "k", "v")
    sim:run(0.1)
    assert.is_true(sim.core:hangs "c" > sim.core:now() + 500000000)
    sim:kill "c"
    assert.equal(0, sim.core:hangs "c")
    client:call("SET", "k", "w")
    sim:run(1)
    assert.same({ false, "c" }, { (sim.core:settled()), (select(2, sim.core:settled())) })
    sim.core:excuse("c", true)
    assert.is_true((sim.core:settled()))
    sim.core:excuse("c", false)
    assert.is_false((sim.core:settled()))
  end)

  it("know whether all has been answered and applied", function()
    local sim <close> = orrery.sim(kv, { seed = 5 })
    sim:run(1)
    assert.is_true((sim.core:settled()))
    sim:cut("c", { "a", "b" })
    local client <close> = sim:client { to = "a" }
    client:call("SET", "k", "v")
    sim:run(1)
    local settled, who, owes = sim.core:settled()
    assert.same({ false, "c", "has not applied all that was committed" }, { settled, who, owes })
    sim:heal()
    sim:run(2)
    assert.is_true((sim.core:settled()))
  end)
end)

describe("Orrery's own modules", function()
  it("are those of the files: one that has changed is seen by the next simulation", function()
    local path = cluster_of("own", 'node:replicate("kv", { machine = "kv" })')
    os.execute(("cp -r lua '%s/lua'"):format(folder.path))
    local group = folder:read "lua/orrery/group.lua"
    local found = package.path
    local function start(text)                      -- its digest; or false and why not
      folder:write("lua/orrery/group.lua", text)
      package.path = folder.path .. "/lua/?.lua;" .. folder.path .. "/lua/?/init.lua"
      local ok, sim, message = pcall(orrery.sim, path, { seed = 1 })
      package.path = found
      if not ok or not sim then return false, message or sim end
      local digest = sim:digest()
      sim:close()
      return digest
    end
    local first = start(group)
    assert.is_string(first)
    local digest, message = start(group .. "\nthis is no Lua")
    assert.is_false(digest)
    assert.matches("orrery/group%.lua:%d+: .*near 'this'", message)
    digest, message = start((group:gsub("\nreturn ", '\nerror "changed"\nreturn ', 1)))
    assert.is_false(digest)
    assert.matches("orrery/group%.lua:%d+: changed", message)
    assert.equal(first, start(group))
  end)
end)

describe("memory", function()
  it("comes back: a thousand simulations are opened and closed", function()
    local path = cluster_of("many", 'node:replicate("kv", { machine = "kv" })')
    local value = assert(require "orrery.cluster".load(path))
    local function used()
      collectgarbage()
      collectgarbage()
      return collectgarbage "count"
    end
    local before
    for i = 1, 1000 do
      local sim <close> = orrery.sim(value, { seed = i })
      if i % 50 == 0 then sim:run(1) end
      if i % 3 == 0 then sim:kill "a" end
      if i == 100 then before = used() end
    end
    assert.is_true(used() < before + 500)
    assert.is_table(core.sim)
  end)
end)
