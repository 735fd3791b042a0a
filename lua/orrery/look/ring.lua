-- ring.lua - ring:diagram(): the circle of a hash ring with its owners, in the terminal or as SVG.
--
-- Place 0 is on top, and places grow clockwise. A node's 160 points are spread all over the circle, so in the terminal
-- each sign stands for a part of it, and says who owns most of that; the picture has every range. Beside it: shares.
local core = require "orrery.core"
local svg = require "orrery.look.svg"

local ring = {}

local letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
local rows_up, bar = 7, 24              -- the circle's radius in lines; the greatest share's columns
local ranges_most = 4000                -- in the picture: of more it has as many parts of the same size

-- -- What there is --------------------------------------------------------------------------------------------------
local function fraction(place) return (place >> 11) / (1 << 53) end

-- An id that isn't one of the ring's: a ring of it alone differs everywhere.
local function stranger(nodes)
  local there, id = {}, "\1"
  for _, node in ipairs(nodes) do there[node.id] = true end
  while there[id] do id = id .. "\1" end
  return id
end

-- The ranges in the order of the circle: { id, from, till }, in parts of the whole.
local function ranges_of(object, nodes)
  local list, of = {}, nodes.of or nodes
  local other = core.ring.make(nil, { { id = stranger(nodes), zone = "" } }, of.vnodes, of.hash)
  for i, move in ipairs(other:diff(object)) do
    list[i] = { id = move.after, from = fraction(move.from), till = fraction(move.to) + 2^-53 }
  end
  return list
end

-- n parts of the same size: for each { id, from, till }, the id that has most of it; of equals the first of the circle.
local function sampled(ranges, n)
  local parts, at = {}, 1
  for k = 1, n do
    local from, till, sums, best = (k - 1) / n, k / n, {}, nil
    while ranges[at + 1] and ranges[at].till <= from do at = at + 1 end
    local i = at
    while ranges[i] and ranges[i].from < till do
      local r = ranges[i]
      sums[r.id] = (sums[r.id] or 0) + math.min(r.till, till) - math.max(r.from, from)
      if not best or sums[r.id] > sums[best] then best = r.id end
      i = i + 1
    end
    parts[k] = { id = best or ranges[#ranges].id, from = from, till = till }
  end
  return parts
end

-- The nodes by their ids: { id, weight, zone, share, ranges }, how many of them; and the ranges.
local function facts_of(object)
  local given, share = core.ring.made_of(object), object:share()
  local nodes, by_id = {}, {}
  for i, node in ipairs(given) do
    nodes[i] = { id = node.id, weight = node.weight or 1, zone = node.zone or "", share = share[node.id], ranges = 0 }
    by_id[node.id] = nodes[i]
  end
  table.sort(nodes, function(a, b) return a.id < b.id end)
  local ranges = ranges_of(object, given)
  for _, r in ipairs(ranges) do by_id[r.id].ranges = by_id[r.id].ranges + 1 end
  return nodes, ranges, by_id
end

local function percent(x) return ("%.1f %%"):format(100 * x) end

-- The zones that were given, in order, each with its share.
local function zones_of(nodes)
  local list, by_zone = {}, {}
  for _, node in ipairs(nodes) do
    if node.zone ~= "" and not by_zone[node.zone] then
      by_zone[node.zone] = { zone = node.zone, share = 0, nodes = 0 }
      list[#list + 1] = by_zone[node.zone]
    end
    local zone = by_zone[node.zone]
    if zone then zone.share, zone.nodes = zone.share + node.share, zone.nodes + 1 end
  end
  table.sort(list, function(a, b) return a.zone < b.zone end)
  return list
end

local function many(n, what) return ("%d %s%s"):format(n, what, n == 1 and "" or "s") end

-- -- In the terminal ------------------------------------------------------------------------------------------------
local function circle(lines, ranges, letter_of)
  local cells, n = {}, 8 * rows_up
  for k, part in ipairs(sampled(ranges, n)) do
    local angle = 2 * math.pi * (k - 0.5) / n
    local row = rows_up - math.floor(rows_up * math.cos(angle) + 0.5)
    local column = 2 * rows_up + math.floor(2 * rows_up * math.sin(angle) + 0.5)
    cells[row] = cells[row] or {}
    cells[row][column] = letter_of[part.id]
  end
  for row = 0, 2 * rows_up do
    local signs = {}
    for column = 0, 4 * rows_up do signs[#signs + 1] = (cells[row] or {})[column] or " " end
    lines[#lines + 1] = "  " .. table.concat(signs):gsub(" +$", "")
  end
end

local function in_text(nodes, ranges, title)
  local lines = { ("%s: %s, %s"):format(title, many(#nodes, "node"), many(#ranges, "range")) }
  local letter_of, width, zone_width, most = {}, 1, 0, 0
  for i, node in ipairs(nodes) do
    letter_of[node.id] = i <= #letters and letters:sub(i, i) or "*"
    width, zone_width, most = math.max(width, #node.id), math.max(zone_width, #node.zone), math.max(most, node.share)
  end
  circle(lines, ranges, letter_of)
  for _, node in ipairs(nodes) do
    local full = math.floor(node.share / most * bar * 2 + 0.5)
    local line = ("  %s  %-" .. width .. "s  %7s  %s%s"):format(letter_of[node.id], node.id, percent(node.share),
      ("█"):rep(full // 2), full % 2 == 1 and "▌" or "")
    if zone_width > 0 or node.weight ~= 1 then
      line = line .. (" "):rep(bar - (full + 1) // 2) .. ("  %-" .. zone_width .. "s"):format(node.zone)
      if node.weight ~= 1 then line = ("%s  weight %g"):format(line, node.weight) end
    end
    lines[#lines + 1] = line:gsub(" +$", "")
  end
  for _, zone in ipairs(zones_of(nodes)) do
    lines[#lines + 1] = ("  %s: %s, %s"):format(zone.zone, many(zone.nodes, "node"), percent(zone.share))
  end
  return table.concat(lines, "\n")
end

-- -- As SVG ---------------------------------------------------------------------------------------------------------
local centre, outer, inner, zone_inner, legend, row_height = 250, 200, 150, 136, 480, 20

-- The i-th colour: hues that are far from each other, by the golden angle.
local function colour(i, lightness, saturation)
  local h, s, l = (i * 137.508 % 360) / 60, saturation, lightness
  local c = (1 - math.abs(2 * l - 1)) * s
  local x, m = c * (1 - math.abs(h % 2 - 1)), l - c / 2
  local rgb = ({ { c, x, 0 }, { x, c, 0 }, { 0, c, x }, { 0, x, c }, { x, 0, c }, { c, 0, x } })[h // 1 + 1]
  for k = 1, 3 do rgb[k] = math.floor((rgb[k] + m) * 255 + 0.5) end
  return ("#%02x%02x%02x"):format(rgb[1], rgb[2], rgb[3])
end

local function point(at, radius)
  local angle = 2 * math.pi * at
  return ("%s %s"):format(svg.n(centre + radius * math.sin(angle)), svg.n(centre + 20 - radius * math.cos(angle)))
end

-- A piece of the circle between two radii.
local function piece(r, high, low)
  local large, middle = r.till - r.from > 0.5 and 1 or 0, (r.from + r.till) / 2
  if r.till - r.from > 0.999 then         -- the whole: an arc that ends where it begins would be none
    return ("M%sA%d %d 0 1 1 %sA%d %d 0 1 1 %sZM%sA%d %d 0 1 0 %sA%d %d 0 1 0 %sZ"):format(point(r.from, high), high,
      high, point(middle, high), high, high, point(r.from, high), point(r.from, low), low, low, point(middle, low),
      low, low, point(r.from, low))
  end
  return ("M%sA%d %d 0 %d 1 %sL%sA%d %d 0 %d 0 %sZ"):format(point(r.from, high), high, high, large,
    point(r.till, high), point(r.till, low), low, low, large, point(r.from, low))
end

-- Neighbours of one kind, as one.
local function joined(ranges, kind_of)
  local list = {}
  for _, r in ipairs(ranges) do
    local kind, last = kind_of(r), list[#list]
    if last and last.kind == kind and last.till >= r.from - 1e-12 then last.till = r.till
    else list[#list + 1] = { kind = kind, from = r.from, till = r.till } end
  end
  return list
end

local function draw_circle(parts, ranges, by_id, zones)
  for _, r in ipairs(ranges) do
    local node = by_id[r.id]
    parts[#parts + 1] = svg.tag("path", { "d", piece(r, outer, inner), "fill", node.colour },
      svg.title(("%s: %.4f %% from %.4f %% on"):format(r.id, 100 * (r.till - r.from), 100 * r.from)))
  end
  if #zones == 0 then return end
  for _, r in ipairs(joined(ranges, function(r) return by_id[r.id].zone end)) do
    if zones[r.kind] then
      parts[#parts + 1] = svg.tag("path", { "d", piece(r, inner - 3, zone_inner), "fill", zones[r.kind].colour },
        svg.title("zone " .. r.kind))
    end
  end
end

local function text_at(parts, x, y, class, text, anchor)
  parts[#parts + 1] = svg.tag("text", { "x", x, "y", y, "class", class, "text-anchor", anchor or "start" },
    svg.text(text))
end

local function draw_legend(parts, nodes, zones)
  local y, most = 70, 0
  for _, node in ipairs(nodes) do most = math.max(most, node.share) end
  for _, node in ipairs(nodes) do
    parts[#parts + 1] = svg.tag("rect", { "x", legend, "y", y - 10, "width", 12, "height", 12, "rx", 2, "fill",
      node.colour })
    text_at(parts, legend + 20, y, "", node.id)
    text_at(parts, legend + 170, y, "", percent(node.share), "end")
    parts[#parts + 1] = svg.tag("rect", { "x", legend + 180, "y", y - 9, "width", math.max(1, 120 * node.share / most),
      "height", 10, "fill", node.colour }, svg.title(node.id .. ": " .. many(node.ranges, "range")))
    local more = node.zone
    if node.weight ~= 1 then more = ("%s%sweight %g"):format(more, more == "" and "" or ", ", node.weight) end
    text_at(parts, legend + 310, y, "small", more)
    y = y + row_height
  end
  for _, zone in ipairs(zones) do
    y = y + row_height
    parts[#parts + 1] = svg.tag("rect", { "x", legend, "y", y - 10, "width", 12, "height", 6, "fill", zone.colour })
    text_at(parts, legend + 20, y, "", ("%s: %s, %s"):format(zone.zone, many(zone.nodes, "node"), percent(zone.share)))
  end
  return y
end

local function in_svg(nodes, ranges, by_id, title)
  local zones, parts = zones_of(nodes), {}
  for i, node in ipairs(nodes) do node.colour = colour(i - 1, i % 2 == 0 and 0.42 or 0.55, 0.6) end
  for i, zone in ipairs(zones) do
    zones[zone.zone], zone.colour = zone, colour(i, 0.6, 0.12)
  end
  text_at(parts, 24, 28, "head", title)
  draw_circle(parts, #ranges > ranges_most and sampled(ranges, ranges_most) or ranges, by_id, zones)
  text_at(parts, centre, centre + 16, "head", many(#nodes, "node"), "middle")
  text_at(parts, centre, centre + 34, "small", many(#ranges, "range"), "middle")
  local y = draw_legend(parts, nodes, zones)
  return svg.page(legend + 440, math.max(2 * centre + 20, y + 30), title, parts, "", "")
end

-- -- The whole ------------------------------------------------------------------------------------------------------
local Drawing = { __name = "orrery.ring_diagram", __metatable = false }
function Drawing.__tostring(self) return self.text end

-- Of a ring of core.ring's: what is its text; with a path true, and the picture is in that file; nil, message, code.
-- level: where a path is complained of, as error's.
function ring.diagram(object, path, title, level)
  if path ~= nil then svg.check_path(path, "ring:diagram", level + 1) end
  local nodes, ranges, by_id = facts_of(object)
  if path then return svg.write(path, in_svg(nodes, ranges, by_id, title)) end
  return setmetatable({ text = in_text(nodes, ranges, title) }, Drawing)
end

-- ring:diagram(path)
function core.ring.methods.diagram(object, path)
  core.ring.made_of(object)                     -- complains where it is none
  return (function(...) return ... end)(ring.diagram(object, path, "orrery.ring", 2))
end

return ring
