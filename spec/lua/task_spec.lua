-- task_spec.lua - tasks: spawn, wait, cancel, timers, channels, budgets, and where a wait may not be.
local folder = dofile "spec/lua/folder.lua"()
local start = dofile "spec/lua/script.lua"(folder)
teardown(function() folder:remove() end)

-- What the handler `go` of this script answers; the simulation is closed.
local function answer(script, ...)
  local sim <close> = start(script)
  return sim:call("a", "go", ...)
end

local function body(text) return "node:on('go', function(...)\n" .. text .. "\nend)" end

local function logged(sim, id, pattern)
  for _, line in ipairs(sim:log(id)) do if line:find(pattern) then return line end end
  return nil
end

describe("a task", function()
  it("answers who waits for it, with all its results", function()
    assert.same({ 1, nil, 3, n = 3 }, table.pack(answer(body [[
      local t = node:spawn(function(x) node:sleep(0.1) return x, nil, 3 end, 1)
      return t:wait()]])))
  end)

  it("that failed is nil, message, failed for who waits, and in the log for nobody", function()
    local sim <close> = start(body [[
      node:spawn(function() error "alone" end)
      local t = node:spawn(function() node:sleep(0.1) error "heard" end)
      return t:wait()]])
    assert.same({ nil, "node.lua:3: heard", "failed", n = 3 }, table.pack(sim:call("a", "go")))
    assert.is_truthy(logged(sim, "a", "node.lua:2: alone\nstack traceback:.*node.lua:2: in local"))
    assert.is_nil(logged(sim, "a", "heard"))
  end)

  it("that was cancelled closes its variables in reverse at its wait; nothing else runs, no pcall sees it", function()
    assert.same({ "2 1", "nil canceled canceled" }, { answer(body [[
      local closed = {}
      local function held(n) return setmetatable({}, { __close = function() closed[#closed + 1] = n end }) end
      local t = node:spawn(function()
        local one <close> = held(1)
        pcall(function()
          local two <close> = held(2)
          node:sleep(10)
          closed[#closed + 1] = "went on"
        end)
        closed[#closed + 1] = "caught"
      end)
      node:sleep(0.1)
      t:cancel()
      t:cancel()
      local a, b, c = t:wait()
      return table.concat(closed, " "), table.concat({ tostring(a), b, c }, " ")]]) })
  end)

  it("is cancelled by <close> and not begun at all where that comes first", function()
    assert.equal("none", answer(body [[
      local did = "none"
      do local t <close> = node:spawn(function() did = "some" end) end
      node:sleep(0.1)
      return did]]))
  end)

  it("has a new asker and no deadline: it outlives the handler that made it", function()
    local sim <close> = start [[
      node:on("go", function()
        node:spawn(function() node.state.seen = { tostring(node:from()), node:left() } end)
        node:spawn(function() node:sleep(3) node.state.done = true end)
        return node:from(), node:left() < 10
      end)]]
    assert.same({ "a", true }, { sim:call("a", "go") })
    sim:run(4)
    assert.same({ "nil", math.huge }, sim.nodes.a.state.seen)
    assert.is_true(sim.nodes.a.state.done)
  end)

  it("stops its node, though nothing else happens there", function()
    folder:write("alone-node.lua", body "node:stop 'enough'")
    local sim <close> = require "orrery".sim(folder:write("alone.lua", [[return orrery.cluster {
      name = "t", node = "alone-node.lua", nodes = { { id = "a", at = "127.0.0.1:1" } } }]]))
    sim:run(1)
    assert.is_true(sim:cast("a", "go"))
    sim:run(5)
    assert.equal("down", sim.nodes.a:status().state)
  end)

  it("leaves no memory behind, however it ends", function()
    local sim <close> = start([[
      local function ends() return 1 end
      local function fails() error "as asked" end
      local function waits() node:sleep(1000) end
      local function some(n)
        for _ = 1, n do
          node:spawn(ends)
          node:spawn(ends):wait()
          node:spawn(waits):cancel()
          node:spawn(ends):cancel()
          node:spawn(fails):wait()
        end
      end
      node:on("go", function()
        node:spawn(function()
          for _ = 1, 400 do some(100) node:sleep(0) end
          node.state.done = true
        end)
      end)]], { more = "limits = { memory = 2 << 20 }," })
    assert.is_true(sim:cast("a", "go"))         -- two hundred thousand in 2 MiB: ten bytes each would be too many
    for _ = 1, 100 do
      if sim.nodes.a.state.done then return end
      sim:run(1)
    end
    error(table.concat(sim:log "a", "\n"))
  end)

  it("may raise anything", function()
    assert.same({ nil, "a: go: 7", "failed" }, { answer(body "error(7)") })
    assert.same({ nil, "a: go: table: 1", "failed" }, { answer(body "error {}") })
    assert.same({ nil, "a: go: mine", "failed" },
      { answer(body "error(setmetatable({}, { __tostring = function() return 'mine' end }))") })
    assert.same({ nil, "a: go: failed, and can't say why", "failed" },
      { answer(body "error(setmetatable({}, { __tostring = function() while true do end end }))") })
  end)

  it("chains of a hundred thousand end, each holding the next", function()
    assert.equal(100000, answer(body [[
      local closed = 0
      local function link(n)
        local mine <close> = setmetatable({}, { __close = function() closed = closed + 1 end })
        local next_one <close> = n > 1 and node:spawn(link, n - 1) or nil
        node:sleep(50)
      end
      local t = node:spawn(link, 100000)
      node:sleep(0.1)
      t:cancel()
      node:sleep(0.1)
      return closed]]))
  end)
end)

describe("a wait where none may be", function()
  local function message(text) return select(2, answer(text)) end

  it("names itself, the line and the reason", function()
    assert.equal("a: go: node.lua:2: node:sleep can't wait in a callback of sort, gsub or the like",
      message(body "table.sort({ 1, 2 }, function() node:sleep(1) end)"))
    assert.equal("a: go: node.lua:2: channel:get can't wait in a callback of sort, gsub or the like",
      message(body "local c = node:channel() return (('x'):gsub('x', function() c:get() end))"))
    assert.equal("a: go: node.lua:2: node:call can't wait in a coroutine of one's own inside a task",
      message(body "local ok, e = coroutine.resume(coroutine.create(function() node:call('b', 'x') end)) error(e, 0)"))
    assert.equal("a: go: task:wait can't wait for its own task",
      message(body "local t t = node:spawn(function() return t:wait() end) local _, m = t:wait() error(m, 0)"))
    assert.equal("a: go: node.lua:2: coroutine.yield outside a coroutine of one's own: a task waits in node:sleep, "
      .. "node:call and the like", message(body "coroutine.yield(1)"))
  end)

  it("is refused in the __close of a cancelled task, which is told in the log", function()
    local sim <close> = start(body [[
      local t = node:spawn(function()
        local x <close> = setmetatable({}, { __close = function() node:sleep(1) end })
        node:sleep(10)
      end)
      node:sleep(0.1)
      t:cancel()
      return "alive"]])
    assert.equal("alive", sim:call("a", "go"))
    assert.is_truthy(logged(sim, "a", "node.lua:3: node:sleep can't wait while a task's variables are closed"))
  end)

  it("is refused at the top level", function()
    local ok, why = pcall(start, "node:sleep(1)")
    assert.is_false(ok)
    local text = "node.lua:1: node:sleep waits, so it must be called from a task: a handler, or node:spawn(f)"
    assert.matches(text, why, 1, true)
  end)

  it("may stand in pcall, metamethods, iterators and a generator's loop", function()
    assert.equal("p m i g", answer(body [[
      local out = {}
      pcall(function() node:sleep(0.01) out[1] = "p" end)
      local _ = setmetatable({}, { __index = function() node:sleep(0.01) out[2] = "m" end }).x
      for _ in function() if not out[3] then node:sleep(0.01) out[3] = "i" return 1 end end do end
      for g in coroutine.wrap(function() coroutine.yield "g" end) do node:sleep(0.01) out[4] = g end
      return table.concat(out, " ")]]))
  end)
end)

describe("a budget", function()
  it("ends an endless loop by its line, and one in a __close, and the node goes on", function()
    local sim <close> = start([[
      node:on("loop", function() while true do end end)
      node:on("caught", function() while true do pcall(function() while true do end end) end end)
      node:on("close", function()
        local t = node:spawn(function()
          local x <close> = setmetatable({}, { __close = function() while true do end end })
          node:sleep(10)
        end)
        node:sleep(0.01)
        t:cancel()
        return "on"
      end)]], { more = "limits = { steps = 100000 }," })
    local text = "a: loop: node.lua:1: ran for more than 100000 instructions"
    assert.same({ nil, text, "failed" }, { sim:call("a", "loop") })
    assert.same({ nil, (text:gsub("loop", "caught"):gsub(":1:", ":2:")), "failed" }, { sim:call("a", "caught") })
    assert.equal("on", sim:call("a", "close"))
    assert.is_truthy(logged(sim, "a", "node.lua:5: ran for more than 100000 instructions"))
  end)

  it("of memory ends a hog, and the node goes on", function()
    local sim <close> = start([[
      node:on("hog", function() local t = {} for i = 1, 1e9 do t[i] = ("x"):rep(10000) .. i end end)
      node:on("fine", function() return "fine" end)]], { more = "limits = { memory = 2^25 }," })
    assert.same({ nil, "a: hog: not enough memory", "failed" }, { sim:call("a", "hog") })
    assert.equal("fine", sim:call("a", "fine"))
  end)
end)

describe("timers", function()
  it("run once after a time, or not at all when closed", function()
    assert.equal("a", answer(body [[
      local out = {}
      node:after(0.1, function() out[#out + 1] = "a" end)
      local t <close> = node:after(0.2, function() out[#out + 1] = "b" end)
      t:close()
      t:close()
      node:sleep(0.5)
      return table.concat(out, " ")]]))
  end)

  it("come each time, never two at once, and what was missed is left out", function()
    assert.same({ 10, 1, 3 }, { answer(body [[
      local n, running, most, slow = 0, 0, 0, 0
      local quick = node:every(0.05, function() n = n + 1 end)
      local long = node:every(0.05, function()
        running, slow = running + 1, slow + 1
        most = math.max(most, running)
        node:sleep(0.175)
        running = running - 1
      end)
      node:sleep(0.525)
      quick:close()
      long:close()
      node:sleep(0.3)
      return n, most, slow]]) })
  end)

  it("go on after a failure, which the log tells, and may close themselves", function()
    local sim <close> = start [[
      local n = 0
      local t t = node:every(0.1, function()
        n = n + 1
        node.state.n = n
        if n == 2 then error "second" end
        if n == 4 then t:close() end
      end)]]
    sim:run(2)
    assert.equal(4, sim.nodes.a.state.n)
    assert.is_truthy(logged(sim, "a", "node.lua:5: second"))
  end)
end)

describe("a channel", function()
  it("without room hands over, with room holds so much", function()
    assert.equal("p1 g1 p2 g2", answer(body [[
      local c, out = node:channel(), {}
      node:spawn(function() for i = 1, 2 do c:put(i) out[#out + 1] = "p" .. i end end)
      node:sleep(0.1)
      assert(#out == 0)
      for i = 1, 2 do
        local v = c:get()
        node:sleep(0.1)
        out[#out + 1] = "g" .. v
      end
      return table.concat(out, " ")]]))
    assert.equal(3, answer(body [[
      local c, n = node:channel(3), 0
      node:spawn(function() for i = 1, 9 do c:put(i) n = n + 1 end end)
      node:sleep(0.1)
      return n]]))
  end)

  it("keeps order, false among the values, and refuses nil", function()
    assert.equal("1 false 3 4 5", answer(body [[
      local c, out = node:channel(2), {}
      node:spawn(function() for _, v in ipairs { 1, false, 3, 4, 5 } do c:put(v) end c:close() end)
      while true do
        local v, _, code = c:get()
        if code then break end
        out[#out + 1] = tostring(v)
      end
      return table.concat(out, " ")]]))
    assert.equal("a: go: node.lua:2: channel:put: a value is expected (got nil)",
      select(2, answer(body "node:channel(1):put(nil)")))
  end)

  it("closed tells so, those who wait too; what was put can still be got", function()
    assert.equal("v closed closed closed", answer(body [[
      local c, d, out = node:channel(1), node:channel(), {}
      c:put "v"
      local putter = node:spawn(function() return select(3, c:put "w") end)
      local getter = node:spawn(function() return select(3, d:get()) end)
      node:sleep(0.1)
      c:close()
      d:close()
      return c:get() .. " " .. select(3, c:get()) .. " " .. putter:wait() .. " " .. getter:wait()]]))
  end)

  it("passes over who was cancelled while it waited", function()
    assert.equal("second v", answer(body [[
      local c, got = node:channel()
      local first = node:spawn(function() got = "first " .. c:get() end)
      node:spawn(function() got = "second " .. c:get() end)
      node:sleep(0.1)
      first:cancel()
      c:put "v"
      node:sleep(0.1)
      return got]]))
  end)

  it("loses nothing to one who is cancelled between being given it and going on", function()
    assert.same({ "token", "1 2" }, { answer(body [[
      local c = node:channel(1)
      local t = node:spawn(function() c:get() end)
      node:sleep(0.1)
      c:put "token"
      t:cancel()
      local again = c:get()
      local d, out = node:channel(), {}
      local one = node:spawn(function() d:get() end)
      node:sleep(0.1)
      node:spawn(function() d:put(1) d:put(2) end)
      node:spawn(function() one:cancel() end)
      node:sleep(0.1)
      for i = 1, 2 do out[i] = d:get() end
      return again, table.concat(out, " ")]]) })
  end)
end)
