-- arguments.lua - what the methods of a simulation are given is checked, and seconds become ns.
--
-- Each raises the method, the argument, what was expected and what came, at the place that `level` counts up to.
local later = require "orrery.later"
local options = require "orrery.options"

local arguments = {}
local ns = 1000000000

function arguments.ns(seconds) return math.floor(seconds * ns + 0.5) end

function arguments.check(what, name, rule, v, level)
  local out, problem = options.value(v, rule)
  if not problem then return out end
  table.insert(problem.path, 1, name)
  error(options.message(problem, what), level + 1)
end

local duration = { "number", min = 0, max = 1e9 }
function arguments.time(what, name, v, level)
  return arguments.ns(arguments.check(what, name, duration, v, level + 1))
end

function arguments.callable(what, name, f, level)
  if type(f) == "function" then return f end
  error(("%s: '%s' must be a function (got %s)"):format(what, name, options.got(f)), level + 1)
end

function arguments.node(self, what, id, level)
  if self.index[id] then return id end
  error(("%s: 'node' must be a node of the cluster (got %s%s)"):format(what, options.got(id),
    options.hint(id, self.ids)), level + 1)
end

local events = { leader = true, commit = true, apply = true, snapshot = true, upgrade = true, kill = true,
  restart = true }
local events_later = { config = true, join = true, suspect = true, alive = true,
  fail = true, leave = true, step = true, overload = true }

function arguments.event(what, expected, event, level)
  if events_later[event] then
    error(("%s: the event %s is not available in this version of Orrery (%s)"):format(what, event, later.version),
      level + 1)
  elseif not events[event] then
    error(("%s: 'event' must be %s (got %s%s)"):format(what, expected, options.got(event),
      options.hint(event, options.keys(events))), level + 1)
  end
end

return arguments
