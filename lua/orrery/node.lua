-- node.lua - inside a node's own Lua state: makes what its script sees, runs the script's top level.
--
-- boot(host, text) is called by bindings/orrb_node.c; host is the C side (new, replicate, listen, log, seed, status,
-- show). The top level only declares. What it declares is checked here, so that a complaint points at the script's
-- line; C turns it into calls of the core. rehearse(text) does all of it on a host that does nothing, to find mistakes
-- before processes are started.
local cluster = require "orrery.cluster"
local core = require "orrery.core"
local environment = require "orrery.environment"
local later = require "orrery.later"
local options = require "orrery.options"
local plan = require "orrery.plan"
local raft = require "orrery.raft"
local show = require "orrery.show".show
local view = require "orrery.view"

local node = {}

-- -- Groups ---------------------------------------------------------------------------------------------------------
local function ids_rule(v)
  if type(v) == "string" or type(v) == "table" then return v end
  return nil, "a role or an array of ids"
end

local not_yet = {
  init = true, apply = true, query = true, version = true, upgrade = true, snapshot = true, restore = true,
  steps = true, ack = true, n = true, r = true, w = true,
}

local group_spec = {
  order = { "choice", of = { "raft" }, default = "raft" },
  machine = { "choice", of = { "kv" }, required = true },
  on = { ids_rule },
  reads = { "choice", of = { "index" }, default = "index" },
  election = { "seconds" },
  heartbeat = { "seconds" },
}
local words_later = {
  order = { paxos = true, ["primary-backup"] = true, chain = true, quorum = true },
  machine = { log = true, ["or-set"] = true, ["pn-counter"] = true },
  reads = { lease = true, leaseguard = true },
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

local function new_group(self, name, handle)
  self.handles[name] = handle
  return later.guard("group " .. name, {
    name = name,
    title = ("orrery.group(%s kv)"):format(name),
    resp = function() return { service = "resp", group = name } end,
    status = function() return self.host.status(handle) end,
  }, later.group, ":")
end

local function replicate(self, name, spec)
  local what = "node:replicate"
  if type(name) ~= "string" or not name:find "^[a-z][a-z0-9_-]*$" or #name > 32 then
    error(("%s: the group's name must be [a-z][a-z0-9_-]*, at most 32 (got %s)"):format(what, options.got(name)), 3)
  end
  what = what .. " " .. name
  if type(spec) == "table" then refuse_later(spec, what) end
  local checked = options.check(spec, group_spec, what, 3)
  local election = checked.election or self.plan.cluster.timing.election
  local heartbeat = checked.heartbeat or self.plan.cluster.timing.heartbeat
  if heartbeat >= election then
    error(("%s: 'heartbeat' must be below 'election' (got %s >= %s)"):format(what, heartbeat, election), 3)
  end
  if self.handles[name] then error(what .. ": a group of that name is declared already", 3) end
  local on = replicas(self, checked.on, what)
  return new_group(self, name, self.host.replicate(name, checked.election, checked.heartbeat, on))
end

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
  local known = options.keys(self.own.listen)
  if type(name) ~= "string" or not self.own.listen[name] then
    error(("%s: node %s has no listener %s in the cluster file%s"):format(what, self.own.id, options.got(name),
      options.hint(name, known)), 3)
  end
  if type(service) == "function" then
    error(("%s %s: a function is not available as a service in this version of Orrery (%s); group:resp() is"):format(
      what, name, later.version), 3)
  end
  if type(service) ~= "table" or service.service ~= "resp" or not self.handles[service.group] then
    error(("%s %s: the service must be group:resp() (got %s)"):format(what, name, options.got(service)), 3)
  end
  what = what .. " " .. name
  local limits = options.check(opts == nil and {} or opts, listen_options, what, 3).limits
  local clients = limits.clients or 1 << 28
  if limits.client and limits.client > clients then
    local complaint = "%s: 'limits.client' must be at most 'limits.clients' (got %d > %d)"
    error(complaint:format(what, limits.client, clients), 3)
  end
  if self.listening[name] then error(what .. ": listens already", 3) end
  self.listening[name] = true
  warn_beyond(self, name, self.own.listen[name])
  self.host.listen(name, self.own.listen[name], self.handles[service.group], limits.client, limits.clients)
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

local function new_node(self)
  local roles = {}
  for _, role in ipairs(self.own.roles) do roles[role] = true end
  local object
  local function method(name, f)
    return function(given, ...)
      if given ~= object then error(("node.%s must be called as a method: node:%s(...)"):format(name, name), 2) end
      return (f(self, ...))       -- no tail call: complaints count levels up to the script
    end
  end
  object = later.guard("node", {
    title = ("orrery.node(%s)"):format(self.own.id),
    id = self.own.id,
    zone = self.own.zone,
    roles = view.of(roles, "node.roles"),
    config = view.of(plan.config(self.plan.cluster, self.own, self.plan.sets), "node.config"),
    cluster = view.of(self.plan.cluster, "node.cluster"),
    peers = view.of(self.plan.peers, "node.peers"),
    log = new_log(self.host),
    state = self.state,
    role = method("role", ids_of_role),
    replicate = method("replicate", replicate),
    listen = method("listen", listen),
  }, later.node)
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
      local chunk, message = load(text, "@" .. self.plan.directory .. path, "t", env)
      if not chunk then error(message, 0) end
      local result = chunk(name)
      loaded[name] = result == nil and true or result
    end
    return loaded[name]
  end
end

local function new_environment(self)
  local env = environment.script()
  env.orrery = later.guard("orrery", {
    version = later.version, cluster = cluster.new, topology = cluster.topology(), show = show,
    raft = raft.new,
    sim = function() error("orrery.sim is for programs outside the nodes", 2) end,
    pack = core.value.pack, unpack = core.value.unpack, hash = core.hash.word, map = core.map.new,
  }, later.orrery)
  env.node = new_node(self)
  env.print = function(...) self.host.log("info", text_of(...)) end
  env.require = new_require(self, env)
  return environment.close(env, "a node script")
end

local function configure(self)
  local value, members, peers = self.plan.cluster, {}, {}
  for _, id in ipairs(self.plan.peers) do peers[id] = true end
  for i, member in ipairs(value.nodes) do
    members[i] = { id = member.id, at = member.at, link = peers[member.id] or false }
  end
  self.host.new {
    cluster = value.name, id = self.own.id, nodes = members, bundle = self.plan.hash,
    message = value.limits.message, op = value.limits.op, memory = value.limits.memory,
    call = value.timing.call, election = value.timing.election, heartbeat = value.timing.heartbeat,
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

-- What a script raised: with its place, or at least with its name.
local function in_one_line(path, raised)
  if type(raised) ~= "string" then return path .. ": raised " .. options.got(raised) end
  return raised:find "^[^\n]-:%d+: " and raised or path .. ": " .. raised
end

function node.boot(host, text)
  local self = { host = host, plan = plan.read(text), handles = {}, listening = {}, state = {}, loading = true }
  self.own = cluster.node(self.plan.cluster, self.plan.id)
  configure(self)
  host.show(self.state)
  warn_beyond(self, "at", self.own.at)
  environment.seed(host.seed "script")
  local path = cluster.script(self.plan.cluster, self.own)
  local chunk, message = load(self.plan.files[path]:gsub("^#[^\n]*", "", 1), "@" .. self.plan.directory .. path, "t",
    new_environment(self))
  if not chunk then error(message, 0) end
  local limits = self.plan.cluster.limits
  local ok, result = environment.bounded(chunk, limits.steps, limits.memory)
  if not ok then error(in_one_line(self.plan.directory .. path, result), 0) end
  self.loading = false
  warn_unused(self)
end

-- What it serves: { LISTENER = true }; or nil and the one line that boot would fail with, on a host that takes
-- everything, within so many bytes of memory.
function node.rehearse(text, bytes_max)
  local function nothing() end
  local serves = {}
  local host = {
    new = nothing, log = nothing, status = nothing, show = nothing,
    listen = function(name) serves[name] = true end,
    replicate = function() return true end, seed = function() return 1 end,
  }
  local ok, message = environment.limited(node.boot, bytes_max, host, text)
  if ok then return serves end
  return nil, message
end

return node
