-- node_clock.lua - node:time() and node.clock, for scripts: the cluster's time and how wrong it may be.
--
-- The core knows (orrery/time.h); bindings/orrb_time.c tells it in seconds, rounded outward.
local later = require "orrery.later"
local mesh = require "orrery.mesh"
local options = require "orrery.options"
local subscription = require "orrery.subscription"

local node_clock = {}

local again = 0.05                  -- where nobody can say how long it takes
local longest = 10                  -- of a sleep: meanwhile an epoch may begin, and T be nearer

local function check_time(T, what)
  if type(T) == "number" and T == T then return T end
  error(("%s: a time is expected, seconds since 1970 (got %s)"):format(what, options.got(T)), 3)
end

-- Why this node, which asks, has none.
local function no_graph(clock)
  if not clock then return "the cluster file says clock = false" end
  if #clock.ntp > 0 then return "the cluster's time is that of NTP servers: nodes don't measure each other's clocks" end
  return "this node is none of the members that keep the cluster's time: these are the file's first 15"
end

-- self: { host, plan, life }. Two values: node:time's function, node.clock.
function node_clock.open(self)
  local core, tasks, off = self.host.clock, self.host.tasks, self.plan.cluster.clock == false
  local api = {}

  local function time() return core.now "node:time" end

  function api.after(T)
    check_time(T, "node.clock:after")
    local earliest = core.now ""
    return earliest ~= nil and earliest > T
  end

  function api.before(T)
    check_time(T, "node.clock:before")
    local earliest, latest = core.now ""
    return earliest ~= nil and latest < T
  end

  function api.wait(T)
    check_time(T, "node.clock:wait")
    tasks.ticket "node.clock:wait"              -- complains where nobody can wait
    while not off do
      local pause = core.wait(T)
      if pause == 0 then return true end
      if tasks.left() <= 0 then return nil, "node.clock:wait: no time was left", "timeout" end
      tasks.sleep(math.min(pause or again, longest))
    end
    return core.now "node.clock:wait"
  end

  function api.status() return core.status() end

  function api.graph()
    local graph, why = core.graph()
    if graph then return mesh.show_as_text(graph) end
    return nil, "node.clock:graph: " .. (why or no_graph(self.plan.cluster.clock)), "unavailable"
  end

  function api.step() return core.step() end

  function api.on(event, f)
    local what = "node.clock:on"
    if self.life.over then error(what .. ": other scripts have replaced these", 2) end
    local s = subscription.new({}, { "step" }, event, f, what, 3)
    local room, most = self.host.groups.watch(nil, event, function()
      if not s.closed then f(core.status().epoch) end
    end)
    if room then return s end
    error(("%s: there are %d subscriptions, closed ones among them; there may be no more"):format(what, most), 2)
  end

  local object
  local methods = { title = "orrery.clock" }
  for name, f in pairs(api) do
    methods[name] = function(given, ...)
      if given ~= object then
        error(("node.clock.%s must be called as a method: node.clock:%s(...)"):format(name, name), 2)
      end
      return f(...)
    end
  end
  object = later.guard("node.clock", methods, {})
  return time, object
end

return node_clock
