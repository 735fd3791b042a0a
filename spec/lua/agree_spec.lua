-- agree_spec.lua - states that differ are told soon, though no result shows it: in the simulator at the first op, by
-- live nodes some ops later, or when the group comes to rest.
local core = require "orrery.core"
local orrery = require "orrery"

local folder = dofile "spec/lua/folder.lua"()
teardown(function() folder:remove() end)

local port = 19000 + core.process.pid() % 30 * 30       -- below what clients get

-- Constants may be a node's own, and so is what `leave` puts into the state. A read must not write, and `touch` does.
folder:write("n.lua", [[
  local here = node.id
  local group = node:replicate("g", {
    init = function() return {} end,
    apply = { leave = function(s) s.by = here == "c" and 1 or 2 end, none = function() end },
  })
  node:on("do", function(name) return group:propose { name } end)
  node:on("touch", function() return group:read(function(s) s.x = 1 end) end)
  node:every(0.05, function()
    local _, _, code = group:read(function() end)
    node.state.code, node.state.role = code, group:status().role
  end)]])

local function file(at)
  return folder:write("c.lua", ([[return orrery.cluster { name = "agree", node = "n.lua", nodes = {
    { id = "a", at = "127.0.0.1:%d" }, { id = "b", at = "127.0.0.1:%d" }, { id = "c", at = "127.0.0.1:%d" } } }]])
    :format(at, at + 1, at + 2))
end

describe("states that differ and no result shows it", function()
  it("are told in the simulator, at the index of the first op", function()
    local sim <close> = orrery.sim(file(port))
    sim:run(1)
    sim:call("a", "do", "none")
    assert(sim:check())
    sim:call("a", "do", "leave")
    sim:run(0.2)
    local _, message = sim:check()
    assert.matches("digest: group g: the states of %a and %a differ at index %d+: ", message)
  end)

  -- Three live nodes, in this program. `ask` until c says that its state isn't the others': the seconds that took, or
  -- nil after 10.
  local function told(at, ask)
    local path, nodes = file(at), {}
    for i, id in ipairs { "a", "b", "c" } do
      nodes[i] = assert(orrery.start(path, { id = id, data = folder.path .. "/data" .. at }))
    end
    local function go(seconds, done, during)
      local began = core.process.clock()
      repeat
        for _, n in ipairs(nodes) do n:step(0.003) end
        if during then during(nodes) end
        if done() then return core.process.clock() - began end
      until core.process.clock() - began > seconds
    end
    local c = nodes[3]
    assert(go(20, function() return nodes[1].state.role and c.state.role and not c.state.code end))
    local took = go(10, function() return c.state.code == "corrupt" end, ask)
    for _, n in ipairs(nodes) do n:close() end
    os.execute(("rm -rf '%s'/data*"):format(folder.path))
    return took
  end

  local function once(verb, ...)
    local rest = table.pack(...)
    return function(nodes)
      if verb then nodes[3]:cast(verb, table.unpack(rest)) end
      verb = nil
    end
  end

  it("are told by live nodes once the group is at rest, some two seconds after one op", function()
    local took = told(port + 10, once("do", "leave"))
    assert.is_true(took and took < 5, tostring(took))
  end)

  it("are told by live nodes that are never at rest", function()
    local rounds = 0
    local took = told(port + 20, function(nodes)
      if rounds % 50 == 0 then nodes[3]:cast "touch" end      -- again: there may be no leader for a moment
      rounds = rounds + 1
      for _ = 1, 5 do nodes[1]:cast("do", "none") end
    end)
    assert.is_true(took and took < 5, tostring(took))
  end)
end)
