-- sim.lua - a simulation as an object: a cluster's nodes on virtual time, in this process, in one thread.
--
--     local sim <close> = orrery.sim("examples/kv/cluster.lua", { seed = 17 })
--     sim:between(2, 6):partition({ "a" }, { "b", "c" })
--     sim:run(10)
--     print(sim)
--
-- A run is its seed and the calls made on it. Nothing of the caller's runs inside a step: what is planned for a moment,
-- and what is always to hold, is done between two steps, here. Times are seconds outside and ns inside; they are
-- converted in this file (and the amounts of verbs in faults.lua).
local asks = require "orrery.asks"
local client = require "orrery.client"
local cluster = require "orrery.cluster"
local core = require "orrery.core"
local diagram = require "orrery.look.diagram"
local faults = require "orrery.faults"
local handle = require "orrery.handle"
local interrupt = require "orrery.interrupt"
local judge = require "orrery.look.judge"
local later = require "orrery.later"
local options = require "orrery.options"
local outside = require "orrery.outside"
local plan = require "orrery.plan"
local plot = require "orrery.look.plot"
local reach = require "orrery.reach"
local timeline = require "orrery.look.timeline"
local travel = require "orrery.travel"
local watch = require "orrery.look.watch"
local workload = require "orrery.workload"

local sim = {}
local opened = faults.opened
local methods, private = {}, {}      -- private: for the other files of the simulation
sim.methods = methods
local ns, for_ever = 1000000000, math.maxinteger
local lines_max = 1000
local slice = ns // 10                                  -- virtual time between two looks at Ctrl-C

-- -- Checking -------------------------------------------------------------------------------------------------------
local function in_ns(seconds) return math.floor(seconds * ns + 0.5) end

local function check(what, name, rule, v, level)
  local out, problem = options.value(v, rule)
  if not problem then return out end
  table.insert(problem.path, 1, name)
  error(options.message(problem, what), level + 1)
end

local duration = { "number", min = 0, max = 1e9 }
local function check_time(what, name, v, level)
  return in_ns(check(what, name, duration, v, level + 1))
end

local function check_function(what, name, f, level)
  if type(f) == "function" then return f end
  error(("%s: '%s' must be a function (got %s)"):format(what, name, options.got(f)), level + 1)
end

local function check_id(self, what, id, level)
  if self.index[id] then return id end
  error(("%s: 'node' must be a node of the cluster (got %s%s)"):format(what, options.got(id),
    options.hint(id, self.ids)), level + 1)
end

-- -- What happened meanwhile ----------------------------------------------------------------------------------------
-- The first thing that was violated counts; run tells it when it happens, check() ever after.
local function set_violation(self, text, over)
  self.violation = self.violation or text
  if over then self.properties[over].over = true end
end

-- over: which of the properties it is.
function private:violated(property, why, over)
  if travel.is_replay(self) then return end             -- the tape knows
  local text = ("%s, seed %d, at %.3f: %s%s"):format(self.name, self.seed, self:now(), property,
    why and ": " .. tostring(why) or "")
  self.fresh = text
  set_violation(self, text .. self.again, over)
  travel.record(self, set_violation, text .. self.again, over)
end

-- What an oracle saw, as `property: why`.
local function saw(self, note)
  local property, why = note.text:match "^([%w_]+): (.*)$"
  self:violated(property, why)
end

function private:take_notes()
  for _, note in ipairs(self.core:notes()) do
    local at = ("%.6f"):format(note.at / ns)
    local lines = self.lines
    lines[#lines + 1] = { node = note.node, text = ("%s %s %s %s"):format(at, note.node, note.kind, note.text) }
    if #lines > 2 * lines_max then self.lines = table.move(lines, lines_max + 1, #lines, 1, {}) end
    if self.verbose then self.verbose(note) end
    if note.kind == "down" then
      self.deaths[note.node] = { at = note.at, code = note.code, why = note.text }
    elseif note.kind == "up" then
      self.deaths[note.node] = nil
    elseif note.kind == "violated" then
      saw(self, note)
    end
  end
end

local take_notes = private.take_notes
local lines_meta = { __tostring = function(self) return table.concat(self, "\n") end }

-- To be judged as what oracles saw is: the first one counts.
function private:violate(property, why)
  self:tell_core("violate", property, why)
  take_notes(self)
end

-- The last lines that nodes logged, and their lives: all, or one node's.
function methods:log(id)
  opened(self, "log")
  if id ~= nil then check_id(self, "sim:log", id, 2) end
  local out, from = setmetatable({}, lines_meta), math.max(1, #self.lines - lines_max + 1)
  for i = from, #self.lines do
    local line = self.lines[i]
    if id == nil or line.node == id then out[#out + 1] = line.text end
  end
  return out
end

-- -- Time -----------------------------------------------------------------------------------------------------------
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
    take_notes(self)
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
    take_notes(self)
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
      take_notes(self)
    until self.news or self.core:now() >= limit or self.fresh or interrupt.pending()
    return false
  end
  local events = self.core:events()
  repeat
    local more = self.core[by](self.core, limit)
    take_notes(self)
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
  take_notes(self)
  return true
end

-- When something is planned next, or a task outside the nodes has waited enough.
local function next_moment(self)
  return math.min(self.agenda[1] and self.agenda[1].at or for_ever, self.outside:deadline())
end

-- Goes on until done() says so (then true), something is violated, or it is `until_ns`, doing on the way what is
-- planned. by: "touch", done is asked after each event that touched a node; "tick": after everything that happens.
local function advance(self, what, until_ns, done, by)
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

local function told(self)
  if self.fresh then return nil, self.fresh, "violated" end
  return true
end

-- sim:run(T): true; or, where something was violated, nil and what: then it is the time at which that was seen.
function methods:run(T)
  opened(self, "run")
  local until_ns = self.core:now() + check_time("sim:run", "T", T, 2)
  advance(self, "run", until_ns, nil, "touch")
  return told(self)
end

-- sim:step(n = 1): n events that touch a node.
function methods:step(n)
  opened(self, "step")
  n = check("sim:step", "n", { "integer", min = 1 }, n == nil and 1 or n, 2)
  advance(self, "step", for_ever, function()
    n = n - 1
    return n == 0
  end, "touch")
  return told(self)
end

local events = { leader = true, commit = true, apply = true, snapshot = true, upgrade = true, kill = true,
  restart = true }
local events_later = { config = true, join = true, suspect = true, alive = true,
  fail = true, leave = true, step = true, overload = true }

local function check_event(what, expected, event, level)
  if events_later[event] then
    error(("%s: the event %s is not available in this version of Orrery (%s)"):format(what, event, later.version),
      level + 1)
  elseif not events[event] then
    error(("%s: 'event' must be %s (got %s%s)"):format(what, expected, options.got(event),
      options.hint(event, options.keys(events))), level + 1)
  end
end

local function event_condition(self, event)
  check_event("sim:run_until", "a function or an event", event, 3)
  local before = self.core:seen(event)
  return function() return self.core:seen(event) > before end
end

-- sim:run_until(event or f, limit = 60): true once the event happens or f(sim) is true; nil, message, "timeout".
function methods:run_until(event, limit)
  opened(self, "run_until")
  limit = limit == nil and 60 or limit
  local until_ns = self.core:now() + check_time("sim:run_until", "limit", limit, 2)
  local f = event
  if type(event) ~= "function" then f = event_condition(self, event) elseif f(self) then return true end
  if advance(self, "run_until", until_ns, function() return f(self) end, "touch") then return told(self) end
  if self.fresh then return told(self) end
  return nil, ("sim:run_until: no %s within %g s"):format(type(event) == "string" and event or "success", limit),
    "timeout"
end

-- Runs virtual time until done(), at most T: what waits from outside the nodes waits by this.
function private:wait(done, T)
  opened(self, "wait")
  return done() or advance(self, "wait", self.core:now() + in_ns(T), done, "tick")
end

-- -- Talking --------------------------------------------------------------------------------------------------------
local function check_message(self, what, id, name)
  check_id(self, what, id, 3)
  check(what, "name", { "string", pattern = "^.", max = 255, expected = "a message's name" }, name, 3)
end

for name, f in pairs(asks) do private[name] = f end

-- A node that has just been started reads its disk first: until then nobody can ask it.
local function wait_for_node(self, id, T)
  self:wait(function()
    local status = self.core:status(id)
    return not status or status.recovered
  end, T)
end

-- What the node's handler returns; nil, message, code. Runs virtual time, at most the cluster's timing.call.
function methods:call(id, name, ...)
  opened(self, "call")
  check_message(self, "sim:call", id, name)
  local T = self.cluster.timing.call
  wait_for_node(self, id, T)
  local host = { wait = function(done, limit) return self:wait(done, limit) end }
  return reach.settle(host, ("%s: %s"):format(id, name), T, self:ask("ask", id, name, in_ns(T), ...))
end

-- No answer, no promise: true, or nil, message, code.
function methods:cast(id, name, ...)
  opened(self, "cast")
  check_message(self, "sim:cast", id, name)
  return self:tell_core("cast", id, name, ...)
end

-- -- Other scripts --------------------------------------------------------------------------------------------------
-- The cluster and its nodes' plans; or nil and one line.
local function plans_of(given)
  local value, message = given, nil
  if type(given) == "string" then value, message = cluster.load(given) end
  if not value then return nil, message end
  local bundle
  bundle, message = plan.bundle(value)
  if not bundle then return nil, message end
  local nodes = {}
  for i, id in ipairs(cluster.ids(value)) do
    nodes[i] = { id = id, plan = plan.text(value, bundle, id) }
  end
  return value, nodes
end

-- sim:reload(id, path): from now on that node has the scripts of this cluster file, and runs them if it is up. No path:
-- the file that the simulation was made from. true; or nil, message, code, and the scripts that it runs go on.
function methods:reload(id, given)
  opened(self, "reload")
  check_id(self, "sim:reload", id, 2)
  if given == nil then given = self.given end
  if type(given) ~= "string" and not cluster.is(given) then
    error(("sim:reload: 'path' must be a cluster or the path of one (got %s)"):format(options.got(given)), 2)
  end
  local value, nodes = plans_of(given)
  if not value then return nil, nodes, "invalid" end
  for _, node in ipairs(nodes) do
    if node.id == id then
      if self.core:state(id) == "paused" then return nil, id .. ": it is paused", "unavailable" end
      self.shown[id] = nil
      return self:tell_core("reload", id, node.plan)
    end
  end
  return nil, ("%s: the file has no such node"):format(id), "invalid"
end

-- Runs text in the node, between two events: an expression's values, or statements. nil, message, "failed".
function methods:eval(id, text)
  opened(self, "eval")
  check_id(self, "sim:eval", id, 2)
  reach.check_text(text, "sim:eval", 3)
  self.shown[id] = nil                                -- it may change node.state
  return reach.evaluated(id, self:tell_core("eval", id, text))
end

-- -- Moments --------------------------------------------------------------------------------------------------------
local function check_moment(self, what, name, T, level)
  local at = check_time(what, name, T, level + 1)
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
  local period = check_time("sim:every", "T", T, 2)
  if period > 0 then return faults.moment(self, "every", period) end
  error("sim:every: 'T' must be a number of seconds above 0 (got 0)", 2)
end

-- The next such event; of that group, where one is named.
function methods:when(event, group)
  opened(self, "when")
  check_event("sim:when", "an event", event, 2)
  if group ~= nil then check("sim:when", "group", { "string", expected = "a group's name" }, group, 2) end
  return faults.moment_of_event(self, event, group)
end

for name in pairs(faults.verbs) do methods[name] = faults.now(name) end
for name, f in pairs(faults.selectors) do methods[name] = f end

-- -- Looking --------------------------------------------------------------------------------------------------------
-- The id of the node that leads the group, as the newest leader that is up says; nil: none. One group needs no name.
local function leader_of(self, group)
  opened(self, "leader")
  local leader, term, known = nil, -1, {}
  for _, id in ipairs(self.ids) do
    local status = self.core:status(id)
    for name, g in pairs(status and status.groups or {}) do
      known[name] = true
      if (group == nil or name == group) and g.role == "leader" and g.term > term then leader, term = id, g.term end
    end
  end
  local names = options.keys(known)
  if group == nil and #names > 1 then
    error(("sim:leader: 'group' must be one of %s (got nothing)"):format(options.either(names)), 2)
  elseif group ~= nil and not known[group] and #names > 0 then
    error(("sim:leader: no node that is up has a group %s%s"):format(options.got(group), options.hint(group, names)), 2)
  end
  return leader
end
methods.leader = faults.selector(leader_of)

-- Whom each node's messages reach: o yes, x the link is cut that way, - one of the two is down, blank: no link.
function methods:matrix()
  opened(self, "matrix")
  local width, linked = 1, {}
  for _, id in ipairs(self.ids) do width = math.max(width, #id) end
  for _, pair in ipairs(self.cluster.links:list(self.ids)) do
    linked[pair[1] .. " " .. pair[2]], linked[pair[2] .. " " .. pair[1]] = true, true
  end
  local function cell(a, b)
    if a == b then return "." end
    if not linked[a .. " " .. b] then return " " end
    if self.core:state(a) == "down" or self.core:state(b) == "down" then return "-" end
    return self.core:link(a, b).cut and "x" or "o"
  end
  local function row(head, f)
    local cells = { ("%-" .. width + 1 .. "s"):format(head) }
    for _, id in ipairs(self.ids) do cells[#cells + 1] = ("%-" .. width .. "s"):format(f(id)) end
    return "  " .. table.concat(cells, " "):gsub(" +$", "")
  end
  local rows = { row("", function(id) return id end) }
  for _, a in ipairs(self.ids) do rows[#rows + 1] = row(a, function(b) return cell(a, b) end) end
  return table.concat(rows, "\n")
end

methods.timeline, methods.why = timeline.timeline, timeline.why
methods.watch, methods.unwatch = watch.watch, watch.unwatch
methods.diagram, methods.plot = diagram.diagram, plot.plot
methods.assert_linearizable, methods.assert_converges = judge.assert_linearizable, judge.assert_converges
methods.rto = judge.rto

-- 16 hexadecimal digits over every byte that was delivered so far.
function methods:digest()
  opened(self, "digest")
  return self.core:digest()
end

local client_options = {
  to = { "string", required = true, expected = "a node's id" },
  listener = { "string", default = "resp" },
  timeout = { "seconds", default = 5 },
}

-- sim:client{ to = id }: a Redis client of that node.
function methods:client(opts)
  opened(self, "client")
  local checked = options.check(opts, client_options, "sim:client", 2)
  check_id(self, "sim:client", checked.to, 2)
  local member = cluster.node(self.cluster, checked.to)
  local address = member.listen[checked.listener]
  if not address then
    error(("sim:client: node %s has no listener %s in the cluster file%s"):format(checked.to,
      options.got(checked.listener), options.hint(checked.listener, options.keys(member.listen))), 2)
  end
  return client.new(self, checked.to, address, checked.timeout)
end

-- What the clients of its workload did and saw so far, in order.
function methods:history()
  opened(self, "history")
  if self.runner then return self.runner.history end
  error("sim:history: no workload is attached to this simulation", 2)
end

-- -- Judging --------------------------------------------------------------------------------------------------------
local function check_name(what, name)
  check(what, "name", { "string", expected = "a sentence that names what must hold" }, name, 3)
end

local function add_property(self, name, f)
  self.properties[#self.properties + 1] = { name = name, f = f }
end

-- f(sim) must be true after each event that touches a node; false, why: violated.
function methods:always(name, f)
  opened(self, "always")
  check_name("sim:always", name)
  travel.perform(self, add_property, name, check_function("sim:always", "f", f, 2))
end

-- Goes on until f(sim) is true, at most T: true; or nil and what is violated now.
function methods:eventually(name, T, f)
  opened(self, "eventually")
  check_name("sim:eventually", name)
  local until_ns = self.core:now() + check_time("sim:eventually", "T", T, 2)
  check_function("sim:eventually", "f", f, 2)
  local ok, why = f(self)
  if ok then return true end
  local met = advance(self, "eventually", until_ns, function()
    ok, why = f(self)
    return ok
  end, "touch")
  if not met and not self.fresh and not interrupt.pending() then
    self:violated(name, ("not within %g s%s"):format(T, why and ": " .. tostring(why) or ""))
  end
  return told(self)
end

-- A report where nothing was violated; or nil and what was first, with its seed and how to see it again.
function methods:check()
  opened(self, "check")
  if self.violation then return nil, self.violation, "violated" end
  return {
    seed = self.seed, virtual_s = self:now(), events = self.core:events(), digest = self.core:digest(),
    faults = self.core:counts(), properties = #self.properties,
  }
end

-- -- Life -----------------------------------------------------------------------------------------------------------
function methods:close()
  self.closed = true
  self.outside:close()
  self.core:close()
end

sim.meta = {
  __name = "orrery.sim", methods = methods,
  __index = function(_, key)
    if methods[key] or private[key] then return methods[key] or private[key] end
    later.refuse("sim:", key, later.sim, options.keys(methods), 2)
  end,
  __close = methods.close,
  __tostring = function(self)
    if self.closed then return self.name .. "  closed" end
    local parts = { ("%s  seed %d  t %.3f"):format(self.name, self.seed, self:now()) }
    for _, id in ipairs(self.ids) do parts[#parts + 1] = handle.line(self.nodes[id]) end
    return table.concat(parts, "  |  ")
  end,
}

local drawn = { "none", "default", "swarm" }

local function faults_option(v)
  if type(v) == "string" and v:find "%.lua$" then return v end
  for _, word in ipairs(drawn) do if v == word then return v end end
  return nil, '"none", "default", "swarm" or the path of a fault file (FILE.lua)'
end

local function workload_option(v)
  if type(v) == "string" or workload.is(v) then return v end
  return nil, "a workload, the name of one, or the path of its file"
end

local spec = {
  workload = { workload_option },
  seed = { "integer", min = 0, default = 1 },
  faults = { faults_option, default = "none" },
  trace = { "string", expected = "the path of a file for the event log" },
}

-- What API.md has and this version hasn't is not the user's mistake, and is told so.
local function refuse_later(opts)
  if type(opts) ~= "table" then return end
  if opts.secrets ~= nil then
    error(("orrery.sim: 'secrets' is not available in this version of Orrery (%s)"):format(later.version), 3)
  end
end

-- Figures of the topology, of both ways: those that differ from the simulator's own.
local function set_figures(self)
  for _, pair in ipairs(self.cluster.links:list(self.ids)) do
    if pair.delay or pair.loss or pair.bandwidth then
      local link = {}
      for field, v in pairs(self.plain_link) do link[field] = v end
      link.delay = pair.delay and in_ns(pair.delay) or link.delay
      link.loss, link.bandwidth = pair.loss or link.loss, pair.bandwidth or link.bandwidth
      for _, way in ipairs { { pair[1], pair[2] }, { pair[2], pair[1] } } do
        self.figures[way[1] .. " " .. way[2]] = link
        self.core:set_link(way[1], way[2], link)
      end
    end
  end
end

-- What a run has besides its core: empty, as at the beginning.
local function begin(self)
  self.agenda, self.awaited, self.held, self.figures, self.properties = {}, {}, {}, {}, {}
  self.lines, self.deaths, self.shown, self.calls = {}, {}, {}, {}
  self.asks, self.n_asks, self.n_clients, self.raging = {}, 0, 0, self.rages
  self.planning, self.drawn, self.outside, self.runner = false, false, outside.new(self.core), false
  for _, other in ipairs(self.clients) do other.core = false end
  -- What isn't set is nil, not unknown: __index is for users.
  self.fresh, self.violation, self.running, self.closed, self.news = false, false, false, false, false
  set_figures(self)
  self:take_notes()
end

-- made: what core.sim.new is given: the core is made from it, and can be again. opts: given (what a reload without a
-- path reads), rages (faults strike that heal() ends), again (how a violation's text ends), verbose (a function that
-- gets each note), travels (whether it may go back: the way is kept). The simulation, or nil and one line.
function sim.assemble(value, made, opts)
  local opened_core, message = core.sim.new(made)
  if not opened_core then return nil, message end
  local self = {
    core = opened_core, cluster = value, name = value.name, seed = made.seed, again = opts.again, made = made,
    given = opts.given, rages = opts.rages, verbose = opts.verbose or false, ids = cluster.ids(value),
    ends = cluster.ids(value), index = {}, nodes = {}, clients = {}, watches = {}, facts = false,
    tape = travel.new_tape(opts.travels),
    tell = function(text) io.stderr:write(text, "\n") end, say = function(text) io.stdout:write(text, "\n") end,
  }
  self.ends[#self.ends + 1] = "clients"
  setmetatable(self, sim.meta)
  for _, id in ipairs(self.ids) do self.index[id], self.nodes[id] = true, handle.new(self, id) end
  self.plain_link = self.core:link(self.ids[1], "clients")
  begin(self)
  return self
end

-- How a violation's text ends: where the simulation was made, and from what.
local function replay_of(given, checked, level)
  local info = debug.getinfo(level + 1, "Sl")
  local where = info and info.currentline > 0 and (" in %s:%d"):format(info.short_src, info.currentline) or ""
  local what = type(given) == "string" and ("%q"):format(given) or given.name
  local clients = checked.workload and (type(checked.workload) == "string" and ("%q"):format(checked.workload)
    or checked.workload.name)
  return ("; again: orrery.sim(%s, { seed = %d%s%s })%s"):format(what, checked.seed,
    checked.faults == "none" and "" or (", faults = %q"):format(checked.faults),
    clients and ", workload = " .. clients or "", where)
end

-- orrery.sim(cluster or path, opts). What is wrong with the cluster or its scripts is raised, in one line.
function sim.new(given, opts)
  if type(given) ~= "string" and not cluster.is(given) then
    error(("orrery.sim: a cluster or the path of one is expected (got %s)"):format(options.got(given)), 2)
  end
  refuse_later(opts)
  local checked = options.check(opts == nil and {} or opts, spec, "orrery.sim", 2)
  local value, nodes = plans_of(given)
  if not value then error(nodes, 0) end
  local clients, wrong = checked.workload, nil
  if type(clients) == "string" then clients, wrong = workload.load(clients) end
  if wrong then error("orrery.sim: " .. wrong, 2) end
  local is_file = checked.faults:find "%.lua$"
  local made = {
    seed = checked.seed, path = package.path, nodes = nodes, events = checked.trace, record = true,
    faults = not is_file and checked.faults ~= "none" and { [checked.faults] = true } or nil,
  }
  local self, message = sim.assemble(value, made, { given = given, rages = checked.faults ~= "none", travels = true,
    again = replay_of(given, checked, 2) })
  if not self then error(message, 0) end
  if clients then workload.attach(self, clients) end
  if not is_file then return self end
  local ok, why = faults.file(self, checked.faults)
  if ok then return self end
  self:close()
  error(why, 0)
end

-- -- Time travel ----------------------------------------------------------------------------------------------------
local function renew(self)
  self.outside:close()
  self.core:close()
  self.core = assert(core.sim.new(self.made))
  begin(self)
end

local function same(...) return ... end     -- what it is given was not called last: levels count up to the user

local function interrupted(self, what)
  return nil, ("%s: interrupted; it is %.3f now"):format(what, self:now()), "cancelled"
end

-- May it be led elsewhere from here?
local function check_travel(self, what, level)
  if self.running then
    error(("%s: can't be called from what the simulation itself calls"):format(what), level + 1)
  elseif not self.tape.travels then
    error(("%s: this simulation keeps no way back; those that orrery.sim makes do"):format(what), level + 1)
  end
end

local function seek(self, what, at)
  check_travel(self, what, 3)
  local there = travel.seek(self, at, renew)
  watch.again(self)
  if not there then return interrupted(self, what) end
  if self.core:now() < at then
    advance(self, "seek", at, nil, "touch")
    return told(self)
  end
  return true
end

-- sim:seek(T): the same run at the end of the instant T, be it past or to come. nil, message, code: as run, or Ctrl-C.
function methods:seek(T)
  opened(self, "seek")
  return same(seek(self, "sim:seek", (check_time("sim:seek", "T", T, 2))))
end

-- sim:back(T): the same run, T seconds ago.
function methods:back(T)
  opened(self, "back")
  local at = self.core:now() - check_time("sim:back", "T", T, 2)
  if at < 0 then
    error(("sim:back: 'T' must not be more than has passed (got %g, it is %.3f)"):format(T, self:now()), 2)
  end
  return same(seek(self, "sim:back", at))
end

-- sim:branch() -> another simulation, independent of this one, at the same step of the same run.
function methods:branch()
  opened(self, "branch")
  check_travel(self, "sim:branch", 2)
  local made = {}
  for key, v in pairs(self.made) do if key ~= "events" then made[key] = v end end
  local other, message = sim.assemble(self.cluster, made, { given = self.given, rages = self.rages,
    again = self.again, travels = true })
  if not other then error(message, 0) end
  other.tell, other.say = self.tell, self.say
  if travel.follow(self, other) then return other end
  other:close()
  return interrupted(self, "sim:branch")
end

return sim
