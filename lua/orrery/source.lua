-- source.lua - on which line of a Lua file a field of a table constructor stands.
--
-- A cluster file is checked as a value, after it ran, and a value knows no lines. So the complaint's path is looked up
-- in the text: the constructor handed to orrery.cluster is walked token by token, into nested constructors and into
-- `local nodes = { ... }` above it. Where the text is cleverer than that (nodes made in a loop), the nearest line that
-- was found stands for it.
local source = {}

local patterns = {
  { "space", "^[ \t\r\n]+" }, { "comment", "^%-%-%[(=*)%[.-%]%1%]" }, { "comment", "^%-%-[^\n]*" },
  { "string", "^%[(=*)%[.-%]%1%]" }, { "string", [[^"[^"\]*"]] }, { "string", "^'[^'\\]*'" },
  { "name", "^[%a_][%w_]*" }, { "number", "^%d[%w.]*" },
}

-- A string with escapes in it: its end, counted by hand.
local function escaped_end(text, at)
  local quote = text:sub(at, at)
  local i = at + 1
  while i <= #text do
    local c = text:sub(i, i)
    if c == "\\" then i = i + 1 elseif c == quote then return i end
    i = i + 1
  end
  return #text
end

local function next_token(text, at)
  for _, pattern in ipairs(patterns) do
    local from, to = text:find(pattern[2], at)
    if from then return pattern[1], to end
  end
  if text:find("^[\"']", at) then return "string", escaped_end(text, at) end
  return "sign", at
end

local function tokens_of(text)
  local tokens, at, line = {}, 1, 1
  while at <= #text do
    local kind, to = next_token(text, at)
    local piece = text:sub(at, to)
    if kind ~= "space" and kind ~= "comment" then
      local value = piece
      if kind == "string" then value = piece:match "^['\"](.*)['\"]$" end
      if kind == "number" then value = tonumber(piece) end
      tokens[#tokens + 1] = { kind = kind, text = kind == "string" and "" or piece, value = value, line = line }
    end
    local _, newlines = piece:gsub("\n", "")
    at, line = to + 1, line + newlines
  end
  return tokens
end

local opens, closes = { ["{"] = true, ["("] = true, ["["] = true }, { ["}"] = true, [")"] = true, ["]"] = true }

-- The token after the value that begins at i: a separator or the closing brace.
local function skip(tokens, i)
  local depth = 0
  while tokens[i] do
    local text = tokens[i].text
    if depth == 0 and (text == "," or text == ";" or text == "}") then return i end
    if opens[text] then depth = depth + 1 elseif closes[text] then depth = depth - 1 end
    i = i + 1
  end
  return i
end

-- Key and first token of the value of the entry at i; nil key: the next position.
local function entry(tokens, i)
  local function text(k) return tokens[i + k] and tokens[i + k].text end
  if tokens[i].kind == "name" and text(1) == "=" then return tokens[i].text, i + 2 end
  if text(0) == "[" and text(2) == "]" and text(3) == "=" then return tokens[i + 1].value, i + 4 end
  return nil, i
end

-- The "{" of the value at i: there itself, or where the variable of that name got its constructor.
local function constructor(tokens, i)
  if tokens[i].text == "{" then return i end
  if tokens[i].kind ~= "name" then return nil end
  for k = 1, i - 3 do
    local same = tokens[k].text == tokens[i].text
    if same and tokens[k + 1].text == "=" and tokens[k + 2].text == "{" then return k + 2 end
  end
end

-- The line of path[depth], path[depth + 1]... in the constructor whose "{" is at i; nil where the first isn't in it.
local function walk(tokens, i, path, depth)
  local position = 0
  i = i + 1
  while tokens[i] and tokens[i].text ~= "}" do
    local key, value = entry(tokens, i)
    if key == nil then
      position = position + 1
      key = position
    end
    if key == path[depth] and tokens[value] then
      local inner = path[depth + 1] ~= nil and constructor(tokens, value)
      return inner and walk(tokens, inner, path, depth + 1) or tokens[i].line
    end
    i = skip(tokens, value)
    if tokens[i] and tokens[i].text ~= "}" then i = i + 1 end
  end
end

-- The line of path ({ "nodes", 2, "at" }) in the constructor that `callee` ("cluster") is called with, or nil.
function source.line(text, callee, path)
  local tokens = tokens_of(text)
  for i = 1, #tokens - 1 do
    if tokens[i].text == callee then
      local at = tokens[i + 1].text == "(" and i + 2 or i + 1
      local brace = tokens[at] and constructor(tokens, at)
      if brace then return walk(tokens, brace, path, 1) or tokens[brace].line end
    end
  end
end

return source
