-- register: registers by key, each as if there were one copy on one machine: linearizable. Written values are all
-- different, so a value says who wrote it.
--
-- A node has the handlers read(key) -> value, nil where none was written; write(key, value); and cas(key, old, new),
-- which answers nil, message, "mismatch" where the register has another value.
local keys = { "r1", "r2", "r3" }

local invoke = {
  read = function(client, op)
    local value, message, code = client:call("read", op.key)
    if not message then client.state[op.key] = value end
    return value, message, code
  end,
  write = function(client, op) return client:call("write", op.key, op.value) end,
  cas = function(client, op)                  -- true: swapped; false: it was another value
    local ok, message, code = client:call("cas", op.key, op.value[1], op.value[2])
    if code == "mismatch" then return false end
    return ok, message, code
  end,
}

return orrery.workload {
  clients = 4, rate = 50, floor = 100, model = "register",

  generate = function(client, random)
    local key, value, luck = keys[random(#keys)], client:unique(), random(10)
    if luck <= 5 then return { f = "read", key = key } end
    local seen = client.state[key]            -- what the register had when this client looked last
    if luck <= 8 or not seen then return { f = "write", key = key, value = value } end
    return { f = "cas", key = key, value = { seen, value } }
  end,
  invoke = function(client, op) return invoke[op.f](client, op) end,
}
