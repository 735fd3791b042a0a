-- balance_spec.lua - whom of many a call goes to: the owner of a key, by load, by two choices, by bounded loads; who
-- fails is left out for a while.
local orrery = require "orrery"

local folder = dofile "spec/lua/folder.lua"()
teardown(function() folder:remove() end)

local script = [[
local asked, at_once, most = 0, 0, 0
node.state.slow, node.state.log = node.config.slow or 0, {}
node:on("work", function(T)
  asked, at_once = asked + 1, at_once + 1
  most = math.max(most, at_once)
  node:sleep(T + node.state.slow)
  at_once = at_once - 1
  return node.id
end, { limit = 2000 })
node:on("raise", function() error "raised" end)
node:on("count", function() return asked, most end)
node:on("forget", function() asked, most = 0, 0 end)
node:on("slow", function(T) node.state.slow = T end)
node:on("call", function(...)
  local r = table.pack(node:call(...))                -- no last call: complaints name this line
  return table.unpack(r, 1, r.n)
end)
node:on("cast", function(to) return node:cast(to, "note", node.id) end)
node:on("note", function(from) node.state.noted = from end)
node:on("scatter", function(to, ...)
  local g <close> = node:scatter(to, ...)
  local list, message = g:all()
  return list, message
end)
node:on("flood", function(n, to, T)                -- n calls at once
  local all = {}
  for i = 1, n do
    if to == "random" then to = { "w" .. math.random(10) }
    elseif to.keys then to = { role = "w", balance = "ring", keys = to.keys, slack = to.slack } end
    local mine = {}
    for k, v in pairs(to) do mine[k] = v end
    if mine.keys then mine.key, mine.keys = "key" .. i % mine.keys, nil end
    mine.timeout = 5
    all[i] = node:spawn(function() return node:call(mine, "work", T) end)
    if mine[1] then to = "random" end
  end
  local good = 0
  for _, t in ipairs(all) do if t:wait() then good = good + 1 end end
  return good
end)
node:on("stream", function(n, to, T)               -- n calls one after the other: how each went, and when
  local list = {}
  for i = 1, n do
    local began = node:now()
    local id, _, code = node:call(to, "work", T)
    list[i] = { id = id or code, at = began }
    node:sleep(0.05)
  end
  return list
end)
]]

local function start(seed, more)
  folder:write("node.lua", script)
  local nodes = { [[{ id = "front", at = "127.0.0.1:1" }]] }
  for i = 1, 10 do
    nodes[#nodes + 1] = ([[{ id = "w%d", at = "127.0.0.1:%d", roles = { "w" }, weight = %s }]]):format(i, i + 1,
      i == 10 and more and more.weight or 1)
  end
  local sim = orrery.sim(folder:write("cluster.lua", ([[
    return orrery.cluster { name = "t", node = "node.lua", timing = { call = 20 }, limits = { calls = 5000 },
      nodes = { %s } }]]):format(table.concat(nodes, ",\n"))), { seed = seed or 1 })
  sim:run(1)
  return sim
end

-- How many calls each of the ten got, and how many it had at once at most; the greatest of the first over their mean.
local function counts(sim)
  local asked, most, max, sum = {}, {}, 0, 0
  for i = 1, 10 do
    asked[i], most[i] = sim:call("w" .. i, "count")
    max, sum = math.max(max, asked[i]), sum + asked[i]
  end
  return max / (sum / 10), asked, most
end

describe("a call by key", function()
  it("goes to the owner by the ring of these ids, whoever asks", function()
    local sim <close> = start()
    local ids = {}
    for i = 1, 10 do ids[i] = "w" .. i end
    local r = orrery.ring { nodes = ids }
    for i = 1, 30 do
      local key = "key" .. i
      assert.equal(r:owner(key), (sim:call("front", "call", { role = "w", key = key }, "work", 0)))
      assert.equal(r:owner(key), (sim:call("w3", "call", { role = "w", key = key }, "work", 0)))
    end
    local few = orrery.ring { nodes = { "w1", "w2", "front" } }
    assert.equal(few:owner "k", (sim:call("w9", "call", { "front", "w1", "w2", key = "k" }, "work", 0)))
  end)

  it("goes to who would own it next while the owner is away, and back again", function()
    local sim <close> = start()
    local ids = {}
    for i = 1, 10 do ids[i] = "w" .. i end
    local walk = {}
    for id in orrery.ring { nodes = ids }:walk "k" do walk[#walk + 1] = id end
    local function ask() return (sim:call("front", "call", { role = "w", key = "k" }, "work", 0)) end
    assert.equal(walk[1], ask())
    sim:kill(walk[1])
    sim:run(0.5)
    assert.equal(walk[2], ask())
    sim:kill(walk[2])
    sim:run(0.5)
    assert.equal(walk[3], ask())
    sim:call("front", "cast", { role = "w", key = "k" })
    sim:run(0.1)
    assert.equal("front", sim.nodes[walk[3]].state.noted)
    sim:restart(walk[1])
    sim:run(1)
    assert.equal(walk[1], ask())
  end)

  it("asks no other node where the owner was reached", function()
    local sim <close> = start()
    local to = { role = "w", key = "k", tries = 3 }
    local _, message, code = sim:call("front", "call", to, "nothing")
    assert.equal("invalid", code)
    local _, again = sim:call("front", "call", { role = "w", key = "k" }, "nothing")
    assert.equal(message:match "^%w+", again:match "^%w+")
    assert.equal(orrery.ring { nodes = { "w1", "w2", "w3", "w4", "w5", "w6", "w7", "w8", "w9", "w10" } }:owner "k",
      message:match "^%w+")
  end)

  it("scatters to the owner, and to as many of its successors as are needed", function()
    local sim <close> = start()
    assert.same({ (sim:call("front", "call", { role = "w", key = "k" }, "work", 0)) },
      (sim:call("front", "scatter", { role = "w", key = "k" }, "work", 0)))
    local three = sim:call("front", "scatter", { role = "w", key = "k", need = 3 }, "work", 0)
    local walk = orrery.ring { nodes = { "w1", "w2", "w3", "w4", "w5", "w6", "w7", "w8", "w9", "w10" } }:walk "k"
    assert.same({ walk(), walk(), walk() }, three)
  end)
end)

describe("a role's calls", function()
  it("differ less by two choices than by chance alone", function()
    local two, chance = 0, 0
    for seed = 1, 5 do
      local sim <close> = start(seed)
      sim:call("front", "flood", 500, { role = "w", balance = "two" }, 1)
      two = two + counts(sim) / 5
      for i = 1, 10 do sim:cast("w" .. i, "forget") end
      sim:run(0.1)
      sim:call("front", "flood", 500, "random", 1)
      chance = chance + counts(sim) / 5
    end
    assert.is_true(two < 1.07, two)                -- 1.04 measured
    assert.is_true(chance > 1.15, chance)          -- 1.27
  end)

  it("take the better of the two, also where one is slow", function()
    local sim <close> = start(3)
    sim:cast("w4", "slow", 0.5)
    sim:run(0.1)
    for _ = 1, 20 do
      sim:cast("front", "flood", 10, { role = "w", balance = "two" }, 0.02)
      sim:run(0.05)
    end
    sim:run(2)
    local _, asked, most = counts(sim)
    for i = 1, 10 do assert.is_true(i == 4 or asked[i] > asked[4], i) end
    assert.is_true(most[4] < 12, most[4])
  end)

  it("go to who has the least to do", function()
    local sim <close> = start()
    assert.equal(100, sim:call("front", "flood", 100, { role = "w", balance = "least" }, 1))
    assert.equal(1, (counts(sim)))
  end)

  it("keep to a key's owner until it has more than its part", function()
    local sim <close> = start()
    local owner = sim:call("front", "call", { role = "w", balance = "ring", key = "k" }, "work", 0)
    local ids = {}
    for i = 1, 10 do ids[i] = "w" .. i end
    assert.equal(orrery.ring { nodes = ids }:owner "k", owner)
    for i = 1, 10 do sim:cast("w" .. i, "forget") end
    -- 3 keys, 400 calls at once: nobody has a quarter more than 40, up to the one that is under way
    assert.equal(400, sim:call("front", "flood", 400, { keys = 3 }, 1))
    local worst, _, most = counts(sim)
    assert.is_true(worst <= 1.25, worst)
    for i = 1, 10 do assert.is_true(most[i] <= 50, most[i]) end
  end)

  it("keep to parts by weight", function()
    local sim <close> = start(1, { weight = 5 })
    assert.equal(400, sim:call("front", "flood", 400, { keys = 400, slack = 0.1 }, 1))
    local _, asked = counts(sim)
    assert.is_true(asked[10] > 120 and asked[10] <= 158, asked[10])     -- 5 of 14 parts are 143
  end)

  it("are the same calls in every run of a seed", function()
    local function digest()
      local sim <close> = start(7)
      sim:call("front", "flood", 50, { role = "w", balance = "two", eject = true }, 0.1)
      return sim:digest()
    end
    assert.equal(digest(), digest())
  end)
end)

describe("ejection", function()
  local eject = { failures = 3, time = 2, most = 0.5 }
  -- When w1 was asked, and how many calls it cost; all calls are within 0.1 s, w1 answers late.
  local function stream(sim, n, more)
    local to = { "w1", "w2", balance = "least", timeout = 0.1, eject = eject }
    for k, v in pairs(more or {}) do to[k] = v end
    local list = sim:call("front", "stream", n, to, 0)
    local late = {}
    for _, one in ipairs(list) do if one.id == "unknown" then late[#late + 1] = one.at end end
    return late, list
  end

  it("leaves out a node that answers late, for twice as long the second time, and lets it in again", function()
    local sim <close> = start()
    sim:cast("w1", "slow", 0.5)
    sim:run(0.1)
    local late, list = stream(sim, 180)
    assert.equal(list[180].id, "w2")
    assert.is_true(#late >= 5 and #late <= 6, #late)             -- three, then a trial after 2 s, after 4, 6, ...
    local out = late[3] + 0.1
    assert.is_true(late[4] - out >= 2 and late[4] - out < 2.2, late[4] - out)
    out = late[4] + 0.1
    assert.is_true(late[5] - out >= 4 and late[5] - out < 4.2, late[5] - out)
    local log = table.concat(sim:log "front", "\n")
    assert.matches("calls leave out w1 for 2 s: 3 failures in a row, the last one: w1: work: no answer in 0.095 s", log)
    assert.matches("calls leave out w1 for 4 s: it failed again", log)
    sim:call("w1", "slow", 0)
    sim:run(10)                                                  -- the trial is due, whenever the last one was
    late, list = stream(sim, 5)
    assert.same({ 0, "w1" }, { #late, list[1].id })
    assert.equal("w1", list[5].id)                               -- for good
  end)

  it("tries it with one call alone", function()
    local sim <close> = start()
    sim:cast("w1", "slow", 0.5)
    sim:run(0.1)
    stream(sim, 10)
    sim:call("w1", "forget")
    sim:run(3)
    sim:call("front", "flood", 20, { "w1", "w2", balance = "least", eject = eject }, 0.1)
    assert.equal(1, (sim:call("w1", "count")))
  end)

  it("never leaves out more than its share, and nobody of one", function()
    local sim <close> = start()
    for i = 1, 10 do sim:cast("w" .. i, "slow", 0.5) end
    sim:run(0.1)
    sim:call("front", "stream", 60, { role = "w", timeout = 0.1, eject = { failures = 1, time = 100, most = 0.3 } }, 0)
    local log = table.concat(sim:log "front", "\n")
    local _, n = log:gsub("calls leave out", "")
    assert.equal(3, n)
    sim:call("front", "stream", 5, { "w9", timeout = 0.1, balance = "least", eject = { failures = 1 } }, 0)
    assert.not_matches("leave out w9", table.concat(sim:log "front", "\n"))
  end)

  it("takes an answer for an answer, whatever it says", function()
    local sim <close> = start()
    for _ = 1, 6 do sim:call("front", "call", { "w1", "w2", balance = "least", eject = { failures = 2 } }, "raise") end
    for _ = 1, 6 do sim:call("front", "call", { "w1", "w2", balance = "least", eject = { failures = 2 } }, "what") end
    assert.not_matches("leave out", table.concat(sim:log "front", "\n"))
  end)

  it("counts failures in a row only", function()
    local sim <close> = start()
    for _ = 1, 4 do
      sim:call("w1", "slow", 0.5)
      stream(sim, 2)
      sim:call("w1", "slow", 0)
      stream(sim, 1)
    end
    assert.not_matches("leave out", table.concat(sim:log "front", "\n"))
  end)
end)

it("what is wrong with whom a message goes to is said at the script's line", function()
  local sim <close> = start()
  local function complains(to, expected)
    local _, message, code = sim:call("front", "call", to, "work", 0)
    assert.equal("failed", code)
    assert.matches(expected, message, 1, true)
  end
  local here = "front: call: node.lua:15: node:call: "
  complains({ role = "w", key = 5 }, here .. "'key' must be a string (got 5)")
  complains({ role = "w", balance = "most" }, here .. "'balance' must be \"least\", \"two\" or \"ring\" (got \"most\")")
  complains({ role = "w", balance = "ring" }, here .. "'key' is missing: balance = \"ring\" goes by it")
  complains({ role = "w", balance = "two", key = "k" },
    here .. "'balance' must be \"ring\" where there is a key (got \"two\")")
  complains({ role = "w", slack = 1 }, here .. "'slack' is for balance = \"ring\"")
  complains({ role = "w", slack = 0, balance = "ring", key = "k" },
    here .. "'slack' must be a number above 0 and at most 1000 (got 0)")
  complains({ role = "w", eject = 5 }, here .. "'eject' must be true or a table: failures, time, most (got 5)")
  complains({ role = "w", eject = { failures = 0 } },
    here .. "'eject.failures' must be an integer from 1 to 1000000 (got 0)")
  complains({ role = "w", eject = { most = 2 } }, here .. "'eject.most' must be a number from 0 to 1 (got 2)")
  complains({ role = "w", eject = { fail = 2 } }, here .. "'eject.fail' is unknown (nearest: 'failures')")
end)

it("ring:bounded says what is wrong with loads", function()
  local r = orrery.ring { nodes = { "a", "b" } }
  assert.equal(r:owner "k", r:bounded("k", {}))
  local other = r:owner "k" == "a" and "b" or "a"
  assert.equal(other, r:bounded("k", { [r:owner "k"] = 5 }))
  assert.has_error(function() r:bounded("k", { a = -1 }) end)
  assert.has_error(function() r:bounded("k", { a = 0.5 }) end)
  assert.has_error(function() r:bounded("k", {}, 0) end)
  assert.has_error(function() r:bounded("k") end)
end)
