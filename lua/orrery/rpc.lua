-- rpc.lua - messages to other nodes, for scripts: on, call, cast, scatter, and whom *to* means.
--
-- core.try tells whether there was an answer (true, results...) or not (false, nil, message, code). Only what surely
-- did not happen is tried again, at the next node. The methods are called last by those of `node`: a complaint of
-- theirs is at level 2, one of what they call at level 3.
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

-- `to` as { ids, options... }.
local function aim(self, to, what)
  if type(to) == "string" then to = { to } end
  if type(to) ~= "table" then
    error(("%s: 'to' must be an id or a table (got %s)"):format(what, options.got(to)), 3)
  end
  local ids, given, seen = {}, {}, {}
  local function add(id)
    if type(id) ~= "string" or not cluster.node(self.cluster, id) then
      error(("%s: 'to' must name nodes of the cluster (got %s%s)"):format(what, options.got(id),
        options.hint(id, cluster.ids(self.cluster))), 4)
    end
    if not seen[id] then ids[#ids + 1] = id end
    seen[id] = true
  end
  for key, v in pairs(to) do
    if math.type(key) == "integer" then add(v) else given[key] = v end
  end
  if given.key ~= nil then
    error(("%s: 'key' is not available in this version of Orrery (%s)"):format(what, self.version), 3)
  end
  local checked = options.check(given, to_spec, what, 3)
  if checked.role then
    local of_role = cluster.role(self.cluster, checked.role)
    if #of_role == 0 then
      error(("%s: 'role' must be one that some node bears (got %q)"):format(what, checked.role), 3)
    end
    for _, id in ipairs(of_role) do add(id) end
  end
  if #ids == 0 then error(what .. ": 'to' names nobody", 3) end
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
    error(("%s: a message's name is expected, 1 to 255 bytes (got %s)"):format(what, options.got(name)), 3)
  elseif name:byte() == 0 then                        -- those are the node's own: console.lua
    error(("%s: a message's name can't begin with a NUL (got %s)"):format(what, options.got(name)), 3)
  end
end

-- One after the other, until there is an answer or what may have happened, within one time. The wait between one round
-- and the next has jitter. What core.try tells, as a table.
function rpc.try(self, ids, tries, deadline, name, bytes)
  local result
  for i = 1, tries do
    local left = math.max(0, deadline - self.core.now())
    result = table.pack(self.core.try(ids[(i - 1) % #ids + 1], name, left, bytes))
    if result[1] or not surely_not_done[result[4]] or i == tries then break end
    if i % #ids == 0 then
      local pause = 0.01 * (1 << math.min(i // #ids, 6)) * (0.5 + math.random())
      if self.core.now() + pause >= deadline then break end
      self.core.sleep(pause)
    end
  end
  return result
end

local function call_many(self, aimed, name, bytes)
  local ids = aimed.role and by_load(self, aimed.ids) or aimed.ids
  local deadline = self.core.now() + (aimed.timeout or self.timeout)
  local result = rpc.try(self, ids, aimed.tries or #ids, deadline, name, bytes)
  return table.unpack(result, 2, result.n)
end

local Subscription = {}
Subscription.__index = Subscription
Subscription.__name = "orrery.subscription"
Subscription.__metatable = false

function Subscription:close()
  if not self.closed and not self.life.over then self.core.on(self.name, nil, 1) end
  self.closed = true
end
Subscription.__close = Subscription.close
function Subscription:__tostring() return ("orrery.subscription(%s)"):format(self.name) end

-- self: { core, cluster, timeout, tasks, version, life }. The methods of `node`.
function rpc.open(self)
  local api, known, core = {}, {}, self.core
  local call, cast = core.call, core.cast         -- found once: a look-up in core runs a function
  for _, id in ipairs(cluster.ids(self.cluster)) do known[id] = true end
  self.try = rpc.try

  function api.on(name, f, more)
    check_name(name, "node:on")
    if type(f) ~= "function" then
      error(("node:on %s: a function is expected (got %s)"):format(name, options.got(f)), 2)
    end
    local limit = options.check(more or {}, { limit = { "integer", min = 1, default = 1000 } }, "node:on " .. name, 2)
    if self.life.over then error("node:on: other scripts have replaced these", 2) end
    local room, most = self.core.on(name, f, limit.limit)
    if not room then error(("node:on %s: %d names have handlers, there may be no more"):format(name, most), 2) end
    return setmetatable({ core = self.core, name = name, life = self.life }, Subscription)
  end

  function api.call(to, name, ...)
    check_name(name, "node:call")
    if type(to) == "string" and known[to] then return call(to, name, self.timeout, ...) end
    local aimed = aim(self, to, "node:call")
    return call_many(self, aimed, name, core.packed(...))
  end

  function api.cast(to, name, ...)
    check_name(name, "node:cast")
    if type(to) == "string" and known[to] then return cast(to, name, ...) end
    local aimed, worst = aim(self, to, "node:cast"), nil
    local bytes = core.packed(...)
    for _, id in ipairs(aimed.ids) do
      local ok, message, code = core.post(id, name, bytes)
      if not ok and not worst then worst = { message, code } end
    end
    if worst then return nil, worst[1], worst[2] end
    return true
  end

  function api.scatter(to, name, ...)
    check_name(name, "node:scatter")
    local aimed = aim(self, to, "node:scatter")
    if aimed.role and aimed.need then aimed.ids = by_load(self, aimed.ids) end
    return gather.new(self, aimed, name, core.packed(...))
  end
  return api
end

return rpc
