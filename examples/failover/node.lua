-- A replicated number that is added to at any node.
local counter = node:replicate("counter", {
  init  = function() return { n = 0 } end,
  apply = function(state, op) state.n = state.n + op.by return state.n end,
})
node:on("add", function(by) return counter:propose { by = by } end)
