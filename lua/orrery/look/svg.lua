-- svg.lua - what pictures are made of: text that is valid XML, numbers that are the same everywhere, colours for light
-- and dark.
--
-- No scripts, no fonts of our own, nothing from elsewhere: a file that any browser shows, with a word on whatever the
-- mouse points at (<title>).
local options = require "orrery.options"

local svg = {}

local entities = { ["&"] = "&amp;", ["<"] = "&lt;", [">"] = "&gt;", ['"'] = "&quot;" }

-- Any bytes as text; what XML has no way to say becomes a question mark.
function svg.text(s)
  s = utf8.len(s) and s or s:gsub("[\x80-\xff]", "?")
  return (s:gsub("[%z\1-\8\11\12\14-\31\x7f]", "?"):gsub('[&<>"]', entities))
end

-- A coordinate: a tenth of a unit is enough.
function svg.n(x)
  return (("%.1f"):format(x):gsub("%.0$", ""))
end

-- "<name a="1" b="x"/>"; inner: text within, as it is.
function svg.tag(name, attributes, inner)
  local parts = { "<" .. name }
  for i = 1, #attributes, 2 do
    local v = attributes[i + 1]
    parts[#parts + 1] = (' %s="%s"'):format(attributes[i], type(v) == "number" and svg.n(v) or svg.text(v))
  end
  return table.concat(parts) .. (inner and (">%s</%s>"):format(inner, name) or "/>")
end

function svg.title(text) return ("<title>%s</title>"):format(svg.text(text)) end

local light = [[
.page{fill:#ffffff}text{fill:#1f2328;font:11px system-ui,sans-serif}.head{font-size:14px;font-weight:600}
.small{font-size:10px;fill:#59636e}.axis{stroke:#d1d9e0;stroke-width:1}.line{stroke:#59636e;stroke-width:1}
]]
local dark = [[
.page{fill:#0d1117}text{fill:#e6edf3}.small{fill:#9198a1}.axis{stroke:#30363d}.line{stroke:#9198a1}
]]

-- The whole file. more_light, more_dark: style sheets of one's own.
function svg.page(width, height, about, parts, more_light, more_dark)
  local style = light .. more_light .. "@media (prefers-color-scheme:dark){\n" .. dark .. more_dark .. "}\n"
  return table.concat {
    '<?xml version="1.0" encoding="UTF-8"?>\n',
    ('<svg xmlns="http://www.w3.org/2000/svg" width="%s" height="%s" viewBox="0 0 %s %s">\n'):format(svg.n(width),
      svg.n(height), svg.n(width), svg.n(height)),
    svg.title(about), "\n<style>\n", style, "</style>\n",
    svg.tag("rect", { "class", "page", "width", width, "height", height }), "\n",
    table.concat(parts, "\n"), "\n</svg>\n",
  }
end

-- Marks for an axis: from, till in any unit; about `many` of them, at round numbers, not closer than `least`.
function svg.ticks(from, till, many, least)
  local list, span = {}, math.max(till - from, 1e-9)
  local step = 10 ^ math.floor(math.log(span / many, 10))
  step = math.max(step, least or step)
  for _, k in ipairs { 2, 5, 10 } do
    if span / step > many then step = step * (k == 2 and 2 or k == 5 and 2.5 or 2) end
  end
  local i = math.ceil(from / step - 1e-9)
  while i * step <= till + 1e-9 * span do
    list[#list + 1] = i * step
    i = i + 1
  end
  return list, step
end

-- A path that may be written to. Scripts of nodes have no files: node.lua says when these run here. level as error's.
svg.of_nodes = false
function svg.check_path(path, what, level)
  if svg.of_nodes then error(what .. ": a script has no files: 'path' is for programs outside the nodes", level + 1) end
  if type(path) ~= "string" or path == "" then
    error(("%s: 'path' must be a file's (got %s)"):format(what, options.got(path)), level + 1)
  end
end

-- Writes a file: true; or nil, message, code.
function svg.write(path, text)
  local file, why = io.open(path, "wb")
  if not file then return nil, why, "unavailable" end
  local ok
  ok, why = file:write(text)
  if ok then ok, why = file:close() else file:close() end
  if ok then return true end
  return nil, ("%s: %s"):format(path, why), "unavailable"
end

return svg
