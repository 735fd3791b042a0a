-- queue: queues by name, first in, first out, as if there were one copy on one machine: linearizable. All elements are
-- different, so one that is lost, doubled or overtaken is seen.
--
-- A node has the handlers enqueue(queue, element), and dequeue(queue) -> element; or nil, message, "empty".
local queues = { "q1", "q2" }

return orrery.workload {
  clients = 4, rate = 50, floor = 100, model = "queue",

  generate = function(client, random)
    local queue = queues[random(#queues)]
    if random(2) == 1 then return { f = "dequeue", key = queue } end
    return { f = "enqueue", key = queue, value = client:unique() }
  end,
  invoke = function(client, op)
    if op.f == "enqueue" then return client:call("enqueue", op.key, op.value) end
    local element, message, code = client:call("dequeue", op.key)
    if code == "empty" then return nil end    -- that is an answer
    return element, message, code
  end,
}
