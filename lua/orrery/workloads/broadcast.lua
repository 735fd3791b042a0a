-- broadcast: what a node has taken, all nodes have in the end; and none has what nobody sent.
--
-- A node has the handlers broadcast(message) and read() -> an array of the messages that it knows.
return orrery.workload {
  clients = 4, rate = 20, floor = 50,

  generate = function(client, random)
    if random(4) == 1 then return { f = "read" } end
    return { f = "broadcast", value = client:unique() }
  end,
  invoke = function(client, op)
    if op.f == "read" then return client:call "read" end
    return client:call("broadcast", op.value)
  end,

  settle = 15,                                -- so long they have to tell each other; then each node is read
  final = function() return { f = "read" } end,

  check = function(history)
    local refused, known, reads = {}, {}, {}  -- known: what must be everywhere in the end, and how that is known
    local sent = {}
    for call, done in history:operations() do
      local outcome = done and done.type
      if call.f == "broadcast" then
        sent[call.value], refused[call.value] = true, outcome == "fail"
        if outcome == "ok" then known[call.value] = "node " .. done.node .. " took it" end
      elseif outcome == "ok" then
        reads[#reads + 1] = done
      end
    end
    for _, read in ipairs(reads) do
      local seen = {}
      for _, message in ipairs(read.value) do
        if not sent[message] then
          return false, ("node %s has %s, which nobody sent"):format(read.node, orrery.show(message))
        elseif refused[message] then
          return false, ("node %s has %s, which was refused: surely not done"):format(read.node, orrery.show(message))
        elseif seen[message] then
          return false, ("node %s has %s twice"):format(read.node, orrery.show(message))
        end
        seen[message], known[message] = true, known[message] or "node " .. read.node .. " had it"
      end
    end
    for _, read in ipairs(reads) do
      local seen = {}
      for _, message in ipairs(read.value) do seen[message] = true end
      for message, why in pairs(read.final and known or {}) do
        if not seen[message] then
          return false, ("node %s lacks %s in the end, though %s"):format(read.node, orrery.show(message), why)
        end
      end
    end
    return true
  end,
}
