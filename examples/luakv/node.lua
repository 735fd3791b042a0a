-- A linearizable key-value store whose machine is written in Lua (machine.lua), for clients of Redis.
local kv = node:replicate("kv", require "machine")
node:listen("resp", orrery.resp.serve {       -- arity comes from the parameters, error text is Redis's own
  GET   = function(key)             return kv:read    { "get", key = key } end,
  SET   = function(key, value)      return kv:propose { "set", key = key, value = value } end,
  SETNX = function(key, value)      return kv:propose { "set", key = key, value = value, nx = true } end,
  SETEX = function(key, ttl, value)
    local seconds = orrery.resp.integer(ttl)
    if seconds <= 0 then return { err = "ERR invalid expire time in 'setex' command" } end
    return kv:propose { "set", key = key, value = value, ttl = seconds }
  end,
  INCR  = function(key)             return kv:propose { "incr", key = key, by = 1 } end,
})
