-- types_spec.lua - types.lua names what there is, no more and no less.
local cluster = require "orrery.cluster"
local later = require "orrery.later"
local node = require "orrery.node"
local plan = require "orrery.plan"

local folder = dofile "spec/lua/folder.lua"()
teardown(function() folder:remove() end)

-- The globals of types.lua, and the classes that it keeps to itself.
local function annotated()
  local file = assert(io.open(assert(package.searchpath("orrery.types", package.path))))
  local text = file:read "a" ..
    "\nreturn { orrery = orrery, node = node, Group = Group, Log = Log, NodeClock = NodeClock,\n" ..
    "NodeHlc = NodeHlc, NodeMembers = NodeMembers,\n" ..
    "Topology = Topology, Raft = Raft, Clock = Clock, Hlc = Hlc, Ring = Ring, Placement = Placement, Map = Map,\n" ..
    "Sim = Sim, NodeRing = NodeRing, Handle = Handle, Client = Client,\n" ..
    "Started = Started, Connected = Connected, WorkloadClient = WorkloadClient, History = History }"
  file:close()
  return assert(load(text, "types", "t", {}))(), text
end

local function functions_of(t)
  local names = {}
  for name, v in pairs(t) do if type(v) == "function" then names[#names + 1] = name end end
  table.sort(names)
  return names
end

-- What a node script really has.
local function real()
  folder:write("n.lua", [[
    local kv = node:replicate("kv", { machine = "kv" })
    node:listen("resp", kv:resp())
    local own = node:replicate("own", { apply = function() end })
    for name, t in pairs { node = node, orrery = orrery, group = own, kv = kv, log = node.log,
        clock = node.clock, hlc = node.hlc, members = node.members, ring = node:ring() } do
      local names = {}
      for key, v in pairs(t) do names[#names + 1] = key .. " " .. type(v) end
      table.sort(names)
      print(name, table.concat(names, ","))
    end]])
  local value = assert(cluster.load(folder:write("c.lua", [[
    return orrery.cluster { name = "kv", node = "n.lua", nodes = {
    { id = "a", at = "127.0.0.1:1", resp = "127.0.0.1:2" } } }]])))
  local had = {}
  local host = node.idle_host {
    log = function(_, text)
      local name, list = text:match "^(%S+) (.*)$"
      had[name] = { all = list, functions = {} }
      for key in list:gmatch "([%w_]+) function" do table.insert(had[name].functions, key) end
    end,
  }
  node.boot(host, plan.text(value, assert(plan.bundle(value)), "a"))()
  return had
end

describe("types.lua", function()
  local types, text = annotated()
  local had = real()

  it("has every function of node, group, log and orrery", function()
    assert.same(had.node.functions, functions_of(types.node))
    local methods = {}
    for _, group in ipairs { had.group, had.kv } do
      for _, name in ipairs(group.functions) do methods[name] = print end
    end
    assert.same(functions_of(methods), functions_of(types.Group))
    assert.same(had.log.functions, functions_of(types.Log))
    assert.same(had.clock.functions, functions_of(types.NodeClock))
    assert.same(had.hlc.functions, functions_of(types.NodeHlc))
    assert.same(had.ring.functions, functions_of(types.NodeRing))
    assert.same(had.orrery.functions, functions_of(types.orrery))
    local topology = require "orrery.topology"
    for _, name in ipairs(functions_of(types.orrery.topology)) do assert.is_function(topology[name]) end
    for _, name in ipairs(functions_of(types.Map)) do assert.is_function(require "orrery".map()[name]) end
    for _, name in ipairs(functions_of(types.Topology)) do assert.is_function(topology.mesh()[name]) end
  end)

  it("has every method of a bare Raft, each with an example", function()
    local methods = getmetatable(require "orrery".raft { id = "a", voters = { "a" } }).__index
    assert.same(functions_of(methods), functions_of(types.Raft))
    local before
    for line in text:gmatch "[^\n]+" do
      local name = line:match "^function (Raft:%w+)" or line:match "^function (orrery%.raft)%("
      if name then assert.is_truthy(before, name .. " has no example") end
      before = line:find "^%-%-%-" and (before or line:find "^%-%-%-    %S") or nil
    end
  end)

  it("has every method of the bare clocks, each with an example", function()
    local orrery = require "orrery"
    local ring = orrery.ring { nodes = { "a" } }
    local placement = orrery.placement { nodes = { "a" } }
    for class, object in pairs { Clock = orrery.clock(), Hlc = orrery.hlc(), Ring = ring, Placement = placement } do
      assert.same(functions_of(getmetatable(object).__index), functions_of(types[class]))
    end
    local before
    for line in text:gmatch "[^\n]+" do
      local name = line:match "^function (Clock:%w+)" or line:match "^function (Hlc:%w+)" or
        line:match "^function (orrery%.clock)" or line:match "^function (orrery%.hlc)" or
        line:match "^function (orrery%.mesh)" or line:match "^function (Ring:%w+)" or
        line:match "^function (Placement:%w+)" or line:match "^function (orrery%.placement)"
      if name then assert.is_truthy(before, name .. " has no example") end
      before = line:find "^%-%-%-" and (before or line:find "^%-%-%-    %S") or nil
    end
  end)

  it("has every method of a simulation, its nodes and clients, each with an example", function()
    local sim <close> = require "orrery".sim "examples/kv/cluster.lua"
    assert.same(functions_of(require "orrery.sim".methods), functions_of(types.Sim))
    assert.same(functions_of(require "orrery.start".methods), functions_of(types.Started))
    assert.same(functions_of(require "orrery.connect".methods), functions_of(types.Connected))
    for _, name in ipairs(functions_of(types.Handle)) do assert.is_function(sim.nodes.a[name]) end
    for _, name in ipairs(functions_of(types.Client)) do assert.is_function(sim:client { to = "a" }[name]) end
    local before
    for line in text:gmatch "[^\n]+" do
      local name = line:match "^function (%u%l+:[%w_]+)" or line:match "^function (orrery%.[sc][ito]%w+)%("
      if name and not name:find "^[GLTRM]" then assert.is_truthy(before, name .. " has no example") end
      before = line:find "^%-%-%-" and (before or line:find "^%-%-%-    %S") or nil
    end
  end)

  it("has every method of a workload's client and history", function()
    local history = getmetatable(require "orrery.history".new()).__index
    assert.same(functions_of(require "orrery.workload_client".methods), functions_of(types.WorkloadClient))
    assert.same(functions_of(history), functions_of(types.History))
  end)

  it("has every field of node", function()
    for key in had.node.all:gmatch "([%w_]+) " do
      assert.is_truthy(text:find("---@field " .. key .. " ", 1, true) or types.node[key] or key == "title", key)
    end
  end)

  it("has nothing that is for later", function()
    for name in pairs(later.node) do assert.is_nil(types.node[name]) end
    for name in pairs(later.group) do assert.is_nil(types.Group[name]) end
    for name in pairs(later.orrery) do assert.is_nil(types.orrery[name]) end
    for name in pairs(later.sim) do assert.is_nil(types.Sim[name]) end
    for name in pairs(later.started) do assert.is_nil(types.Started[name]) end
    for name in pairs(later.handle) do assert.is_nil(types.Handle[name]) end
    for name in pairs(later.connected) do assert.is_nil(types.Connected[name]) end
  end)
end)
