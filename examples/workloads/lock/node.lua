-- Locks with fencing tokens, and what they guard. A lock is held for `lease` seconds at most, so that nobody waits for
-- a holder that died; but one that was only slow doesn't know that its time is over. So each holder is given a token,
-- greater than all before, and shows it with each write: what is guarded refuses tokens older than the newest one.
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
      if not lock or lock.token ~= op.token then return nil, "the token is an old one", "denied" end
      lock.ends = at.time
      return true
    end,
    write = function(state, op)
      local lock = state[op.name]
      if not lock or op.token < lock.token then return nil, "the token is an old one", "denied" end
      lock.value = op.value
      return true
    end,
  },
  query = { read = function(state, q) return state[q.name] and state[q.name].value end },
})
node:on("acquire", function(name) return locks:propose { "acquire", name = name } end)
node:on("release", function(name, token) return locks:propose { "release", name = name, token = token } end)
node:on("write", function(name, token, value)
  return locks:propose { "write", name = name, token = token, value = value }
end)
node:on("read", function(name) return locks:read { "read", name = name } end)
