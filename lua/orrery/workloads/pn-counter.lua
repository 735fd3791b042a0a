-- pn-counter: a counter that goes up and down without a leader. In the end all nodes say the same, and it is the sum of
-- what was added, with or without each addition of unknown fate.
--
-- A node has the handlers add(n), n may be negative, and read() -> an integer.

-- All sums of `base` and some of `maybe`: { [sum] = true }.
local function sums(base, maybe)
  local found = { [base] = true }
  for _, n in ipairs(maybe) do
    local more = {}
    for sum in pairs(found) do more[sum], more[sum + n] = true, true end
    found = more
  end
  return found
end

return orrery.workload {
  clients = 4, rate = 50, floor = 100,

  generate = function(_, random)
    if random(4) == 1 then return { f = "read" } end
    return { f = "add", value = random(-5, 5) }
  end,
  invoke = function(client, op)
    if op.f == "read" then return client:call "read" end
    return client:call("add", op.value)
  end,

  settle = 15,                                -- so long they have to tell each other; then each node is read
  final = function() return { f = "read" } end,

  check = function(history)
    local sum, maybe, last = 0, {}, {}
    for call, done in history:operations() do
      local outcome = done and done.type or "info"
      if call.f == "read" then
        if call.final and outcome == "ok" then last[#last + 1] = done end
      elseif outcome == "ok" then
        sum = sum + call.value
      elseif outcome == "info" then
        maybe[#maybe + 1] = call.value
      end
    end
    local possible = sums(sum, maybe)
    for _, read in ipairs(last) do
      if read.value ~= last[1].value then
        return false, ("nodes %s and %s say %s and %s in the end"):format(last[1].node, read.node,
          orrery.show(last[1].value), orrery.show(read.value))
      elseif not possible[read.value] then
        return false, ("node %s says %s in the end; %d was surely added, and %d additions are of unknown fate"):format(
          read.node, orrery.show(read.value), sum, #maybe)
      end
    end
    return true
  end,
}
