-- rpc_spec.lua - messages between nodes: on, call, cast, deadlines, cancelling, failures and what they say.
local folder = dofile "spec/lua/folder.lua"()
local start = dofile "spec/lua/script.lua"(folder)
teardown(function() folder:remove() end)

local script = [[
node.state.seen = {}
local function note(what) local s = node.state.seen s[#s + 1] = what end
node:on("give", function(...) return ... end)
node:on("from", function() return node:from() end)
node:on("left", function() return node:left() end)
node:on("own", function() return nil, "mine", "own" end)
node:on("raise", function() error "bad" end)
node:on("raise_deep", function()
  local function inner() error "deep" end
  inner()
  return 1
end)
node:on("busy", function(s) note "begun" node:sleep(s) note "done" return node.id end, { limit = 2 })
node:on("held", function(s)
  local x <close> = setmetatable({}, { __close = function() note "closed" end })
  node:sleep(s)
  note "went on"
end)
node:on("note", note)
node:on("print", function() return 1, { f = print } end)
node:on("gone", function() return "here" end)
node:on("ungone", function() local s <close> = node:on("gone", function() return "again" end) return true end)
node:on("call", function(...) return node:call(...) end)
node:on("cast", function(...) return node:cast(...) end)
node:on("cancel", function()
  local t = node:spawn(function() return node:call("b", "held", 5) end)
  node:sleep(0.2)
  t:cancel()
  return true
end)
node:on("bad", function(...)
  local results = table.pack(node:call(...))
  return table.unpack(results, 1, results.n)
end)
node:on("bad_f", function(to, verb)
  local r = node[verb](node, to, "give", 1, { f = print })
  return r
end)
node:on("flood", function()
  local ok, failed = 0, {}
  for _ = 1, 3000 do
    local done, message, code = node:cast("b", "note", ("x"):rep(60000))
    if not done then return message, code end
  end
end)
]]

describe("call", function()
  local sim
  before_each(function() sim = start(script) end)
  after_each(function() sim:close() end)

  it("brings arguments and results over as they are, nils too", function()
    assert.same({ nil, 1, nil, n = 3 }, table.pack(sim:call("a", "call", "b", "give", nil, 1, nil)))
    assert.same({ { 1, { x = 1.5 } }, "s", false, n = 3 },
      table.pack(sim:call("a", "call", "b", "give", { 1, { x = 1.5 } }, "s", false)))
    assert.same({ n = 0 }, table.pack(sim:call("a", "call", "b", "give")))
    assert.equal("a", sim:call("a", "call", "b", "from"))
    assert.equal("a", sim:call("a", "call", "a", "from"))
  end)

  it("brings a handler's own failure as it is", function()
    assert.same({ nil, "mine", "own", n = 3 }, table.pack(sim:call("a", "call", "b", "own")))
  end)

  it("is failed where the handler raises, with its place; the traceback is in that node's log", function()
    assert.same({ nil, "b: raise: node.lua:7: bad", "failed" }, { sim:call("a", "call", "b", "raise") })
    sim:call("a", "call", "b", "raise_deep")
    local text = table.concat(sim:log "b", "\n")
    assert.matches("node.lua:9: deep\nstack traceback:.*in upvalue 'inner'.*node.lua:10: in function <node.lua:8>",
      (text:gsub("local 'inner'", "upvalue 'inner'")))
    assert.not_matches("deep", table.concat(sim:log "a", "\n"))
  end)

  it("is failed where a result can't travel, by its path and the handler's line", function()
    assert.same({ nil, "b: print: node.lua:20: result #2.f is a function", "failed" },
      { sim:call("a", "call", "b", "print") })
  end)

  it("raises where an argument can't travel, by its path and the script's line", function()
    for _, to in ipairs { "b", { "b" }, { "b", "c" } } do
      for _, verb in ipairs { "call", "cast", "scatter" } do
        assert.same({ nil, "a: bad_f: node.lua:36: argument #2.f is a function", "failed" },
          { sim:call("a", "bad_f", to, verb) })
      end
    end
  end)

  it("raises for what `to`, the name and the options can't be, at the script's line", function()
    local function message(...) return (select(2, sim:call("a", "bad", ...)):gsub("^a: bad: node.lua:32: ", "")) end
    assert.equal("node:call: 'to' must name nodes of the cluster (got \"bb\" (nearest: 'b'))", message("bb", "x"))
    assert.equal("node:call: 'to' must be an id or a table (got 7)", message(7, "x"))
    assert.equal("node:call: 'to' names nobody", message({}, "x"))
    assert.equal("node:call: 'timout' is unknown (nearest: 'timeout')", message({ "b", timout = 1 }, "x"))
    assert.equal("node:call: 'role' must be one that some node bears (got \"zz\")", message({ role = "zz" }, "x"))
    assert.equal("node:call: a message's name is expected, 1 to 255 bytes (got \"\")", message("b", ""))
  end)

  it("says invalid, unavailable, overloaded and unknown, with peer, name and why", function()
    assert.same({ nil, "b: nobody: there is no such handler", "invalid" }, { sim:call("a", "call", "b", "nobody") })
    sim:call("b", "ungone")
    assert.same({ nil, "b: gone: there is no such handler", "invalid" }, { sim:call("a", "call", "b", "gone") })
    for _ = 1, 2 do sim:cast("b", "busy", 0.5) end
    sim:run(0.1)
    assert.same({ nil, "b: busy: too much is under way to it or in it, surely not done", "overloaded" },
      { sim:call("a", "call", "b", "busy", 1) })
    assert.same({ nil, "b: held: no answer in 0.295 s: it may or may not have happened", "unknown" },
      { sim:call("a", "call", { "b", timeout = 0.3 }, "held", 9) })
    sim:kill "b"
    sim:run(0.5)
    assert.same({ nil, "b: give: it is not connected, surely not done", "unavailable" },
      { sim:call("a", "call", "b", "give") })
  end)

  it("takes the next one after a failure that is surely not done, and not after another", function()
    sim:kill "b"
    sim:run(0.5)
    assert.equal(1, sim:call("a", "call", { "b", "c" }, "give", 1))
    assert.same({ nil, "c: raise: node.lua:7: bad", "failed" }, { sim:call("a", "call", { "b", "c", "a" }, "raise") })
    assert.same({ nil, "mine", "own" }, { sim:call("a", "call", { "b", "c" }, "own") })
    assert.equal("unavailable", select(3, sim:call("a", "call", { "b", tries = 3 }, "give", 1)))
  end)

  it("takes the least busy of a role", function()
    sim:cast("a", "call", "b", "busy", 2)
    sim:run(0.1)
    assert.equal("c", sim:call("a", "call", { role = "y" }, "busy", 0.01))
  end)

  it("has one time for all its tries", function()
    sim:cut("a", "b")
    sim:run(2)
    local before = sim:now()
    local _, _, code = sim:call("a", "call", { "b", tries = 100, timeout = 0.5 }, "give")
    assert.equal("unavailable", code)
    assert.is_true(sim:now() - before < 0.6)
  end)
end)

describe("a deadline", function()
  it("is inherited, less a reserve, from node to node", function()
    local sim <close> = start(script)
    local one = sim:call("a", "call", { "b", timeout = 1 }, "left")
    assert.is_true(one < 1 and one >= 0.99)
    local two = sim:call("a", "call", { "b", timeout = 1 }, "call", { "c", timeout = 60 }, "left")
    assert.is_true(two < one and two >= 0.98)
    local small = sim:call("a", "call", { "b", timeout = 0.02 }, "left")
    assert.is_true(small <= 0.019)
  end)

  it("ends the handler at its wait when it has passed, closing what it holds", function()
    local sim <close> = start(script)
    sim:call("a", "call", { "b", timeout = 0.3 }, "held", 2)
    sim:run(3)
    assert.same({ "closed" }, sim.nodes.b.state.seen)
  end)
end)

describe("cancelling", function()
  it("reaches the callee and the callee's callee", function()
    local sim <close> = start(script)
    assert.is_true(sim:call("a", "cancel"))
    sim:run(0.1)
    assert.same({ "closed" }, sim.nodes.b.state.seen)
    sim:cast("a", "call", { "b", timeout = 0.3 }, "call", "c", "held", 5)
    sim:run(0.5)
    assert.same({ "closed" }, sim.nodes.c.state.seen)
  end)

  it("comes with the loss of the asker", function()
    local sim <close> = start(script)
    sim:cast("a", "call", "b", "held", 1.5)
    sim:run(0.2)
    sim:kill "a"
    sim:run(3)
    assert.same({ "closed" }, sim.nodes.b.state.seen)
  end)

  it("is not what a kill does: nothing runs there any more", function()
    local sim <close> = start [[
      node:on("go", function()
        local x <close> = setmetatable({}, { __close = function() node.log:error "closed" end })
        node:sleep(5)
      end)]]
    sim:cast("a", "go")
    sim:run(0.2)
    sim:kill "a"
    assert.not_matches("closed", table.concat(sim:log "a", "\n"))
  end)
end)

describe("cast", function()
  it("goes to each of several, and is true", function()
    local sim <close> = start(script)
    assert.same({ true, n = 1 }, table.pack(sim:call("a", "cast", { "b", "c" }, "note", 1)))
    assert.is_true(sim:call("a", "cast", { role = "y" }, "note", 2))
    sim:run(0.1)
    assert.same({ 1, 2 }, sim.nodes.b.state.seen)
    assert.same({ 1, 2 }, sim.nodes.c.state.seen)
  end)

  it("is overloaded when the queue is full, and says what didn't go where", function()
    local sim <close> = start(script)
    assert.same({ "b: note: too much is under way to it or in it, surely not done", "overloaded" },
      { sim:call("a", "flood") })
    sim:kill "b"
    sim:run(0.5)
    assert.same({ nil, "b: note: it is not connected, surely not done", "unavailable" },
      { sim:call("a", "cast", { "b", "c" }, "note", 1) })
  end)
end)

describe("on", function()
  it("replaces, and is closed", function()
    local sim <close> = start [[
      local first = node:on("x", function() return 1 end)
      node:on("y", function() node:on("x", function() return 2 end) return 3 end)
      local z = node:on("z", function() return 4 end)
      node:on("close", function() z:close() z:close() return true end)]]
    assert.equal(1, sim:call("a", "x"))
    assert.equal(3, sim:call("a", "y"))
    assert.equal(2, sim:call("a", "x"))
    assert.equal(4, sim:call("a", "z"))
    assert.is_true(sim:call("a", "close"))
    assert.equal("invalid", select(3, sim:call("a", "z")))
  end)
end)
