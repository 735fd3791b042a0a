-- Wrong on purpose. Registers by key. A write is on a majority before it is acknowledged; but a read is answered from
-- the replica that happens to be asked: see README.md.
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
node:on("read", function(key) return registers:peek { "read", key = key } end)    -- what this replica has by now
node:on("write", function(key, value) return registers:propose { "write", key = key, value = value } end)
node:on("cas", function(key, old, new) return registers:propose { "cas", key = key, old = old, new = new } end)
