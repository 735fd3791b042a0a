-- clocks.lua - what clocks believed, over time: each one's offset and the interval that it promised, in the terminal or
-- as SVG; of recorded traces (orrery clock replay --plot), of a simulation's nodes, of a live cluster's.
--
-- A series is { name, points = { { time, offset, earliest, latest, state, epoch }, ... } }, times growing: integers in
-- ns, offset being reference minus the local clock, earliest and latest likewise; without an offset, or where the state
-- is "unsync", there is none. Each has a panel of its own.
--
-- A clock that nobody steers leaves reference by seconds a day, and is wrong by microseconds. So a straight line is
-- taken off - it runs through the medians of the first and the last third of the longest epoch - and what is left is
-- drawn. The panel's height is the greater part of the intervals: the wide ones of the start leave it.
local chart = require "orrery.look.chart"
local faults = require "orrery.faults"
local options = require "orrery.options"
local svg = require "orrery.look.svg"

local clocks = {}
local ns = 1e9
local units = { { 1e9, "s" }, { 1e6, "ms" }, { 1e3, "µs" }, { 1, "ns" } }
local states = { sync = 1, holdover = 2, unsync = 3 }           -- the worst counts for a column

-- 0.0000123 s is "12.3 µs".
local function in_unit(v, unit) return ("%s %s"):format(("%.4g"):format(v / unit[1]), unit[2]) end
local function unit_of(v)
  for _, unit in ipairs(units) do if math.abs(v) >= unit[1] then return unit end end
  return units[#units]
end
local function span(v) return in_unit(v, unit_of(v)) end

local function known(p) return p.offset ~= nil and p.state ~= "unsync" end

-- -- The straight line ----------------------------------------------------------------------------------------------
local function median(list)
  table.sort(list)
  return list[(#list + 1) // 2]
end

-- Offsets against the first known one, which may be far from 0: a double would lose their last digits.
local function middle(points, first, last, base)
  local times, offsets = {}, {}
  for i = first, last do times[#times + 1], offsets[#offsets + 1] = points[i].time, points[i].offset - base end
  return median(times), median(offsets)
end

-- The points of the epoch that has most of them.
local function longest_epoch(points)
  local epochs, best = {}, {}
  for _, p in ipairs(points) do
    if known(p) then
      local list = epochs[p.epoch or 0] or {}
      epochs[p.epoch or 0], list[#list + 1] = list, p
      if #list > #best then best = list end
    end
  end
  return best
end

-- What is to be taken off: base + level at `at`, and rate; nil: nothing is known.
local function line_of(points, at)
  local some = longest_epoch(points)
  local n = #some
  if n == 0 then return nil end
  local base, third = some[1].offset, math.max(1, n // 3)
  local t1, v1 = middle(some, 1, third, base)
  local t2, v2 = middle(some, n - third + 1, n, base)
  local rate = t2 > t1 and (v2 - v1) / (t2 - t1) or 0
  return { base = base, level = v1 + rate * (at - t1), rate = rate, at = at }
end

local function above(line, v, time) return v - line.base - (line.level + line.rate * (time - line.at)) end

-- -- Columns --------------------------------------------------------------------------------------------------------
-- One for each of n moments: { offset, low, high, state, step }; an empty one where nobody asked.
local function columns_of(points, line, from, till, n)
  local columns, epoch, whole = {}, nil, till + 0.0 - from      -- a product of integers would not fit
  for k = 1, n do columns[k] = {} end
  for _, p in ipairs(points) do
    local c = columns[math.floor((p.time - from) / whole * (n - 1)) + 1]
    if not c.state or states[p.state] > states[c.state] then c.state = p.state end
    if known(p) then
      c.offset = above(line, p.offset, p.time)
      c.low = math.min(c.low or math.huge, above(line, p.earliest, p.time))
      c.high = math.max(c.high or -math.huge, above(line, p.latest, p.time))
    end
    if p.epoch and epoch and p.epoch ~= epoch then c.step = p.epoch end
    epoch = p.epoch or epoch
  end
  return columns
end

-- Where a column's state goes on, in which nobody asked.
local function fill_states(columns)
  for k = 2, #columns do columns[k].state = columns[k].state or columns[k - 1].state end
end

-- Lowest and highest of what is drawn, without the outermost of the bounds.
local function range_of(columns)
  local lows, highs = {}, {}
  for _, c in ipairs(columns) do
    if c.offset then lows[#lows + 1], highs[#highs + 1] = c.low, c.high end
  end
  if #lows == 0 then return -1, 1 end
  table.sort(lows)
  table.sort(highs)
  local low, high = lows[#lows // 10 + 1], highs[#highs - #highs // 10]
  for _, c in ipairs(columns) do
    if c.offset then low, high = math.min(low, c.offset), math.max(high, c.offset) end
  end
  local margin = math.max(high - low, 1) * 0.05
  return low - margin, high + margin
end

-- "a: sync, offset 1.2345 s + 12.3 ppm, at the end between -4.2 µs and +3.9 µs of it"
local function caption(s, line)
  local last = s.points[#s.points]
  if not line then return ("%s: unsync, nothing is known"):format(s.name) end
  local about = ("offset %.9f s %+.3f ppm"):format((line.base + line.level) / ns, line.rate * 1e6)
  if not known(last) then return ("%s: %s; %s"):format(s.name, last.state, about) end
  return ("%s: %s, %s, at the end -%s to +%s"):format(s.name, last.state, about, span(last.offset - last.earliest),
    span(last.latest - last.offset))
end

local function panel_of(s, from, till, n)
  local line = line_of(s.points, from)
  local columns = columns_of(s.points, line, from, till, n)
  local low, high = range_of(columns)
  fill_states(columns)
  return { name = s.name, caption = caption(s, line), columns = columns, low = low, high = high,
    unit = unit_of(math.max(-low, high)) }
end

-- -- In the terminal ------------------------------------------------------------------------------------------------
local function inside(panel, v) return math.max(panel.low, math.min(panel.high, v)) end

-- One sign for two columns: a step, the worse state.
local function signs(columns, width)
  local text, any = {}, false
  for k = 1, 2 * width, 2 do
    local a, b = columns[k], columns[k + 1]
    local state = math.max(states[a.state] or 1, states[b.state] or 1)
    local sign = (a.step or b.step) and "┊" or state == 3 and "×" or state == 2 and "~" or " "
    any = any or sign ~= " "
    text[#text + 1] = sign
  end
  return any and (table.concat(text):gsub(" +$", ""))
end

local function panel_text(lines, panel, width, least)
  local cells, before = {}, nil
  lines[#lines + 1] = panel.caption
  for k, c in ipairs(panel.columns) do
    if c.offset then
      local y = chart.row(inside(panel, c.offset), panel.low, panel.high)
      for at = math.min(y, before or y), math.max(y, before or y) do chart.dot(cells, k - 1, at, width) end
      before = y
      if k % 2 == 1 then
        for _, bound in ipairs { c.low, c.high } do
          chart.dot(cells, k - 1, chart.row(inside(panel, bound), panel.low, panel.high), width)
        end
      end
    end
  end
  local label = chart.lines(lines, cells, width, in_unit(panel.low, panel.unit), in_unit(panel.high, panel.unit),
    least)
  local below = signs(panel.columns, width)
  if below then lines[#lines + 1] = (" "):rep(label + 2) .. below end
end

local Plot = { __name = "orrery.plot" }
function Plot.__tostring(self) return self.text end

local label_least = 10                  -- columns, so that all panels begin at one place

local function in_text(panels, width, first, last)
  local lines = {}
  for _, panel in ipairs(panels) do panel_text(lines, panel, width, label_least) end
  lines[#lines + 1] = chart.foot(label_least, width, first, last)
  lines[#lines + 1] = "┊ step  × unsync  ~ holdover"
  return table.concat(lines, "\n")
end

-- -- As SVG ---------------------------------------------------------------------------------------------------------
-- Calls f(first, last) for each run of columns of which is(column) holds.
local function each_run(columns, is, f)
  local first
  for k = 1, #columns + 1 do
    local holds = columns[k] and is(columns[k])
    if holds then first = first or k
    elseif first then
      f(first, k - 1)
      first = nil
    end
  end
end

local function place(panel, y, k, v)
  local x = chart.left + (k - 1) / (#panel.columns - 1) * chart.wide
  return ("%s %s"):format(svg.n(x), svg.n(chart.up(y, inside(panel, v), panel.low, panel.high)))
end

-- Columns of a state, from top to bottom.
local function draw_state(parts, panel, y, state, colour)
  local step = chart.wide / (#panel.columns - 1)
  each_run(panel.columns, function(c) return c.state == state end, function(first, last)
    parts[#parts + 1] = svg.tag("rect", { "x", chart.left + (first - 1) * step, "y", y, "width",
      math.max(1, (last - first + 1) * step), "height", chart.tall, "fill", colour, "fill-opacity", "0.18" },
      svg.title(("%s: %s"):format(panel.name, state)))
  end)
end

-- The interval as a band and the offset as a line. Where the state is known and nobody asked, they go on.
local function draw_offset(parts, panel, y, colour)
  local some = {}
  local function flush()
    if #some == 0 then return end
    local upper, lower, line = {}, {}, {}
    for i, k in ipairs(some) do
      local c = panel.columns[k]
      upper[i], lower[#some - i + 1], line[i] = place(panel, y, k, c.high), place(panel, y, k, c.low),
        place(panel, y, k, c.offset)
    end
    parts[#parts + 1] = svg.tag("path", { "fill", colour, "fill-opacity", "0.2", "d",
      ("M%sL%sZ"):format(table.concat(upper, "L"), table.concat(lower, "L")) }, svg.title(panel.name .. ": interval"))
    parts[#parts + 1] = svg.tag("path", { "fill", "none", "stroke-width", "1.4", "stroke", colour, "d",
      "M" .. table.concat(line, "L") }, svg.title(panel.name .. ": offset"))
    some = {}
  end
  for k, c in ipairs(panel.columns) do
    if c.state == "unsync" or c.step then flush() end
    if c.offset then some[#some + 1] = k end
  end
  flush()
end

local function draw_steps(parts, panel, y)
  for k, c in ipairs(panel.columns) do
    local x = chart.left + (k - 1) / (#panel.columns - 1) * chart.wide
    if c.step then
      parts[#parts + 1] = svg.tag("line", { "class", "line", "stroke-dasharray", "3 3", "x1", x, "x2", x, "y1", y,
        "y2", y + chart.tall }, svg.title(("%s: step, epoch %d"):format(panel.name, c.step)))
    end
  end
end

local function in_svg(panels, title, first, last)
  local parts, y = {}, 60
  chart.label(parts, chart.left, 22, "head", title)
  for i, panel in ipairs(panels) do
    chart.label(parts, chart.left, y - 6, "small", panel.caption)
    draw_state(parts, panel, y, "unsync", chart.colours[5])
    draw_state(parts, panel, y, "holdover", chart.colours[6])
    chart.axis(parts, y, panel.low, panel.high, nil, function(at) return in_unit(at, panel.unit) end)
    draw_offset(parts, panel, y, chart.colours[(i - 1) % 4 + 1])
    draw_steps(parts, panel, y)
    y = y + chart.tall + chart.gap
  end
  local width, height = chart.times(parts, y, first, last)
  return svg.page(width, height, title, parts, "", "")
end

-- -- The whole ------------------------------------------------------------------------------------------------------
local spec = {
  title = { "string", default = "clocks: offset and interval" },
  path = { "string" },
  width = { "integer", min = 10, max = 1000 },
}

-- draw({ { name =, points = }, ... }, { title, path, width }) -> charts, which are their text as well; with a path
-- true, and they are in that file; nil, message, code.
function clocks.draw(series, opts)
  local checked = options.check(opts or {}, spec, "clocks.draw")
  local from, till = math.maxinteger, math.mininteger
  for _, s in ipairs(series) do
    if #s.points == 0 then return nil, ("clocks.draw: nobody asked the clock of %s"):format(s.name), "unavailable" end
    from, till = math.min(from, s.points[1].time), math.max(till, s.points[#s.points].time)
  end
  if #series == 0 then return nil, "clocks.draw: there are no clocks", "unavailable" end
  till = math.max(till, from + 1)
  local width = checked.width or math.max(20, (chart.columns() or 100) - label_least - 2)
  local panels = {}
  for i, s in ipairs(series) do panels[i] = panel_of(s, from, till, checked.path and chart.wide // 2 or 2 * width) end
  local last = (till - from) / ns
  if checked.path then return svg.write(checked.path, in_svg(panels, checked.title, 0, last)) end
  return setmetatable({ text = in_text(panels, width, 0, last), panels = panels }, Plot)
end

-- A point of what c:now(local) gave, or of nothing.
function clocks.point(time, now)
  if not now then return { time = time, state = "unsync" } end
  return { time = time, offset = now.offset, earliest = now.earliest - time, latest = now.latest - time,
    state = now.state, epoch = now.epoch }
end

-- -- Of a simulation ------------------------------------------------------------------------------------------------
local of_simulation = {
  from = { "number", min = 0, default = 0 },
  till = { "number", min = 0 },
  path = { "string" },
  width = { "integer", min = 10, max = 1000 },
}

-- sim:clocks{ from = 0, till = now, path, width }: what each node was told of the cluster's time, against the true one;
-- as draw gives it.
function clocks.clocks(sim, opts)
  faults.opened(sim, "clocks")
  local checked = options.check(opts or {}, of_simulation, "sim:clocks", 2)
  local series, of = {}, {}
  for _, id in ipairs(sim.ids) do of[id] = { name = id, points = {} } end
  for _, e in ipairs((sim.core:trace(0, math.maxinteger, { time = true }))) do
    if of[e.node] and e.at >= checked.from * ns and e.at <= (checked.till or math.huge) * ns then
      table.insert(of[e.node].points, { time = e.at, offset = e.likely, earliest = e.earliest, latest = e.latest,
        state = e.what, epoch = e.epoch })
    end
  end
  for _, id in ipairs(sim.ids) do series[#series + 1] = #of[id].points > 0 and of[id] or nil end
  if #series == 0 then return nil, "sim:clocks: no node was told the time in that time", "unavailable" end
  local title = ("%s, seed %d: the cluster's time against the true one"):format(sim.name, sim.seed)
  return clocks.draw(series, { title = title, path = checked.path, width = checked.width })
end

return clocks
