-- group.lua - groups for scripts: node:replicate(name, spec), and what a group then does.
--
-- The machine is one written in C (`machine = "kv"`) or the spec's own functions, which must be pure. Ops, questions
-- and results are copied on their way in and out; the state is where only they reach it.
local cluster = require "orrery.cluster"
local core = require "orrery.core"
local follow = require "orrery.follow"
local kv = require "orrery.kv"
local later = require "orrery.later"
local options = require "orrery.options"
local why = require "orrery.why"

local group = {}

-- -- The spec ----------------------------------------------------------------------------------------------------
local function ids_rule(v)
  if type(v) == "string" or type(v) == "table" then return v end
  return nil, "a role or an array of ids"
end

local function function_rule(v)
  if type(v) == "function" then return v end
  return nil, "a function"
end

-- A function, or a table of them by the op's name.
local function functions_rule(v)
  if type(v) == "function" then return v end
  if type(v) ~= "table" then return nil, "a function, or a table of functions by the op's name" end
  for name, f in pairs(v) do
    if type(name) ~= "string" or type(f) ~= "function" then
      return nil, "a function by the op's name", { name, got = f }
    end
  end
  return v
end

local not_yet = { ack = true, n = true, r = true, w = true }

local spec_of_groups = {
  order = { "choice", of = { "raft" }, default = "raft" },
  machine = { "choice", of = { "kv" } },
  init = { function_rule }, apply = { functions_rule }, query = { functions_rule }, upgrade = { function_rule },
  snapshot = { function_rule }, restore = { function_rule },
  version = { "integer", min = 1, default = 1 },
  steps = { "integer", min = 1000, max = 1 << 40 },
  on = { ids_rule },
  reads = { "choice", of = { "index", "lease" }, default = "index" },
  election = { "seconds" },
  heartbeat = { "seconds" },
}
local words_later = {
  order = { paxos = true, ["primary-backup"] = true, chain = true, quorum = true },
  machine = { log = true, ["or-set"] = true, ["pn-counter"] = true },
  reads = { leaseguard = true },
}

-- What API.md has and this version hasn't is not the user's mistake, and is told so.
local function refuse_later(spec, what)
  for _, key in ipairs(options.keys(spec)) do
    local word = words_later[key] and words_later[key][spec[key]] and ("%s = %q"):format(key, spec[key])
    word = word or not_yet[key] and ("'%s'"):format(key)
    if word then
      error(("%s: %s is not available in this version of Orrery (%s)"):format(what, word, later.version), 4)
    end
  end
end

-- The ids that bear replicas, or nil where the file's first nodes do.
local function replicas(self, on, what)
  if on == nil then return nil end
  local value, ids = self.plan.cluster, on
  if type(on) == "string" then
    ids = cluster.role(value, on)
    if #ids == 0 then error(("%s: 'on' must be a role that some node bears (got %q)"):format(what, on), 4) end
  end
  local seen = {}
  for i, id in ipairs(ids) do
    if type(id) ~= "string" or not cluster.node(value, id) then
      error(("%s: 'on[%d]' must be a node of the cluster (got %s%s)"):format(what, i, options.got(id),
        options.hint(id, cluster.ids(value))), 4)
    elseif seen[id] then
      error(("%s: 'on[%d]' must be named once (got %q twice)"):format(what, i, id), 4)
    end
    seen[id] = true
  end
  if #ids < 1 or #ids > 7 then error(("%s: 'on' must be 1 to 7 nodes (got %d)"):format(what, #ids), 4) end
  return ids
end

local functions_of_machine = { "init", "apply", "query", "upgrade", "snapshot", "restore" }

local function check_machine(checked, what)
  if checked.machine then
    for _, key in ipairs(functions_of_machine) do
      if checked[key] then error(("%s: '%s' and 'machine' exclude each other"):format(what, key), 4) end
    end
  elseif not checked.apply then
    error(what .. ": 'apply' is missing: a function, or machine = \"kv\"", 4)
  elseif (checked.snapshot == nil) ~= (checked.restore == nil) then
    error(what .. ": 'snapshot' and 'restore' come together", 4)
  end
end

-- Must be pure, and so must each of a table. A complaint names the upvalue. What they were is added to `seen`.
local function check_pure(self, f, name, what, level, seen)
  if type(f) == "table" then
    for key, each in pairs(f) do check_pure(self, each, name .. "." .. key, what, level + 1, seen) end
    return
  end
  local ok, hash, parts = pcall(self.check_pure, f, name)
  if not ok then error(what .. ": " .. hash, level + 1) end
  if seen then seen[#seen + 1] = { f = f, name = name, hash = hash, parts = parts } end
end

-- f() -> nil, or which constant is not any more what it was.
local function what_changed(seen)
  return function()
    for _, was in ipairs(seen) do
      local message = core.pure.changed(was.f, was.name, was.parts)
      if message then return message end
    end
  end
end

-- -- The object --------------------------------------------------------------------------------------------------
local more_spec = { timeout = { "seconds" } }
local read_spec = {
  timeout = { "seconds" },
  consistency = { "choice", of = { "strong", "bounded" } },
  max_age = { "seconds" },
}

local function timeout_of(self, more, spec, what)
  if more == nil then return self.plan.cluster.timing.call end
  return options.check(more, spec, what, 3).timeout or self.plan.cluster.timing.call
end

-- The time that a read has, and how old the copy may be that it sees; nil: it is a strong one.
local function read_options(self, more, what)
  local call = self.plan.cluster.timing.call
  if more == nil then return call end
  local checked = options.check(more, read_spec, what, 3)
  local bounded = checked.consistency == "bounded" or (checked.consistency == nil and checked.max_age ~= nil)
  if bounded ~= (checked.max_age ~= nil) then
    error(what .. (bounded and ": consistency = \"bounded\" needs 'max_age', in seconds"
      or ": 'max_age' is for consistency = \"bounded\""), 3)
  end
  if bounded and self.plan.cluster.clock == false then
    error(what .. ": 'max_age' goes by the cluster's time, and the cluster file says clock = false", 3)
  end
  return checked.timeout or call, checked.max_age
end

local function check_op(op, what)
  if type(op) ~= "table" then error(("%s: 'op' must be a table (got %s)"):format(what, options.got(op)), 3) end
end

local function same(...) return ... end       -- what it is given was not called last: levels count up to the script

-- The methods of a group whose machine is the script's.
local function script_methods(self, api, name, handle)
  local core = self.host.groups

  function api.propose(op, more)
    check_op(op, name .. ":propose")
    return core.propose(handle, true, timeout_of(self, more, more_spec, name .. ":propose"), op)
  end

  function api.read(q, more)
    if type(q) == "function" then check_pure(self, q, "the function", name .. ":read", 2) end
    local timeout, max_age = read_options(self, more, name .. ":read")
    return core.read(handle, true, timeout, q, max_age)
  end

  function api.peek(q)
    if type(q) == "function" then check_pure(self, q, "the function", name .. ":peek", 2) end
    return core.peek(handle, true, q)
  end

  function api.changes(from) return same(follow.changes(self, name, handle, from)) end
end

-- What comes by itself: f(status) as a task of its own.
local Subscription = { __name = "orrery.subscription" }
Subscription.__index = Subscription
Subscription.__tostring = function(self) return ("orrery.subscription(%s)"):format(self.name) end
function Subscription:close() self.closed = true end
Subscription.__close = Subscription.close

local events = { leader = true, snapshot = true, upgrade = true }
local events_later = { config = true }

-- Called last, and its caller too: level 2 is the script's line.
local function subscribe(self, api, name, handle, event, f)
  local what = name .. ":on"
  if events_later[event] then
    error(("%s: the event %s is not available in this version of Orrery (%s)"):format(what, event, later.version), 2)
  elseif not events[event] then
    error(("%s: 'event' must be leader, snapshot or upgrade (got %s%s)"):format(what, options.got(event),
      options.hint(event, options.keys(events))), 2)
  elseif type(f) ~= "function" then
    error(("%s: 'f' must be a function (got %s)"):format(what, options.got(f)), 2)
  end
  if self.life.over then error(what .. ": other scripts have replaced these", 2) end
  local subscription = setmetatable({ name = name .. " " .. event, closed = false }, Subscription)
  local room, most = self.host.groups.watch(handle, event, function()
    if not subscription.closed then f(api.status()) end
  end)
  if not room then
    error(("%s: there are %d subscriptions, closed ones among them; there may be no more"):format(what, most), 2)
  end
  return subscription
end

local function new_group(self, name, handle, machine)
  local object
  local api = {
    resp = machine and function() return { service = "resp", group = name } end,
    status = function() return self.host.status(handle) end,
  }
  function api.why(n)
    n = why.check(n, name .. ":why", 2)
    local causes, message, code = self.host.groups.causes(handle, n + 1)
    if not causes then return nil, message, code end
    return why.new(self.own.id, n, causes, 0)
  end
  function api.snapshot() return self.host.groups.snapshot(handle) end
  function api.on(event, f) return subscribe(self, api, name, handle, event, f) end
  if machine then
    kv.methods(api, self.host.groups, name, {
      ask = function(verb, bytes, timeout, max_age)
        return self.host.groups[verb](handle, false, timeout or self.plan.cluster.timing.call, bytes, max_age)
      end,
      read_options = function(more, what) return read_options(self, more, what) end,
    })
    function api.watch(prefix, opts) return same(follow.watch(self, name, handle, prefix, opts)) end
  else
    script_methods(self, api, name, handle)
  end
  local methods = { name = name, title = ("orrery.group(%s %s)"):format(name, machine or "lua") }
  for key, f in pairs(api) do
    methods[key] = function(given, ...)
      if given ~= object then
        error(("group %s.%s must be called as a method: %s:%s(...)"):format(name, key, name, key), 2)
      end
      return f(...)
    end
  end
  object = later.guard("group " .. name, methods, later.group, ":")
  return object
end

-- The scripts go through the group's log: as an op, and within its limit.
local function check_size(self, what)
  local most, size = self.plan.cluster.limits.op or 8 << 20, #self.plan.record + 64
  if size <= most then return end
  local complaint = "%s: the scripts are %d bytes with what the cluster file says; an op may have %d (limits.op)"
  error(complaint:format(what, size, most), 4)
end

-- self: the node of node.lua: { host, plan, handles, groups, check_pure, life }
function group.replicate(self, name, spec)
  local what = "node:replicate"
  if type(name) ~= "string" or not name:find "^[a-z][a-z0-9_-]*$" or #name > 32 then
    error(("%s: the group's name must be [a-z][a-z0-9_-]*, at most 32 (got %s)"):format(what, options.got(name)), 3)
  end
  what = what .. " " .. name
  if type(spec) == "table" then refuse_later(spec, what) end
  local checked = options.check(spec, spec_of_groups, what, 3)
  check_machine(checked, what)
  local timing = self.plan.cluster.timing
  local election, heartbeat = checked.election or timing.election, checked.heartbeat or timing.heartbeat
  if heartbeat >= election then
    error(("%s: 'heartbeat' must be below 'election' (got %s >= %s)"):format(what, heartbeat, election), 3)
  end
  if checked.reads == "lease" and self.plan.cluster.clock == false then
    error(what .. ": reads = \"lease\" goes by the cluster's time, and the cluster file says clock = false", 3)
  end
  if self.handles[name] then error(what .. ": a group of that name is declared already", 3) end
  local on, machine = replicas(self, checked.on, what), nil
  if not checked.machine then
    check_size(self, what)
    local seen = {}
    for _, key in ipairs(functions_of_machine) do
      if checked[key] then check_pure(self, checked[key], key, what, 3, seen) end
    end
    checked.changed = what_changed(seen)
    checked.name, checked.steps = name, checked.steps or self.plan.cluster.limits.steps
    machine = self.host.groups.declare(checked)
  end
  local handle = self.host.replicate(name, checked.election, checked.heartbeat, on, machine, checked.reads == "lease")
  self.handles[name] = handle
  local object = new_group(self, name, handle, checked.machine)
  self.groups[name] = { object = object, lua = not checked.machine }
  return object
end

return group
