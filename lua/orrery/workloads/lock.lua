-- lock: locks with fencing tokens. Who gets a lock is told a token greater than all before; what the lock guards takes
-- no write with a token older than that of a write that it took. That a holder whose time is over doesn't know it is no
-- fault; that its write comes through behind the next holder's is one. So clients now and then fall asleep while they
-- hold a lock.
--
-- A node has the handlers acquire(lock) -> token, an integer, or nil, message, "held"; write(lock, token, value), which
-- may be refused ("denied"); release(lock, token), likewise.
--
-- acquire may have a second result, the lease: then it promises that for so many seconds from the call's beginning on,
-- by everybody's clock, nobody else is given the lock, unless it is released. The holder relies on that from the answer
-- on, until the lease is over, he asks for its release, or a write is denied; two who rely on it at once are a fault.
-- (Log time may run a tenth faster than a clock: who counts by it can promise nine tenths.)
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
    local token, lease, code = client:call("acquire", op.key)
    if not token then return nil, lease, code end
    client.state.mine = { lock = op.key, token = token }
    return lease == nil and token or { token = token, lease = lease }
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
  if entry.f == "acquire" then return type(entry.value) == "table" and entry.value.token or entry.value end
  return entry.f == "write" and call.value.token or nil
end

local function check_tokens(history)
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

-- -- Exclusion ------------------------------------------------------------------------------------------------------
local function seconds(ns) return ns / 1e9 end

-- A lease was promised: false and why that is wrong; or what is held from now on: { process, token, till }.
local function promised(entry, call)
  local lease = entry.value.lease
  if math.type(entry.value.token) ~= "integer" then return nil end             -- check_tokens says so
  if type(lease) ~= "number" or not (lease >= 0) then
    return false, ("node %s gave %s with the lease %s, which is no number of seconds"):format(entry.node, entry.key,
      orrery.show(lease))
  end
  return { process = entry.process, token = entry.value.token, till = call.time + lease * 1e9 }
end

-- Nobody relies on a lock while another does.
local function check_leases(history)
  local held, calls = {}, {}                    -- by lock; by process
  local function give_up(entry)
    local mine = held[entry.key]
    if mine and mine.token == entry.value.token then mine.till = math.min(mine.till, entry.time) end
  end
  for _, entry in ipairs(history) do
    if entry.type == "invoke" then
      calls[entry.process] = entry
      if entry.f == "release" then give_up(entry) end
    elseif entry.type == "fail" and entry.f == "write" and entry.error == "denied" then
      give_up(entry)
    elseif entry.type == "ok" and entry.f == "acquire" and type(entry.value) == "table" then
      local mine, why = promised(entry, calls[entry.process])
      local other = held[entry.key]
      if mine == false then return false, why end
      if mine and mine.till > entry.time then
        if other and other.till > entry.time then
          return false, ("node %s gave %s with token %d at %.6f s, though process %d held it with token %d until " ..
            "%.6f s"):format(entry.node, entry.key, mine.token, seconds(entry.time), other.process, other.token,
            seconds(other.till))
        end
        held[entry.key] = mine
      end
    end
  end
  return true
end

local function check(history)
  local ok, why = check_tokens(history)
  if not ok then return false, why end
  return check_leases(history)
end

return orrery.workload {
  clients = 6, rate = 60, floor = 50,
  generate = generate,
  invoke = function(client, op) return invoke[op.f](client, op) end,
  check = check,
}
