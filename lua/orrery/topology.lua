-- topology.lua - which pairs of nodes may talk: orrery.topology.
--
--     links = orrery.topology.ring() + orrery.topology.links{ { "a", "d", delay = 0.02 } }
--
-- A topology is a plain description (kind and figures); ids come in when it is asked. A pair is { a, b } with a before
-- b in the file's order, once, perhaps with the simulator's figures. Nothing is routed over a third node.
local options = require "orrery.options"
local behind = require "orrery.view".behind

local topology, methods = {}, {}
local meta = { __index = methods, __name = "orrery.topology" }

local function new(description)
  return setmetatable(description, meta)
end

-- -- What there is --------------------------------------------------------------------------------------------------
local function id_rule(required)
  return { "string", pattern = "^[a-z][a-z0-9_-]*$", max = 32, expected = "a node's id", required = required }
end
local link_spec = {
  id_rule(true), id_rule(true),
  delay = { "number", min = 0, max = 3600 }, loss = { "number", min = 0, max = 1 }, bandwidth = { "number", above = 0 },
}

local function checked(opts, spec, what)
  return (options.check(opts == nil and {} or opts, spec, "topology." .. what, 3))    -- no tail call: levels count
end

function topology.mesh(opts)
  checked(opts, {}, "mesh")
  return new { kind = "mesh" }
end

function topology.ring(opts)
  checked(opts, {}, "ring")
  return new { kind = "ring" }
end

function topology.line(opts)
  checked(opts, {}, "line")
  return new { kind = "line" }
end

function topology.star(opts)
  return new { kind = "star", center = checked(opts, { center = id_rule() }, "star").center }
end

function topology.tree(opts)
  local spec = { arity = { "integer", min = 1, max = 10000, default = 2 } }
  return new { kind = "tree", arity = checked(opts, spec, "tree").arity }
end

function topology.links(list)
  local each = { "table", expected = 'a link { "a", "b" }', fields = link_spec }
  local rule = { "table", expected = "an array of links", each = each }
  local out, problem = options.value(list, rule)
  if problem then error(options.message(problem, "topology.links"), 2) end
  for i, link in ipairs(out) do
    if link[1] == link[2] then
      error(("topology.links: '[%d]' must be two nodes (got %q twice)"):format(i, link[1]), 2)
    end
  end
  return new { kind = "links", given = out }
end

function meta.__add(a, b)
  for i, x in ipairs { a, b } do
    if getmetatable(behind(x)) ~= meta then
      error(("topology +: operand %d must be an orrery.topology (got %s)"):format(i, options.got(x)), 2)
    end
  end
  return new { kind = "join", behind(a), behind(b) }
end

-- -- The pairs ------------------------------------------------------------------------------------------------------
-- walkers.KIND(t, ids, emit): emit(i, j, figures) with indices into ids, in a defined order, i ~= j, repeats allowed.
local walkers = {}

function walkers.mesh(_, ids, emit)
  for i = 1, #ids do
    for j = i + 1, #ids do emit(i, j) end
  end
end

function walkers.line(_, ids, emit)
  for i = 1, #ids - 1 do emit(i, i + 1) end
end

function walkers.ring(t, ids, emit)
  walkers.line(t, ids, emit)
  if #ids > 2 then emit(1, #ids) end
end

function walkers.star(t, ids, emit, index)
  local center = t.center and index[t.center] or 1
  for i = 1, #ids do if i ~= center then emit(center, i) end end
end

function walkers.tree(t, ids, emit)
  for i = 2, #ids do emit((i - 2) // t.arity + 1, i) end
end

function walkers.links(t, _, emit, index)
  for _, link in ipairs(t.given) do emit(index[link[1]], index[link[2]], link) end
end

function walkers.join(t, ids, emit, index)
  walkers[t[1].kind](t[1], ids, emit, index)
  walkers[t[2].kind](t[2], ids, emit, index)
end

local function index_of(ids)
  local index = {}
  for i, id in ipairs(ids) do index[id] = i end
  return index
end

-- All pairs among ids: { a, b, delay =, loss =, bandwidth = }; of a pair named twice the later figures count.
function methods:list(ids)
  local out, seen = {}, {}
  walkers[self.kind](self, ids, function(i, j, figures)
    if i > j then i, j = j, i end
    local key = (i - 1) * #ids + j
    local pair = seen[key]
    if not pair then
      pair = { ids[i], ids[j] }
      seen[key], out[#out + 1] = pair, pair
    end
    for _, figure in ipairs { "delay", "loss", "bandwidth" } do
      if figures and figures[figure] then pair[figure] = figures[figure] end
    end
  end, index_of(ids))
  return out
end

local function has_mesh(t)
  return t.kind == "mesh" or t.kind == "join" and (has_mesh(t[1]) or has_mesh(t[2]))
end

-- Sorted ids of those that `id` has a link to. (A mesh of 10,000 has 50 million pairs: they are not listed for this.)
function methods:peers(ids, id)
  local set, out = {}, {}
  if has_mesh(self) then
    for _, other in ipairs(ids) do set[other] = true end
  else
    for _, pair in ipairs(self:list(ids)) do
      if pair[1] == id then set[pair[2]] = true elseif pair[2] == id then set[pair[1]] = true end
    end
  end
  set[id] = nil
  for other in pairs(set) do out[#out + 1] = other end
  table.sort(out)
  return out
end

-- The ids that the description itself names.
function methods:named()
  local out = {}
  if self.kind == "join" then
    for _, part in ipairs(self) do table.move(part:named(), 1, #part:named(), #out + 1, out) end
  elseif self.kind == "links" then
    for _, link in ipairs(self.given) do table.move(link, 1, 2, #out + 1, out) end
  elseif self.center then
    out[1] = self.center
  end
  return out
end

-- The links between these nodes alone, of all `ids`; nil where the description would link them otherwise: a ring of
-- fewer nodes has a link that it hadn't.
function methods:among(ids, kept)
  local part, there = self:restricted(kept), {}
  if has_mesh(self) then return part end
  local function key(pair)
    return ("%s %s %s %s %s"):format(pair[1], pair[2], pair.delay, pair.loss, pair.bandwidth)
  end
  local n = 0
  local is_kept = index_of(kept)
  for _, pair in ipairs(self:list(ids)) do
    if is_kept[pair[1]] and is_kept[pair[2]] then there[key(pair)], n = true, n + 1 end
  end
  for _, pair in ipairs(part and part:list(kept) or {}) do
    if not there[key(pair)] then return nil end
    n = n - 1
  end
  return n == 0 and part or nil
end

-- The same description of these nodes alone: what it names of others is left out; nil: it can't be.
function methods:restricted(kept)
  local is_kept = index_of(kept)
  if self.kind == "join" then
    local a, b = self[1]:restricted(kept), self[2]:restricted(kept)
    return a and b and new { kind = "join", a, b }
  elseif self.kind == "links" then
    local given = {}
    for _, link in ipairs(self.given) do
      if is_kept[link[1]] and is_kept[link[2]] then given[#given + 1] = link end
    end
    return new { kind = "links", given = given }
  elseif self.center and not is_kept[self.center] then
    return nil
  end
  return self
end

-- -- Drawing --------------------------------------------------------------------------------------------------------
local function title(t)
  if t.kind == "join" then return title(t[1]) .. " + " .. title(t[2]) end
  if t.kind == "star" then return t.center and ("star{ center = %q }"):format(t.center) or "star()" end
  if t.kind == "tree" then return ("tree{ arity = %d }"):format(t.arity) end
  return t.kind == "links" and ("links of %d"):format(#t.given) or t.kind .. "()"
end

-- A matrix of `ids`: o a link, . itself, blank none. Beyond 40 nodes it would be no picture, only the title is given.
function methods:draw(ids)
  if #ids > 40 then return title(self) end
  local width = 1
  for _, id in ipairs(ids) do width = math.max(width, #id) end
  local linked = {}
  for _, pair in ipairs(self:list(ids)) do
    linked[pair[1] .. " " .. pair[2]], linked[pair[2] .. " " .. pair[1]] = true, true
  end
  local function row(head, cell)
    local cells = { ("%-" .. width .. "s"):format(head) }
    for _, id in ipairs(ids) do cells[#cells + 1] = ("%-" .. width .. "s"):format(cell(id)) end
    return "  " .. table.concat(cells, " "):gsub(" +$", "")
  end
  local rows = { title(self), row("", function(id) return id end) }
  for _, a in ipairs(ids) do
    rows[#rows + 1] = row(a, function(b) return a == b and "." or linked[a .. " " .. b] and "o" or " " end)
  end
  return table.concat(rows, "\n")
end

-- With the ids that it names, or five examples.
function meta:__tostring()
  local ids, seen = {}, {}
  for _, id in ipairs(self:named()) do
    if not seen[id] then seen[id], ids[#ids + 1] = true, id end
  end
  local example = { "a", "b", "c", "d", "e" }
  for _, id in ipairs(example) do
    if #ids < 5 and not seen[id] and self.kind ~= "links" then ids[#ids + 1] = id end
  end
  table.sort(ids)
  return self:draw(ids)
end

-- -- As plain data --------------------------------------------------------------------------------------------------
function topology.is(v)
  return getmetatable(behind(v)) == meta
end

-- A description that came as plain data (show.literal) becomes a topology again.
function topology.revive(plain)
  if plain.kind == "join" then plain = { kind = "join", topology.revive(plain[1]), topology.revive(plain[2]) } end
  return new(plain)
end

return topology
