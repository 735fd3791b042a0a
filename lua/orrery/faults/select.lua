-- select.lua - whom a verb is about, found when the moment comes: all, any(k), leader, follower, role(name).
--
-- Each is a method of a simulation, which tells the ids now (sim:any(2)); called without one it gives what will tell
-- them (sim.any(2)), and as it stands it is a selector too (sim.leader, sim.all). In a fault file they are globals.
local options = require "orrery.options"

local selectors = {}

local function is_sim(v)
  local mt = getmetatable(v)
  return type(mt) == "table" and mt.__name == "orrery.sim"
end

-- f(sim, x) as all three.
local function selector(f)
  return function(first, x)
    if is_sim(first) then return f(first, x) end
    return function(sim) return f(sim, first) end
  end
end

-- -- Chance ---------------------------------------------------------------------------------------------------------
-- splitmix64, seeded by the run and the use: what is drawn here moves no other draw.
local function next64(sim)
  sim.drawn = (sim.drawn or sim.core:seed "any") + 0x9e3779b97f4a7c15
  local z = sim.drawn
  z = (z ~ (z >> 30)) * 0xbf58476d1ce4e5b9
  z = (z ~ (z >> 27)) * 0x94d049bb133111eb
  return z ~ (z >> 31)
end

local function below(sim, n) return (next64(sim) >> 1) % n end

-- k of them, in their order; all where there are no more.
local function draw(sim, ids, k)
  local left, out = table.move(ids, 1, #ids, 1, {}), {}
  while #left > k do table.remove(left, 1 + below(sim, #left)) end
  for i, id in ipairs(left) do out[i] = id end
  return out
end

-- -- Selectors ------------------------------------------------------------------------------------------------------
selectors.all = selector(function(sim) return table.move(sim.ids, 1, #sim.ids, 1, {}) end)

selectors.any = selector(function(sim, k)
  k = k == nil and 1 or k
  if math.type(k) ~= "integer" or k < 1 then
    error(("any: 'k' must be an integer of at least 1 (got %s)"):format(options.got(k)), 0)
  end
  return draw(sim, sim.ids, k)
end)

-- One that is up, is of the group, and doesn't lead it; drawn. {}: there is none.
selectors.follower = selector(function(sim, group)
  local leads, ids = sim:leader(group), {}
  for _, id in ipairs(sim.ids) do
    local status = sim.core:status(id)
    local groups = status and status.groups or {}
    local is_of_it = group == nil and next(groups) ~= nil or group ~= nil and groups[group] ~= nil
    if is_of_it and id ~= leads then ids[#ids + 1] = id end
  end
  return draw(sim, ids, 1)
end)

-- Those that bear the role.
selectors.role = selector(function(sim, name)
  local ids, known = {}, {}
  for _, node in ipairs(sim.cluster.nodes) do
    for _, role in ipairs(node.roles) do
      known[role] = true
      if role == name then ids[#ids + 1] = node.id end
    end
  end
  if #ids > 0 then return ids end
  error(("role: no node of the cluster has the role %s%s"):format(options.got(name),
    options.hint(name, options.keys(known))), 0)
end)

return { selector = selector, selectors = selectors }
