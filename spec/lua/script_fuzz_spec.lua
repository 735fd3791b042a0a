-- script_fuzz_spec.lua - random scripts never make replicas differ without being caught, nor end the process, nor get
-- out of the sandbox; and what such scripts have found. ORR_LONG=1: thousands of them.
local orrery = require "orrery"
local core = require "orrery.core"

local folder = dofile "spec/lua/folder.lua"()
local run = dofile "spec/lua/script_fuzz_run.lua"
teardown(function()
  folder:remove()
  run:finish()
end)
local scripts = os.getenv "ORR_LONG" and 3000 or 60

local function seconds(f)
  local before = os.clock()
  f()
  return os.clock() - before
end

describe("random scripts", function()
  for kind, first in pairs { known = 1, fresh = os.time() * 10000 } do
    it(("%s ones: replicas agree, or it is told (seeds from %d)"):format(kind, first), function()
      for seed = first, first + scripts - 1 do
        local verdict, _, why = run(seed)
        local good = verdict == "equal" or verdict == "caught"
        assert(good, ("seed %d: %s: %s"):format(seed, verdict, why))
      end
    end)
  end

  it("say the same in two processes", function()
    local pipes, said = {}, {}
    for i = 1, 2 do
      local command = "'%s' spec/lua/script_fuzz_run.lua 1 %d"
      pipes[i] = assert(io.popen(command:format(core.process.program(), scripts // 2)))
    end
    for i = 1, 2 do
      said[i] = pipes[i]:read "a"
      assert(pipes[i]:close())
    end
    assert.matches("^1 %a+ ", said[1])
    assert.equal(said[1], said[2])
  end)
end)

-- -- What they found -------------------------------------------------------------------------------------------------
-- A simulation of three nodes: `apply`, and handlers; `go` proposes, `read` reads by that function.
local function sim_of(apply, more)
  folder:write("n.lua", ([[
    local hidden, counter = { n = 0 }, 0
    local group = node:replicate("g", { init = function() return { n = 0 } end, apply = function(s, op) %s end })
    node:on("go", function(op) return group:propose(op or {}) end)
    %s]]):format(apply, more or ""))
  local sim = orrery.sim(folder:write("c.lua", [[return orrery.cluster { name = "found", node = "n.lua",
    limits = { steps = 200000, memory = 1 << 24 }, nodes = {
      { id = "a", at = "127.0.0.1:1" }, { id = "b", at = "127.0.0.1:2" }, { id = "c", at = "127.0.0.1:3" } } }]]))
  sim:run(1)
  return sim
end

-- A simulation looks now and then.
local function told(sim, name)
  for i = 1, 200 do
    sim:call(("abc"):sub(i % 3 + 1, i % 3 + 1), name)
    local _, message = sim:check()
    if message then return message end
  end
  return "nothing"
end

local function go(apply)
  local sim <close> = sim_of(apply)
  return sim:call("a", "go")
end

describe("an error that is no text", function()
  it("is told without addresses, once for all replicas", function()
    assert.same({ nil, "table: 1", "failed" }, { go "error({})" })
    assert.same({ nil, "so", "failed" }, { go "error(setmetatable({}, { __tostring = function() return 'so' end }))" })
  end)

  it("is named within the op's budget", function()
    local _, message = go "error(setmetatable({}, { __tostring = function() while true do end end }))"
    assert.equal("n.lua:2: ran for more than 200000 instructions", message)
  end)

  it("doesn't take the state out of a read", function()
    local sim <close> = sim_of("return 1", [[
      node:on("steal", function()
        local _, got = group:read(function(s) error(s) end)
        return type(got)
      end)]])
    assert.equal("string", sim:call("b", "steal"))
  end)
end)

describe("what only one replica knows", function()
  for apply, expected in pairs {
    ["counter = counter + 1 return counter"] = "upvalue `counter` has changed",
    ["hidden.n = hidden.n + 1"] = "upvalue `hidden` has changed",
    ["_ENV = {}"] = "upvalue `_ENV` has changed",
    ["s.f = function() end"] = "state.f is a function",
    ["s.s = s"] = "ended: g: state",
  } do
    it("is told: " .. apply, function()
      local sim <close> = sim_of(apply)
      assert.matches(expected, told(sim, "go"), 1, true)
    end)
  end

  it("is told: a read that writes", function()
    local sim <close> = sim_of("return s.n", [[
      node:on("write", function() return group:read(function(s) s.n = s.n + 1 end) end)]])
    sim:call("b", "write")                              -- the first one
    local _, message = sim:check()
    assert.matches("node b ended: g: the function (n.lua:4) changes the state", message, 1, true)
  end)
end)

describe("in a node", function()
  it("bytecode isn't made by way of strings' metatable either", function()
    assert.equal("nil", (go "return type(('').dump)"))
  end)

  it("pure functions have no part of orrery that isn't pure", function()
    for _, call in ipairs { "raft {}", "cluster {}", "topology.mesh { 'a', 'b' }", "sim('x')" } do
      local result, message = go("return orrery." .. call)
      assert.is_nil(result)
      assert.matches("orrery%.%w+: not in a pure function", message)
    end
    assert.equal("a", (go "local p, u = orrery.pack, orrery.unpack return u(p { 'a' })[1]"))
  end)

  it("asking for the first key of many is counted", function()
    local took = seconds(function()
      local _, message = go "local t = {} for i = 1, 9999 do t['k' .. i] = i end while next(t) do t[next(t)] = nil end"
      assert.matches("ran for more than 200000 instructions", message, 1, true)
    end)
    assert(took < 5, took)
  end)

  it("what calls itself by __call, without an end, ends as a budget does", function()
    local took = seconds(function()
      for _, call in ipairs {
        "return t()", "return pcall(t)", "while true do pcall(t) end", "return t .. 'x'",
        "return coroutine.wrap(function() return t() end)()", "return xpcall(t, print)",
      } do
        local _, message = go("local t = {} setmetatable(t, t) t.__call, t.__concat = t, t " .. call)
        assert.matches("ran for more than 200000 instructions", message, 1, true)
      end
      local _, message = go("local t = {} t.__index = t setmetatable(t, t) return t.x")
      assert.matches("loop", message)
    end)
    assert(took < 30, took)
    local sim <close> = sim_of("return 1", [[
      node:on("chain", function() local t = {} setmetatable(t, t) t.__call = t t() end)]])
    assert.is_nil((sim:call("a", "chain")))
    assert.equal(1, sim:call("a", "go"))
    local deep = "local function f(n) return n == 0 and 0 or 1 + f(n - 1) end return f(15000)"
    assert.equal(15000, (go(deep)))
  end)

  it("a memory hog is stopped soon, whatever it catches", function()
    local sim <close> = sim_of("return 1", [[
      node:on("tables", function() local t = {} for i = 1, 1e9 do t[i] = { i } end end)
      node:on("caught", function()
        local t = {}
        while true do pcall(function() for i = 1, 1e9 do t[#t + 1] = { i } end end) end
      end)
      node:on("strings", function() local s = ("x"):rep(6000000) while true do local _ = s .. #s end end)]])
    for _, name in ipairs { "tables", "caught", "strings" } do
      local took = seconds(function() assert.is_nil((sim:call("a", name))) end)
      assert(took < 20, name .. took)
    end
    assert.equal(1, sim:call("a", "go"))
  end)
end)

describe("memory that runs out in a buffer", function()
  for _, text in ipairs {
    "pcall(string.rep, 'x', 1e8)", "pcall(coroutine.wrap(string.rep), 'x', 1e8)",
    "coroutine.resume(coroutine.create(string.rep), 'x', 1e8)",
    "xpcall(string.rep, function() return 'other' end, 'x', 1e8)", "load(function() return ('x'):rep(1e8) end)",
  } do
    it("is no result: " .. text, function()
      local environment = require "orrery.environment"
      local env = environment.close(environment.script(), "a script")
      local f = assert(load(text .. " return 'went on'", "=s", "t", env))
      local _, ok, message = core.memory.limit(1 << 25, core.pure.call, 1000000000, 7, f)
      assert.same({ false, "memory ran out in apply" }, { ok, message })
    end)
  end
end)
