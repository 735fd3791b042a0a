-- watch.lua - sim:watch(what): tells when something changes, while virtual time runs.
--
-- What is watched is looked at after each event that touched a node, and doesn't belong to the run: time travel tells
-- nothing of it, and neither makes watches nor ends them.
local faults = require "orrery.faults"
local options = require "orrery.options"
local show = require "orrery.show"

local watch = {}
local words = { leader = true, term = true, commit = true, applied = true }

-- -- What is watched ------------------------------------------------------------------------------------------------
-- The greatest of that figure over the replicas that are up, of the group or of any.
local function greatest(sim, field, group)
  local most
  for _, id in ipairs(sim.ids) do
    for name, g in pairs((sim.core:status(id) or { groups = {} }).groups) do
      if group == nil or name == group then most = math.max(most or 0, g[field]) end
    end
  end
  return most
end

-- `state.votes.tea`, `role`, `ready`, `kv.lag` of a node: of its script's state, of its group or of itself.
local function of_node(sim, id, path)
  local node = sim.nodes[id]
  local status = node:status()
  local value, rest = nil, path
  local head = path:match "^[^.]+"
  if head == "state" then value, rest = node.state, path:match "^state%.(.*)$"
  elseif status.groups[head] then value, rest = status.groups[head], path:match "%.(.*)$"
  elseif status[head] ~= nil then value, rest = status[head], path:match "%.(.*)$"
  else
    local names = options.keys(status.groups)
    value = #names == 1 and status.groups[names[1]] or nil
  end
  for key in (rest or ""):gmatch "[^.]+" do
    if type(value) ~= "table" then return nil end
    local field = value[key]
    if field == nil then field = value[math.tointeger(key)] end
    value = field
  end
  return value
end

-- A function of the simulation, and what it is called.
local function reader(sim, what, group)
  if type(what) == "function" then return what, "function" end
  if what == "leader" then return function(s) return s:leader(group) end, what end
  if words[what] then return function(s) return greatest(s, what, group) end, what end
  local id, path = nil, nil
  if type(what) == "string" then id, path = what:match "^([^.]+)%.(.+)$" end
  if id and sim.index[id] then return function(s) return of_node(s, id, path) end, what end
  local known = options.keys(words)
  for _, name in ipairs(sim.ids) do known[#known + 1] = name .. ".state" end
  error(("sim:watch: 'what' must be %s, a node's like %q, or a function (got %s%s)"):format(
    options.either(options.keys(words)), sim.ids[1] .. ".state", options.got(what), options.hint(what, known)), 3)
end

-- -- Watching -------------------------------------------------------------------------------------------------------
local Watch = { __name = "orrery.watch" }
Watch.__index = Watch
function Watch:__tostring() return ("orrery.watch(%s = %s)"):format(self.name, self.last) end

local function look(sim, one)
  return show.fit(one.read(sim), { width = 60, depth = 4, items = 20 })
end

-- After each event that touched a node.
function watch.check(sim)
  for _, one in ipairs(sim.watches) do
    local now = look(sim, one)
    if now ~= one.last then
      sim.say(("%.3f  %s  %s -> %s"):format(sim:now(), one.name, one.last, now))
      one.last = now
    end
  end
end

-- Where it was led elsewhere: from here on.
function watch.again(sim)
  for _, one in ipairs(sim.watches) do one.last = look(sim, one) end
end

-- sim:watch(what, group) -> a watch: close ends it, and sim:unwatch.
function watch.watch(sim, what, group)
  faults.opened(sim, "watch")
  local read, name = reader(sim, what, group)
  local one = setmetatable({ sim = sim, what = what, name = name, read = read }, Watch)
  one.last = look(sim, one)
  sim.watches[#sim.watches + 1] = one
  return one
end

function Watch:close()
  for i, one in ipairs(self.sim.watches) do
    if one == self then
      table.remove(self.sim.watches, i)
      return
    end
  end
end
Watch.__close = Watch.close

-- sim:unwatch(what): that one's, or all -> how many there were.
function watch.unwatch(sim, what)
  faults.opened(sim, "unwatch")
  local n = 0
  for i = #sim.watches, 1, -1 do
    local one = sim.watches[i]
    if what == nil or one == what or one.what == what then
      table.remove(sim.watches, i)
      n = n + 1
    end
  end
  return n
end

return watch
