-- workload_client.lua - what a workload's functions have of the world: a client outside the nodes, in virtual time.
--
-- It talks to one node at a time, client.node; after a failure the runner lets it go to another one. What waits lets
-- the other clients and the cluster go on. All chance is the client's own: streams of the simulation's seed.
local client = require "orrery.client"
local cluster = require "orrery.cluster"
local options = require "orrery.options"
local reach = require "orrery.reach"

local workload_client = { methods = {} }
local methods = workload_client.methods
local meta = { __name = "orrery.workload_client" }

function meta:__index(key)
  if methods[key] then return methods[key] end
  error(("client.%s is unknown%s"):format(tostring(key), options.hint(key, workload_client.names)), 2)
end

function meta:__tostring() return ("orrery.workload_client(%d at %s)"):format(self.id, self.node) end

-- Waits until done(), at most T.
local function wait(self, done, T)
  local sim = self.sim
  return sim.outside:wait(done, sim.core:now() + reach.in_ns(T))
end

-- What the handler `name` of client.node returns; nil, message, code.
function methods:call(name, ...)
  reach.check_name(name, "client:call", 3)
  local host = { wait = function(done, T) wait(self, done, T) end }
  local T, sim = self.timeout, self.sim
  return reach.settle(host, ("%s: %s"):format(self.node, name), T, sim:ask("ask", self.node, name, reach.in_ns(T), ...))
end

local function hang_up(self)
  if self.connection then self.connection:close() end
  self.connection = false
end

-- A connection to client.node's listener `resp`, open; or nil, message, code.
local function connect(self)
  local sim, node = self.sim, self.node
  local address = cluster.node(sim.cluster, node).listen.resp
  if not address then error(("client:redis: node %s has no listener resp in the cluster file"):format(node), 3) end
  local connection = client.new(sim, node, address, self.timeout)
  local state
  wait(self, function()
    _, state = connection.core:take()
    return state ~= "connecting"
  end, self.timeout)
  if state == "open" then return connection end
  connection:close()
  return nil, node .. ": it takes no connection", "unavailable"
end

-- A Redis command on a connection to client.node, which is kept while it lasts: the reply; nil, message, code. The code
-- is "unknown" where no reply came, or one that says so; "refused" for other errors: they were surely not done.
function methods:redis(...)
  local kept = self.connection
  if kept and (kept.to ~= self.node or select(2, kept.core:take()) == "closed") then hang_up(self) end
  if not self.connection then
    local opened, message, code = connect(self)
    if not opened then return nil, message, code end
    self.connection = opened
  end
  local connection = self.connection
  local value, message, code
  value, message, code = connection:start(...)
  if value then
    wait(self, function() return connection:over() end, self.timeout)
    value, message, code = connection:finish()
  end
  if code == "unknown" then hang_up(self) end         -- a late reply would be taken for the next one's
  if code == "failed" then code = message:find "^UNKNOWN" and "unknown" or "refused" end
  return value, message, code
end

-- Waits for T seconds.
function methods:sleep(T)
  if type(T) ~= "number" or not (T >= 0) then
    error(("client:sleep: 'T' must be a number of seconds (got %s)"):format(options.got(T)), 2)
  end
  self.sim.outside:sleep_until(self.sim.core:now() + reach.in_ns(T))
end

-- Seconds of virtual time.
function methods:now() return self.sim:now() end

-- An integer that nobody else in this run is given: 1, 2, ...
function methods:unique()
  self.run.unique = self.run.unique + 1
  return self.run.unique
end

-- Talks to another node from now on, drawn among the others; or to that one.
function methods:move(node)
  if node == nil then
    local others = {}
    for _, id in ipairs(self.nodes) do if id ~= self.node then others[#others + 1] = id end end
    node = #others > 0 and others[self.chance(#others)] or self.node
  elseif not self.sim.index[node] then
    error(("client:move: 'node' must be a node of the cluster (got %s%s)"):format(options.got(node),
      options.hint(node, self.nodes)), 2)
  end
  self.node = node
end

function methods:close() hang_up(self) end

workload_client.names = options.keys(methods)
for _, name in ipairs { "id", "node", "nodes", "state", "shared" } do
  workload_client.names[#workload_client.names + 1] = name
end

-- id: 1 to the number of clients. run: what its run has in common, { unique, shared }. timeout: of a call, in seconds.
function workload_client.new(sim, id, run, timeout)
  local self = {
    id = id, nodes = sim.ids, state = {}, shared = run.shared, run = run, sim = sim, timeout = timeout,
    connection = false, chance = sim.core:random(("workload client %d"):format(id)),
    random = sim.core:random(("workload generator %d"):format(id)),
  }
  self.node = self.nodes[self.chance(#self.nodes)]
  return setmetatable(self, meta)
end

return workload_client
