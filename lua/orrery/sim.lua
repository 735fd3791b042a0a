-- sim.lua - a simulation as an object: a cluster's nodes on virtual time, in this process, in one thread.
--
--     local sim <close> = orrery.sim("examples/kv/cluster.lua", { seed = 17 })
--     sim:between(2, 6):partition({ "a" }, { "b", "c" })
--     sim:run(10)
--     print(sim)
--
-- A run is its seed and the calls made on it. Nothing of the caller's runs inside a step: what is planned for a moment,
-- and what is always to hold, is done between two steps (sim/time.lua). Times are seconds outside and ns inside; they
-- are converted where arguments are checked (sim/arguments.lua, and the amounts of verbs in faults.lua). Here is how it
-- is made, talked to and led through time; what is seen of it and how it is judged: look/*.lua.
local arguments = require "orrery.sim.arguments"
local asks = require "orrery.asks"
local client = require "orrery.client"
local clocks = require "orrery.look.clocks"
local cluster = require "orrery.cluster"
local core = require "orrery.core"
local diagram = require "orrery.look.diagram"
local faults = require "orrery.faults"
local handle = require "orrery.handle"
local judge = require "orrery.look.judge"
local later = require "orrery.later"
local members = require "orrery.look.members"
local notes = require "orrery.sim.notes"
local options = require "orrery.options"
local outside = require "orrery.outside"
local plan = require "orrery.plan"
local plot = require "orrery.look.plot"
local reach = require "orrery.reach"
local state = require "orrery.look.state"
local time = require "orrery.sim.time"
local timeline = require "orrery.look.timeline"
local travel = require "orrery.travel"
local watch = require "orrery.look.watch"
local workload = require "orrery.workload"

local sim = {}
local opened = faults.opened
local methods, private = {}, {}      -- private: for the other files of the simulation
sim.methods = methods

-- -- Talking --------------------------------------------------------------------------------------------------------
local function check_message(self, what, id, name)
  arguments.node(self, what, id, 3)
  arguments.check(what, "name", { "string", pattern = "^.", max = 255, expected = "a message's name" }, name, 3)
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
  return reach.settle(host, ("%s: %s"):format(id, name), T, self:ask("ask", id, name, arguments.ns(T), ...))
end

-- No answer, no promise: true, or nil, message, code.
function methods:cast(id, name, ...)
  opened(self, "cast")
  check_message(self, "sim:cast", id, name)
  return self:tell_core("cast", id, name, ...)
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
  arguments.node(self, "sim:client", checked.to, 2)
  local member = cluster.node(self.cluster, checked.to)
  local address = member.listen[checked.listener]
  if not address then
    error(("sim:client: node %s has no listener %s in the cluster file%s"):format(checked.to,
      options.got(checked.listener), options.hint(checked.listener, options.keys(member.listen))), 2)
  end
  return client.new(self, checked.to, address, checked.timeout)
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
  arguments.node(self, "sim:reload", id, 2)
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
  arguments.node(self, "sim:eval", id, 2)
  reach.check_text(text, "sim:eval", 3)
  self.shown[id] = nil                                -- it may change node.state
  return reach.evaluated(id, self:tell_core("eval", id, text))
end

-- -- What is in other files ------------------------------------------------------------------------------------------
for _, part in ipairs { time, notes, state } do
  for name, f in pairs(part.methods) do methods[name] = f end
end
for _, part in ipairs { time, notes } do
  for name, f in pairs(part.private) do private[name] = f end
end
for name in pairs(faults.verbs) do methods[name] = faults.now(name) end
for name, f in pairs(faults.selectors) do methods[name] = f end
methods.timeline, methods.why = timeline.timeline, timeline.why
methods.watch, methods.unwatch = watch.watch, watch.unwatch
methods.diagram, methods.plot, methods.clocks = diagram.diagram, plot.plot, clocks.clocks
methods.members = members.members
methods.always, methods.eventually, methods.check = judge.always, judge.eventually, judge.check
methods.assert_linearizable, methods.assert_converges = judge.assert_linearizable, judge.assert_converges
methods.rto = judge.rto

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
      link.delay = pair.delay and arguments.ns(pair.delay) or link.delay
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
  made.ntp = cluster.servers(value)
  for _, member in ipairs(made.nodes) do member.at = cluster.node(value, member.id).at end
  local opened_core, message = core.sim.new(made)
  if not opened_core then return nil, message end
  local self = {
    core = opened_core, cluster = value, name = value.name, seed = made.seed, again = opts.again, made = made,
    given = opts.given, rages = opts.rages, verbose = opts.verbose or false, ids = cluster.ids(value),
    ends = cluster.ids(value), index = {}, nodes = {}, servers = {}, clients = {}, watches = {}, facts = false,
    tape = travel.new_tape(opts.travels),
    tell = function(text) io.stderr:write(text, "\n") end, say = function(text) io.stdout:write(text, "\n") end,
  }
  self.ends[#self.ends + 1] = "clients"
  for _, address in ipairs(made.ntp) do
    self.ends[#self.ends + 1] = address
    self.servers[address], self.servers[address:gsub(":123%f[/\0]", "")] = address, address
  end
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
    time.advance(self, "seek", at, nil, "touch")
    return time.told(self)
  end
  return true
end

-- sim:seek(T): the same run at the end of the instant T, be it past or to come. nil, message, code: as run, or Ctrl-C.
function methods:seek(T)
  opened(self, "seek")
  return same(seek(self, "sim:seek", (arguments.time("sim:seek", "T", T, 2))))
end

-- sim:back(T): the same run, T seconds ago.
function methods:back(T)
  opened(self, "back")
  local at = self.core:now() - arguments.time("sim:back", "T", T, 2)
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
