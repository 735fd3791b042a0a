-- counter: one number that everybody adds to, as if there were one copy on one machine: linearizable. Who adds is told
-- the sum, so a sum that nobody's additions come to is seen at once.
--
-- A node has the handlers add(n) -> the sum, and get() -> the sum.
return orrery.workload {
  clients = 4, rate = 50, floor = 100, model = "counter",

  generate = function(_, random)
    if random(4) == 1 then return { f = "read" } end
    return { f = "incr", value = random(100) }
  end,
  invoke = function(client, op)
    if op.f == "read" then return client:call "get" end
    return client:call("add", op.value)
  end,
}
