-- facts.lua - what the trace of a simulation says of a time: which ways were cut, who was down or paused, who led.
--
-- Times are in ns here, as in the trace. An interval is { at, till = or nil, why = }: till nil where it lasts.
local options = require "orrery.options"

local facts = {}
local ns = 1000000000

local function open(list, at, why)
  local last = list[#list]
  if not last or last.till then list[#list + 1] = { at = at, why = why } end
end

local function close(list, at)
  local last = list[#list]
  if last and not last.till then last.till = at end
end

local function entry(t, key)
  t[key] = t[key] or {}
  return t[key]
end

local function add_status(self, e)
  local roles = entry(entry(self.roles, e.group or "?"), e.node)
  local last = roles[#roles]
  if last and not last.till and last.role == e.what and last.term == e.term and last.leader == e.leader then return end
  close(roles, e.at)
  roles[#roles + 1] = { at = e.at, role = e.what, term = e.term or 0, leader = e.leader }
end

local function add_life(self, e)
  local downs, pauses = entry(self.downs, e.node), entry(self.pauses, e.node)
  if e.what ~= "down" then close(downs, e.at) end
  if e.what ~= "paused" then close(pauses, e.at) end
  if e.what == "paused" then open(pauses, e.at, e.why) end
  if e.what ~= "down" then return end
  open(downs, e.at, e.why)
  for _, nodes in pairs(self.roles) do close(entry(nodes, e.node), e.at) end
end

-- { cuts = { ["a b"] = intervals }, downs = { a = intervals }, pauses = likewise, roles = { GROUP = { a = intervals
-- with role, term, leader } }, forgot = is the beginning lost? }
function facts.of(sim)
  local self = { cuts = {}, downs = {}, pauses = {}, roles = {} }
  local events, forgot = sim.core:trace(0, math.maxinteger, { life = true, cut = true, status = true })
  self.forgot = forgot
  for _, e in ipairs(events) do
    if e.kind == "status" then add_status(self, e)
    elseif e.kind == "life" then add_life(self, e)
    elseif e.what == "cut" then open(entry(self.cuts, e.from .. " " .. e.to), e.at)
    else close(entry(self.cuts, e.from .. " " .. e.to), e.at) end
  end
  return self
end

-- The interval that holds at that time.
function facts.at(intervals, when)
  for _, interval in ipairs(intervals or {}) do
    if interval.at <= when and (not interval.till or when < interval.till) then return interval end
  end
end

-- The two sides, sorted, where these pairs are all of the links between them: { "a" }, { "b", "c" }. Nil: they aren't.
function facts.sides(pairs_of_ids)
  local others = {}
  for _, pair in ipairs(pairs_of_ids) do
    entry(others, pair.from)[pair.to], entry(others, pair.to)[pair.from] = true, true
  end
  local function names(set) return table.concat(options.keys(set), " ") end
  local first = pairs_of_ids[1].from
  local side, other = {}, options.keys(others[first])
  for _, id in ipairs(options.keys(others)) do
    if names(others[id]) == names(others[first]) then side[#side + 1] = id end
  end
  for _, id in ipairs(other) do
    if names(others[id]) ~= table.concat(side, " ") then return nil end
  end
  if #side + #other ~= #options.keys(others) then return nil end
  if other[1] < side[1] then side, other = other, side end
  return side, other
end

-- What was known at that time of the way between two nodes, from the point of view of the first: a text, or nil.
function facts.hint(self, id, other, when)
  local down, paused = facts.at(self.downs[other], when), facts.at(self.pauses[other], when)
  if down then return ("%s is down since %.3f"):format(other, down.at / ns) end
  if paused then return ("%s is paused since %.3f"):format(other, paused.at / ns) end
  local there, back = facts.at(self.cuts[id .. " " .. other], when), facts.at(self.cuts[other .. " " .. id], when)
  if there and back then
    return ("the link %s-%s is cut since %.3f"):format(id, other, math.min(there.at, back.at) / ns)
  elseif there or back then
    return ("the way from %s to %s is cut since %.3f"):format(there and id or other, there and other or id,
      (there or back).at / ns)
  end
end

return facts
