-- placement.lua - orrery.placement{...}: whose is a key, by one policy or another (orrery/placement.h), by hand. Checks
-- what is given; the object is core.placement's (bindings/orrb_placement.c), and its look-ups are C.
local core = require "orrery.core"
local members = require "orrery.ring_nodes"
local options = require "orrery.options"

local placement = {}
local slots_max = 1 << 20

local function prime(v)
  local n = type(v) == "number" and math.tointeger(v)
  local good = n and n >= 2 and n <= slots_max
  for d = 2, good and n - 1 or 0 do
    if d * d > n then break end
    good = good and n % d ~= 0
  end
  if good then return n end
  return nil, ("a prime number up to %d"):format(slots_max)
end

local spec = {
  policy = { "choice", of = { "ring", "jump", "rendezvous", "maglev", "multiprobe" }, default = "ring" },
  slots = { prime, default = 65537 },
  probes = { "integer", min = 1, max = 256, default = 21 },
}
for key, rule in pairs(members.spec) do spec[key] = rule end
local only = { vnodes = "ring", hash = "ring", slots = "maglev", probes = "multiprobe" }

local kind = {
  name = "orrery.placement", noun = "a placement", core = core.placement,
  weight = function(of)
    if of.policy == "ring" then return members.by_hash[of.hash] end
    return of.policy == "jump" and members.one or of.policy == "multiprobe" and members.whole or members.any
  end,
  make = core.placement.make,
  refuse = function(nodes, of)
    if of.policy == "maglev" then
      return ("'slots' must be at least as many as there are nodes (got %d, for %d nodes)"):format(of.slots, #nodes)
    end
    return ("too many points, vnodes times all weights must be at most %d"):format(members.limits.points)
  end,
}
members.methods(kind)

function placement.new(given)
  local what = "orrery.placement"
  local of = options.check(given or {}, spec, what)
  for _, key in ipairs(options.keys(only)) do
    if given[key] ~= nil and of.policy ~= only[key] then
      error(("%s: '%s' is for policy = %q (got policy = %q)"):format(what, key, only[key], of.policy), 2)
    end
  end
  members.vnodes(of, what)
  return (members.make(kind, nil, members.nodes(of, kind.weight(of), what), of, what))
end

return placement
