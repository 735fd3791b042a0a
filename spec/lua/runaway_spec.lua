-- runaway_spec.lua - a script that runs away takes its handler with it, at worst its node, which says why; it doesn't
-- make the node wait for it: others are answered.
local core = require "orrery.core"
local orrery = require "orrery"

local folder = dofile "spec/lua/folder.lua"()
teardown(function() folder:remove() end)

local port = 18000 + core.process.pid() % 30 * 30       -- below what clients get
local patience = 30                                     -- seconds of any one thing; with sanitizers, on a busy machine

local script = [[
  local group = node:replicate("g", { init = function() return { n = 0 } end, apply = {
    nothing = function() end,
    hog = function() local t = {} for i = 1, 1e9 do t[i] = ("x"):rep(1000) .. i end end,
    add = function(s) s.n = s.n + 1 return s.n end } })
  node:on("nothing", function() end)
  node:on("slow", function() node:sleep(0.1) end)
  node:on("ping", function() return "pong" end)
  node:on("add", function() return group:propose { "add" } end)
  local function sleeps() node:sleep(1000) end
  node:on("go", function() %s end)]]

local function cluster(body, at, ids)
  local nodes = {}
  for i, id in ipairs(ids) do nodes[i] = ('{ id = "%s", at = "127.0.0.1:%d" }'):format(id, at + i) end
  folder:write("n.lua", script:format(body))
  return folder:write("c.lua", ([[return orrery.cluster { name = "runaway", node = "n.lua",
    limits = { memory = 1 << 26, steps = 4000000 }, nodes = { %s } }]]):format(table.concat(nodes, ", ")))
end

local function timed(f, ...)
  local began = core.process.clock()
  local results = table.pack(f(...))
  local took = core.process.clock() - began
  assert(took < patience, ("took %.1f s"):format(took))
  return table.unpack(results, 1, results.n)
end

-- The script goes, at a; what it answers, and what a answers then, three times: "pong", or a failure's code.
local function play(sim)
  sim:run(1)
  local _, message, code = timed(sim.call, sim, "a", "go")
  local answers = {}
  for i = 1, 3 do
    local pong, _, failure = timed(sim.call, sim, "a", "ping")
    answers[i] = pong or failure
    timed(sim.run, sim, 0.001)
  end
  return code and message or "done", table.concat(answers, " ")
end

describe("a node whose script runs away", function()
  for name, go in pairs {
    ["spawns without end"] = "while true do node:spawn(sleeps) end",
    ["spawns without end, whatever is raised"] = "while true do pcall(node.spawn, node, sleeps) end",
    ["keeps what it spawns"] = "local t = {} while true do t[#t + 1] = node:spawn(sleeps) end",
    ["waits in timers without end"] = "while true do node:after(1000, sleeps) end",
    ["has timers without end"] = "while true do node:every(0.01, sleeps) end",
    ["fills a channel without bound"] = "local c = node:channel(math.maxinteger) while true do c:put {} end",
    ["waits at a channel without end"] = "local c = node:channel() while true do node:spawn(c.put, c, 1) end",
    ["doubles a string"] = "local s = 'x' while true do s = s .. s end",
    ["doubles a string and catches it"] =
      "while true do pcall(function() local s = 'x' while true do s = s .. s end end) end",
    ["catches that memory is out"] =
      "local t = {} while true do pcall(function() while true do t[#t + 1] = { 1 } end end) end",
    ["catches that memory is out, and waits"] =
      "local t = {} while true do pcall(function() while true do t[#t + 1] = { 1 } end end) node:sleep(0) end",
    ["casts to itself in a loop"] = "while true do node:cast(node.id, 'nothing', ('x'):rep(1000)) end",
    ["calls itself"] = "return node:call(node.id, 'go')",
    ["proposes in a loop"] = "while true do node:spawn(group.propose, group, { 'nothing' }) end",
    ["makes handlers without end"] = "for i = 1, 1e9 do node:on('h' .. i, sleeps) end",
    ["subscribes without end"] = "while true do group:on('leader', sleeps) end",
    ["fills node.state, and fails"] = "for i = 1, 1e9 do node.state[i] = ('x'):rep(1000) .. i end",
  } do
    it("answers others when it " .. name, function()
      local sim <close> = orrery.sim(cluster(go, port, { "a", "b", "c" }))
      local said, answers = play(sim)
      assert.equal("pong pong pong", answers, said)
      assert.equal(1, timed(sim.call, sim, "b", "add"))
      assert(sim:check())
    end)
  end

  for name, go in pairs {
    ["casts to itself, two by each"] = "node:cast(node.id, 'go') node:cast(node.id, 'go')",
    ["calls that take their time"] = "while true do node:spawn(function() node:call(node.id, 'slow') end) end",
    ["scatter"] = "while true do node:scatter({ 'a', 'b', 'c' }, 'slow') end",
  } do
    it("says at once that it is overloaded by " .. name, function()
      local sim <close> = orrery.sim(cluster(go, port, { "a", "b", "c" }))
      local _, answers = play(sim)
      assert.matches("overloaded", answers, 1, true)
      if name:find "^casts" then return end               -- without end, in next to no virtual time
      timed(sim.run, sim, 5)
      assert.equal("pong", (timed(sim.call, sim, "a", "ping")))
      assert.equal(1, timed(sim.call, sim, "b", "add"))
    end)
  end

  for name, go in pairs {
    ["tasks that each hold something"] =
      "for i = 1, 1e9 do node:spawn(function() node:save('n' .. i % 100, ('x'):rep(10000)) end) end",
    ["a state that grows"] = [[local i = 0
      node:every(0.001, function() for _ = 1, 1000 do i = i + 1 node.state[i] = ("x"):rep(1000) .. i end end)]],
  } do
    it("stops and says why when its memory is full for good: " .. name, function()
      local sim <close> = orrery.sim(cluster(go, port, { "a", "b", "c" }))
      play(sim)
      timed(sim.run, sim, 1)
      assert.matches("the script keeps %d+ MiB of the 64 MiB that limits.memory gives it", sim.deaths.a.why)
      assert.equal(1, timed(sim.call, sim, "b", "add"))
    end)
  end

  it("stops and says why when memory is out in apply: no replica knows what the op's result is", function()
    local sim <close> = orrery.sim(cluster("return group:propose { 'hog' }", port, { "a", "b", "c" }))
    sim:run(1)
    timed(sim.call, sim, "a", "go")
    timed(sim.run, sim, 1)
    assert.matches("group g could not apply entry %d+: ", sim.deaths.a.why)
  end)

  it("says that there are too many tasks, timers, handlers, subscriptions", function()
    local sim <close> = orrery.sim(cluster([[
      local said, last = {}, nil
      local function note(...)
        local text = table.concat({ ... }, "; ", 2)
        if text ~= last then said[#said + 1], last = text, text end
      end
      for _ = 1, 27000 do if not node:spawn(sleeps) then note(node:spawn(sleeps)) break end end
      note(node:after(1, sleeps))
      note(node:every(1, sleeps))
      note("", node:scatter({ "a", need = 1 }, "ping"):first() or "nothing")
      note("", select(2, pcall(function() for i = 1, 5000 do node:on("h" .. i, sleeps) end end)))
      note("", select(2, pcall(function() for i = 1, 5000 do group:on("leader", sleeps) end end)))
      return said]], port, { "a", "b", "c" }))
    sim:run(1)
    local said = sim:call("a", "go")
    said[5] = said[5]:gsub("h40%d%d:", "h40..:")                       -- the node has some of its own
    local full = ": 26214 tasks live, as many as limits.memory allows; overloaded"
    assert.same({
      "node:spawn" .. full, "node:after" .. full, "node:every" .. full, "nothing",
      "n.lua:19: node:on h40..: 4096 names have handlers, there may be no more",
      "n.lua:20: g:on: there are 1000 subscriptions, closed ones among them; there may be no more",
    }, said)
  end)

  for name, go in pairs {
    ["what spawns two"] = "local function f() node:spawn(f) node:spawn(f) end f()",
    ["timers that make two"] = "local function f() node:after(0, f) node:after(0, f) end f()",
    ["casts to itself"] = "node:cast(node.id, 'go') node:cast(node.id, 'go')",
  } do
    it("answers in time, live: " .. name, function()        -- which simulations do in next to no virtual time
      local a <close> = assert(orrery.start(cluster(go, port + 10, { "a" }),
        { id = "a", data = folder.path .. "/data", timeout = patience }))
      assert.is_nil((a:call "go"))
      local g = a:group "g"
      for n = 1, 3 do
        local pong, _, code = timed(a.call, a, "ping")
        local sum = timed(g.propose, g, { "add" })
        assert.is_true(pong == "pong" or code == "overloaded" and name:find "^casts" ~= nil, tostring(code))
        assert.equal(n, sum)
      end
      a:close()
      os.execute(("rm -rf '%s/data'"):format(folder.path))
    end)
  end
end)
