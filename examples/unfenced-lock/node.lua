-- Wrong on purpose. Locks with a lease, as in examples/workloads/lock: replicated, linearizable, and held by one client
-- at a time as far as the lock knows. But what they guard believes whoever writes: see README.md.
local lease = 1
local locks = node:replicate("locks", {
  apply = {
    acquire = function(state, op, at)
      local lock = state[op.name] or { token = 0, ends = at.time }
      state[op.name] = lock
      if at.time < lock.ends then return nil, "somebody holds it", "held" end
      lock.token, lock.ends = lock.token + 1, at.time + lease
      return lock.token
    end,
    release = function(state, op, at)
      local lock = state[op.name]
      if lock and lock.token == op.token then lock.ends = at.time end
      return true
    end,
    write = function(state, op)
      state[op.name].value = op.value         -- is the one who writes still the holder? Nobody asks
      return true
    end,
  },
})
node:on("acquire", function(name) return locks:propose { "acquire", name = name } end)
node:on("release", function(name, token) return locks:propose { "release", name = name, token = token } end)
node:on("write", function(name, token, value)
  return locks:propose { "write", name = name, token = token, value = value }
end)
