-- time.lua - how a simulation's time passes: run, step, run_until, what is planned for a moment, and the moments.
--
-- Between two steps, here, is done what is planned (the agenda), what waits for an event (awaited), what is watched and
-- what is always to hold; and tasks outside the nodes go on.
local arguments = require "orrery.sim.arguments"
local faults = require "orrery.faults"
local interrupt = require "orrery.interrupt"
local notes = require "orrery.sim.notes"
local travel = require "orrery.travel"
local watch = require "orrery.look.watch"

local time = {}
local opened = faults.opened
local methods, private = {}, {}      -- private: for the other files of the simulation
time.methods, time.private = methods, private
local ns, for_ever = 1000000000, math.maxinteger
local slice = ns // 10                                  -- virtual time between two looks at Ctrl-C

function methods:now()
  opened(self, "now")
  return self.core:now() / ns
end

-- f(at) at that time (ns), before what comes later; those of one time in the order of planning. By its tag it can be
-- cancelled.
function private:plan(at, f, tag)
  local agenda, i = self.agenda, #self.agenda
  while i > 0 and agenda[i].at > at do i = i - 1 end
  table.insert(agenda, i + 1, { at = at, f = f, tag = tag })
end

-- f() after the next such event, of that group where one is named.
function private:await(event, group, f, tag)
  group = group or nil
  self.awaited[#self.awaited + 1] = { event = event, group = group, f = f, tag = tag,
    before = self.core:seen(event, group) }
end

-- All that was planned under that tag.
function private:cancel(tag)
  for _, name in ipairs { "agenda", "awaited" } do
    local kept = {}
    for _, item in ipairs(self[name]) do if item.tag ~= tag then kept[#kept + 1] = item end end
    self[name] = kept
  end
end

local function do_first(self)
  local item = table.remove(self.agenda, 1)
  item.f(item.at)
end

local function do_planned(self)
  local now = self.core:now()
  while self.agenda[1] and self.agenda[1].at <= now do
    travel.perform(self, do_first)
    notes.take(self)
  end
end

local function has_come(self)
  for _, item in ipairs(self.awaited) do
    if self.core:seen(item.event, item.group) > item.before then return true end
  end
  return false
end

-- What waited for an event that has come; in the order in which it was planned.
local function do_awaited(self)
  local come, waiting = {}, {}
  for _, item in ipairs(self.awaited) do
    local list = self.core:seen(item.event, item.group) > item.before and come or waiting
    list[#list + 1] = item
  end
  self.awaited = waiting
  for _, item in ipairs(come) do
    item.f()
    notes.take(self)
  end
end

local function check_always(self)
  for i, property in ipairs(self.properties) do
    if not property.over then
      local ok, why = property.f(self)
      if not ok then self:violated(property.name, why, i) end
    end
  end
end

-- Up to `limit`, or to the first news for tasks outside the nodes, in steps as large as the watchers allow. True:
-- done() says so.
local function go(self, limit, done, by)
  if not done and #self.properties + #self.awaited + #self.watches == 0 then
    repeat
      self.core:run(math.min(limit, self.core:now() + slice))
      self.news = self.core:news() and self.outside:any()
      notes.take(self)
    until self.news or self.core:now() >= limit or self.fresh or interrupt.pending()
    return false
  end
  local events = self.core:events()
  repeat
    local more = self.core[by](self.core, limit)
    notes.take(self)
    if has_come(self) then travel.perform(self, do_awaited) end
    if self.core:events() ~= events then
      events = self.core:events()
      watch.check(self)
      check_always(self)
    end
    if done and done() then return true end
    self.news = self.core:news() and self.outside:any()
  until not more or self.fresh or self.news or interrupt.pending()
  return false
end

local function turn(self) self.outside:turn() end

-- Tasks outside the nodes whose waiting is over go on. Did any?
local function turn_outside(self)
  if not self.outside:ready() then return false end
  travel.perform(self, turn)
  notes.take(self)
  return true
end

-- When something is planned next, or a task outside the nodes has waited enough.
local function next_moment(self)
  return math.min(self.agenda[1] and self.agenda[1].at or for_ever, self.outside:deadline())
end

-- Goes on until done() says so (then true), something is violated, or it is `until_ns`, doing on the way what is
-- planned. by: "touch", done is asked after each event that touched a node; "tick": after everything that happens.
function time.advance(self, what, until_ns, done, by)
  if self.running then error(("sim:%s: can't be called from what the simulation itself calls"):format(what), 3) end
  travel.fork(self)
  self.running, self.fresh = true, false
  local _ <close> = setmetatable({}, { __close = function() self.running = false end })
  while true do
    do_planned(self)
    if turn_outside(self) and done and done() then return true end
    local limit = math.min(until_ns, next_moment(self))
    if go(self, limit, done, by) then return true end
    if self.fresh or limit == for_ever and not self.news or interrupt.pending() then return false end
    if not self.news and self.core:now() >= until_ns and next_moment(self) > until_ns then return false end
  end
end

function time.told(self)
  if self.fresh then return nil, self.fresh, "violated" end
  return true
end

-- sim:run(T): true; or, where something was violated, nil and what: then it is the time at which that was seen.
function methods:run(T)
  opened(self, "run")
  local until_ns = self.core:now() + arguments.time("sim:run", "T", T, 2)
  time.advance(self, "run", until_ns, nil, "touch")
  return time.told(self)
end

-- sim:step(n = 1): n events that touch a node.
function methods:step(n)
  opened(self, "step")
  n = arguments.check("sim:step", "n", { "integer", min = 1 }, n == nil and 1 or n, 2)
  time.advance(self, "step", for_ever, function()
    n = n - 1
    return n == 0
  end, "touch")
  return time.told(self)
end

local function event_condition(self, event)
  arguments.event("sim:run_until", "a function or an event", event, 3)
  local before = self.core:seen(event)
  return function() return self.core:seen(event) > before end
end

-- sim:run_until(event or f, limit = 60): true once the event happens or f(sim) is true; nil, message, "timeout".
function methods:run_until(event, limit)
  opened(self, "run_until")
  limit = limit == nil and 60 or limit
  local until_ns = self.core:now() + arguments.time("sim:run_until", "limit", limit, 2)
  local f = event
  if type(event) ~= "function" then f = event_condition(self, event) elseif f(self) then return true end
  if time.advance(self, "run_until", until_ns, function() return f(self) end, "touch") then return time.told(self) end
  if self.fresh then return time.told(self) end
  return nil, ("sim:run_until: no %s within %g s"):format(type(event) == "string" and event or "success", limit),
    "timeout"
end

-- Runs virtual time until done(), at most T: what waits from outside the nodes waits by this.
function private:wait(done, T)
  opened(self, "wait")
  return done() or time.advance(self, "wait", self.core:now() + arguments.ns(T), done, "tick")
end

-- -- Moments --------------------------------------------------------------------------------------------------------
local function check_moment(self, what, name, T, level)
  local at = arguments.time(what, name, T, level + 1)
  if at >= self.core:now() then return at end
  error(("%s: '%s' must not be past (got %g, it is %.3f)"):format(what, name, T, self:now()), level + 1)
end

function methods:at(T)
  opened(self, "at")
  return faults.moment(self, "at", (check_moment(self, "sim:at", "T", T, 2)))
end

-- What is done at the first is undone at the second.
function methods:between(from, till)
  opened(self, "between")
  local first = check_moment(self, "sim:between", "from", from, 2)
  local last = check_moment(self, "sim:between", "till", till, 2)
  if last > first then return faults.moment(self, "between", first, last) end
  error(("sim:between: 'till' must be after 'from' (got %g, %g)"):format(from, till), 2)
end

function methods:every(T)
  opened(self, "every")
  local period = arguments.time("sim:every", "T", T, 2)
  if period > 0 then return faults.moment(self, "every", period) end
  error("sim:every: 'T' must be a number of seconds above 0 (got 0)", 2)
end

-- The next such event; of that group, where one is named.
function methods:when(event, group)
  opened(self, "when")
  arguments.event("sim:when", "an event", event, 2)
  if group ~= nil then arguments.check("sim:when", "group", { "string", expected = "a group's name" }, group, 2) end
  return faults.moment_of_event(self, event, group)
end

return time
