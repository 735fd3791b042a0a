-- ring_nodes.lua - the nodes of rings and placements as scripts give them: what they may be, and nodes that come
-- and go.
local options = require "orrery.options"

local members = {}
members.limits = { id = 255, weight = 1000, points = 1 << 24, nodes = 16384 }
local limits = members.limits

-- What weights may be, by the ring's hash: other programs' are whole numbers.
members.whole = { "integer", min = 1, max = limits.weight }
members.any = { "number", above = 0, max = limits.weight }
members.one = { "integer", min = 1, max = 1 }
local megabytes = { "integer", min = 1, max = (1 << 32) - 1 }
members.by_hash = {
  xxh3 = members.any, ketama = megabytes, ["ketama-unweighted"] = members.one, libketama = megabytes,
  nginx = members.whole,
}

-- What rings and placements have in common.
members.spec = {
  nodes = { "table", required = true, expected = "an array of ids or of { id =, weight =, zone = }" },
  vnodes = { "integer", min = 1, max = limits.points, default = 160 },
  hash = { "choice", of = { "xxh3", "ketama", "ketama-unweighted", "libketama", "nginx" }, default = "xxh3" },
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

-- The nodes of checked options. To be called by what the script calls, as `vnodes` is.
function members.nodes(checked, weight, what)
  local nodes = {}
  for i, node in ipairs(checked.nodes) do nodes[i] = check_node(node, weight, ("%s: nodes[%d]"):format(what, i), 3) end
  return nodes
end

function members.vnodes(checked, what)
  if checked.hash == "xxh3" or checked.vnodes == members.spec.vnodes.default then return end
  error(("%s: 'vnodes' can't be chosen with hash = %q, which has its own (got %d)"):format(what, checked.hash,
    checked.vnodes), 3)
end

-- `kind`: { name = "orrery.ring", noun = "a ring", core = core.ring, weight = function(of) -> rule,
-- make = function(object, nodes, of) -> object or nil, its nodes' wrong one, refuse = function(nodes, of) -> text }.
-- Makes `object` (nil: a new one) of these nodes. Called last but one: level 3 is the script's line.
function members.make(kind, object, nodes, of, what)
  if #nodes == 0 then error(("%s: %s has at least one node"):format(what, kind.noun), 3) end
  if #nodes > limits.nodes then error(("%s: %d nodes at most (got %d)"):format(what, limits.nodes, #nodes), 3) end
  local made, wrong = kind.make(object, nodes, of)
  if made then
    nodes.of = of
    return made
  elseif wrong then
    error(("%s: %s is there twice%s"):format(what, options.got(nodes[wrong].id),
      of.hash == "xxh3" and "" or (" (as one server to hash = %q)"):format(of.hash)), 3)
  end
  error(("%s: %s"):format(what, kind.refuse(nodes, of)), 3)
end

local function parts(kind, object)
  local was = kind.core.made_of(object)
  return table.move(was, 1, #was, 1, {}), was.of
end

-- add, remove and copy: the object with one more node, or one less, as if it had been made so; another one.
function members.methods(kind)
  local methods, name = kind.core.methods, kind.name

  function methods.add(object, given)
    local nodes, of = parts(kind, object)
    nodes[#nodes + 1] = check_node(given, kind.weight(of), name .. ":add", 2)
    return (members.make(kind, object, nodes, of, name .. ":add"))
  end

  function methods.remove(object, id)
    local nodes, of = parts(kind, object)
    local ids = {}
    for i, node in ipairs(nodes) do
      ids[i] = node.id
      if node.id == id then
        table.remove(nodes, i)
        return (members.make(kind, object, nodes, of, name .. ":remove"))
      end
    end
    error(("%s:remove: it has no node %s%s"):format(name, options.got(id), options.hint(id, ids)), 2)
  end

  function methods.copy(object)
    local nodes, of = parts(kind, object)
    return (members.make(kind, nil, nodes, of, name .. ":copy"))
  end
end

return members
