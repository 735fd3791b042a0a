-- members_spec.lua - node.members in simulations, whose laboratory looks on (oracle `membership`).
-- MEMBERS_SEEDS=FIRST:LAST: other seeds of the swarm than the usual ones.
local orrery = require "orrery"

local folder = dofile "spec/lua/folder.lua"()
local start = dofile "spec/lua/script.lua"(folder)
teardown(function() folder:remove() end)

local quick = "members = { probe = 0.2, sync = 2 },"
local watcher = [[
  local heard = {}
  for _, event in ipairs { "join", "suspect", "alive", "fail", "leave", "change" } do
    node.members:on(event, function(m) heard[#heard + 1] = event .. " " .. m.id end)
  end
  node:on("heard", function()
    local was = heard
    heard = {}
    return was
  end)
  node:on("list", function()
    local out = {}
    for _, m in ipairs(node.members:list()) do out[m.id] = m end
    return out
  end)
  node:on("state", function(id) return node.members:state(id) end)
  node:on("why", function(id) local w = node.members:why(id) return w and tostring(w), w and w.suspected_by end)
  node:on("rtt", function(a, b) return node.members:rtt(a, b) end)
  node:on("status", function() return node.members:status() end)
  node:on("tag", function(tags) return node.members:tag(tags) end)
  node:on("key", function(verb, name) return node.members:key(verb, name) end)
  node:on("leave", function() node:after(0.01, function() node:stop "going" end) end)
]]

local function five(more) return start(watcher, { n = 5, more = more or quick }) end

-- Everybody's view of one node.
local function views(sim, of, ids)
  local seen = {}
  for _, id in ipairs(ids or { "a", "b", "c", "d", "e" }) do
    if id ~= of and sim.core:state(id) == "up" then seen[sim:call(id, "state", of) or "nothing"] = true end
  end
  local words = {}
  for word in pairs(seen) do words[#words + 1] = word end
  table.sort(words)
  return table.concat(words, " ")
end

local function has(list, what)
  for _, word in ipairs(list) do if word == what then return true end end
  return false
end

describe("node.members", function()
  it("finds all nodes, and knows what they say of themselves", function()
    local sim <close> = five()
    sim:run(3)
    local list = sim:call("a", "list")
    for _, id in ipairs { "a", "b", "c", "d", "e" } do
      assert.equal("alive", list[id].state)
      assert.equal(1, list[id].start)
      assert.is_true(list.a.since <= list[id].since and list[id].since < list.a.since + 1, list[id].since)
      assert.equal(list.a.version, list[id].version)
      assert.matches("^%x%x%x%x%x%x%x%x$", list[id].version)
    end
    assert.is_true(list.a.own)
    assert.is_nil(list.a.rtt)
    assert.is_true(list.b.rtt > 0.0001 and list.b.rtt < 0.001, list.b.rtt)
    assert.equal("direct", list.b.way)
    local heard = sim:call("a", "heard")
    table.sort(heard)
    assert.same({ "join b", "join c", "join d", "join e" }, heard)
    assert(sim:check())
  end)

  it("suspects, then fails a node that was killed, and has it back in another life", function()
    local sim <close> = five()
    sim:run(3)
    sim:call("a", "heard")
    sim:kill "c"
    assert(sim:run_until(function() return sim.core:members "a"[3].state == "suspect" end, 10))
    local text, by = sim:call("a", "why", "c")
    assert.matches("^c: suspect for", text)
    assert.matches("failed in .* if it doesn't say that it lives", text)
    assert.is_true(by == nil or by ~= "c")
    sim:run(10)
    assert.equal("failed", views(sim, "c"))
    local probed = ""
    for _, id in ipairs { "a", "b", "d", "e" } do probed = probed .. sim:call(id, "why", "c") end
    assert.matches("no answer %(asked 3 others, 3 of whom had none either%)", probed)
    local heard = sim:call("a", "heard")
    assert.is_true(has(heard, "suspect c") and has(heard, "fail c"), table.concat(heard, ", "))
    sim:restart "c"
    sim:run(5)
    assert.equal("alive", views(sim, "c"))
    assert.equal(2, sim:call("b", "list").c.start)
    assert.is_true(has(sim:call("a", "heard"), "alive c"))
    assert(sim:check())
  end)

  it("tells who leaves from who fails", function()
    local sim <close> = five()
    sim:run(3)
    sim:call("a", "heard")
    sim:cast("d", "leave")
    sim:run(5)
    assert.equal("left", views(sim, "d"))
    assert.same({ "leave d" }, sim:call("a", "heard"))
    sim:restart "d"
    sim:run(4)
    assert.equal("alive", views(sim, "d"))
    assert.is_true(has(sim:call("a", "heard"), "join d"))
    assert(sim:check())
  end)

  it("tells a cut link from a dead node", function()
    local sim <close> = five()
    sim:run(3)
    sim:cut("a", "b")
    sim:run(20)
    assert.equal("alive", views(sim, "a"))
    assert.equal("alive", views(sim, "b"))
    assert.equal("indirect", sim:call("a", "list").b.way)
    assert.equal("direct", sim:call("a", "list").c.way)
    assert.matches("answered over others: the link between is cut", (sim:call("a", "why", "b")))
    sim:heal()
    sim:run(4)
    assert.equal("direct", sim:call("a", "list").b.way)
    assert(sim:check())
  end)

  it("has both halves find together again after a partition", function()
    local sim <close> = five()
    sim:run(3)
    sim:partition({ "a", "b" }, { "c", "d", "e" })
    sim:run(30)
    assert.equal("failed", views(sim, "c", { "a", "b" }))
    assert.equal("failed", views(sim, "a", { "c", "d", "e" }))
    assert.equal("alive", views(sim, "b", { "a" }))
    sim:heal()
    sim:run(20)
    for _, id in ipairs { "a", "b", "c", "d", "e" } do assert.equal("alive", views(sim, id), id) end
    assert(sim:check())
  end)

  it("estimates the round trip of two others", function()
    local sim <close> = five()
    for _, id in ipairs { "a", "b", "c", "d" } do
      sim:delay(id, "e", 0.020)
      sim:delay("e", id, 0.020)
    end
    sim:run(120)
    local far, error = sim:call("a", "rtt", "b", "e")
    assert.is_true(far > 0.030 and far < 0.050, far)
    assert.is_true(error < 0.5, error)
    local near = sim:call("a", "rtt", "b", "c")
    assert.is_true(near < 0.010, near)
    assert(sim:check())
  end)

  it("shows other nodes' tags, and tells of a change", function()
    local sim <close> = five()
    sim:run(3)
    sim:call("a", "heard")
    assert.is_true(sim:call("b", "tag", { load = 3, of = { "x" } }))
    sim:run(2)
    assert.same({ load = 3, of = { "x" } }, sim:call("a", "list").b.tags)
    assert.same({ "change b" }, sim:call("a", "heard"))
    local ok, message, code = sim:call("b", "tag", { text = ("x"):rep(600) })
    assert.is_nil(ok)
    assert.equal("invalid", code)
    assert.matches("512 bytes", message)
    sim:kill "b"
    sim:restart "b"
    sim:run(4)
    assert.same({}, sim:call("a", "list").b.tags)         -- another life
  end)

  it("makes all take part as soon as one asks", function()
    local sim <close> = start([[
      if node.id == "b" then node:every(1, function() node.state.n = #node.members:list() end) end
      node:on("list", function() return node.members:list() end)
    ]], { n = 4 })
    sim:run(5)
    assert.equal(4, sim.nodes.b.state.n)
    assert.equal(4, sim.nodes.c:status().members.alive)
    assert.equal(4, #sim.core:members "d")
    assert(sim:check())
  end)

  it("takes no part where nobody asks", function()
    local sim <close> = start([[node:on("x", function() end)]])
    sim:run(5)
    assert.is_nil(sim.nodes.a:status().members)
    assert.same({}, sim.core:members "a")
  end)

  it("rotates keys without losing a message, and drops those of a key that is gone", function()
    local sim <close> = five [[
      secrets = { old = "env:OLD", new = "file:new" },
      members = { probe = 0.2, sync = 2, keys = { "old" } }, ]]
    local ids = { "a", "b", "c", "d", "e" }
    sim:run(3)
    for _, verb in ipairs { { "add", "new" }, { "use", "new" }, { "remove", "old" } } do
      for _, id in ipairs(ids) do assert.is_true(sim:call(id, "key", verb[1], verb[2])) end
      sim:run(2)
    end
    for _, id in ipairs(ids) do
      assert.equal(0, sim:call(id, "status").wrong_key)
      assert.equal("alive", views(sim, id))
    end
    local ok, _, code = sim:call("a", "key", "remove", "new")
    assert.is_true(ok)                                    -- the last one: nothing is asked for any more
    assert.is_true(sim:call("a", "key", "add", "old"))
    ok, _, code = sim:call("b", "key", "use", "old")
    assert.is_nil(ok)
    assert.equal("invalid", code)
    sim:run(10)
    assert.is_true(sim:call("b", "status").wrong_key > 0)
    assert.equal("stream", sim:call("b", "list").a.way)   -- that one is another matter
  end)

  for _, detector in ipairs { "phi", "deadline" } do
    it("goes by heartbeats where the file says " .. detector, function()
      local sim <close> = five(("members = { detector = %q, probe = 0.2, silence = 2, sync = 2 },"):format(detector))
      sim:run(20)
      sim:kill "c"
      sim:run(8)
      assert.equal("failed", views(sim, "c"))
      assert.equal("alive", views(sim, "b"))
      sim:restart "c"
      sim:run(6)
      assert.equal("alive", views(sim, "c"))
      sim:cut("a", "b")
      sim:run(8)
      assert.equal("failed", sim:call("a", "state", "b"))   -- each judges by itself
      assert.equal("alive", sim:call("c", "state", "b"))
      sim:heal()
      sim:run(4)
      assert.equal("alive", sim:call("a", "state", "b"))
      assert(sim:check())
    end)
  end

  it("refuses what is no use of it, and says what it expected", function()
    local function complaint(text)
      local ok, message = pcall(start, text, { more = quick })
      assert.is_false(ok)
      return message
    end
    assert.matches("node.members:on: 'event' must be .* %(got \"fial\" %(nearest: 'fail'%)%)",
      complaint [[node.members:on("fial", print)]])
    assert.matches("node.members:on fail: a function is expected", complaint [[node.members:on("fail", 1)]])
    assert.matches("must be called as a method", complaint [[node.members.list()]])
    assert.matches("a node of the cluster is expected %(got \"z\"", complaint [[node.members:state "z"]])
    assert.matches("a table is expected %(got 3%)", complaint [[node.members:tag(3)]])
    assert.matches("'verb' must be \"add\"", complaint [[node.members:key("put", "x")]])
    assert.matches("has no secret \"x\"", complaint [[node.members:key("add", "x")]])
  end)

  it("is checked in the cluster file", function()
    local function problem(members)
      local ok, message = pcall(orrery.cluster, { name = "m", node = "n.lua", members = members,
        nodes = { { id = "a", at = "127.0.0.1:1" } } })
      assert.is_false(ok)
      return message
    end
    assert.matches("members.detector", problem { detector = "swin" })
    assert.matches("members.probe_timeout.*must be below members.probe %(got 2 >= 1%)", problem { probe_timeout = 2 })
    assert.matches("members.keys%[1%].*one of 'secrets' %(got \"k\"", problem { keys = { "k" } })
    assert.matches("members.probe", problem { probe = -1 })
    assert.matches("'members.prove' is unknown %(nearest: 'probe'%)", problem { prove = 1 })
  end)
end)

describe("the laboratory", function()
  local followed = watcher .. [[
    local ring = node:ring()
    node:on("owners", function()
      local owners = {}
      for i = 1, 40 do owners[i] = ring:owner("key" .. i) end
      return table.concat(owners, " ")
    end)
  ]]

  local range = os.getenv "MEMBERS_SEEDS" or "1:40"
  it("finds that all know who lives, and so who owns what, under a swarm of faults, seeds " .. range, function()
    local first, last = range:match "^(%d+):(%d+)$"
    for seed = math.tointeger(first), math.tointeger(last) do
      local sim <close> = start(followed, { n = 5, more = quick, opts = { seed = seed, faults = "swarm" } })
      sim:run(4)
      sim:cast(sim.ids[seed % 5 + 1], "leave")            -- as far as it is up
      sim:run(6)
      sim:heal()
      for _, id in ipairs(sim.ids) do if sim.core:state(id) == "down" then sim:restart(id) end end
      local settled, who, owes
      sim:run_until(function()
        settled, who, owes = sim.core:settled()
        return settled
      end, sim.core:bound())
      assert.is_true(settled, ("seed %d: %s %s"):format(seed, who, owes))
      local owners = sim:call("a", "owners")
      for _, id in ipairs(sim.ids) do assert.equal(owners, sim:call(id, "owners"), ("seed %d: %s"):format(seed, id)) end
      assert(sim:check())
    end
  end)
end)
