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
]])

local function file(name, at, script)
  return folder:write(name .. ".lua", ([[
    return orrery.cluster { name = "%s", node = "%s", nodes = { { id = "a", at = "127.0.0.1:%d" } } }]]):format(name,
      script or "node.lua", at))
end

local function start(name, offset, more)
  local opts = { id = "a", data = folder.path .. "/" .. name }
  for key, v in pairs(more or {}) do opts[key] = v end
  return assert(orrery.start(file(name, port + offset), opts))
end

describe("orrery.start", function()
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
    local _, message, code = orrery.start(path, { id = "a", thread = true })
    assert.equal("invalid", code)
    assert.is_truthy(message:find("thread = true is not available", 1, true))
    _, message, code = orrery.start(folder.path .. "/none.lua", { id = "a", data = data })
    assert.equal("invalid", code)
    assert.is_truthy(message:find("none.lua", 1, true))
    folder:write("bad.lua", "node:on(1)")
    _, message, code = orrery.start(file("bad-cluster", port + 8, "bad.lua"), { id = "a", data = data .. "2" })
    assert.equal("invalid", code)
    assert.matches("bad.lua:1: node:on: ", message, 1, true)
    local a <close> = assert(orrery.start(path, { id = "a", data = data }))
    _, message, code = orrery.start(file("wrong2", port + 9), { id = "a", data = data })
    assert.same({ data .. "/a is in use by another process", "unavailable" }, { message, code })
    _, message, code = orrery.start(path, { id = "a", data = data .. "3" })
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
end)
