-- lock: locks with fencing tokens. Who gets a lock is told a token greater than all before; what the lock guards takes
-- no write with a token older than that of a write that it took. That a holder whose time is over doesn't know it is no
-- fault; that its write comes through behind the next holder's is one. So clients now and then fall asleep while they
-- hold a lock.
--
-- A node has the handlers acquire(lock) -> token, an integer, or nil, message, "held"; write(lock, token, value), which
-- may be refused ("denied"); release(lock, token), likewise.
local locks = { "l1", "l2", "l3" }

-- What a client holds: { lock, token, written }.
local function generate(client, random)
  local mine = client.state.mine
  if not mine then return { f = "acquire", key = locks[random(#locks)] } end
  if random(10) == 1 then client:sleep(random() * 5) end
  if random(4) == 1 then return { f = "release", key = mine.lock, value = { token = mine.token } } end
  return { f = "write", key = mine.lock, value = { token = mine.token, value = client:unique() } }
end

local invoke = {
  acquire = function(client, op)
    local token, message, code = client:call("acquire", op.key)
    if token then client.state.mine = { lock = op.key, token = token } end
    return token, message, code
  end,
  write = function(client, op)
    local ok, message, code = client:call("write", op.key, op.value.token, op.value.value)
    if code == "denied" then client.state.mine = nil end
    return ok, message, code
  end,
  release = function(client, op)
    client.state.mine = nil
    return client:call("release", op.key, op.value.token)
  end,
}

-- f -> what it shows: a token that must be above, or not below, the greatest one shown before it began.
local function shown(entry, call)
  if entry.f == "acquire" then return entry.value end
  return entry.f == "write" and call.value.token or nil
end

local function check(history)
  local greatest, open = { acquire = {}, write = {} }, {}
  for _, entry in ipairs(history) do
    local of_f = greatest[entry.f]
    if of_f and entry.type == "invoke" then
      open[entry.process] = { call = entry, before = of_f[entry.key] or 0 }
    elseif of_f and entry.type == "ok" then
      local op = open[entry.process]
      local token = shown(entry, op.call)
      if math.type(token) ~= "integer" then
        return false, ("node %s gave the token %s"):format(entry.node, orrery.show(token))
      elseif entry.f == "acquire" and token <= op.before then
        return false, ("node %s gave %s with token %d, though token %d was given before it was asked")
          :format(entry.node, entry.key, token, op.before)
      elseif entry.f == "write" and token < op.before then
        return false, ("node %s took a write to %s with token %d, though one with token %d was taken before it began")
          :format(entry.node, entry.key, token, op.before)
      end
      of_f[entry.key] = math.max(of_f[entry.key] or 0, token)
    end
  end
  return true
end

return orrery.workload {
  clients = 6, rate = 60, floor = 50,
  generate = generate,
  invoke = function(client, op) return invoke[op.f](client, op) end,
  check = check,
}
