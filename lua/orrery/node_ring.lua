-- node_ring.lua - node:ring{...}, for scripts: a hash ring of the nodes that are alive; who is told when it changes.
--
-- In it is who bears the role and is alive or suspect, as node.members says; this node itself always, if it bears it:
-- so before membership knows of anybody a node is alone in its ring, and owns everything. Weights and zones are the
-- cluster file's. Each change makes another ring (orrery.ring's), so what a handler is given of before and after stays
-- as it is. Rings of the same options are one.
local cluster = require "orrery.cluster"
local drawing = require "orrery.look.ring"
local options = require "orrery.options"
local ring = require "orrery.ring"
local subscription = require "orrery.subscription"
local svg = require "orrery.look.svg"

local node_ring = {}

local rings_most, subscriptions_most = 32, 256
local behind = setmetatable({}, { __mode = "k" })       -- what scripts have -> { now = a ring or nil, title, ... }

-- -- Looking up: of one that may be empty ---------------------------------------------------------------------------
local look = {}
local objects_meta                                      -- of all that scripts have

local function inner(object, name)
  local self = behind[object]
  if self and self.follow then self.follow() end
  if self then return self end
  error(("ring.%s must be called as a method: ring:%s(...)"):format(name, name), 3)
end

local function check_key(key, what)
  if type(key) == "string" then return key end
  error(("%s: a key is expected, a string (got %s)"):format(what, options.got(key)), 4)
end

local function check_count(n)
  if math.type(n) ~= "integer" or n < 1 then
    error(("ring:owners: an integer from 1 up is expected (got %s)"):format(options.got(n)), 4)
  end
  return n
end

function look.owner(self, key)
  check_key(key, "ring:owner")
  if self.now then return self.now:owner(key) end
end

function look.owners(self, key, n)
  check_key(key, "ring:owners")
  check_count(n)
  if self.now then return self.now:owners(key, n) end
  return {}, 0
end

local function nobody() return nil end

function look.walk(self, key)
  check_key(key, "ring:walk")
  if self.now then return self.now:walk(key) end
  return nobody
end

function look.bounded(self, key, loads, slack)
  check_key(key, "ring:bounded")
  if not self.now then return nil end
  local ok, id = pcall(self.now.bounded, self.now, key, loads, slack)
  if ok then return id end
  error("ring:bounded: " .. id:gsub("^.-bad argument #%d+ to '.-' ", ""), 3)
end

function look.share(self) return self.now and self.now:share() or {} end

function look.diagram(self, path)
  if path ~= nil then svg.check_path(path, "ring:diagram", 3) end
  if self.now then return (drawing.diagram(self.now, nil, "node:ring " .. self.title, 3)) end
  return "node:ring " .. self.title .. ": no nodes"
end

-- One of orrery.ring's, the script's own; an empty one has none.
function look.copy(self) return self.now and self.now:copy() end

local function is_plain(v)
  local mt = type(v) == "userdata" and getmetatable(v)
  return type(mt) == "table" and mt.__name == "orrery.ring"
end

-- Of two of which one is empty: everything moves, or nothing.
local function diff_of_none(a, b)
  local all = (a or b) and 1.0 or 0.0
  return { moved = all, least = all }
end

function look.diff(self, other)
  local of_other = behind[other]
  if not of_other and not is_plain(other) then
    error(("ring:diff: another ring is expected (got %s)"):format(options.got(other)), 3)
  end
  local theirs = other
  if of_other then theirs = of_other.now end
  if not self.now or not theirs then return diff_of_none(self.now, theirs) end
  return self.now:diff(theirs)
end

-- -- What scripts have ----------------------------------------------------------------------------------------------
local function methods_of(functions)
  local methods = {}
  for name, f in pairs(functions) do
    methods[name] = function(object, ...) return (function(...) return ... end)(f(inner(object, name), ...)) end
  end
  return methods
end

local function new_object(self, methods)
  local object = setmetatable({}, objects_meta)
  self.methods, behind[object] = methods, self
  return object
end

objects_meta = {
  __name = "orrery.node_ring", __metatable = false,
  __index = function(object, key)
    local methods = behind[object].methods
    if methods[key] then return methods[key] end
    error(("ring:%s is unknown%s"):format(tostring(key), options.hint(key, options.keys(methods))), 2)
  end,
  __newindex = function(_, key) error(("a ring is read-only (assigning %s)"):format(tostring(key)), 2) end,
  __len = function(object)
    local now = inner(object, "#").now
    return now and #now or 0
  end,
  __pairs = function(object) return next, behind[object].methods, nil end,
  __tostring = function(object)
    local self = behind[object]
    return ("orrery.node_ring(%s: %d of %d nodes)"):format(self.title, #object, #self.ids)
  end,
}

local frozen_methods = methods_of(look)

-- What there is now, and stays.
local function frozen(self)
  if not self.still then
    self.still = new_object({ now = self.now, title = self.title, ids = self.ids }, frozen_methods)
  end
  return self.still
end

-- -- Following ------------------------------------------------------------------------------------------------------
local function in_ring(owner, id)
  if id == owner.own.id then return true end
  local state = owner.members.state(id)
  return state == "alive" or state == "suspect"
end

local function nodes_of(owner, ids)
  local nodes = {}
  for i, id in ipairs(ids) do
    local node = cluster.node(owner.plan.cluster, id)
    nodes[i] = { id = id, weight = node.weight, zone = node.zone }
  end
  return nodes
end

-- f(change) as a task for each change, one after the other; while one is under way what comes is put together.
local function deliver(owner, s)
  while s.change and not s.closed and not owner.life.over do
    local change = s.change
    s.change = nil
    local t = owner.tasks.spawn(s.f, change)
    if t then t:wait() end
    if t and t.failed then owner.host.log("error", t.failed) end
  end
  s.busy = false
end

local function tell(owner, s, before, after)
  s.change = { before = s.change and s.change.before or before, after = after }
  if s.change.before:diff(after).moved == 0 then s.change = nil end
  if s.busy or not s.change then return end
  s.busy = true
  local t, message = owner.tasks.spawn(deliver, owner, s)
  if t then return end
  s.busy = false
  owner.host.log("error", "ring: on change: " .. message)     -- told with the next one
end

local function refresh(owner, self)
  if owner.life.over then return end
  local ids = {}
  for _, id in ipairs(self.ids) do if in_ring(owner, id) then ids[#ids + 1] = id end end
  local name = table.concat(ids, " ")
  if name == self.name then return end
  local before, now = self.name and frozen(self), nil
  if #ids > 0 then now = ring.new(self.made_of(nodes_of(owner, ids))) end
  self.name, self.still, self.now = name, nil, now
  if not before then return end
  local after = frozen(self)
  for _, s in ipairs(table.move(self.all, 1, #self.all, 1, {})) do
    if not s.closed then tell(owner, s, before, after) end
  end
end

-- At each look-up, for what changed a moment ago; the news of it make it too, so that `change` is told without one.
local function follower(owner, self)
  local seen = -1
  return function()
    local changes = owner.members.changes()
    if changes == seen then return end
    refresh(owner, self)
    seen = changes
  end
end

-- -- Making ---------------------------------------------------------------------------------------------------------
-- orrery.ring's complaints are node:ring's here. level: of who calls this.
local function try_ring(given, level)
  local ok, made = pcall(ring.new, given)
  if ok then return made end
  error((tostring(made):gsub("^.-orrery%.ring", "node:ring")), level + 1)
end

-- The ids that may be in it.
local function candidates(owner, role, level)
  if role == nil then return cluster.ids(owner.plan.cluster) end
  local ids = type(role) == "string" and cluster.role(owner.plan.cluster, role) or {}
  if #ids > 0 then return ids end
  error(("node:ring: 'role' must be one that some node bears (got %s)"):format(options.got(role)), level + 1)
end

local function on_change(owner, self, event, f)
  local what = "ring:on"
  if owner.life.over then error(what .. ": other scripts have replaced these", 3) end
  if #self.all >= subscriptions_most then
    error(("%s: there are %d subscriptions, there may be no more"):format(what, subscriptions_most), 3)
  end
  return subscription.new(self.all, { "change" }, event, f, what, 3)
end

-- Their text tells two rings apart; whatever isn't plain is complained of by orrery.ring.
local function name_of(given)
  local parts = {}
  for _, key in ipairs(options.keys(given)) do parts[#parts + 1] = ("%s=%s"):format(key, tostring(given[key])) end
  return table.concat(parts, " ")
end

local function new_ring(owner, given)
  local self = { ids = candidates(owner, given.role, 4), title = given.role or "all", all = {}, name = false }
  function self.made_of(nodes)
    local made = { nodes = nodes }
    for key, v in pairs(given) do if key ~= "role" then made[key] = v end end
    return made
  end
  try_ring(self.made_of(nodes_of(owner, self.ids)), 4)          -- all of them: is there room for so many points?
  local functions = { on = function(of, event, f) return on_change(owner, of, event, f) end }
  for key, f in pairs(look) do functions[key] = f end
  local object = new_object(self, methods_of(functions))
  self.follow = follower(owner, self)
  self.follow()
  return object, self
end

-- owner: the node of node.lua { host, plan, own, life, tasks, members }. The script's line is at level 3.
function node_ring.ring(owner, given)
  if given == nil then given = {} end
  if type(given) ~= "table" then
    error(("node:ring: options must be a table (got %s)"):format(options.got(given)), 3)
  elseif given.nodes ~= nil then
    error("node:ring: 'nodes' can't be given: it follows who is alive; orrery.ring has nodes of your own", 3)
  end
  owner.rings = owner.rings or { n = 0 }
  local name = name_of(given)
  if owner.rings[name] then return owner.rings[name] end
  if owner.rings.n == rings_most then error(("node:ring: %d rings at most"):format(rings_most), 3) end
  local copy = {}
  for key, v in pairs(given) do copy[key] = v end
  local object, self = new_ring(owner, copy)
  owner.members.watch(self.follow, "node:ring", 3)
  owner.rings[name], owner.rings.n = object, owner.rings.n + 1
  return object
end

return node_ring
