-- group_spec.lua - groups with a machine of the script's: propose, read, peek; errors as results; restarts and faults.
local orrery = require "orrery"

local folder = dofile "spec/lua/folder.lua"()
teardown(function() folder:remove() end)

local made = 0
-- A cluster of three with that script, roles after the ids, and a simulation of it in which somebody leads.
local function sim_of(script, opts, more, name)
  made = made + 1
  name = name or "g" .. made
  folder:write(name .. "/n.lua", script)
  local path = folder:write(name .. "/c.lua", ([[
    return orrery.cluster { name = "%s", node = "n.lua", %s nodes = {
      { id = "a", at = "127.0.0.1:1", roles = { "store" } },
      { id = "b", at = "127.0.0.1:2", roles = { "store" } },
      { id = "c", at = "127.0.0.1:3", roles = { "other" } } } }]]):format(name, more or ""))
  local sim = orrery.sim(path, opts)
  assert(sim:run_until("leader", 5))
  assert(sim:run(0.5))
  return sim
end

local function all(...) return table.pack(...) end

local counter = [[
  local machine = {
    init = function() return { n = 0, list = {} } end,
    apply = {
      add = function(s, op) s.n = s.n + op.by return s.n end,
      keep = function(s, op) s.list[#s.list + 1] = op.v return op.v end,
      spoil = function(s, op) s.list[1] = op.v return s.list end,
      refuse = function(s) return nil, "not now", "mine" end,
      when = function(s, op, at) return at.index > 0, at.term > 0, math.type(at.time) end,
      nothing = function() end,
      many = function() return nil, 2, nil end,
      break_it = function() error "broken on purpose" end,
      table_error = function() error { 1 } end,
      loop = function() while true do end end,
      deep = function() local function f() return 1 + f() end return f() end,
      bad = function() return function() end end,
      chance = function(s, op) s.n = math.random(1, 1000000) return s.n end,
    },
    query = {
      n = function(s) return s.n end,
      list = function(s) return s.list end,
      break_it = function() error "broken in query" end,
    },
  }
  local g = node:replicate("counter", machine)
  node:on("propose", function(op) return g:propose(op) end)
  node:on("read", function(q) return g:read(q) end)
  node:on("peek", function(q) return g:peek(q) end)
  node:on("read_f", function() return g:read(function(s, at) return s.n, at.index > 0 end) end)
  node:on("peek_f", function() return g:peek(function(s) return s.n end) end)
  node:on("impure", function() return pcall(function() return g:peek(function() return g.name end) end) end)
  node:on("impure_read", function() return pcall(function() return g:read(function() return node.id end) end) end)
  node:on("write_in_read", function() return g:read(function(s) s.n = 77 return s.n end) end)
  node:on("kept", function()
    local v = { 1 }
    g:propose { "keep", v = v }
    v[1] = 2
    local mine = g:peek { "list" }
    mine[1][1] = 3
    local whole = g:peek()
    whole.list[1][1] = 4
    return g:peek { "list" }
  end)
]]

describe("a group of the script's", function()
  it("is changed by propose, asked by read, looked at by peek, from any node", function()
    local sim <close> = sim_of(counter)
    for i, id in ipairs { "a", "b", "c" } do
      assert.equal(i, sim:call(id, "propose", { "add", by = 1 }))
      assert.equal(i, sim:call(id, "read", { "n" }))
      assert.same(all(i, true), all(sim:call(id, "read_f")))
    end
    sim:run(0.5)
    for _, id in ipairs { "a", "b", "c" } do
      assert.equal(3, sim:call(id, "peek", { "n" }))
      assert.equal(3, sim:call(id, "peek_f"))
      assert.same({ n = 3, list = {} }, sim:call(id, "peek"))
    end
    assert(sim:check())
  end)

  it("copies what comes in and goes out", function()
    local sim <close> = sim_of(counter)
    assert.same({ { 1 } }, sim:call("a", "kept"))
    assert.same({ 9 }, sim:call("a", "propose", { "spoil", v = 9 }))
    assert.same({ 9 }, sim:call("a", "read", { "list" }))
  end)

  it("keeps a list of results with its nils, and failures as they are", function()
    local sim <close> = sim_of(counter)
    assert.same(all(nil, "not now", "mine"), all(sim:call("b", "propose", { "refuse" })))
    assert.same(all(true, true, "float"), all(sim:call("b", "propose", { "when" })))
    assert.same(all(), all(sim:call("b", "propose", { "nothing" })))
    assert.same(all(nil, 2, nil), all(sim:call("b", "propose", { "many" })))
  end)

  it("says invalid to a name that it has not", function()
    local sim <close> = sim_of(counter)
    assert.same(all(nil, 'counter: apply has no "ad"', "invalid"), all(sim:call("a", "propose", { "ad", by = 1 })))
    assert.same(all(nil, "counter: apply goes by a name, in [1] (got nothing)", "invalid"),
      all(sim:call("a", "propose", { by = 1 })))
    assert.same(all(nil, 'counter: query has no "nn"', "invalid"), all(sim:call("c", "read", { "nn" })))
    assert.same(all(nil, 'counter: query has no "nn"', "invalid"), all(sim:call("c", "peek", { "nn" })))
    assert.equal(0, sim:call("a", "read", { "n" }))
  end)

  it("names what can't travel, and the script's line", function()
    local sim <close> = sim_of [[
      local g = node:replicate("g", { apply = function(s, op) return op end })
      node:on("propose", function()
        local r = g:propose { items = { 1, { f = print } } }
        return r
      end)
      node:on("save", function()
        local ok = node:save("x", { g = print })
        return ok
      end)]]
    assert.same(all(nil, "a: propose: n.lua:3: op.items[2].f is a function", "failed"), all(sim:call("a", "propose")))
    assert.same(all(nil, "a: save: n.lua:7: value.g is a function", "failed"), all(sim:call("a", "save")))
  end)

  it("answers failed, on every replica alike, where apply raises or never ends", function()
    local sim <close> = sim_of(counter)
    for _, case in ipairs {
      { "break_it", "^n.lua:%d+: broken on purpose$" },
      { "loop", "^n.lua:%d+: ran for more than 1000000%d* instructions$" },
      { "deep", "stack overflow" },
      { "bad", "is a function" },
      { "table_error", "^table: 1$" },
    } do
      local value, message, code = sim:call("a", "propose", { case[1] })
      assert.same(all(nil, "failed"), all(value, code))
      assert.matches(case[2], message)
    end
    local value, message, code = sim:call("a", "read", { "break_it" })
    assert.same(all(nil, "failed"), all(value, code))
    assert.matches("broken in query", message)
    assert.equal(5, sim:call("b", "propose", { "add", by = 5 }))
    sim:run(0.5)
    local digests = {}
    for _, id in ipairs { "a", "b", "c" } do digests[#digests + 1] = sim.nodes[id]:group("counter"):status().digest end
    assert.same({ digests[1], digests[1], digests[1] }, digests)
    assert(sim:check())
  end)

  it("draws the same chance on every replica, seeded by the index", function()
    local sim <close> = sim_of(counter)
    local n = sim:call("a", "propose", { "chance" })
    sim:run(0.5)
    for _, id in ipairs { "a", "b", "c" } do assert.equal(n, sim:call(id, "peek", { "n" })) end
  end)

  it("takes pure functions alone, and says which upvalue isn't one", function()
    local sim <close> = sim_of(counter)
    local ok, message = sim:call("a", "impure")
    assert.is_false(ok)
    assert.matches("counter:peek: the function: upvalue `g` is", message, 1, true)
    local value, code
    ok, value, message, code = sim:call("a", "impure_read")         -- a global: seen when it is used
    assert.same(all(true, nil, "failed"), all(ok, value, code))
    assert.matches("node", message)
  end)

  it("reads what this node's own proposals did", function()
    local sim <close> = sim_of(counter .. [[
      node:on("mine", function()
        for i = 1, 20 do
          local n = g:propose { "add", by = 1 }
          local seen, peeked = g:read { "n" }, g:peek { "n" }
          if seen < n or peeked < n then return false, n, seen, peeked end
        end
        return true
      end)]])
    for _, id in ipairs { "a", "b", "c" } do assert.is_true((sim:call(id, "mine"))) end
  end)

  it("says that nobody leads", function()
    local sim <close> = sim_of(counter)
    assert.equal(5, sim:call("a", "propose", { "add", by = 5 }))
    sim:partition({ "a" }, { "b" }, { "c" })
    sim:run(3)
    for _, id in ipairs { "a", "b", "c" } do
      assert.same(all(nil, id .. " knows no leader of counter", "no_leader"),
        all(sim:call(id, "propose", { "add", by = 1 })))
      assert.same(all(nil, id .. " knows no leader of counter", "no_leader"), all(sim:call(id, "read", { "n" })))
    end
    assert.equal(5, sim:call("a", "peek", { "n" }))
    sim:heal()
    sim:run(2)
    assert.equal(6, sim:call("a", "propose", { "add", by = 1 }))
  end)
end)

describe("a group on a role", function()
  local store = (counter:gsub("local g = node:replicate%(\"counter\", machine%)",
    'machine.on = "store" local g = node:replicate("counter", machine)'))

  it("is asked in the same words where no replica is", function()
    local sim <close> = sim_of(store)
    assert.equal(3, sim:call("c", "propose", { "add", by = 3 }))
    assert.equal(3, sim:call("c", "read", { "n" }))
    assert.same(all(nil, "not now", "mine"), all(sim:call("c", "propose", { "refuse" })))
    assert.same(all(nil, 'counter: apply has no "ad"', "invalid"), all(sim:call("c", "propose", { "ad" })))
    assert.same(all(nil, "failed"), (function(v, _, code) return all(v, code) end)(sim:call("c", "propose", { "bad" })))
    assert.same(all(nil, "counter: peek: c has no replica", "unavailable"), all(sim:call("c", "peek", { "n" })))
    assert.same(all(nil, "counter: read: c has no replica: ask by name, { name, ... }, not by a function", "invalid"),
      all(sim:call("c", "read_f")))
  end)

  it("is not there when its replicas aren't", function()
    local sim <close> = sim_of(store)
    sim:kill { "a", "b" }
    sim:run(1)
    local v, _, code = sim:call("c", "propose", { "add", by = 1 })
    assert.is_nil(v)
    assert.is_true(code == "no_leader" or code == "unavailable" or code == "timeout", tostring(code))
  end)
end)

describe("what was acknowledged", function()
  it("is there after all nodes lost power: the log is replayed", function()
    local sim <close> = sim_of(counter)
    for _ = 1, 50 do sim:call("a", "propose", { "add", by = 1 }) end
    sim:kill { "a", "b", "c" }
    sim:restart { "a", "b", "c" }
    sim:run(2)
    assert.equal(50, sim:call("b", "read", { "n" }))
    assert(sim:check())
  end)

  -- sum = acknowledged .. acknowledged + unknown, and all replicas are the same.
  local function exactly_once(seed)
    local sim <close> = sim_of(counter, { seed = seed })
    local acknowledged, unknown, ids = 0, 0, { "a", "b", "c" }
    sim:between(1, 3):lose(0.1)
    for round = 1, 12 do
      local id = ids[(seed + round) % 3 + 1]
      if round == 3 then sim:kill(ids[seed % 3 + 1]) end
      if round == 5 then sim:partition({ ids[(seed + 1) % 3 + 1] }, { ids[seed % 3 + 1], ids[(seed + 2) % 3 + 1] }) end
      if round == 6 then sim:restart(ids[seed % 3 + 1]) end
      if round == 9 then sim:heal() end
      local value, _, code = sim:call(id, "propose", { "add", by = 1 })
      if value then acknowledged = acknowledged + 1
      elseif code == "unknown" or code == "failed" then unknown = unknown + 1 end
      sim:run(0.1)
    end
    sim:heal()
    sim:run(3)
    local n = assert(sim:call("a", "read", { "n" }))
    assert(n >= acknowledged and n <= acknowledged + unknown, ("%d, %d, %d"):format(n, acknowledged, unknown))
    sim:run(1)
    for _, id in ipairs(ids) do assert.equal(n, sim:call(id, "peek", { "n" })) end
    assert(sim:check())
    return acknowledged
  end

  it("is counted once, over kills and partitions, in 100 runs", function()
    local total = 0
    for seed = 1, 100 do total = total + exactly_once(seed) end
    assert.is_true(total > 600, tostring(total))
  end)
end)

describe("a simulated run", function()
  -- Runs ops until something is found: what, in one line without where and how to see it again.
  local function found(script, name, q)
    name = name or "propose"
    local sim <close> = sim_of(script .. [[
      local g = node:replicate("g", machine)
      node:on("propose", function(op) return g:propose(op) end)
      node:on("read", function(q) return g:read(q) end)
      node:on("look", function() return g:read(function(s) s.x = (s.x or 0) + 1 return 1 end) end)]])
    for i = 1, 60 do
      sim:call("a", name, q or { "op", i = i })
      local ok, message = sim:check()
      if not ok then
        return (message:gsub("^g%d+, seed 1, at [%d.]+: crash: node %a ended: ", ""):gsub("; again: .*", ""))
      end
    end
  end

  it("finds a state that is not plain data", function()
    assert.equal("g: state.list[1] is a function: a state is plain data, and so are its snapshots", found [[
      local machine = { init = function() return { list = {} } end, apply = { op = function(s, op)
        s.list[1] = function() return 1 end
      end } }]])
  end)

  it("finds results that depend on how a table is laid out", function()
    assert.equal("g: apply (n.lua:1) gave other results when it was run again, on the same state after its snapshot",
      found [[local machine = { init = function() return { t = {} } end, apply = { op = function(s, op)
        s.t[#s.t + 1] = op.i
        if #s.t > 3 then s.t[2] = nil end
        s.t[op.i * 2] = op.i
        return #s.t
      end } }]])
  end)

  it("finds an apply that raises and has changed the state", function()
    assert.equal("g: apply (n.lua:1) raised and has changed the state: check first, then change",
      found [[local machine = { init = function() return { n = 0 } end, apply = { op = function(s, op)
        s.n = s.n + 1
        error "too late"
      end } }]])
  end)

  it("finds a query that changes something, by the line where it begins", function()
    local script = [[local machine = { init = function() return { n = 0 } end, apply = { op = function() end },
      query = { q = function(s) s.n = s.n + 1 return s.n end } }]]
    assert.equal("g: query (n.lua:2) changes the state", found(script, "read", { "q" }))
    assert.equal("g: the function (n.lua:5) changes the state", found(script, "look"))
  end)

  it("finds an upvalue that apply changes, and a constant that somebody else did", function()
    assert.equal("g: apply.op: upvalue `n` has changed since it was handed over",
      found [[local n = 0 local machine = { apply = { op = function() n = n + 1 return n end } }]])
    local script = [[local limits = { n = 1 } local machine = { apply = { op = function() return limits.n > 9 end } }]]
    local sim <close> = sim_of(script .. [[
      local g = node:replicate("g", machine)
      node:on("propose", function(op) return g:propose(op) end)
      node:on("constant", function() limits.n = limits.n + 1 end)]])
    sim:call("b", "constant")
    for _ = 1, 60 do sim:call("a", "propose", { "op" }) end
    local _, message = sim:check()
    assert.matches("node b ended: g: apply.op: upvalue `limits` has changed since it was handed over", message, 1, true)
  end)

  it("finds nothing where there is nothing, and is the same each time", function()
    local digests = {}
    for i = 1, 2 do
      local sim <close> = sim_of(counter, { seed = 5 }, nil, "again")
      for k = 1, 40 do
        sim:call("a", "propose", { "keep", v = { k, { x = k } } })
        sim:call("b", "read", { "list" })
        sim:call("b", "propose", { "break_it" })
      end
      assert(sim:check())
      digests[i] = sim:digest()
    end
    assert.equal(digests[1], digests[2])
  end)
end)

describe("a group whose machine is kv", function()
  local script = [[
    local kv = node:replicate("kv", { machine = "kv", on = "store" })
    for _, v in ipairs { "get", "set", "del", "add" } do node:on(v, function(...) return kv[v](kv, ...) end) end
    node:on("scan", function(from, to)
      local list = {}
      for key, value in kv:scan(from, to) do list[#list + 1] = { key, value } end
      return list
    end)
    node:on("wrong", function(name, ...) return select(2, pcall(kv[name], kv, ...)) end)
    if node.id == "a" then node:listen("resp", kv:resp()) end]]
  local function sim_of_kv()
    made = made + 1
    local name = "k" .. made
    folder:write(name .. "/n.lua", script)
    local path = folder:write(name .. "/c.lua", ([[
      return orrery.cluster { name = "%s", node = "n.lua", nodes = {
        { id = "a", at = "127.0.0.1:1", roles = { "store" }, resp = "127.0.0.1:11" },
        { id = "b", at = "127.0.0.1:2", roles = { "store" } },
        { id = "c", at = "127.0.0.1:3" } } }]]):format(name))
    local sim = orrery.sim(path)
    assert(sim:run_until("leader", 5))
    assert(sim:run(0.5))
    return sim
  end

  it("keeps plain values, as Redis clients see them where they can", function()
    local sim <close> = sim_of_kv()
    local client <close> = sim:client { to = "a" }
    for _, case in ipairs {
      { "text", "text" }, { 5, "5" }, { -7, "-7" }, { 0.1, "0.1" }, { 1.0, "1.0" }, { 1e300, "1e+300" }, { "", "" },
      { math.mininteger, tostring(math.mininteger) }, { 2 ^ 53, "9007199254740992.0" }, { true }, { false },
      { { 1, { a = "b" } } }, { "\xc1orrx" }, { "\xc1" }, { math.huge }, { "007", "007" }, { "5 apples", "5 apples" },
    } do
      for _, id in ipairs { "a", "c" } do
        assert.is_true(sim:call(id, "set", "k", case[1]))
        local got = sim:call(id, "get", "k")
        assert.same(case[1], got)
        assert.equal(math.type(case[1]), math.type(got))
      end
      if case[2] then assert.equal(case[2], client:call("GET", "k")) end
    end
    client:call("SET", "k", "41")
    assert.equal(41, sim:call("b", "get", "k"))
    assert.equal(42, client:call("INCR", "k"))
    client:call("SET", "k", "\xc1\xff")
    assert.equal("\xc1\xff", sim:call("b", "get", "k"))
  end)

  it("sets under conditions and for a while, adds, removes, scans in order", function()
    local sim <close> = sim_of_kv()
    assert.same(all(nil), all(sim:call("c", "get", "k")))
    assert.is_false(sim:call("c", "set", "k", 1, { xx = true }))
    assert.is_true(sim:call("c", "set", "k", 1, { nx = true }))
    assert.is_false(sim:call("b", "set", "k", 2, { nx = true }))
    assert.equal(11, sim:call("a", "add", "k", 10))
    assert.equal(11.5, sim:call("a", "add", "k", 0.5))
    local value, _, code = sim:call("a", "set", "k", 1, { version = 1 })
    assert.same(all(nil, "conflict"), all(value, code))
    assert.is_true(sim:call("a", "set", "word", "x"))
    value, _, code = sim:call("c", "add", "word", 1)
    assert.same(all(nil, "invalid"), all(value, code))
    assert.is_true(sim:call("a", "set", "brief", 1, { ttl = 0.5 }))
    assert.same({ { "brief", 1 }, { "k", 11.5 }, { "word", "x" } }, sim:call("c", "scan"))
    assert.same({ { "k", 11.5 } }, sim:call("c", "scan", "c", "l"))
    sim:run(1)
    assert.is_nil(sim:call("a", "get", "brief"))
    assert.is_true(sim:call("c", "del", "k"))
    assert.is_false(sim:call("c", "del", "k"))
    assert.same({ { "word", "x" } }, sim:call("c", "scan"))
    assert(sim:check())
  end)

  it("refuses what can't be, by name", function()
    local sim <close> = sim_of_kv()
    for _, case in ipairs {
      { "kv:get: 'key' must be a string (got 5)", "get", 5 },
      { "kv:set: 'value' must not be nil: del removes a key", "set", "k" },
      { "kv:set: 'nx' and 'xx' exclude each other", "set", "k", 1, { nx = true, xx = true } },
      { "kv:set: 'tll' is unknown (nearest: 'ttl')", "set", "k", 1, { tll = 1 } },
      { "kv:add: 'n' must be a number (got \"x\")", "add", "k", "x" },
    } do
      assert.matches(case[1], sim:call("a", "wrong", table.unpack(case, 2)), 1, true)
    end
  end)
end)

describe("a group", function()
  it("has no copy to be looked at before its log is read", function()
    local sim <close> = sim_of [[
      local g = node:replicate("early", { apply = function(s) return s end })
      node.state.early = { g:peek(), select(2, g:peek(function(s) return s.n end)) }
    ]]
    assert.same({ nil, "early: peek: a has not read its log yet", "unavailable" }, sim.nodes.a.state.early)
  end)
end)

describe("a group's status and events", function()
  local script = counter .. [[
    node.state.led = {}
    local led = g:on("leader", function(status)
      node:sleep(0.01)
      node.state.led[#node.state.led + 1] = status.leader or "nobody"
    end)
    node:on("status", function() return g:status() end)
    node:on("enough", function() led:close() led:close() return tostring(led) end)
    node:on("wrong", function(...) return select(2, pcall(g.on, g, ...)) end)]]

  it("tell who leads", function()
    local sim <close> = sim_of(script)
    local first = sim:leader()
    for _, id in ipairs { "a", "b", "c" } do
      local led = sim.nodes[id].state.led
      assert.equal(first, led[#led])
    end
    local other = first == "a" and "b" or "a"
    assert.equal("orrery.subscription(counter leader)", sim:call(other, "enough"))
    local n = #sim.nodes[other].state.led
    sim:kill(first)
    sim:run(2)
    local third = ({ ab = "c", ac = "b", ba = "c", bc = "a", ca = "b", cb = "a" })[first .. other]
    local led = sim.nodes[third].state.led
    assert.equal(sim:leader(), led[#led])
    assert.equal(n, #sim.nodes[other].state.led)
  end)

  it("tell the code and its version, the same everywhere", function()
    local sim <close> = sim_of(script)
    local mine, other = sim:call("a", "status"), sim:call("b", "status")
    assert.equal(1, mine.version)
    assert.matches("^%x+$", mine.code)
    assert.equal(16, #mine.code)
    assert.equal(mine.code, other.code)
    assert.equal(0, mine.lag)
  end)

  it("are refused where there are none", function()
    local sim <close> = sim_of(script)
    assert.matches([[counter:on: 'event' must be leader, snapshot or upgrade (got "laeder" (nearest: 'leader'))]],
      sim:call("a", "wrong", "laeder", nil), 1, true)
    assert.matches("counter:on: the event config is not available in this version of Orrery",
      sim:call("a", "wrong", "config"), 1, true)
    assert.matches("counter:on: 'f' must be a function (got 5)", sim:call("a", "wrong", "leader", 5), 1, true)
  end)
end)
