-- look_members_spec.lua - what nodes say of each other: sim:members() as text and as a picture, a:members(); and of a
-- live cluster a:matrix().
local look = require "orrery.look.members"
local orrery = require "orrery"

local folder = dofile "spec/lua/folder.lua"()
local start = dofile "spec/lua/script.lua"(folder)
local svg = dofile "spec/lua/svg.lua"
teardown(function() folder:remove() end)

local ids = { "a", "b", "c", "long-id", "e" }
local lists = {
  a = {
    { id = "a", state = "alive", own = true }, { id = "b", state = "alive", way = "direct", rtt = 0.00125 },
    { id = "c", state = "failed", way = "none" }, { id = "long-id", state = "alive", way = "indirect" },
    { id = "e", state = "left" },
  },
  b = {
    { id = "a", state = "alive", way = "direct", rtt = 0.001 }, { id = "b", state = "alive", own = true },
    { id = "c", state = "suspect", way = "none" }, { id = "long-id", state = "alive", way = "stream" },
  },
  ["long-id"] = {}, e = { { id = "a", state = "suspect" } },
}
local function list_of(id) return lists[id] end

describe("the matrix of members", function()
  it("is a row for each that says, a column for each of whom, and the way in which it was reached", function()
    local matrix = look.matrix(ids, list_of, nil, "x", "t", 2)
    assert.equal(table.concat({
      "           a       b       c       long-id e",
      "  a        .       a       f!      a~      l",
      "  b        a       .       s!      a=      -",
      "  c        (down)",
      "  long-id  -       -       -       .       -",
      "  e        s       -       -       -       .",
      "  a alive  s suspect  f failed  l left  - not heard of",
      "  ~ reached over others  = heard by its stream  ! no answer to the last question",
    }, "\n"), (tostring(matrix):gsub("  +%(down%)", "        (down)")))
    assert.equal("suspect", matrix.rows.b.c.state)
    assert.is_nil(matrix.rows.c)
    assert.is_nil(matrix.rows.e.b)
  end)

  it("is a picture, with a word on each cell; the same bytes each time", function()
    local path = folder:write("m.svg", "")
    assert.is_true(look.matrix(ids, list_of, path, "x", "t <1>", 2))
    local text = folder:read "m.svg"
    assert.equal(1 + 4 * 5 + 5, svg(text).rect)                  -- the page, four rows of cells, the key
    for _, words in ipairs { "t &lt;1&gt;", "a says of b: alive, 1.250 ms away", "a says of c: failed, no answer to",
      "a says of long-id: alive, reached over others", "b says of long-id: alive, heard by its stream",
      "long-id has not heard of a", "a says of e: left" } do
      assert.is_truthy(text:find(words, 1, true), words)
    end
    look.matrix(ids, list_of, path, "x", "t <1>", 2)
    assert.equal(text, folder:read "m.svg")
  end)
end)

describe("sim:members", function()
  local function rows(sim) return (tostring(sim:members()):match "^(.-)\n  a alive") end
  local script = "node:on('who', function() return #node.members:list() end)"

  it("asks nobody to take part", function()
    local sim <close> = start(script)
    sim:run(2)
    local before = sim:digest()
    assert.equal("      a  b  c\n  a   .  -  -\n  b   -  .  -\n  c   -  -  .", rows(sim))
    assert.same({}, sim.nodes.a:members())
    sim:run(2)
    local other <close> = start(script)
    other:run(2)
    assert.equal(before, other:digest())
    other:run(2)
    assert.equal(sim:digest(), other:digest())
  end)

  it("says what each says, while a node is killed and a link is cut", function()
    local sim <close> = start(script)
    sim:call("a", "who")
    sim:run(5)
    assert.equal("      a  b  c\n  a   .  a  a\n  b   a  .  a\n  c   a  a  .", rows(sim))
    assert.equal("direct", sim:members().rows.a.b.way)
    sim:cut("a", "b")
    sim:run(5)
    assert.equal("alive", sim:members().rows.a.b.state)          -- c hears both
    assert.is_truthy(tostring(sim:members()):find "a +%.  a~ a")
    sim:heal("a", "b")
    sim:kill "c"
    sim:run(20)
    local matrix = sim:members()
    assert.same({ "failed", "failed" }, { matrix.rows.a.c.state, matrix.rows.b.c.state })
    assert.is_nil(matrix.rows.c)
    assert.matches("\n  c  %(down%)\n", tostring(matrix))
    assert.equal("failed", sim.nodes.a:members()[3].state)
    local nothing, _, code = sim.nodes.c:members()
    assert.same({ nil, "unavailable" }, { nothing, code })
  end)

  it("draws itself into a file, and says what is wrong with that", function()
    local sim <close> = start(script)
    sim:call("a", "who")
    sim:run(2)
    assert.is_true(sim:members(folder:write("of_sim.svg", "")))
    assert.is_truthy(folder:read "of_sim.svg":find("t, seed 1, %d+.%d+ s: what nodes say of each other"))
    svg(folder:read "of_sim.svg")
    local ok, message = pcall(function() sim:members(5) end)
    assert.is_false(ok)
    assert.matches("look_members_spec.lua:%d+: sim:members: 'path' must be a file's %(got 5%)", message)
    assert.same({ nil, "/nowhere/x.svg: No such file or directory", "unavailable" },
      { sim:members "/nowhere/x.svg" })
  end)
end)

describe("of a live cluster", function()
  it("a:members and a:matrix are the same", function()
    local cluster = folder:write("live/cluster.lua", [[
      return orrery.cluster { name = "live", node = "node.lua", members = { probe = 0.2, probe_timeout = 0.1 },
        nodes = { { id = "a", at = "127.0.0.1:17481" }, { id = "b", at = "127.0.0.1:17482" } } }]])
    folder:write("live/node.lua", "node:on('who', function() return #node.members:list() end)")
    local a <close> = assert(orrery.start(cluster, { id = "a", data = folder.path .. "/data", thread = true }))
    local b <close> = assert(orrery.start(cluster, { id = "b", data = folder.path .. "/data", thread = true }))
    local handle <close> = assert(orrery.connect("127.0.0.1:17481", { timeout = 5 }))
    local last = os.time() + 20
    repeat
      assert(os.time() < last, tostring(handle:matrix()))
      os.execute "sleep 0.05"
    until tostring(handle:matrix()):find "  a   .  a\n  b   a  ."
    assert.equal("alive", handle:members()[2].state)
    assert.equal("b", handle.nodes.b:members()[2].id)
    assert.is_true(handle:matrix(folder:write("live.svg", "")))
    assert.is_truthy(folder:read "live.svg":find("live: what nodes say of each other", 1, true))
    assert.equal("alive", a:members()[2].state)
    b:close()
    assert.is_nil(handle:matrix().rows.b)
    assert.is_nil((b:members()))
    assert.is_number(a:call "who")
    for _ = 1, 400 do
      if a:members()[2].state == "failed" then break end
      os.execute "sleep 0.05"
    end
    assert.equal("failed", a:members()[2].state)
  end)
end)
