-- script.lua - local start = dofile "spec/lua/script.lua"(folder): start(text of a node script, options) is a running
-- simulation of nodes a, b, c. options: seed, n (so many nodes, from a on; 3), more (fields of the cluster file), opts
-- (further ones of orrery.sim).
local roles = { 'roles = { "x" }', 'roles = { "x", "y" }', 'roles = { "x", "y" }' }

local function nodes_of(n)
  local nodes = {}
  for i = 1, n do
    nodes[i] = ('{ id = "%s", at = "127.0.0.1:%d", %s }'):format(string.char(96 + i), i, roles[i] or "")
  end
  return table.concat(nodes, ", ")
end

return function(folder)
  local count = 0
  return function(text, given)
    given = given or {}
    count = count + 1
    local name, opts = "s" .. count, { seed = given.seed or 1 }
    for key, v in pairs(given.opts or {}) do opts[key] = v end
    folder:write(name .. "/node.lua", text)
    local sim = require "orrery".sim(folder:write(name .. "/cluster.lua",
      ([[return orrery.cluster { name = "t", node = "node.lua", %s nodes = { %s } }]]):format(given.more or "",
        nodes_of(given.n or 3))), opts)
    sim:run(1)
    return sim
  end
end
