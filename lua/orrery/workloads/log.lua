-- log: logs by key, as Kafka has them. Who sends a message is told its offset, and who sends later gets a greater one;
-- each offset has one message for ever; who reads from an offset on gets what is there, in order, without a gap; how
-- far readers came is not forgotten.
--
-- A node has the handlers send(key, message) -> offset, which count from 0; poll({ [key] = offset }, most) -> { [key] =
-- { { offset, message }, ... } }, so many of each key at most; commit({ [key] = offset }); committed() -> { [key] =
-- offset }.
local keys, most = { "k1", "k2", "k3" }, 20
local show = orrery.show

-- -- What clients do ------------------------------------------------------------------------------------------------
local invoke = {
  send = function(client, op) return client:call("send", op.key, op.value) end,
  poll = function(client, op)
    local found, message, code = client:call("poll", op.value.from, op.value.most)
    if not found then return found, message, code end
    for key, messages in pairs(found) do
      if client.state[key] and #messages > 0 then client.state[key] = messages[#messages][1] + 1 end
    end
    return found
  end,
  commit = function(client, op) return client:call("commit", op.value) end,
  committed = function(client) return client:call "committed" end,
}

local function from_here(client)
  local offsets = {}
  for _, key in ipairs(keys) do
    client.state[key] = client.state[key] or 0
    offsets[key] = client.state[key]
  end
  return offsets
end

local function generate(client, random)
  local luck = random(10)
  if luck <= 5 then return { f = "send", key = keys[random(#keys)], value = client:unique() } end
  if luck <= 8 then return { f = "poll", value = { from = from_here(client), most = most } } end
  if luck == 9 then return { f = "commit", value = from_here(client) } end
  return { f = "committed" }
end

-- -- Judging --------------------------------------------------------------------------------------------------------
-- What is so at some time: by key, the greatest offset that was given, and the greatest one that was committed.
local function copy(now)
  local old = { given = {}, committed = {} }
  for key, offset in pairs(now.given) do old.given[key] = offset end
  for key, offset in pairs(now.committed) do old.committed[key] = offset end
  return old
end

-- Where messages are: each offset has one, each has one offset, and each was sent. A complaint, or nil.
local function place(log, offset, message)
  if not log.sent[message] then return show(message) .. ", which nobody sent" end
  if log.refused[message] then return show(message) .. ", which was refused: surely not done" end
  if log.at[offset] ~= nil and log.at[offset] ~= message then
    return ("%s, and was %s before"):format(show(message), show(log.at[offset]))
  elseif log.of[message] ~= nil and log.of[message] ~= offset then
    return ("%s, which has the offset %s already"):format(show(message), show(log.of[message]))
  end
  log.at[offset], log.of[message] = message, offset
end

local judge = {}

function judge.send(done, call, logs, before)
  local key, offset, given = call.key, done.value, before.given[call.key]
  if math.type(offset) ~= "integer" then return ("gave the offset %s"):format(show(offset)) end
  if given and offset <= given then
    return ("gave a message of %s the offset %d, though %d was given before it was sent"):format(key, offset, given)
  end
  local wrong = place(logs[key], offset, call.value)
  return wrong and ("says that offset %d of %s is %s"):format(offset, key, wrong)
end

function judge.poll(done, call, logs, before)
  for key, from in pairs(call.value.from) do
    local messages = done.value[key] or {}
    for i, pair in ipairs(messages) do
      if pair[1] ~= from + i - 1 then
        return ("was read from offset %d of %s on, and gave %s where %d was expected"):format(from, key, show(pair[1]),
          from + i - 1)
      end
      local wrong = place(logs[key], pair[1], pair[2])
      if wrong then return ("says that offset %d of %s is %s"):format(pair[1], key, wrong) end
    end
    local last = math.min(before.given[key] or -1, from + call.value.most - 1)
    if from + #messages <= last then
      return ("was read from offset %d of %s on, and gave %d messages, though %d was given before"):format(from, key,
        #messages, last)
    end
  end
end

function judge.commit() end

function judge.committed(done, _, _, before)
  for key, offset in pairs(before.committed) do
    if (done.value[key] or 0) < offset then
      return ("says that %s was committed to %s, though %d was before"):format(key, show(done.value[key]), offset)
    end
  end
end

local function new_logs(history)
  local logs = {}
  for _, key in ipairs(keys) do logs[key] = { sent = {}, refused = {}, at = {}, of = {} } end
  for call, done in history:operations() do
    if call.f == "send" then
      logs[call.key].sent[call.value] = true
      logs[call.key].refused[call.value] = done and done.type == "fail" or nil
    end
  end
  return logs
end

local function raise(known, key, offset) known[key] = math.max(known[key] or offset, offset) end

local function check(history)
  local logs, now, open = new_logs(history), { given = {}, committed = {} }, {}
  for _, entry in ipairs(history) do
    if entry.type == "invoke" then
      open[entry.process] = { call = entry, before = copy(now) }
    elseif entry.type == "ok" then
      local op = open[entry.process]
      local wrong = judge[entry.f](entry, op.call, logs, op.before)
      if wrong then return false, ("node %s %s"):format(entry.node, wrong) end
      if entry.f == "send" then raise(now.given, entry.key, entry.value) end
      if entry.f == "commit" then for key, offset in pairs(op.call.value) do raise(now.committed, key, offset) end end
    end
  end
  return true
end

return orrery.workload {
  clients = 4, rate = 50, floor = 100,
  generate = generate,
  invoke = function(client, op) return invoke[op.f](client, op) end,
  settle = 1,
  final = function()
    local offsets = {}
    for _, key in ipairs(keys) do offsets[key] = 0 end
    return { f = "poll", value = { from = offsets, most = 1000000 } }
  end,
  check = check,
}
