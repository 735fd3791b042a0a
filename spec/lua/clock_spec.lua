-- clock_spec.lua - orrery.clock as an object: options, peers by name, verdicts, time and its bounds, what outlives a
-- restart; what wrong use is told; and that no script reaches an assertion of the core.
local core = require "orrery.core"
local orrery = require "orrery"
local new_peers = dofile "spec/lua/clock_peers.lua"

local s = 1000000000
local three = { "a", "b", "c" }

local function clock(options) return assert(orrery.clock(options or { peers = three })) end

-- A clock that knows what time it is, and its peers.
local function warm(options, lie)
  local c = clock(options)
  local w = new_peers(c, { lie = lie })
  w:run(three, 60)
  return c, w
end

describe("orrery.clock", function()
  it("begins without a notion", function()
    local c = clock()
    assert.equal("orrery.clock(unsync peers=3)", tostring(c))
    assert.same(three, c:peers())
    assert.same({ nil, "orrery.clock:now: nobody knows what time it is", "unavailable" }, { c:now(5) })
    assert.same({ nil, "orrery.clock:wait: nobody knows what time it is", "unavailable" }, { c:wait(5, 6) })
    assert.same({ false, false }, { c:after(5, 4), c:before(5, 6) })
    assert.same({ role = "new", trust = false, noselect = false, reach = 0, poll = 4, lost = 0, verdicts = {
      used = 0, held_out = 0, step = 0, bad_order = 0, bad_range = 0, bad_delay = 0, bad_root = 0, bad_sync = 0 } },
      c:peer "a")
  end)

  it("knows the time and how wrong it may be, and who is true", function()
    local c, w = warm()
    local t = c:now(w:here())
    assert.equal("sync", t.state)
    assert.same(three, t.good)
    assert.same({ 0, 2 }, { t.epoch, t.stratum })
    assert.is_true(t.latest - t.earliest < 500000)
    assert.is_true(math.abs(w:here() + t.offset - w.time) < 50000)
    assert.is_true(t.likely > 0 and t.likely < 100000)
    assert.is_true(math.abs(t.rate - 12000000) < 1500000)
    for _, field in ipairs { "offset", "earliest", "latest", "likely", "rate", "epoch", "stratum" } do
      assert.equal("integer", math.type(t[field]), field)
    end
    local a = c:peer("a", w:here())
    assert.same({ "true", 255, 60 }, { a.role, a.reach, a.verdicts.used })
    assert.is_true(a.earliest <= w.time and w.time <= a.latest)
    assert.is_true(a.delay > 200000 and a.delay < 300000 and a.jitter > 0 and a.sd > 0)
    assert.matches("^orrery%.clock%(sync offset=%d+ ns in %d+%.%.%d+ good=3 of 3 epoch=0%)$", tostring(c))
  end)

  it("leaves a liar out, and says who it is", function()
    local c, w = warm(nil, { b = 80000000 })
    assert.same({ "a", "c" }, c:now(w:here()).good)
    assert.same({ "true", "false", "true" }, { c:peer("a").role, c:peer("b").role, c:peer("c").role })
  end)

  it("makes no guess where half of them disagree", function()
    local c = clock { peers = { "a", "b" } }
    local w = new_peers(c, { lie = { b = s } })
    w:run({ "a", "b" }, 30)
    local t = c:now(w:here())
    assert.same({ "unsync", {}, 16 }, { t.state, t.good, t.stratum })
    assert.is_false(c:after(w:here(), w.time - 100 * s))
    assert.is_nil((c:wait(w:here(), w.time)))
  end)

  it("waits for those who were named, and not for others", function()
    local function answers_after(options)
      local c = clock(options)
      local w = new_peers(c)
      for n = 1, 8 do
        w:ask "a"
        local t = c:now(w:here())
        if t and t.state ~= "unsync" then return n end
        w.time = w.time + s
      end
    end
    assert.equal(3, answers_after { peers = 3 })
    assert.equal(8, answers_after { peers = three })
  end)

  it("says what has surely passed and what is to come, and how long to wait", function()
    local c, w = warm()
    local here = w:here()
    local t = c:now(here)
    assert.same({ true, false }, { c:after(here, t.earliest - 1), c:after(here, t.earliest) })
    assert.same({ true, false }, { c:before(here, t.latest + 1), c:before(here, t.latest) })
    assert.equal(0, c:wait(here, t.earliest - 1))
    local left = c:wait(here, w.time + s)
    assert.is_true(c:after(here + left, w.time + s))
    assert.is_false(c:after(here + left - left // 100, w.time + s))
    assert.is_true(left < s + 2000000)
  end)

  it("holds over while nobody is heard, and the bound grows", function()
    local c, w = warm()
    local before = c:now(w:here())
    for _ = 1, 20 do
      w.time = w.time + 10 * s
      for _, peer in ipairs(three) do assert.is_true(c:lost(peer, w:here())) end
    end
    local t = c:now(w:here())
    assert.equal("holdover", t.state)
    assert.is_true(t.latest - t.earliest > before.latest - before.earliest + 200 * 1000)
    assert.is_true(t.earliest <= w.time and w.time <= t.latest)
    assert.same({ 0, 20 }, { c:peer("a").reach, c:peer("a").lost })
  end)

  it("begins an epoch when the local clock is set, known by how much or not", function()
    for _, delta in ipairs { 3600 * s, -3600 * s, false } do
      local c, w = warm()
      local rate = c:now(w:here()).rate
      local set = w:here() + (delta or -7 * s)
      assert.is_true(delta and c:step(set, delta) or c:step(set))
      assert.is_nil((c:now(set)))
      local function here() return set + w:here() end
      local gone = w:here()
      for _ = 1, 10 do
        for _, peer in ipairs(three) do
          local t1, t2, t3, t4 = w:exchange(peer)
          assert.equal("used", (c:sample(peer, t1 - gone + set, t2, t3, t4 - gone + set)))
        end
        w.time = w.time + s
      end
      local t = c:now(here() - gone)
      assert.same({ "sync", 1 }, { t.state, t.epoch })
      assert.is_true(t.earliest <= w.time and w.time <= t.latest)
      assert.is_true(math.abs(t.rate - rate) < 3000000)
    end
  end)

  it("finds out a clock that goes back; a reply handed over late, with its `now`, is none", function()
    local c, w = warm()
    local t1, t2, t3, t4 = w:exchange "a"
    w.time = w.time + 5 * s
    w:ask "b"
    assert.equal("used", (c:sample("a", t1, t2, t3, t4, { now = w:here() })))
    assert.equal(0, c:now(w:here()).epoch)
    assert.equal("bad_order", (c:sample("a", t1 - 1000, t2, t3, t4, { now = w:here() })))
    c:sample("a", t1 - 60 * s, t2 - 60 * s, t3 - 60 * s, t4 - 60 * s)
    assert.is_nil((c:now(t4 - 60 * s)))
    w.time = w.time - 60 * s
    w:run(three, 5)
    assert.equal(1, c:now(w:here()).epoch)
  end)

  it("follows a temperature, and takes any number for one", function()
    local c, w = warm()
    for _, reading in ipairs { 40000, 1 << 40, -(1 << 40), math.mininteger, 0 } do
      assert.is_true(c:temperature(w:here(), reading))
    end
    assert.equal("sync", c:now(w:here()).state)
  end)

  it("asks four times at 2 s, and then by the poll", function()
    local c = clock { peers = { 0 }, poll_min = 6, poll_max = 6 }
    local w = new_peers(c)
    assert.equal(w:here(), c:next(w:here(), 0))
    for n = 1, 6 do
      local sent = w:here()
      w:ask(0)
      local left = c:next(w:here(), 0) - sent
      local expected = n < 4 and 2 * s or 64 * s
      assert.is_true(math.abs(left - expected) < expected * 0.0101, n .. ": " .. left)
      w.time = w.time + left
    end
  end)

  it("gives the same figures for the same calls", function()
    local function figures(seed)
      local c, w = warm { peers = three, seed = seed }
      return { c:now(w:here()), c:peer "b", c:next(w:here(), "c"), c:save() }
    end
    local first = figures(1)
    assert.same(first, figures(1))
    assert.not_equal(first[3], figures(2)[3])
  end)
end)

describe("a peer", function()
  it("is a name or a number, and comes with its first sample", function()
    local c = clock { peers = 4 }
    assert.same({}, c:peers())
    local w = new_peers(c)
    for _, peer in ipairs { "ntp1.example.org", 7, "7" } do assert.equal("used", (w:ask(peer))) end
    assert.is_true(c:lost(4294967295, w:here()))
    assert.same({ "ntp1.example.org", 7, "7", 4294967295 }, c:peers())
    assert.same({ nil, "orrery.clock:sample: there is no room for peer x", "overloaded" }, { w:ask "x" })
    assert.same({ nil, "orrery.clock:lost: there is no room for peer x", "overloaded" }, { c:lost("x", w:here()) })
    assert.same({ nil, "orrery.clock:add: there is no room for peer x", "overloaded" }, { c:add "x" })
    assert.is_true(c:remove "7")
    assert.equal("used", (w:ask "x"))
    assert.same({ "ntp1.example.org", 7, 4294967295, "x" }, c:peers())
  end)

  it("is told apart from one whose number its name gives", function()
    local c, number = clock { peers = 4 }, core.hash.word "a" & 0xffffffff
    assert.is_true(c:add "a")
    local text = "its number is that of peer a"
    assert.same({ nil, "orrery.clock:add: " .. text, "conflict" }, { c:add(number) })
    assert.same({ nil, "orrery.clock:sample: " .. text, "conflict" }, { c:sample(number, 1, 2, 3, 4) })
    assert.same({ nil, ("orrery.clock:peer: there is no peer %d"):format(number), "invalid" }, { c:peer(number) })
    assert.is_true(c:remove "a")
    assert.is_true(c:add(number))
    assert.same({ number }, c:peers())
  end)

  it("is there once, and gone once", function()
    local c = clock()
    assert.same({ nil, "orrery.clock:add: peer a is there", "conflict" }, { c:add "a" })
    assert.same({ nil, "orrery.clock:remove: there is no peer d", "invalid" }, { c:remove "d" })
    assert.same({ nil, "orrery.clock:next: there is no peer d", "invalid" }, { c:next(0, "d") })
    assert.is_true(c:remove "b")
    assert.same({ "a", "c" }, c:peers())
  end)

  it("may be trusted, or watched only", function()
    local c = clock { peers = 3 }
    c:add("a", { trust = true })
    c:add("b", { noselect = true })
    local w = new_peers(c, { lie = { c = s } })
    w:run({ "a", "b", "c" }, 20)
    assert.same({ "a" }, c:now(w:here()).good)
    assert.same({ true, false }, { c:peer("a").trust, c:peer("a").noselect })
    assert.same({ "observed", true }, { c:peer("b").role, c:peer("b").noselect })
  end)
end)

describe("a sample", function()
  -- What a good one is changed to, and the verdict. Each at a clock that knows the time; nothing moves.
  local rows = {
    { "no time in it", "bad_range", function(x) x[2] = 0 end },
    { "none of the reply", "bad_range", function(x) x[3] = 0 end },
    { "t3 before t2", "bad_range", function(x) x[3] = x[2] - 1 end },
    { "t4 at t1", "bad_range", function(x) x[4] = x[1] end },
    { "t1 beyond", "bad_range", function(x) x[1] = math.mininteger end },
    { "t2 beyond", "bad_range", function(x) x[2] = math.mininteger end },
    { "t3 beyond", "bad_range", function(x) x[3] = math.maxinteger end },
    { "2^62 apart", "bad_range", function(x) x[2], x[3] = 1 - (1 << 62), 2 - (1 << 62) end },
    { "now beyond", "bad_range", function(x) x.now = math.maxinteger end },
    { "stamps off by minutes", "bad_range", function(x) x.error = 1 << 40 end },
    { "a reply before its request", "bad_delay", function(x) x[3] = x[2] + 3600 * s end },
    { "seventeen seconds", "bad_delay", function(x) x[1] = x[4] - 17 * s end },
    { "stratum 0", "bad_sync", function(x) x.stratum = 0 end },
    { "stratum 16", "bad_sync", function(x) x.stratum = 16 end },
    { "stratum 255", "bad_sync", function(x) x.stratum = 255 end },
    { "leap 3", "bad_sync", function(x) x.leap = 3 end },
    { "a root far away", "bad_root", function(x) x.root_delay = 3 * s end },
    { "a root at the end", "bad_root", function(x) x.root_dispersion = math.maxinteger end },
    { "an order", "bad_order", function(x) x[1], x[4] = x[1] - 5 * s, x[4] - 5 * s end },
    { "off by an hour", "held_out", function(x) x[2], x[3] = x[2] + 3600 * s, x[3] + 3600 * s end },
  }
  for _, row in ipairs(rows) do
    it(("with %s is %s"):format(row[1], row[2]), function()
      local c, w = warm()
      local x = table.pack(w:exchange "a")
      x.n = nil
      local now, offset = x[4], c:now(x[4]).offset
      x.now = now
      row[3](x)
      local t1, t2, t3, t4 = table.unpack(x, 1, 4)
      x[1], x[2], x[3], x[4] = nil, nil, nil, nil
      assert.equal(row[2], (c:sample("a", t1, t2, t3, t4, x)))
      assert.equal(1, c:peer("a", now).verdicts[row[2]])
      local t = c:now(now)
      assert.same({ "sync", 0 }, { t.state, t.epoch })
      assert.is_true(math.abs(t.offset - offset) < 20000)
      assert.is_true(t.earliest <= w.time and w.time <= t.latest)
    end)
  end

  it("of a new peer that is no reading is refused, too", function()
    assert.equal("orrery.clock: not valid", select(2, clock { peers = 1 }:sample("a", 1, 2, 3, math.maxinteger)))
  end)

  it("takes integers, and says which isn't", function()
    local c = clock()
    for arg, v in pairs { [3] = 0 / 0, [4] = 2.0 ^ 63, [5] = 1.5, [6] = {} } do
      local given = { "a", 1, 2, 3, 4 }
      given[arg - 1] = v
      local ok, why = pcall(function() c:sample(table.unpack(given)) end)
      assert.is_false(ok)
      assert.matches("bad argument #" .. arg - 1 .. " to 'sample'", why)
    end
    for _, peer in ipairs { -1, 4294967296, "", 1.5, true } do
      assert.is_false((pcall(function() c:sample(peer, 1, 2, 3, 4) end)))
    end
    assert.equal("bad_range", (c:sample("a", math.mininteger, math.maxinteger, 0, math.mininteger)))
  end)

  it("has options that are known, and in their range", function()
    local c = clock()
    local function told(text, opts)
      assert.has_error(function() c:sample("a", 1, 2, 3, 4, opts) end, "orrery.clock:sample: " .. text)
    end
    told("'startum' is unknown (nearest: 'stratum')", { startum = 1 })
    told("'stratum' must be an integer from 0 to 255 (got 256)", { stratum = 256 })
    told("'leap' must be an integer from 0 to 3 (got 4)", { leap = 4 })
    told("'root_delay' must be an integer of at least 0 (got -1)", { root_delay = -1 })
    told("'root_dispersion' must be an integer of at least 0 (got 0.5)", { root_dispersion = 0.5 })
    told("'error' must be an integer of at least 0 (got \"1\")", { error = "1" })
    told("'now' must be an integer (got \"1\")", { now = "1" })
    told("options must be a table (got 7)", 7)
    told("'[1]' is unknown", { 1 })
    assert.equal("used", (c:sample("a", 1000, 501600, 501700, 2300, {
      stratum = 2, root_delay = 40000, root_dispersion = 0, leap = 1, error = 10, now = 2300 })))
  end)
end)

describe("the options of a clock", function()
  local rows = {
    { "'peers' must be an integer from 1 to 64, or an array of so many peers (got 0)", { peers = 0 } },
    { "'peers' must be an integer from 1 to 64, or an array of so many peers (got 65)", { peers = 65 } },
    { "'peers' must be an integer from 1 to 64, or an array of so many peers (got a table)", { peers = {} } },
    { "'peers[2]' must be a name, or an integer from 0 to 4294967295 (got -1)", { peers = { "a", -1 } } },
    { "'peers[2]': orrery.clock:add: peer a is there", { peers = { "a", "a" } } },
    { "'mode' must be \"ntp\" or \"pacemaker\" (got \"chrony\")", { mode = "chrony" } },
    { "'precision' must be an integer from 1 to 1000000000 (got 0)", { precision = 0 } },
    { "'max_drift' must be an integer from 0 to 1000000 (got 1000001)", { max_drift = 1000001 } },
    { "'poll_max' must not be below 'poll_min' (got 4 < 5)", { poll_min = 5, poll_max = 4 } },
    { "'poll_min' must be an integer from -6 to 17 (got -7)", { poll_min = -7 } },
    { "'peer' is unknown (nearest: 'peers')", { peer = 3 } },
  }
  for _, row in ipairs(rows) do
    it("are told: " .. row[1], function()
      assert.has_error(function() orrery.clock(row[2]) end, "orrery.clock: " .. row[1])
    end)
  end

  it("may all be left out, and be as large as can be", function()
    orrery.clock():close()
    local c <close> = clock { peers = 64, precision = 1000000000, max_drift = 1000000, poll_min = 17, poll_max = 17,
      seed = math.mininteger }
    for i = 1, 64 do assert.is_true(c:add(i)) end
    assert.equal(64, #c:peers())
  end)
end)

describe("what a clock saves", function()
  it("is taken by another one, by the names of the peers", function()
    local c, w = warm()
    local saved, rate = c:save(), c:now(w:here()).rate
    local other = clock()
    assert.is_true(other:load(saved))
    assert.equal(saved:sub(1, 16), other:save():sub(1, 16))
    local v = new_peers(other)
    v:run(three, 4)
    assert.is_true(math.abs(other:now(v:here()).rate - rate) < 3000000)
  end)

  it("is refused where it is damaged, or too late", function()
    local c = warm()
    local saved = c:save()
    for i = 1, #saved do
      local damaged = saved:sub(1, i - 1) .. string.char(saved:byte(i) ~ 1) .. saved:sub(i + 1)
      assert.equal("corrupt", select(3, clock():load(damaged)))
      assert.equal("corrupt", select(3, clock():load(saved:sub(1, i - 1))))
    end
    assert.same({ nil, "orrery.clock:load: this is nothing that save() wrote", "corrupt" }, { clock():load "" })
    assert.same({ nil, "orrery.clock:load: an exchange was heard already", "invalid" }, { c:load(saved) })
  end)
end)

describe("a clock's end", function()
  it("is told to who goes on", function()
    local c = clock()
    c:close()
    c:close()
    assert.equal("orrery.clock(closed)", tostring(c))
    for name, method in pairs(getmetatable(c).__index) do
      local rest = name == "add" and {} or { 1, 2, 3, 4 }
      if name ~= "close" then
        assert.has_error(function() method(c, "a", table.unpack(rest)) end, "orrery.clock: it is closed")
      end
    end
  end)

  it("gives memory back, also where it was out of it", function()
    collectgarbage()
    local before = collectgarbage "count"
    for _ = 1, 20 do local c <close> = clock { peers = 64 } end
    collectgarbage()
    assert.is_true(collectgarbage "count" < before + 300)
    local ok, message = core.memory.limit(1 << 17, function() return select(2, orrery.clock { peers = 64 }) end)
    assert.same({ true, "orrery.clock: Cannot allocate memory" }, { ok, message })
    assert.same({ true, 3 }, { core.memory.limit(1 << 20, function() return #clock():peers() end) })
  end)

  it("may come by a finalizer, at any time", function()
    for _ = 1, 200 do
      local c = clock { peers = 8 }
      local w = new_peers(c)
      w:run({ 1, 2 }, 3)
      setmetatable({}, { __gc = function() c:close() end })
      for n = 1, 300 do
        local ok, why = pcall(function()
          local name = ("peer %d"):format(n % 8)
          c:sample(name, 1, 2, 3, 4)
          c:now(w:here())
          c:peers()
          c:save()
          c:remove(name)
          return tostring(c)
        end)
        if not ok then
          assert.matches("orrery.clock: it is closed$", why)
          break
        end
      end
    end
  end)

  it("is for its own methods", function()
    local c = clock()
    assert.has_error(function() c.now(orrery.hlc {}, 1) end)
    assert.has_error(function() c.now({}, 1) end)
  end)
end)
