-- ring.lua - orrery.ring{...}: a hash ring (orrery/ring.h) by hand. Checks what is given; the object is core.ring's
-- (bindings/orrb_ring.c), and its look-ups are C.
local core = require "orrery.core"
local later = require "orrery.later"
local options = require "orrery.options"

local ring = {}
local limits = { id = 255, weight = 1000, points = 1 << 24, nodes = 16384 }

local hashes_later = { ketama = true, nginx = true }
local node_spec = {
  id = { "string", required = true },
  weight = { "number", above = 0, max = limits.weight },
  zone = { "string", default = "" },
}
local spec = {
  nodes = { "table", required = true, expected = "an array of ids or of { id =, weight =, zone = }" },
  vnodes = { "integer", min = 1, max = limits.points, default = 160 },
  hash = { "choice", of = { "xxh3" }, default = "xxh3" },
}

local function check_node(given, what, level)
  if type(given) == "string" then given = { id = given } end
  local node = options.check(given, node_spec, what, level + 1)
  if node.id == "" or #node.id > limits.id or node.id:find "\0" then
    error(("%s: 'id' must be 1 to %d bytes, none of them zero (got %s)"):format(what, limits.id,
      options.got(node.id)), level + 1)
  end
  return node
end

-- Makes `object` (nil: a new one) a ring of these nodes. Called last but one: level 3 is the script's line.
local function make(object, nodes, vnodes, what)
  if #nodes == 0 then error(what .. ": a ring has at least one node", 3) end
  if #nodes > limits.nodes then error(("%s: %d nodes at most (got %d)"):format(what, limits.nodes, #nodes), 3) end
  local made, wrong = core.ring.make(object, nodes, vnodes)
  if made then
    nodes.vnodes = vnodes
    return made
  elseif wrong then
    error(("%s: %s is there twice"):format(what, options.got(nodes[wrong].id)), 3)
  end
  error(("%s: too many points, vnodes times all weights must be at most %d"):format(what, limits.points), 3)
end

function ring.new(given)
  local what = "orrery.ring"
  if type(given) == "table" and hashes_later[given.hash] then
    error(("%s: hash = %q is not available in this version of Orrery (%s)"):format(what, given.hash, later.version), 2)
  end
  local checked = options.check(given or {}, spec, what)
  local nodes = {}
  for i, node in ipairs(checked.nodes) do nodes[i] = check_node(node, ("%s: nodes[%d]"):format(what, i), 2) end
  return (make(nil, nodes, checked.vnodes, what))
end

local methods = core.ring.methods
local function parts(object)
  local was = core.ring.made_of(object)
  return table.move(was, 1, #was, 1, {}), was.vnodes
end

-- The ring with one more node: the same object, which owns keys as if it had been made so.
function methods.add(object, given)
  local nodes, vnodes = parts(object)
  nodes[#nodes + 1] = check_node(given, "orrery.ring:add", 2)
  return (make(object, nodes, vnodes, "orrery.ring:add"))
end

function methods.remove(object, id)
  local nodes, vnodes = parts(object)
  for i, node in ipairs(nodes) do
    if node.id == id then
      table.remove(nodes, i)
      return (make(object, nodes, vnodes, "orrery.ring:remove"))
    end
  end
  local ids = {}
  for i, node in ipairs(nodes) do ids[i] = node.id end
  error(("orrery.ring:remove: it has no node %s%s"):format(options.got(id), options.hint(id, ids)), 2)
end

-- Another one of the same nodes.
function methods.copy(object)
  local nodes, vnodes = parts(object)
  return (make(nil, nodes, vnodes, "orrery.ring:copy"))
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
