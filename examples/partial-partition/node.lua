-- One replicated number, that any node adds to.
local counter = node:replicate("counter", {
  init  = function() return { n = 0 } end,
  apply = { add = function(state, op) state.n = state.n + op.by return state.n end },
  query = { get = function(state) return state.n end },
})
node:on("add", function(by) return counter:propose { "add", by = by } end)
node:on("get", function() return counter:read { "get" } end)
