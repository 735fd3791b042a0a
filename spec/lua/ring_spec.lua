-- ring_spec.lua - orrery.ring and orrery.jump from Lua: look-ups, what moves, nodes that come and go, bad input. (The
-- arithmetic: spec/placement/ring_test.c.)
local orrery = require "orrery"

local folder = dofile "spec/lua/folder.lua"()
local start = dofile "spec/lua/script.lua"(folder)
teardown(function() folder:remove() end)

local function keys(n)
  local out = {}
  for i = 1, n do out[i] = "key" .. i end
  return out
end

describe("a ring", function()
  it("is the same whatever the order of its nodes", function()
    local a = orrery.ring { nodes = { "a", { id = "b", weight = 2 }, "c" } }
    local b = orrery.ring { nodes = { "c", "a" } }
    b:add { id = "b", weight = 2 }
    assert.equal(0, b:diff(a).moved)
    for _, key in ipairs(keys(500)) do assert.equal(a:owner(key), b:owner(key)) end
    assert.equal("b", a:owner "user:17")          -- for ever
    assert.equal(3, #a)
    assert.equal("orrery.ring(3 nodes, 640 points)", tostring(a))
  end)

  it("moves only what a new node gets, and back again what it had", function()
    local r = orrery.ring { nodes = { "a", "b", "c" } }
    local was = r:copy()
    assert.equal(r, r:add "d")
    local diff = was:diff(r)
    assert.is_true(math.abs(diff.moved - r:share().d) < 1e-12)
    assert.is_true(math.abs(diff.moved - diff.least) < 1e-12)
    for _, move in ipairs(diff) do
      assert.equal("d", move.after)
      assert.is_true(move.from == move.to or math.ult(move.from, move.to))
    end
    local moved = 0
    for _, key in ipairs(keys(2000)) do
      local before, after = was:owner(key), r:owner(key)
      assert.is_true(before == after or after == "d")
      if before ~= after then moved = moved + 1 end
    end
    assert.is_true(math.abs(moved / 2000 - diff.moved) < 0.05)
    r:remove "d"
    assert.equal(0, was:diff(r).moved)
  end)

  it("spreads replicas over zones, and says over how many", function()
    local nodes = {}
    for i = 1, 9 do nodes[i] = { id = "n" .. i, zone = "z" .. i % 3 } end
    local r = orrery.ring { nodes = nodes }
    for _, key in ipairs(keys(200)) do
      local ids, zones = r:owners(key, 3)
      assert.equal(3, zones)
      assert.equal(r:owner(key), ids[1])
      local seen = {}
      for _, id in ipairs(ids) do seen[tonumber(id:sub(2)) % 3] = true end
      assert.is_true(seen[0] and seen[1] and seen[2])
    end
    local ids, zones = r:owners("x", 20)
    assert.equal(9, #ids)
    assert.equal(3, zones)
  end)

  it("is walked as it was when the walk began", function()
    local r = orrery.ring { nodes = { "a", "b", "c", "d" } }
    local seen = {}
    for id in r:walk "k" do
      seen[#seen + 1] = id
      r = orrery.ring { nodes = { "q" } }
      collectgarbage()
    end
    table.sort(seen)
    assert.same({ "a", "b", "c", "d" }, seen)
    r = orrery.ring { nodes = { "a", "b", "c" } }
    local n = 0
    for _ in r:walk "k" do
      n = n + 1
      r:add("x" .. n)
      collectgarbage()
    end
    assert.equal(3, n)
    assert.equal(6, #r)
  end)

  it("has shares by weight that add up", function()
    local share = orrery.ring { nodes = { "a", { id = "b", weight = 3 } }, vnodes = 1000 }:share()
    assert.is_true(math.abs(share.a + share.b - 1) < 1e-9)
    assert.is_true(math.abs(share.b - 0.75) < 0.03)
  end)

  it("is there for nodes' scripts", function()
    local sim <close> = start [[
      local r = orrery.ring { nodes = node:role "x" }
      node:on("owner", function(key) return r:owner(key), orrery.jump(key, 7) end)]]
    local of_a, jump = sim:call("a", "owner", "k")
    assert.equal(of_a, (sim:call("b", "owner", "k")))
    assert.equal(orrery.jump("k", 7), jump)
  end)

  it("says what is wrong with what it is given", function()
    local function complains(expected, f, ...)
      local ok, message = pcall(f, ...)
      assert.is_false(ok)
      assert.matches(expected, message, 1, true)
    end
    local r = orrery.ring { nodes = { "a", "b" } }
    complains("orrery.ring: 'nodes' is missing", orrery.ring, {})
    complains("orrery.ring: a ring has at least one node", orrery.ring, { nodes = {} })
    complains('orrery.ring: "a" is there twice', orrery.ring, { nodes = { "a", "b", { id = "a" } } })
    complains("orrery.ring: nodes[2]: 'weight' must be a number above 0 and at most 1000 (got 0)", orrery.ring,
      { nodes = { "a", { id = "b", weight = 0 } } })
    complains("orrery.ring: nodes[1]: 'id' must be 1 to 255 bytes, none of them zero", orrery.ring, { nodes = { "" } })
    complains("orrery.ring: nodes[1]: 'id' must be 1 to 255 bytes, none of them zero", orrery.ring,
      { nodes = { "a\0b" } })
    complains("orrery.ring: nodes[1]: options must be a table (got 5)", orrery.ring, { nodes = { 5 } })
    complains("orrery.ring: too many points", orrery.ring,
      { nodes = { { id = "a", weight = 1000 } }, vnodes = 1 << 20 })
    complains([['hash' must be "xxh3", "ketama", "ketama-unweighted", "libketama" or "nginx" (got "md5")]], orrery.ring,
      { nodes = { "a" }, hash = "md5" })
    complains([['vnodes' can't be chosen with hash = "nginx", which has its own (got 100)]], orrery.ring,
      { nodes = { "a" }, hash = "nginx", vnodes = 100 })
    complains("nodes[1]: 'weight' must be an integer from 1 to 1000 (got 1.5)", orrery.ring,
      { nodes = { { id = "a", weight = 1.5 } }, hash = "nginx" })
    complains("nodes[1]: 'weight' must be an integer from 1 to 4294967295 (got 0)", orrery.ring,
      { nodes = { { id = "a", weight = 0 } }, hash = "ketama" })
    complains("nodes[1]: 'weight' must be an integer from 1 to 1 (got 2)", orrery.ring,
      { nodes = { { id = "a", weight = 2 } }, hash = "ketama-unweighted" })
    complains('"a:11211" is there twice (as one server to hash = "ketama")', orrery.ring,
      { nodes = { "a", "a:11211" }, hash = "ketama" })
    complains("a ring whose hash gives keys the same places is expected", r.diff, r,
      orrery.ring { nodes = { "a" }, hash = "nginx" })
    complains('orrery.ring:add: "a" is there twice', r.add, r, "a")
    complains('orrery.ring:remove: it has no node "bb" (nearest: \'b\')', r.remove, r, "bb")
    r:remove "a"
    complains("orrery.ring:remove: a ring has at least one node", r.remove, r, "b")
    assert.equal(1, #r)
    complains("string expected, got number", r.owner, r, 5)
    complains("at least 1 is expected", r.owners, r, "k", 0)
    complains("orrery.ring expected", r.owner, {}, "k")
    complains("orrery.jump: 'buckets' must be an integer of 1 to 2^32 - 1 (got 0)", orrery.jump, "k", 0)
    complains("orrery.jump: 'key' must be a string or an integer (got 1.5)", orrery.jump, 1.5, 3)
  end)
end)

describe("orrery.jump", function()
  it("is the known one", function()
    assert.equal(43, orrery.jump(42, 57))
    assert.equal(361, orrery.jump(0xDEAD10CC, 666))
    assert.equal(520, orrery.jump(256, 1024))
    local counts = {}
    for i = 1, 10000 do
      local at = orrery.jump("key" .. i, 10)
      counts[at] = (counts[at] or 0) + 1
    end
    for i = 0, 9 do assert.is_true(counts[i] > 850 and counts[i] < 1150) end
  end)
end)

describe("a ring's diagram", function()
  local svg = dofile "spec/lua/svg.lua"
  local function new(weight)
    return orrery.ring { vnodes = 20, nodes = { "a", { id = "b", weight = weight, zone = "z<1>" },
      { id = "c", zone = "z2" } } }
  end

  it("is text: the circle, shares as bars, zones", function()
    local text = tostring(new(2):diagram()):gsub("█", "#"):gsub("▌", "|")
    assert.matches("^orrery.ring: 3 nodes, %d+ ranges\n", text)
    local share = new(2):share()
    assert.matches(("  A  a  +%.1f %%%%  #+|?\n"):format(100 * share.a), text)
    assert.matches(("  B  b  +%.1f %%%%  ########################  z<1>  weight 2\n"):format(100 * share.b), text)
    assert.matches(("  z2: 1 node, %.1f %%%%\n"):format(100 * share.c), text)
    -- fifteen lines of circle, of which each sign is a node's, most of them b's
    local circle, counts = text:match "\n(.-)\n  A  a", {}
    assert.equal(15, select(2, (circle .. "\n"):gsub("\n", "")))
    for sign in circle:gmatch "%S" do counts[sign] = (counts[sign] or 0) + 1 end
    assert.is_true(counts.B > counts.A and counts.B > counts.C and counts.A > 0 and counts.C > 0)
    assert.is_nil(next(counts, next(counts, next(counts, next(counts)))))
  end)

  it("shows one node's part as it is", function()
    local half = orrery.ring { nodes = { "x", "y" }, vnodes = 1 }
    local text = tostring(half:diagram())
    local y = text:match "B  y%s+(%S+) %%"
    local size = 0
    for _, move in ipairs(half:diff(orrery.ring { nodes = { "x" }, vnodes = 1 })) do       -- what is y's
      size = size + ((move.to >> 11) - (move.from >> 11)) / 2^53
    end
    assert.is_true(math.abs(tonumber(y) - 100 * size) < 0.06, size)
  end)

  it("is a picture with every range, the same bytes each time", function()
    local path = folder:write("ring.svg", "")
    assert.is_true(new(2):diagram(path))
    local first = folder:read "ring.svg"
    local names = svg(first)
    assert.equal(tonumber(tostring(new(2):diagram()):match "(%d+) ranges") < names.path, true)
    new(2):diagram(path)
    assert.equal(first, folder:read "ring.svg")
    new(3):diagram(path)
    assert.not_equal(first, folder:read "ring.svg")
    assert.matches("z&lt;1&gt;", first, 1, true)
    local r = orrery.ring { nodes = { "only" } }
    assert.is_true(r:diagram(path))
    assert.equal(1, svg(folder:read "ring.svg").path)
    assert.matches("1 node, 1 range\n", tostring(r:diagram()))
  end)

  it("is the whole circle, whatever the hash", function()
    for _, hash in ipairs { "xxh3", "ketama", "ketama-unweighted", "libketama", "nginx" } do
      local r = orrery.ring { nodes = { "10.0.0.1:11211", "10.0.0.2:11211" }, hash = hash }
      local circle, counts = tostring(r:diagram()):match "\n(.-)\n  A  10", { A = 0, B = 0 }
      for sign in circle:gmatch "%S" do counts[sign] = counts[sign] + 1 end
      assert.is_true(counts.A > 10 and counts.B > 10, hash)
    end
  end)

  it("says what is wrong with a path; in nodes there are none", function()
    local ok, message = pcall(function() new(1):diagram(5) end)
    assert.is_false(ok)
    assert.matches("ring_spec.lua:%d+: ring:diagram: 'path' must be a file's %(got 5%)", message)
    local nothing, why, code = new(1):diagram "/nowhere/ring.svg"
    assert.same({ nil, "/nowhere/ring.svg: No such file or directory", "unavailable" }, { nothing, why, code })
    local sim <close> = start [[
      local r = node:ring { role = "x" }
      local plain = orrery.ring { nodes = { "a" } }
      node:on("draw", function() local d = plain:diagram "x.svg" return d end)
      node:on("own", function() local d = r:diagram "x.svg" return d end)
      node:on("text", function() return tostring(r:diagram()), tostring(plain:diagram()) end)]]
    local wrong = "ring:diagram: a script has no files: 'path' is for programs outside the nodes"
    assert.equal("a: draw: node.lua:3: " .. wrong, (select(2, sim:call("a", "draw"))))
    assert.equal("a: own: node.lua:4: " .. wrong, (select(2, sim:call("a", "own"))))
    local own, plain = sim:call("a", "text")
    assert.matches("^node:ring x: %d node", own)
    assert.matches("^orrery.ring: 1 node, 1 range\n", plain)
  end)
end)
