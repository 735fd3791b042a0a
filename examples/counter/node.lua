-- One replicated number: `add` changes it, `get` asks for it, and every node says now and then what its copy has.
local counter = node:replicate("counter", {
  order = "raft",
  init  = function() return { n = 0 } end,
  apply = function(state, op) state.n = state.n + op.by return state.n end,
})
node:on("add", function(by) return counter:propose { by = by } end)
node:on("get", function() return counter:read(function(s) return s.n end) end)
node:every(1, function() node.log:info("n is about", counter:peek().n) end)
