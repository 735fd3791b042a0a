-- live.lua - a live cluster seen from outside, over time: watch, timeline and plot of connected handles.
--
-- A lookout asks each node for its status ten times a second (more than ten nodes less often: a hundred times in all),
-- by the handle's own connection, whenever a handle turns: while something waits, in step(), and while a prompt waits
-- for a line. What differs from the last time is an event; a node whose role has changed is asked what it came from.
-- So an event is told up to a tenth of a second late, what comes and goes between two looks is not seen, and messages
-- are not known at all.
--
-- What it keeps is bounded: see the numbers below. Times are seconds since it began, and shown as wall time; in ns only
-- for timeline.lua and plot.lua.
local core = require "orrery.core"
local options = require "orrery.options"
local plot = require "orrery.look.plot"
local state = require "orrery.look.state"
local timeline = require "orrery.look.timeline"
local watch = require "orrery.look.watch"
local why = require "orrery.why"

local live = {}
local Lookout = {}
Lookout.__index = Lookout
local ns = 1000000000
local every, again = 0.1, 0.5           -- seconds from one look at a node, from one try to reach it, to the next
local patience = 1                      -- seconds until a node that says nothing counts as down
local pace = 0.5                        -- seconds from a watch's one line to its next: the last change is told then
local events_max, steps_max, watches_max = 5000, 5000, 100
local causes_most = 32
local kinds = { leader = true, up = true, down = true, restart = true, commit = false, apply = false }

-- -- Time -----------------------------------------------------------------------------------------------------------
function Lookout:now() return core.process.clock() - self.began end

-- "10:31:04.123"
local function time_of_day(self, at)
  local ms = math.floor((self.wall + at) * 1000 + 0.5)
  return ("%s.%03d"):format(os.date("%H:%M:%S", ms // 1000), ms % 1000)
end

local function in_ns(T) return math.floor(T * ns + 0.5) end

-- -- What is kept ---------------------------------------------------------------------------------------------------
-- e has its kind, node and text. The many of commit and apply don't push out the others.
local function add(self, e)
  local which = kinds[e.kind] and "rare" or "busy"
  local list = self.events[which]
  self.n_events = self.n_events + 1
  e.at, e.n = self:now(), self.n_events
  e.ns, e.wall = in_ns(e.at), self.wall + e.at
  list[#list + 1] = e
  if #list > 2 * events_max then
    self.events[which], self.forgot = table.move(list, events_max + 1, #list, 1, {}), true
  end
  return e
end

-- A figure of a replica has that value from now on. Where there are too many steps, every other one is left out.
local function add_step(self, field, group, id, value)
  local key = field .. " " .. group
  local of = self.steps[key] or {}
  local list = of[id] or {}
  self.steps[key], of[id] = of, list
  local last = list[#list]
  if last and last.value == value then return end
  list[#list + 1] = { at = in_ns(self:now()), value = value }
  if #list < 2 * steps_max then return end
  local thinner = {}
  for i = 2, #list, 2 do thinner[#thinner + 1] = list[i] end
  of[id] = thinner
end

-- -- Asking ---------------------------------------------------------------------------------------------------------
-- f(true, results) or f(false, why, code) once there is an answer. False: it can't be asked.
local function ask(self, id, verb, f, ...)
  local handle = self.root.nodes[id]
  local asked = not handle.closed and handle.core:ask("\0" .. verb, in_ns(patience), ...)
  if not asked then return false end
  self.asked[#self.asked + 1] = { asked = asked, f = f }
  return true
end

local function take_answers(self)
  local waiting, come = {}, {}
  for _, one in ipairs(self.asked) do
    local list = one.asked:over() and come or waiting
    list[#list + 1] = one
  end
  self.asked = waiting
  for _, one in ipairs(come) do
    local results = table.pack(one.asked:results())
    one.asked:close()
    one.f(table.unpack(results, 1, results.n))
  end
end

-- The node's own account of what e, a change of role, came from.
local function ask_cause(self, e)
  local asked_at = self:now()           -- the node looks at its clock later, so its causes don't seem too late
  ask(self, e.node, "causes", function(ok, causes, now)
    if not ok or type(causes) ~= "table" then return end
    local found = timeline.cause_of(e, why.new(e.node, causes_most, causes, asked_at - now))
    e.cause = found and found.text
  end, e.group, causes_most)
end

-- -- What nodes say -------------------------------------------------------------------------------------------------
local function note_group(self, id, name, g, before)
  self.facts.roles[name] = true
  if not before or before.role ~= g.role or before.term ~= g.term or before.leader ~= g.leader then
    local e = { kind = "leader", node = id, what = g.role, term = g.term, leader = g.leader, group = name }
    e.text = timeline.words(self, { kind = "status", what = g.role, term = g.term, leader = g.leader, group = name })
    ask_cause(self, add(self, e))
  end
  for kind, field in pairs { commit = "commit", apply = "applied" } do
    if before and before[field] < g[field] then
      add(self, { kind = kind, node = id, group = name, index = g[field],
        text = timeline.words(self, { kind = kind, group = name, index = g[field] }) })
    end
    add_step(self, field, name, id, g[field])
  end
  add_step(self, "term", name, id, g.term)
end

local function note_up(self, id, status)
  local one = self.seen[id]
  local downs = self.downs[id]
  if one.status and one.status.state == "down" then
    if downs[#downs] then downs[#downs].till = in_ns(self:now()) end
    local other = one.incarnation and one.incarnation ~= status.incarnation
    add(self, { kind = other and "restart" or "up", node = id,
      text = other and "answers: it was started anew" or "answers" })
  elseif one.incarnation and one.incarnation ~= status.incarnation then
    add(self, { kind = "restart", node = id, text = "was started anew" })
  end
  local before = one.status and one.incarnation == status.incarnation and one.status.groups or {}
  status.state = "up"
  one.status, one.incarnation = status, status.incarnation
  for _, name in ipairs(options.keys(status.groups)) do
    note_group(self, id, name, status.groups[name], before[name])
  end
end

local function note_down(self, id, reason)
  local one = self.seen[id]
  if one.status and one.status.state == "down" then return end
  local downs = self.downs[id]
  one.status, one.shown = { state = "down", why = reason, groups = {} }, {}
  downs[#downs + 1] = { at = in_ns(self:now()) }
  add(self, { kind = "down", node = id, text = "doesn't answer: " .. reason })
end

-- -- Looking --------------------------------------------------------------------------------------------------------
local function wants_state(self, id)
  local prefix = id .. ".state"
  for _, one in ipairs(self.watches) do
    if one.name == prefix or one.name:sub(1, #prefix + 1) == prefix .. "." then return true end
  end
  return self.soon == prefix
end

local function ask_status(self, id)
  local one = self.seen[id]
  local can = ask(self, id, "status", function(ok, status)
    one.busy = 0
    if ok then note_up(self, id, status)
    elseif one.way == "open" then note_down(self, id, ("nothing for %g s"):format(patience)) end
  end)
  one.busy = can and self:now() + 2 * patience or 0     -- an end for who was interrupted before he took the answer
  if wants_state(self, id) then
    ask(self, id, "state", function(ok, shown) if ok then one.shown = shown end end)
  end
end

local function look_at(self, id)
  local one, now = self.seen[id], self:now()
  local way, reason = self.step(self.root.nodes[id])
  if way ~= one.way then
    one.way, one.since = way, now
    if way == "open" then one.due = now end
  end
  if way == "closed" and reason ~= "" then note_down(self, id, reason) end      -- "": it was never open
  if way == "opening" and now - one.since > patience then note_down(self, id, "no connection yet") end
  if now < one.due or now < one.busy then return end
  if way == "open" then
    one.due = now + math.max(every, #self.ids * every / 10)
    ask_status(self, id)
  elseif way == "closed" then
    one.due = now + again
    self.open(self.root.nodes[id])
  end
end

local function tell_changes(self)
  for _, one in ipairs(table.move(self.watches, 1, #self.watches, 1, {})) do
    local now = self:now()
    if now - (one.told or -pace) >= pace then
      local ok, text = pcall(watch.change, one)
      if not ok then
        one:close()
        text = ("%s  is watched no more: %s"):format(one.name, text)
      end
      if text then
        one.told = now
        self.say(("%s  %s"):format(time_of_day(self, now), text))
      end
    end
  end
end

-- What can be done now, without waiting.
function Lookout:turn()
  if self.turning then return end       -- who is told of an end may wait for something
  self.turning = true
  local _ <close> = setmetatable({}, { __close = function() self.turning = false end })
  for _, id in ipairs(self.ids) do look_at(self, id) end
  take_answers(self)
  tell_changes(self)
end

-- In how many seconds it wants to turn again.
function Lookout:deadline()
  if #self.asked > 0 then return every / 10 end
  local due = math.huge
  for _, id in ipairs(self.ids) do due = math.min(due, self.seen[id].due) end
  return math.max(0, math.min(every, due - self:now()))
end

-- Has each node been seen, or not been found?
function Lookout:complete()
  for _, id in ipairs(self.ids) do
    local one = self.seen[id]
    if not one.status or not one.shown and wants_state(self, id) then return false end
  end
  return true
end

-- -- For who looks --------------------------------------------------------------------------------------------------
-- wait: turns until complete().
function Lookout:watch(what, group, wait, level)
  if #self.watches >= watches_max then
    return nil, ("node:watch: %d are watched, as many as can be; unwatch() ends them"):format(watches_max), "overloaded"
  end
  local id = type(what) == "string" and what:match "^([^.]+)%.state%f[.\0]"
  self.soon = id and id .. ".state"
  wait()
  local _ <close> = setmetatable({}, { __close = function() self.soon = false end })
  return (watch.new(self.watches, self.sight, what, group, level + 1))
end

function Lookout:unwatch(what) return watch.stop(self.watches, what) end

local Timeline = { __name = "orrery.timeline" }
function Timeline.__tostring(list)
  local lines = {}
  if list.forgot then lines[1] = "  (what was before is forgotten)" end
  for _, e in ipairs(list) do
    lines[#lines + 1] = ("  %s  %s  %s%s"):format(e.time, e.node, e.text, e.cause and ": " .. e.cause or "")
  end
  return table.concat(lines, "\n")
end

-- { from = 0, till = now, nodes, kinds } -> an array of events, which is their text as well.
function Lookout:timeline(opts, level)
  local checked, wanted, nodes = timeline.select("node:timeline", opts, kinds, self.index, level + 1)
  local list = setmetatable({ forgot = self.forgot }, Timeline)
  for _, which in pairs(self.events) do
    for _, e in ipairs(which) do
      local within = e.at >= checked.from and e.at <= (checked.till or math.huge)
      if wanted[e.kind] and within and timeline.is_about(e, nodes) then
        e.time = time_of_day(self, e.at)
        list[#list + 1] = e
      end
    end
  end
  table.sort(list, function(x, y) return x.n < y.n end)
  return list
end

function Lookout:plot(level, ...)
  local source = {
    what = "node:plot", title = ("%s, from %s on"):format(self.root.cluster, time_of_day(self, 0)), ids = self.ids,
    now = in_ns(self:now()), groups = options.keys(self.facts.roles), downs = self.downs,
    steps = function(field, group) return self.steps[field .. " " .. group] or {} end,
  }
  local charts, message, code = plot.draw(source, level + 1, ...)
  if charts == nil then return nil, message, code end
  return charts
end

function Lookout:close()
  watch.stop(self.watches)
  for _, one in ipairs(self.asked) do one.asked:close() end
  self.asked = {}
end

-- root: the handle that the others came from. step(handle): a turn of its loop -> "open", "opening" or "closed", why;
-- open(handle): begins a connection.
function live.new(root, step, open)
  local self = setmetatable({
    root = root, ids = root.ids, step = step, open = open, index = {}, seen = {}, downs = {}, steps = {},
    events = { rare = {}, busy = {} }, n_events = 0, forgot = false, facts = { roles = {} }, asked = {}, watches = {},
    soon = false, turning = false, began = core.process.clock(), wall = core.process.wall(),
    say = function(text) io.stdout:write(text, "\n") end,
  }, Lookout)
  for _, id in ipairs(self.ids) do
    self.index[id], self.downs[id] = true, {}
    self.seen[id] = { status = false, shown = false, way = "closed", since = 0, due = 0, busy = 0 }
  end
  local unseen = { state = "down", groups = {} }
  local function status(id) return self.seen[id].status or unseen end
  self.sight = {
    what = "node:watch", ids = self.ids, index = self.index, status = status,
    state = function(id) return self.seen[id].shown or {} end,
    leader = function(group) return (state.leader(self.ids, status, group, "node:watch", 2)) end,
  }
  return self
end

return live
