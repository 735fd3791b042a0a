-- What is replicated. No node, no clock, no chance in here; time is the entry's.
local function live(e, at) return e and not (e.ends and e.ends <= at.time) and e or nil end  -- unless its time has come
local function integer(text)                -- as Redis reads one: no blank, sign or zero too many, and it fits 64 bits
  return (text == "0" or text:find "^%-?[1-9]%d*$") and math.tointeger(tonumber(text)) or nil
end
return {
  version = 1,
  init  = function() return {} end,
  apply = {
    set = function(s, op, at)
      if op.nx and live(s[op.key], at) then return 0 end
      s[op.key] = { value = op.value, ends = op.ttl and at.time + op.ttl }
      return op.nx and 1 or orrery.resp.OK
    end,
    incr = function(s, op, at)
      local e = live(s[op.key], at) or { value = "0" }
      local n = integer(e.value)
      if not n then return nil, "value is not an integer or out of range", "invalid" end
      if n > math.maxinteger - op.by then return nil, "increment or decrement would overflow", "invalid" end
      s[op.key] = { value = tostring(n + op.by), ends = e.ends }
      return n + op.by
    end,
  },
  query = { get = function(s, q, at) local e = live(s[q.key], at) return e and e.value end },
}
