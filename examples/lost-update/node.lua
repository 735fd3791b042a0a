-- Wrong on purpose. A replicated number: `get` reads what is there, `set` replaces it, each linearizable. But `add` is
-- two of them, with a gap between: see README.md.
local counter = node:replicate("counter", {
  init  = function() return { n = 0 } end,
  apply = { set = function(state, op) state.n = op.n return state.n end },
  query = { get = function(state) return state.n end },
})
node:on("get", function() return counter:read { "get" } end)
node:on("add", function(by)
  local n, message, code = counter:read { "get" }
  if not n then return nil, message, code end
  return counter:propose { "set", n = n + by }          -- what others added meanwhile is overwritten
end)
