-- limiter_spec.lua - examples/limiter: never more than its bound, whatever strikes; not much less where nothing does.
local orrery = require "orrery"
local workload = require "orrery.workload"

local folder = dofile "spec/lua/folder.lua"()
teardown(function() folder:remove() end)

local function text_of(name)
  local file <close> = assert(io.open("examples/limiter/" .. name))
  return file:read "a"
end

-- The example, with some of its text replaced: { "node.lua", what, by what }.
local function changed(...)
  local texts = { ["node.lua"] = text_of "node.lua", ["cluster.lua"] = text_of "cluster.lua" }
  for _, change in ipairs { ... } do
    local name, what, by = table.unpack(change)
    local from, till = assert(texts[name]:find(what, 1, true))
    texts[name] = texts[name]:sub(1, from - 1) .. by .. texts[name]:sub(till + 1)
  end
  folder:write("node.lua", texts["node.lua"])
  return folder:write("cluster.lua", texts["cluster.lua"])
end

-- Clients at work for so long: the verdict, and the history.
local function judged(path, seed, faults, T)
  local sim <close> = orrery.sim(path, { seed = seed, faults = faults, workload = "examples/limiter/workload.lua" })
  local runner = workload.of(sim)
  sim:run(T)
  if faults ~= "none" then sim:heal() end
  runner:quiet()
  assert(sim:run_until(function() return runner:settled() end, 60))
  local ok, property, message = runner:judge()
  return ok, ("%s: %s"):format(property, message), sim:history()
end

describe("examples/limiter", function()
  for seed = 1, 4 do
    it("grants no more than its bound under faults, seed " .. seed, function()
      assert.is_true(judged("examples/limiter/cluster.lua", seed, "swarm", 8))
    end)
  end

  it("has an owner for each key where nothing strikes, and grants what there is", function()
    local ok, why, history = judged("examples/limiter/cluster.lua", 7, "none", 10)
    assert(ok, why)
    local lives, granted = {}, {}
    for call, done in history:operations() do
      if done.type == "ok" and done.value.allowed then
        lives[call.key] = lives[call.key] or {}
        lives[call.key][done.value.by] = (lives[call.key][done.value.by] or 0) + 1
        granted[call.key] = (granted[call.key] or 0) + 1
      end
    end
    for i = 1, 5 do
      -- a simulation breaks a connection now and then: for that moment the next one is asked
      local n, owners, most = granted["client" .. i], 0, 0
      for _, of_one in pairs(lives["client" .. i]) do owners, most = owners + 1, math.max(most, of_one) end
      assert.is_true(most > 0.95 * n and owners <= 2, most)
      assert.is_true(n <= 10 * owners + 20 * 10.1 and n > 0.85 * (10 + 20 * 10), n)
    end
  end)

  it("spends no lot that is stale", function()
    local sim <close> = orrery.sim("examples/limiter/cluster.lua", { seed = 1 })
    sim:run(1)
    local function ask_all(times)
      local n = 0
      for _ = 1, times do
        for i = 0, 9 do if sim:call("g" .. i, "allow", "k") then n = n + 1 end end
      end
      return n
    end
    ask_all(1)                                          -- lots of three here and there
    sim:run(1.1)                                        -- the bucket is full again; nobody has swept yet
    local began = sim:now()
    local n = ask_all(5)
    assert.is_true(n >= 10 and n <= 10 + 20 * (sim:now() - began) + 1, n)
  end)

  it("asks who comes next while the owner is away, and says why it can't ask", function()
    local sim <close> = orrery.sim("examples/limiter/cluster.lua", { seed = 1 })
    sim:run(1)
    local _, by = sim:call("g0", "allow", "k")
    local owner = by:match "^g%d"
    local other = owner == "g0" and "g1" or "g0"
    sim:kill(owner)
    sim:run(1)
    local allowed, after = sim:call(other, "allow", "k")
    assert.is_true(allowed)
    assert.not_equal(owner, after:match "^g%d")
    for i = 0, 9 do if "g" .. i ~= other then sim:cut(other, "g" .. i) end end
    sim:run(3)
    local own, mine = sim:call(other, "allow", "k")
    assert.is_true(own)                                 -- it is alone, and gives of its own
    assert.equal(other, mine:match "^g%d")
  end)

  it("is found to grant too much where a bucket loses nothing", function()
    local path = changed { "node.lua", "b.level - granted", "b.level" }
    local ok, why = judged(path, 1, "none", 5)
    assert.is_nil(ok)
    assert.matches("^workload: client%d from g%d since %S+: %d+ were allowed between", why)
  end)

  it("is found to grant too much where a bucket is fuller than it may be", function()
    local path = changed { "node.lua", "math.min(burst, b.level + (now - b.at) * rate), now",
      "math.min(burst, b.level + (now - b.at) * rate) + 0.5, now" }
    assert.is_nil((judged(path, 1, "none", 5)))
  end)
end)
