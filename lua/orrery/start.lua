-- start.lua - orrery.start: a node inside this program, on a loop of its own.
--
--     local a <close> = assert(orrery.start("examples/counter/cluster.lua", { id = "a" }))
--     print(a:call("add", 5))
--
-- The node turns while something here waits, and in step(T). A host with a loop of its own polls fd(), for deadline()
-- at most, and then calls step(0). The node has its own Lua state; nothing of the host's runs inside its turns.
-- With thread = true it turns by itself, on a thread of its own; step(T) then waits for what it has to tell.
local cluster = require "orrery.cluster"
local core = require "orrery.core"
local handle = require "orrery.handle"
local later = require "orrery.later"
local options = require "orrery.options"
local plan = require "orrery.plan"
local reach = require "orrery.reach"
local subscription = require "orrery.subscription"

local start = {}
local methods, remote = {}, {}      -- of the node; of another one, seen by it
start.methods = methods
local wait_slice = 0.1

-- -- Its turns ------------------------------------------------------------------------------------------------------
-- Nil while it lives; else message, code.
local function ended(self)
  if self.closed then return ("%s: the node is closed"):format(self.id), "closed" end
  local why = self.core:reason()
  if why then return ("%s: the node has stopped: %s"):format(self.id, why), "closed" end
end

-- Is there nothing to be told any more? A node with a thread may have stopped a while before.
local function done_with(self) return self.closed or self.told end

local function untold_ready(self) return not self.ready and select(2, self.core:progress()) end

-- One turn, after at most T. False once it has stopped.
local function turn(self, T)
  self.core:step(T)
  local why = self.core:reason()
  if not why and self.core:reload_asked() then self:reload() end
  local alive = not why
  if alive and untold_ready(self) then
    self.ready = true
    subscription.tell(self.subscriptions, "ready")
  elseif not alive and not self.told then
    self.told = true
    subscription.tell(self.subscriptions, "stop", why)
  end
  return alive and not self.closed                    -- whoever was told may have closed it
end

local function wait_for(self, done, T)
  local until_time = self.core:clock() + T
  while not done() do
    local left = until_time - self.core:clock()
    if left <= 0 or not turn(self, math.min(left, wait_slice)) then break end
  end
end

-- One turn of the node, after at most T (0: whatever is to do now). False once it has stopped. A node with a thread
-- turns without it: this waits for news, at most T.
function methods:step(T)
  if T == nil then T = 0 end
  if type(T) ~= "number" or T ~= T or T < 0 then
    error(("node:step: seconds are expected, a number from 0 up (got %s)"):format(options.got(T)), 2)
  end
  return not done_with(self) and turn(self, T)
end

-- A descriptor that is readable when step(0) has something to do.
function methods:fd()
  if done_with(self) then return nil, ended(self) end
  return self.core:fd()
end

-- T in which a step should come at the latest, even if fd() says nothing; math.huge: whenever fd() does.
function methods:deadline()
  if done_with(self) then return nil, ended(self) end
  return untold_ready(self) and 0 or self.core:deadline()
end

-- -- Talking --------------------------------------------------------------------------------------------------------
local function ask(self, to, name, ...)
  local message, code = ended(self)
  if message then return nil, message, code end
  local asked = table.pack(self.core:ask(to, name, reach.in_ns(self.timeout), ...))
  return reach.settle(self.host, ("%s: %s"):format(to, name), self.timeout, table.unpack(asked, 1, asked.n))
end

local function cast(self, to, name, ...)
  local message, code = ended(self)
  if message then return nil, message, code end
  return self.core:cast(to, name, ...)
end

function methods:call(name, ...)
  reach.check_name(name, "node:call", 3)
  return ask(self, self.id, name, ...)
end

function methods:cast(name, ...)
  reach.check_name(name, "node:cast", 3)
  return cast(self, self.id, name, ...)
end

-- A group, as this node has it.
function methods:group(name)
  local known = options.keys(self:status().groups)
  if not self.closed and (type(name) ~= "string" or self.core:has_group(name) == false) then
    error(("node %s has no group %s%s"):format(self.id, options.got(name), options.hint(name, known)), 2)
  end
  return reach.group(self.host, self.id, name)
end

-- Runs text in the node, between two of its turns: an expression's values, or statements.
function methods:eval(text)
  reach.check_text(text, "node:eval", 3)
  local message, code = ended(self)
  if message then return nil, message, code end
  return reach.evaluated(self.id, self.core:eval(text))
end

-- What it knows of the others, as node.members:list() has it; {} where it takes no part.
function methods:members()
  local message, code = ended(self)
  if message then return nil, message, code end
  return self.core:members()
end

-- { state = "up", "down" or (its thread doesn't answer in time) "busy", why, ready, ..., groups = { NAME = status } }
function methods:status()
  local message = ended(self)
  if message then return { state = "down", why = message, groups = {} } end
  local status, why = self.core:status()
  if status then status.groups, why = self.core:groups() end
  if why then return { state = ended(self) and "down" or "busy", why = ended(self) or why, groups = {} } end
  status.state = "up"
  return status
end

-- Takes the scripts of its cluster file anew, or those of another path: true; or nil, message, code, and the scripts
-- that run go on.
function methods:reload(path)
  if path ~= nil and type(path) ~= "string" then
    error(("node:reload: 'path' must be the path of a cluster file (got %s)"):format(options.got(path)), 2)
  end
  local why, code = ended(self)
  if why then return nil, why, code end
  local value, message = cluster.load(path or self.file)
  local bundle
  if value then bundle, message = plan.bundle(value) end
  if bundle and not cluster.node(value, self.id) then
    bundle, message = nil, ("the file has no node %s"):format(self.id)
  end
  if bundle then return self.core:reload(plan.text(value, bundle, self.id)) end
  return self.core:refuse(message)
end

-- -- Events ---------------------------------------------------------------------------------------------------------
local events = { "ready", "stop" }

-- f() once the cluster answers ("ready"); f(why) when the node has stopped by itself ("stop").
function methods:on(event, f)
  return subscription.new(self.subscriptions, events, event, f)
end

-- Ends the node at once, as a crash would: what it had acknowledged is on its disk.
function methods:close()
  if self.closed then return end
  self.closed = true
  self.core:close()
end

-- -- The others -----------------------------------------------------------------------------------------------------
function remote:call(name, ...)
  reach.check_name(name, "node:call", 3)
  return ask(self.by, self.id, name, ...)
end

function remote:cast(name, ...)
  reach.check_name(name, "node:cast", 3)
  return cast(self.by, self.id, name, ...)
end

-- { state = "up" or "down", calls }: is there a connection to it, what is under way on it.
function remote:status()
  if ended(self.by) then return { state = "down", calls = 0, groups = {} } end
  local up, calls = self.by.core:peer(self.id)
  if up == nil then return { state = "busy", why = calls, calls = 0, groups = {} } end
  return { state = up and "up" or "down", calls = calls, groups = {} }
end

local function read_only(self, key)
  error(("node %s is read-only (assigning %s)"):format(self.id, tostring(key)), 2)
end

local remote_meta = {
  __name = "orrery.handle",
  __index = function(self, key)
    if remote[key] then return remote[key] end
    later.refuse(("node %s, seen by %s:"):format(self.id, self.by.id), key, later.started, options.keys(remote), 2)
  end,
  __newindex = read_only,
  __tostring = handle.line,
}

local meta = {
  __name = "orrery.handle",
  __index = function(self, key)
    if methods[key] then return methods[key] end
    if key == "state" then return not ended(self) and self.core:shown() or {} end
    local names = options.keys(methods)
    names[#names + 1] = "state"
    later.refuse(("node %s:"):format(self.id), key, later.started, names, 2)
  end,
  __close = methods.close,
  __tostring = handle.line,
}

local function new(value, id, live, timeout)
  local self
  self = {
    core = live, id = id, timeout = timeout, subscriptions = {}, nodes = {}, file = cluster.file(value),
    closed = false, ready = false, told = false,
    host = {
      timeout = timeout,
      wait = function(done, T) wait_for(self, done, T) end,
      submit = function(...)
        local message, code = ended(self)
        if message then return nil, message, code end
        return live:submit(...)
      end,
      peek = function(...)
        if ended(self) then return false, ended(self) end
        return live:peek(...)
      end,
      group_status = function(name) return self:status().groups[name] end,
      causes = function(...)
        local message, code = ended(self)
        if message then return nil, message, code end
        return live:causes(...)
      end,
    },
  }
  for _, other in ipairs(cluster.ids(value)) do
    if other ~= id then self.nodes[other] = setmetatable({ by = self, id = other }, remote_meta) end
  end
  self.nodes[id] = self
  return setmetatable(self, meta)
end

-- -- Starting -------------------------------------------------------------------------------------------------------
local spec = {
  id = { "string", required = true, expected = "the id of a node of the cluster" },
  data = { "string", expected = "the path of a directory" },
  timeout = { "seconds" },
  thread = { "boolean", default = false },
  log = { "choice", of = { "error", "warn", "info", "debug" }, default = "warn" },
}

-- What core.live.new needs; or nil, message, code.
local function prepared(value, checked)
  local prepare = require "orrery.cli.prepare"
  local bundle, message = plan.bundle(value)
  if not bundle then return nil, message, "invalid" end
  message = prepare.addresses(value, checked.id)
  if message then return nil, message, "unavailable" end
  local data, why = prepare.directory(value, checked)
  if not data then return nil, why, "invalid" end
  return {
    plan = plan.text(value, bundle, checked.id), id = checked.id, path = package.path, dir = data .. "/" .. checked.id,
    level = checked.log,
  }
end

-- orrery.start(cluster or path, opts) -> the node, its log read; or nil, message, code.
function start.new(given, opts)
  local what = "orrery.start"
  if type(given) ~= "string" and not cluster.is(given) then
    error(("%s: a cluster or the path of one is expected (got %s)"):format(what, options.got(given)), 2)
  end
  local checked = options.check(opts == nil and {} or opts, spec, what, 2)
  local value, message = given, nil
  if type(given) == "string" then value, message = cluster.load(given) end
  if not value then return nil, message, "invalid" end
  if not cluster.node(value, checked.id) then
    local ids = cluster.ids(value)
    error(("%s: 'id' must be a node of the cluster (got %s%s)"):format(what, options.got(checked.id),
      options.hint(checked.id, ids)), 2)
  end
  local setup, why, code = prepared(value, checked)
  if not setup then return nil, why, code end
  local live
  local timeout = checked.timeout or value.timing.call
  setup.patience = 1.1 * timeout
  live, why, code = (checked.thread and core.thread or core.live).new(setup)
  if not live then
    if code == "busy" then return nil, setup.dir .. " is in use by another process", "unavailable" end
    return nil, why, code
  end
  local self = new(value, checked.id, live, timeout)
  while not live:progress() and live:step(wait_slice) do end      -- what it has to tell waits for who subscribes
  why, code = ended(self)
  if not why then return self end
  self:close()
  return nil, why, code
end

return start
