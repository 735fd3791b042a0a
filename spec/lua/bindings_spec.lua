-- bindings_spec.lua - orrery.core: children and their ends, handles that close once, a live node, a simulated run.
local cluster = require "orrery.cluster"
local core = require "orrery.core"
local lab = require "orrery.lab"
local plan = require "orrery.plan"

local folder = dofile "spec/lua/folder.lua"()
teardown(function() folder:remove() end)

local function open_descriptors()
  collectgarbage()
  os.execute(("ls /proc/%d/fd | wc -l >'%s/count'"):format(core.process.pid(), folder.path))
  return tonumber(folder:read "count")
end

-- All that a child says, and how it ends.
local function follow(nursery, pid)
  local said = { out = "", err = "" }
  while true do
    local event, who, a, b = nursery:wait(30)
    assert(event, "nothing happened for 30 s")
    assert.equal(pid, who)
    if event == "exit" then return said, a, b end
    said[a] = said[a] .. b
  end
end

describe("a nursery", function()
  it("tells what children say before it tells their end", function()
    local nursery <close> = assert(core.process.nursery())
    local pid = assert(nursery:spawn { "/bin/sh", "-c", "echo out; echo err >&2; printf rest; exit 7" })
    local said, how, what = follow(nursery, pid)
    assert.same({ out = "out\nrest", err = "err\n" }, said)
    assert.same({ "exit", 7 }, { how, what })
  end)

  it("takes much", function()
    local nursery <close> = assert(core.process.nursery())
    local said = follow(nursery, assert(nursery:spawn { "/bin/sh", "-c", "head -c 1000000 /dev/zero" }))
    assert.equal(1000000, #said.out)
  end)

  it("tells which signal ended one, and signals only its own", function()
    local nursery <close> = assert(core.process.nursery())
    local pid = assert(nursery:spawn { "/bin/sleep", "100" })
    assert.is_false(nursery:kill(1, "TERM"))
    assert.is_true(nursery:kill(pid, "KILL"))
    assert.same({ { out = "", err = "" }, "signal", "SIGKILL" }, { follow(nursery, pid) })
    assert.is_false(nursery:kill(pid, "KILL"))
    assert.has_error(function() nursery:kill(pid, "HELLO") end, "bad argument #2 to 'kill' (not a signal)")
  end)

  it("gives children a mask without blocks, and nothing to read", function()
    local nursery <close> = assert(core.process.nursery())
    local pid = assert(nursery:spawn { "/bin/sh", "-c", "grep SigBlk /proc/self/status; cat" })
    assert.matches("^SigBlk:%s+0+\n$", follow(nursery, pid).out)
  end)

  it("gets the signals for this process", function()
    local nursery <close> = assert(core.process.nursery())
    os.execute("kill -TERM " .. core.process.pid())
    assert.same({ "signal", "SIGTERM" }, { nursery:wait(10) })
    assert.equal(0, select("#", nursery:wait(0)))
  end)

  it("fails to start what isn't there: the child's status is 127", function()
    local nursery <close> = assert(core.process.nursery())
    assert.same({ { out = "", err = "" }, "exit", 127 },
      { follow(nursery, assert(nursery:spawn { "/no/such/program" })) })
  end)

  it("closes once, and refuses afterwards", function()
    local before = open_descriptors()
    local nursery = assert(core.process.nursery())
    local pid = assert(nursery:spawn { "/bin/sleep", "100" })
    nursery:kill(pid, "KILL")
    nursery:close()
    nursery:close()
    assert.has_error(function() nursery:wait(0) end, "calling 'wait' on bad self (the nursery is closed)")
    assert.equal(before, open_descriptors())
  end)

  it("checks its arguments", function()
    local nursery <close> = assert(core.process.nursery())
    assert.has_error(function() nursery:spawn {} end,
      "bad argument #1 to 'spawn' (an array of 1 to 999 strings expected)")
    assert.has_error(function() nursery:wait(-1) end, "bad argument #1 to 'wait' (seconds must not be negative)")
  end)
end)

-- A cluster of one node, its plan's text.
local function lonely(script)
  folder:write("n.lua", script or [[
    local kv = node:replicate("kv", { machine = "kv" })
    node:listen("resp", kv:resp())]])
  local port = 16000 + core.process.pid() % 2000          -- below what clients get
  local value = assert(cluster.load(folder:write("c.lua", ([[
    return orrery.cluster { name = "one", node = "n.lua", nodes = {
    { id = "a", at = "127.0.0.1:%d", resp = "127.0.0.1:%d" } } }]]):format(port, port + 2000))))
  return plan.text(value, assert(plan.bundle(value)), "a")
end

describe("a live node", function()
  local function start(script)
    return core.live.new { plan = lonely(script), id = "a", path = package.path, dir = folder.path .. "/data" }
  end

  it("comes up, is alone in its directory, leaves", function()
    local before = open_descriptors()
    local live = assert(start())
    for _ = 1, 3000 do
      assert.is_true(live:step(0.01))
      if live:status().ready then break end
    end
    assert.is_true(live:status().ready)
    local other, message, code = start()
    assert.is_nil(other)
    assert.equal("busy", code)
    assert.is_string(message)
    live:stop "enough"
    assert.equal(0, (live:run()))
    assert.is_false(live:step(0))
    live:close()
    live:close()
    assert.has_error(function() live:status() end, "calling 'status' on bad self (the node is closed)")
    assert.equal(before, open_descriptors())
  end)

  it("doesn't start when its script fails", function()
    local before = open_descriptors()
    local live, message = start "node:replicate('kv', {})"
    assert.is_nil(live)
    assert.matches("n.lua:1: node:replicate kv: 'apply' is missing", message)
    assert.equal(before, open_descriptors())
  end)

  it("has a script's memory limited", function()
    local live, message = start "local t = {} for i = 1, 60 do t[i] = ('x'):rep(10000000) .. i end"
    assert.is_nil(live)
    assert.matches("n.lua: used more than 268435456 bytes of memory$", message)
  end)
end)

describe("a simulated run", function()
  local value = assert(cluster.load "examples/kv/cluster.lua")
  local function run(opts)
    opts.value, opts.seconds, opts.clients = opts.value or value, 2, 4
    return lab.run(opts)
  end
  local bundle = assert(plan.bundle(value))
  local kv = {}
  for i, member in ipairs(value.nodes) do
    kv[i] = { id = member.id, resp = member.listen.resp, plan = plan.text(value, bundle, member.id) }
  end

  it("is its seed, to the last byte", function()
    local first = assert(run { seed = 5, nodes = kv, faults = { default = true } })
    local again = assert(run { seed = 5, nodes = kv, faults = { default = true } })
    assert.is_true(first.ok, first.violation)
    assert.same(first, again)
    assert.not_equal(first.digest, assert(run { seed = 6, nodes = kv, faults = { default = true } }).digest)
  end)

  it("has another digest when one delivered byte is another", function()
    local whole = assert(run { seed = 5, nodes = kv })
    for _, nth in ipairs { 1, 1000, 50000 } do
      assert.not_equal(whole.digest, assert(run { seed = 5, nodes = kv, flip = nth }).digest)
    end
  end)

  it("writes its events, the same each time", function()
    local texts = {}
    for i = 1, 2 do
      assert(run { seed = 7, nodes = kv, events = folder.path .. "/events" .. i })
      texts[i] = folder:read("events" .. i)
    end
    assert.is_true(#texts[1] > 10000)
    assert.is_true(texts[1] == texts[2])
    local result, message = run { seed = 7, nodes = kv, events = folder.path .. "/no/such/folder" }
    assert.is_nil(result)
    assert.matches("/no/such/folder: no such file or directory", message:lower())
  end)

  it("tells why a node can't start", function()
    local one = orrery.cluster { name = "one", node = "n.lua", nodes = { { id = "a", at = "127.0.0.1:1" } } }
    local result, message = run { seed = 1, value = one, nodes = { { id = "a", plan = lonely "error 'oh'" } } }
    assert.is_nil(result)
    assert.matches("n.lua:1: oh$", message)
  end)

  it("names every fault", function()
    local names = {}
    for _, fault in ipairs(core.lab.faults()) do names[fault.name] = fault.unit end
    assert.equal("TIMED", names.crash)
    assert.equal("OP", names.loss)
  end)
end)

describe("a limit on memory", function()
  local limit = core.memory.limit

  it("is a pcall where nobody meets it", function()
    assert.same({ true, 1, nil, 3 }, { limit(1 << 20, function(...) return ... end, 1, nil, 3) })
    assert.same({ false, "oh" }, { limit(1 << 20, error, "oh", 0) })
    assert.same({ true }, { limit(0, function() end) })
  end)

  it("ends what meets it, and is over afterwards", function()
    local function eat() return #("x"):rep(1 << 21) end
    assert.same({ false, "not enough memory" }, { limit(1 << 20, eat) })
    assert.same({ true, false, "not enough memory" }, { limit(1 << 22, limit, 1 << 20, eat) })
    assert.same({ true, false, "not enough memory" }, { limit(1 << 20, limit, 1 << 30, eat) })
    assert.equal(1 << 21, eat())
  end)

  it("counts what is freed, too", function()
    assert.is_true((limit(1 << 22, function() for i = 1, 100 do local _ = ("x"):rep(1 << 20) .. i end end)))
  end)

  it("checks its arguments", function()
    assert.has_error(function() limit(-1, print) end, "bad argument #1 to 'limit' (bytes must not be negative)")
    assert.has_error(function() limit(1) end, "bad argument #2 to 'limit' (value expected)")
  end)
end)

describe("the hash", function()
  it("is XXH3's 128 bits", function()
    assert.equal("99aa06d3014798d86001c324468d497f", core.hash.text "")
    assert.equal(32, #core.hash.text(("x"):rep(100000)))
  end)
end)
