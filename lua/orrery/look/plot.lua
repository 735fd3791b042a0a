-- plot.lua - plot("term", "commit", "lag"): figures of a group over time, in the terminal or as SVG; of a simulation
-- (sim:plot) and of a live cluster (live.lua).
--
-- A source is what is drawn: { what = "sim:plot", title, ids, now = ns, groups = names, downs = { a = intervals },
-- steps(field, group) -> { a = { { at = ns, value }, ... } } } for term, commit and applied.
--
-- Each figure is a chart (chart.lua) in which all nodes are drawn; in the terminal what each has at the end stands
-- beside it. A node that is down has no figure.
local chart = require "orrery.look.chart"
local facts = require "orrery.look.facts"
local faults = require "orrery.faults"
local options = require "orrery.options"
local svg = require "orrery.look.svg"

local plot = {}
local ns = 1000000000
local figures = { term = true, commit = true, applied = true, lag = true }

-- -- Figures --------------------------------------------------------------------------------------------------------
-- A function that gives the value at times that only grow.
local function follower(list, downs)
  local i, d = 0, 1
  return function(at)
    while list[i + 1] and list[i + 1].at <= at do i = i + 1 end
    while downs[d] and downs[d].till and downs[d].till <= at do d = d + 1 end
    local down = downs[d] and downs[d].at <= at and downs[d]
    if down or i == 0 or d > 1 and list[i].at < downs[d - 1].at then return nil end
    return list[i].value
  end
end

-- { a = { value or false, ... } }, at these times.
local function sampled(source, field, group, times)
  local out, list = {}, source.steps(field, group)
  for _, id in ipairs(source.ids) do
    local value_at, values = follower(list[id] or {}, source.downs[id] or {}), {}
    for k, at in ipairs(times) do values[k] = value_at(at) or false end
    out[id] = values
  end
  return out
end

local read = {}
function read.term(source, group, times) return sampled(source, "term", group, times) end
function read.commit(source, group, times) return sampled(source, "commit", group, times) end
function read.applied(source, group, times) return sampled(source, "applied", group, times) end
-- How far a replica's state is behind what anybody knows to be committed.
function read.lag(source, group, times)
  local commits, out, most = read.commit(source, group, times), read.applied(source, group, times), {}
  for k = 1, #times do
    most[k] = most[k - 1] or 0
    for _, id in ipairs(source.ids) do most[k] = math.max(most[k], commits[id][k] or 0) end
  end
  for _, id in ipairs(source.ids) do
    for k = 1, #times do out[id][k] = out[id][k] and math.max(0, most[k] - out[id][k]) end
  end
  return out
end

local function range(source, values)
  local low, high
  for _, id in ipairs(source.ids) do
    for _, v in ipairs(values[id]) do
      if v then low, high = math.min(low or v, v), math.max(high or v, v) end
    end
  end
  low, high = low or 0, high or 1
  return low, high > low and high or low + 1
end

-- -- In the terminal ------------------------------------------------------------------------------------------------
local function in_dots(source, name, values, width)
  local low, high = range(source, values)
  local cells, lasts = {}, {}
  for _, id in ipairs(source.ids) do
    local before
    for k, v in ipairs(values[id]) do
      if v then
        local y = chart.row(v, low, high)
        for at = math.min(y, before or y), math.max(y, before or y) do chart.dot(cells, k - 1, at, width) end
        before = y
      else
        before = nil
      end
    end
    lasts[#lasts + 1] = ("%s %s"):format(id, values[id][#values[id]] or "-")
  end
  local lines = { ("%s   %s"):format(name, table.concat(lasts, "  ")) }
  local label = chart.lines(lines, cells, width, tostring(low), tostring(high))
  return table.concat(lines, "\n"), label
end

local Plot = { __name = "orrery.plot" }
function Plot.__tostring(self) return self.text end

local function in_text(source, names, series, from, till, width)
  local parts, label = {}, 0
  for i, name in ipairs(names) do parts[i], label = in_dots(source, name, series[name], width) end
  parts[#parts + 1] = chart.foot(label, width, from / ns, till / ns)
  return table.concat(parts, "\n")
end

-- -- As SVG ---------------------------------------------------------------------------------------------------------
local left, wide = chart.left, chart.wide

local function draw_series(parts, source, values, y, low, high, n)
  for i, id in ipairs(source.ids) do
    local d, pen, before = {}, false, nil
    for k, v in ipairs(values[id]) do
      if v then
        local x = left + (k - 1) / (n - 1) * wide
        local at = chart.up(y, v, low, high) - 1.5 * (i - 1)    -- equal ones side by side
        if not pen then d[#d + 1] = ("M%s %s"):format(svg.n(x), svg.n(at))
        elseif v ~= before then d[#d + 1] = ("H%sV%s"):format(svg.n(x), svg.n(at))
        elseif k == n or not values[id][k + 1] then d[#d + 1] = ("H%s"):format(svg.n(x)) end
        pen, before = true, v
      else
        pen = false
      end
    end
    parts[#parts + 1] = svg.tag("path", { "fill", "none", "stroke-width", "1.6", "stroke",
      chart.colours[(i - 1) % 8 + 1], "d", table.concat(d) }, svg.title(id))
  end
end

local function in_svg(source, names, series, from, till, n)
  local parts, y = {}, 44
  local about = ("%s, %.3f s to %.3f s"):format(source.title, from / ns, till / ns)
  chart.label(parts, left, 22, "head", about)
  for i, id in ipairs(source.ids) do
    local x = left + wide - 70 * (#source.ids - i + 1) + 20
    parts[#parts + 1] = svg.tag("rect", { "x", x, "y", 14, "width", 14, "height", 4, "fill",
      chart.colours[(i - 1) % 8 + 1] })
    chart.label(parts, x + 18, 20, "small", id)
  end
  for _, name in ipairs(names) do
    local low, high = range(source, series[name])
    chart.label(parts, left, y - 6, "small", name)
    chart.axis(parts, y, low, high, 1, function(at) return ("%g"):format(at) end)
    draw_series(parts, source, series[name], y, low, high, n)
    y = y + chart.tall + chart.gap
  end
  local width, height = chart.times(parts, y, from / ns, till / ns)
  return svg.page(width, height, about, parts, "", "")
end

-- -- The whole ------------------------------------------------------------------------------------------------------
local spec = {
  from = { "number", min = 0, default = 0 },
  till = { "number", min = 0 },
  group = { "string" },
  path = { "string" },
  width = { "integer", min = 10, max = 1000 },
}

local function names_of(what, level, ...)
  local names, opts = table.pack(...), nil
  if type(names[names.n]) == "table" then opts, names.n = names[names.n], names.n - 1 end
  local list = {}
  for i = 1, names.n do
    if not figures[names[i]] then
      error(("%s: a figure must be %s (got %s%s)"):format(what, options.either(options.keys(figures)),
        options.got(names[i]), options.hint(names[i], options.keys(figures))), level + 1)
    end
    list[i] = names[i]
  end
  if #list == 0 then list = { "term", "commit", "lag" } end
  return list, opts or {}
end

local function group_of(source, given, level)
  local known = source.groups
  if #known == 0 then return nil end
  if given == nil and #known > 1 then
    error(("%s: 'group' must be one of %s (got nothing)"):format(source.what, options.either(known)), level + 1)
  end
  for _, name in ipairs(known) do if given == nil or given == name then return name end end
  error(("%s: no node has a group %s%s"):format(source.what, options.got(given), options.hint(given, known)), level + 1)
end

local function in_ns(T) return math.floor(T * ns + 0.5) end

-- plot(figure, ..., { from = 0, till = now, group, path, width }) -> charts, which are their text as well; with path
-- true, and they are in that file; nil, message, code.
function plot.draw(source, level, ...)
  local names, opts = names_of(source.what, level + 1, ...)
  local checked = options.check(opts, spec, source.what, level + 1)
  local from, till = in_ns(checked.from), checked.till and in_ns(checked.till) or source.now
  if till <= from then
    error(("%s: 'till' must be after 'from' (got %g, %g)"):format(source.what, from / ns, till / ns), level + 1)
  end
  local group = group_of(source, checked.group, level + 1)
  if not group then return nil, source.what .. ": no node has had a group yet", "unavailable" end
  local width = checked.width or math.max(20, (chart.columns() or 100) - 12)
  local n, times, series = checked.path and 2 * wide or 2 * width, {}, {}
  for k = 1, n do times[k] = from + (till - from) * (k - 1) // (n - 1) end
  for _, name in ipairs(names) do series[name] = read[name](source, group, times) end
  if checked.path then return svg.write(checked.path, in_svg(source, names, series, from, till, n)) end
  return setmetatable({ text = in_text(source, names, series, from, till, width), series = series, times = times },
    Plot)
end

-- -- Of a simulation ------------------------------------------------------------------------------------------------
-- Which of the trace's events have each figure, and where in them it is.
local from_trace = {
  term = { { status = true }, "term" }, commit = { { commit = true }, "index" },
  applied = { { apply = true, restore = true }, "index" },
}

local function source_of(sim)
  local known = facts.of(sim)
  return {
    what = "sim:plot", title = ("%s, seed %d"):format(sim.name, sim.seed), ids = sim.ids, now = sim.core:now(),
    groups = options.keys(known.roles), downs = known.downs,
    steps = function(field, group)
      local list, kinds, where = {}, from_trace[field][1], from_trace[field][2]
      for _, id in ipairs(sim.ids) do list[id] = {} end
      for _, e in ipairs((sim.core:trace(0, math.maxinteger, kinds))) do
        if e.group == group and list[e.node] then
          table.insert(list[e.node], { at = e.at, value = e[where] or 0 })
        end
      end
      return list
    end,
  }
end

local function same(...) return ... end     -- what it is given was not called last: levels count up to the user

-- sim:plot(figure, ..., opts)
function plot.plot(sim, ...)
  faults.opened(sim, "plot")
  return same(plot.draw(source_of(sim), 2, ...))
end

return plot
