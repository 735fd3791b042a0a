-- ring.lua - orrery.ring{...}: a hash ring (orrery/ring.h) by hand. Checks what is given; the object is core.ring's
-- (bindings/orrb_ring.c), and its look-ups are C.
local core = require "orrery.core"
local options = require "orrery.options"

local ring = {}
local limits = { id = 255, weight = 1000, points = 1 << 24, nodes = 16384 }

-- Weights, and so nodes, by hash: other programs' are whole numbers.
local whole = { "integer", min = 1, max = limits.weight }
local megabytes = { "integer", min = 1, max = (1 << 32) - 1 }
local weights = {
  xxh3 = { "number", above = 0, max = limits.weight },
  ketama = megabytes, libketama = megabytes, nginx = whole,
  ["ketama-unweighted"] = { "integer", min = 1, max = 1 },
}
local hashes = { "xxh3", "ketama", "ketama-unweighted", "libketama", "nginx" }
local spec = {
  nodes = { "table", required = true, expected = "an array of ids or of { id =, weight =, zone = }" },
  vnodes = { "integer", min = 1, max = limits.points, default = 160 },
  hash = { "choice", of = hashes, default = "xxh3" },
}

local function check_node(given, weight, what, level)
  if type(given) == "string" then given = { id = given } end
  local rules = { id = { "string", required = true }, weight = weight, zone = { "string", default = "" } }
  local node = options.check(given, rules, what, level + 1)
  if node.id == "" or #node.id > limits.id or node.id:find "\0" then
    error(("%s: 'id' must be 1 to %d bytes, none of them zero (got %s)"):format(what, limits.id,
      options.got(node.id)), level + 1)
  end
  return node
end

-- Makes `object` (nil: a new one) a ring of these nodes. Called last but one: level 3 is the script's line.
local function make(object, nodes, of, what)
  if #nodes == 0 then error(what .. ": a ring has at least one node", 3) end
  if #nodes > limits.nodes then error(("%s: %d nodes at most (got %d)"):format(what, limits.nodes, #nodes), 3) end
  local made, wrong = core.ring.make(object, nodes, of.vnodes, of.hash)
  if made then
    nodes.vnodes, nodes.hash = of.vnodes, of.hash
    return made
  elseif wrong then
    error(("%s: %s is there twice%s"):format(what, options.got(nodes[wrong].id),
      of.hash == "xxh3" and "" or (" (as one server to hash = %q)"):format(of.hash)), 3)
  end
  error(("%s: too many points, vnodes times all weights must be at most %d"):format(what, limits.points), 3)
end

function ring.new(given)
  local what = "orrery.ring"
  local checked = options.check(given or {}, spec, what)
  if checked.hash ~= "xxh3" and checked.vnodes ~= spec.vnodes.default then
    error(("%s: 'vnodes' can't be chosen with hash = %q, which has its own (got %d)"):format(what, checked.hash,
      checked.vnodes), 2)
  end
  local nodes = {}
  for i, node in ipairs(checked.nodes) do
    nodes[i] = check_node(node, weights[checked.hash], ("%s: nodes[%d]"):format(what, i), 2)
  end
  return (make(nil, nodes, checked, what))
end

local methods = core.ring.methods
local function parts(object)
  local was = core.ring.made_of(object)
  return table.move(was, 1, #was, 1, {}), was
end

-- The ring with one more node: the same object, which owns keys as if it had been made so.
function methods.add(object, given)
  local nodes, was = parts(object)
  nodes[#nodes + 1] = check_node(given, weights[was.hash], "orrery.ring:add", 2)
  return (make(object, nodes, was, "orrery.ring:add"))
end

function methods.remove(object, id)
  local nodes, was = parts(object)
  for i, node in ipairs(nodes) do
    if node.id == id then
      table.remove(nodes, i)
      return (make(object, nodes, was, "orrery.ring:remove"))
    end
  end
  local ids = {}
  for i, node in ipairs(nodes) do ids[i] = node.id end
  error(("orrery.ring:remove: it has no node %s%s"):format(options.got(id), options.hint(id, ids)), 2)
end

-- Another one of the same nodes.
function methods.copy(object)
  local nodes, was = parts(object)
  return (make(nil, nodes, was, "orrery.ring:copy"))
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
