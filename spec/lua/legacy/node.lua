local sum = node:replicate("sum", {
  version = 1,
  init  = function() return { n = 0, of = orrery.map() } end,
  apply = function(state, op)
    state.n = state.n + op.by
    state.of[op.key] = (state.of[op.key] or 0) + op.by
    return state.n
  end,
  query = { all = function(state) return state.n end, of = function(state, q) return state.of[q.key] end },
})
node:on("add", function(key, by, pad) return sum:propose { key = key, by = by, pad = pad } end)
