-- node_hlc.lua - node.hlc, for scripts: the node's hybrid logical clock. The core keeps it (orrery/node_hlc.h).
local later = require "orrery.later"
local options = require "orrery.options"

local node_hlc = {}

local function check_stamp(stamp, what)
  if math.type(stamp) == "integer" then return stamp end
  error(("%s: a stamp is expected, an integer (got %s)"):format(what, options.got(stamp)), 3)
end

-- self: { host, plan } -> the object
function node_hlc.open(self)
  local core, tasks, longest = self.host.hlc, self.host.tasks, self.plan.cluster.timing.call
  local api = {}

  -- What the core withholds is waited for, at most as long as a call.
  local function stamped(what, heard)
    local ends
    tasks.ticket(what)                          -- complains where nobody can wait
    while true do
      local stamp, message, code = core.stamp(what, heard)
      if stamp ~= false then return stamp, message, code end
      ends = ends or tasks.now() + longest
      stamp, message, code = core.wait(what, math.max(0, ends - tasks.now()))
      if not stamp then return nil, message, code end
    end
  end

  function api.now() return stamped "node.hlc:now" end

  function api.recv(stamp) return stamped("node.hlc:recv", check_stamp(stamp, "node.hlc:recv")) end

  function api.parts(stamp) return core.parts(check_stamp(stamp, "node.hlc:parts")) end

  function api.time(stamp) return (core.parts(check_stamp(stamp, "node.hlc:time"))) end

  function api.of(T)
    if type(T) == "number" and T == T then return core.of(T) end
    error(("node.hlc:of: a time is expected, seconds since 1970 (got %s)"):format(options.got(T)), 2)
  end

  function api.status() return core.status() end

  local object
  local methods = { title = "orrery.node.hlc" }
  for name, f in pairs(api) do
    methods[name] = function(given, ...)
      if given ~= object then
        error(("node.hlc.%s must be called as a method: node.hlc:%s(...)"):format(name, name), 2)
      end
      return f(...)
    end
  end
  object = later.guard("node.hlc", methods, {})
  return object
end

return node_hlc
