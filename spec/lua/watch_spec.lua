-- watch_spec.lua - kv:watch: changes of keys with a prefix, gaps and the present values behind them; SEEDS (100) runs
-- under faults, where every watcher's copy must be what the group has in the end.
local orrery = require "orrery"

local folder = dofile "spec/lua/folder.lua"()
local start = dofile "spec/lua/script.lua"(folder)
local seeds = math.tointeger(tonumber(os.getenv "SEEDS" or 100))
teardown(function() folder:remove() end)

local function all(...) return table.pack(...) end

local script = [[
  local kv = node:replicate("kv", { machine = "kv" })
  for _, v in ipairs { "get", "set", "del", "add" } do node:on(v, function(...) return kv[v](kv, ...) end) end
  node.state.seen = {}
  local function watch(name, ...)
    local seen = {}
    node.state.seen[name] = seen
    for change in kv:watch(...) do seen[#seen + 1] = change end
  end
  node:spawn(watch, "all", "")
  node:spawn(watch, "user", "user:")
  node:on("from", function(prefix, from, n)
    local list = {}
    for change in kv:watch(prefix, { from = from }) do
      list[#list + 1] = change
      if #list == n then break end
    end
    return list
  end)
  node:on("wrong", function(...) return select(2, pcall(kv.watch, kv, ...)) end)
]]

-- "set user:1=x", ...: without versions.
local function told(list)
  local words = {}
  for i, c in ipairs(list) do
    words[i] = c.kind .. (c.key and " " .. c.key or "") .. (c.value ~= nil and "=" .. orrery.show(c.value) or "")
  end
  return words
end

describe("kv:watch", function()
  it("gives the changes of keys with that prefix, in order, with their versions", function()
    local sim <close> = start(script)
    sim:call("a", "set", "user:1", { name = "x" })
    sim:call("b", "set", "user:1", "y", { nx = true })
    sim:call("b", "set", "other", 5)
    sim:call("c", "add", "user:n", 2)
    sim:call("c", "set", "user:brief", true, { ttl = 0.5 })
    sim:call("c", "del", "user:1")
    sim:run(2)
    for _, id in ipairs { "a", "b", "c" } do
      local seen = sim.nodes[id].state.seen
      assert.same({ 'set user:1={ name = "x" }', "set user:n=2", "set user:brief=true", "del user:1",
        "expire user:brief" }, told(seen.user))
      assert.equal(#seen.user + 1, #seen.all)
      for i = 2, #seen.all do assert.is_true(seen.all[i].version > seen.all[i - 1].version) end
      assert.same(sim.nodes.a.state.seen, seen)
    end
    local version = sim.nodes.a.state.seen.user[2].version
    assert.is_true(sim:call("b", "set", "user:n", 3, { version = version }))
  end)

  it("gives a gap and the present values where the past is not kept, then changes", function()
    local late = script:gsub("node:spawn%b()", "")
    local sim <close> = start(late)
    for i = 1, 30 do sim:call("a", "set", "user:" .. i, i) end
    sim:call("a", "set", "other", 1)
    sim:call("a", "del", "user:30")
    local first = sim:call("b", "from", "user:", 0, 30)
    assert.equal("gap", first[1].kind)
    table.sort(first, function(x, y) return (x.value or 0) < (y.value or 0) end)
    for i = 1, 29 do
      local item = first[i + 1]
      assert.same({ "user:" .. i, i, "set" }, { item.key, item.value, item.kind })
      assert.is_true(item.version <= first[1].version)
    end
    sim:call("a", "set", "user:5", "new")
    sim:call("a", "del", "user:6")
    local version = first[1].version
    assert.same({ "set user:5=\"new\"", "del user:6" }, told(sim:call("b", "from", "user:", version + 1, 2)))
    assert.same({ "gap" }, told(sim:call("b", "from", "user:", version, 1)))
    assert.same({ "gap", "set user:29=29" }, told(sim:call("b", "from", "user:29", 0, 2)))
  end)

  it("has a gap where all keys were removed at once, or a reader is slow", function()
    folder:write("resp/node.lua", [[
      local kv = node:replicate("kv", { machine = "kv" })
      node.state.copy, node.state.gaps = {}, 0
      node:spawn(function()
        for change in kv:watch("", { from = 1 }) do
          if change.kind == "gap" then node.state.copy, node.state.gaps = {}, node.state.gaps + 1
          else node.state.copy[change.key] = change.value end
          if change.value == "sleep" then node:sleep(3) end
        end
      end)
      node:on("set", function(k, v) return kv:set(k, v) end)
      node:on("fill", function(n) for i = 1, n do kv:set("k" .. i % 20, i .. ("x"):rep(20000)) end return true end)
      if node.id == "a" then node:listen("resp", kv:resp()) end]])
    local sim <close> = orrery.sim(folder:write("resp/cluster.lua", [[
      return orrery.cluster { name = "t", node = "node.lua", nodes = {
        { id = "a", at = "127.0.0.1:1", resp = "127.0.0.1:4" }, { id = "b", at = "127.0.0.1:2" },
        { id = "c", at = "127.0.0.1:3" } } }]]))
    sim:run(1)
    local client <close> = sim:client { to = "a" }
    for i = 1, 5 do sim:call("a", "set", "f" .. i, i) end
    client:call("FLUSHALL")
    sim:call("a", "set", "g", 1)
    sim:run(0.1)
    assert.same({ g = 1 }, sim.nodes.b.state.copy)
    assert.equal(1, sim.nodes.b.state.gaps)
    sim:call("b", "set", "g", "sleep")
    sim:call("b", "fill", 100)
    sim:run(8)                              -- it sleeps again when it sees that value again
    assert.equal(2, sim.nodes.b.state.gaps)
    for k = 81, 100 do assert.equal(k .. ("x"):rep(20000), sim.nodes.b.state.copy["k" .. k % 20]) end
  end)

  it("is refused where it can't be", function()
    local sim <close> = start [[
      local kv = node:replicate("kv", { machine = "kv", on = "y" })
      node:on("elsewhere", function() return kv:watch("") end)
      node:on("wrong", function(...) return select(2, pcall(kv.watch, kv, ...)) end)]]
    assert.same(all(nil, "kv:watch: a has no replica", "unavailable"), all(sim:call("a", "elsewhere")))
    for _, case in ipairs {
      { "kv:watch: 'prefix' must be a string (got 5)", 5 },
      { "kv:watch: 'form' is unknown (nearest: 'from')", "", { form = 1 } },
      { "kv:watch: 'from' must be", "", { from = -1 } },
    } do
      assert.matches(case[1], sim:call("b", "wrong", table.unpack(case, 2)), 1, true)
    end
  end)
end)

-- A copy by changes and gaps, at its own pace, and what it was told, in short.
local busy = [[
  local kv = node:replicate("kv", { machine = "kv" })
  node.state.copies = {}
  local function follow(name, prefix, from, pause)
    local copy = { keys = {}, list = {}, gaps = 0 }
    node.state.copies[name] = copy
    for c in kv:watch(prefix, { from = from }) do
      if c.kind == "gap" then copy.keys, copy.gaps = {}, copy.gaps + 1
      else copy.keys[c.key] = c.kind == "set" and tostring(c.value):match "^%d*" or nil end
      copy.list[#copy.list + 1] = c.kind .. " " .. (c.key or "") .. " " .. c.version
      if pause then node:sleep(pause) end
    end
  end
  node:spawn(follow, "all", "", 1)
  node:spawn(follow, "some", "k1", 1)
  node:spawn(follow, "slow", "k", 1, 0.02)
  node:spawn(function() node:sleep(1.5) follow("late", "k", 0) end)
  node:on("burst", function(n, size)
    for i = 1, n do
      local key, what = "k" .. math.random(40), math.random(10)
      if size > 1000 then node:sleep(0.01) end
      node:spawn(function()
        if what == 1 then kv:del(key)
        elseif what == 2 then kv:set(key, i, { ttl = 0.7 })
        elseif what == 3 then kv:add("n" .. i, 1)
        else kv:set(key, math.random(1000000) .. ("x"):rep(size)) end
      end)
    end
    return true
  end)
  node:on("keys", function(prefix)
    local found = {}
    for key, value in assert(kv:scan(prefix, prefix .. "~")) do found[key] = tostring(value):match "^%d*" end
    return found
  end)
]]

describe("kv:watch under faults", function()
  it("leaves every watcher with what the group has", function()
    local gaps, changes, restored, equal = 0, 0, 0, 0
    for seed = 1, seeds do
      local sim <close> = start(busy, { seed = seed })
      local ids = { "a", "b", "c" }
      local one, other, third = ids[seed % 3 + 1], ids[(seed + 1) % 3 + 1], ids[(seed + 2) % 3 + 1]
      local large = seed % 5 == 0           -- one is away while the log is cut: it gets a snapshot, under its watchers
      if large then
        sim:between(2, 5):partition({ one }, { other, third })
      else
        sim:between(1.1, 5):lose(0.05)
        if seed % 2 == 0 then sim:between(2, 4):cut(one, other) else sim:between(2, 4):partition({ one }, { other }) end
        if seed % 3 > 0 then sim:between(3, 4):kill(other) end
      end
      for round = 1, 10 do
        local big = large and round > 2
        sim:cast(ids[(seed + round) % 3 + 1], "burst", big and 30 or 8, big and 15000 or 5)
        sim:run(0.4)
      end
      sim:heal()
      for _, id in ipairs(ids) do if sim.nodes[id]:status().state == "down" then sim:restart(id) end end
      sim:run(9)
      local whole
      for name, prefix in pairs { all = "", some = "k1", slow = "k", late = "k" } do
        local keys = assert(sim:call("a", "keys", prefix))
        for _, id in ipairs(ids) do
          local copy = sim.nodes[id].state.copies[name]
          local what = ("seed %d %s %s"):format(seed, id, name)
          assert.same(keys, copy.keys, what)
          local list = table.concat(copy.list, ",")
          if name == "all" and copy.gaps == 0 then
            whole = whole or list
            assert.equal(whole, list, what)
            equal = equal + 1
          end
          gaps, changes = gaps + copy.gaps, changes + #copy.list
        end
      end
      for _, line in ipairs(sim.lines) do
        if line.text:find("loaded the snapshot", 1, true) then restored = restored + 1 end
      end
      assert(sim:check())
    end
    if seeds >= 20 then
      assert.is_true(changes > 300 * seeds and gaps > seeds / 2 and restored > 0 and equal > 2 * seeds)
    end
  end)
end)
