-- orrery sim cluster.lua --workload workload.lua: clients that want more than they may have. Do they get it?
--
-- A bucket gives, within T seconds, at most burst + rate * T. What was allowed in a window of T may have been granted
-- up to a second before it (lots). So the answers whose questions and answers lie within the window, and whose tokens
-- are of one life of one owner, are at most burst + rate * (T + 1). Of all together: times the owners that granted
-- anything, which without faults is one. Nodes' clocks may be fast by a thousandth.
local rate, burst, stale = 20, 10, 1            -- as cluster.lua and node.lua have them
local fast = 1.001
local ns = 1e9

-- The answers `true`: { began =, ended = }, by key and by whose tokens they were, in the order of their ends.
local function granted(history)
  local by = {}
  for call, done in history:operations() do
    if done and done.type == "ok" and done.value.allowed then
      local name = ("%s from %s"):format(call.key, done.value.by)
      by[name] = by[name] or {}
      table.insert(by[name], { began = call.time, ended = done.time })
    end
  end
  for _, list in pairs(by) do table.sort(list, function(a, b) return a.ended < b.ended end) end
  return by
end

-- The first window, beginning with the question `from`, in which there were too many: its end, how many, how many may.
local function too_many(list, from)
  local n = 0
  for _, one in ipairs(list) do
    if one.began >= from then
      n = n + 1
      local may = burst + rate * fast * ((one.ended - from) / ns + stale * fast)
      if n > may then return one.ended, n, may end
    end
  end
end

local function check(history)
  for name, list in pairs(granted(history)) do
    for _, first in ipairs(list) do
      local till, n, may = too_many(list, first.began)
      if till then
        return false, ("%s: %d were allowed between %.6f s and %.6f s, where %.1f may be"):format(name, n,
          first.began / ns, till / ns, may)
      end
    end
  end
  return true
end

return orrery.workload {
  clients = 12, rate = 300, floor = 500,
  generate = function(_, random) return { f = "allow", key = "client" .. random(5) } end,
  invoke = function(client, op)
    local allowed, by, code = client:call("allow", op.key)
    if allowed == nil then return nil, by, code end
    return { allowed = allowed, by = by }
  end,
  check = check,
}
