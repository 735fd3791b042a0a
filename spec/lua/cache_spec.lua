-- cache_spec.lua - examples/cache: nothing older than its promise is served, whatever strikes and whoever owns it; and
-- it is a cache all the same.
local orrery = require "orrery"
local workload = require "orrery.workload"

local folder = dofile "spec/lua/folder.lua"()
teardown(function() folder:remove() end)

local example = "examples/cache/cluster.lua"
local max_age = 2

-- Clients at work for so long: the verdict, why, and the simulation, which the caller closes.
local function judged(path, seed, faults, T)
  local sim = orrery.sim(path, { seed = seed, faults = faults, workload = "examples/cache/workload.lua" })
  local runner = workload.of(sim)
  sim:run(T)
  if faults ~= "none" then sim:heal() end
  runner:quiet()
  assert(sim:run_until(function() return runner:settled() end, 60))
  local ok, property, message = runner:judge()
  return ok, ("%s: %s"):format(property, message), sim
end

-- What all nodes together did: { hits, loads, taken }.
local function counts(sim)
  local sum = { hits = 0, loads = 0, taken = 0 }
  for _, id in ipairs(sim.ids) do
    local count = sim.nodes[id].state.count
    for name in pairs(sum) do sum[name] = sum[name] + (count and count[name] or 0) end
  end
  return sum
end

-- Until all nodes that are up have the same ring, of so many; for 30 s at most.
local function agree(sim, n)
  for _ = 1, 600 do
    local wrong = false
    for _, id in ipairs(sim.ids) do
      wrong = wrong or sim.core:state(id) == "up" and sim:eval(id, "#ring") ~= n
    end
    if not wrong then return end
    sim:run(0.05)
  end
  error("they don't agree", 2)
end

local function start(seed)
  local sim = orrery.sim(example, { seed = seed or 1 })
  sim:run(1)
  agree(sim, 10)
  return sim
end

-- Behind the back of the cache.
local function write(sim, key, value)
  sim:eval("c1", ("node:spawn(function() store:set(%q, %q) end)"):format(key, value))
  sim:run(0.2)
end

local function age(sim, id, key)
  return sim:eval(id, ("held[%q] and not held[%q].gone and node:now() - held[%q].at or nil"):format(key, key, key))
end

describe("examples/cache", function()
  for seed = 1, 4 do
    it("serves nothing older than its promise under faults, seed " .. seed, function()
      local ok, why, sim = judged(example, seed, "swarm", 8)
      sim:close()
      assert(ok, why)
    end)
  end

  it("is a cache: most reads ask no store, and replicas have copies", function()
    local ok, why, sim <close> = judged(example, 5, "none", 10)
    assert(ok, why)
    local sum = counts(sim)
    assert.is_true(sum.hits > 2 * sum.loads, sum.hits)
    assert.is_true(sum.taken > sum.loads / 2, sum.taken)
  end)

  it("tells everybody what was set, at once", function()
    local sim <close> = start()
    for i = 1, 5 do
      assert.is_truthy(sim:call("c" .. i, "set", "k", "v" .. i))
      for n = 0, 9 do assert.equal("v" .. i, sim:call("c" .. n, "get", "k")) end
    end
  end)

  it("serves what changed behind its back for its promise, and no longer", function()
    local sim <close> = start()
    sim:call("c3", "set", "k", "old")
    assert.equal("old", sim:call("c3", "get", "k"))
    local loaded = sim:now()
    write(sim, "k", "new")
    assert.equal("old", sim:call("c7", "get", "k"))
    sim:run(max_age - (sim:now() - loaded) - 0.1)
    assert.equal("old", sim:call("c8", "get", "k"))
    sim:run(0.1)
    assert.equal("new", sim:call("c8", "get", "k"))
  end)

  it("has the value without the owner: who comes next has a copy", function()
    local sim <close> = start()
    sim:call("c3", "set", "k", "v")
    sim:call("c3", "get", "k")
    sim:run(0.2)
    local owner, second = table.unpack((sim:eval("c3", "ring:owners('k', 2)")))
    assert.is_number(age(sim, owner, "k"))
    assert.is_number(age(sim, second, "k"))
    local before = counts(sim)
    sim:kill(owner)
    sim:run(0.3)
    local asked = owner == "c3" and "c4" or "c3"
    assert.equal("v", sim:call(asked, "get", "k"))
    assert.is_true(counts(sim).loads <= before.loads)
  end)

  it("hands over what a new owner is to have, with its age", function()
    local sim <close> = start()
    -- keys that c9 owns alone, before it is there
    local keys = {}
    for i = 1, 200 do
      if #keys < 5 and sim:eval("c3", ("ring:owner('key%d')"):format(i)) == "c9" then keys[#keys + 1] = "key" .. i end
    end
    assert.equal(5, #keys)
    sim:kill "c9"
    agree(sim, 9)
    for _, key in ipairs(keys) do sim:call("c3", "set", key, "old") end
    for _, key in ipairs(keys) do assert.equal("old", sim:call("c3", "get", key)) end
    local loaded = sim:now()
    for _, key in ipairs(keys) do write(sim, key, "new") end
    sim:restart "c9"
    agree(sim, 10)
    sim:run(0.05)
    local since, taken = sim:now() - loaded, 0
    assert.is_true(since < max_age - 0.2, since)
    for _, key in ipairs(keys) do
      local of_copy = age(sim, "c9", key)
      if of_copy then
        taken = taken + 1
        assert.is_true(of_copy > since - 0.05, of_copy)
        assert.equal("old", sim:call("c9", "get", key))           -- as it may
      end
    end
    assert.is_true(taken >= 3, taken)
    sim:run(max_age - (sim:now() - loaded) + 0.1)
    for _, key in ipairs(keys) do assert.equal("new", sim:call("c9", "get", key), key) end
  end)

  it("takes no copy from before a key was forgotten", function()
    local sim <close> = start()
    sim:call("c3", "set", "k", "v1")
    sim:call("c3", "get", "k")
    sim:run(0.1)
    local owner, second = table.unpack((sim:eval("c3", "ring:owners('k', 2)")))
    sim:call(second, "forget", "k")
    sim:eval(owner, ("node:cast(%q, 'offer', { 'k' })"):format(second))
    sim:run(0.2)
    assert.is_nil((age(sim, second, "k")))
  end)

  it("holds no more keys than it may", function()
    local path = folder:write("few/cluster.lua", (assert(io.open(example)):read "a"):gsub("most = 10000", "most = 20"))
    folder:write("few/node.lua", assert(io.open "examples/cache/node.lua"):read "a")
    local sim <close> = orrery.sim(path, { seed = 1 })
    sim:run(2)
    for i = 1, 300 do sim:call("c" .. i % 10, "get", "k" .. i) end
    for _, id in ipairs(sim.ids) do assert.is_true(sim:eval(id, "n") <= 20) end
  end)

  it("is found to break its promise where it is longer than it says", function()
    local cluster, node = assert(io.open(example)):read "a", assert(io.open "examples/cache/node.lua"):read "a"
    local path = folder:write("long/cluster.lua", (cluster:gsub("max_age = 2", "max_age = 9")))
    folder:write("long/node.lua", (node:gsub("invalidate%(key%)  ", "-- ")))
    local ok, why, sim = judged(path, 1, "none", 12)
    sim:close()
    assert.is_nil(ok)
    assert.matches("^workload: node c%d said at %d+.%d+ s that k%d+ is \"v%d+\": v%d+ was written over it", why)
  end)
end)
