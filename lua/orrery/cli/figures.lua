-- figures.lua - spans of time and tables, as commands print them.
local figures = {}
local scales = { { 1e9, "s" }, { 1e6, "ms" }, { 1e3, "us" }, { 1, "ns" } }

-- 12.3 us, of ns
function figures.span(ns)
  for _, scale in ipairs(scales) do
    if math.abs(ns) >= scale[1] or scale[1] == 1 then
      return ("%.4g %s"):format(ns / scale[1], scale[2])
    end
  end
end

function figures.signed(ns)
  return (ns < 0 and "" or "+") .. figures.span(ns)
end

-- Rows of texts, the first one says what the columns are -> lines.
function figures.align(rows)
  local widths, lines = {}, {}
  for _, cells in ipairs(rows) do
    for i, cell in ipairs(cells) do widths[i] = math.max(widths[i] or 0, #cell) end
  end
  for k, cells in ipairs(rows) do
    local line = {}
    for i, cell in ipairs(cells) do line[i] = i == #cells and cell or cell .. (" "):rep(widths[i] - #cell) end
    lines[k] = table.concat(line, "  ")
  end
  return lines
end

return figures
