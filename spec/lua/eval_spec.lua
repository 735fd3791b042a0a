-- eval_spec.lua - eval in a node of a simulation: what it sees, what it may do, and that the run stays one.
local orrery = require "orrery"

local folder = dofile "spec/lua/folder.lua"()
teardown(function() folder:remove() end)

folder:write("part.lua", [[
  local hidden = "of the module"
  return { peep = function() return hidden end }
]])
folder:write("node.lua", [[
  local part = require "part"
  local seen, limit, unused = {}, 5, "nobody's"
  local function helper() return limit end
  local helped = 7
  local function deep() return helped, helper() end
  local shadow = "first"
  node:on("see", function(x) seen[#seen + 1] = x return #seen, shadow end)
  do
    local shadow = "second"
    node:on("other", function() return shadow end)
  end
  node:every(0.1, function() node.state.beat = (node.state.beat or 0) + deep() end)
  local g = node:replicate("sum", {
    init = function() return { n = 0 } end,
    apply = function(state, op) state.n = state.n + op.by return state.n end,
    query = { n = function(state) return state.n end },
  })
  node:on("add", function(by) return g:propose { by = by } end)
  node:on("peep", function() return part.peep() end)
  local late = "first on"
  node:on("change", function()
    local later = "second on"
    node:on("late", function() return later end)
  end)
  node:on("late", function() return late end)
]])
local cluster = folder:write("cluster.lua", [[
  return orrery.cluster { name = "eval", node = "node.lua", limits = { steps = 1000000 }, nodes = {
    { id = "a", at = "10.0.0.1:1" }, { id = "b", at = "10.0.0.2:1" }, { id = "c", at = "10.0.0.3:1" } } }]])

local function begin(seed)
  local sim = orrery.sim(cluster, { seed = seed or 1 })
  sim:run(1)
  return sim
end

describe("eval", function()
  it("gives the values of an expression, of statements what they return", function()
    local sim <close> = begin()
    local function eval(text) return table.pack(sim:eval("a", text)) end
    assert.same({ 2, n = 1 }, eval "1 + 1")
    assert.same({ 1, nil, "x", nil, n = 4 }, eval "1, nil, 'x', nil")
    assert.same({ n = 0 }, eval "local x = 1")
    assert.same({ n = 0 }, eval "")
    assert.same({ 6, n = 1 }, eval "local x = 5; x + 1")
    assert.same({ 3, n = 1 }, eval "for i = 1, 3 do if i == 3 then return i end end")
    assert.same({ { 1, a = { b = 2.5 } }, n = 1 }, eval "{ 1, a = { b = 2.5 } }")
    assert.same({ "a", n = 1 }, table.pack(sim.nodes.a:eval "node.id"))
  end)

  it("gives as text what can't travel", function()
    local sim <close> = begin()
    assert.equal("orrery.group(sum lua)", sim:eval("a", "g"))
    assert.matches("^function: %d+$", sim:eval("a", "print"))
    assert.equal("{ f = function: 2 }", (sim:eval("a", "{ f = print, }"):gsub("%d+", "2")))
    assert.equal("orrery.node(a)", sim:eval("a", "node"))
    assert.matches("^orrery.task%(%d+ live%)$", sim:eval("a", "node:spawn(function() end)"))
  end)

  it("sees the locals that handlers use, and what those use", function()
    local sim <close> = begin()
    sim:call("a", "see", "x")
    assert.same({ "x" }, sim:eval("a", "seen"))
    assert.same({ 5, 7 }, { sim:eval("a", "limit, helped") })
    assert.equal(5, sim:eval("a", "helper()"))
    assert.equal("first", sim:eval("a", "shadow"))
    assert.equal("of the module", sim:eval("a", "part.peep()"))
    assert.equal(0, sim:eval("a", "g:peek { 'n' }"))
    assert.equal("first on", sim:eval("a", "late"))
    sim:call("a", "change")
    assert.equal("second on", sim:eval("a", "later"))
    assert.equal("nil", sim:eval("a", "tostring(node:from())"))
  end)

  it("sees nothing else", function()
    local sim <close> = begin()
    for text, complaint in pairs {
      ["hidden"] = "a: eval: eval:1: eval sees no hidden",
      ["unused"] = "a: eval: eval:1: eval sees no unused",
      ["\n\nlimt"] = "a: eval: eval:3: eval sees no limt (nearest: 'limit')",
      ["os"] = "a: eval: eval:1: eval sees no os",
      ["debug"] = "a: eval: eval:1: eval sees no debug",
      ["_G"] = "a: eval: eval:1: eval sees no _G",
      ["self"] = "a: eval: eval:1: eval sees no self",
      ["members"] = "a: eval: eval:1: eval sees no members",
      ["x = 1"] = "a: eval: eval:1: eval makes no globals: there is no local x to be set",
      ["node = 1"] = "a: eval: eval:1: eval makes no globals: there is no local node to be set",
      ["string.x = 1"] = "a: eval: eval:1: string is read-only (assigning x)",
    } do
      local ok, message, code = sim:eval("a", text)
      assert.is_nil(ok)
      assert.equal(complaint, (message:gsub(" %(nearest: '[^l][^']*'%)", "")))
      assert.equal("failed", code)
    end
  end)

  it("sets locals, for the script too", function()
    local sim <close> = begin()
    sim:eval("a", "limit = 9")
    assert.equal(9, sim:eval("a", "helper()"))
    sim:eval("a", "seen = { 'y' }; shadow = 'changed'")
    assert.same({ 2, "changed" }, { sim:call("a", "see", "x") })
    assert.equal("second", sim:call("a", "other"))
    assert.equal(5, sim:eval("b", "limit"))
    sim:eval("a", "node.state.mine = seen")
    assert.same({ "y", "x" }, sim.nodes.a.state.mine)
    sim:eval("a", "node.state.mine = 2")
    assert.equal(2, sim.nodes.a.state.mine)
  end)

  it("can't wait, whatever it is wrapped in", function()
    local sim <close> = begin()
    for text, what in pairs {
      ["node:sleep(1)"] = "node:sleep", ["node:call('b', 'see', 1)"] = "node:call", ["g:propose { by = 1 }"] =
        "group:propose", ["g:read { 'n' }"] = "group:read", ["node:save('x', 1)"] = "node:save",
      ["node:channel():get()"] = "channel:get", ["node:spawn(function() end):wait()"] = "task:wait",
      ["coroutine.wrap(function() node:sleep(1) end)()"] = "node:sleep",
      ["node:scatter({ 'b' }, 'see'):all()"] = "task:wait",
    } do
      local ok, message, code = sim:eval("a", text)
      assert.same({ nil, "failed" }, { ok, code }, text)
      assert.matches("can't wait in eval, which runs between two events: node:spawn(f) can", message, 1, true)
      if not text:find "scatter" then assert.matches(what .. " can't wait", message, 1, true) end
    end
    assert.same({ false, "eval:1: node:sleep can't wait in eval, which runs between two events: node:spawn(f) can" },
      { sim:eval("a", "pcall(function() node:sleep(1) end)") })
  end)

  it("may spawn, cast, and begin timers", function()
    local sim <close> = begin()
    sim:eval("a", "node:spawn(function() node:sleep(0.5) seen[1] = g:propose { by = 3 } end)")
    sim:eval("a", "node:cast('b', 'see', 'hello')")
    sim:run(0.2)
    assert.same({ "hello" }, sim:eval("b", "seen"))
    sim:run(1)
    assert.same({ 3 }, sim:eval("a", "seen"))
    sim:eval("c", "node:on('new', function(x) return x, limit end)")
    assert.same({ 4, 5 }, { sim:call("c", "new", 4) })
  end)

  it("ends at its budget and its memory, and leaves the node well", function()
    local sim <close> = begin()
    local ok, message, code = sim:eval("a", "while true do end")
    assert.same({ nil, "a: eval: eval:1: ran for more than 900000 instructions", "failed" }, { ok, message, code })
    ok, message, code = sim:eval("a", "while true do pcall(error) end")
    assert.same({ nil, "failed" }, { ok, code }, message)
    ok, message, code = sim:eval("a", "local s = 'x' while true do s = s .. s end")
    assert.same({ nil, "failed" }, { ok, code }, message)
    ok, message, code = sim:eval("a", (";"):rep(70000))
    assert.same({ nil, "a: eval: a text of at most 65536 bytes is expected", "invalid" }, { ok, message, code })
    ok, message, code = sim:eval("a", ("x = ;"):rep(13000))
    assert.same({ nil, "failed" }, { ok, code }, message)
    assert.equal(1, sim:call("a", "add", 1))
  end)

  it("tells what was raised", function()
    local sim <close> = begin()
    for text, complaint in pairs {
      ["error 'boom'"] = "eval:1: boom", ["error('boom', 0)"] = "boom", ["error { code = 5 }"] = "{ code = 5 }",
      ["error()"] = "nil", ["1 +"] = "eval:1: the text ends in the middle of a chunk",
      ["x = = 1"] = "eval:1: unexpected symbol near '='", ["nil + 1"] =
        "eval:1: attempt to perform arithmetic on a nil value",
    } do
      assert.same({ nil, "a: eval: " .. complaint, "failed" }, { sim:eval("a", text) })
    end
  end)

  it("is refused by a node that is down, paused, or not yet up", function()
    local sim <close> = orrery.sim(cluster)
    local function told(text) return { sim:eval("a", text) } end
    assert.same({ nil, "sum: peek: a has not read its log yet", "unavailable" }, told "g:peek { 'n' }")
    sim:run(1)
    sim:kill "a"
    assert.same({ nil, "a: eval: it is down", "unavailable" }, told "1")
    sim:restart "a"
    sim:run(1)
    sim:pause "a"
    assert.same({ nil, "a: eval: it is paused", "unavailable" }, told "1")
    sim:resume "a"
    assert.same({ 1 }, told "1")
  end)

  it("is a part of the run: the same again with the same seed", function()
    local function run(seed, text)
      local sim <close> = orrery.sim(cluster, { seed = seed, faults = "default" })
      local out = {}
      for i = 1, 8 do
        sim:run(0.3)
        local id = ({ "a", "b", "c" })[i % 3 + 1]
        out[#out + 1] = orrery.show { sim:eval(id, text) }
      end
      return sim:digest(), table.concat(out, "\n")
    end
    local doing = "math.random(1000), node:now(), node:cast('b', 'see', limit), " ..
      "node:spawn(function() g:propose { by = 1 } end)"
    for seed = 1, 15 do
      local digest, out = run(seed, doing)
      local again, out_again = run(seed, doing)
      assert.equal(digest, again)
      assert.equal(out, out_again)
      assert.not_equal(digest, (run(seed, "1")))
    end
  end)

  it("hides the node's own verbs from its peers and this process", function()
    local sim <close> = begin()
    for _, verb in ipairs { "eval", "status", "state" } do
      local asked = sim.core:ask("a", "\0" .. verb, 1000000000, "1")
      sim:run(0.1)
      assert.same({ false, "there is no such handler", "invalid" }, { asked:results() })
    end
    for _, text in ipairs { [[node:cast("b", "\0eval", "1")]], [[node:on("\0eval", print)]] } do
      assert.matches("a message's name can't begin with a NUL", (select(2, sim:eval("a", text))))
    end
  end)
end)
