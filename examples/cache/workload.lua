-- orrery sim cluster.lua --workload workload.lua: is anything served that was overwritten more than max_age ago?
--
-- A read is wrong if its value had surely been overwritten so long before: if a write that began when the value's own
-- was over had itself ended more than max_age before the read began. All values are different.
local max_age = 2                               -- as cluster.lua has it
local ns = 1e9

-- By key: the writes, { value, began, ended or nil while that isn't known, surely not done }.
local function writes_of(history)
  local by = {}
  for call, done in history:operations() do
    if call.f == "set" then
      by[call.key] = by[call.key] or {}
      table.insert(by[call.key], { value = call.value, began = call.time, failed = done and done.type == "fail",
        ended = done and done.type == "ok" and done.time or nil })
    end
  end
  return by
end

-- Why a read that began at `began` and ended at `ended` may not see this value; or nil.
local function why_not(writes, value, began, ended)
  local source = { ended = -1, began = -1 }     -- of nil: nothing was written
  if value ~= nil then
    source = nil
    for _, w in ipairs(writes) do if w.value == value then source = w end end
    if not source then return "nobody wrote it" end
    if source.failed then return "its write surely did not happen" end
    if source.began > ended then return "its write had not begun" end
  end
  if not source.ended then return nil end       -- it may have happened at any time since
  for _, w in ipairs(writes) do
    if w.ended and w.began > source.ended and w.ended < began - max_age * ns then
      return ("%s was written over it %.3f s before"):format(w.value, (began - w.ended) / ns)
    end
  end
end

local function check(history)
  local by = writes_of(history)
  for call, done in history:operations() do
    if call.f == "get" and done and done.type == "ok" then
      local why = why_not(by[call.key] or {}, done.value, call.time, done.time)
      if why then
        return false, ("node %s said at %.6f s that %s is %s: %s"):format(done.node, done.time / ns, call.key,
          orrery.show(done.value), why)
      end
    end
  end
  return true
end

local invoke = {
  get = function(client, op) return client:call("get", op.key) end,
  set = function(client, op) return client:call("set", op.key, op.value) end,
  invalidate = function(client, op) return client:call("invalidate", op.key) end,
}

return orrery.workload {
  clients = 10, rate = 200, floor = 300,
  generate = function(client, random)
    local key, what = "k" .. random(12), random(20)
    if what == 1 then return { f = "invalidate", key = key } end
    if what <= 4 then return { f = "set", key = key, value = "v" .. client:unique() } end
    return { f = "get", key = key }
  end,
  invoke = function(client, op) return invoke[op.f](client, op) end,
  check = check,
}
