-- misuse_spec.lua - what a node's state says of mistakes: the script's line, and the same words wherever Orrery is
-- installed, since a script may keep them in a state.
local orrery = require "orrery"

local folder = dofile "spec/lua/folder.lua"()
teardown(function() folder:remove() end)

-- Each is the body of a function, on a line of its own, and not its last call.
local in_handlers = {
  "node:on(1)", "node:on('x')", "node:on('x', print, { limit = 0 })", "node:on('x', print, { limt = 1 })",
  "node:call(1)", "node:call('nobody', 'x')", "node:call({}, 'x')", "node:call('a', 1)", "node:call('a', 'x', print)",
  "node:cast(1)", "node:cast('a', 'x', print)", "node:cast({ 'a' }, 'x', print)", "node:scatter('a')",
  "node:scatter({ role = 'none' }, 'x')", "node:scatter({ 'a', need = 0 }, 'x')", "node:scatter('a', 'x', print)",
  "node:spawn()", "node:spawn(1)", "node:sleep()", "node:sleep(-1)", "node:sleep(0/0)", "node:after(1)",
  "node:after('x', print)", "node:every(0, print)", "node:every(1)", "node:channel(-1)", "node:channel('x')",
  "node:channel():put()", "node:save(1, 2)", "node:save('', 2)", "node:save('x', print)",
  "node:save('orrery.x', 2)", "node:load(1)",
  "node:role(1)", "node.spawn(print)", "node.log.info('x')", "node.spwan(print)", "node:shard('x')", "node.x = 1",
  "node.config.x = 1", "node.peers[1] = 2", "node.cluster.name = 'x'", "node:listen('x', print)",
  "node:replicate('X')", "node:replicate('x')", "node:replicate('x', {})", "node:replicate('x', { apply = 1 })",
  "node:replicate('x', { aply = print })", "node:replicate('g', { apply = function() end })",
  "node:replicate('y', { apply = function() return node end, init = function() return group end })",
  "node:replicate('z', { order = 'paxos' })", "node:replicate('z', { on = 'none', apply = function() end })",
  "group:propose()", "group:propose('x')", "group:propose({}, { timeout = -1 })", "group:propose({}, { tmeout = 1 })",
  "group:propose({ f = print })", "group:read(function() return group end)", "group:read(print)",
  "group:peek(function() return group end)", "group:on('nope', print)", "group:on('leader')", "group.propose({})",
  "group:shout()", "require(1)", "require 'nothing'", "leak = 1", "return nothing", "string.x = 1", "orrery.x = 1",
  "orrery.sim('x')", "orrery.start('x')", "orrery.raft(1)", "orrery.raft {}", "orrery.cluster {}",
  "orrery.cluster(1)", "orrery.topology.mesh(1)", "orrery.topology.tree { arity = 0 }", "orrery.pack(print)",
  "orrery.unpack(1)", "orrery.hash(print)", "orrery.map(1)", "orrery.resp.serve(1)", "orrery.resp.serve { X = 1 }",
  "orrery.nothing()", "error('own')", "nil_value()", "local x = nil + 1",
  "('x'):rep('y')", "('x'):bad()", "setmetatable(1, {})", "load('x')", "tostring()", "table.concat({ {} })",
  "table.insert({}, 5, 1)", "table.insert(1)", "table.remove({}, 7)", "table.move({}, 1)",
  "table.unpack({}, 1, 1e7)", "table.sort({ 1, 2 }, 1)", "string.byte({})",
  "string.char(-1)", "string.rep('x')", "string.sub()", "string.format('%d', 'x')", "string.format('%y', 1)",
  "string.format()", "string.pack('i99', 1)", "string.unpack('i8', 'x')", "('x'):find('[')", "('x'):gsub('x', '%9')",
  "('x'):gsub('(', '')", "('x'):gmatch()", "('x'):upper(string.upper())", "utf8.char(-1)", "utf8.codepoint('x', 9)",
  "utf8.codes('\xff')()", "math.random(0, -1)", "math.floor('x')", "math.tointeger()", "coroutine.create(1)",
  "coroutine.resume(1)", "coroutine.close(coroutine.running())", "coroutine.wrap(1)", "select(0)", "next({}, 'x')",
  "pairs()", "ipairs()", "rawset(string, 'x', 1)", "rawlen(1)", "tonumber('x', 99)", "pcall()",
  "xpcall(1)", "load(1)", "load('x', 'y', 'b')", "setmetatable({}, { __gc = 1 })",
}
local in_tasks = {
  ["a coroutine of one's own"] = "coroutine.wrap(function() node:sleep(1) return 1 end)()",
  ["a comparison"] = "table.sort({ 2, 1 }, function() node:sleep(1) return true end)",
}

local function script()
  local lines = {
    "local said = {}",
    "local group = node:replicate('g', { init = function() return {} end, apply = function(s, op)",
    "  local ok, m = pcall(function() return orrery.sim 'x', 1 end) local _, n = pcall(error, setmetatable({}, {}))",
    "  s.text = { tostring(m), tostring(n), select(2, pcall(load, print)), select(2, pcall(orrery.pack, print)) }",
    "  return s.text",
    "end })",
    "local function try(f) local ok, m = pcall(f) said[#said + 1] = ok and '' or tostring(m) end",
    "node:on('apply', function() return group:propose {} end)",
    "node:on('all', function() said = {}",
  }
  local at = {}
  for _, bodies in ipairs { in_handlers, { in_tasks["a coroutine of one's own"], in_tasks["a comparison"] } } do
    for _, body in ipairs(bodies) do
      lines[#lines + 1] = ("try(function() %s%s end)"):format(body, body:find "^return" and ", 1" or " return 1")
      at[#at + 1] = { line = #lines, body = body }
    end
  end
  lines[#lines + 1] = "return said end)"
  return table.concat(lines, "\n"), at
end

local function said_by_a_node(path)
  local was = package.path
  package.path = path or was
  local ok, sim = pcall(orrery.sim, folder:write("c.lua", [[return orrery.cluster { name = "misuse", node = "n.lua",
    nodes = { { id = "a", at = "127.0.0.1:1" }, { id = "b", at = "127.0.0.1:2" } } }]]))
  package.path = was
  assert(ok, sim)
  local _ <close> = sim
  sim:run(1)
  return assert(sim:call("a", "all")), assert(sim:call("b", "apply"))
end

describe("what a node's state says of mistakes", function()
  local text, at = script()
  folder:write("n.lua", text)

  it("begins with the script's line", function()
    local said = said_by_a_node()
    local without = {}
    for i, m in ipairs(said) do
      local expected = ("n.lua:%d: "):format(at[i].line)
      if m ~= "" and m:sub(1, #expected) ~= expected then without[#without + 1] = at[i].body .. "  ->  " .. m end
    end
    assert.equal("", table.concat(without, "\n"))
  end)

  it("is the same wherever Orrery is installed", function()
    local elsewhere = folder.path .. "/a/place/far/away"
    local own = assert(package.searchpath("orrery.node", package.path)):match "^(.*)/orrery/node.lua$"
    assert(os.execute(("mkdir -p '%s' && cp -RL '%s/orrery' '%s/orrery'"):format(elsewhere, own, elsewhere)))
    local said, kept = said_by_a_node()
    local said_there, kept_there = said_by_a_node(elsewhere .. "/?.lua")
    assert.same(said, said_there)
    assert.same(kept, kept_there)
    for _, m in ipairs(said) do
      assert.is_nil(m:find(own, 1, true), m)
      assert.is_nil(m:find(elsewhere, 1, true), m)
    end
  end)
end)
