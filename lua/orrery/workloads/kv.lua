-- kv: a key-value store for clients of Redis, as if there were one copy on one machine: linearizable, key by key.
-- Written values are all different, so a value says who wrote it.
--
-- A node has a listener `resp` that knows GET key, SET key value, and SET key value IFEQ old (a compare-and-set; a
-- service without it refuses it, which is no harm).
local keys = { "k1", "k2", "k3", "k4", "k5" }

local invoke = {
  get = function(client, op)
    local value, message, code = client:redis("GET", op.key)
    if not message then client.state[op.key] = value end
    return value, message, code
  end,
  set = function(client, op)
    local ok, message, code = client:redis("SET", op.key, op.value)
    if ok then client.state[op.key] = op.value end
    return ok, message, code
  end,
  cas = function(client, op)                  -- true: swapped; false: it was another value
    local ok, message, code = client:redis("SET", op.key, op.value[2], "IFEQ", op.value[1])
    if message then return nil, message, code end
    client.state[op.key] = ok and op.value[2] or nil
    return ok ~= nil
  end,
}

return orrery.workload {
  clients = 4, rate = 50, floor = 100, model = "kv",

  generate = function(client, random)
    local key, value, luck = keys[random(#keys)], tostring(client:unique()), random(10)
    if luck <= 5 then return { f = "get", key = key } end
    local seen = client.state[key]            -- what the key had when this client looked last
    if luck <= 8 or not seen then return { f = "set", key = key, value = value } end
    return { f = "cas", key = key, value = { seen, value } }
  end,
  invoke = function(client, op) return invoke[op.f](client, op) end,
}
