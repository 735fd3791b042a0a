-- connect_spec.lua - orrery.connect and orrery repl --connect: live nodes, each a process of its own, asked from here.
local core = require "orrery.core"
local orrery = require "orrery"

local folder = dofile "spec/lua/folder.lua"()
local program = assert(core.process.program())
local nursery = assert(core.process.nursery())
local port = 20000 + core.process.pid() % 1200 * 10       -- below what clients get
local ids, pids, said = { "a", "b", "c" }, {}, {}

local function at(id) return ("127.0.0.1:%d"):format(port + id:byte() - ("a"):byte() + 1) end

folder:write("node.lua", [[
  local sum = node:replicate("sum", {
    init = function() return { n = 0 } end,
    apply = function(state, op)
      if op.fail then error "no luck" end
      state.n = state.n + op.by
      return state.n, nil, "by"
    end,
    query = { n = function(state) return state.n end },
  })
  local kv = node:replicate("kv", { machine = "kv" })
  local held = 0
  node:on("add", function(by) node.state.from = node:from() return sum:propose { by = by } end)
  node:on("fail", function() error "no luck" end)
  node:on("say", function(...) return ... end)
  node:on("big", function(n) return ("x"):rep(n) end)
  node:on("slow", function()
    local _ <close> = setmetatable({}, { __close = function() held = held - 1 end })
    held = held + 1
    node:channel():get()
  end)
  node:on("leave", function() node:stop "enough" end)
  node.state.f = print
  node.state.loop = node.state
]])
local file
do
  local nodes = {}
  for i, id in ipairs(ids) do
    nodes[i] = ('{ id = "%s", at = "%s"%s }'):format(id, at(id),
      i == 1 and (', resp = "127.0.0.1:%d"'):format(port) or "")
  end
  file = folder:write("cluster.lua", ([[
    return orrery.cluster { name = "spec", node = "node.lua", timing = { call = 5 }, nodes = { %s } }]]):format(
    table.concat(nodes, ", ")))
end

-- Until done(), what the processes say is taken, and kept.
local function hear(done, T)
  local until_time = core.process.clock() + T
  repeat
    local what, pid, _, bytes = nursery:wait(0.02)
    if what == "data" then said[pid] = (said[pid] or "") .. bytes end
    if what == "exit" then said[pid] = (said[pid] or "") .. "\nexit " .. tostring(bytes) .. "\n" end
  until done() or core.process.clock() > until_time
  return done()
end

local function start(id)
  local pid = assert(nursery:spawn { program, "run", file, "--node", id, "--data", folder.path .. "/data" })
  pids[id] = pid
end

local function is_ready(id) return (said[pids[id]] or ""):find "\nready\n" ~= nil end
local function ready() return is_ready "a" and is_ready "b" and is_ready "c" end

local function kill(id)
  nursery:kill(pids[id], "KILL")
  assert(hear(function() return (said[pids[id]] or ""):find "\nexit " end, 10))
end

setup(function()
  for _, id in ipairs(ids) do start(id) end
  assert(hear(ready, 60), "the nodes don't get ready")
end)
teardown(function()
  nursery:close()
  folder:remove()
end)

local function connect(id, opts) return assert(orrery.connect(at(id), opts)) end

describe("orrery.connect", function()
  it("answers calls, casts, groups", function()
    local a <close> = connect "a"
    assert.same({ "a", "spec", at "a" }, { a.id, a.cluster, a.address })
    assert.equal(5, a:call("add", 5))
    assert.equal("(visitor)", a.state.from)
    assert.is_true(a:cast("add", 2))
    assert(hear(function() return a:group("sum"):read { "n" } == 7 end, 10))
    assert.same({ 10, nil, "by", n = 3 }, table.pack(a:group("sum"):propose { by = 3 }))
    assert.equal(10, a:group("sum"):read { "n" })
    assert.equal("number", type(a:group("sum"):peek { "n" }))
    assert.equal(1, a:group("sum"):status().term > 0 and 1)
    assert.matches("a  began, in term %d", tostring(a:group("sum"):why()))
    assert.is_true(a:group("sum"):snapshot() > 0)
    assert.is_true(a:group("kv"):snapshot() > 0)
    assert.same({ 1, nil, "x", { y = 2 }, nil, n = 5 }, table.pack(a:call("say", 1, nil, "x", { y = 2 }, nil)))
    assert.equal(100000, #a:call("big", 100000))
  end)

  it("tells failures as they are", function()
    local a <close> = connect "a"
    assert.same({ nil, "a: nope: there is no such handler", "invalid" }, { a:call "nope" })
    local ok, message, code = a:call "fail"
    assert.same({ nil, "failed" }, { ok, code })
    assert.matches("a: fail: .*node.lua:%d+: no luck", message)
    ok, message, code = a:group("sum"):propose { fail = true }
    assert.same({ nil, "failed" }, { ok, code })
    assert.matches("no luck", message)
    assert.same({ nil, "group kv: its machine is none of Lua's", "invalid" }, { a:group("kv"):propose { by = 1 } })
    assert.same({ nil, [[a has no group "sun" (nearest: 'sum')]], "invalid" }, { a:group("sun"):read { "n" } })
    ok, message, code = a:group("sum"):read { "m" }
    assert.same({ nil, "invalid" }, { ok, code }, message)
    ok, message, code = a:call("say", ("x"):rep(2 << 20))
    assert.same({ nil, "invalid" }, { ok, code })
    assert.matches("a: say: arguments of 2097%d+ bytes are too large", message)
    ok, message, code = a:cast("say", ("x"):rep(2 << 20))
    assert.same({ nil, "invalid" }, { ok, code }, message)
    ok, message, code = a:call("big", 2 << 20)
    assert.same({ nil, "failed" }, { ok, code }, message)
    assert.equal(1, a:call("say", 1))                             -- the connection bore all of it
  end)

  it("knows the other nodes, each at its own address", function()
    local a <close> = connect "a"
    assert.same(ids, a.ids)
    assert.equal(a, a.nodes.a)
    assert.equal("b", a.nodes.b:eval "node.id")
    assert.equal("c", a.nodes.c.nodes.c:eval "node.id")
    assert.equal("up", a.nodes.c:status().state)
    assert.matches("^b up ", tostring(a.nodes.b))
  end)

  it("says how it is", function()
    local a <close> = connect "a"
    assert(hear(function() return a:status().ready end, 20))      -- a slow machine may be electing
    local status = a:status()
    assert.same({ "up", true, true, 2 }, { status.state, status.ready, status.recovered, status.peers_up })
    assert.equal(1, status.visitors)
    assert.is_table(status.groups.sum)
    assert.same("(function)", a.state.f)
    assert.same("(cycle)", a.state.loop)
    assert.equal(0, a:step(0) and 0)
    assert.equal("integer", math.type(a:fd()))
    assert.is_true(a:deadline() >= 0)
  end)

  it("evaluates in the node", function()
    local a <close> = connect "a"
    assert.same({ 3, nil, "x", n = 3 }, table.pack(a:eval "1 + 2, nil, 'x'"))
    assert.equal("orrery.group(sum lua)", a:eval "sum")
    assert.is_nil(a:eval "node:from()")
    assert.equal(1, a:eval "held = held + 1; held")
    assert.equal(0, a:eval "held = 0; held")
    local ok, message, code = a:eval "node:sleep(1)"
    assert.same({ nil, "failed" }, { ok, code })
    assert.matches("node:sleep can't wait in eval", message, 1, true)
    ok, message, code = a:eval "while true do end"
    assert.same({ nil, "failed" }, { ok, code })
    assert.matches("ran for more than 9000000 instructions", message, 1, true)
    ok, message, code = a:eval "('x'):rep(2 << 20)"
    assert.same({ nil, "failed" }, { ok, code }, message)
    assert.same({ nil, "a: eval: eval:1: boom", "failed" }, { a:eval "error 'boom'" })
  end)

  it("keeps to its timeout, and tells the node", function()
    local a <close> = connect("a", { timeout = 0.3 })
    local _, message, code = a:call "slow"
    assert.same({ "a: slow: may or may not have happened", "unknown" }, { message, code })
    assert(hear(function() return a:eval "held" == 0 end, 5))
    assert.equal(1, a:call("say", 1))
  end)

  it("leaves when it is closed, with what it had under way", function()
    local a <close>, b = connect "a", connect "a"
    local asked = b.core:ask("slow", 5000000000)
    b:step(0)
    assert(hear(function() return a:eval "held" == 1 end, 5))
    local told = 0
    b:on("close", function() told = told + 1 end)
    b:close()
    b:close()
    assert.is_true(asked:over())
    assert.same({ false, "may or may not have happened", "unknown" }, { asked:results() })
    assert(hear(function() return a:eval "held" == 0 end, 5))
    assert.same({ nil, "a: the handle is closed", "closed" }, { b:call("say", 1) })
    assert.same({ nil, "a: the handle is closed", "closed" }, { b:group("sum"):read { "n" } })
    assert.same({ nil, "b: the handle is closed", "closed" }, { b.nodes.b:call("say", 1) })
    assert.equal("down", b:status().state)
    assert.same({}, b.state)
    assert.is_false(b:step(0))
    assert.equal(0, told)
  end)

  it("is unknown when the node dies, then unavailable, and there again when the node is", function()
    local b <close> = connect("b", { timeout = 3 })
    local why
    b:on("close", function(reason) why = reason end)
    local asked <close> = b.core:ask("slow", 3000000000)
    assert(hear(function() return b:eval "held" == 1 end, 5))
    kill "b"
    while not asked:over() do b:step(0.1) end
    assert.same({ false, "may or may not have happened", "unknown" }, { asked:results() })
    assert.is_string(why)
    local ok, message, code = b:call("say", 1)
    local nobody = "b: no connection to " .. at "b" .. ": Connection refused"
    assert.same({ nil, nobody, "unavailable" }, { ok, message, code })
    assert.same({ "down", {} }, { b:status().state, b.state })
    assert.equal("b down: " .. nobody, tostring(b))
    start "b"
    assert(hear(function() return is_ready "b" end, 60))
    assert.equal(1, b:call("say", 1))
    nursery:kill(pids.b, "TERM")                                  -- while nothing is asked: no call is lost to that
    assert(hear(function() return (said[pids.b] or ""):find "\nexit " end, 10))
    start "b"
    assert(hear(function() return is_ready "b" end, 60))
    assert.equal(2, b:call("say", 2))
  end)

  it("waits for a node that is stopped, and no longer than it may", function()
    local c <close> = connect("c", { timeout = 0.5 })
    nursery:kill(pids.c, "STOP")
    assert.same({ nil, "unknown" }, { (c:call("say", 1)), (select(3, c:call("say", 1))) })
    local ok, message, code = orrery.connect(at "c", { timeout = 0.5 })
    nursery:kill(pids.c, "CONT")
    assert.same({ nil, "orrery.connect: no connection to " .. at "c" .. " within 0.5 s, surely not done", "timeout" },
      { ok, message, code })
    assert(hear(function() return c:call("say", 1) == 1 end, 10))
  end)

  it("is let in a hundred times, and then not", function()
    local handles = {}
    for i = 1, 100 do handles[i] = connect "c" end
    local ok, message, code = orrery.connect(at "c")
    assert.same({ nil, "orrery.connect: no connection to " .. at "c" .. ": c has 100 visitors, as many as it takes",
      "overloaded" }, { ok, message, code })
    for _, h in ipairs(handles) do h:close() end
    assert(hear(function()
      local c = orrery.connect(at "c")
      if c then c:close() end
      return c ~= nil
    end, 10))
  end)

  it("says what is wrong", function()
    assert.has_error(function() orrery.connect(5) end,
      "orrery.connect: an address is expected, \"host:port\" (got 5)")
    assert.has_error(function() orrery.connect(at "a", { timeut = 1 }) end,
      "orrery.connect: 'timeut' is unknown (nearest: 'timeout')")
    local _, message, code = orrery.connect "example.org:7401"
    assert.same({ "orrery.connect: no connection to example.org:7401: not valid", "invalid" }, { message, code })
    local a <close> = connect "a"
    assert.has_error(function() a:call("\0eval", "1") end,
      [[node:call: a message's name is expected, 1 to 255 bytes, none that begins with a NUL (got "\0eval")]])
    assert.has_error(function() a:eval(5) end, "node:eval: a text is expected (got 5)")
    assert.has_error(function() a:on("ready", print) end, "node:on: 'event' must be \"close\" (got \"ready\")")
    assert.has_error(function() return a.evil end, "node a:evil is unknown (nearest: 'eval')")
    assert.has_error(function() return a.why end,
      ("node a:why is not available in this version of Orrery (%s)"):format(orrery.version))
  end)
end)

describe("orrery repl --connect", function()
  local function repl(address, lines)
    local input = folder:write("input", table.concat(lines, "\n") .. "\n")
    local pipe = io.popen(("'%s' repl --connect %s <'%s' 2>&1"):format(program, address, input))
    local out = pipe:read "a"
    local _, _, status = pipe:close()
    return out, status
  end

  it("has a variable for each node, and live", function()
    local out, status = repl(at "a", { "b:eval 'node.id'", "live.id, a.id", "c:call('say', 1, 2)", "a:call 'nope'",
      "a:status().state", "(tostring(a):gsub(' .*', ''))" })
    assert.equal('"b"\n"a"   "a"\n1   2\nnil   a: nope: there is no such handler   invalid\n"up"\n"a"\n', out)
    assert.equal(0, status)
  end)

  it("says where it is connected, and helps with what there is", function()
    local frame = require "orrery.repl.frame"
    local env = {}
    local on = assert(frame.connect(env, at "b", orrery.connect))
    local _ <close> = on.live
    assert.equal(("spec: connected to b at %s, which is live; a, b, c are its nodes; help() lists the verbs."):format(
      at "b"), on.banner)
    assert.equal("spec> ", on.prompt())
    assert.equal(env.live, env.b)
    local out = repl(at "a", { "help()" })
    assert.matches("connected:eval(text)", out, 1, true)
    assert.is_nil(out:find("sim:run", 1, true))
    out = repl(at "a", { "help(a)", "help(a.eval)" })
    assert.matches("connected:cast(name, ...)", out, 1, true)
    assert.matches("connected:eval(text)", out, 1, true)
    local help = require "orrery.help"
    local asked = help.new { about = function() return "" end, roots = function() return {} end, width = function()
      return 80
    end, shown = function() return true end }
    local complete = require "orrery.repl.complete"
    local known = { env = env, ids = on.ids, topics = asked.names, members = asked.members, width = function()
      return 80
    end }
    assert.same({ "eval" }, (complete.candidates("b:ev", known)))
    assert.same({ "nodes" }, (complete.candidates("b.no", known)))
  end)

  it("ends where nobody is", function()
    local out, status = repl(("127.0.0.1:%d"):format(port + 9), {})
    assert.equal(("orrery: repl: no connection to 127.0.0.1:%d: Connection refused\n"):format(port + 9), out)
    assert.equal(1, status)
  end)
end)
