-- rpc.lua - messages to other nodes, for scripts: on, call, cast, scatter, and whom *to* means.
--
-- core.try tells whether there was an answer (true, results...) or not (false, nil, message, code). Only what surely
-- did not happen is tried again, at the next node: which one that is, balance.lua says. The methods are called last by
-- those of `node`: a complaint of theirs is at level 2, one of what they call at level 3.
local balance = require "orrery.balance"
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
for key, rule in pairs(balance.spec) do to_spec[key] = rule end

-- `to` as { ids, options... }.
local function aim(self, to, what)
  if type(to) == "string" then to = { to } end
  if type(to) ~= "table" then
    error(("%s: 'to' must be an id or a table (got %s)"):format(what, options.got(to)), 3)
  end
  local ids, given, seen = {}, {}, {}
  local function add(id)
    if not self.known[id] then
      error(("%s: 'to' must name nodes of the cluster (got %s%s)"):format(what, options.got(id),
        options.hint(id, cluster.ids(self.cluster))), 4)
    end
    if not seen[id] then ids[#ids + 1] = id end
    seen[id] = true
  end
  for key, v in pairs(to) do
    if math.type(key) == "integer" then add(v) else given[key] = v end
  end
  if given.eject == true then given.eject = {} elseif given.eject == false then given.eject = nil end
  local checked = options.check(given, to_spec, what, 3)
  local wrong = balance.wrong(checked)
  if wrong then error(("%s: %s"):format(what, wrong), 3) end
  if checked.key then self.follow() end             -- who is away is known, not only found out
  if checked.role then
    local of_role = self.of_role[checked.role] or cluster.role(self.cluster, checked.role)
    if #of_role == 0 then
      error(("%s: 'role' must be one that some node bears (got %q)"):format(what, checked.role), 3)
    end
    self.of_role[checked.role] = of_role
    for _, id in ipairs(of_role) do add(id) end
  end
  if #ids == 0 then error(what .. ": 'to' names nobody", 3) end
  checked.ids = ids
  return checked
end

local function check_name(name, what)
  if type(name) ~= "string" or #name == 0 or #name > 255 then
    error(("%s: a message's name is expected, 1 to 255 bytes (got %s)"):format(what, options.got(name)), 3)
  elseif name:byte() == 0 then                        -- those are the node's own: console.lua
    error(("%s: a message's name can't begin with a NUL (got %s)"):format(what, options.got(name)), 3)
  end
end

-- Before one that was asked is asked again, or the first of all of them: with jitter. False: there is no time for that.
local function pause(self, rounds, deadline)
  local T = 0.01 * (1 << math.min(rounds, 6)) * (0.5 + math.random())
  if self.core.now() + T >= deadline then return false end
  self.core.sleep(T)
  return true
end

local function try_one(self, to, id, deadline, name, bytes)
  local left = math.max(0, deadline - self.core.now())
  if not to.eject or left == 0 then return table.pack(self.core.try(id, name, left, bytes)) end
  local trial = balance.tries(self, id, deadline)
  local result = table.pack(self.core.try(id, name, left, bytes))
  balance.note(self, to, id, result, trial)
  return result
end

-- One after the other, until there is an answer or what may have happened, within one time. What core.try tells, as a
-- table. Where a key's owner is meant, its successor is asked only if it isn't reached; else the owner itself again, if
-- `to` says how often.
function rpc.try(self, to, ids, tries, deadline, name, bytes)
  local result
  local at, stays = 1, balance.keeps_to_owner(to)
  for i = 1, tries do
    result = try_one(self, to, ids[(at - 1) % #ids + 1], deadline, name, bytes)
    local code = result[4]
    if result[1] or not surely_not_done[code] or i == tries then break end
    local again = stays and code ~= "unavailable"
    if again and not to.tries then break end
    if not again then at = at + 1 end
    local round = again or (at - 1) % #ids == 0
    if round and not pause(self, again and i or i // #ids, deadline) then break end
  end
  return result
end

local function call_many(self, aimed, name, bytes)
  local ids = balance.order(self, aimed)
  local deadline = self.core.now() + (aimed.timeout or self.timeout)
  local result = rpc.try(self, aimed, ids, aimed.tries or #ids, deadline, name, bytes)
  return table.unpack(result, 2, result.n)
end

-- To the key's owner; to a successor if it isn't reached.
local function cast_by_key(self, aimed, name, bytes)
  local ok, message, code
  for _, id in ipairs(balance.order(self, aimed)) do
    ok, message, code = self.core.post(id, name, bytes)
    if ok or code ~= "unavailable" then break end
  end
  return ok, message, code
end

local function cast_all(self, aimed, name, bytes)
  local worst
  for _, id in ipairs(aimed.ids) do
    local ok, message, code = self.core.post(id, name, bytes)
    if not ok and not worst then worst = { message, code } end
  end
  if worst then return nil, worst[1], worst[2] end
  return true
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

-- self: { core, cluster, timeout, tasks, life, state_of, follow, warn }: state_of(id) is what the node knows of another
-- member, as node.members says it, or nil, and follow() makes it want to know; warn(text) goes into the log. The
-- methods of `node`.
function rpc.open(self)
  local api, known, core = {}, {}, self.core
  local call, cast = core.call, core.cast         -- found once: a look-up in core runs a function
  for _, id in ipairs(cluster.ids(self.cluster)) do known[id] = true end
  self.known, self.of_role = known, {}
  self.try, self.outliers, self.rings, self.rings_kept = rpc.try, {}, {}, 0

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
    local aimed = aim(self, to, "node:cast")
    return (aimed.key and cast_by_key or cast_all)(self, aimed, name, core.packed(...))
  end

  function api.scatter(to, name, ...)
    check_name(name, "node:scatter")
    local aimed = aim(self, to, "node:scatter")
    if aimed.key then aimed.need = aimed.need or 1 end
    if aimed.need then aimed.ids = balance.order(self, aimed) end
    return gather.new(self, aimed, name, core.packed(...))
  end
  return api
end

return rpc
