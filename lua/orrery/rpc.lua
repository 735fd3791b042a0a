-- rpc.lua - messages to other nodes, for scripts: on, call, cast, scatter, and whom *to* means.
--
-- core.call tells whether there was an answer (true, results...) or not (false, message, code). Only what surely did
-- not happen is tried again, at the next node.
local cluster = require "orrery.cluster"
local gather = require "orrery.gather"
local options = require "orrery.options"

local rpc = {}

local surely_not_done = {
  timeout = true, unavailable = true, overloaded = true, invalid = true, no_leader = true, full = true,
}

local to_spec = {
  role = { "string" },
  timeout = { "seconds" },
  tries = { "integer", min = 1, max = 100 },
  need = { function(v)
    if v == "all" or v == "majority" or math.type(v) == "integer" and v > 0 then return v end
    return nil, "an integer above 0, \"all\" or \"majority\""
  end },
  hedge = { "number", min = 0, max = 1 },
  order = { "choice", of = { "arrival", "given" }, default = "arrival" },
}

-- `to` as { ids, options... }. A complaint points at the script's line.
local function aim(self, to, what, level)
  if type(to) == "string" then to = { to } end
  if type(to) ~= "table" then
    error(("%s: 'to' must be an id or a table (got %s)"):format(what, options.got(to)), level + 1)
  end
  local ids, given, seen = {}, {}, {}
  local function add(id)
    if type(id) ~= "string" or not cluster.node(self.cluster, id) then
      error(("%s: 'to' must name nodes of the cluster (got %s%s)"):format(what, options.got(id),
        options.hint(id, cluster.ids(self.cluster))), level + 2)
    end
    if not seen[id] then ids[#ids + 1] = id end
    seen[id] = true
  end
  for key, v in pairs(to) do
    if math.type(key) == "integer" then add(v) else given[key] = v end
  end
  if given.key ~= nil then
    error(("%s: 'key' is not available in this version of Orrery (%s)"):format(what, self.version), level + 1)
  end
  local checked = options.check(given, to_spec, what, level)
  if checked.role then
    local of_role = cluster.role(self.cluster, checked.role)
    if #of_role == 0 then
      error(("%s: 'role' must be one that some node bears (got %q)"):format(what, checked.role), level + 1)
    end
    for _, id in ipairs(of_role) do add(id) end
  end
  if #ids == 0 then error(what .. ": 'to' names nobody", level + 1) end
  checked.ids = ids
  return checked
end

-- The least busy first; of equals the first in the file's order, and who is connected before who isn't.
local function by_load(self, ids)
  local load = {}
  for i, id in ipairs(ids) do
    local up, calls = self.core.peer(id)
    load[id] = { up and 0 or 1, calls or 0, i }
  end
  table.sort(ids, function(a, b)
    local x, y = load[a], load[b]
    for i = 1, 3 do if x[i] ~= y[i] then return x[i] < y[i] end end
    return false
  end)
  return ids
end

local function check_name(name, what)
  if type(name) ~= "string" or #name == 0 or #name > 255 then
    error(("%s: a message's name is expected, 1 to 255 bytes (got %s)"):format(what, options.got(name)), 4)
  end
end

local function settled(ok, ...)
  if ok then return ... end
  return nil, ...
end

-- One after the other. The wait between the tries of one round and the next has jitter.
local function call_many(self, aimed, name, ...)
  local ids = aimed.role and by_load(self, aimed.ids) or aimed.ids
  local tries, timeout = aimed.tries or #ids, aimed.timeout or self.timeout
  local result
  for i = 1, tries do
    result = table.pack(self.core.call(ids[(i - 1) % #ids + 1], name, timeout, ...))
    if result[1] or not surely_not_done[result[3]] then break end
    if i % #ids == 0 and i < tries then
      self.tasks.sleep(0.01 * (1 << math.min(i // #ids, 6)) * (0.5 + math.random()))
    end
  end
  return settled(table.unpack(result, 1, result.n))
end

local Subscription = {}
Subscription.__index = Subscription
Subscription.__name = "orrery.subscription"
Subscription.__metatable = false

function Subscription:close()
  if not self.closed then self.core.on(self.name, nil, 1) end
  self.closed = true
end
Subscription.__close = Subscription.close
function Subscription:__tostring() return ("orrery.subscription(%s)"):format(self.name) end

-- self: { core, cluster, timeout, tasks, version }. The methods of `node`.
function rpc.open(self)
  local api = {}

  function api.on(name, f, more)
    check_name(name, "node:on")
    if type(f) ~= "function" then
      error(("node:on %s: a function is expected (got %s)"):format(name, options.got(f)), 3)
    end
    local limit = options.check(more or {}, { limit = { "integer", min = 1, default = 1000 } }, "node:on " .. name, 3)
    self.core.on(name, f, limit.limit)
    return setmetatable({ core = self.core, name = name }, Subscription)
  end

  function api.call(to, name, ...)
    check_name(name, "node:call")
    if type(to) == "string" and cluster.node(self.cluster, to) then
      return settled(self.core.call(to, name, self.timeout, ...))
    end
    return call_many(self, aim(self, to, "node:call", 3), name, ...)
  end

  function api.cast(to, name, ...)
    check_name(name, "node:cast")
    if type(to) == "string" and cluster.node(self.cluster, to) then return self.core.cast(to, name, ...) end
    local worst = { true }
    for _, id in ipairs(aim(self, to, "node:cast", 3).ids) do
      local ok, message, code = self.core.cast(id, name, ...)
      if not ok and worst[1] then worst = { nil, message, code } end
    end
    return worst[1], worst[2], worst[3]
  end

  function api.scatter(to, name, ...)
    check_name(name, "node:scatter")
    local aimed = aim(self, to, "node:scatter", 3)
    if aimed.role and aimed.need then aimed.ids = by_load(self, aimed.ids) end
    return gather.new(self, aimed, name, ...)
  end
  return api
end

return rpc
