-- members.lua - what each node says of each other: sim:members(), and a:matrix() of a live cluster; in the terminal or
-- as SVG.
--
-- A row is what one node's membership knows (node.members:list()); nobody takes part for being asked. A column is what
-- is thought of one node: where it isn't of one letter, views differ.
local faults = require "orrery.faults"
local svg = require "orrery.look.svg"

local members = {}

local letters = { alive = "a", suspect = "s", failed = "f", left = "l" }
local ways = { direct = "", indirect = "~", stream = "=", none = "!" }

-- -- In the terminal ------------------------------------------------------------------------------------------------
-- ".": itself; "-": not heard of; blank: it is down, and says nothing.
local function sign(row, observer, id)
  if not row then return "" end
  if observer == id then return "." end
  local cell = row[id]
  if not cell then return "-" end
  return letters[cell.state] .. (ways[cell.way] or "")
end

local meanings = "~ reached over others  = heard by its stream  ! no answer to the last question"
local key = "  a alive  s suspect  f failed  l left  - not heard of\n  " .. meanings

local function in_text(self)
  local width = 2
  for _, id in ipairs(self.ids) do width = math.max(width, #id) end
  local function line(head, f)
    local cells = { ("%-" .. width + 1 .. "s"):format(head) }
    for _, id in ipairs(self.ids) do cells[#cells + 1] = ("%-" .. width .. "s"):format(f(id)) end
    return "  " .. table.concat(cells, " "):gsub(" +$", "")
  end
  local lines = { line("", function(id) return id end) }
  for _, observer in ipairs(self.ids) do
    local row = self.rows[observer]
    local text = line(observer, function(id) return sign(row, observer, id) end)
    lines[#lines + 1] = row and text or text .. "  (down)"
  end
  lines[#lines + 1] = key
  return table.concat(lines, "\n")
end

-- -- As SVG ---------------------------------------------------------------------------------------------------------
local top, cell_size, of_letter = 84, 26, 7
local light = [[
.alive{fill:#2da44e}.suspect{fill:#bf8700}.failed{fill:#cf222e}.leftit{fill:#afb8c1}.unheard{fill:#eaeef2}
.own{fill:none;stroke:#afb8c1}.sign{fill:#ffffff;font-size:12px;font-weight:600}.sign.dim{fill:#59636e}
]]
local dark = [[
.alive{fill:#238636}.suspect{fill:#9e6a03}.failed{fill:#da3633}.leftit{fill:#6e7681}.unheard{fill:#21262d}
.own{stroke:#6e7681}
]]
local classes = { alive = "alive", suspect = "suspect", failed = "failed", left = "leftit" }

local function text_at(parts, x, y, class, text, more)
  local attributes = { "x", x, "y", y, "class", class }
  table.move(more or {}, 1, #(more or {}), 7, attributes)
  parts[#parts + 1] = svg.tag("text", attributes, svg.text(text))
end

local function about(observer, id, cell)
  if observer == id then return observer end
  if not cell then return ("%s has not heard of %s"):format(observer, id) end
  local text = ("%s says of %s: %s"):format(observer, id, cell.state)
  if cell.way == "direct" and cell.rtt then text = ("%s, %.3f ms away"):format(text, 1e3 * cell.rtt)
  elseif cell.way == "indirect" then text = text .. ", reached over others"
  elseif cell.way == "stream" then text = text .. ", heard by its stream"
  elseif cell.way == "none" then text = text .. ", no answer to the last question" end
  return text
end

local function draw_cell(parts, x, y, wide, observer, id, row)
  local cell = row[id]
  local class = observer == id and "own" or cell and classes[cell.state] or "unheard"
  parts[#parts + 1] = svg.tag("rect", { "x", x + 1, "y", y + 1, "width", wide - 2, "height", cell_size - 2, "rx", 3,
    "class", class }, svg.title(about(observer, id, cell)))
  if observer == id then return end
  local dim = cell and cell.state ~= "left" and "" or " dim"
  text_at(parts, x + wide / 2, y + cell_size / 2 + 4, "sign" .. dim, sign(row, observer, id),
    { "text-anchor", "middle" })
end

local function draw_key(parts, left, y)
  local x = left
  for _, one in ipairs { { "alive", "alive" }, { "suspect", "suspect" }, { "failed", "failed" }, { "leftit", "left" },
    { "unheard", "not heard of" } } do
    parts[#parts + 1] = svg.tag("rect", { "x", x, "y", y - 10, "width", 12, "height", 12, "rx", 2, "class", one[1] })
    text_at(parts, x + 17, y, "", one[2])
    x = x + 34 + 7 * #one[2]
  end
  text_at(parts, left, y + 20, "small", meanings)
end

local function in_svg(self, title)
  local parts, n, longest = {}, #self.ids, 3
  for _, id in ipairs(self.ids) do longest = math.max(longest, #id) end
  local left, wide = 34 + of_letter * longest, math.max(cell_size, of_letter * longest + 6)
  text_at(parts, 24, 28, "head", title)
  text_at(parts, 24, 46, "small", "rows: who says; columns: of whom")
  for i, observer in ipairs(self.ids) do
    local at = (i - 1) * cell_size
    text_at(parts, left + (i - 0.5) * wide, top - 8, "", observer, { "text-anchor", "middle" })
    text_at(parts, left - 8, top + at + cell_size / 2 + 4, "", observer, { "text-anchor", "end" })
    local row = self.rows[observer]
    if row then
      for k, id in ipairs(self.ids) do
        draw_cell(parts, left + (k - 1) * wide, top + at, wide, observer, id, row)
      end
    else
      text_at(parts, left + 8, top + at + cell_size / 2 + 4, "small", "down")
    end
  end
  local y = top + n * cell_size + 28
  draw_key(parts, left, y)
  return svg.page(left + math.max(n * wide + 24, 470), y + 40, title, parts, light, dark)
end

-- -- The whole ------------------------------------------------------------------------------------------------------
local Matrix = { __name = "orrery.members" }
function Matrix.__tostring(self) return self.text end

-- ids: in the order of rows and columns. list_of(id): what that node knows, as node.members:list() has it, or nil where
-- it is down. { ids, rows = { [who says] = { [of whom] = member } } }, which is its text; with a path true, and the
-- picture is in that file; nil, message, code. title: of the picture; level: where a path is complained of.
function members.matrix(ids, list_of, path, what, title, level)
  if path ~= nil then svg.check_path(path, what, level + 1) end
  local self = { ids = table.move(ids, 1, #ids, 1, {}), rows = {} }
  for _, observer in ipairs(ids) do
    local list = list_of(observer)
    self.rows[observer] = list and {}
    for _, member in ipairs(list or {}) do self.rows[observer][member.id] = member end
  end
  if path then return svg.write(path, in_svg(self, title)) end
  self.text = in_text(self)
  return setmetatable(self, Matrix)
end

local function same(...) return ... end     -- what it is given was not called last: levels count up to the user

-- sim:members(path)
function members.members(sim, path)
  faults.opened(sim, "members")
  local title = ("%s, seed %d, %.3f s: what nodes say of each other"):format(sim.name, sim.seed, sim:now())
  return same(members.matrix(sim.ids, function(id) return (sim.core:members(id)) end, path, "sim:members", title, 2))
end

return members
