-- script.lua - local start = dofile "spec/lua/script.lua"(folder): start(text of a node script, options) is a running
-- simulation of nodes a, b, c. options: seed, more (fields of the cluster file).
return function(folder)
  local count = 0
  return function(text, given)
    given = given or {}
    count = count + 1
    local name = "s" .. count
    folder:write(name .. "/node.lua", text)
    local sim = require "orrery".sim(folder:write(name .. "/cluster.lua", ([[
      return orrery.cluster { name = "t", node = "node.lua", %s nodes = {
        { id = "a", at = "127.0.0.1:1", roles = { "x" } }, { id = "b", at = "127.0.0.1:2", roles = { "x", "y" } },
        { id = "c", at = "127.0.0.1:3", roles = { "x", "y" } } } }]]):format(given.more or "")),
      { seed = given.seed or 1 })
    sim:run(1)
    return sim
  end
end
