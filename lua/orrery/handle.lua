-- handle.lua - a node seen from outside: sim.nodes.a. What waits runs virtual time until it has its answer.
local facts = require "orrery.look.facts"
local later = require "orrery.later"
local options = require "orrery.options"
local reach = require "orrery.reach"

local handle = {}
local methods = {}

-- What it says of itself: { up, paused, ready, ..., groups = { NAME = status } }. A node that is down has little.
function methods:status()
  local sim, id = self.sim, self.id
  local state = sim.core:state(id)
  local status = sim.core:status(id) or { groups = {} }
  status.state = state
  local death = sim.deaths[id]
  status.why = state == "down" and death and death.code ~= 0 and death.why or nil
  return status
end

-- The group of that name, as this node sees it.
function methods:group(name)
  local status = self:status()
  if status.state ~= "down" and not status.groups[name] then
    local known = options.keys(status.groups)
    error(("node %s has no replica of a group %s%s"):format(self.id, options.got(name), options.hint(name, known)), 2)
  end
  local sim, id = self.sim, self.id
  return reach.group({
    timeout = sim.cluster.timing.call,
    wait = function(done, T) return sim:wait(done, T) end,
    submit = function(...) return sim:ask("submit", id, ...) end,
    peek = function(...) return sim:tell_core("peek", id, ...) end,
    group_status = function() return self:status().groups[name] end,
    causes = function(...) return sim.core:causes(id, ...) end,
    now = function() return sim:now() end,
    hint = function(other, when)
      return facts.hint(facts.of(sim), id, other, math.floor(when * 1e9))
    end,
  }, id, name)
end

-- What it knows of the others, as node.members:list() has it; {} where it takes no part. nil, message, code.
function methods:members() return self.sim.core:members(self.id) end

function methods:call(name, ...) return self.sim:call(self.id, name, ...) end
function methods:eval(text) return self.sim:eval(self.id, text) end
function methods:cast(name, ...) return self.sim:cast(self.id, name, ...) end
function methods:kill() return self.sim:kill(self.id) end
function methods:restart(disk) return self.sim:restart(self.id, disk) end
function methods:pause() return self.sim:pause(self.id) end
function methods:resume() return self.sim:resume(self.id) end

-- "leader of counter, term 1"; "follower": of whatever groups there are.
local function roles(groups)
  local leads, others = {}, {}
  for _, name in ipairs(options.keys(groups)) do
    local g = groups[name]
    if g.role == "leader" then
      leads[#leads + 1] = ("leader of %s, term %d"):format(name, g.term)
    else
      others[#others + 1] = g.role
    end
  end
  if #leads > 0 then return " " .. table.concat(leads, "; ") end
  return #others > 0 and " " .. others[1] or ""
end

-- "b up leader of counter, term 1"
function handle.line(self)
  local status = self:status()
  if status.state ~= "up" then return self.id .. " " .. status.state .. (status.why and ": " .. status.why or "") end
  return self.id .. " up" .. roles(status.groups)
end

-- A copy of the script's node.state, made once between two events; {} while it is down.
local function state_of(self)
  local sim = self.sim
  local stamp = sim.core:events() + sim.core:seen "kill" + sim.core:seen "restart"   -- they only grow
  local private = sim.shown[self.id]
  if not private or private.stamp ~= stamp then
    private = { stamp = stamp, value = sim.core:shown(self.id) or {} }
    sim.shown[self.id] = private
  end
  return private.value
end

local meta = {
  __name = "orrery.handle",
  __index = function(self, key)
    if methods[key] then return methods[key] end
    if key == "state" then return state_of(self) end
    if key == "nodes" then return self.sim.nodes end
    later.refuse(("node %s:"):format(self.id), key, later.handle, handle.names, 2)
  end,
  __newindex = function(self, key)
    error(("node %s is read-only (assigning %s)"):format(self.id, tostring(key)), 2)
  end,
  __tostring = handle.line,
}

handle.names = { "id", "state", "nodes" }
for _, name in ipairs(options.keys(methods)) do handle.names[#handle.names + 1] = name end

function handle.new(sim, id)
  return setmetatable({ sim = sim, id = id }, meta)
end

return handle
