-- ring.lua - orrery.ring{...}: a hash ring (orrery/ring.h) by hand. Checks what is given; the object is core.ring's
-- (bindings/orrb_ring.c), and its look-ups are C.
local core = require "orrery.core"
local members = require "orrery.ring_nodes"
local options = require "orrery.options"

local ring = {}

local kind = {
  name = "orrery.ring", noun = "a ring", core = core.ring,
  weight = function(of) return members.by_hash[of.hash] end,
  make = function(object, nodes, of) return core.ring.make(object, nodes, of.vnodes, of.hash) end,
  refuse = function()
    return ("too many points, vnodes times all weights must be at most %d"):format(members.limits.points)
  end,
}
members.methods(kind)

function ring.new(given)
  local what = "orrery.ring"
  local of = options.check(given or {}, members.spec, what)
  members.vnodes(of, what)
  return (members.make(kind, nil, members.nodes(of, kind.weight(of), what), of, what))
end

function ring.jump(key, buckets)
  if type(key) ~= "string" and math.type(key) ~= "integer" then
    error(("orrery.jump: 'key' must be a string or an integer (got %s)"):format(options.got(key)), 2)
  elseif math.type(buckets) ~= "integer" or buckets < 1 or buckets >= 1 << 32 then
    error(("orrery.jump: 'buckets' must be an integer of 1 to 2^32 - 1 (got %s)"):format(options.got(buckets)), 2)
  end
  return core.ring.jump(key, buckets)
end

return ring
