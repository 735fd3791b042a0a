-- lease_reads_spec.lua - groups with reads = "lease", and reads with max_age, in simulations, whose laboratory looks at
-- each node's every turn whether a lease or an age is more than it may be (oracles `lease` and `age`).
local orrery = require "orrery"

local folder = dofile "spec/lua/folder.lua"()
local start = dofile "spec/lua/script.lua"(folder)
teardown(function() folder:remove() end)

local clock = "clock = {},"
local script = [[
  local kv = node:replicate("kv", { machine = "kv", reads = %q })
  node:on("set", function(key, value) return kv:set(key, value) end)
  node:on("get", function(key, more)
    local began = node:now()
    local value, message, code = kv:get(key, more)
    return node:now() - began, value, message, code
  end)
  node:on("status", function() return kv:status() end)
]]

-- 10 ms one way between any two; "k" is 1.
local function far(reads)
  local sim = start(script:format(reads), { more = clock })
  sim:run(1)
  sim:delay(0.010)
  local leader = assert(sim:run_until(function() return sim:leader "kv" end, 5)) and sim:leader "kv"
  sim:run(1)
  assert(sim:call(leader, "set", "k", 1))
  sim:run(1)
  return sim, leader, leader == "a" and "b" or "a"
end

describe("reads by lease", function()
  it("take no round at the leader, and one at the others", function()
    local sim <close>, leader, other = far "lease"
    local took, value = sim:call(leader, "get", "k")
    assert.equal(1, value)
    assert.is_true(took < 0.001, took)
    took, value = sim:call(other, "get", "k")
    assert.equal(1, value)
    assert.is_true(took > 0.019 and took < 0.025, took)
    local status = sim:call(leader, "status")
    assert.is_true(status.lease > 0.05 and status.lease <= 0.2, status.lease)
    assert.is_nil(sim:call(other, "status").lease)
    assert(sim:check())
  end)

  it("take a round each where they go by index", function()
    local sim <close>, leader, other = far "index"
    assert.is_true(sim:call(leader, "get", "k") > 0.019)
    assert.is_true(sim:call(other, "get", "k") > 0.039)
    assert.is_nil(sim:call(leader, "status").lease)
  end)

  it("ask again where the time is not known within its bound", function()
    local sim <close>, leader = far "lease"
    sim:delay(0.3)                                -- half of what goes forth and back is more than bound_max
    sim:delay(leader, leader == "a" and "b" or "a", 0.010)
    sim:run(30)
    local now = sim:run_until(function() return sim:leader "kv" end, 60) and sim:leader "kv"
    assert.is_nil(now and sim:call(now, "status").lease)
    sim:delay(0.001)
    sim:run(40)
    now = sim:leader "kv"
    assert.is_true(sim:call(now, "status").lease > 0)
    assert(sim:check())
  end)

  it("go on after leadership was handed over, by the next leader's own lease", function()
    local sim <close>, leader = far "lease"
    sim:delay(0.001)
    sim:kill(leader)
    sim:run(3)
    local next = sim:leader "kv"
    assert.not_equal(leader, next)
    assert.is_true(sim:call(next, "status").lease > 0)
    local _, value = sim:call(next, "get", "k")
    assert.equal(1, value)
  end)
end)

describe("reads with max_age", function()
  for _, reads in ipairs { "lease", "index" } do
    it("are answered by a copy that is young enough, also of a node that is cut off: " .. reads, function()
      local sim <close>, _, other = far(reads)
      local near = { max_age = 0.5 }
      local took, value = sim:call(other, "get", "k", near)
      assert.is_true(took < 0.001 and value == 1)
      local rest = {}
      for _, id in ipairs { "a", "b", "c" } do if id ~= other then rest[#rest + 1] = id end end
      sim:partition({ other }, rest)
      sim:run(0.2)
      took, value = sim:call(other, "get", "k", near)
      assert.is_true(took < 0.001 and value == 1)
      local age = sim:call(other, "status").age
      assert.is_true(age > 0.2 and age < 0.4, age)
      sim:run(0.4)
      local _, none, _, code = sim:call(other, "get", "k", near)
      assert.is_nil(none)
      assert.equal("no_leader", code)
      sim:heal()
      sim:run(2)
      took = sim:call(other, "get", "k", near)
      assert.is_true(took < 0.001)
      assert(sim:check())
    end)
  end

  it("see what was written so long before, and need not see what came later", function()
    local sim <close>, leader, other = far "index"
    sim:run(1)
    assert(sim:call(leader, "set", "k", 2))
    local _, value = sim:call(other, "get", "k", { max_age = 10 })
    local seen = value
    sim:run(0.3)
    _, value = sim:call(other, "get", "k", { max_age = 0.3 })
    assert.equal(2, value)
    assert.is_true(seen == 1 or seen == 2)
  end)

  it("are asked of a node with a replica where there is none", function()
    local sim <close> = start([[
      local kv = node:replicate("kv", { machine = "kv", on = { "a", "b" } })
      local machine = node:replicate("m", { on = { "a", "b" }, init = function() return { n = 0 } end,
        apply = { add = function(s, op) s.n = s.n + op[2] return s.n end },
        query = { n = function(s) return s.n end } })
      node:on("set", function(key, value) machine:propose { "add", value } return kv:set(key, value) end)
      node:on("get", function(more)
        local _, _, code = machine:read(function(s) return s.n end, more)
        return kv:get("k", more), machine:read({ "n" }, more), code
      end)]], { more = clock })
    sim:run(2)
    assert(sim:call("a", "set", "k", 5))
    sim:run(1)
    local kv, machine, code = sim:call("c", "get", { max_age = 1 })
    assert.same({ 5, 5, "invalid" }, { kv, machine, code })
    sim:kill(sim:leader "kv")                     -- nobody leads, and the one that is left can say how old it is
    kv = sim:call("c", "get", { max_age = 1 })
    assert.equal(5, kv)
    kv, machine, code = sim:call("a", "get", { consistency = "strong" })
    assert.is_nil(kv)
  end)

  it("say what is wrong with their options", function()
    local sim <close> = start([[
      local kv = node:replicate("kv", { machine = "kv" })
      node:on("get", function(more) return pcall(kv.get, kv, "k", more) end)]], { more = clock })
    for given, complaint in pairs {
      [{ consistency = "bounded" }] = "kv:get: consistency = \"bounded\" needs 'max_age', in seconds",
      [{ consistency = "strong", max_age = 1 }] = "kv:get: 'max_age' is for consistency = \"bounded\"",
      [{ max_age = 0 }] = "kv:get: 'max_age' must be a number of seconds above 0 and at most 86400 (got 0)",
      [{ consistency = "stale" }] = "kv:get: 'consistency' must be \"strong\" or \"bounded\" (got \"stale\")",
    } do
      local ok, message = sim:call("a", "get", given)
      assert.is_false(ok)
      assert.matches(complaint, message, 1, true)
    end
  end)

  it("and leases are refused where there is no clock", function()
    local function loaded(text) return pcall(start, text, { more = "clock = false," }) end
    local ok, message = loaded [[node:replicate("kv", { machine = "kv", reads = "lease" })]]
    assert.is_false(ok)
    assert.matches("node:replicate kv: reads = \"lease\" goes by the cluster's time, and the cluster file says " ..
      "clock = false", message, 1, true)
    local sim <close> = start([[
      local kv = node:replicate("kv", { machine = "kv" })
      node:on("get", function() return pcall(kv.get, kv, "k", { max_age = 1 }) end)]], { more = "clock = false," })
    ok, message = sim:call("a", "get")
    assert.is_false(ok)
    assert.matches("goes by the cluster's time, and the cluster file says clock = false", message, 1, true)
  end)
end)

describe("whatever strikes", function()
  local first, last = (os.getenv "ORR_SEEDS" or "1:12"):match "^(%d+):(%d+)$"
  it(("no lease and no age is more than it may be: seeds %s to %s"):format(first, last), function()
    local held = 0
    for seed = math.tointeger(first), math.tointeger(last) do
      local sim <close> = assert(orrery.sim("examples/leases/cluster.lua", { seed = seed, faults = "swarm" }))
      sim:run(30)
      assert(sim:check())
      local leader = sim:leader "kv"
      local status = leader and sim.nodes[leader]:status()
      if status and status.groups.kv.lease then held = held + 1 end
    end
    assert.is_true(held * 4 > last - first + 1, held .. " leaders had a lease")
  end)
end)
