-- watch.lua - watch(what): tells when something changes: sim:watch, while virtual time runs; and of a live cluster
-- (live.lua), while wall time does.
--
-- Of a simulation, what is watched is looked at after each event that touched a node, and doesn't belong to the run:
-- time travel tells nothing of it, and neither makes watches nor ends them.
--
-- A sight is what is looked at: { what = "sim:watch", ids, index, status(id), state(id), leader(group) }, and, where
-- functions are taken, argument: what they are given.
local faults = require "orrery.faults"
local options = require "orrery.options"
local show = require "orrery.show"

local watch = {}
local words = { leader = true, roles = true, term = true, commit = true, applied = true }

-- -- What is watched ------------------------------------------------------------------------------------------------
-- f(id, status) for each replica that is up, of the group or of any.
local function each_replica(sight, group, f)
  for _, id in ipairs(sight.ids) do
    for name, g in pairs(sight.status(id).groups) do
      if group == nil or name == group then f(id, g, name) end
    end
  end
end

-- The greatest of that figure over the replicas that are up.
local function greatest(sight, field, group)
  local most
  each_replica(sight, group, function(_, g) most = math.max(most or 0, g[field]) end)
  return most
end

-- { a = "leader", b = "follower" }; where there are several groups, and none is named, { a = { kv = "leader" } }.
local function roles_of(sight, group)
  local roles, names = {}, {}
  each_replica(sight, group, function(id, g, name)
    roles[id], names[name] = roles[id] or {}, true
    roles[id][name] = g.role
  end)
  local only = next(names)
  if not only or next(names, only) then return roles end
  for id, of in pairs(roles) do roles[id] = of[only] end
  return roles
end

local function figure(sight, what, group)
  if what == "leader" then return sight.leader(group) end
  if what == "roles" then return roles_of(sight, group) end
  return greatest(sight, what, group)
end

-- `state.votes.tea`, `role`, `ready`, `kv.lag` of a node: of its script's state, of its group or of itself.
local function of_node(sight, id, path)
  local status = sight.status(id)
  local value, rest = nil, path
  local head = path:match "^[^.]+"
  if head == "state" then value, rest = sight.state(id), path:match "^state%.(.*)$"
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

-- A function that looks, and what it is called.
local function reader(sight, what, group, level)
  if type(what) == "function" and sight.argument then
    return function() return what(sight.argument) end, "function"
  end
  if words[what] then return function() return figure(sight, what, group) end, what end
  local id, path = nil, nil
  if type(what) == "string" then id, path = what:match "^([^.]+)%.(.+)$" end
  if id and sight.index[id] then return function() return of_node(sight, id, path) end, what end
  local known, list = options.keys(words), {}
  for i, word in ipairs(known) do list[i] = ("%q"):format(word) end
  for _, name in ipairs(sight.ids) do known[#known + 1] = name .. ".state" end
  list[#list + 1] = ("a node's like %q"):format(sight.ids[1] .. ".state")
  if sight.argument then list[#list + 1] = "a function" end
  error(("%s: 'what' must be %s or %s (got %s%s)"):format(sight.what, table.concat(list, ", ", 1, #list - 1),
    list[#list], options.got(what), options.hint(what, known)), level + 1)
end

-- -- Watching -------------------------------------------------------------------------------------------------------
local Watch = { __name = "orrery.watch" }
Watch.__index = Watch
function Watch:__tostring() return ("orrery.watch(%s = %s)"):format(self.name, self.last) end

local function look(one)
  return show.fit(one.read(), { width = 60, depth = 4, items = 20 })
end

-- One more in `watches`: of that sight.
function watch.new(watches, sight, what, group, level)
  local read, name = reader(sight, what, group, level + 1)
  local one = setmetatable({ watches = watches, what = what, name = name, read = read }, Watch)
  one.last = look(one)
  watches[#watches + 1] = one
  return one
end

-- "leader  nil -> a", as a text for people; nil where it is what it was.
function watch.change(one)
  local now = look(one)
  if now == one.last then return nil end
  local text = ("%s  %s -> %s"):format(one.name, one.last, now)
  one.last = now
  return text
end

function Watch:close()
  for i, one in ipairs(self.watches) do
    if one == self then
      table.remove(self.watches, i)
      return
    end
  end
end
Watch.__close = Watch.close

-- That one's, or all -> how many there were.
function watch.stop(watches, what)
  local n = 0
  for i = #watches, 1, -1 do
    local one = watches[i]
    if what == nil or one == what or one.what == what then
      table.remove(watches, i)
      n = n + 1
    end
  end
  return n
end

-- -- Of a simulation ------------------------------------------------------------------------------------------------
local function sight_of(sim)
  return {
    what = "sim:watch", ids = sim.ids, index = sim.index, argument = sim,
    status = function(id) return sim.nodes[id]:status() end,
    state = function(id) return sim.nodes[id].state end,
    leader = function(group) return sim:leader(group) end,
  }
end

-- After each event that touched a node.
function watch.check(sim)
  for _, one in ipairs(sim.watches) do
    local text = watch.change(one)
    if text then sim.say(("%.3f  %s"):format(sim:now(), text)) end
  end
end

-- Where it was led elsewhere: from here on.
function watch.again(sim)
  for _, one in ipairs(sim.watches) do one.last = look(one) end
end

-- sim:watch(what, group) -> a watch: close ends it, and sim:unwatch.
function watch.watch(sim, what, group)
  faults.opened(sim, "watch")
  return (watch.new(sim.watches, sight_of(sim), what, group, 2))
end

-- sim:unwatch(what)
function watch.unwatch(sim, what)
  faults.opened(sim, "unwatch")
  return watch.stop(sim.watches, what)
end

return watch
