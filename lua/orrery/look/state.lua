-- state.lua - what a simulation is like now: who leads, whom messages reach, its digest, its history.
local faults = require "orrery.faults"
local options = require "orrery.options"

local state = {}
local opened = faults.opened
local methods = {}
state.methods = methods

-- The id of the node that leads the group, as the newest leader that is up says; nil: none. One group needs no name.
-- status(id): what it says of itself, { groups = ... }. what: the method that asks, for complaints.
function state.leader(ids, status, group, what, level)
  local leader, term, known = nil, -1, {}
  for _, id in ipairs(ids) do
    for name, g in pairs(status(id).groups) do
      known[name] = true
      if (group == nil or name == group) and g.role == "leader" and g.term > term then leader, term = id, g.term end
    end
  end
  local names = options.keys(known)
  if group == nil and #names > 1 then
    error(("%s: 'group' must be one of %s (got nothing)"):format(what, options.either(names)), level + 1)
  elseif group ~= nil and not known[group] and #names > 0 then
    error(("%s: no node that is up has a group %s%s"):format(what, options.got(group), options.hint(group, names)),
      level + 1)
  end
  return leader
end

local nothing = { groups = {} }

local function leader_of(self, group)
  opened(self, "leader")
  local function status(id) return self.core:status(id) or nothing end
  return (state.leader(self.ids, status, group, "sim:leader", 2))
end
methods.leader = faults.selector(leader_of)

-- Whom each node's messages reach: o yes, x the link is cut that way, - one of the two is down, blank: no link.
function methods:matrix()
  opened(self, "matrix")
  local width, linked = 1, {}
  for _, id in ipairs(self.ids) do width = math.max(width, #id) end
  for _, pair in ipairs(self.cluster.links:list(self.ids)) do
    linked[pair[1] .. " " .. pair[2]], linked[pair[2] .. " " .. pair[1]] = true, true
  end
  local function cell(a, b)
    if a == b then return "." end
    if not linked[a .. " " .. b] then return " " end
    if self.core:state(a) == "down" or self.core:state(b) == "down" then return "-" end
    return self.core:link(a, b).cut and "x" or "o"
  end
  local function row(head, f)
    local cells = { ("%-" .. width + 1 .. "s"):format(head) }
    for _, id in ipairs(self.ids) do cells[#cells + 1] = ("%-" .. width .. "s"):format(f(id)) end
    return "  " .. table.concat(cells, " "):gsub(" +$", "")
  end
  local rows = { row("", function(id) return id end) }
  for _, a in ipairs(self.ids) do rows[#rows + 1] = row(a, function(b) return cell(a, b) end) end
  return table.concat(rows, "\n")
end

-- 16 hexadecimal digits over every byte that was delivered so far.
function methods:digest()
  opened(self, "digest")
  return self.core:digest()
end

-- What the clients of its workload did and saw so far, in order.
function methods:history()
  opened(self, "history")
  if self.runner then return self.runner.history end
  error("sim:history: no workload is attached to this simulation", 2)
end

return state
