-- mesh.lua - orrery.mesh{...}: what measured offsets of clocks say together, by hand; and any such graph as text.
--
-- core.mesh (bindings/orrb_mesh.c) counts nodes; here they have names. Integers in ns, as bare clocks count; a node's
-- own graph (node.clock:graph) is in seconds.
local core = require "orrery.core"
local options = require "orrery.options"

local mesh = {}

local what = "orrery.mesh"
local nodes_most, edges_most, far, sd_most = 64, 4096, 1 << 61, 1 << 40

local function a_node(v)
  if type(v) == "string" and v ~= "" then return v end
  if math.type(v) == "integer" then return v end
  return nil, "a name, or an integer"
end

local edge_spec = {
  from = { a_node, required = true }, to = { a_node, required = true },
  offset = { "integer", min = -far, max = far, required = true },
  sd = { "integer", min = 1, max = sd_most, required = true },
  age = { "integer", min = 0, max = far, default = 0 },
}
local spec = {
  edges = { "table", each = { "table", fields = edge_spec }, required = true },
  anchor = { a_node },
  max_drift = { "integer", min = 0, max = 1000000, default = 1000 },
  max_age = { "integer", min = 0, default = math.maxinteger },
}

-- -- As text --------------------------------------------------------------------------------------------------------
local scales = { { 1, "s" }, { 1e-3, "ms" }, { 1e-6, "us" }, { 1e-9, "ns" } }
local function span(seconds)
  for _, scale in ipairs(scales) do
    if seconds >= scale[1] or scale[1] == 1e-9 then return ("%.4g %s"):format(seconds / scale[1], scale[2]) end
  end
end
local function signed(seconds)
  return (seconds < 0 and "-" or "+") .. span(math.abs(seconds))
end

local function sorted(t)
  local names = {}
  for name in pairs(t) do names[#names + 1] = name end
  table.sort(names, function(a, b)
    if math.type(a) ~= math.type(b) then return math.type(a) ~= nil end
    return a < b
  end)
  return names
end

-- How much longer one way is than the other: "a -> b takes 5 ms longer than the way back".
local function longer(link, unit)
  local by, from, to = 2 * link.residual * unit, link.from, link.to
  if by < 0 then from, to = to, from end
  return ("%s -> %s takes %s longer than the way back"):format(from, to, span(math.abs(by)))
end

local function clocks(self, unit, add)
  add(("clocks against %s's:"):format(self.anchor))
  for _, name in ipairs(sorted(self.nodes)) do
    local n = self.nodes[name]
    if name ~= self.anchor then add(("  %s  %s +- %s"):format(name, signed(n.offset * unit), span(n.sd * unit))) end
  end
end

local function suspects(self, unit, add)
  local list = {}
  for _, link in ipairs(self.links) do
    if link.verdict == "suspect" then list[#list + 1] = longer(link, unit) end
  end
  if #list == 0 then return end
  add("one of these is asymmetric, and nobody can say which:")
  for _, text in ipairs(list) do add("  or " .. text) end
end

local function judge(self, unit, add)
  local named, checked, worst, suspected = 0, 0, 0, false
  for _, link in ipairs(self.links) do
    if link.verdict == "cut" then
      named = named + 1
      add(("%s: asymmetric, and left out"):format(longer(link, unit)))
    elseif link.checked then
      checked, worst = checked + 1, math.max(worst, math.abs(link.residual))
      suspected = suspected or link.verdict == "suspect"
    end
  end
  suspects(self, unit, add)
  local loose = #self.links - checked - named
  if checked > 0 and not suspected then
    add(("%d link%s: none is seen to be asymmetric, up to %s"):format(checked, checked == 1 and "" or "s",
      span(2 * worst * unit)))
  end
  if loose > 0 then
    add(("%d link%s: no loop of links in use has %s, so nothing can be known of %s asymmetry"):format(loose,
      loose == 1 and "" or "s", loose == 1 and "it" or "them", loose == 1 and "its" or "their"))
  end
  if #self.links == 0 then add("no link was measured of late") end
end

local function text(self, unit)
  local lines = {}
  local function add(line) lines[#lines + 1] = line end
  clocks(self, unit, add)
  judge(self, unit, add)
  return table.concat(lines, "\n")
end

local in_seconds = { __name = "orrery.mesh", __metatable = false, __tostring = function(self) return text(self, 1) end }
local in_ns = { __name = "orrery.mesh", __metatable = false, __tostring = function(self) return text(self, 1e-9) end }

-- The graph of a node's own mesh, in seconds, which is shown as text from now on.
function mesh.show_as_text(graph) return setmetatable(graph, in_seconds) end

-- -- By hand --------------------------------------------------------------------------------------------------------
-- Names in the order in which they come, and their numbers.
local function number_nodes(edges)
  local names, numbers = {}, {}
  for _, e in ipairs(edges) do
    for _, name in ipairs { e.from, e.to } do
      if not numbers[name] then
        names[#names + 1] = name
        numbers[name] = #names
      end
    end
  end
  return names, numbers
end

local function check_edges(edges)
  if #edges < 1 or #edges > edges_most then
    error(("%s: 'edges' must be an array of 1 to %d edges (got %d)"):format(what, edges_most, #edges), 3)
  end
  for i, e in ipairs(edges) do
    if e.from == e.to then
      error(("%s: 'edges[%d].to' must be another node than 'from' (got %s)"):format(what, i, options.got(e.to)), 3)
    end
  end
end

function mesh.new(given)
  local o = options.check(given or {}, spec, what)
  check_edges(o.edges)
  local names, numbers = number_nodes(o.edges)
  if #names > nodes_most then
    error(("%s: 'edges' must be of at most %d nodes (got %d)"):format(what, nodes_most, #names), 2)
  end
  local anchor = o.anchor == nil and names[1] or o.anchor
  if not numbers[anchor] then
    error(("%s: 'anchor' must be a node of the edges (got %s)"):format(what, options.got(anchor)), 2)
  end
  local flat = {}
  for i, e in ipairs(o.edges) do flat[i] = { numbers[e.from], numbers[e.to], e.offset, e.sd, e.age } end
  local links, nodes = core.mesh.solve(#names, numbers[anchor], o.max_drift, o.max_age, flat)
  local graph = { anchor = anchor, nodes = {}, links = links }
  for i, name in ipairs(names) do graph.nodes[name] = nodes[i] or nil end
  for i, e in ipairs(o.edges) do links[i].from, links[i].to, links[i].offset = e.from, e.to, e.offset end
  return setmetatable(graph, in_ns)
end

return mesh
