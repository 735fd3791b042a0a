-- node_spec.lua - the top level of node scripts: what it finds, what it may declare, every complaint with its line.
local cluster = require "orrery.cluster"
local node = require "orrery.node"
local plan = require "orrery.plan"

local folder = dofile "spec/lua/folder.lua"()
teardown(function() folder:remove() end)

local file = [[
return orrery.cluster { name = "kv", node = "n.lua", config = { rate = 1, name = "kv" }, nodes = {
  { id = "a", at = "127.0.0.1:1", resp = "127.0.0.1:11", roles = { "store" }, zone = "z", config = { rate = 2 } },
  { id = "b", at = "127.0.0.1:2", resp = "127.0.0.1:12", roles = { "store", "page" } },
  { id = "c", at = "127.0.0.1:3", roles = { "page" } },
}, links = orrery.topology.line() }]]

-- Boots node `id` on a host that notes what it is asked: calls, or nil and the complaint without the folder.
local function boot(script, id, sets)
  folder:write("n.lua", script)
  local value = assert(cluster.load(folder:write("c.lua", file)))
  local calls = {}
  local over = { seed = function() return 7 end }
  local function note(name)
    return function(...)
      calls[#calls + 1] = { name, ... }
      return name == "replicate" and "handle of " .. ... or nil
    end
  end
  for _, name in ipairs { "new", "replicate", "log", "status" } do over[name] = note(name) end
  over.listeners = node.idle_room { kv = note "listen" }
  local text = plan.text(value, assert(plan.bundle(value)), id or "a", sets)
  local ok, message = pcall(node.try, node.idle_host(over), text)
  if ok then return calls end
  return nil, (message:gsub(folder.path:gsub("%p", "%%%0") .. "/", ""))
end

local function of(calls, name)
  local found = {}
  for _, call in ipairs(calls) do if call[1] == name then found[#found + 1] = call end end
  return found
end

-- What a script of this text logs, a line each.
local function logged(script, id, sets)
  local lines = {}
  for _, call in ipairs(of(assert(boot(script, id, sets)), "log")) do lines[#lines + 1] = call[2] .. ": " .. call[3] end
  return table.concat(lines, "\n")
end

local listens = "local kv = node:replicate('kv', { machine = 'kv' })\nnode:listen('resp', kv:resp(), "
local quiet = "\nnode:listen('resp', node:replicate('quiet', { machine = 'kv' }):resp())"

describe("a node script", function()
  it("declares a group and a listener", function()
    local calls = assert(boot [[
      local kv = node:replicate("kv", { machine = "kv", on = "store", election = 1, heartbeat = 0.1 })
      node:listen("resp", kv:resp())]])
    assert.same({ { "replicate", "kv", 1, 0.1, { "a", "b" }, nil, false } }, of(calls, "replicate"))
    assert.same({ { "listen", "resp", "127.0.0.1:11", "handle of kv" } }, of(calls, "listen"))
    calls = assert(boot(listens .. "{ limits = { clients = 1 << 26 } })"))
    assert.same({ { "listen", "resp", "127.0.0.1:11", "handle of kv", nil, 1 << 26 } }, of(calls, "listen"))
    local new = of(calls, "new")[1][2]
    assert.equal("kv", new.cluster)
    assert.equal("a", new.id)
    assert.same({ { id = "a", at = "127.0.0.1:1", link = false }, { id = "b", at = "127.0.0.1:2", link = true },
      { id = "c", at = "127.0.0.1:3", link = false } }, new.nodes)
    assert.same({ 2, 0.25, 0.05 }, { new.call, new.election, new.heartbeat })
    assert.equal(32, #new.bundle)
  end)

  it("finds who it is", function()
    assert.equal("info: a z true nil 2 kv 9 b store a,b c", logged([[
      node.log:info(node.id, node.zone, node.roles.store, node.roles.page, node.config.rate, node.config.name,
        node.config.x, table.concat(node.peers, ","), node.cluster.nodes[1].roles[1],
        table.concat(node:role "store", ","), node:role("page")[2])
    ]] .. quiet, "a", { x = 9 }))
  end)

  it("reads what it is shown as any table", function()
    assert.equal("info: 1 b b 1 kv,2 2 true nil", logged([[
      local keys = {}
      for _, key in ipairs { "name", "rate" } do
        for k, v in pairs(node.config) do if k == key then keys[#keys + 1] = v end end
      end
      local _, first = next(node.peers)
      for i, id in ipairs(node.peers) do first = id end
      node.log:info(#node.peers, node.peers[1], first, #{ table.unpack(node.peers) }, table.concat(keys, ","),
        #node.cluster.nodes[2].roles, node.cluster.nodes == node.cluster.nodes, next(node.cluster.secrets))]] .. quiet))
    assert.equal('info: { name = "kv", rate = 2 } { "b" } { "store", "page" } orrery.cluster(kv 3 nodes)', logged([[
      node.log:info(node.config, node.peers, node.cluster.nodes[2].roles, tostring(node.cluster))]] .. quiet))
    assert.equal("info: 2 3 a line() + mesh()", logged([[
      local t = node.cluster.links
      node.log:info(#t:list { "a", "b", "c" }, #(t + orrery.topology.mesh()):list { "a", "b", "c" },
        t:list({ "a", "b" })[1][1], tostring(t + orrery.topology.mesh()):match "^[^\n]*")]] .. quiet))
    assert.equal("info: a b", logged([[
      local on = node.cluster.nodes[2].config.on or { node.id, node.peers[1] }
      local kv = node:replicate("kv", { machine = "kv", on = on })
      node.log:info(node.id, node.peers[1])]] .. quiet))
  end)

  it("logs values readably, and prints into the log", function()
    assert.equal('warn: x { 1, 2 } nil 1.5\ninfo: hello true', logged([[
      node.log:warn("x", { 1, 2 }, nil, 1.5) print("hello", true)]] .. quiet))
  end)

  it("has the pure library and its own seeded chance", function()
    assert.equal("info: " .. "ok", logged([[
      assert(coroutine and math.sin and string.rep and table.concat and utf8.char and load and pcall and setmetatable)
      assert(string.dump == nil and math.randomseed == nil)
      node.log:info("ok")]] .. quiet))
    local first = logged("node.log:info(math.random(1 << 40))" .. quiet)
    assert.equal(first, logged("node.log:info(math.random(1 << 40))" .. quiet))
  end)

  it("requires modules from beside the cluster file, once, in its own environment", function()
    folder:write("m/one.lua", "node.log:info('loaded', ...) return { two = require 'two' }")
    folder:write("two.lua", "return 22")
    assert.equal("info: loaded m.one\ninfo: 22 true", logged([[
      local one = require "m.one"
      node.log:info(one.two, one == require "m.one" and require "orrery" == orrery)]] .. quiet))
  end)

  it("says where it can be reached from beyond this machine, and what nobody listens on", function()
    assert.equal('warn: nobody listens on resp (127.0.0.1:11): the script has no node:listen("resp", ...)', logged "")
    local before = file
    file = file:gsub("127.0.0.1:11", "0.0.0.0:11")
    assert.equal("warn: resp is 0.0.0.0:11, which may be reached from beyond this machine; this version has no TLS",
      logged(quiet))
    file = before
  end)

  local cases = {
    { "x = 1", "n.lua:1: a node script makes no globals: write local x" },
    { "print(nod)", "n.lua:1: a node script has no global nod (nearest: 'node')" },
    { "os.exit(1)", "n.lua:1: a node script has no global os" },
    { "io.write 'x'", "n.lua:1: a node script has no global io" },
    { "debug.sethook()", "n.lua:1: a node script has no global debug" },
    { "node.id = 'b'", "n.lua:1: node is read-only (assigning id)" },
    { "node.idd = 'b'", "n.lua:1: node is read-only (assigning idd)" },
    { "node.peers[1] = 'x'", "n.lua:1: node.peers is read-only (assigning [1])" },
    { "node.peers[2] = 'x'", "n.lua:1: node.peers is read-only (assigning [2])" },
    { "table.insert(node.peers, 'x')", "n.lua: node.peers is read-only (assigning [2])" },
    { "node.config.rate = 1", "n.lua:1: node.config is read-only (assigning rate)" },
    { "node.roles.page = true", "n.lua:1: node.roles is read-only (assigning page)" },
    { "node.cluster.name = 'x'", "n.lua:1: node.cluster is read-only (assigning name)" },
    { "node.cluster.nodes[1].config.rate = 7", "n.lua:1: node.cluster.nodes[1].config is read-only (assigning rate)" },
    { "node.cluster.links.kind = 'mesh'", "n.lua:1: node.cluster.links is read-only (assigning kind)" },
    { "local _, t = pairs(node.config) t.rate = 1", "n.lua:1: node.config is read-only (assigning rate)" },
    { "local _, t = pairs(node) t.id = 'b'", "n.lua:1: node is read-only (assigning id)" },
    { "setmetatable(node.peers, nil)", "n.lua:1: cannot change a protected metatable" },
    { "node.log.info('x')", "n.lua:1: node.log.info must be called as a method: node.log:info(...)" },
    { "node.log:inf('x')", "n.lua:1: node.log.inf is unknown (nearest: 'info')" },
    { "print(node.idd)", "n.lua:1: node.idd is unknown (nearest: 'id')" },
    { "\nnode:lock('add')", "n.lua:2: node.lock is not available in this version of Orrery (0.1.0)" },
    { "orrery.raft { id = 'a' }", "n.lua:1: orrery.raft: 'voters' is missing, must be an array of ids" },
    { "orrery.paxos {}", "n.lua:1: orrery.paxos is not available in this version of Orrery (0.1.0)" },
    { "orrery.ratf {}", "n.lua:1: orrery.ratf is unknown (nearest: 'raft')" },
    { "node.replicate('kv', {})", "n.lua:1: node.replicate must be called as a method: node:replicate(...)" },
    { "node:replicate('Kv', {})",
      [[n.lua:1: node:replicate: the group's name must be [a-z][a-z0-9_-]*, at most 32 (got "Kv")]] },
    { "node:replicate('kv')", "n.lua:1: node:replicate kv: options must be a table (got nothing)" },
    { "node:replicate('kv', {})", [[n.lua:1: node:replicate kv: 'apply' is missing: a function, or machine = "kv"]] },
    { "node:replicate('kv', { machine = 'kvv' })", [[n.lua:1: node:replicate kv: 'machine' must be "kv" (got "kvv")]] },
    { "node:replicate('kv', { machine = 'log' })",
      [[n.lua:1: node:replicate kv: machine = "log" is not available in this version of Orrery (0.1.0)]] },
    { "node:replicate('kv', { order = 'paxos', machine = 'kv' })",
      [[n.lua:1: node:replicate kv: order = "paxos" is not available in this version of Orrery (0.1.0)]] },
    { "node:replicate('kv', { apply = print })",
      "n.lua:1: node:replicate kv: apply: a function written in Lua is expected (got a function written in C)" },
    { "node:replicate('kv', { machine = 'kv', elektion = 1 })",
      "n.lua:1: node:replicate kv: 'elektion' is unknown (nearest: 'election')" },
    { "node:replicate('kv', { machine = 'kv', election = 0 })",
      "n.lua:1: node:replicate kv: 'election' must be a number of seconds above 0 and at most 86400 (got 0)" },
    { "node:replicate('kv', { machine = 'kv', election = 0.01 })",
      "n.lua:1: node:replicate kv: 'heartbeat' must be below 'election' (got 0.05 >= 0.01)" },
    { "node:replicate('kv', { machine = 'kv', on = 'stores' })",
      [[n.lua:1: node:replicate kv: 'on' must be a role that some node bears (got "stores")]] },
    { "node:replicate('kv', { machine = 'kv', on = { 'a', 'd' } })",
      [[n.lua:1: node:replicate kv: 'on[2]' must be a node of the cluster (got "d")]] },
    { "node:replicate('kv', { machine = 'kv', on = { 'a', 'a' } })",
      [[n.lua:1: node:replicate kv: 'on[2]' must be named once (got "a" twice)]] },
    { "node:replicate('kv', { machine = 'kv', on = {} })",
      "n.lua:1: node:replicate kv: 'on' must be 1 to 7 nodes (got 0)" },
    { "node:replicate('kv', { machine = 'kv', on = 7 })",
      "n.lua:1: node:replicate kv: 'on' must be a role or an array of ids (got 7)" },
    { "node:replicate('kv', { machine = 'kv' })\nnode:replicate('kv', { machine = 'kv' })",
      "n.lua:2: node:replicate kv: a group of that name is declared already" },
    { "local kv = node:replicate('kv', { machine = 'kv' })\nkv:members('a', 1)",
      "n.lua:2: group kv:members is not available in this version of Orrery (0.1.0)" },
    { "local kv = node:replicate('kv', { machine = 'kv' })\nkv:ste('a', 1)",
      "n.lua:2: group kv:ste is unknown (nearest: 'set')" },
    { "node:role(1)", "n.lua:1: node:role: a name is expected (got 1)" },
    { "node:load('orrery.clock')",
      [[n.lua:1: node:load: names that begin with 'orrery.' are the node's own (got "orrery.clock")]] },
    { "node:listen('http', 1)", [[n.lua:1: node:listen: node a has no listener "http" in the cluster file]] },
    { "node:listen('rsep', 1)",
      [[n.lua:1: node:listen: node a has no listener "rsep" in the cluster file (nearest: 'resp')]] },
    { "node:listen('resp', 1)",
      "n.lua:1: node:listen resp: the service must be a function, orrery.resp.serve{...} or group:resp() (got 1)" },
    { listens .. "7)", "n.lua:2: node:listen resp: options must be a table (got 7)" },
    { listens .. "{ limit = {} })", "n.lua:2: node:listen resp: 'limit' is unknown (nearest: 'limits')" },
    { listens .. "{ limits = { client = 'x' } })",
      [[n.lua:2: node:listen resp: 'limits.client' must be an integer from 1048576 to 1099511627776 (got "x")]] },
    { listens .. "{ limits = { clients = 100 } })",
      "n.lua:2: node:listen resp: 'limits.clients' must be an integer from 1048576 to 1099511627776 (got 100)" },
    { listens .. "{ limits = { clients = 1 << 21, client = 1 << 22 } })",
      "n.lua:2: node:listen resp: 'limits.client' must be at most 'limits.clients' (got 4194304 > 2097152)" },
    { listens .. "{ limits = { client = 1 << 29 } })",
      "n.lua:2: node:listen resp: 'limits.client' must be at most 'limits.clients' (got 536870912 > 268435456)" },
    { "local s = node:replicate('kv', { machine = 'kv' }):resp()\nnode:listen('resp', s)\nnode:listen('resp', s)",
      "n.lua:3: node:listen resp: listens already" },
    { "require 'nothing'",
      [[n.lua:1: require: no module "nothing" beside the cluster file (a module's name must be written literally)]] },
    { "load('x', 'x', 'b')", [[n.lua:1: load: only text can be loaded, mode must be "t"]] },
    { "coroutine.yield()", "n.lua: nothing may wait or yield while a file loads", },
    { "while true do end", "n.lua:1: ran for more than 10000000 instructions" },
    { "error {}", "n.lua: raised a table" },
    { "error('oh', 0)", "n.lua: oh" },
    { "local = 1", "n.lua:1: <name> expected near '='" },
  }
  for _, case in ipairs(cases) do
    it("is told: " .. case[2], function()
      local _, message = boot(case[1])
      assert.equal(case[2], message)
    end)
  end
end)
