-- node_time_spec.lua - node:time() and node.clock in simulations, whose laboratory compares each answer with the truth.
local cluster = require "orrery.cluster"
local orrery = require "orrery"

local folder = dofile "spec/lua/folder.lua"()
local start = dofile "spec/lua/script.lua"(folder)
teardown(function() folder:remove() end)

local script = [[
  node:on("time", function() return node:time() end)
  node:on("after", function(T) return node.clock:after(T) end)
  node:on("before", function(T) return node.clock:before(T) end)
  node:on("wait", function(by)
    local earliest, latest = node:time()
    local began = node:now()
    local ok, message, code = node.clock:wait(latest + by)
    return ok, node:now() - began, message, code
  end)
  node:on("until", function(T) return node.clock:wait(T) end)
  node:on("status", function() return node.clock:status() end)
  node.state.steps = {}
  node.clock:on("step", function(epoch) table.insert(node.state.steps, epoch) end)
]]
local clock = "clock = {},"

-- A simulation with a minute of swarm; every node asks at every turn of its own. servers: so many NTP servers, of which
-- the last one lies. wild: oscillators wander as far as drift_max allows, and are heated.
local function swarmed(seed, nodes, servers, wild)
  local list, names = {}, {}
  for i = 1, servers or 0 do names[i] = ("'ntp%d'"):format(i) end
  for i = 1, nodes do list[i] = ("{ id = 'n%d', at = '10.0.0.%d:7000' }"):format(i, i) end
  folder:write("swarm/node.lua", [[
    local last, epoch
    node:every(0.02, function()
      local earliest, latest, code = node:time()
      if not earliest then assert(code == "unavailable") return end
      local now = node.clock:status().epoch
      assert(earliest <= latest and (now ~= epoch or earliest >= last))
      last, epoch = earliest, now
      node.state.told = (node.state.told or 0) + 1
    end)
    node:on("step", function() return node.clock:status().state end)]])
  local path = folder:write("swarm/cluster.lua", ([[
    return orrery.cluster { name = "t", node = "node.lua", clock = { ntp = { %s }, mode = %q },
      nodes = { %s } }]]):format(table.concat(names, ", "), seed % 2 == 0 and "pacemaker" or "ntp",
      table.concat(list, ", ")))
  local sim <close> = assert(orrery.sim(path, { seed = seed, faults = "swarm" }))
  if servers then sim:between(10 + seed % 7, 40):lie("ntp" .. servers, seed % 3 == 0 and 1e-3 or (-1) ^ seed * seed) end
  if wild then
    sim:wander(sim.all, 100 << seed % 9)
    sim:heat(sim.all, 10, 10 + seed % 50, seed % 2 == 0 and 9000 or -300)
  end
  sim:run(60)
  assert(sim:check())
  local told = 0
  for i = 1, nodes do told = told + (sim.nodes["n" .. i].state.told or 0) end
  return told
end

describe("node:time", function()
  it("is known within milliseconds, a moment after the start", function()
    local sim <close> = start(script, { more = clock })
    for _, id in ipairs { "a", "b", "c" } do
      local earliest, latest = sim:call(id, "time")
      assert.is_true(latest - earliest > 0 and latest - earliest < 0.01)
      assert.is_true(math.abs(earliest - 1.7e9) < 60)
    end
  end)

  it("is asked for from the first use on, where the cluster file says nothing of it", function()
    local sim <close> = start(script)
    assert.is_nil(sim.nodes.a:status().clock)
    local none, message, code = sim:call("a", "time")
    assert.is_nil(none)
    assert.equal("node:time: the clocks of 1 of 3 members are known, 2 are needed", message)
    assert.equal("unavailable", code)
    sim:run(1)
    assert.is_number((sim:call("a", "time")))
    assert.is_nil(sim.nodes.b:status().clock)
  end)

  it("is never known with clock = false", function()
    local sim <close> = start(script, { more = "clock = false," })
    sim:call("a", "time")
    sim:run(2)
    local none, message, code = sim:call("a", "time")
    assert.is_nil(none)
    assert.equal("node:time: the cluster file says clock = false", message)
    assert.equal("unavailable", code)
    none, message, code = sim:call("a", "until", 1)
    assert.is_nil(none)
    assert.equal("node.clock:wait: the cluster file says clock = false", message)
    assert.equal("unavailable", code)
    assert.is_false((sim:call("a", "after", 1)))
    assert.is_false((sim:call("a", "before", 9e9)))
  end)

  it("is not known where the bound is above bound_max", function()
    local sim <close> = start(script, { more = "clock = { bound_max = 0.006 }," })
    assert.is_number((sim:call("a", "time")))
    sim:delay(0.1)
    sim:run(12)                                  -- what was known before widens by 1 ms a second
    local none, message, code = sim:call("a", "time")
    assert.is_nil(none)
    assert.truthy(message:find "^node:time: it is known to 0%.0%d+ s only, and clock%.bound_max is 0%.006000 s$")
    assert.equal("unavailable", code)
  end)

  it("says who is wrong, itself too", function()
    local sim <close> = start(script, { more = clock })
    sim:step_clock("b", 2)
    sim:run(13)
    local seen, own = sim:call("a", "status"), sim:call("b", "status")
    assert.same({ "b" }, seen.off)
    assert.same({ "b" }, own.off)
    assert.equal("off", seen.members.b.role)
    assert.is_true(math.abs(seen.members.b.off - 2) < 0.02)
    assert.is_true(own.members.b.own and math.abs(own.offset + 2) < 0.02)
    assert.equal("known", seen.members.c.role)
    assert.equal("synchronised", seen.state)
    assert.is_true(seen.bound < 0.01 and seen.earliest <= seen.time and seen.time <= seen.latest)
    assert.same(seen.off, sim.nodes.a:status().clock.off)
  end)
end)

describe("sim:clocks", function()
  it("draws what nodes were told", function()
    local sim <close> = start(script, { more = clock })
    sim:run(2)
    local none, message, code = sim:clocks()
    assert.is_nil(none)
    assert.equal("sim:clocks: no node was told the time in that time", message)
    assert.equal("unavailable", code)
    for _ = 1, 20 do
      sim:call("a", "time")
      sim:call("b", "time")
      sim:run(0.5)
    end
    local text = tostring(sim:clocks { width = 40 })
    assert.matches("^a: sync, offset [^\n]*\n", text)
    assert.matches("\nb: sync, offset ", text)
    assert.is_nil(text:find("\nc: ", 1, true))
    assert.is_true(sim:clocks { from = 3, path = folder.path .. "/clocks.svg" })
    assert.matches("the cluster's time against the true one", folder:read "clocks.svg")
    assert.has_error(function() sim:clocks { form = 1 } end)
  end)
end)

describe("node.clock", function()
  it("tells what has surely passed and what is surely to come", function()
    local sim <close> = start(script, { more = clock })
    local earliest, latest = sim:call("a", "time")
    assert.is_true((sim:call("a", "after", earliest - 0.001)))
    assert.is_false((sim:call("a", "after", latest + 1)))
    assert.is_false((sim:call("a", "before", earliest - 0.001)))
    assert.is_true((sim:call("a", "before", latest + 1)))
  end)

  it("waits until it has surely passed", function()
    local sim <close> = start(script, { more = clock })
    local ok, took = sim:call("a", "wait", 0.25)
    assert.is_true(ok)
    assert.is_true(took > 0.25 and took < 0.26)
    assert.is_true((sim:call("a", "until", 1)))
  end)

  it("waits no longer than who asked", function()
    local sim <close> = start([[
      node.state.closed = false
      node:on("until", function(T)
        local held <close> = setmetatable({}, { __close = function() node.state.closed = true end })
        return node.clock:wait(T)
      end)]], { more = clock })
    local ok, _, code = sim:call("a", "until", 4e9)
    assert.is_nil(ok)
    assert.equal("unknown", code)
    sim:run(0.1)
    assert.is_true(sim.nodes.a.state.closed)
  end)

  it("waits on while the time isn't known", function()
    local sim <close> = start([[
      node.state.waited = false
      node:on("begin", function(T)
        node:spawn(function() node.clock:wait(T) node.state.waited = true end)
      end)
      node:on("time", function() return node:time() end)]], { more = clock })
    local _, latest = sim:call("a", "time")
    sim:partition({ "a" }, { "b", "c" })
    sim:run(12)
    assert.is_nil((sim:call("a", "time")))
    sim:call("a", "begin", latest + 15)
    sim:run(10)
    assert.is_false(sim.nodes.a.state.waited)
    sim:heal()
    sim:run(3)
    assert.is_true(sim.nodes.a.state.waited)
  end)

  it("tells of a step", function()
    local sim <close> = start(script, { more = clock })
    sim:call("c", "time")
    sim:step_clock("a", -20)
    sim:step_clock("b", -20)
    sim:run(14)
    sim:call("c", "time")
    sim:run(0.1)
    assert.same({ 1 }, sim.nodes.c.state.steps)
    assert.equal(1, sim:call("c", "status").epoch)
  end)

  it("complains at the script's line", function()
    for text, complaint in pairs {
      ["node.clock:after()"] = "node.clock:after: a time is expected, seconds since 1970 (got nothing)",
      ["node.clock:before 'x'"] = 'node.clock:before: a time is expected, seconds since 1970 (got "x")',
      ["node.clock:wait(0/0)"] = "node.clock:wait: a time is expected, seconds since 1970 (got -nan)",
      ["node.clock.after(1)"] = "node.clock.after must be called as a method: node.clock:after(...)",
      ["node.clock:on('stop', print)"] = [[node.clock:on: 'event' must be "step" (got "stop" (nearest: 'step'))]],
      ["node.clock:on('step', 1)"] = "node.clock:on step: a function is expected (got 1)",
      ["node.clock:later(1)"] = "node.clock.later is unknown",
      ["node.time()"] = "node.time must be called as a method: node:time(...)",
      ["node.clock:wait(1)"] = "node.clock:wait waits, so it must be called from a task",
    } do
      folder:write("bad/node.lua", "\n" .. text)
      local ok, message = pcall(orrery.sim, folder:write("bad/cluster.lua", [[
        return orrery.cluster { name = "t", node = "node.lua", nodes = { { id = "a", at = "127.0.0.1:1" } } }]]))
      assert.is_false(ok)
      assert.truthy(message:find("node.lua:2: " .. complaint, 1, true), message)
    end
  end)
end)

describe("node.clock:graph", function()
  local script_of_graph = [[
    node:on("graph", function()
      local g, message, code = node.clock:graph()
      if not g then return nil, message, code end
      return { anchor = g.anchor, nodes = g.nodes, links = g.links, datagrams = g.datagrams, text = tostring(g) }
    end)
    node:on("status", function() return node.clock:status() end)]]
  -- Five nodes, or as many; more: of the cluster file.
  local function begin(n, seed, more)
    local list = {}
    for i = 1, n do list[i] = ("{ id = %q, at = '10.0.0.%d:7000' }"):format(("abcdefghijklmnop"):sub(i, i), i) end
    folder:write("graph/node.lua", script_of_graph)
    return assert(orrery.sim(folder:write("graph/cluster.lua", ([[
      return orrery.cluster { name = "t", node = "node.lua", clock = { %s }, nodes = { %s } }]]):format(
        more or "", table.concat(list, ", "))), { seed = seed }))
  end

  it("names the link that is asymmetric, and by how much, and no other; whichever node is asked", function()
    local sim <close> = begin(5, 3)
    sim:delay("d", "b", 0.005)
    sim:run(30)
    for _, id in ipairs { "a", "b", "c", "d", "e" } do
      local g = sim:call(id, "graph")
      assert.equal(id, g.anchor)
      assert.same({ offset = 0, sd = 0 }, g.nodes[id])
      assert.equal(10, #g.links)
      for _, link in ipairs(g.links) do
        local it_is = link.from == "b" and link.to == "d"
        assert.equal(it_is and "cut" or "kept", link.verdict)
        assert.is_true(link.checked and math.abs(2 * link.residual + (it_is and 0.005 or 0)) < 0.0002)
        assert.is_true(link.sd > 0 and link.sd < 0.001 and link.age < 5 and math.abs(link.offset) < 0.05)
      end
      local by = g.text:match "\nd %-> b takes ([%d.]+) ms longer than the way back: asymmetric, and left out\n"
      assert.is_true(by and math.abs(tonumber(by) - 4.9) < 0.1, g.text)
      assert.truthy(g.text:find "\n9 links: none is seen to be asymmetric, up to %d+%.?%d* us$", g.text)
      assert.truthy(g.text:find("^clocks against " .. id .. "'s:\n  [a-e]  [+-]"), g.text)
      assert.is_true(g.datagrams.told > 20 and g.datagrams.heard > 20)
      -- the cluster's time as two nodes have it differs by far less than that link says
      local mine, theirs = sim:call(id, "status"), sim:call("a", "status")
      assert.is_true(math.abs(mine.time - theirs.time) < 0.0001)
    end
    assert(sim:check())
  end)

  it("says of a star that nothing can be known, and of three nodes that nobody can say which link it is", function()
    local sim <close> = begin(4, 4)
    sim:cut("b", "c")
    sim:cut({ "b", "c" }, "d")
    sim:delay("a", "c", 0.005)
    sim:run(30)
    local g = sim:call("d", "graph")
    assert.equal(3, #g.links)
    for _, link in ipairs(g.links) do
      assert.is_true(link.verdict == "kept" and not link.checked and not link.residual)
    end
    assert.truthy(g.text:find "\n3 links: no loop of links in use has them, so nothing can be known of their asym")

    local three <close> = begin(3, 5)
    three:delay("a", "c", 0.005)
    three:run(30)
    g = three:call("b", "graph")
    for _, link in ipairs(g.links) do assert.equal("suspect", link.verdict) end
    assert.truthy(g.text:find("\none of these is asymmetric, and nobody can say which:\n  or ", 1, true), g.text)
  end)

  it("is shown as text at the prompt, and its parts travel", function()
    local sim <close> = begin(3, 6)
    sim:run(20)
    assert.truthy(sim.nodes.a:eval("node.clock:graph()"):find("^clocks against a's:\n  b  "))
    assert.equal(3, #sim.nodes.a:eval("node.clock:graph().links"))
    assert.equal("kept", sim.nodes.a:eval("node.clock:graph().links[1].verdict"))
  end)

  it("begins with the first call, where nobody has asked for the time before", function()
    local sim <close> = begin(3, 7, "at_once = false")
    sim:run(5)
    local g = sim:call("a", "graph")
    assert.same({}, g.links)
    assert.truthy(g.text:find("\nno link was measured of late$"))
    sim:run(5)
    assert.equal(2, #sim:call("a", "graph").links)
  end)

  it("says why there is none", function()
    local function complaint(sim, id)
      local none, message, code = sim:call(id, "graph")
      assert.is_nil(none)
      assert.equal("unavailable", code)
      return message
    end
    local off <close> = start(script_of_graph, { more = "clock = false," })
    assert.equal("node.clock:graph: the cluster file says clock = false", complaint(off, "a"))
    local served <close> = begin(3, 1, "ntp = { 'ntp1' }")
    served:run(5)
    assert.equal("node.clock:graph: the cluster's time is that of NTP servers: nodes don't measure each other's clocks",
      complaint(served, "a"))
    local many <close> = begin(16, 1)
    many:run(5)
    assert.equal("node.clock:graph: this node is none of the members that keep the cluster's time: these are the " ..
      "file's first 15", complaint(many, "p"))
    assert.equal(105, #many:call("a", "graph").links)
  end)
end)

describe("with NTP servers", function()
  local function begin(servers, more)
    return start(script, { more = ("clock = { ntp = { %s } %s },"):format(servers, more or "") })
  end
  local three = "'ntp1', 'ntp2:123', 'ntp3:1123'"

  it("the cluster's time is theirs", function()
    local sim <close> = begin(three)
    sim:run(8)
    for _, id in ipairs { "a", "b", "c" } do
      local earliest, latest = sim:call(id, "time")
      local truth = 1.7e9 + sim:now()
      assert.is_true(earliest <= truth and truth <= latest and latest - earliest < 0.01)
    end
    sim:step_clock("b", 100)
    local seen = sim:call("b", "status")
    sim:run(1)
    seen = sim:call("b", "status")
    assert.equal("synchronised", seen.state)
    assert.same({ "b" }, seen.off)
    assert.is_true(math.abs(seen.offset + 100) < 0.1)
  end)

  it("one that lies is named, and moves nothing", function()
    local sim <close> = begin(three)
    sim:run(10)
    sim:lie("ntp2", 3)
    sim:run(60)
    local seen = sim:call("a", "status")
    assert.same({ "ntp2:123" }, seen.off)
    assert.equal("off", seen.members["ntp2:123"].role)
    assert.is_true(math.abs(seen.members["ntp2:123"].offset - 3) < 0.01)
    assert.equal("known", seen.members["ntp3:1123"].role)
    assert.is_true(math.abs(seen.time - 1.7e9 - sim:now()) < 0.001)
    assert(sim:check())
  end)

  it("holds for a clock that is as slow, or as fast, as drift_max says, however long it is alone", function()
    for _, ppm in ipairs { -500, 500 } do
      local sim <close> = begin("'ntp1'", ", bound_max = 30")
      sim:drift(sim.all, ppm)
      sim:run(100)
      sim:cut({ "ntp1" }, sim.all)
      for _ = 1, 10 do
        sim:run(2000)
        assert.is_number((sim:call("a", "time")))
      end
      assert(sim:check())
    end
  end)

  -- The worst error of the likely time in an hour alone, half an hour after a restart; heated, or at one temperature.
  local function alone_after_a_restart(kelvin)
    local sim <close> = begin(three, ", bound_max = 30")
    sim:wander("a", 0.05)
    if kelvin then sim:heat("a", kelvin, 3600, 200) end
    sim:run(3 * 3600)
    sim:restart "a"
    sim:run(1500)
    sim:cut({ "a" }, { "ntp1", "ntp2", "ntp3:1123", "b", "c" })
    local worst = 0
    for _ = 1, 36 do
      sim:run(100)
      worst = math.max(worst, math.abs(sim:call("a", "status").time - 1.7e9 - sim:now()))
    end
    assert(sim:check())
    return worst
  end

  it("what a sensor taught is known after a restart, and carries a node that is alone", function()
    assert.is_true(alone_after_a_restart() < 0.001)
    assert.is_true(alone_after_a_restart(5) < 0.001)     -- 2.4 ms where it is not known
  end)

  it("a node that reaches none has the time of the others", function()
    local sim <close> = begin(three)
    sim:cut("a", { "ntp1", "ntp2", "ntp3:1123" })
    sim:run(30)
    local seen = sim:call("a", "status")
    assert.equal("synchronised", seen.state)
    assert.equal("unknown", seen.members["ntp1:123"].role)
    assert.equal("known", seen.members.b.role)
    assert(sim:check())
  end)

  it("there is no time where nobody reaches one", function()
    local sim <close> = begin(three)
    sim:cut({ "ntp1", "ntp2", "ntp3:1123" }, sim.all)
    sim:run(20)
    local none, message, code = sim:call("a", "time")
    assert.is_nil(none)
    assert.equal("node:time: of the servers and nodes that are asked 0 are known, 2 are needed", message)
    assert.equal("unavailable", code)
    assert.equal("unsteady", sim:call("a", "status").members.b.role)
  end)

  it("one server alone is not believed where the file names three", function()
    local sim <close> = begin(three)
    sim:lie("ntp2", 5)
    sim:cut("a", { "ntp1", "ntp3:1123", "b", "c" })
    sim:restart "a"
    sim:run(20)
    local none, message = sim:call("a", "time")
    assert.is_nil(none)
    assert.equal("node:time: of the servers and nodes that are asked 1 are known, 2 are needed", message)
    sim:heal("a", "b")
    sim:run(10)
    none, message = sim:call("a", "time")
    assert.is_nil(none)                         -- whom of the two to believe?
    assert.truthy(message:find "^node:time: it is known to 2%.5%d+ s only, and clock%.bound_max is 0%.100000 s$")
    sim:heal("a", "c")
    sim:run(10)
    assert.is_number((sim:call("a", "time")))
    assert(sim:check())
  end)

  it("more liars than honest ones are not judged, and may lead astray", function()
    local sim <close> = begin(three)
    sim:lie({ "ntp1", "ntp2" }, 5)
    sim:run(60)
    assert.is_true(math.abs(sim:call("a", "status").time - 1.7e9 - sim:now() - 5) < 0.01)
    assert(sim:check())
  end)

  it("a name is just a name, and a pool is four servers of it", function()
    local sim <close> = begin "'pool:pool.example', 'time.example.org:1123', '[fd00::1]'"
    sim:run(10)
    local seen, names = sim:call("a", "status"), {}
    for name, member in pairs(seen.members) do
      if name:find ":" then
        names[#names + 1] = name
        assert.equal("known", member.role)
      end
    end
    table.sort(names)
    assert.same({ "[fd00::1]:123", "pool.example:123/1", "pool.example:123/2", "pool.example:123/3",
      "pool.example:123/4", "time.example.org:1123" }, names)
    sim:lie({ "pool.example/1", "pool.example:123/3" }, 2)      -- two of six may
    sim:run(100)
    seen = sim:call("a", "status")
    table.sort(seen.off)
    assert.same({ "pool.example:123/1", "pool.example:123/3" }, seen.off)
    assert.is_true(math.abs(seen.time - 1.7e9 - sim:now()) < 0.001)
    assert(sim:check())
  end)

  it("what a pool lacks counts as servers that are silent", function()
    local sim <close> = begin "'pool:pool.example'"
    sim:cut(sim.all, { "pool.example/2", "pool.example/3", "pool.example/4" })
    sim:run(10)
    local none, message = sim:call("a", "time")
    assert.is_nil(none)                         -- one of the four may lie: this one?
    assert.equal("node:time: of the servers and nodes that are asked 1 are known, 2 are needed", message)
    sim:heal(sim.all, "pool.example/2")
    sim:run(70)
    assert.is_number((sim:call("a", "time")))
    assert(sim:check())
  end)

  it("a verb names its servers", function()
    local sim <close> = begin(three)
    assert.has_error(function() sim:lie("a", 1) end,
      [[sim:lie: 'server' must be an NTP server of the cluster (got "a")]])
    assert.has_error(function() sim:cut("a", "ntp4") end,
      [[sim:cut: 'b' must be a node of the cluster (got "ntp4")]])
  end)
end)

describe("the cluster file's clock", function()
  local function check(text)
    local value, message = cluster.load(folder:write("c.lua", ([[
return orrery.cluster { name = "t", node = "n.lua", nodes = { { id = "a", at = "127.0.0.1:1" } },
%s
}]]):format(text)))
    return value and value.clock, message and message:match "c%.lua:%d+: (.*)$"
  end

  it("may be left out, given, or false", function()
    assert.same({ ntp = {}, mode = "ntp", bound_max = 0.1 }, (check ""))
    assert.same({ ntp = {}, mode = "ntp", bound_max = 0.1, at_once = true }, (check "clock = {}"))
    assert.same({ ntp = {}, mode = "ntp", bound_max = 1, drift_max = 0.0001, at_once = false },
      (check "clock = { bound_max = 1, drift_max = 1e-4, at_once = false }"))
    assert.is_false((check "clock = false"))
  end)

  it("is checked", function()
    for text, complaint in pairs {
      ["clock = true"] = "'clock' must be a table, or false (got true)",
      ["clock = { bound = 1 }"] = "'clock.bound' is unknown (nearest: 'bound_max')",
      ["clock = { bound_max = 0 }"] = "'clock.bound_max' must be a number of seconds above 0 and at most 86400 (got 0)",
      ["clock = { drift_max = 0.01 }"] = "'clock.drift_max' must be a number above 0 and at most 0.001 (got 0.01)",
      ["clock = { at_once = 1 }"] = "'clock.at_once' must be true or false (got 1)",
    } do
      local value, message = check(text)
      assert.is_nil(value)
      assert.equal("orrery.cluster: " .. complaint, message)
    end
  end)
end)

describe("whatever strikes", function()
  local first, last = (os.getenv "ORR_SEEDS" or "1:12"):match "^(%d+):(%d+)$"
  it(("the answer holds: seeds %s to %s"):format(first, last), function()
    local told = 0
    for seed = math.tointeger(first), math.tointeger(last) do
      told = told + swarmed(seed, 1 + seed % 6)
    end
    assert.is_true(told > 500 * (last - first + 1))
  end)

  it(("it holds with NTP servers, one of them a liar: seeds %s to %s"):format(first, last), function()
    local told = 0
    for seed = math.tointeger(first), math.tointeger(last) do
      told = told + swarmed(seed, 1 + seed % 5, 3 + seed % 3)
    end
    assert.is_true(told > 200 * (last - first + 1))
  end)

  it(("and where oscillators wander and are heated: seeds %s to %s"):format(first, last), function()
    local told = 0
    for seed = math.tointeger(first), math.tointeger(last) do
      told = told + swarmed(seed, 1 + seed % 5, seed % 2 == 0 and 3 + seed % 3 or nil, true)
    end
    assert.is_true(told > 200 * (last - first + 1))
  end)
end)

describe("a machine's clock under discipline", function()
  local servers = "'ntp1', 'ntp2', 'ntp3'"
  local text = [[
    node:on("offset", function() return node.clock:status().offset end)
    node:on("step", function() return node.clock:step() end)
  ]]
  local function begin(more)
    return start(text, { more = ("clock = { ntp = { %s } %s },"):format(servers, more) })
  end
  local function off(sim, id) return math.abs((sim:call(id, "offset"))) end

  it("is set once and slewed from then on, over hours, near the time", function()
    local sim <close> = begin ", discipline = true"
    sim:drift("a", 80)
    sim:drift("b", -120)
    sim:step_clock("c", 30)
    local before = 1
    for _ = 1, 10 do                             -- it comes near, and goes back and forth at no time
      sim:run(120)
      local now = off(sim, "b")
      assert.is_true(now < before)
      before = now
    end
    sim:run(600)
    for _ = 1, 12 do
      sim:run(600)
      for _, id in ipairs { "a", "b", "c" } do assert.is_true(off(sim, id) < 2e-4, id .. " " .. off(sim, id)) end
    end
    assert(sim:check())
  end)

  it("drifts without", function()
    local sim <close> = begin ""
    sim:drift("a", 80)
    sim:run(3600)
    assert.is_true(off(sim, "a") > 0.2)
  end)

  it("that somebody sets later is not set back but slewed", function()
    local sim <close> = begin ", discipline = true"
    sim:run(1200)
    sim:step_clock("a", 0.5)
    sim:run(600)
    assert.is_true(off(sim, "a") > 0.3)
    sim:run(4000)
    assert.is_true(off(sim, "a") < 1e-3)
    assert(sim:check())
  end)

  it("is set once more where somebody asks for it", function()
    local sim <close> = begin ", discipline = true"
    sim:run(1200)
    sim:step_clock("a", -20)
    sim:run(60)
    assert.is_true(off(sim, "a") > 19)
    assert.is_true(sim:call("a", "step"))
    sim:run(1)
    assert.is_true(off(sim, "a") < 0.05)
    sim:run(1200)
    assert.is_true(off(sim, "a") < 1e-3)
    sim:step_clock("a", 0.5)                     -- once was asked for
    sim:run(60)
    assert.is_true(off(sim, "a") > 0.4)
    assert(sim:check())
  end)

  it("is not set where nobody said that it is to be steered", function()
    local sim <close> = begin ""
    sim:run(10)
    local ok, message, code = sim:call("a", "step")
    assert.is_nil(ok)
    assert.equal("invalid", code)
    assert.equal("node.clock:step: the cluster file doesn't say clock.discipline = true", message)
  end)

  it("is left to itself while the time isn't known, at the rate that was learned", function()
    local sim <close> = begin ", discipline = true"
    sim:drift("a", 80)
    sim:run(3600)
    local before = off(sim, "a")
    assert.is_true(before < 5e-4)
    sim:step_clock("a", 0.2)                     -- it is slewed when the servers go
    sim:run(60)
    sim:cut(sim.all, { "ntp1", "ntp2", "ntp3" })
    sim:run(3600)
    sim:heal(sim.all, { "ntp1", "ntp2", "ntp3" })
    sim:run(130)
    assert.is_true(off(sim, "a") < 0.25 and off(sim, "a") > 0.1)
    assert(sim:check())
  end)
end)
