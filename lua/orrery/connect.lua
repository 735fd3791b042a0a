-- connect.lua - orrery.connect: a handle to a live node, from a program outside its cluster.
--
--     local a <close> = assert(orrery.connect("127.0.0.1:7401", { timeout = 2 }))
--     print(a:call("add", 5), a.nodes.b:status().state)
--
-- What waits turns a loop of the handle's own; nothing else has to. The connection is looked at before it is used:
-- where it was lost, it is made anew, and what was under way on it is `unknown`. The other nodes are reached at their
-- own addresses, each by a connection of its own once it is first asked. What the node itself answers is
-- lua/orrery/console.lua's: messages whose names begin with a NUL. Handles that came from one another are a family:
-- what the cluster looks like over time is seen by all of them together (look/live.lua).
local core = require "orrery.core"
local handle = require "orrery.handle"
local later = require "orrery.later"
local live = require "orrery.look.live"
local members = require "orrery.look.members"
local options = require "orrery.options"
local reach = require "orrery.reach"
local subscription = require "orrery.subscription"

local connect = {}
local methods = {}
connect.methods = methods
local wait_slice = 0.1

-- -- The loop -------------------------------------------------------------------------------------------------------
local function closed(self)
  if self.closed then return ("%s: the handle is closed"):format(self.id), "closed" end
end

-- One turn of its own loop, after at most T -> "open", "opening" or "closed", why.
local function step(self, T)
  if self.closed then return "closed", "the handle is closed" end
  self.core:step(T)
  local state, why = self.core:status()
  if self.up and state ~= "open" then
    self.up = false
    subscription.tell(self.subscriptions, "close", why)
  end
  return state, why
end

-- The same, and of all that looks on: that doesn't wait longer than it may.
local function turn(self, T)
  local lookout = self.family.lookout
  if lookout then
    lookout:turn()
    T = math.min(T, lookout:deadline())
  end
  return (step(self, T))
end

local function wait_for(self, done, T)
  local until_time = self.core:clock() + T
  while not self.closed and not done() do
    local left = until_time - self.core:clock()
    if left <= 0 then break end
    turn(self, math.min(left, wait_slice))
  end
end

-- -- Being connected ------------------------------------------------------------------------------------------------
local function failed(self, why, code) return nil, (self.id and self.id .. ": " or "") .. why, code end

-- There is a connection, to the node of that id: nil; or why that is the wrong one, and it is ended.
local function meet(self, id)
  self.up = not self.id or id == self.id
  if self.up then return nil end
  self.core:leave()
  return ("%s is at %s now"):format(id, self.address)
end

-- Within T: true; or nil, message, code. What is asked of a node that isn't reached is surely not done.
local function arrive(self, T)
  local message, code = closed(self)
  if message then return nil, message, code end
  local state = turn(self, 0)
  if self.closed then return nil, closed(self) end    -- by who was told
  if state == "open" then return true end
  if state == "closed" then
    local ok, why, word = self.core:open(self.address)
    if not ok then return failed(self, "no connection to " .. why, word) end
  end
  wait_for(self, function() return self.core:status() ~= "opening" end, T)
  if self.closed then return nil, closed(self) end
  local now, why, word, id = self.core:status()
  if now == "opening" then
    return failed(self, ("no connection to %s within %g s, surely not done"):format(self.address, T), "timeout")
  elseif now == "closed" then
    return failed(self, ("no connection to %s: %s"):format(self.address, why), word)
  end
  local other = meet(self, id)
  if other then return failed(self, other, "unavailable") end
  return true
end

-- -- Talking --------------------------------------------------------------------------------------------------------
-- f(core, T in ns) asks, once there is a connection. What it gave is waited for.
local function ask(self, what, T, f)
  local until_time = not self.closed and self.core:clock() + T
  local ok, message, code = arrive(self, T)
  if not ok then return nil, message, code end
  local left = math.max(0, until_time - self.core:clock())
  local asked, why, word = f(self.core, reach.in_ns(left))
  if not asked then return failed(self, ("%s: %s"):format(what, why), word) end
  return reach.settle(self.host, ("%s: %s"):format(self.id or self.address, what), left, asked)
end

-- A verb of console.lua.
local function ask_node(self, verb, ...)
  local given = table.pack(...)
  return ask(self, verb, self.timeout, function(visit, T)
    return visit:ask("\0" .. verb, T, table.unpack(given, 1, given.n))
  end)
end

-- What the handler returns; nil, message, code.
function methods:call(name, ...)
  reach.check_name(name, "node:call", 3)
  local given = table.pack(...)
  return ask(self, name, self.timeout, function(visit, T)
    return visit:ask(name, T, table.unpack(given, 1, given.n))
  end)
end

-- No answer, no promise: true, or nil, message, code.
function methods:cast(name, ...)
  reach.check_name(name, "node:cast", 3)
  local ok, message, code = arrive(self, self.timeout)
  if not ok then return nil, message, code end
  local why
  ok, why, code = self.core:cast(name, ...)
  if not ok then return failed(self, ("%s: %s"):format(name, why), code) end
  turn(self, 0)                                       -- so that it leaves, though nobody waits
  return true
end

-- A group, as this node has it.
function methods:group(name)
  if type(name) ~= "string" then error(("node:group: a name is expected (got %s)"):format(options.got(name)), 2) end
  return reach.group(self.host, self.id, name)
end

-- Runs text in the node, between two of its turns: an expression's values, or statements.
function methods:eval(text)
  reach.check_text(text, "node:eval", 3)
  local told = table.pack(ask_node(self, "eval", text))
  if told[1] == nil then return nil, told[2], told[3] end
  return reach.evaluated(self.id, table.unpack(told, 1, told.n))
end

-- Has the node read its files anew: true once their scripts run; or nil, message, code, and those that run go on.
function methods:reload()
  return ask_node(self, "reload")
end

-- { state = "up" or "down", why, ready, ..., groups = { NAME = status } }
function methods:status()
  local status, message = ask_node(self, "status")
  if not status then return { state = "down", why = message, groups = {} } end
  status.state = "up"
  return status
end

-- What it knows of the others, as node.members:list() has it; {} where it takes no part.
function methods:members()
  return ask_node(self, "members")
end

local function same(...) return ... end       -- what it is given was not called last: levels count up to the user

-- What each node says of each other: rows are who says, as far as they are reached. With a path, a picture.
function methods:matrix(path)
  local title = ("%s: what nodes say of each other"):format(self.cluster or "")
  return same(members.matrix(self.ids, function(id) return (ask_node(self.nodes[id], "members")) end, path,
    "node:matrix", title, 2))
end

-- -- Looking on -----------------------------------------------------------------------------------------------------
-- As step, of who looks on: it sees who is there.
local function look_step(self)
  local state, why = step(self, 0)
  if state ~= "open" or self.up then return state, why end
  local other = meet(self, (select(4, self.core:status())))
  return other and "closed" or "open", other
end

local function look_open(self)
  if not self.closed then self.core:open(self.address) end
end

local function lookout_of(self)
  local family = self.family
  family.lookout = family.lookout or live.new(family.root, look_step, look_open)
  return family.lookout
end

-- Once each node has been seen, or was not found.
local function see(self)
  local lookout = lookout_of(self)
  wait_for(self, function() return lookout:complete() end, self.timeout)
end

-- Tells, with the wall time, when that changes: "leader", "roles", "term", "commit", "applied", "a.role", ...
function methods:watch(what, group)
  if self.closed then return nil, closed(self) end
  return same(lookout_of(self):watch(what, group, function() see(self) end, 2))
end

-- Ends that watch, or all -> how many there were.
function methods:unwatch(what)
  return self.family.lookout and self.family.lookout:unwatch(what) or 0
end

-- What was seen since the prompt began, or the first watch, timeline or plot: an array of events, and their text.
function methods:timeline(opts)
  if self.closed then return nil, closed(self) end
  see(self)
  return same(lookout_of(self):timeline(opts, 2))
end

-- Charts of what was seen: figures, and maybe options.
function methods:plot(...)
  if self.closed then return nil, closed(self) end
  see(self)
  return same(lookout_of(self):plot(2, ...))
end

-- For a prompt that waits for a line: looks on -> what is to be told, or nil; in how many seconds it is to be called
-- again, or nil: not any more.
function connect.idle(self)
  if self.closed then return nil, nil end
  local lookout, lines = lookout_of(self), {}
  local say = lookout.say
  lookout.say = function(text) lines[#lines + 1] = text end
  local _ <close> = setmetatable({}, { __close = function() lookout.say = say end })
  lookout:turn()
  return #lines > 0 and table.concat(lines, "\n") or nil, lookout:deadline()
end

-- -- Events, turns, the end -----------------------------------------------------------------------------------------
-- f(why) when the connection was lost, or the node has closed it; told while something waits, or in step().
function methods:on(event, f)
  return subscription.new(self.subscriptions, { "close" }, event, f)
end

-- One turn of the connection's loop, after at most T: is there a connection?
function methods:step(T)
  if T == nil then T = 0 end
  if type(T) ~= "number" or T ~= T or T < 0 then
    error(("node:step: seconds are expected, a number from 0 up (got %s)"):format(options.got(T)), 2)
  end
  return not self.closed and turn(self, T) == "open"
end

-- A descriptor that is readable when step(0) has something to do.
function methods:fd()
  local message, code = closed(self)
  if message then return nil, message, code end
  return self.core:fd()
end

-- In how many seconds a step should come at the latest, whatever fd() says.
function methods:deadline()
  local message, code = closed(self)
  if message then return nil, message, code end
  local lookout = self.family.lookout
  return math.min(self.core:deadline(), lookout and lookout:deadline() or math.huge)
end

-- With it the handles of the other nodes that came from it.
function methods:close()
  if self.closed then return end
  self.closed, self.up = true, false
  local family = self.family
  if family.root == self and family.lookout then
    family.lookout:close()
    family.lookout = nil
  end
  self.core:close()
  for _, other in pairs(self.nodes) do
    if other.by == self then other:close() end
  end
end

-- -- Handles --------------------------------------------------------------------------------------------------------
local names = options.keys(methods)
for _, name in ipairs { "id", "address", "cluster", "ids", "nodes", "state" } do names[#names + 1] = name end

local one_way = "wall time goes one way: only a simulation can be led back, orrery.sim"
local simulated = {
  diagram = "a diagram needs every message, and a live cluster tells of none: sim:diagram draws a simulation's; " ..
    "here there are timeline and plot",
  seek = one_way, back = one_way, branch = one_way,
}

local meta = {
  __name = "orrery.connected",
  __index = function(self, key)
    if methods[key] then return methods[key] end
    if simulated[key] then error(("node %s:%s: %s"):format(self.id, key, simulated[key]), 2) end
    if key == "state" then return (ask_node(self, "state")) or {} end
    later.refuse(("node %s:"):format(self.id), key, later.connected, names, 2)
  end,
  __close = methods.close,
  __tostring = handle.line,
}

-- id, cluster: false where they are not known yet. by: the handle that it came from, or false.
local function new(address, timeout, id, cluster, by)
  local visit, message, code = core.visit.new { cluster = cluster or nil }
  if not visit then return nil, message, code end
  local self
  self = {
    core = visit, address = address, timeout = timeout, id = id, cluster = cluster, by = by, subscriptions = {},
    nodes = by and by.nodes or {}, ids = by and by.ids or {}, family = by and by.family or {}, closed = false,
    up = false,
    host = {
      timeout = timeout,
      wait = function(done, T) wait_for(self, done, T) end,
      submit = function(verb, name, T, value)
        local ok, why, word = arrive(self, T / 1e9)
        if not ok then return nil, why, word end
        local asked
        asked, why, word = visit:ask("\0" .. verb, T, name, T / 1e9, value)
        if asked then return asked end
        return failed(self, ("%s:%s: %s"):format(name, verb, why), word)
      end,
      peek = function(name, value)
        local results = table.pack(ask_node(self, "peek", name, value))
        return true, table.unpack(results, 1, results.n)
      end,
      causes = function(name, n) return ask_node(self, "causes", name, n) end,
      group_status = function(name)
        local groups = ask_node(self, "groups")
        return groups and groups[name]
      end,
    },
  }
  self.family.root = self.family.root or self
  return setmetatable(self, meta)
end

local function meet_others(self, list)
  for i, other in ipairs(list) do
    self.ids[i] = other.id
    if other.id ~= self.id then
      local made, message, code = new(other.at, self.timeout, other.id, self.cluster, self)
      if not made then return nil, message, code end
      self.nodes[other.id] = made
    end
  end
  self.nodes[self.id] = self
  return true
end

local spec = { timeout = { "seconds" } }

-- orrery.connect(address, opts) -> a handle to the node there; or nil, message, code.
function connect.new(address, opts)
  local what = "orrery.connect"
  if type(address) ~= "string" or not address:find "^.+:%d+$" then
    error(("%s: an address is expected, \"host:port\" (got %s)"):format(what, options.got(address)), 2)
  end
  if type(opts) == "table" and opts.secret ~= nil then
    error(("%s: 'secret' is not available in this version of Orrery (%s)"):format(what, later.version), 2)
  end
  local timeout = options.check(opts == nil and {} or opts, spec, what, 2).timeout
  local self, message, code = new(address, timeout or 2, false, false, false)
  if not self then return nil, message, code end
  local facts
  facts, message, code = ask_node(self, "nodes")
  if facts then
    self.id, self.cluster = facts.id, facts.cluster
    self.timeout = timeout or facts.call
    self.host.timeout = self.timeout
    facts, message, code = meet_others(self, facts.nodes)
  end
  if facts then return self end
  self:close()
  return nil, ("%s: %s"):format(what, message), code
end

return connect
