-- node.lua - inside a node's own Lua state: makes what its script sees, runs the script's top level.
--
-- bindings/orrb_node.c calls boot(host, text), which makes the node, and the first function that it returns once the
-- node's disk is open: that runs the top level, which only declares. host is the C side: new, replicate, log, seed,
-- status, show, save, load, stop, stage and what ends it, and the tables tasks, rpc, groups, listeners, clock, hlc,
-- console. What is declared is checked here, so a complaint points at the script's line; C turns it into calls of the
-- core.
-- rehearse(text) does all of it on a host that does nothing, to find mistakes before processes are started.
--
-- A node outlives its scripts: others can take over (boot's second function). They run beside the old ones in the same
-- Lua state, each with an environment, locals and a node.state of its own.
local clock = require "orrery.clock"
local cluster = require "orrery.cluster"
local console = require "orrery.console"
local core = require "orrery.core"
local environment = require "orrery.environment"
local group = require "orrery.group"
local hlc = require "orrery.hlc"
local later = require "orrery.later"
local mesh = require "orrery.mesh"
local node_clock = require "orrery.node_clock"
local node_hlc = require "orrery.node_hlc"
local node_members = require "orrery.node_members"
local node_ring = require "orrery.node_ring"
local options = require "orrery.options"
local plan = require "orrery.plan"
local raft = require "orrery.raft"
local resp = require "orrery.resp"
local placement = require "orrery.placement"
local ring = require "orrery.ring"
local rpc = require "orrery.rpc"
local show = require "orrery.show".show
local svg = require "orrery.look.svg"
local task = require "orrery.task"
local view = require "orrery.view"

local node = {}

-- -- Listeners ------------------------------------------------------------------------------------------------------
local function warn_beyond(self, what, address)
  local host = cluster.address(address)
  if host:find "^127%." or host == "localhost" or host == "::1" then return end
  local warning = "%s is %s, which may be reached from beyond this machine; this version has no TLS"
  self.host.log("warn", warning:format(what, address))
end

-- Bytes that a client, and all clients of the listener together, may hold; what isn't given is the node's own.
local listen_options = {
  limits = { "table", default = {}, fields = {
    client = { "integer", min = 1 << 20, max = 1 << 40 }, clients = { "integer", min = 1 << 20, max = 1 << 40 },
  } },
}

local function listen(self, name, service, opts)
  local what = "node:listen"
  if self.life.over then error(what .. ": other scripts have replaced these", 3) end
  local known = options.keys(self.own.listen)
  if type(name) ~= "string" or not self.own.listen[name] then
    error(("%s: node %s has no listener %s in the cluster file%s"):format(what, self.own.id, options.got(name),
      options.hint(name, known)), 3)
  end
  what = what .. " " .. name
  local served = resp.served(service)
  local group_of = not served and type(service) == "table" and service.service == "resp" and service.group
  if type(service) ~= "function" and not served and not self.handles[group_of] then
    local complaint = "%s: the service must be a function, orrery.resp.serve{...} or group:resp() (got %s)"
    error(complaint:format(what, options.got(service)), 3)
  end
  local limits = options.check(opts == nil and {} or opts, listen_options, what, 3).limits
  local clients = limits.clients or 1 << 28
  if limits.client and limits.client > clients then
    local complaint = "%s: 'limits.client' must be at most 'limits.clients' (got %d > %d)"
    error(complaint:format(what, limits.client, clients), 3)
  end
  if self.listening[name] then error(what .. ": listens already", 3) end
  self.listening[name] = true
  warn_beyond(self, name, self.own.listen[name])
  local address, listeners = self.own.listen[name], self.host.listeners
  if served then
    listeners.serve(name, address, served.commands, limits.client, limits.clients, served.calls_max)
  elseif group_of then
    listeners.kv(name, address, self.handles[group_of], limits.client, limits.clients)
  else
    listeners.accept(name, address, service, limits.client, limits.clients)
  end
end

-- -- The node object ------------------------------------------------------------------------------------------------
local function text_of(...)
  local parts = table.pack(...)
  for i = 1, parts.n do parts[i] = type(parts[i]) == "string" and parts[i] or show(parts[i]) end
  return table.concat(parts, " ")
end

local function new_log(host)
  local log, object = {}, nil
  for _, level in ipairs { "error", "warn", "info", "debug" } do
    log[level] = function(given, ...)
      if given ~= object then
        error(("node.log.%s must be called as a method: node.log:%s(...)"):format(level, level), 2)
      end
      host.log(level, text_of(...))
    end
  end
  object = later.guard("node.log", log, {})
  return object
end

local function ids_of_role(self, name)
  if type(name) ~= "string" then error(("node:role: a name is expected (got %s)"):format(options.got(name)), 3) end
  return cluster.role(self.plan.cluster, name)
end

-- Durable values of the script's own.
local function check_saved_name(name, what)
  if type(name) ~= "string" or #name == 0 or #name > 60 then
    error(("%s: a name is expected, 1 to 60 bytes (got %s)"):format(what, options.got(name)), 4)
  elseif name:sub(1, 7) == "orrery." then
    error(("%s: names that begin with 'orrery.' are the node's own (got %s)"):format(what, options.got(name)), 4)
  end
end

local function save(self, name, value)
  check_saved_name(name, "node:save")
  return self.host.save(name, value)
end

local function load_saved(self, name)
  check_saved_name(name, "node:load")
  return self.host.load(name)
end

-- The text of one of the file's secrets: nobody else's to see. nil, message, "unavailable"
local function secret(self, name)
  local from = type(name) == "string" and self.plan.cluster.secrets[name]
  if not from then
    error(("node:secret: the cluster file has no secret %s%s"):format(options.got(name), options.hint(name,
      options.keys(self.plan.cluster.secrets))), 3)
  end
  return self.host.secret(from, self.plan.directory)
end

local function new_node(self)
  local roles = {}
  for _, role in ipairs(self.own.roles) do roles[role] = true end
  local object
  local members = {
    title = ("orrery.node(%s)"):format(self.own.id),
    id = self.own.id,
    zone = self.own.zone,
    roles = view.of(roles, "node.roles"),
    config = view.of(plan.config(self.plan.cluster, self.own, self.plan.sets), "node.config"),
    cluster = view.of(self.plan.cluster, "node.cluster"),
    peers = view.of(self.plan.peers, "node.peers"),
    state = self.state,
    log = new_log(self.host),
  }
  local function method(name, f)
    members[name] = function(given, ...)
      if given ~= object then error(("node.%s must be called as a method: node:%s(...)"):format(name, name), 2) end
      return f(...)
    end
  end
  local function same(...) return ... end
  -- f is not called last: complaints count levels up to the script.
  local function bound(name, f)
    method(name, function(...) return same(f(self, ...)) end)
  end
  bound("role", ids_of_role)
  bound("replicate", group.replicate)
  bound("ring", node_ring.ring)
  bound("listen", listen)
  bound("save", save)
  bound("load", load_saved)
  for name, f in pairs(self.rpc) do method(name, f) end
  for _, name in ipairs { "spawn", "sleep", "after", "every", "channel" } do method(name, self.tasks[name]) end
  console.watch(self, members)
  local time
  time, members.clock = node_clock.open(self)
  method("time", time)
  members.hlc = node_hlc.open(self)
  self.secret = function(name) return secret(self, name) end
  members.members = node_members.open(self)
  bound("secret", secret)
  method("from", self.host.rpc.from)
  method("left", self.host.tasks.left)
  method("now", self.host.tasks.now)
  method("stop", function(reason) self.host.stop(reason and tostring(reason) or "the script said so") end)
  object = later.guard("node", members, later.node)
  return object
end

-- -- Loading the script ---------------------------------------------------------------------------------------------
local function new_require(self, env)
  local loaded = {}
  return function(name)
    if name == "orrery" then return env.orrery end
    local path = type(name) == "string" and name:gsub("%.", "/") .. ".lua"
    local text = path and self.plan.files[path]
    if not text then
      error(("require: no module %s beside the cluster file (a module's name must be written literally)"):format(
        options.got(name)), 2)
    elseif not self.loading then
      error("require: only while the script loads", 2)
    end
    if loaded[name] == nil then
      local chunk, message = load(text, "@" .. path, "t", env)
      if not chunk then error(message, 0) end
      local result = chunk(name)
      loaded[name] = result == nil and true or result
    end
    return loaded[name]
  end
end

local function new_environment(self)
  local env = environment.script()
  local topology = later.guard("orrery.topology", environment.of_orrery(cluster.topology(true)), {})
  env.orrery = later.guard("orrery", environment.of_orrery {
    version = later.version, cluster = cluster.new, topology = topology, show = show,
    raft = raft.new, clock = clock.new, hlc = hlc.new, mesh = mesh.new, ring = ring.new, jump = ring.jump,
    placement = placement.new, resp = resp.open(),
    check = function() error("orrery.check is for programs outside the nodes", 2) end,
    sim = function() error("orrery.sim is for programs outside the nodes", 2) end,
    start = function() error("orrery.start is for programs outside the nodes", 2) end,
    connect = function() error("orrery.connect is for programs outside the nodes", 2) end,
    workload = function() error("orrery.workload is for workload files and programs outside the nodes", 2) end,
    pack = core.value.pack, unpack = core.value.unpack, hash = core.hash.word, map = core.map.new,
  }, later.orrery)
  env.node = new_node(self)
  env.print = function(...) self.host.log("info", text_of(...)) end
  env.require = new_require(self, env)
  env, self.globals = environment.close(env, "a node script")
  return env
end

local function members_of(self)
  local given, out = self.plan.cluster.members or { detector = "swim", keys = {} }, { zone = self.own.zone }
  for key, v in pairs(given) do out[key] = v end
  out.keys = {}
  for i, name in ipairs(given.keys) do
    local text, message = secret(self, name)
    if not text then error(("members.keys[%d]: %s"):format(i, message), 0) end
    out.keys[i] = text
  end
  return out
end

-- With the addresses of its servers whole.
local function clock_of(value)
  if not value.clock then return value.clock end
  local clock = {}
  for key, v in pairs(value.clock) do clock[key] = v end
  clock.ntp = cluster.servers(value)
  return clock
end

local function configure(self)
  local value, members, peers = self.plan.cluster, {}, {}
  for _, id in ipairs(self.plan.peers) do peers[id] = true end
  for i, member in ipairs(value.nodes) do
    members[i] = { id = member.id, at = member.at, link = peers[member.id] or false }
  end
  self.host.new {
    cluster = value.name, id = self.own.id, nodes = members, bundle = self.plan.hash, record = self.plan.record,
    message = value.limits.message, op = value.limits.op, calls = value.limits.calls, memory = value.limits.memory,
    steps = value.limits.steps,
    call = value.timing.call, election = value.timing.election, heartbeat = value.timing.heartbeat,
    clock = clock_of(value), members = members_of(self),
  }
end

local function warn_unused(self)
  for _, name in ipairs(options.keys(self.own.listen)) do
    if not self.listening[name] then
      self.host.log("warn", ("nobody listens on %s (%s): the script has no node:listen(%q, ...)"):format(name,
        self.own.listen[name], name))
    end
  end
end

-- What a script raised: with its place, or at least with its name. Scripts know their files by the bundle's names, the
-- same on every machine, so that no error text differs; people want to open them.
local function in_one_line(self, path, raised)
  if type(raised) ~= "string" then return self.plan.directory .. path .. ": raised " .. options.got(raised) end
  local named = raised:match "^([^\n:]-):%d+: "
  if named then return (self.plan.files[named] and self.plan.directory or "") .. raised end
  return self.plan.directory .. path .. ": " .. raised
end

-- The top level. Raises one line that names the place.
local function declare(self)
  local path = cluster.script(self.plan.cluster, self.own)
  local text, limits = self.plan.files[path]:gsub("^#[^\n]*", "", 1), self.plan.cluster.limits
  self.env = new_environment(self)
  local chunk, message = load(text, "@" .. path, "t", self.env)
  if not chunk then error(in_one_line(self, path, message), 0) end
  local ok, result = environment.bounded(chunk, limits.steps, limits.memory)
  if not ok then error(in_one_line(self, path, result), 0) end
  self.loading = false
  warn_unused(self)
end

-- What `id` runs, its top level not run yet.
local function new_script(host, data)
  local self = {
    host = host, plan = data, handles = {}, groups = {}, listening = {}, state = {}, loading = true,
    life = { over = false }, check_pure = core.pure.check,
    own = cluster.node(data.cluster, data.id) or data.cluster.nodes[1],
  }
  self.tasks = task.open(host.tasks, function(failure) host.log("error", failure) end, self.life)
  self.rpc = rpc.open {
    core = setmetatable({}, { __index = function(_, key) return host.rpc[key] or host.tasks[key] end }),
    cluster = data.cluster, timeout = data.cluster.timing.call, tasks = self.tasks, latency = {}, life = self.life,
    state_of = function(id) return self.members.state(id) end, follow = function() self.members.ask() end,
    warn = function(text) host.log("warn", text) end,
  }
  return self
end

-- -- Other scripts --------------------------------------------------------------------------------------------------
-- What the node can't change while it runs.
local function check_same(now, next)
  local function members(self)
    local t = { self.own.id, self.plan.peers, self.own.listen }
    for i, member in ipairs(self.plan.cluster.nodes) do t[i + 3] = { member.id, member.at } end
    return show(t)
  end
  local was, is = now.plan.cluster, next.plan.cluster
  if is.name ~= was.name then
    error(("this node is of cluster %s, the file is of %s"):format(was.name, is.name), 0)
  elseif not cluster.node(is, now.own.id) or members(now) ~= members(next) then
    error("nodes, links or listeners are not what they were: start the nodes again, one after the other", 0)
  end
  for _, place in ipairs { { "limits", "message" }, { "limits", "op" }, { "limits", "calls" }, { "timing", "election" },
    { "timing", "heartbeat" } } do
    if was[place[1]][place[2]] ~= is[place[1]][place[2]] then
      now.host.log("warn", ("%s.%s counts when the node is started again"):format(place[1], place[2]))
    end
  end
  if show(was.members) ~= show(is.members) then
    now.host.log("warn", "members counts when the node is started again")
  end
end

-- Nothing of them runs any more but what groups took from them.
local function forget(self)
  self.loading = false
  if self.globals then core.pure.hidden(self.globals) end
end

-- `next` takes over from `now`; or raises one line, and nothing has changed.
local function take_over(now, next)
  local host, limits = now.host, next.plan.cluster.limits
  check_same(now, next)
  host.stage { bundle = next.plan.hash }
  local ok, message = pcall(function()
    console.open(next)
    declare(next)
    host.complete()
  end)
  if not ok then
    host.abandon()
    forget(next)
    error(message, 0)
  end
  now.life.over = true
  host.commit {
    bundle = next.plan.hash, record = next.plan.record, steps = limits.steps, memory = limits.memory,
    retired = function() forget(now) end,
  }
  host.show(next.state)
  console.take(next)
  host.log("info", ("runs bundle %s after %s"):format(next.plan.hash:sub(1, 8), now.plan.hash:sub(1, 8)))
end

-- What the scripts of a record declare group `name` to be, for this node.
local function declares(self, record, name)
  local found
  local host = node.idle_host { groups = node.idle_groups(function(checked)
    if checked.name == name then found = checked end
    return true
  end) }
  local past = new_script(host, plan.of_record(record, self.own.id, self.plan.directory))
  local ok, message = pcall(declare, past)
  forget(past)
  if not ok then error(message, 0) end
  return found
end

local function configured(host, text)
  local self = new_script(host, plan.read(text))
  configure(self)
  host.show(self.state)
  console.open(self)
  console.take(self)
  warn_beyond(self, "at", self.own.at)
  environment.seed(host.seed "script")
  return self
end

-- Who asks for other scripts waits until whoever drives the node has tried. Two functions: ask, and tell why not.
local function new_asking(host)
  local waiting = {}
  local function ask()
    if not host.ask_reload() then
      return nil, "the program that bears this node loads no other scripts", "unavailable"
    end
    local mine = { results = { nil, "nobody has loaded them", "unknown" } }
    mine.task, mine.ticket = host.tasks.ticket "reload"
    waiting[#waiting + 1] = mine
    host.tasks.park()
    return table.unpack(mine.results, 1, 3)
  end
  local function tell(why)
    local told = waiting
    waiting = {}
    for _, w in ipairs(told) do
      w.results = why and { nil, why, "invalid" } or { true }
      host.tasks.wake(w.task, w.ticket)
    end
  end
  return ask, tell
end

-- Four functions: run the top level; other scripts take over, from this text; what do the scripts of a record declare;
-- who asked for other scripts is told why they didn't take over, or that they did.
function node.boot(host, text)
  svg.of_nodes = true
  local now = configured(host, text)
  local ask, tell = new_asking(host)
  now.ask_reload = ask
  local function reload(given)
    local next = new_script(host, plan.read(given))
    next.ask_reload = ask
    local ok, message = pcall(take_over, now, next)
    if ok then
      now = next
    else
      host.log("warn", "the scripts that run go on: " .. message)
      error(message, 0)
    end
  end
  return function() declare(now) end, reload, function(...) return declares(now, ...) end, tell
end

local function nothing() end
function node.idle_room(t) return setmetatable(t, { __index = function() return nothing end }) end

-- declare(checked) is told of each group.
function node.idle_groups(declare_it)
  return node.idle_room { declare = declare_it, watch = function() return true end }
end

-- A host that does nothing, where `over` has nothing else.
function node.idle_host(over)
  local room = node.idle_room
  local host = room {
    replicate = function() return true end, seed = function() return 1 end, secret = function(from) return from end,
    tasks = room { spawn = function() return true, 0 end }, rpc = room { on = function() return true end },
    groups = node.idle_groups(nothing), listeners = room {}, console = room {}, clock = room {},
    hlc = room {}, members = room {},
  }
  for key, f in pairs(over or {}) do host[key] = f end
  return host
end

-- The top level once, on such a host. Raises one line.
function node.try(host, text)
  local self = configured(host, text)
  declare(self)
  forget(self)
end

-- What it serves: { LISTENER = true }; or nil and the one line that boot would fail with, on a host that takes
-- everything, within so many bytes of memory.
function node.rehearse(text, bytes_max)
  local was = svg.of_nodes
  local _ <close> = setmetatable({}, { __close = function() svg.of_nodes = was end })
  svg.of_nodes = true
  local serves = {}
  local function serve(name) serves[name] = true end
  local host = node.idle_host { listeners = { serve = serve, accept = serve, kv = serve } }
  local ok, message = environment.limited(node.try, bytes_max, host, text)
  if ok then return serves end
  return nil, message
end

return node
