-- show.lua - values as text: show() and fit() for people, literal() for machines.
--
-- Both visit keys in one order (array part, then integers, floats, strings, booleans, others by their text), so equal
-- values give equal text in every process. literal() loads back as the same value, integer and float kept apart; it is
-- what bundles are hashed over and what a node's own Lua state is started from.
local behind = require "orrery.view".behind

local order = { number = 1, string = 2, boolean = 3 }

local function before(a, b)
  local ta, tb = type(a), type(b)
  if ta ~= tb then return (order[ta] or 4) < (order[tb] or 4) end
  if ta == "number" or ta == "string" then return a < b end
  return tostring(a) < tostring(b)
end

-- Keys that are not 1..n, in order; and n.
local function keys(t)
  local n, rest = 0, {}
  while rawget(t, n + 1) ~= nil do n = n + 1 end
  for key in next, t do
    if math.type(key) ~= "integer" or key < 1 or key > n then rest[#rest + 1] = key end
  end
  table.sort(rest, before)
  return rest, n
end

local words = {}
for word in ([[and break do else elseif end false for function goto if in local nil not or repeat return then true
    until while]]):gmatch "%a+" do words[word] = true end

local function is_name(key)
  return type(key) == "string" and key:find "^[%a_][%w_]*$" ~= nil and not words[key]
end

local escapes = { ["\n"] = "\\n", ["\t"] = "\\t", ["\r"] = "\\r", ['"'] = '\\"', ["\\"] = "\\\\" }
local function quoted(s)
  return '"' .. s:gsub('[%c"\\\x7f]', function(c) return escapes[c] or ("\\x%02x"):format(c:byte()) end) .. '"'
end

-- -- For people -----------------------------------------------------------------------------------------------------
local function columns(text)
  return utf8.len(text) or #text
end

-- Bytes that are no UTF-8 would upset a terminal.
local function readable(s)
  if utf8.len(s) then return quoted(s) end
  return (quoted(s):gsub("[\x80-\xff]", function(c) return ("\\x%02x"):format(c:byte()) end))
end

local text_of

-- What is shown of a table: texts of elements, then of fields; and how many of them are bare elements.
local function parts_of(t, depth, how)
  local rest, n = keys(t)
  local parts, most = {}, how.items
  for i = 1, math.min(n, most) do parts[i] = text_of(t[i], depth + 1, how) end
  local elements = #parts
  for i = 1, math.min(#rest, most - elements) do
    local key = rest[i]
    local name = is_name(key) and key or ("[%s]"):format(text_of(key, depth + 1, how))
    parts[#parts + 1] = name .. " = " .. text_of(rawget(t, key), depth + 1, how)
  end
  local left = n + #rest - #parts
  if left > 0 then parts[#parts + 1] = ("... %d more"):format(left) end
  return parts, elements
end

-- Parts below each other; short elements share lines.
local function fill(parts, elements, indent, room)
  local lines, open = {}, false
  for i, part in ipairs(parts) do
    local short = i <= elements and #part <= 24 and not part:find "[\n{]"
    if short and open and columns(lines[#lines]) + columns(part) + 3 <= room then
      lines[#lines] = lines[#lines] .. ", " .. part
    else
      lines[#lines + 1] = part
    end
    open = short
  end
  return indent .. table.concat(lines, ",\n" .. indent)
end

function text_of(v, depth, how)
  if type(v) == "string" then return readable(v) end
  if type(v) ~= "table" then return tostring(v) end
  v = behind(v)
  local mt = debug.getmetatable(v)                    -- objects hide theirs
  if type(mt) == "table" and rawget(mt, "__tostring") then return tostring(v) end
  if how.above[v] or depth > how.depth then return "{...}" end
  how.above[v] = true
  local parts, elements = parts_of(v, depth, how)
  how.above[v] = nil
  if #parts == 0 then return "{}" end
  local line = "{ " .. table.concat(parts, ", ") .. " }"
  local room = how.width - 2 * depth
  if columns(line) <= room and not line:find "\n" then return line end
  return ("{\n%s,\n%s}"):format(fill(parts, elements, ("  "):rep(depth + 1), room - 2), ("  "):rep(depth))
end

-- As show(), for a terminal: at most so many columns wide (where lines can be broken), so deep, so many of a table.
local function fit(v, how)
  return text_of(v, 0, { width = how.width, depth = how.depth, items = how.items, above = {} })
end

local function show(v)
  return fit(v, { width = 100, depth = 12, items = math.huge })
end

-- -- For machines ---------------------------------------------------------------------------------------------------
local function number(v)
  if math.type(v) == "integer" then return v == math.mininteger and "0x8000000000000000" or ("%d"):format(v) end
  if v ~= v then return "(0/0)" end
  if math.abs(v) == math.huge then return v > 0 and "(1/0)" or "(-1/0)" end
  return ("%a"):format(v)
end

local write
local function write_table(v, out)
  local rest, n = keys(v)
  out[#out + 1] = "{"
  for i = 1, n do
    write(v[i], out)
    out[#out + 1] = ","
  end
  for _, key in ipairs(rest) do
    out[#out + 1] = "["
    write(key, out)
    out[#out + 1] = "]="
    write(rawget(v, key), out)
    out[#out + 1] = ","
  end
  out[#out + 1] = "}"
end

function write(v, out)
  local kind = type(v)
  if kind == "table" then return write_table(v, out) end
  if kind == "string" then
    out[#out + 1] = quoted(v)
  elseif kind == "number" then
    out[#out + 1] = number(v)
  elseif kind == "boolean" or kind == "nil" then
    out[#out + 1] = tostring(v)
  else
    error("a " .. kind .. " has no literal")
  end
end

-- The text of a plain value; metatables are not looked at. load("return " .. literal(v)) gives it back.
local function literal(v)
  local out = {}
  write(v, out)
  return table.concat(out)
end

return { show = show, fit = fit, literal = literal, keys = keys }
