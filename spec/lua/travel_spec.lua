-- travel_spec.lua - seek, back, branch: the same run again, to the last byte, whatever was done to it.
local orrery = require "orrery"
local interrupt = require "orrery.interrupt"

local folder = dofile "spec/lua/folder.lua"()
teardown(function() folder:remove() end)

folder:write("node.lua", [[
  local log = node:replicate("log", { order = "raft", init = function() return { n = 0 } end,
    apply = function(s, op) s.n = s.n + (op.by or 1) return s.n end, query = { n = function(s) return s.n end } })
  node.state.heard = 0
  local kept = 1
  node:on("add", function(by) return log:propose { by = by } end)
  node:on("hear", function(n) node.state.heard = node.state.heard + n return kept end)
  node:on("keep", function(n) kept = n end)]])
local with_script = folder:write("cluster.lua", [[
  return orrery.cluster { name = "t", node = "node.lua", nodes = {
    { id = "a", at = "127.0.0.1:1" }, { id = "b", at = "127.0.0.1:2" }, { id = "c", at = "127.0.0.1:3" } } }]])
local kv = "examples/kv/cluster.lua"
local fault_file = folder:write("faults.lua", [[
  between(0.5, 2):cut(leader, any(1))
  when("leader"):slow_disk(leader, 0.01)
  at(1.2):kill(follower)
  every(0.9):restart(any(1))]])

-- Where a simulation is, in one line; and what of it lies on the Lua side.
local function place(sim)
  return ("%s %.9f %d %d %s"):format(sim:digest(), sim:now(), sim.core:steps(), #sim.agenda, tostring(sim))
end

-- Things to do to a simulation, each on virtual time alone. any(): an id, drawn.
local doings = {
  function(sim, _, any) sim:kill(any()) end,
  function(sim, _, any) sim:restart(any()) end,
  function(sim, _, any) sim:cut(any(), any()) end,
  function(sim) sim:heal() end,
  function(sim, rng, any) sim:at(sim:now() + rng()):pause(any()) end,
  function(sim, rng, any) sim:between(sim:now() + rng(), sim:now() + 1 + rng()):lose(0.3):kill(any()) end,
  function(sim, _, any) sim:eval(any(), "1 + 1") end,
  function(sim, _, any) sim:resume(any()) end,
  function(sim, _, any) sim:reload(any()) end,
  function(sim, rng) sim:every(0.3 + rng()):reset(function(s) return s:leader() or "a" end, "b") end,
  function(sim, rng) sim:step(rng(50)) end,
  function(sim, rng, any) sim:fail_alloc(any(), rng(1000)) end,
  function(sim) sim:when("leader"):kill(sim.any(1)) end,
  function(sim, rng) sim:at(sim:now() + rng()):cut(sim.any(2), sim.leader) end,
}
local calls = {
  kv = { function(_, rng, _, clients)
    local client = clients[rng(#clients)]
    client:call("SET", "k", tostring(rng(9)))
  end },
  t = {
    function(sim, rng, any) sim:call(any(), "add", rng(3)) end,
    function(sim, _, any) sim:cast(any(), "hear", 1) end,
    function(sim)
      local leader = sim:leader()
      if leader then sim.nodes[leader]:group("log"):read { "n" } end
    end,
  },
}

local function do_something(sim, rng, clients)
  local list = rng(3) == 1 and calls[sim.name] or doings
  list[rng(#list)](sim, rng, function() return sim.ids[rng(#sim.ids)] end, clients)
end

local function seeded(seed)
  local state = seed * 2654435761 % 4294967296
  return function(n)
    state = (state * 1664525 + 1013904223) % 4294967296
    if not n then return state / 4294967296 end
    return state * n // 4294967296 + 1
  end
end

-- A run with something done now and then; where it was each time everything of the instant had happened.
local function story(path, seed, faults)
  local sim = orrery.sim(path, { seed = seed, faults = faults })
  local rng, places, clients = seeded(seed), {}, {}
  sim:always("time passes", function(s) return s:now() >= 0 end)
  if path == kv then for i, id in ipairs { "a", "b", "c" } do clients[i] = sim:client { to = id } end end
  for _ = 1, 12 do
    do_something(sim, rng, clients)
    sim:run(rng() * 0.5)
    sim:run(0)
    places[#places + 1] = { at = sim.core:now() / 1e9, is = place(sim) }
    sim:run(1e-6)                       -- what is done next is done at another time
  end
  return sim, places
end

describe("sim:seek", function()
  for _, path in ipairs { kv, with_script } do
    for _, faults in ipairs { "none", "default", "swarm", fault_file } do
      it(("finds any earlier instant of %s with faults = %s"):format(path == kv and "kv" or "a script",
        faults:match "[^/]*$"),
        function()
          for seed = 1, 6 do
            local sim, places = story(path, seed, faults)
            local _ <close> = sim
            local ended = place(sim)
            local reached = sim:now()
            for _, i in ipairs { #places, 3, 9, 1, 6, #places } do
              assert.is_true(sim:seek(places[i].at))
              assert.equal(places[i].is, place(sim), ("seed %d, place %d"):format(seed, i))
            end
            assert.is_true(sim:seek(reached))
            assert.equal(ended, place(sim))
          end
        end)
    end
  end

  it("goes on into what nobody has seen yet, with what is planned", function()
    local sim <close> = orrery.sim(kv)
    sim:at(2):kill "c"
    sim:run(1)
    assert.is_true(sim:seek(3))
    assert.equal("down", sim.core:state "c")
    sim:seek(1.5)
    assert.equal("up", sim.core:state "c")
    sim:run(1)
    assert.equal("down", sim.core:state "c")
  end)

  it("keeps nodes' handles, clients and what they hold valid", function()
    local sim <close> = orrery.sim(kv)
    local a = sim.nodes.a
    sim:run(1)
    local client = sim:client { to = "a" }
    assert.equal("OK", client:call("SET", "k", "1"))
    local at = sim:now()
    sim:run(0.01)
    assert.equal("OK", client:call("SET", "k", "2"))
    local late = sim:client { to = "b" }
    assert.equal("2", late:call("GET", "k"))
    sim:seek(at)
    assert.equal("1", client:call("GET", "k"))
    assert.equal("up", a:status().state)
    assert.has_error(function() late:call "PING" end, "client:call: the client is closed")
    assert.equal("1", (sim:client { to = "b" }):call("GET", "k"))
  end)

  it("keeps scripts' evals, reloads and values as they were handed over", function()
    local sim <close> = orrery.sim(with_script)
    sim:run(1)
    local op = { by = 5 }
    assert.equal(5, sim.nodes.a:group("log"):propose(op))
    op.by = 100
    sim:eval("a", "kept = 7")
    local at = sim:now() + 0.001
    sim:run(0.1)
    local file = assert(io.open(folder.path .. "/node.lua"))
    local text = file:read "a"
    file:close()
    folder:write("node.lua", text:gsub("local kept = 1", "local kept = 2"))
    assert.is_true(sim:reload "b")
    folder:write("node.lua", text)
    sim:run(0.5)
    local there = place(sim)
    sim:seek(at)
    assert.equal(7, sim:call("a", "hear", 1))
    assert.equal(5, sim.nodes.b:group("log"):read { "n" })
    assert.equal(1, sim:call("b", "hear", 1))
    local again <close> = sim:branch()
    assert.not_equal(there, place(again))
  end)

  it("is told what is wrong, and refused within the simulation", function()
    local sim <close> = orrery.sim(kv)
    sim:run(1)
    assert.error_matches(function() sim:seek(-1) end, "sim:seek: 'T' must be")
    assert.error_matches(function() sim:back(2) end, "sim:back: 'T' must not be more than has passed %(got 2")
    local why
    sim:always("never", function(s)
      why = why or select(2, pcall(s.back, s, 0.1))
      return true
    end)
    sim:run(1)
    assert.matches("sim:back: can't be called from what the simulation itself calls", why, 1, true)
  end)

  it("is refused where the way isn't kept", function()
    local sim <close> = orrery.sim(kv)
    sim:run(1)
    sim.tape.travels = false              -- as `orrery sim` makes them
    local why = ": this simulation keeps no way back; those that orrery.sim makes do"
    assert.has_error(function() sim:back(0.5) end, "sim:back" .. why)
    assert.has_error(function() sim:branch() end, "sim:branch" .. why)
  end)

  it("notices a function that isn't the same each time", function()
    local sim <close> = orrery.sim(kv)
    local n = 0
    sim:at(1):kill(function()
      n = n + 1
      return n == 1 and "a" or "b"
    end)
    sim:at(2):restart "a"
    sim:run(3)
    assert.error_matches(function() sim:seek(2.5) end, "can't be repeated: .*must depend on nothing but the simulation")
  end)

  it("ends where Ctrl-C comes, and can go on", function()
    local sim <close> = orrery.sim(kv)
    for i = 1, 10 do
      sim:seek(i)
      sim:cut("a", "b")
    end
    local there, pending, asked = place(sim), interrupt.pending, 0
    finally(function() interrupt.pending = pending end)
    function interrupt.pending()
      asked = asked + 1
      return asked > 5
    end
    local ok, message, code = sim:seek(9)
    assert.is_nil(ok)
    assert.equal("cancelled", code)
    assert.matches("^sim:seek: interrupted; it is %d%.%d+ now$", message)
    assert.is_true(sim:now() < 9)
    interrupt.pending = pending
    sim:seek(10)
    assert.equal(there, place(sim))
  end)

  it("keeps a violation that came before, and forgets one that came later", function()
    local sim <close> = orrery.sim(kv, { seed = 4 })
    sim:always("c stays up", function(s) return s.core:state "c" == "up" end)
    sim:run(1)
    sim:kill "c"
    sim:run(1)
    sim:run(0.1)
    local _, message = sim:check()
    assert.matches("c stays up", message)
    sim:seek(1.05)
    assert.same({ nil, message, "violated" }, { sim:check() })
    sim:seek(0.9)
    assert(sim:check())
    sim:run(1)
    assert(sim:check())
  end)
end)

describe("sim:back", function()
  it("begins another history with the next call", function()
    local sim <close> = orrery.sim(kv)
    sim:seek(1)
    sim:cut("a", "b")
    sim:seek(4)
    local cut = place(sim)
    assert.is_true(sim:back(3))
    assert.matches("a  . x o", sim:matrix(), 1, true)
    sim:seek(4)
    assert.equal(cut, place(sim))
    sim:back(3)
    sim:heal()
    sim:seek(4)
    local healed = place(sim)
    assert.not_equal(cut, healed)
    assert.matches("a  . o o", sim:matrix(), 1, true)
    sim:back(1)
    sim:seek(4)
    assert.equal(healed, place(sim))
  end)

  it("may end amid a call, whose answer nobody waits for then", function()
    local sim <close> = orrery.sim(kv)
    sim:run(1)
    local client = sim:client { to = "a" }
    client:call("SET", "k", "1")
    sim:partition({ "a" }, { "b", "c" })
    local at = sim:now()
    assert.is_nil((client:call("SET", "k", "2")))
    sim:seek(at + 0.01)
    assert.same({ nil, "a: an earlier call of this client is still under way here: take a new one", "unavailable" },
      { client:call("GET", "k") })
    sim:heal()
    collectgarbage()
    sim:run(5)
    assert.is_truthy((sim:client { to = "b" }):call("GET", "k"))
  end)
end)

describe("sim:branch", function()
  it("is the same run, and independent of the one it is of", function()
    for seed = 1, 5 do
      local sim <close> = story(seed % 2 == 0 and kv or with_script, seed, seed > 2 and "default" or "none")
      sim:step(17)
      local here = place(sim)
      local other <close> = sim:branch()
      assert.equal(here, place(other))
      other:restart { "a", "b", "c" }
      other:run(2)
      assert.equal(here, place(sim))
      local third <close> = sim:branch()
      sim:run(2)
      third:run(2)
      assert.equal(place(sim), place(third))
      assert.not_equal(place(sim), place(other))
    end
  end)
end)
