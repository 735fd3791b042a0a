-- shrink_spec.lua - the fewest strikes that still fail, asked as seldom as may be; a run of a wrong script, shrunk.
local core = require "orrery.core"
local shrink = require "orrery.shrink"

local folder = dofile "spec/lua/folder.lua"()
teardown(function() folder:remove() end)

-- n strikes, a second apart; each is named by its number.
local function strikes(n)
  local list = {}
  for i = 1, n do list[i] = { at = i * 1000000000 + 123456789, till = i * 1000000000 + 900000000, name = i } end
  return list
end

local function names(list)
  local out = {}
  for i, item in ipairs(list) do out[i] = item.name end
  return out
end

-- Fails where all of those are among them.
local function needs(...)
  local needed = { ... }
  return function(list)
    local there = {}
    for _, item in ipairs(list) do there[item.name] = true end
    for _, name in ipairs(needed) do if not there[name] then return false end end
    return true
  end
end

describe("shrinking", function()
  it("finds the ones that are needed, wherever they are", function()
    for _, wanted in ipairs { {}, { 1 }, { 64 }, { 17 }, { 1, 64 }, { 3, 4, 5 }, { 9, 33, 40, 41 } } do
      local least, asked = shrink.strikes(strikes(64), needs(table.unpack(wanted)))
      assert.same(wanted, names(least))
      assert.is_true(asked < 200, "asked " .. asked)
    end
  end)

  it("finds a minimum by random tests: no one can be left out", function()
    local random = 12345
    local function draw(n)
      random = (random * 1103515245 + 12345) % 2147483648
      return random // 65536 % n + 1
    end
    for _ = 1, 200 do
      local n, pairs_of = draw(40), {}
      for i = 1, draw(3) do pairs_of[i] = { draw(n), draw(n) } end
      -- Any one pair is enough: there are several minima.
      local function fails(list)
        for _, pair in ipairs(pairs_of) do if needs(pair[1], pair[2])(list) then return true end end
        return false
      end
      local least = shrink.strikes(strikes(n), fails)
      assert.is_true(fails(least))
      for i = 1, #least do
        local fewer = table.move(least, 1, #least, 1, {})
        table.remove(fewer, i)
        assert.is_false(fails(fewer))
      end
    end
  end)

  it("makes what lasts shorter and times rounder, as far as it still fails", function()
    local function fails(list)
      return list[1] and list[1].at >= 3100000000 and list[1].till - list[1].at > 200000000
    end
    local least = shrink.strikes({ { at = 3141592653, till = 9100000000, name = 1 } }, fails)
    assert.same({ at = 3100000000, till = 3500000000, name = 1 }, least[1])
    assert.is_true(fails(least))
    local at = shrink.strikes({ { at = 2999999999, name = 1 } }, function(list) return #list == 1 end)
    assert.same({ { at = 3000000000, name = 1 } }, at)
  end)

  it("leaves what it was given as it was", function()
    local list = strikes(8)
    shrink.strikes(list, needs(3))
    assert.same(strikes(8), list)
  end)

  it("stops asking where it may not ask more, with what it has", function()
    local asked = 0
    local least, said = shrink.strikes(strikes(64), function(list)
      asked = asked + 1
      return needs(17)(list)
    end, 5)
    assert.equal(5, asked)
    assert.equal(5, said)
    assert.is_true(needs(17)(least))
  end)

  it("finds the least number", function()
    local asked = {}
    assert.equal(3, shrink.number(1, 8, function(n)
      asked[#asked + 1] = n
      return n >= 3
    end))
    assert.same({ 1, 2, 3 }, asked)
    assert.equal(8, shrink.number(1, 8, function() return false end))
  end)
end)

describe("fewer nodes", function()
  local function fails_with(...)
    local needed, asked = { ... }, {}
    return function(gone)
      local out = {}
      for _, id in ipairs(gone) do out[id] = true end
      asked[#asked + 1] = #gone
      for _, id in ipairs(needed) do if out[id] then return false end end
      return true
    end, asked
  end
  local abcde = { "a", "b", "c", "d", "e" }

  it("are those that are needed, one at least", function()
    local fails, asked = fails_with("a", "d")
    assert.same({ "b", "c", "e" }, shrink.nodes(abcde, fails))
    assert.equal(2, asked[1])
    assert.same({}, shrink.nodes(abcde, (fails_with(table.unpack(abcde)))))
    assert.same({ "b", "c", "d", "e" }, shrink.nodes(abcde, (fails_with())))
    assert.same({}, shrink.nodes({ "a" }, (fails_with())))
    assert.same({ "b", "c" }, shrink.nodes({ "a", "b", "c" }, function(gone) return #gone == 2 end))
  end)

  it("are asked for no more often than may be", function()
    local n = 0
    shrink.nodes(abcde, function()
      n = n + 1
      return false
    end, 7)
    assert.equal(7, n)
  end)

  it("have no strikes on those that are left out, and smaller sides of partitions", function()
    local list = {
      { at = 1, verb = "cut", "a", "b" }, { at = 2, till = 3, verb = "partition", { "a", "c" }, { "b", "d" } },
      { at = 4, verb = "start", "a", "empty" },
    }
    assert.same({ list[1], { at = 2, till = 3, verb = "partition", { "a" }, { "b", "d" } }, list[3] },
      shrink.strikes_without(list, { "c" }))
    assert.same({ "a", "c" }, list[2][1])
    assert.is_nil(shrink.strikes_without(list, { "b" }))
    assert.is_nil(shrink.strikes_without({ list[2] }, { "b", "d" }))
    assert.same({}, shrink.strikes_without({}, { "a" }))
  end)
end)

describe("a comment", function()
  local comment = shrink.comment

  it("has every word, in lines that are not too long", function()
    assert.equal("-- a\n--\n-- b", comment "a\n\nb")
    local words = ("word "):rep(100) .. "end"
    local text = comment(words)
    assert.equal(words, (text:gsub("\n%-%- ", " "):gsub("^%-%- ", "")))
    for line in text:gmatch "[^\n]+" do assert.is_true(#line <= 120 and line:find "^%-%- " == 1) end
  end)

  it("breaks no drawing and no word", function()
    local drawing = "process 1" .. (" "):rep(150) .. "|--set x 1--|"
    assert.equal("-- " .. drawing, comment(drawing))
    local long = ("x"):rep(200)
    assert.equal("-- " .. long, comment(long))
    assert.equal("-- " .. long .. "\n-- a", comment(long .. " a"))
  end)
end)

-- luakv whose GET looks at whatever replica it is on: a stale read, once a link or a disk is slow.
local function stale_luakv()
  for _, name in ipairs { "cluster.lua", "machine.lua", "node.lua" } do
    local file <close> = assert(io.open("examples/luakv/" .. name))
    local text, n = file:read "a", 0
    if name == "node.lua" then
      text, n = text:gsub("kv:read( *{ \"get\")", "kv:peek%1")
      assert.equal(1, n)
    end
    folder:write("luakv/" .. name, text)
  end
  return folder.path .. "/luakv/cluster.lua"
end

-- b makes something else of what it should echo, once it can't reach d: two of five nodes, and a fault between them.
local function wrong_echo()
  local nodes = {}
  for i, id in ipairs { "a", "b", "c", "d", "e" } do nodes[i] = ('{ id = "%s", at = "127.0.0.1:%d" }'):format(id, i) end
  folder:write("echo/node.lua", [[
    node:on("ping", function() return true end)
    node:on("echo", function(v)
      if node.id == "b" and not node:call("d", "ping") then return "nobody" end
      return v
    end)]])
  return folder:write("echo/cluster.lua", ([[
    return orrery.cluster { name = "echo", node = "node.lua", nodes = { %s } }]]):format(table.concat(nodes, ", ")))
end

local function orrery(arguments)
  local file <close> = assert(io.popen(("%s sim %s 2>/dev/null"):format(core.process.program(), arguments)))
  local text = file:read "a"
  local _, _, code = file:close()
  return code, text
end

describe("a run that fails", function()
  it("is shrunk to a fault file of a few lines, which fails in the same way, and holds where the script is right",
    function()
      local cluster, least = stale_luakv(), folder.path .. "/least.lua"
      local code, text = orrery(("%s --seeds 1:20 --for 10 --faults default --shrink %s"):format(cluster, least))
      assert.equal(1, code)
      assert.matches("linearizable: ", text)
      assert.matches("shrunk to " .. least, text, 1, true)
      local file <close> = assert(io.open(least))
      local written = file:read "a"
      local _, lines = written:gsub("%-%-[^\n]*\n", ""):gsub("\n", "")
      assert.is_true(lines <= 3, written)
      assert.matches("^%-%- linearizable: ", written)
      local again = written:match "%-%- again: orrery sim ([^\n]+)"
      code, text = orrery(again)
      assert.equal(1, code)
      assert.matches("linearizable: ", text)
      code = orrery((again:gsub(cluster:gsub("%p", "%%%0"), "examples/luakv/cluster.lua")))
      assert.equal(0, code)
    end)

  it("is shrunk to the nodes that it needs, and names them in the command that plays it", function()
    local cluster, least = wrong_echo(), folder.path .. "/echo.lua"
    local code, text = orrery(("%s --seeds 1:20 --for 10 --faults default --workload echo --shrink %s"):format(cluster,
      least))
    assert.equal(1, code)
    assert.matches("shrunk to " .. least, text, 1, true)
    local file <close> = assert(io.open(least))
    local written = file:read "a"
    local again = written:match "%-%- again: orrery sim ([^\n]+)"
    local out = again:match "%-%-without ([%l,]+)"
    assert(out, written)
    assert.is_true(#out:gsub(",", "") >= 2 and not out:find "[bd]", written)
    local strikes = written:gsub("%-%-[^\n]*\n", "")
    for id in out:gmatch "%l" do assert.is_nil(strikes:find('"' .. id .. '"', 1, true), written) end
    assert.is_true(#strikes > 0)
    code, text = orrery(again)
    assert.equal(1, code)
    assert.matches("echo: [^\n]*node b made \"nobody\"", text)
    folder:write("none.lua", "")
    code = orrery((again:gsub(least:gsub("%p", "%%%0"), folder.path .. "/none.lua")))
    assert.equal(0, code)
  end)

  it("leaves no node of a ring out, which would be another ring", function()
    local cluster, least = wrong_echo(), folder.path .. "/ring.lua"
    local file <close> = assert(io.open(cluster))
    local text = file:read("a"):gsub('name = "echo",', 'name = "echo", links = orrery.topology.ring(),')
    folder:write("echo/ring.lua", text)
    folder:write("echo/node.lua", (folder:read "echo/node.lua":gsub('"d"', '"c"')))
    local code = orrery(("%s/echo/ring.lua --seeds 1:20 --for 10 --faults default --workload echo --shrink %s"):format(
      folder.path, least))
    assert.equal(1, code)
    local shrunk <close> = assert(io.open(least))
    assert.is_nil(shrunk:read("a"):find("--without", 1, true))
  end)
end)
