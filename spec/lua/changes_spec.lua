-- changes_spec.lua - g:changes: what is applied, each op once and in order, or a gap; readers that are slow, cancelled,
-- late; SEEDS (100) runs under faults, every replica's stream compared with the others' and with the state.
local orrery = require "orrery"

local folder = dofile "spec/lua/folder.lua"()
local start = dofile "spec/lua/script.lua"(folder)
local seeds = math.tointeger(tonumber(os.getenv "SEEDS" or 100))
teardown(function() folder:remove() end)

local function all(...) return table.pack(...) end

local counter = [[
  local g = node:replicate("counter", {
    init = function() return { n = 0 } end,
    apply = {
      add = function(s, op) s.n = s.n + op.by return s.n, "two", nil end,
      refuse = function() return nil, "not now", "mine" end,
      break_it = function() error "on purpose" end,
      nothing = function() end,
    } })
  node:on("propose", function(op) return g:propose(op) end)
  -- The first n that come: { index, op's name, results... }, or { index, "gap" }.
  node:on("take", function(n, from)
    local list = {}
    for index, op, a, b, c in g:changes(from) do
      list[#list + 1] = { index, op == "gap" and op or op[1], a or false, b or false, c or false }
      if #list == n then break end
    end
    return list
  end)
]]

-- The indices, a gap as its own with a sign.
local function indices(list)
  local found = {}
  for i, item in ipairs(list) do found[i] = item[2] == "gap" and -item[1] or item[1] end
  return found
end

describe("g:changes", function()
  it("gives each op that is applied from now on, with what apply returned", function()
    local sim <close> = start(counter .. [[
      node.state.seen = {}
      node:spawn(function()
        for index, op, a, b, c in g:changes() do
          table.insert(node.state.seen, { index > 0, op, a or false, b or false, c or false })
        end
      end)]])
    for i = 1, 2 do sim:call("a", "propose", { "add", by = i }) end
    for _, name in ipairs { "refuse", "break_it", "nothing", "unknown" } do sim:call("b", "propose", { name }) end
    sim:run(0.5)
    for _, id in ipairs { "a", "b", "c" } do
      assert.same({
        { true, { "add", by = 1 }, 1, "two", false },
        { true, { "add", by = 2 }, 3, "two", false },
        { true, { "refuse" }, false, "not now", "mine" },
        { true, { "break_it" }, false, "n.lua:6: on purpose", "failed" },
        { true, { "nothing" }, false, false, false },
        { true, { "unknown" }, false, 'counter: apply has no "unknown"', "invalid" },
      }, (function(seen)
        for _, item in ipairs(seen) do
          if item[4] then item[4] = item[4]:gsub("^node.lua", "n.lua") end
        end
        return seen
      end)(sim.nodes[id].state.seen))
    end
  end)

  it("begins at an index, and with a gap where that is not kept any more", function()
    local sim <close> = start(counter)
    for i = 1, 3 do sim:call("a", "propose", { "add", by = i }) end
    local first = sim:call("a", "take", 1, 0)               -- nobody has followed it before
    assert.same("gap", first[1][2])
    local last = first[1][1]
    for i = 1, 3 do sim:call("a", "propose", { "add", by = i }) end
    assert.same({ -last, last + 1, last + 2 }, indices(sim:call("a", "take", 3, 0)))
    assert.same({ -last, last + 1, last + 2 }, indices(sim:call("a", "take", 3, last)))
    assert.same({ last + 1, last + 2 }, indices(sim:call("a", "take", 2, last + 1)))
    assert.same({ last + 3 }, indices(sim:call("a", "take", 1, last + 3)))
  end)

  it("gives all ops again after a start, to who asks before they are applied", function()
    local sim <close> = start(counter .. [[
      node.state.seen = {}
      node:spawn(function()
        for index, op in g:changes(1) do table.insert(node.state.seen, op == "gap" and "gap" or op.by) end
      end)]])
    for i = 1, 5 do sim:call("a", "propose", { "add", by = i }) end
    sim:run(0.5)
    sim:kill "b"
    sim:run(0.5)
    sim:restart "b"
    sim:run(1)
    for _, id in ipairs { "a", "b", "c" } do assert.same({ 1, 2, 3, 4, 5 }, sim.nodes[id].state.seen) end
  end)

  it("ends with its loop, with its task, with a close", function()
    local sim <close> = start(counter .. [[
      node.state.ended = 0
      local held
      local t = node:spawn(function()
        local h <close> = setmetatable({}, { __close = function() node.state.ended = node.state.ended + 1 end })
        for _ in g:changes() do end
      end)
      node:on("cancel", function() t:cancel() return true end)
      node:on("hold", function()
        held = g:changes()
        node:after(0.2, function() g:propose { "add", by = 1 } end)
        node:after(0.4, function() held:close() held:close() end)
        local n = 0
        for _ in held do n = n + 1 end
        return n, held()
      end)
      node:on("both", function()
        local changes <close> = g:changes()
        node:spawn(function() changes() end)
        node:sleep(0.01)
        return pcall(changes)
      end)]])
    sim:run(0.1)
    assert.is_true(sim:call("a", "cancel"))
    assert.equal(1, sim.nodes.a.state.ended)
    assert.same(all(1), all(sim:call("a", "hold")))
    local ok, message = sim:call("a", "both")
    assert.is_false(ok)
    assert.matches("another task waits for the same changes", message, 1, true)
    assert(sim:check())
  end)

  it("is refused where it can't be", function()
    local sim <close> = start [[
      local g = node:replicate("g", { on = "y", apply = function() end })
      local own = node:replicate("own", { on = { "a" }, apply = function() end })
      node:on("elsewhere", function() return g:changes() end)
      node:on("wrong", function(from) return select(2, pcall(own.changes, own, from)) end)
      node:on("nested", function()
        local changes <close> = own:changes()
        return pcall(coroutine.wrap(function() changes() end))
      end)]]
    assert.same(all(nil, "g:changes: a has no replica", "unavailable"), all(sim:call("a", "elsewhere")))
    for _, from in ipairs { -1, 1.5, "x" } do
      local message = sim:call("a", "wrong", from)
      assert.matches("own:changes: 'from' must be an index, an integer from 0 up", message, 1, true)
    end
    assert.matches("group:changes can't wait in a coroutine", select(2, sim:call("a", "nested")), 1, true)
    local _, message = pcall(start, [[
      local g = node:replicate("g", { apply = function() end })
      for _ in g:changes() do end]])
    assert.matches("node.lua:2: g:changes: only in a task: the top level declares", message, 1, true)
  end)

  it("keeps the last MiB for who is slow, and says what was lost", function()
    local sim <close> = start([[
      local g = node:replicate("g", { init = function() return { n = 0 } end,
        apply = function(s, op) s.n = s.n + 1 return s.n end })
      node:on("fill", function(n)
        for _ = 1, n do g:propose { ("x"):rep(20000) } end
        return true
      end)
      node.state.got = {}
      node:spawn(function()
        for index, op, n in g:changes(1) do
          table.insert(node.state.got, op == "gap" and "gap" or n)
          if n == 3 then node:sleep(4) end
        end
      end)]])
    sim:call("a", "fill", 100)
    sim:run(5)
    local got = sim.nodes.a.state.got
    assert.same({ 1, 2, 3, "gap" }, table.move(got, 1, 4, 1, {}))
    assert.is_true(got[5] > 40 and got[5] < 55, tostring(got[5]))       -- 52 of 20,000 bytes are a MiB
    for i = 6, #got do assert.equal(got[i - 1] + 1, got[i]) end
    assert.equal(100, got[#got])
  end)
end)

-- Each op's result is how many ops there have been: a stream is whole where it counts on, and all streams must be parts
-- of one. What a gap leaves out is in the state when it is told.
local busy = [[
  local g = node:replicate("g", {
    init = function() return { n = 0, sum = 0 } end,
    apply = {
      put = function(s, op) s.n = s.n + 1 s.sum = (s.sum * 31 + op.id) % 1000003 return s.n end,
      refuse = function(s, op) s.n = s.n + 1 s.sum = (s.sum * 31 + op.id) % 1000003 return nil, s.n, "mine" end,
    } })
  local function look(s, at) return { n = s.n, sum = s.sum, index = at.index } end
  node.state.streams = {}
  local function follow(name, from, pause, lives)
    local stream = { gaps = 0, items = {} }
    node.state.streams[name] = stream
    local mine
    local function reader()
      for index, op, n, m in g:changes(from) do
        if op == "gap" then
          stream.gaps = stream.gaps + 1
          mine = g:peek(look)
          assert(mine.index >= index, "a gap beyond what is applied")
          stream.items[#stream.items + 1] = { index = index, gap = true }
        else
          stream.items[#stream.items + 1] = { index = index, id = op.id, n = n or m }
          mine = mine or { n = 0, sum = 0, index = 0 }
          if index > mine.index then mine.n, mine.sum = mine.n + 1, (mine.sum * 31 + op.id) % 1000003 end
        end
        stream.n, stream.sum = mine.n, mine.sum
        if pause then node:sleep(pause) end
      end
    end
    node:spawn(reader)
  end
  node:spawn(function()
    follow("all", 1)
    follow("slow", 1, 0.05)
    node:sleep(1)
    follow("late", 3)
  end)
  node:on("burst", function(first, n, size)
    for i = 1, n do
      if size > 1000 then node:sleep(0.01) end              -- or many are one entry of the log
      node:spawn(function() g:propose { i % 3 == 0 and "refuse" or "put", id = first + i, pad = ("x"):rep(size) } end)
    end
    return true
  end)
  node:on("look", function() return g:peek(look) end)
]]

-- Every reader's items, in order, each n once; n -> { index, id } as all others have it.
local function check_stream(name, stream, known)
  local last, index, whole = 0, 0, false
  for _, item in ipairs(stream.items) do
    assert.is_true(item.index >= index, name .. " goes back")
    if item.gap then
      whole = false
    else
      if whole or last == 0 and stream.items[1] == item and name:find "all" then
        assert.equal(last + 1, item.n, name .. " lost or repeated an op")
      end
      assert.is_true(item.n > last, name .. " repeated an op")
      local same = known[item.n]
      known[item.n] = item
      if same then assert.same({ same.index, same.id }, { item.index, item.id }, name) end
      last, whole = item.n, true
    end
    index = item.index
  end
  return stream.gaps
end

describe("g:changes under faults", function()
  it("is one stream on all replicas: each op once, in order, or a gap", function()
    local gaps, ops, restored = 0, 0, 0
    for seed = 1, seeds do
      local sim <close> = start(busy, { seed = seed })
      local ids = { "a", "b", "c" }
      local one, other = ids[seed % 3 + 1], ids[(seed + 1) % 3 + 1]
      local large = seed % 5 == 0           -- one is away while the log is cut: it gets a snapshot, under its readers
      if large then
        sim:between(2, 6):partition({ one }, { other, ids[(seed + 2) % 3 + 1] })
      else
        sim:between(1.1, 6):lose(0.05)
        if seed % 2 == 0 then sim:between(2, 5):cut(one, other) else sim:between(2, 5):partition({ one }, { other }) end
        if seed % 3 > 0 then sim:between(3, 4):kill(other) end
      end
      local id = 0
      for round = 1, 14 do
        local big = large and round > 3
        sim:cast(ids[(seed + round) % 3 + 1], "burst", id, big and 30 or 6, big and 15000 or 10)
        id = id + 30
        sim:run(0.4)
      end
      sim:heal()
      for _, each in ipairs(ids) do if sim.nodes[each]:status().state == "down" then sim:restart(each) end end
      sim:run(6)
      local known = {}
      local final = assert(sim:call("a", "look"))
      for _, each in ipairs(ids) do
        local at = assert(sim:call(each, "look"))
        assert.equal(final.n, at.n, "seed " .. seed)
        for name, stream in pairs(sim.nodes[each].state.streams) do
          name = ("seed %d %s %s"):format(seed, each, name)
          gaps = gaps + check_stream(name, stream, known)
          if not name:find "slow" then assert.same({ final.n, final.sum }, { stream.n, stream.sum }, name) end
        end
      end
      for _, line in ipairs(sim.lines) do
        if line.text:find("loaded the snapshot", 1, true) then restored = restored + 1 end
      end
      ops = ops + final.n
      assert(sim:check())
    end
    if seeds >= 20 then assert.is_true(ops > 50 * seeds and gaps > seeds / 5 and restored > 0) end
  end)
end)
