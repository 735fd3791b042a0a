-- Logs by key, as Kafka has them: who sends a message is told its offset, who reads says from which offset on, and how
-- far a reader came is kept for it.
local logs = node:replicate("logs", {
  init  = function() return { messages = {}, committed = {} } end,
  apply = {
    send = function(state, op)
      local log = state.messages[op.key] or {}
      state.messages[op.key] = log
      log[#log + 1] = op.message
      return #log - 1                         -- offsets count from 0
    end,
    commit = function(state, op)
      for key, offset in pairs(op.offsets) do
        state.committed[key] = math.max(offset, state.committed[key] or 0)
      end
      return true
    end,
  },
  query = {
    poll = function(state, q)
      local found = {}
      for key, from in pairs(q.offsets) do
        local log, messages = state.messages[key] or {}, {}
        for i = from + 1, math.min(#log, from + q.most) do messages[#messages + 1] = { i - 1, log[i] } end
        found[key] = messages
      end
      return found
    end,
    committed = function(state) return state.committed end,
  },
})
node:on("send", function(key, message) return logs:propose { "send", key = key, message = message } end)
node:on("poll", function(offsets, most) return logs:read { "poll", offsets = offsets, most = most } end)
node:on("commit", function(offsets) return logs:propose { "commit", offsets = offsets } end)
node:on("committed", function() return logs:read { "committed" } end)
