-- Registers by key: read, write, compare-and-set; each answer as if there were one copy, on one machine.
local registers = node:replicate("registers", {
  apply = {
    write = function(state, op)
      state[op.key] = op.value
      return true
    end,
    cas = function(state, op)
      if state[op.key] ~= op.old then return nil, "it is another value", "mismatch" end
      state[op.key] = op.new
      return true
    end,
  },
  query = { read = function(state, q) return state[q.key] end },
})
node:on("read", function(key) return registers:read { "read", key = key } end)
node:on("write", function(key, value) return registers:propose { "write", key = key, value = value } end)
node:on("cas", function(key, old, new) return registers:propose { "cas", key = key, old = old, new = new } end)
