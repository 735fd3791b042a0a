-- complete.lua - what the Tab key does: names of globals, fields and methods; in strings ids, topics and file names.
--
-- Only chains of names and plain indices are followed (a.b["c"]:d), for looking at those runs no code of the user's but
-- __index. Names that begin with an underscore are offered to who has typed one.
local edit = require "orrery.edit"
local lex = require "orrery.repl.lex"

local complete = {}

local keywords = {}
for word in ([[and break do else elseif end false for function goto if in local nil not or repeat return then true
    until while]]):gmatch "%a+" do keywords[word] = true end

local deepest, keys_most, listed_most = 8, 10000, 120

-- -- Names of a value -----------------------------------------------------------------------------------------------
local function index(v, key)
  local ok, found = pcall(function() return v[key] end)
  return ok and found or nil
end

local function collect(names, v, depth)
  if depth > deepest then return end
  local mt = debug.getmetatable(v)
  if type(v) == "table" then
    pcall(function()
      local n = 0
      local each, state, first = next, v, nil
      if mt and mt.__pairs then each, state, first = pairs(v) end
      for key in each, state, first do
        n = n + 1
        if type(key) == "string" and key:find "^[%a_][%w_]*$" and not keywords[key] then names[key] = true end
        if n > keys_most then break end
      end
    end)
  end
  local above = type(mt) == "table" and rawget(mt, "__index")
  if type(above) == "table" then collect(names, above, depth + 1) end
end

local function is_callable(v)
  local mt = debug.getmetatable(v)
  return type(v) == "function" or type(mt) == "table" and mt.__call ~= nil
end

-- Of objects what is documented: they have more inside than they show. Unless they can be asked, by pairs.
local function members(v, methods, known)
  local mt = debug.getmetatable(v)
  local verbs, all
  if type(mt) ~= "table" or not mt.__pairs then verbs, all = known.members(v) end
  if verbs then return methods and verbs or all end
  local names, out = {}, {}
  if v ~= nil then collect(names, v, 1) end
  for name in next, names do
    if not methods or is_callable(index(v, name)) then out[#out + 1] = name end
  end
  return out
end

-- -- The expression before the cursor -------------------------------------------------------------------------------
local indices = { "^(.*)%[%s*(%-?%d+)%s*%]$", '^(.*)%[%s*"([^"\\]*)"%s*%]$', "^(.*)%[%s*'([^'\\]*)'%s*%]$" }

-- The value of a chain that ends the text, or nil.
local function value_of(text, env)
  for i, pattern in ipairs(indices) do
    local head, key = text:match(pattern)
    if head then
      local v = value_of(head, env)
      if i == 1 then key = math.tointeger(key) end
      return v ~= nil and index(v, key) or nil
    end
  end
  local head, name = text:match "^(.-)([%a_][%w_]*)$"
  if not name or head:find "[%w_]$" then return nil end
  local before = head:match "^(.-)%s*[.:]$"
  if not before or head:find "%.%.$" then return index(env, name) end
  local v = value_of(before, env)
  return v ~= nil and index(v, name) or nil
end

local function in_code(before, known)
  local env = known.env
  local head, word = before:match "^(.-)([%a_][%w_]*)$"
  if not head then head, word = before, "" end
  if head:find "[%w_]$" then return nil end                     -- the end of a number
  local object, sign = head:match "^(.*[%w_%]])%s*([.:])$"
  if object then return word, members(value_of(object, env), sign == ":", known) end
  if head:find "[.:]%s*$" and not head:find "%.%.%s*$" then return nil end
  if word == "" then return nil end
  local names = members(env, false, known)
  for name in pairs(keywords) do names[#names + 1] = name end
  return word, names
end

-- -- In strings -----------------------------------------------------------------------------------------------------
local wants_file = { dofile = true, loadfile = true, open = true, lines = true, diagram = true, reload = true }

local function files(text)
  local folder, base = text:match "^(.*/)([^/]*)$"
  local out = {}
  for _, name in ipairs(edit.names(folder or ".") or {}) do
    if (base or text):find "^%." or not name:find "^%." then out[#out + 1] = (folder or "") .. name end
  end
  return out
end

local function in_string(head, word, known)
  local called = head:match "([%a_][%w_]*)%s*%(?%s*$"
  if called == "help" then return word, known.topics() end
  local ids = {}
  for _, id in ipairs(wants_file[called] and {} or known.ids) do
    if id:sub(1, #word) == word then ids[#ids + 1] = id end
  end
  return word, #ids > 0 and ids or files(word)
end

-- -- All together ---------------------------------------------------------------------------------------------------
local function common(words)
  local prefix = words[1]
  for _, word in ipairs(words) do
    while word:sub(1, #prefix) ~= prefix do prefix = prefix:sub(1, -2) end
  end
  while #prefix > 0 and not utf8.len(prefix) and utf8.len(words[1]) do prefix = prefix:sub(1, -2) end
  return prefix
end

-- Words in columns, as ls does.
function complete.columns(words, width)
  local widest = 0
  for _, word in ipairs(words) do widest = math.max(widest, utf8.len(word) or #word) end
  local across = math.max(1, (width + 1) // (widest + 2))
  local down = -(-#words // across)
  local lines = {}
  for row = 1, down do
    local line = ""
    for i = row, #words, down do
      line = line .. words[i] .. (" "):rep(widest + 2 - (utf8.len(words[i]) or #words[i]))
    end
    lines[row] = line:gsub(" +$", "")
  end
  return table.concat(lines, "\n")
end

local function listing(words, width)
  local n = #words
  if n <= listed_most then return complete.columns(words, width) end
  return ("%s\n... and %d more"):format(complete.columns(table.move(words, 1, listed_most, 1, {}), width),
    n - listed_most)
end

-- The words that the end of the text may become, in order; and its end that they begin with.
function complete.candidates(before, known)
  local where, from = lex.scan(before)
  local word, names, quoted
  if where == "string" then
    word, names = in_string(before:sub(1, from - 2), before:sub(from), known)
    quoted = before:sub(from - 1, from - 1)
  elseif where == "code" then
    word, names = in_code(before, known)
  end
  local out, seen = {}, {}
  for _, name in ipairs(names or {}) do
    local fits = name:sub(1, #word) == word and (word:find "^_" or quoted or not name:find "^_")
    if fits and not seen[name] then out[#out + 1], seen[name] = name, true end
  end
  table.sort(out)
  return out, word, quoted
end

-- The function for edit.open. known: { env, ids = array, topics = function () -> array, width = function, members =
-- function (value) -> methods, all names | nil }.
function complete.completer(known)
  return function(before)
    local words, word, quoted = complete.candidates(before, known)
    if #words == 0 then return nil end
    local rest = common(words):sub(#word + 1)
    if #words == 1 and quoted and not words[1]:find "/$" then rest = rest .. (quoted:match "[\"']" or "") end
    if rest ~= "" then return rest end
    if #words > 1 then return nil, listing(words, known.width()) end
  end
end

return complete
