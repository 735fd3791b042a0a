-- history.lua - what clients did and saw, in order: an array of { process, type, f, key, value, time }.
--
-- type: "invoke", then for the same process "ok", "fail" (surely not done) or "info" (of unknown fate); time in ns. An
-- end also bears the node that was asked, and the code of a failure as `error`; a final read has `final`.
local history = {}
local methods = {}
local meta = { __index = methods, __name = "orrery.history" }

function history.new() return setmetatable({}, meta) end

-- -- As lines of JSON ------------------------------------------------------------------------------------------------
-- What isn't UTF-8 is told byte by byte, as if it were Latin-1: a line is always valid JSON.
local function text(s)
  local pattern = utf8.len(s) and '[%c"\\\127]' or '[%c"\\\127-\255]'
  return '"' .. s:gsub(pattern, function(c) return ("\\u%04x"):format(c:byte()) end) .. '"'
end

local function number(v)
  if math.type(v) == "integer" then return tostring(v) end
  if v ~= v or v == math.huge or v == -math.huge then return text(tostring(v)) end
  return ("%.17g"):format(v)
end

local value

local function array(v)
  local parts = {}
  for i = 1, #v do parts[i] = value(v[i]) end
  return "[" .. table.concat(parts, ",") .. "]"
end

-- Keys by their text, so that a history has one form. An empty table is an array.
local function object(v)
  local names, by_name = {}, {}
  for key, item in pairs(v) do
    local name = tostring(key)
    names[#names + 1], by_name[name] = name, item
  end
  if #names == #v then return array(v) end
  table.sort(names)
  for i, name in ipairs(names) do names[i] = text(name) .. ":" .. value(by_name[name]) end
  return "{" .. table.concat(names, ",") .. "}"
end

function value(v)
  if v == nil then return "null" end
  if type(v) == "string" then return text(v) end
  if type(v) == "number" then return number(v) end
  if type(v) == "table" then return object(v) end
  return tostring(v)
end

local function line(entry)
  local parts = {
    ('{"process":%d,"type":"%s","f":%s'):format(entry.process, entry.type, text(entry.f)),
    '"key":' .. value(entry.key), '"value":' .. value(entry.value), ('"time":%d'):format(entry.time),
  }
  for _, name in ipairs { "node", "error", "final" } do
    if entry[name] ~= nil then parts[#parts + 1] = ('"%s":%s'):format(name, value(entry[name])) end
  end
  return table.concat(parts, ",") .. "}"
end

-- The i-th entry as a line of JSON.
function methods:line(i) return line(self[i]) end

-- Writes it as lines of JSON: true; or nil, message.
function methods:write(path)
  local file, why = io.open(path, "w")
  if not file then return nil, why end
  local ok = true
  for _, entry in ipairs(self) do ok = ok and file:write(line(entry), "\n") end
  local closed
  closed, why = file:close()
  if ok and closed then return true end
  return nil, ("%s: %s"):format(path, why or "it can't be written")
end

-- -- By operation ----------------------------------------------------------------------------------------------------
-- An iterator over the operations in the order of their invocation: invocation, completion (nil: none came).
function methods:operations()
  local ends, open = {}, {}
  for i, entry in ipairs(self) do
    if entry.type == "invoke" then
      open[entry.process] = i
    elseif open[entry.process] then
      ends[open[entry.process]], open[entry.process] = entry, nil
    end
  end
  local i = 0
  return function()
    repeat i = i + 1 until not self[i] or self[i].type == "invoke"
    return self[i], ends[i]
  end
end

function meta:__tostring() return ("orrery.history(%d entries)"):format(#self) end

return history
