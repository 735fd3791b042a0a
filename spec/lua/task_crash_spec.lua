-- task_crash_spec.lua - nodes that die at any event, tasks of every kind under way: SEEDS (8) runs of a script that
-- does everything. What a dead node leaves behind is the sanitizers' to see.
local orrery = require "orrery"

local folder = dofile "spec/lua/folder.lua"()
local seeds = math.tointeger(tonumber(os.getenv "SEEDS" or 8))
teardown(function() folder:remove() end)

folder:write("node.lua", [[
local chan, gate = node:channel(2), node:channel()
local count = node:replicate("count", { order = "raft", init = function() return { n = 0 } end,
  apply = function(s, op) s.n = s.n + op.by return s.n end })
local function held()
  return setmetatable({}, { __close = function()
    node.state.closed = (node.state.closed or 0) + 1
    node:spawn(function() node:sleep(0.01) end)
  end })
end
node:on("echo", function(...) local h <close> = held() node:sleep(math.random() / 50) return ... end, { limit = 20 })
node:on("deep", function(n, ...)
  local h <close> = held()
  if n == 0 then node:sleep(0.02) return ... end
  return node:call({ node.peers[math.random(#node.peers)], timeout = 0.1 }, "deep", n - 1, ...)
end)
node:on("raise", function() local h <close> = held() error { 1 } end)
node:on("add", function(by) return count:propose { by = by } end)
node:on("cast", function(t) chan:put(t) end)
node:every(0.03, function() node:cast({ "a", "b", "c" }, "cast", { node.id, { ("x"):rep(math.random(5000)) } }) end)
node:spawn(function() while true do chan:get() node:sleep(0.005) end end)
node:every(0.02, function()
  local g <close> = node:scatter({ role = "x", need = 2, hedge = 0.5, timeout = 0.05 }, "echo", 1, "two", {})
  g:first()
end)
node:every(0.05, function() node:call({ node.peers[1], node.peers[2], tries = 4 }, "add", 1) end)
node:every(0.05, function() node:call(node.peers[1], "deep", 4, ("y"):rep(2000)) end)
node:every(0.04, function() node:call(node.peers[2], "raise") end)
node:every(0.04, function()
  local t = node:spawn(function()
    local h <close> = held()
    node:call(node.id, "echo", 9)
    gate:get()
  end)
  node:sleep(math.random() / 30)
  t:cancel()
end)
node:every(0.07, function() node:save("v", { node:now() }) end)
node:every(0.11, function() count:read(function(s) return s.n end) end)
node:every(0.3, function() while true do end end)
]])
folder:write("cluster.lua", [[
return orrery.cluster { name = "t", node = "node.lua", limits = { steps = 100000 }, nodes = {
  { id = "a", at = "127.0.0.1:1", roles = { "x" } }, { id = "b", at = "127.0.0.1:2", roles = { "x" } },
  { id = "c", at = "127.0.0.1:3", roles = { "x" } } } }]])

-- Returns the run's digest, and what the nodes have closed in their last lives.
local function run(seed)
  local sim <close> = orrery.sim(folder.path .. "/cluster.lua", { seed = seed })
  sim:run(0.3)
  for i = 1, 6 do
    local id = ({ "a", "b", "c" })[(seed + i) % 3 + 1]
    sim:step(seed * 7 % 60 + 1)
    sim:kill(id)
    sim:run(0.1)
    assert(sim:restart(id))
    sim:run(0.15)
    if i == 3 then sim:call(id, "add", 1) end
    sim:lose(0.01 * i)
  end
  local closed = 0
  for _, n in pairs(sim.nodes) do closed = closed + (n.state.closed or 0) end
  return sim:digest(), closed
end

describe("a node that dies with tasks under way", function()
  it("leaves nothing behind, and its seed is all that it depends on", function()
    for seed = 1, seeds do
      local digest, closed = run(seed)
      assert.is_true(closed > 0)
      if seed == 1 then assert.equal(digest, (run(seed))) end
    end
  end)
end)
