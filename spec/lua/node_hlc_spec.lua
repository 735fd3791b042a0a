-- node_hlc_spec.lua - node.hlc: a node's hybrid logical clock in simulations, whose laboratory compares each stamp with
-- those before it, in all lives of the node, and with the truth (core/lab/times.c).
local orrery = require "orrery"

local folder = dofile "spec/lua/folder.lua"()
local start = dofile "spec/lua/script.lua"(folder)
teardown(function() folder:remove() end)

local script = [[
  node:on("now", function() return node.hlc:now() end)
  node:on("recv", function(stamp) return node.hlc:recv(stamp) end)
  node:on("timed", function(f, ...)
    local began = node:now()
    local stamp, message, code = node.hlc[f](node.hlc, ...)
    return stamp, node:now() - began, message, code
  end)
  node:on("begin", function()
    node:spawn(function()
      local began = node:now()
      local stamp, message, code = node.hlc:now()
      node.state.got = { stamp = stamp, message = message, code = code, waited = node:now() - began }
    end)
  end)
  node:on("parts", function(stamp) return node.hlc:parts(stamp) end)
  node:on("time", function(stamp) return node.hlc:time(stamp) end)
  node:on("of", function(T) return node.hlc:of(T) end)
  node:on("status", function() return node.hlc:status() end)
  node:on("clock", function() return node:time() end)
  node:on("save", function(name, value) return node:save(name, value) end)
  node:on("load", function(name) return node:load(name) end)
  node:on("wrong", function(f, ...) return select(2, pcall(node.hlc[f], node.hlc, ...)) end)
  node:on("alone", function()
    local co = coroutine.wrap(function() return node.hlc:now() end)
    return select(2, pcall(co))
  end)
]]
local clock = "clock = {},"

describe("node.hlc", function()
  it("gives stamps that grow, near the time, and puts receipts after what was sent", function()
    local sim <close> = start(script, { more = clock })
    local before = 0
    for _ = 1, 50 do
      local a = sim:call("a", "now")
      local b = sim:call("b", "recv", a)
      local c = sim:call("c", "recv", b)
      assert.is_true(before < a and a < b and b < c)
      before = sim:call("a", "recv", c)
      assert.is_true(before > c)
      local earliest, latest = sim:call("a", "clock")
      local at = sim:call("a", "time", before)
      assert.is_true(earliest - 0.1 < at and at < latest + 0.1)
    end
    local status = sim:call("a", "status")
    assert.same({ 100, 0, 0.5, before }, { status.given, status.refused, status.skew_max, status.last })
    assert.is_true(status.limit > status.last)
  end)

  it("takes a stamp apart, and makes one of a time", function()
    local sim <close> = start(script, { more = clock })
    local first = sim:call("a", "now")
    local T, counter = sim:call("a", "parts", first)
    assert.same({ "float", "integer" }, { math.type(T), math.type(counter) })
    assert.equal(T, (sim:call("a", "time", first)))
    assert.equal(first - counter, (sim:call("a", "of", T)))
    assert.same({ 0, -65536, -65536 }, { (sim:call("a", "of", -1)), (sim:call("a", "of", 1e30)),
      (sim:call("a", "of", math.huge)) })
    assert.same({ 4294967295 + 65535 / 65536, 65535 }, { sim:call("a", "parts", -1) })
    local bare = orrery.hlc {}
    assert.equal(bare:of(1700000000500000000), (sim:call("a", "of", 1700000000.5)))
  end)

  it("refuses a stamp from too far ahead, and nothing has changed", function()
    local sim <close> = start(script, { more = "clock = { skew_max = 0.25 }," })
    local stamp = sim:call("a", "now")
    local at = sim:call("a", "time", stamp)
    local none, message, code = sim:call("a", "recv", (sim:call("a", "of", at + 0.4)))
    assert.is_nil(none)
    assert.matches("^node%.hlc:recv: its stamp is 0%.%d+ s ahead of the latest that the time can be, and " ..
      "clock%.skew_max is 0%.25 s$", message)
    assert.equal("denied", code)
    assert.equal("denied", (select(3, sim:call("a", "recv", -1))))      -- the last of all, as an unsigned number
    local status = sim:call("a", "status")
    assert.same({ stamp, 2 }, { status.last, status.refused })
    local near = sim:call("a", "of", at + 0.2)
    assert.is_true(near < sim:call("a", "recv", near))
  end)

  it("is not known where the time isn't", function()
    local sim <close> = start(script)
    local none, message, code = sim:call("a", "now")
    assert.is_nil(none)
    assert.equal("node.hlc:now: the clocks of 1 of 3 members are known, 2 are needed", message)
    assert.equal("unavailable", code)
    sim:run(1)
    assert.equal("integer", math.type((sim:call("a", "now"))))
    local off <close> = start(script, { more = "clock = false," })
    assert.same({ nil, "node.hlc:recv: the cluster file says clock = false", "unavailable" },
      { off:call("a", "recv", 1) })
  end)

  it("gives stamps also where the time is known less well than others are to take them", function()
    local sim <close> = start(script, { more = "clock = { skew_max = 1e-6, drift_max = 0.001 }," })
    sim:run(5)
    for _ = 1, 20 do
      local a, message = sim:call("a", "now")
      assert.equal("integer", math.type(a), message)
      assert.equal("integer", math.type((sim:call("b", "recv", a))))
    end
  end)

  it("waits for the disk at first, and not while it is used", function()
    local sim <close> = start(script, { more = clock })
    sim:run(1)
    assert.is_true(select(2, sim:call("a", "timed", "now")) > 0)
    for _ = 1, 100 do
      assert.equal(0, (select(2, sim:call("a", "timed", "now"))))
      sim:run(0.02)
    end
    sim:run(3)
    assert.is_true(select(2, sim:call("a", "timed", "now")) > 0)
  end)

  it("begins above all that it gave, when it is started again, and gives none that others would refuse", function()
    local sim <close> = start(script, { more = clock })
    local before = sim:call("b", "now")
    for round = 1, 8 do
      sim:restart "b"
      sim:run(0.3)
      local stamp, waited = sim:call("b", "timed", "now")
      assert.is_true(stamp > before, round)
      assert.is_true(waited < 1, waited)
      local receipt, message = sim:call("a", "recv", stamp)
      assert.is_true(receipt and receipt > stamp, message)
      before = stamp
    end
  end)

  it("waits for the time where it is further ahead than others take, at most as long as a call", function()
    local sim <close> = start(script, { more = "clock = { skew_max = 0.1 }, timing = { call = 0.5 }," })
    sim:call("b", "now")
    sim:run(0.01)
    sim:restart "b"                              -- begins at its limit, a second ahead
    sim:run(0.2)
    sim:call("b", "begin")
    sim:run(0.6)
    local got = sim.nodes.b.state.got
    assert.is_nil(got.stamp)
    assert.matches("^node%.hlc:now: its stamps are 0%.%d+ s ahead of the time, and others take 0%.1 s$", got.message)
    assert.equal("timeout", got.code)
    assert.is_true(math.abs(got.waited - 0.5) < 0.01)
    sim:run(1)
    assert.equal("integer", math.type((sim:call("b", "now"))))
  end)

  it("says that the disk is full, and goes on when it has room", function()
    local sim <close> = start(script, { more = clock })
    sim:call("a", "now")
    sim:fill_disk("a", 0)
    sim:run(2)
    local none, message, code = sim:call("a", "now")
    assert.is_nil(none)
    assert.matches("^node%.hlc:now: the limit of its stamps can't be stored: ", message)
    assert.equal("full", code)
    sim:fill_disk("a", 1 << 30)
    sim:run(3)
    assert.equal("integer", math.type((sim:call("a", "now"))))
  end)

  it("keeps its limit where no script's value is", function()
    local sim <close> = start(script, { more = clock })
    local stamp = sim:call("a", "now")
    for _, name in ipairs { "hlc", "own-hlc", "../own-hlc" } do
      assert.is_nil((sim:call("a", "load", name)))
      assert.is_true((sim:call("a", "save", name, "mine")))
    end
    sim:restart "a"
    sim:run(0.5)
    assert.is_true(sim:call("a", "now") > stamp)
    for _, name in ipairs { "hlc", "own-hlc", "../own-hlc" } do
      assert.equal("mine", (sim:call("a", "load", name)))
    end
  end)

  it("tells who uses it wrongly", function()
    local sim <close> = start(script, { more = clock })
    for wrong, told in pairs { [1.5] = "1.5", [true] = "true", x = '"x"' } do
      assert.equal("node.hlc:recv: a stamp is expected, an integer (got " .. told .. ")",
        (sim:call("a", "wrong", "recv", wrong)))
      assert.matches("node%.hlc:parts: a stamp is expected", (sim:call("a", "wrong", "parts", wrong)))
      assert.matches("node%.hlc:time: a stamp is expected", (sim:call("a", "wrong", "time", wrong)))
    end
    assert.matches("node%.hlc:of: a time is expected, seconds since 1970 %(got nothing%)$",
      (sim:call("a", "wrong", "of")))
    assert.matches("node%.hlc:now", (sim:call("a", "alone")))
    local _, refused = pcall(start, [[
      local hlc = node.hlc
      node:replicate("g", { apply = function() return hlc:now() end })
    ]])
    assert.matches("apply", refused)
  end)
end)

-- Nodes tell each other stamps under faults of all kinds but those that take a disk. Each script says what
-- must hold here; what must hold over restarts, and against the truth, the laboratory says.
local workload = [[
  local last = 0
  node.state.given, node.state.denied, node.state.codes = 0, 0, {}
  local function must(holds, what)
    if not holds then node.state.broken = what end
  end
  local function noted(after, stamp, message, code)
    if not stamp then
      node.state.codes[code] = (node.state.codes[code] or 0) + 1
      if code == "denied" then node.state.denied, node.state.why = node.state.denied + 1, message end
      return nil
    end
    must(stamp > after, "a receipt's stamp is not greater than its message's")
    node.state.given = node.state.given + 1
    return stamp
  end
  -- `last` is read before, for others run while this one waits.
  local function now()
    local before = last
    local stamp = noted(before, node.hlc:now())
    if stamp then last = math.max(last, stamp) end
    return stamp
  end
  node:on("note", function(sent)
    local before = math.max(sent, last)
    local stamp = noted(before, node.hlc:recv(sent))
    if stamp then last = math.max(last, stamp) end
    return stamp
  end)
  -- Somebody's clock is fast: by so much that his stamps are just taken; and by a minute.
  node:on("push", function()
    local sent = now()
    if not sent then return end
    local stamp, _, code = node.hlc:recv(sent + (60 << 32))
    must(not stamp and code ~= "timeout", "a stamp from a minute ahead is taken")
    local _, latest = node:time()
    sent = node.hlc:of(latest + 0.45)
    stamp = noted(sent, node.hlc:recv(sent))
    if stamp then last = math.max(last, stamp) end
    return stamp
  end)
  node:every(0.05, function()
    if node:now() % 4 > 2 then return end        -- a pause, after which nothing stored is above the time any more
    local peer = node.peers[math.random(#node.peers)]
    local sent = now()
    if not sent then return end
    local answer = node:call(peer, "note", sent)
    if not answer then return end
    must(answer > sent, "an answer's stamp is not greater than its question's")
    local stamp = noted(answer, node.hlc:recv(answer))
    if stamp then last = math.max(last, stamp) end
  end)
]]

-- How many stamps were given, how often a clock was pushed right before its node was killed, how many stamps were
-- refused. servers: of NTP.
local function swarmed(seed, servers)
  local list, names = {}, {}
  for i = 1, servers do names[i] = ("'ntp%d'"):format(i) end
  for i = 1, 3 do list[i] = ("{ id = 'n%d', at = '10.0.0.%d:7000' }"):format(i, i) end
  folder:write("swarm/node.lua", workload)
  local path = folder:write("swarm/cluster.lua", ([[
    return orrery.cluster { name = "t", node = "node.lua", clock = { ntp = { %s } }, nodes = { %s } }
  ]]):format(table.concat(names, ", "), table.concat(list, ", ")))
  local sim <close> = assert(orrery.sim(path, { seed = seed, faults = "swarm" }))
  sim:run(20)
  local given, pushed, denied, why = 0, 0, 0, nil
  local function count(id)
    local state = sim.nodes[id].state
    if not state or not state.given then return end
    assert.is_nil(state.broken)
    given, denied, why = given + state.given, denied + state.denied, why or state.why
  end
  for i = 1, 6 do
    local id = "n" .. 1 + (servers > 0 and seed + i or seed) % 3    -- the median needs the two others for 10 s
    sim:run(servers > 0 and 0.8 or 2.4)
    pushed = pushed + (sim:call(id, "push") and 1 or 0)
    count(id)
    sim:restart(id)                              -- in the middle of it, whatever struck before
  end
  sim:run(3)
  assert(sim:check())
  for i = 1, 3 do count("n" .. i) end
  return given, pushed, denied, why
end

describe("node.hlc under faults", function()
  local seeds = tonumber(os.getenv "ORR_LONG") and 1000 or 150

  it("holds by the median of the nodes' clocks", function()
    local all, pushes = 0, 0
    for seed = 1, seeds do
      local given, pushed = swarmed(seed, 0)
      all, pushes = all + given, pushes + pushed
    end
    assert.is_true(all > 100 * seeds and pushes > seeds, ("%d stamps, %d pushes"):format(all, pushes))
  end)

  it("holds by NTP servers, and no stamp is ever refused", function()
    local all, pushes = 0, 0
    for seed = 1, seeds do
      local given, pushed, denied, why = swarmed(seed, 3)
      assert.equal(0, denied, ("seed %d: %s"):format(seed, why))
      all, pushes = all + given, pushes + pushed
    end
    assert.is_true(all > 100 * seeds and pushes > seeds, ("%d stamps, %d pushes"):format(all, pushes))
  end)
end)
