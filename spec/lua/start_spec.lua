-- start_spec.lua - orrery.start: a node inside this program.
local core = require "orrery.core"
local orrery = require "orrery"

local folder = dofile "spec/lua/folder.lua"()
teardown(function() folder:remove() end)

local port = 20000 + core.process.pid() % 1200 * 10       -- below what clients get

folder:write("node.lua", [[
  local sum = node:replicate("sum", {
    init = function() return { n = 0 } end,
    apply = function(state, op) state.n = state.n + op.by return state.n, nil, "by" end,
    query = { n = function(state) return state.n end },
  })
  local kv = node:replicate("kv", { machine = "kv" })
  node:on("add", function(by) node.state.from = node:from() return sum:propose { by = by } end)
  node:on("fail", function() error "no luck" end)
  node:on("slow", function() node:channel():get() end)
  node:on("leave", function() node:stop "enough" end)
  node:on("busy", function() for _ = 1, 4000000 do end end)
  node:on("show", function()
    node.state.self = node.state
    node.state.deep = {}
    local t = node.state.deep
    for i = 1, 100 do t[i] = { of = function() end } t = t[i] end
  end)
]])

local function file(name, at, script)
  return folder:write(name .. ".lua", ([[
    return orrery.cluster { name = "%s", node = "%s", nodes = { { id = "a", at = "127.0.0.1:%d" } } }]]):format(name,
      script or "node.lua", at))
end

local threaded                      -- do the nodes of this spec turn by themselves?
local function start(name, offset, more)
  local opts = { id = "a", data = folder.path .. "/" .. name, thread = threaded }
  for key, v in pairs(more or {}) do opts[key] = v end
  return assert(orrery.start(file(name, port + offset), opts))
end

local function what_both_do()
  -- A node's log is 128 MiB from the start; closed nodes need none.
  after_each(function()
    os.execute(("find '%s' -mindepth 1 -maxdepth 1 -type d -exec rm -rf {} +"):format(folder.path))
  end)

  it("answers calls, casts, groups, while something waits", function()
    local a <close> = start("one", 1)
    assert.equal(5, a:call("add", 5))
    assert.equal("a", a.state.from)
    assert.is_true(a:cast("add", 2))
    while a:group("sum"):peek { "n" } < 7 do a:step(0.05) end
    assert.equal(7, a:group("sum"):read { "n" })
    assert.same({ 10, nil, "by", n = 3 }, table.pack(a:group("sum"):propose { by = 3 }))
    assert.equal(10, a:group("sum"):peek { "n" })
    assert.equal("leader", a:group("sum"):status().role)
    local ok, message, code = a:call "nope"
    assert.same({ nil, "a: nope: there is no such handler", "invalid" }, { ok, message, code })
    ok, message, code = a:call "fail"
    assert.is_nil(ok)
    assert.equal("failed", code)
    assert.is_truthy(message:find("no luck", 1, true))
    ok, message, code = a:group("kv"):propose { by = 1 }
    assert.same({ nil, "invalid" }, { ok, code }, message)
    assert.equal(17, a.nodes.a:call("add", 7))
    assert.is_truthy(tostring(a):find("^a up leader of "))
  end)

  it("evaluates", function()
    local a <close> = start("evaluates", 9)
    assert.same({ 2, nil, "a", n = 3 }, table.pack(a:eval "1 + 1, nil, node.id"))
    assert.equal("orrery.group(sum lua)", a:eval "sum")
    assert.same({ nil, "a: eval: eval:1: eval sees no xyzzy", "failed" }, { a:eval "xyzzy" })
    a:eval "node:spawn(function() node.state.x = 1 node:sleep(0.01) node.state.x = 2 end)"
    while a.state.x ~= 2 do a:step(0.01) end
    a:close()
    assert.same({ nil, "a: the node is closed", "closed" }, { a:eval "1" })
  end)

  it("keeps to its timeout, and finds its data again", function()
    local a = start("again", 2, { timeout = 0.2 })
    local _, _, code = a:call "slow"
    assert.equal("unknown", code)
    a:close()
    local b = start("again", 2)
    assert.equal(4, b:call("add", 4))
    b:close()
    local c <close> = start("again", 2)
    assert.equal(5, c:call("add", 1))
  end)

  it("lives beside another one", function()
    local a <close> = start("left", 3)
    local b <close> = start("right", 4)
    -- One that had no turn while the other one started may take its disk for a slow one.
    while not (a:status().ready and b:status().ready) do a:step(0.01) b:step(0.01) end
    assert.equal(1, a:call("add", 1))
    assert.equal(10, b:call("add", 10))
    assert.equal(2, a:call("add", 1))
    a:close()
    assert.equal(11, b:call("add", 1))
  end)

  it("lets a host own the loop", function()
    local a <close> = start("host", 5)
    local seen
    a:on("ready", function() seen = true end)
    assert.equal("integer", math.type(a:fd()))
    local steps = 0
    while not seen and steps < 100000 do
      assert.is_true(a:deadline() >= 0)
      assert.is_true(a:step(0.05))
      steps = steps + 1
    end
    assert.is_true(seen)
    assert.is_true(a:step())
  end)

  it("tells when it stops by itself", function()
    local a <close> = start("stops", 6)
    local why
    a:on("stop", function(reason) why = reason end)
    a:call "leave"
    while a:step(0.05) do end
    assert.equal("left", why)
    assert.equal("down", a:status().state)
    local _, message, code = a:call("add", 1)
    assert.same({ "a: the node has stopped: left", "closed" }, { message, code })
    assert.same({}, a.state)
  end)

  it("is closed and collected in any order", function()
    for i = 1, 4 do
      local a = start("order", 7)
      local group = a:group "sum"
      local asked = a.core:ask("a", "slow", 5000000000)
      if i == 1 then a:close() asked:close() elseif i == 2 then asked:close() a:close() end
      if i == 3 then a:on("ready", function() a:close() end) a:call("add", 1) end
      a:close()
      assert.is_true(asked:over())
      local _, _, code = group:propose { by = 1 }
      assert.equal("closed", code)
      assert.is_false(a:step(0))
      a, asked, group = nil, nil, nil
      collectgarbage()
      collectgarbage()
    end
  end)

  it("says what is wrong", function()
    local path = file("wrong", port + 8)
    local data = folder.path .. "/wrong"
    assert.has_error(function() orrery.start(path, { id = "b" }) end,
      [[orrery.start: 'id' must be a node of the cluster (got "b")]])
    assert.has_error(function() orrery.start(path, {}) end,
      "orrery.start: 'id' is missing, must be the id of a node of the cluster")
    local _, message, code = orrery.start(folder.path .. "/none.lua", { id = "a", data = data, thread = threaded })
    assert.equal("invalid", code)
    assert.is_truthy(message:find("none.lua", 1, true))
    folder:write("bad.lua", "node:on(1)")
    _, message, code = orrery.start(file("bad-cluster", port + 8, "bad.lua"),
      { id = "a", data = data .. "2", thread = threaded })
    assert.equal("invalid", code)
    assert.matches("bad.lua:1: node:on: ", message, 1, true)
    local a <close> = assert(orrery.start(path, { id = "a", data = data, thread = threaded }))
    _, message, code = orrery.start(file("wrong2", port + 9), { id = "a", data = data, thread = threaded })
    assert.same({ data .. "/a is in use by another process", "unavailable" }, { message, code })
    _, message, code = orrery.start(path, { id = "a", data = data .. "3", thread = threaded })
    assert.equal("unavailable", code)
    assert.has_error(function() a:group "sun" end, [[node a has no group "sun" (nearest: 'sum')]])
    assert.has_error(function() a:group("sum"):read(print) end, "sum:read: 'question' must be a table " ..
      "(got a function; a function can't travel, `query` of the group can do it)")
    assert.has_error(function() a:on("leader", print) end,
      [[node:on: 'event' must be "ready" or "stop" (got "leader")]])
    assert.has_error(function() a:call(1) end, "node:call: a message's name is expected, 1 to 255 bytes (got 1)")
    assert.has_error(function() return a.why end)
    assert.has_error(function() a:eval(5) end, "node:eval: a text is expected (got 5)")
  end)
end

describe("orrery.start", function()
  before_each(function() threaded = false end)
  what_both_do()
end)

describe("orrery.start with thread = true", function()
  before_each(function() threaded = true end)
  what_both_do()

  it("turns by itself", function()
    local a <close> = start("alone", 10)
    assert.equal(math.huge, a:deadline())
    assert.is_true(a:cast("add", 2))
    repeat until a:group("sum"):peek { "n" } == 2     -- a look turns nothing
    a:step(5)
    assert.is_true(a:status().ready)
  end)

  it("answers many calls, each once", function()
    local a <close> = start("many", 11)
    for i = 1, 2000 do assert.equal(i, a:call("add", 1)) end
    local asked = {}
    for i = 1, 500 do asked[i] = assert(a.core:ask("a", "add", 5000000000, 1)) end
    local n = 0
    while n < 500 do
      a:step(1)
      while asked[n + 1] and asked[n + 1]:over() do
        n = n + 1
        assert.equal(2000 + n, (select(2, asked[n]:results())))
        if n % 2 == 0 then asked[n]:close() end
      end
    end
  end)

  it("is asked while its node is busy, and keeps to its timeout", function()
    local a <close> = start("busy", 12, { timeout = 0.02 })
    assert.equal("up", a:status().state)
    for _ = 1, 60 do assert.is_true(a:cast "busy") end
    local taken, open = 0, 0                        -- what was answered; of what may have been done
    local surely_not, busy = 0, 0
    repeat
      local n, message, code = a:call("add", 1)
      if n then taken = taken + 1 else assert.matches("^a: add: ", message) end
      if code == "unknown" then open = open + 1 elseif code then surely_not = surely_not + 1 end
      if code and not n then assert.is_true(code == "timeout" or code == "unknown", code) end
      local status = a:status()
      if status.state == "busy" then
        busy = busy + 1
        assert.same({ state = "busy", why = "the node's thread does not answer", groups = {} }, status)
      end
    until n
    assert.is_true(surely_not + open > 0)
    assert.is_true(busy > 0)
    local sum = a:group("sum"):read { "n" }
    assert.is_true(sum >= taken and sum <= taken + open, sum)
  end)

  it("copies a state that bites its tail", function()
    local a <close> = start("state", 13)
    a:call "show"
    local state = a.state
    assert.equal(state, state.self)
    local t = state.deep
    for i = 1, 100 do
      assert.equal("(function)", t[i].of)
      t = t[i]
    end
  end)

  it("tells who waits when its node stops", function()
    local a <close> = start("ends", 14)
    local asked = {}
    for i = 1, 10 do asked[i] = a.core:ask("a", "slow", 60000000000) end
    local begun = a.core:clock()
    a:call "leave"
    while a:step(5) do end
    assert.is_true(a.core:clock() - begun < 10)
    for i = 1, 10 do
      assert.is_true(asked[i]:over())
      assert.is_false((asked[i]:results()))
    end
    local _, message, code = a:call("add", 1)
    assert.same({ "a: the node has stopped: left", "closed" }, { message, code })
    local b <close> = start("ends", 14)             -- its directory and its address are free before it is told
    assert.equal(1, b:call("add", 1))
  end)

  it("is closed with calls under way", function()
    for i = 1, 20 do
      local a = start("under-way", 15)
      local asked = {}
      for k = 1, 50 do asked[k] = a.core:ask("a", k % 2 == 0 and "slow" or "add", 5000000000, 1) end
      for k = i, 50, 3 do asked[k]:close() end
      if i % 4 == 0 then asked = { asked[49] } end
      if i % 2 == 0 then collectgarbage() end
      a:close()
      for _, one in pairs(asked) do
        assert.is_true(one:over())
        local ok = one:results()
        assert.is_true(ok == true or ok == false)
      end
      assert.has_error(function() a.core:status() end)
    end
  end)

  it("lives beside others, with a thread and without", function()
    local a <close> = start("first", 16)
    local b <close> = start("second", 17)
    threaded = false
    local c <close> = start("third", 18)
    for i = 1, 100 do
      assert.equal(i, a:call("add", 1))
      assert.equal(2 * i, b:call("add", 2))
      assert.equal(3 * i, c:call("add", 3))
    end
    b:close()
    assert.equal(101, a:call("add", 1))
    assert.equal(303, c:call("add", 3))
  end)

  it("tells ready and stop where it is stepped", function()
    local a <close> = start("events", 19)
    local told = {}
    a:on("ready", function() told[#told + 1] = "ready" end)
    a:on("stop", function(why)
      told[#told + 1] = why
      a:close()
    end)
    while #told == 0 do a:step(1) end
    a:cast "leave"
    while a:step(1) do end
    assert.same({ "ready", "left" }, told)
  end)
end)
