-- group_snapshot_spec.lua - snapshots of a script's machine: its state comes back from them, plain tables and maps.
local orrery = require "orrery"

local folder = dofile "spec/lua/folder.lua"()
teardown(function() folder:remove() end)

local function cluster_of(name, script)
  folder:write(name .. "/n.lua", script)
  return folder:write(name .. "/c.lua", ([[
    return orrery.cluster { name = "%s", node = "n.lua", nodes = {
      { id = "a", at = "127.0.0.1:1" }, { id = "b", at = "127.0.0.1:2" }, { id = "c", at = "127.0.0.1:3" } } }]])
    :format(name))
end

local function machine_of(init, put, get, more)
  return ([[
    local g = node:replicate("g", {
      init = function() return %s end,
      apply = { put = function(s, op) %s end },
      query = { get = function(s, q) %s end },
      %s
    })
    node:on("put", function(...) return g:propose { "put", ... } end)
    node:on("fill", function(from, to)
      for i = from, to do
        if not g:propose { "put", "k" .. i %% 40, ("x"):rep(2000) .. i } then return nil, "not taken", "failed" end
      end
      return true
    end)
    node:on("get", function(...) return g:read { "get", ... } end)]]):format(init, put, get, more or "")
end

local function noted(sim, words)
  for _, line in ipairs(sim.lines) do if line.text:find(words, 1, true) then return true end end
  return false
end

-- Fills it, while one is away, until logs are cut; the others lose power once that one has it all. Asks what was put.
local function survives(path, seed)
  local sim <close> = orrery.sim(path, { seed = seed })
  assert(sim:run_until("leader", 5))
  sim:run(0.5)
  sim:kill "b"
  for i = 0, 9 do
    local ok
    for _ = 1, 5 do
      ok = sim:call("a", "fill", i * 100, i * 100 + 99)
      if ok then break end
    end
    assert.is_true(ok)
    sim:run(1)
  end
  assert.is_true(noted(sim, "snapshot at"))
  sim:restart "b"                        -- the log that it lacks is gone
  sim:run(3)
  sim:kill { "a", "c" }
  sim:restart { "a", "c" }
  assert.is_true(sim:eventually("somebody leads", 10, function(s) return s:leader() ~= nil end))
  sim:run(1)
  for _, id in ipairs { "a", "b", "c" } do
    for k = 0, 39, 13 do
      local value = assert(sim:call(id, "get", "k" .. k))
      assert.equal("x" .. 960 + k, value:sub(2000))
    end
  end
  sim:run(1)
  local digests = {}
  for i, id in ipairs { "a", "b", "c" } do digests[i] = sim.nodes[id]:group("g"):status().digest end
  assert.same({ digests[1], digests[1], digests[1] }, digests)
  assert.is_true(noted(sim, "loaded the snapshot"))
  assert(sim:check())
end

describe("a snapshot of a script's machine", function()
  it("gives the state back, a table", function()
    local path = cluster_of("table", machine_of("{}", "s[op[2]] = op[3] return true", "return s[q[2]]"))
    for seed = 1, 4 do survives(path, seed) end
  end)

  it("gives the state back, an orrery.map", function()
    local path = cluster_of("map", machine_of("{ m = orrery.map() }", "s.m[op[2]] = op[3] return true",
      "return s.m[q[2]]"))
    for seed = 1, 4 do survives(path, seed) end
  end)

  it("is made of the parts that the script gives", function()
    local path = cluster_of("parts", machine_of("{}", "s[op[2]] = op[3] return true", "return s[q[2]]", [[
      snapshot = function(s)
        local key
        return function()
          local value
          key, value = next(s, key)
          if key then return { key, value } end
        end
      end,
      restore = function(parts)
        local s = {}
        for part in parts do s[part[1] ] = part[2] end
        return s
      end]]))
    for seed = 1, 4 do survives(path, seed) end
  end)

  it("is refused where only one of the two functions is there", function()
    local path = cluster_of("half", machine_of("{}", "", "", "snapshot = function() end"))
    local _, message = pcall(orrery.sim, path)
    assert.matches("node:replicate g: 'snapshot' and 'restore' come together", message, 1, true)
  end)
end)

describe("g:snapshot", function()
  local script = machine_of("{}", "s[op[2]] = op[3] return true", "return s[q[2]]", "") .. [[
    local kv = node:replicate("kv", { machine = "kv", on = { "a", "b" } })
    node:on("snapshot", function() return g:snapshot() end)
    node:on("of_kv", function() return kv:snapshot() end)
    node.state.taken = 0
    g:on("snapshot", function() node.state.taken = node.state.taken + 1 end)
    node:spawn(function() node:sleep(0.3) node.state.first = { g:snapshot() } end)]]

  it("takes one that a replica begins with, and none where nothing was added", function()
    local path = cluster_of("asked", script)
    for seed = 1, 5 do
      local sim <close> = orrery.sim(path, { seed = seed })
      assert(sim:run_until("leader", 5))
      for i = 1, 5 do assert.is_true(sim:call("a", "put", "k" .. i, i)) end
      local before = sim.nodes.b:group("g"):status().applied
      local index = assert(sim:call("b", "snapshot"))
      assert.is_true(index >= before)
      assert.equal(index, sim:call("b", "snapshot"))
      assert.equal(index, sim.nodes.b:group("g"):snapshot())
      sim:run(3)
      assert.is_true(sim.nodes.b.state.taken >= 1)
      assert.is_true(sim.nodes.b.state.first[1] > 0)
      assert.is_true(sim.nodes.c:group("g"):snapshot() >= index)
      sim:kill "b"
      sim:restart "b"
      sim:run(2)
      assert.equal(5, sim:call("b", "get", "k5"))
      assert.is_true(noted(sim, "b info group g: loaded the snapshot at " .. index))
      assert.is_true(sim:call("a", "of_kv") > 0)
      assert.is_true(sim.nodes.b:group("kv"):snapshot() > 0)
      local _, message, code = sim:call("c", "of_kv")
      assert.same({ "kv: snapshot: c has no replica", "unavailable" }, { message, code })
      assert(sim:check())
    end
  end)

  it("waits half a minute for the others' word, no longer; one that is under way is followed by another", function()
    local path = cluster_of("alone", script)
    local sim <close> = orrery.sim(path)
    assert(sim:run_until("leader", 5))
    sim:run(3)
    sim:call("a", "put", "k", 1)
    sim:kill { "b", "c" }
    local at = sim:now()
    assert.is_true(sim.nodes.a:group("g"):snapshot() > 0)
    assert.is_true(sim:now() - at > 20 and sim:now() - at < 35)
  end)

  it("says what the disk says", function()
    local path = cluster_of("full", script)
    local sim <close> = orrery.sim(path)
    assert(sim:run_until("leader", 5))
    sim:run(3)
    sim:call("a", "put", "k", ("x"):rep(20000))
    sim:between(sim:now() + 0.1, sim:now() + 5):fill_disk("b", 0)
    sim:run(0.2)
    local index, message, code = sim.nodes.b:group("g"):snapshot()
    assert.same({ nil, "full" }, { index, code })
    assert.matches("b: g:snapshot: no room on the disk", message, 1, true)
    sim:run(10)
    assert.is_true(sim.nodes.b:group("g"):snapshot() > 0)
  end)
end)
