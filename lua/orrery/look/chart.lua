-- chart.lua - what charts over time are made of: in the terminal braille dots, two across and four down in a character,
-- with an axis on the left; in SVG panels one above the other, with axes, labels and colours.
local svg = require "orrery.look.svg"

local chart = {}
local rows = 6                                          -- of characters
chart.highest_dot = 4 * rows - 1

-- Of the terminal, as the program knows them; nil in another one's Lua.
function chart.columns()
  local program = package.preload["orrery.edit"]
  return program and require "orrery.edit".columns()
end

-- -- In the terminal ------------------------------------------------------------------------------------------------
local dots = { { 1, 8 }, { 2, 16 }, { 4, 32 }, { 64, 128 } }      -- the bits of braille, by row and column

-- x from 0 to 2 * width - 1, y from 0 at the top to highest_dot.
function chart.dot(cells, x, y, width)
  local at = (y // 4) * width + x // 2
  cells[at] = (cells[at] or 0) | dots[y % 4 + 1][x % 2 + 1]
end

-- The row of dots of a value.
function chart.row(v, low, high)
  return chart.highest_dot - math.floor((v - low) / (high - low) * chart.highest_dot + 0.5)
end

-- The lines of a chart; how wide the axis' labels are, at least `least`.
function chart.lines(lines, cells, width, low, high, least)
  local label = math.max(utf8.len(low), utf8.len(high), least or 0)
  for r = 0, rows - 1 do
    local text = {}
    for c = 0, width - 1 do text[#text + 1] = utf8.char(0x2800 + (cells[r * width + c] or 0)) end
    local mark = r == 0 and high or r == rows - 1 and low or ""
    lines[#lines + 1] = ("%s%s ┤%s"):format((" "):rep(label - utf8.len(mark)), mark, table.concat(text))
  end
  return label
end

-- The line below them: the first and the last time, in seconds.
function chart.foot(label, width, from, till)
  local first, last = ("%.3f s"):format(from), ("%.3f s"):format(till)
  return (" "):rep(label + 2) .. first .. (" "):rep(math.max(1, width - #first - #last)) .. last
end

-- -- As SVG ---------------------------------------------------------------------------------------------------------
chart.colours = { "#0969da", "#bc4c00", "#1a7f37", "#8250df", "#cf222e", "#bf8700", "#1b7c83", "#59636e" }
chart.left, chart.wide, chart.tall, chart.gap = 56, 860, 110, 46

function chart.label(parts, x, y, class, text, anchor)
  parts[#parts + 1] = svg.tag("text", { "x", x, "y", y, "class", class, "text-anchor", anchor or "start" },
    svg.text(text))
end

-- Where in the panel that begins at y a value stands.
function chart.up(y, v, low, high) return y + chart.tall - (v - low) / (high - low) * chart.tall end

-- Lines across a panel at round values, not closer than `least`; text(v) is beside each.
function chart.axis(parts, y, low, high, least, text)
  for _, at in ipairs((svg.ticks(low, high, 4, least))) do
    local up = chart.up(y, at, low, high)
    parts[#parts + 1] = svg.tag("line", { "class", "axis", "x1", chart.left, "x2", chart.left + chart.wide, "y1", up,
      "y2", up })
    chart.label(parts, chart.left - 6, up + 4, "small", text(at), "end")
  end
end

-- Times, in seconds, below the last panel; `y` is where another would begin. -> the page's size
function chart.times(parts, y, from, till)
  for _, at in ipairs((svg.ticks(from, till, 9))) do
    chart.label(parts, chart.left + (at - from) / (till - from) * chart.wide, y - chart.gap + 16, "small",
      ("%g s"):format(at), "middle")
  end
  return chart.left + chart.wide + 24, y - 20
end

return chart
