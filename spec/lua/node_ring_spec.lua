-- node_ring_spec.lua - node:ring: who is in it, who is told of changes; then with real membership.
local cluster = require "orrery.cluster"
local node_ring = require "orrery.node_ring"
local orrery = require "orrery"

local value = orrery.cluster {
  name = "t", node = "node.lua",
  nodes = {
    { id = "front", at = "127.0.0.1:1" },
    { id = "a", at = "127.0.0.1:2", roles = { "w" }, zone = "z1" },
    { id = "b", at = "127.0.0.1:3", roles = { "w" }, zone = "z2", weight = 3 },
    { id = "c", at = "127.0.0.1:4", roles = { "w" }, zone = "z1" },
  },
}

-- A node with a membership that the spec makes up, and tasks that the spec runs: owner.tick() each until it waits.
local function new_owner(id)
  local owner = {
    states = {}, followers = {}, said = {}, queue = {}, changed = 0,
    plan = { cluster = value }, own = cluster.node(value, id), life = { over = false },
  }
  owner.host = { log = function(_, text) table.insert(owner.said, text) end }
  owner.members = {
    state = function(of) return owner.states[of] end,
    watch = function(f) table.insert(owner.followers, f) end,
    changes = function() return owner.changed end,
  }
  owner.tasks = { spawn = function(f, ...)
    local t = { co = coroutine.create(f), given = table.pack(...) }
    function t.wait() while not t.over do coroutine.yield() end end
    table.insert(owner.queue, t)
    return t
  end }
  function owner.tick()
    local all = owner.queue
    owner.queue = {}
    for _, t in ipairs(all) do
      local ok, message = coroutine.resume(t.co, table.unpack(t.given, 1, t.given.n))
      if not ok then t.failed = message end
      t.over = coroutine.status(t.co) == "dead"
      if not t.over then table.insert(owner.queue, t) end
    end
  end
  function owner.become(states)
    for of, state in pairs(states) do owner.states[of] = state or nil end
    owner.changed = owner.changed + 1
    for _, f in ipairs(owner.followers) do f() end
  end
  function owner.ring(...) return node_ring.ring(owner, ...) end
  return owner
end

local function ids_of(r)
  local ids = {}
  for id in pairs(r:share()) do ids[#ids + 1] = id end
  table.sort(ids)
  return table.concat(ids, " ")
end

describe("a ring that follows", function()
  it("has who is alive or suspect, and this node itself", function()
    local a = new_owner "a"
    local r = a.ring { role = "w" }
    assert.equal("a", ids_of(r))                        -- nobody is known: alone
    assert.equal("a", r:owner "whatever")
    a.become { b = "alive", front = "alive" }
    assert.equal("a b", ids_of(r))
    a.become { c = "suspect" }
    assert.equal("a b c", ids_of(r))
    a.become { b = "failed" }
    assert.equal("a c", ids_of(r))
    a.become { c = "left", b = "alive" }
    assert.equal("a b", ids_of(r))
    assert.equal("orrery.node_ring(w: 2 of 3 nodes)", tostring(r))
    assert.equal(2, #r)
  end)

  it("is empty where nobody bears the role and lives, and says so without an error", function()
    local front = new_owner "front"
    local r = front.ring { role = "w" }
    assert.equal(0, #r)
    assert.is_nil(r:owner "k")
    assert.same({ {}, 0 }, { r:owners("k", 2) })
    assert.is_nil(r:walk "k"())
    assert.same({}, r:share())
    assert.is_nil(r:copy())
    assert.is_nil(r:bounded("k", {}))
    assert.same({ moved = 0, least = 0 }, r:diff(r))
    front.become { a = "alive" }
    assert.equal("a", r:owner "k")
    assert.equal("a", r:bounded("k", { a = 5 }))
    assert.same({ moved = 1, least = 1 }, r:diff(new_owner "front".ring { role = "w" }))
  end)

  it("owns as orrery.ring does with the file's weights and zones, and by its options", function()
    local a = new_owner "a"
    a.become { b = "alive", c = "alive" }
    local plain = orrery.ring { nodes = { { id = "a", zone = "z1" }, { id = "b", zone = "z2", weight = 3 },
      { id = "c", zone = "z1" } } }
    local r = a.ring { role = "w" }
    assert.equal(0, r:diff(plain).moved)
    assert.equal(0, plain:diff(r:copy()).moved)
    for i = 1, 100 do
      assert.same({ plain:owners("k" .. i, 2) }, { r:owners("k" .. i, 2) })
      assert.equal(2, (select(2, r:owners("k" .. i, 2))))
    end
    assert.is_true(a.ring { role = "w", vnodes = 7 }:diff(plain).moved > 0)
    assert.equal(r, a.ring { role = "w" })
    assert.not_equal(r, a.ring {})
  end)

  it("may go by another program's hash", function()
    local a = new_owner "a"
    a.become { c = "alive" }
    local r = a.ring { role = "w", hash = "nginx" }
    local plain = orrery.ring { nodes = { { id = "a", zone = "z1" }, { id = "c", zone = "z1" } }, hash = "nginx" }
    for i = 1, 50 do assert.equal(plain:owner("k" .. i), r:owner("k" .. i)) end
    a.become { b = "alive" }
    assert.equal(3, #r)
    local ok, message = pcall(a.ring, { role = "w", hash = "nginx", vnodes = 5 })
    assert.is_false(ok)
    assert.matches("node:ring: 'vnodes' can't be chosen with hash = \"nginx\"", message, 1, true)
  end)

  it("tells of each change, with the ring before and after", function()
    local a, seen = new_owner "a", {}
    local r = a.ring { role = "w" }
    r:on("change", function(change)
      seen[#seen + 1] = ids_of(change.before) .. " -> " .. ids_of(change.after)
      assert.equal(change.after:owner "k", r:owner "k")
      assert.is_true(change.before:diff(change.after).moved > 0)
      assert.has_error(function() change.after:on("change", print) end)
    end)
    a.become { b = "alive" }
    for _ = 1, 5 do a.tick() end
    a.become { b = "suspect" }                          -- in it as before
    for _ = 1, 5 do a.tick() end
    a.become { b = "failed", c = "alive" }
    for _ = 1, 5 do a.tick() end
    assert.same({ "a -> a b", "a b -> a c" }, seen)
    assert.same({}, a.said)
  end)

  it("puts together what changes while a handler is at work, and forgets what came to nothing", function()
    local a, seen, go = new_owner "a", {}, false
    local r = a.ring { role = "w" }
    r:on("change", function(change)
      seen[#seen + 1] = ids_of(change.before) .. " -> " .. ids_of(change.after)
      while not go do coroutine.yield() end
    end)
    a.become { b = "alive" }
    a.tick() a.tick()
    a.become { c = "alive" }
    a.become { b = "failed" }
    for _ = 1, 5 do a.tick() end
    assert.same({ "a -> a b" }, seen)
    go = true
    for _ = 1, 5 do a.tick() end
    assert.same({ "a -> a b", "a b -> a c" }, seen)
    go = false
    a.become { b = "alive" }
    a.tick() a.tick()
    a.become { c = "failed" }
    a.become { c = "alive" }
    go = true
    for _ = 1, 5 do a.tick() end
    assert.equal(3, #seen)
  end)

  it("goes on after a handler that raises, and ends with its subscription and with its script", function()
    local a, n = new_owner "a", 0
    local r = a.ring { role = "w" }
    local s = r:on("change", function() n = n + 1 error "in a handler" end)
    a.become { b = "alive" }
    for _ = 1, 5 do a.tick() end
    a.become { c = "alive" }
    for _ = 1, 5 do a.tick() end
    assert.equal(2, n)
    assert.equal(2, #a.said)
    s:close()
    a.become { c = "failed" }
    for _ = 1, 5 do a.tick() end
    assert.equal(2, n)
    r:on("change", function() n = n + 1 end)
    a.life.over = true
    a.become { c = "alive" }
    for _ = 1, 5 do a.tick() end
    assert.equal(2, n)
    assert.has_error(function() r:on("change", print) end)
  end)

  it("says what is wrong with what it is given", function()
    local a = new_owner "a"
    local function complains(expected, f, ...)
      local ok, message = pcall(f, ...)
      assert.is_false(ok)
      assert.matches(expected, message, 1, true)
    end
    local r = a.ring {}
    complains("node:ring: 'role' must be one that some node bears (got \"x\")", a.ring, { role = "x" })
    complains("node:ring: 'vnodes' must be an integer from 1", a.ring, { vnodes = 0 })
    complains("node:ring: 'vnode' is unknown (nearest: 'vnodes')", a.ring, { vnode = 1 })
    complains("node:ring: 'nodes' can't be given: it follows who is alive", a.ring, { nodes = {} })
    complains("node:ring: options must be a table (got 5)", a.ring, 5)
    complains("node:ring: too many points", a.ring, { vnodes = 1 << 24 })
    complains("ring:owner: a key is expected, a string (got 5)", r.owner, r, 5)
    complains("ring:owners: an integer from 1 up is expected (got 0)", r.owners, r, "k", 0)
    complains("ring.owner must be called as a method: ring:owner(...)", r.owner, "k")
    complains("ring:bounded: (loads of 0 to 2^40 are expected)", r.bounded, r, "k", { a = -1 })
    complains("ring:diff: another ring is expected (got a table)", r.diff, r, {})
    complains("ring:on: 'event' must be \"change\" (got \"chang\" (nearest: 'change'))", r.on, r, "chang", print)
    complains("ring:on change: a function is expected (got nothing)", r.on, r, "change")
    complains("ring:shares is unknown (nearest: 'share')", function() return r.shares end)
    complains("a ring is read-only (assigning x)", function() r.x = 1 end)
    for i = 1, 31 do a.ring { vnodes = i } end
    complains("node:ring: 32 rings at most", a.ring, { vnodes = 32 })
    for _ = 1, 256 do r:on("change", print) end
    complains("ring:on: there are 256 subscriptions, there may be no more", r.on, r, "change", print)
  end)
end)

describe("with real membership", function()
  local folder = dofile "spec/lua/folder.lua"()
  teardown(function() folder:remove() end)

  local script = [[
    local r = node:ring { role = "w" }
    node.state.seen = {}
    local s = r:on("change", function(change)
      local seen = node.state.seen
      local moved = change.before:diff(change.after).moved
      seen[#seen + 1] = { before = #change.before, after = #change.after, moved = moved }
    end)
    node:on("owner", function(key) return r:owner(key) end)
    node:on("ids", function()
      local ids = {}
      for id in pairs(r:share()) do ids[#ids + 1] = id end
      return table.concat(ids, " ")
    end)
    node:on("close", function() s:close() end)
    node:on("who", function() return node.id end)
    node:on("ask", function(key) return node:call({ role = "w", key = key }, "who") end)]]

  local function start(seed)
    folder:write("node.lua", script)
    local nodes = { [[{ id = "front", at = "127.0.0.1:1" }]] }
    for i = 1, 5 do nodes[i + 1] = ([[{ id = "w%d", at = "127.0.0.1:%d", roles = { "w" } }]]):format(i, i + 1) end
    local sim = orrery.sim(folder:write("cluster.lua", ([[
      return orrery.cluster { name = "t", node = "node.lua", nodes = { %s } }]]):format(table.concat(nodes, ", "))),
      { seed = seed or 1 })
    sim:run(3)
    return sim
  end

  -- Until all that are up say so; for 30 s at most.
  local function agree(sim, ids)
    for _ = 1, 300 do
      local wrong
      for _, id in ipairs(sim.ids) do
        if sim.core:state(id) == "up" then
          local said = sim:call(id, "ids")
          wrong = wrong or said ~= ids and ("%s says %s"):format(id, said)
        end
      end
      if not wrong then return end
      sim:run(0.1)
    end
    error("they don't agree", 2)
  end

  it("all have the same ring, of who is alive, as nodes die and come back", function()
    local sim <close> = start()
    agree(sim, "w1 w2 w3 w4 w5")
    sim:kill "w2"
    agree(sim, "w1 w3 w4 w5")
    sim:kill "w5"
    agree(sim, "w1 w3 w4")
    sim:restart "w2"
    agree(sim, "w1 w2 w3 w4")
    sim:eval("w3", "node:stop()")                       -- leaves: at once
    sim:run(1)
    agree(sim, "w1 w2 w4")
    for i = 1, 20 do
      local owner = sim:call("w1", "owner", "k" .. i)
      assert.equal(orrery.ring { nodes = { "w1", "w2", "w4" } }:owner("k" .. i), owner)
      assert.equal(owner, sim:call("front", "owner", "k" .. i))
      assert.equal(owner, sim:call("w4", "ask", "k" .. i))
    end
    local seen = sim.nodes.front.state.seen
    assert.equal(3, seen[#seen].after)
    for i, change in ipairs(seen) do
      assert.is_true(change.moved > 0)
      assert.equal(i == 1 and 0 or seen[i - 1].after, change.before)
    end
  end)

  it("a node that is alone owns everything, and says so", function()
    local sim <close> = start()
    agree(sim, "w1 w2 w3 w4 w5")
    sim:partition({ "w1" }, { "front", "w2", "w3", "w4", "w5" })
    sim:run(150)                                        -- it suspects itself first: Lifeguard
    assert.equal("w1", sim:call("w1", "ids"))
    assert.equal("w2 w3 w4 w5", sim:call("front", "ids"))
    sim:heal()
    agree(sim, "w1 w2 w3 w4 w5")
  end)

  it("a closed subscription is told nothing", function()
    local sim <close> = start()
    agree(sim, "w1 w2 w3 w4 w5")
    sim:call("front", "close")
    local n = #sim.nodes.front.state.seen
    sim:kill "w2"
    agree(sim, "w1 w3 w4 w5")
    assert.equal(n, #sim.nodes.front.state.seen)
    assert.is_true(#sim.nodes.w1.state.seen > 0)
  end)

  it("other scripts take over with rings of their own, and the old ones end", function()
    local sim <close> = start()
    agree(sim, "w1 w2 w3 w4 w5")
    folder:write("node.lua", (script:gsub("node.state.seen = {}", "node.state.seen = {} node.state.other = true")))
    assert.is_true(sim:reload("front"))
    sim:run(1)
    assert.equal("w1 w2 w3 w4 w5", sim:call("front", "ids"))          -- it begins with what is known
    assert.same({}, sim.nodes.front.state.seen)
    sim:kill "w4"
    agree(sim, "w1 w2 w3 w5")
    assert.equal(1, #sim.nodes.front.state.seen)
  end)

  it("a call by key goes past an owner that is known to have failed", function()
    local sim <close> = start()
    agree(sim, "w1 w2 w3 w4 w5")
    local owner = sim:call("front", "ask", "k")
    sim:pause(owner)                                    -- its connection stays: only membership tells
    sim:run(20)
    local began = sim:now()
    local asked, message = sim:call("front", "ask", "k")
    assert.not_equal(owner, asked)
    assert.is_string(asked, message)
    assert.is_true(sim:now() - began < 0.1, sim:now() - began)
    sim:resume(owner)
    agree(sim, "w1 w2 w3 w4 w5")
    assert.equal(owner, sim:call("front", "ask", "k"))
  end)
end)
