-- legacy_spec.lua - a data directory that an older version left, whose log names no code and whose snapshots are
-- "orrlua1": this version reads it and goes on.
--
-- legacy/data.tar.gz is what three nodes of version 0.1.0 left that ran legacy/node.lua, before scripts were named in
-- the log, with segments of 128 KiB and a snapshot each 64 KiB. c was stopped after ten ops, "early" 1 to 10; then came
-- k0 to k6, 1 to 160, and "late" 1 to 5. So a and b have two snapshots and a log after the older one; c has a log
-- alone, and needs from them what they have given up.
local core = require "orrery.core"
local orrery = require "orrery"

local folder = dofile "spec/lua/folder.lua"()
local ids, nodes = { "a", "b", "c" }, {}
local port = 20000 + core.process.pid() % 1200 * 10       -- below what clients get
local early, between, late = 10 * 11 // 2, 160 * 161 // 2, 5 * 6 // 2
local total = early + between + late

local function read(path)
  local file <close> = assert(io.open(path))
  return file:read "a"
end

local script = read "spec/lua/legacy/node.lua"
local file = folder:write("cluster.lua", (read "spec/lua/legacy/cluster.lua":gsub("17(80)(%d)", function(_, n)
  return tostring(port + tonumber(n))
end)))
folder:write("node.lua", script)
assert(os.execute(("mkdir %s/data && tar -xzf spec/lua/legacy/data.tar.gz -C %s/data"):format(folder.path,
  folder.path)))

local function start()
  for _, id in ipairs(ids) do
    nodes[id] = assert(orrery.start(file, { id = id, data = folder.path .. "/data", thread = true }))
  end
end

local function stop()
  for id, node in pairs(nodes) do
    node:close()
    nodes[id] = nil
  end
end

local function within(T, what, done)
  local until_time = core.process.clock() + T
  while not done() do
    assert(core.process.clock() < until_time, what)
    for _, node in pairs(nodes) do node:step(0.01) end
  end
end

local function everywhere(want)
  within(30, ("not every node has %d"):format(want), function()
    for _, id in ipairs(ids) do
      if nodes[id]:group("sum"):peek { "all" } ~= want then return false end
    end
    return true
  end)
end

setup(start)
teardown(function()
  stop()
  folder:remove()
end)

describe("the data of a version that named no code", function()
  it("is read: snapshots, the log after them, and a log alone", function()
    everywhere(total)
    local sum = nodes.c:group "sum"
    assert.equal(total, sum:read { "all" })
    assert.equal(early, sum:read { "of", key = "early" })
    assert.equal(late, sum:read { "of", key = "late" })
    local n = 0
    for i = 0, 6 do n = n + sum:read { "of", key = "k" .. i } end
    assert.equal(between, n)
  end)

  it("gets its code named by whoever leads now", function()
    local function code(id) return nodes[id]:group("sum"):status().code end
    within(30, "a runs what nobody named", function() return code "a":find "[^0]" end)
    within(30, "they run different code", function() return code "b" == code "a" and code "c" == code "a" end)
  end)

  it("goes on", function()
    assert.equal(total + 7, nodes.a:call("add", "new", 7))
    everywhere(total + 7)
  end)

  it("is found again, in snapshots of this version's too", function()
    for _, id in ipairs(ids) do assert(nodes[id]:eval "node:spawn(function() node.state.at = sum:snapshot() end)") end
    within(30, "no snapshot was taken", function()
      return nodes.a.state.at and nodes.b.state.at and nodes.c.state.at
    end)
    assert.equal(total + 8, nodes.b:call("add", "new", 1))
    stop()
    start()
    everywhere(total + 8)
    assert.equal(8, nodes.c:group("sum"):read { "of", key = "new" })
  end)

  it("goes over to scripts of another version", function()
    folder:write("node.lua", (script:gsub("version = 1,", [[version = 2,
      upgrade = function(state, from) return { n = state.n, of = state.of, was = from } end,]]):gsub("query = {",
      "%0 was = function(state) return state.was end,")))
    for _, id in ipairs(ids) do assert(nodes[id]:reload()) end
    within(30, "no node went over", function() return nodes.a:group("sum"):status().version == 2 end)
    assert.equal(1, nodes.a:group("sum"):read { "was" })
    assert.equal(total + 9, nodes.a:call("add", "new", 1))
    everywhere(total + 9)
  end)
end)
