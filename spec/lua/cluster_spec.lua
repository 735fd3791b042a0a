-- cluster_spec.lua - cluster files: what is read, every default, every complaint with its line.
local cluster = require "orrery.cluster"
local orrery = require "orrery"

local folder = dofile "spec/lua/folder.lua"()

-- The complaint about a file of this text, without the folder.
local function complaint(text)
  local value, message = cluster.load(folder:write("c.lua", text))
  assert.is_nil(value)
  assert.is_nil(message:find("\n", 1, true))
  return (message:gsub(folder.path:gsub("%p", "%%%0") .. "/", ""))
end

local head = 'return orrery.cluster {\n  name = "kv",\n  node = "node.lua",\n'
local first_node = '  nodes = {\n    { id = "a", at = "127.0.0.1:7401" },\n'
local good_nodes = first_node .. '    { id = "b", at = "127.0.0.1:7402" },\n  },\n'

-- About a node whose fields are these; it stands on line 6.
local function of_node(fields)
  return complaint(head .. first_node .. "    { " .. fields .. " },\n  },\n}\n")
end

-- About a field of the cluster; it stands on line 8.
local function of_cluster(field)
  return complaint(head .. good_nodes .. field .. "\n}\n")
end

teardown(function() folder:remove() end)

describe("a cluster file", function()
  it("gives a value with every default", function()
    local value = assert(cluster.load(folder:write("c.lua", head .. good_nodes .. "}")))
    assert.equal("kv", value.name)
    assert.same({ "a", "b" }, cluster.ids(value))
    assert.same({ call = 2, election = 0.25, heartbeat = 0.05 }, value.timing)
    assert.same({ ntp = {}, mode = "ntp", bound_max = 0.1 }, value.clock)
    assert.same({ calls = 1000, steps = 10000000, memory = 1 << 28 }, value.limits)
    assert.same({}, value.config)
    assert.same({}, value.secrets)
    assert.same({ "b" }, value.links:peers({ "a", "b" }, "a"))
    assert.same({ id = "a", at = "127.0.0.1:7401", zone = "", roles = {}, weight = 1, config = {}, listen = {} },
      value.nodes[1])
    assert.equal("orrery.cluster(kv 2 nodes)", tostring(value))
  end)

  it("takes every field", function()
    local value = assert(cluster.load(folder:write("c.lua", [[
      local ids = {}
      for i = 1, 3 do
        ids[i] = { id = "n" .. i, at = ("[::1]:%d"):format(7400 + i), zone = "z", roles = { "store" }, weight = 2,
          config = { shelf = { 1, 2 } }, node = "other.lua", resp = "localhost:" .. 7500 + i,
          listen = { http = "0.0.0.0:80" } }
      end
      return orrery.cluster {
        name = "all", nodes = ids, links = orrery.topology.ring(), config = { rate = 1.5, deep = { { true } } },
        secrets = { key = "env:KEY", cert = "file:/etc/x", test = "sim:y" },
        limits = { message = 2^20, op = 1000, calls = 5, steps = 7, memory = 2^20 },
        timing = { call = 1, election = 0.5, heartbeat = 0.1 },
        clock = { ntp = { "127.0.0.1:123" }, mode = "pacemaker", bound_max = 1 },
      }]])))
    assert.equal(1048576, value.limits.message)
    assert.equal("integer", math.type(value.limits.message))
    assert.same({ http = "0.0.0.0:80", resp = "localhost:7502" }, value.nodes[2].listen)
    assert.same({ "n1", "n2", "n3" }, cluster.role(value, "store"))
  end)

  it("makes resp and listen.resp one", function()
    local value = assert(cluster.load(folder:write("c.lua", head .. [[
      nodes = { { id = "a", at = "127.0.0.1:1", listen = { resp = "127.0.0.1:2" } } } }]])))
    assert.equal("127.0.0.1:2", value.nodes[1].resp)
    assert.matches("^c.lua:6: orrery.cluster: 'nodes%[2%].resp' is \"127.0.0.1:5\" here and \"127.0.0.1:6\" in listen",
      of_node 'id = "b", at = "127.0.0.1:2", resp = "127.0.0.1:5", listen = { resp = "127.0.0.1:6" }')
  end)
end)

describe("a cluster without some of its nodes", function()
  it("has the others as they were, where their links stay as they are", function()
    local function of(links)
      return assert(cluster.load(folder:write("c.lua", head .. first_node .. [[
        { id = "b", at = "127.0.0.1:7402" }, { id = "c", at = "127.0.0.1:7403", config = { x = 1 } } },
        links = orrery.topology.]] .. links .. " }")))
    end
    local whole = of "mesh()"
    local part = assert(cluster.without(whole, { "b" }))
    assert.is_true(cluster.is(part))
    assert.same({ "a", "c" }, cluster.ids(part))
    assert.equal(whole.nodes[3], part.nodes[2])
    assert.same({ "a", "b", "c" }, cluster.ids(whole))
    assert.equal(cluster.directory(whole), cluster.directory(part))
    assert.same({ "a", "b" }, cluster.ids(assert(cluster.without(of "line()", { "c" }))))
    assert.same({ nil, "without b the others would not be linked as they are" },
      { cluster.without(of "line()", { "b" }) })
    assert.same({ nil, 'there is no node "bb" (nearest: \'b\')' }, { cluster.without(whole, { "bb" }) })
    assert.same({ nil, "no node would be left" }, { cluster.without(whole, { "a", "b", "c" }) })
  end)
end)

describe("a mistake in a cluster file", function()
  local server = '"host", "host:port", "[IPv6]:port", or "pool:name" for several servers of one name'
  local cases = {
    { "an unknown field", "adress = 1", "c.lua:8: orrery.cluster: 'adress' is unknown" },
    { "an unknown field near a known one", 'link = 1',
      "c.lua:8: orrery.cluster: 'link' is unknown (nearest: 'links')" },
    { "a wrong links", "links = 7",
      "c.lua:8: orrery.cluster: 'links' must be a topology (orrery.topology.mesh() and so on) (got 7)" },
    { "links to nobody", 'links = orrery.topology.links{ { "a", "bb" } }',
      [[c.lua:8: orrery.cluster: 'links' must link nodes of this file (got "bb" (nearest: 'b'))]] },
    { "a config that isn't plain", "config = { a = { f = type } }",
      "c.lua:8: orrery.cluster: 'config.a.f' must be plain data: true, false, numbers, strings, tables of these " ..
        "(got a function)" },
    { "a config that is no table", 'config = "x"',
      [[c.lua:8: orrery.cluster: 'config' must be a table of plain data (got "x")]] },
    { "a secret that is written", 'secrets = { key = "hunter2" }',
      [[c.lua:8: orrery.cluster: 'secrets.key' must be "env:VAR" or "file:PATH": a secret is named here, ]] ..
        [[never written (got "something else")]] },
    { "a limit of no size", "limits = { op = 0 }",
      "c.lua:8: orrery.cluster: 'limits.op' must be an integer from 64 to 1073741824 (got 0)" },
    { "a limit that no node can keep to", "limits = { message = 1 }",
      "c.lua:8: orrery.cluster: 'limits.message' must be an integer from 1024 to 1073741824 (got 1)" },
    { "a limit that no script can start in", "limits = { memory = 9 }",
      "c.lua:8: orrery.cluster: 'limits.memory' must be an integer from 1048576 to 1099511627776 (got 9)" },
    { "a limit of half a byte", "limits = { message = 1.5 }",
      "c.lua:8: orrery.cluster: 'limits.message' must be an integer from 1024 to 1073741824 (got 1.5)" },
    { "an unknown limit", "limits = { ops = 1 }", "c.lua:8: orrery.cluster: 'limits.ops' is unknown (nearest: 'op')" },
    { "a negative time", "timing = { call = -1 }",
      "c.lua:8: orrery.cluster: 'timing.call' must be a number of seconds above 0 and at most 86400 (got -1)" },
    { "a time in words", 'timing = { call = "2s" }',
      [[c.lua:8: orrery.cluster: 'timing.call' must be a number of seconds above 0 and at most 86400 (got "2s")]] },
    { "a heartbeat above the election timeout", "timing = { heartbeat = 1 }",
      "c.lua:8: orrery.cluster: 'timing.heartbeat' must be below timing.election (got 1 >= 0.25)" },
    { "a clock of another mode", 'clock = { mode = "sundial" }',
      [[c.lua:8: orrery.cluster: 'clock.mode' must be "ntp" or "pacemaker" (got "sundial")]] },
    { "a clock server that is no address", "clock = { ntp = { 7 } }",
      [[c.lua:8: orrery.cluster: 'clock.ntp[1]' must be ]] .. server .. " (got 7)" },
    { "a clock server with a bad port", "clock = { ntp = { 'a.example', 'b.example:70000' } }",
      [[c.lua:8: orrery.cluster: 'clock.ntp[2]' must be ]] .. server .. ' (got "b.example:70000")' },
    { "a clock server whose name is none", "clock = { ntp = { 'a..example' } }",
      [[c.lua:8: orrery.cluster: 'clock.ntp[1]' must be ]] .. server .. ' (got "a..example")' },
    { "a clock server whose name begins with a dash", "clock = { ntp = { 'pool:-a.example' } }",
      [[c.lua:8: orrery.cluster: 'clock.ntp[1]' must be ]] .. server .. ' (got "pool:-a.example")' },
    { "a clock server whose number is none", "clock = { ntp = { '10.0.0.256' } }",
      [[c.lua:8: orrery.cluster: 'clock.ntp[1]' must be ]] .. server .. ' (got "10.0.0.256")' },
    { "an IPv6 clock server without brackets", "clock = { ntp = { 'fe80::1' } }",
      [[c.lua:8: orrery.cluster: 'clock.ntp[1]' must be ]] .. server .. ' (got "fe80::1")' },
    { "a pool of one address", "clock = { ntp = { 'pool:10.0.0.1:123' } }",
      [[c.lua:8: orrery.cluster: 'clock.ntp[1]' must be a name behind "pool:", which stands for several addresses ]] ..
      '(got "pool:10.0.0.1:123")' },
    { "a clock server with a long name", "clock = { ntp = { ('x'):rep(64) } }",
      [[c.lua:8: orrery.cluster: 'clock.ntp[1]' must be a host of at most 63 characters (got "]] .. ("x"):rep(57) ..
      '...")' },
    { "a clock server twice", "clock = { ntp = { 'a.example', 'pool:A.example:123' } }",
      [[c.lua:8: orrery.cluster: 'clock.ntp[2]' must be a server of its own (got "pool:A.example:123", which is ]] ..
      "clock.ntp[1] already)" },
    { "discipline without a server", "clock = { discipline = true }",
      [[c.lua:8: orrery.cluster: 'clock.discipline' needs NTP servers in clock.ntp: without them the cluster's ]] ..
      "time is the median of the machines' own clocks, and would follow itself" },
    { "too many clock servers", "clock = { ntp = { 'pool:a', 'pool:b', 'pool:c', 'd', 'pool:e' } }",
      [[c.lua:8: orrery.cluster: 'clock.ntp[5]' must come to at most 16 servers, a pool being 4 (got "pool:e" ]] ..
      "behind 13)" },
  }
  for _, case in ipairs(cases) do
    it("is told: " .. case[1], function() assert.equal(case[3], of_cluster(case[2])) end)
  end

  local node_cases = {
    { "no id", 'at = "127.0.0.1:1"',
      "'nodes[2].id' is missing, must be an id: [a-z][a-z0-9_-]*, at most 32 characters" },
    { "a capital id", 'id = "B", at = "127.0.0.1:1"',
      [['nodes[2].id' must be an id: [a-z][a-z0-9_-]*, at most 32 characters (got "B")]] },
    { "a long id", 'id = ("b"):rep(33), at = "127.0.0.1:1"',
      [['nodes[2].id' must be an id: [a-z][a-z0-9_-]*, at most 32 characters ]] ..
        [[(got "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb")]] },
    { "no address", 'id = "b"', [['nodes[2].at' is missing, must be "host:port"]] },
    { "an address without a port", 'id = "b", at = "localhost"',
      [['nodes[2].at' must be "host:port" (got "localhost")]] },
    { "a port beyond 65535", 'id = "b", at = "127.0.0.1:65536"',
      [['nodes[2].at' must be "host:port" (got "127.0.0.1:65536")]] },
    { "an octet beyond 255", 'id = "b", at = "127.0.0.256:1"',
      [['nodes[2].at' must be "host:port" (got "127.0.0.256:1")]] },
    { "an address that is a number", 'id = "b", at = 7402', [['nodes[2].at' must be "host:port" (got 7402)]] },
    { "an address that nobody can dial", 'id = "b", at = "0.0.0.0:7402"',
      [['nodes[2].at' must be "host:port" that others can dial (got "0.0.0.0:7402")]] },
    { "an id given twice", 'id = "a", at = "127.0.0.1:7402"',
      [['nodes[2].id' must be an id of its own (got "a", which is nodes[1] already)]] },
    { "an address given twice", 'id = "b", at = "localhost:7401"',
      [['nodes[2].at' must be an address of its own (got "localhost:7401", which is 'nodes[1].at' already)]] },
    { "a listener on a node's address", 'id = "b", at = "127.0.0.1:7402", resp = "127.0.0.1:7401"',
      [['nodes[2].resp' must be an address of its own (got "127.0.0.1:7401", which is 'nodes[1].at' already)]] },
    { "a listener without a port", 'id = "b", at = "127.0.0.1:7402", listen = { http = "x" }',
      [['nodes[2].listen.http' must be "host:port" (got "x")]] },
    { "a listener with a bad name", 'id = "b", at = "127.0.0.1:7402", listen = { ["h t"] = "127.0.0.1:1" }',
      [['nodes[2].listen["h t"]' must be a listener's name: [a-z][a-z0-9_-]*, at most 32 (got "h t")]] },
    { "an unknown field of a node", 'id = "b", at = "127.0.0.1:1", adress = 7', "'nodes[2].adress' is unknown" },
    { "a misspelt field of a node", 'id = "b", at = "127.0.0.1:1", role = { "x" }',
      "'nodes[2].role' is unknown (nearest: 'roles')" },
    { "roles that are no array", 'id = "b", at = "127.0.0.1:1", roles = "store"',
      [['nodes[2].roles' must be an array of names (got "store")]] },
    { "a role that is no name", 'id = "b", at = "127.0.0.1:1", roles = { "x", 7 }',
      "'nodes[2].roles[2]' must be a role's name: [a-z][a-z0-9_-]*, at most 32 characters (got 7)" },
    { "roles by name", 'id = "b", at = "127.0.0.1:1", roles = { store = true }',
      "'nodes[2].roles.store' is no index of an array (an array of names)" },
    { "no weight", 'id = "b", at = "127.0.0.1:1", weight = 0',
      "'nodes[2].weight' must be a number above 0 and at most 1000000 (got 0)" },
    { "a script from elsewhere", 'id = "b", at = "127.0.0.1:1", node = "../x.lua"',
      [['nodes[2].node' must be the path of a script beside this file (got "../x.lua")]] },
  }
  for _, case in ipairs(node_cases) do
    it("is told: " .. case[1], function() assert.equal("c.lua:6: orrery.cluster: " .. case[3], of_node(case[2])) end)
  end

  it("is told: no name, at the constructor", function()
    assert.equal("c.lua:1: orrery.cluster: 'name' is missing, must be a name: [a-z0-9-], at most 63 characters",
      complaint('return orrery.cluster {\n  node = "node.lua",\n' .. good_nodes .. "}"))
  end)

  it("is told: no nodes", function()
    assert.equal("c.lua:1: orrery.cluster: 'nodes' is missing, must be an array of nodes", complaint(head .. "}"))
    assert.equal("c.lua:4: orrery.cluster: 'nodes' must have 1 to 10000 elements (got 0)",
      complaint(head .. "nodes = {} }"))
  end)

  it("is told: no script", function()
    assert.matches("^c.lua:1: orrery.cluster: 'node' is missing, must be the path of a script beside this file",
      complaint('return orrery.cluster {\n name = "x",\n' .. good_nodes .. "}"))
  end)

  it("is found where nodes are a variable", function()
    assert.equal([[c.lua:4: orrery.cluster: 'nodes[2].at' must be "host:port" (got "x")]], complaint [[
local list = {
  -- { id = "comment" },
  { id = "a", at = "127.0.0.1:1" },
  { id = "b", at = "x" },
}
return orrery.cluster { name = "kv", node = "n.lua", nodes = list }]])
  end)

  it("is found at the call where nodes are made in a loop", function()
    assert.equal([[c.lua:3: orrery.cluster: 'nodes[2].at' must be "host:port" (got "x2")]], complaint [[
local list = {}
for i = 1, 2 do list[i] = { id = "n" .. i, at = i == 1 and "127.0.0.1:1" or "x" .. i } end
return orrery.cluster { name = "kv", node = "n.lua", nodes = list }]])
  end)

  it("is told: a syntax error", function()
    assert.matches("^c.lua:2: .* near", complaint("return orrery.cluster {\n  name = = 1 }"))
  end)

  it("is told: another value", function()
    assert.equal("c.lua:1: must return orrery.cluster{...} (got 7)", complaint "return 7")
    assert.equal("c.lua:1: must return orrery.cluster{...} (got nothing)", complaint "local x = 1")
  end)

  it("is told: what a cluster file has not", function()
    assert.equal("c.lua:1: a cluster file has no global os", complaint 'return os.getenv "X"')
    assert.equal("c.lua:1: a cluster file has no global io", complaint 'return io.open "X"')
    assert.equal("c.lua:1: a cluster file has no global orery (nearest: 'orrery')", complaint "return orery.cluster {}")
    assert.equal("c.lua:1: a cluster file makes no globals: write local x", complaint "x = 1")
    assert.matches("attempt to call a nil value %(field 'random'%)", complaint "return math.random()")
  end)

  it("is told: what orrery has not", function()
    assert.equal("c.lua:1: orrery.topology.rings is unknown (nearest: 'ring')",
      complaint "local r = orrery.topology.rings()")
    assert.equal("c.lua:1: orrery.clutser is unknown (nearest: 'cluster')", complaint "return orrery.clutser {}")
  end)

  it("is told: what was raised", function()
    assert.equal("c.lua: raised a table", complaint "error {}")
    assert.equal("c.lua: oh", complaint "error('oh', 0)")
    assert.equal("c.lua: attempt to load a binary chunk (mode is 't')", complaint "\27Lua")
  end)

  it("is told: an endless loop", function()
    assert.matches("^c.lua:1: ran for more than 100000000 instructions", complaint "while true do end")
  end)

  it("is told: a file that isn't there", function()
    local value, message = cluster.load(folder.path .. "/none.lua")
    assert.is_nil(value)
    assert.equal(folder.path .. "/none.lua: No such file or directory", message)
  end)

  it("is told: plain data with a cycle or too deep", function()
    assert.matches("^c.lua:3: orrery.cluster: 'config.a.a' must be plain data without a cycle", complaint [[
local t = {} t.a = t
return orrery.cluster { name = "kv", node = "n.lua", nodes = { { id = "a", at = "127.0.0.1:1" } },
  config = { a = t } }]])
    assert.matches("must be at most 64 tables deep", complaint [[
local t = {} for i = 1, 70 do t = { t } end
return orrery.cluster { name = "kv", node = "n.lua", nodes = { { id = "a", at = "127.0.0.1:1" } }, config = t }]])
  end)

  it("raises in a plain script, with the place", function()
    local ok, message = pcall(function() local c = orrery.cluster { name = "x" } return c end)
    assert.is_false(ok)
    assert.matches("cluster_spec.lua:%d+: orrery.cluster: 'nodes' is missing", message)
  end)
end)

describe("a cluster's scripts", function()
  local plan = require "orrery.plan"
  local nodes = 'nodes = { { id = "a", at = "127.0.0.1:1" } } }'

  local function bundle(text)
    return plan.bundle(assert(cluster.load(folder:write("c.lua", text))))
  end

  it("are missing: told with the line", function()
    local _, message = bundle('return orrery.cluster { name = "kv",\n node = "nosuch.lua",\n' .. nodes)
    assert.matches("c.lua:2: orrery.cluster: 'node' must be a script that can be read %(.*nosuch.lua: No such file",
      message)
  end)

  it("are a bundle with what they require, hashed", function()
    folder:write("n.lua", 'local m = require "m.one"\nlocal x = require("orrery")')
    folder:write("m/one.lua", "require 'two'")
    folder:write("two.lua", "return 2")
    local text = 'return orrery.cluster { name = "kv", node = "n.lua", ' .. nodes
    local first = assert(bundle(text))
    assert.equal("return 2", first.files["two.lua"])
    assert.equal("require 'two'", first.files["m/one.lua"])
    assert.matches("^%x+$", first.hash)
    assert.equal(32, #first.hash)
    assert.equal(first.hash, assert(bundle(text:gsub("127.0.0.1:1", "127.0.0.1:2"))).hash)    -- addresses may move
    folder:write("two.lua", "return 3")
    assert.not_equal(first.hash, assert(bundle(text)).hash)
  end)

  it("are told --set over the node's config over the cluster's", function()
    local value = { config = { a = 1, b = 1, c = 1 } }
    assert.same({ a = 1, b = 2, c = 3 }, plan.config(value, { config = { b = 2, c = 2 } }, { c = 3 }))
  end)
end)
