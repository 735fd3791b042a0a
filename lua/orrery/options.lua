-- options.lua - option tables: unknown keys, types, ranges, defaults; and the nearest known word.
--
-- A spec gives each key a rule: { kind, required = true, default = v, ... }. A kind is a name in `kinds` below or a
-- function (value, rule) -> result | nil, expected | nil, expected, path. `fields` is the spec of a table inside,
-- `each` the rule of an array's elements. Every complaint has the same form, so users learn to read one:
--
--     WHAT: 'PATH' must be EXPECTED (got VALUE)        WHAT: 'PATH' is unknown (nearest: 'KEY')
local options = {}

-- Distance of two words, a swap of neighbours counting once.
local function distance(a, b)
  local before, last = nil, {}
  for j = 0, #b do last[j] = j end
  for i = 1, #a do
    local row = { [0] = i }
    for j = 1, #b do
      local same = a:byte(i) == b:byte(j)
      row[j] = math.min(last[j] + 1, row[j - 1] + 1, last[j - 1] + (same and 0 or 1))
      if before and j > 1 and a:byte(i) == b:byte(j - 1) and a:byte(i - 1) == b:byte(j) then
        row[j] = math.min(row[j], before[j - 2] + 1)
      end
    end
    before, last = last, row
  end
  return last[#b]
end

-- The word of `known` (an array) that `word` most likely meant, or nil. Ties go to the first in the alphabet.
function options.nearest(word, known)
  local best, best_at = nil, math.max(2, #word // 3) + 1
  local sorted = {}
  for _, candidate in ipairs(known) do if type(candidate) == "string" then sorted[#sorted + 1] = candidate end end
  table.sort(sorted)
  for _, candidate in ipairs(sorted) do
    local at = distance(word:lower(), candidate:lower())
    if candidate:sub(1, #word) == word then at = math.min(at, 1) end
    if at < best_at and at < math.max(#word, #candidate) then best, best_at = candidate, at end
  end
  return best
end

-- " (nearest: 'x')", or "" where nothing is near.
function options.hint(word, known)
  local near = type(word) == "string" and options.nearest(word, known)
  return near and (" (nearest: '%s')"):format(near) or ""
end

-- A value as a complaint shows it: short, on one line.
function options.got(v)
  if v == nil then return "nothing" end
  if type(v) == "string" then
    local text = ("%q"):format(#v > 60 and v:sub(1, 57) .. "..." or v):gsub("\\\n", "\\n")
    return text
  end
  if type(v) == "number" or type(v) == "boolean" then return tostring(v) end
  local mt = getmetatable(v)
  return type(mt) == "table" and type(mt.__name) == "string" and "a " .. mt.__name or "a " .. type(v)
end

-- "nodes[2].at" of { "nodes", 2, "at" }.
function options.path(path)
  local text = ""
  for _, key in ipairs(path) do
    if type(key) == "string" and key:find "^[%a_][%w_]*$" then
      text = text .. (text == "" and "" or ".") .. key
    else
      text = ("%s[%s]"):format(text, type(key) == "string" and ("%q"):format(key) or tostring(key))
    end
  end
  return text
end

function options.keys(t)
  local keys = {}
  for key in pairs(t) do keys[#keys + 1] = key end
  table.sort(keys, function(a, b)
    if type(a) == type(b) and (type(a) == "string" or type(a) == "number") then return a < b end
    return type(a) < type(b)
  end)
  return keys
end

-- "'a', 'b' or 'c'"
function options.either(words)
  if #words == 1 then return ('"%s"'):format(words[1]) end
  return ('"%s" or "%s"'):format(table.concat(words, '", "', 1, #words - 1), words[#words])
end

-- -- Kinds ----------------------------------------------------------------------------------------------------------
local function within(v, rule, noun)
  local low, high = rule.min or -math.huge, rule.max or math.huge
  if v and v >= low and v <= high and (not rule.above or v > rule.above) then return v end
  if rule.above then
    return nil, ("%s above %s%s"):format(noun, rule.above, rule.max and " and at most " .. rule.max or "")
  elseif rule.min and rule.max then
    return nil, ("%s from %s to %s"):format(noun, rule.min, rule.max)
  end
  return nil, rule.min and ("%s of at least %s"):format(noun, rule.min) or noun
end

local kinds = {
  number = function(v, rule)
    local n = type(v) == "number" and v == v and math.abs(v) ~= math.huge and v or nil
    return within(n, rule, "a number")
  end,
  integer = function(v, rule)
    return within(type(v) == "number" and math.tointeger(v) or nil, rule, "an integer")
  end,
  seconds = function(v, rule)
    local n = type(v) == "number" and v == v and v or nil
    return within(n, { above = 0, max = rule.max or 86400 }, "a number of seconds")
  end,
  string = function(v, rule)
    local fits = type(v) == "string" and (not rule.pattern or v:find(rule.pattern)) and #v <= (rule.max or math.huge)
    if fits then return v end
    return nil, rule.expected or "a string"
  end,
  boolean = function(v)
    if type(v) == "boolean" then return v end
    return nil, "true or false"
  end,
  choice = function(v, rule)
    for _, word in ipairs(rule.of) do if v == word then return v end end
    return nil, options.either(rule.of)
  end,
  table = function(v, rule)
    if type(v) == "table" or v == false and rule.or_false then return v end
    return nil, rule.expected or "a table"
  end,
}

local fill

local function complaint(path, text)
  return nil, { path = path, text = text }
end

local function under(key, problem)
  table.insert(problem.path, 1, key)
  return nil, problem
end

local function array(v, rule)
  local out, n = {}, #v
  for key in pairs(v) do
    if math.type(key) ~= "integer" or key < 1 or key > n then
      return complaint({ key }, ("is no index of an array (%s)"):format(rule.expected or "an array was expected"))
    end
  end
  if n < (rule.least or 0) or n > (rule.most or math.huge) then
    return complaint({}, ("must have %s to %s elements (got %d)"):format(rule.least or 0, rule.most, n))
  end
  for i = 1, n do
    local value, problem = options.value(v[i], rule.each)
    if problem then return under(i, problem) end
    out[i] = value
  end
  return out
end

-- One value by one rule: the value as it is to be used, or nil and what is wrong: { path, text }.
function options.value(v, rule)
  local kind = rule[1]
  local out, expected, path = (type(kind) == "function" and kind or kinds[kind])(v, rule)
  if expected then
    return complaint(path or {}, ("must be %s (got %s)"):format(expected, options.got(path and path.got or v)))
  end
  if rule.each then return array(v, rule) end
  if rule.fields and v then return fill(v, rule.fields) end
  return out
end

-- A new table with all defaults, or nil and what is wrong.
function fill(given, spec)
  local known = options.keys(spec)
  for _, key in ipairs(options.keys(given)) do
    if not spec[key] then return complaint({ key }, "is unknown" .. options.hint(key, known)) end
  end
  local out = {}
  for _, key in ipairs(known) do
    local rule, v = spec[key], given[key]
    if v == nil then
      if rule.required then
        local _, problem = options.value(nil, rule)
        problem.text = problem.text:gsub("^must be", "is missing, must be"):gsub(" %(got nothing%)$", "")
        return under(key, problem)
      end
      v = rule.default
    end
    if v ~= nil then
      local problem
      out[key], problem = options.value(v, rule)
      if problem then return under(key, problem) end
    end
  end
  return out
end
options.fill = fill

function options.message(problem, what)
  local path = options.path(problem.path)
  return ("%s: %s%s"):format(what, path == "" and "" or ("'%s' "):format(path), problem.text)
end

-- The checked options. A complaint is raised at `level` as error's, counted from the function that calls this.
function options.check(given, spec, what, level)
  level = (level or 2) + 1
  if type(given) ~= "table" then
    error(("%s: options must be a table (got %s)"):format(what, options.got(given)), level)
  end
  local out, problem = fill(given, spec)
  if problem then error(options.message(problem, what), level) end
  return out
end

return options
