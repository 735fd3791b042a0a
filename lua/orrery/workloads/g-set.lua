-- g-set: a set that only grows. What was added, all nodes have in the end; and none has what nobody added.
--
-- A node has the handlers add(element) and read() -> an array of the elements that it knows.
return orrery.workload {
  clients = 4, rate = 20, floor = 50,

  generate = function(client, random)
    if random(4) == 1 then return { f = "read" } end
    return { f = "add", value = client:unique() }
  end,
  invoke = function(client, op)
    if op.f == "read" then return client:call "read" end
    return client:call("add", op.value)
  end,

  settle = 15,                                -- so long they have to tell each other; then each node is read
  final = function() return { f = "read" } end,

  check = function(history)
    local refused, known, reads = {}, {}, {}  -- known: what must be everywhere in the end, and how that is known
    local added = {}
    for call, done in history:operations() do
      local outcome = done and done.type
      if call.f == "add" then
        added[call.value], refused[call.value] = true, outcome == "fail"
        if outcome == "ok" then known[call.value] = "node " .. done.node .. " took it" end
      elseif outcome == "ok" then
        reads[#reads + 1] = done
      end
    end
    for _, read in ipairs(reads) do
      local seen = {}
      for _, element in ipairs(read.value) do
        if not added[element] then
          return false, ("node %s has %s, which nobody added"):format(read.node, orrery.show(element))
        elseif refused[element] then
          return false, ("node %s has %s, which was refused: surely not done"):format(read.node, orrery.show(element))
        elseif seen[element] then
          return false, ("node %s has %s twice"):format(read.node, orrery.show(element))
        end
        seen[element], known[element] = true, known[element] or "node " .. read.node .. " had it"
      end
    end
    for _, read in ipairs(reads) do
      local seen = {}
      for _, element in ipairs(read.value) do seen[element] = true end
      for element, why in pairs(read.final and known or {}) do
        if not seen[element] then
          return false, ("node %s lacks %s in the end, though %s"):format(read.node, orrery.show(element), why)
        end
      end
    end
    return true
  end,
}
