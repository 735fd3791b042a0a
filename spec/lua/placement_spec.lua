-- placement_spec.lua - orrery.placement from Lua: each policy's look-ups, what moves, nodes that come and go, bad
-- input. (The arithmetic: spec/placement/placement_test.c.)
local orrery = require "orrery"

local folder = dofile "spec/lua/folder.lua"()
local start = dofile "spec/lua/script.lua"(folder)
teardown(function() folder:remove() end)

local policies = { "ring", "jump", "rendezvous", "maglev", "multiprobe" }

describe("a placement", function()
  for _, policy in ipairs(policies) do
    it("by " .. policy .. " has owners, successors, shares and moves", function()
      local p = orrery.placement { policy = policy, nodes = { "a", "b", "c", "d" } }
      local counts, n = {}, 4000
      for i = 1, n do
        local owner = p:owner("key" .. i)
        counts[owner] = (counts[owner] or 0) + 1
      end
      local sum = 0
      for id, share in pairs(p:share()) do
        sum = sum + share
        assert.is_true(math.abs(counts[id] / n - share) < 0.04)
      end
      assert.is_true(math.abs(sum - 1) < 1e-9)
      local seen = {}
      for id in p:walk "k" do seen[#seen + 1] = id end
      assert.equal(4, #seen)
      assert.equal(p:owner "k", seen[1])
      assert.same(seen, (p:owners("k", 9)))
      local was = p:copy()
      assert.equal(p, p:add "e")
      local moved, least = was:moved(p)
      assert.is_true(least > 0.1 and moved > least - 0.01 and moved < 0.4)
      p:remove "e"
      assert.equal(0, (was:moved(p)))
      assert.equal(4, #p)
      assert.equal(("orrery.placement(%s, 4 nodes)"):format(policy), tostring(p))
    end)

    it("by " .. policy .. " has replicas in distinct zones, and says in how many", function()
      local nodes = {}
      for i = 1, 9 do nodes[i] = { id = "n" .. i, zone = "z" .. i % 3 } end
      local p = orrery.placement { policy = policy, nodes = nodes }
      for i = 1, 50 do
        local ids, zones = p:owners("key" .. i, 3)
        assert.equal(3, #ids)
        assert.equal(3, zones)
      end
      local ids, zones = p:owners("x", 20)
      assert.equal(9, #ids)
      assert.equal(3, zones)
    end)
  end

  it("by ring is the ring", function()
    local p = orrery.placement { nodes = { "a:1", "b:1", "c:1" }, hash = "nginx" }
    local r = orrery.ring { nodes = { "c:1", "b:1", "a:1" }, hash = "nginx" }
    for i = 1, 200 do assert.equal(r:owner("k" .. i), p:owner("k" .. i)) end
    assert.same(r:share(), p:share())
  end)

  it("takes weights where its policy has them", function()
    local share = orrery.placement { policy = "rendezvous", nodes = { "a", { id = "b", weight = 3 } } }:share()
    assert.equal(0.75, share.b)
    share = orrery.placement { policy = "maglev", nodes = { "a", { id = "b", weight = 1.5 } }, slots = 101 }:share()
    assert.is_true(math.abs(share.b - 0.6) < 0.02)
    assert.equal(2, #orrery.placement { policy = "multiprobe", nodes = { "a", { id = "b", weight = 3 } }, probes = 5 })
  end)

  it("is walked as it was when the walk began", function()
    local p = orrery.placement { policy = "multiprobe", nodes = { "a", "b", "c" } }
    local n = 0
    for _ in p:walk "k" do
      n = n + 1
      p:add("x" .. n)
      collectgarbage()
    end
    assert.equal(3, n)
    assert.equal(6, #p)
  end)

  it("is there for nodes' scripts", function()
    local sim <close> = start [[
      local p = orrery.placement { policy = "maglev", nodes = node:role "x", slots = 101 }
      node:on("owner", function(key) return p:owner(key) end)]]
    assert.equal((sim:call("a", "owner", "k")), (sim:call("b", "owner", "k")))
  end)

  it("says what is wrong with what it is given", function()
    local function complains(expected, f, ...)
      local ok, message = pcall(f, ...)
      assert.is_false(ok)
      assert.matches(expected, message, 1, true)
    end
    local function refused(expected, given)
      given.nodes = given.nodes or { "a", "b" }
      local ok, message = pcall(function() given = orrery.placement(given) end)
      assert.is_false(ok)
      assert.matches("^spec/lua/placement_spec.lua:%d+: orrery.placement: ", message)
      assert.matches("orrery.placement: " .. expected, message, 1, true)
    end
    complains("orrery.placement: 'nodes' is missing", orrery.placement)
    refused("a placement has at least one node", { nodes = {} })
    refused([['policy' must be "ring", "jump", "rendezvous", "maglev" or "multiprobe" (got "hrw")]], { policy = "hrw" })
    refused([['slots' is for policy = "maglev" (got policy = "ring")]], { slots = 101 })
    refused([['probes' is for policy = "multiprobe" (got policy = "maglev")]], { policy = "maglev", probes = 3 })
    refused([['hash' is for policy = "ring" (got policy = "jump")]], { policy = "jump", hash = "nginx" })
    refused([['vnodes' can't be chosen with hash = "nginx"]], { hash = "nginx", vnodes = 5 })
    refused("'slots' must be a prime number up to 1048576 (got 1024)", { policy = "maglev", slots = 1024 })
    refused("'slots' must be a prime number up to 1048576 (got 1)", { policy = "maglev", slots = 1 })
    refused("'slots' must be at least as many as there are nodes (got 2, for 3 nodes)",
      { policy = "maglev", slots = 2, nodes = { "a", "b", "c" } })
    refused("'probes' must be an integer from 1 to 256 (got 0)", { policy = "multiprobe", probes = 0 })
    refused("nodes[2]: 'weight' must be an integer from 1 to 1 (got 2)",
      { policy = "jump", nodes = { "a", { id = "b", weight = 2 } } })
    refused("nodes[1]: 'weight' must be an integer from 1 to 1000 (got 1.5)",
      { policy = "multiprobe", nodes = { { id = "b", weight = 1.5 } } })
    refused("nodes[1]: 'weight' must be a number above 0 and at most 1000 (got 0)",
      { policy = "rendezvous", nodes = { { id = "b", weight = 0 } } })
    refused("nodes[1]: 'weight' must be a number above 0 and at most 1000 (got 1e+300)",
      { policy = "maglev", nodes = { { id = "b", weight = 1e300 } } })
    refused('"a" is there twice', { policy = "maglev", nodes = { "a", "b", "a" } })
    refused('"a:11211" is there twice (as one server to hash = "ketama")',
      { hash = "ketama", nodes = { "a", "a:11211" } })
    refused("nodes[1]: 'id' must be 1 to 255 bytes", { nodes = { ("x"):rep(256) } })
    local p = orrery.placement { policy = "maglev", slots = 2, nodes = { "a", "b" } }
    complains("orrery.placement:add: 'slots' must be at least as many", p.add, p, "c")
    complains('orrery.placement:remove: it has no node "bb" (nearest: \'b\')', p.remove, p, "bb")
    assert.equal(2, #p)
    complains("string expected, got number", p.owner, p, 5)
    complains("at least 1 is expected", p.owners, p, "k", 0)
    complains("orrery.placement expected", p.moved, p, orrery.ring { nodes = { "a" } })
    complains("orrery.placement expected", p.owner, {}, "k")
  end)
end)
