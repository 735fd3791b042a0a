-- help.lua - help at the prompt, out of the annotations in types.lua.
--
-- A topic is what one annotation stands before: a function (`function orrery.show(value) end`) or a `---@class`. Its
-- name is how a user writes it: orrery.show, node:role, sim:run. The file is read when help is first asked for.
local options = require "orrery.options"

local help = {}

local function read_types()
  local path = package.searchpath("orrery.types", package.path)
  local file = path and io.open(path, "rb")
  if not file then return "" end
  local text = file:read "a"
  file:close()
  return text
end

-- -- Reading --------------------------------------------------------------------------------------------------------
-- The lines of one comment, sorted: text, example (indented by four), @param, @return, @field, @class.
local function sorted(comment)
  local topic = { text = {}, example = {}, params = {}, returns = {}, fields = {} }
  for _, line in ipairs(comment) do
    local tag, rest = line:match "^@(%l+)%s*(.*)$"
    if tag == "param" then table.insert(topic.params, rest)
    elseif tag == "return" then table.insert(topic.returns, rest)
    elseif tag == "field" then table.insert(topic.fields, rest)
    elseif tag == "class" then topic.class = rest:match "^[%w_.]+"
    elseif line:find "^    " then table.insert(topic.example, line:sub(5))
    elseif not tag and line:find "%S" then table.insert(topic.text, line) end
  end
  return topic
end

-- "Sim" and "orrery.Sim" are what users know as "sim".
local function plain(name)
  return (name:gsub("^orrery%.(%u)", "%1"):gsub("^%u%w*", function(word)
    return word:gsub("(%l)(%u)", "%1_%2"):lower()
  end))
end

local function finish(topic, section)
  topic.section = section
  topic.summary = table.concat(topic.text, " "):match "^(.-%.)%s" or table.concat(topic.text, " ")
  return topic
end

-- Topics of a types file, in its order, and by name.
function help.parse(text)
  local list, by_name, comment, section = {}, {}, {}, nil
  local function add(name, signature)
    local topic = finish(sorted(comment), section)
    topic.name, topic.signature = name, signature
    list[#list + 1], by_name[name] = topic, by_name[name] or topic
  end
  for line in (text .. "\n"):gmatch "(.-)\n" do
    local said = line:match "^%-%-%-(.*)$"
    if said == "@meta" or said and said:find "^@alias" then said = nil end
    local head = line:match "^%-%- %-%- (.-) %-%-+$"
    local name, arguments = line:match "^function ([%w_.:]+)(%b())"
    if said then
      if said:find "^@class" and sorted(comment).class then       -- two classes, nothing between
        add(plain(sorted(comment).class))
        comment = {}
      end
      comment[#comment + 1] = said
    else
      if name then add(plain(name), plain(name) .. arguments)
      elseif #comment > 0 and sorted(comment).class then add(plain(sorted(comment).class)) end
      comment = {}
    end
    section = head or section
  end
  return list, by_name
end

-- -- Telling --------------------------------------------------------------------------------------------------------
local function wrap(lines, text, indent, width)
  local line = ""
  for word in text:gmatch "%S+" do
    if line ~= "" and #indent + #line + 1 + #word > width then
      lines[#lines + 1], line = indent .. line, ""
    end
    line = line == "" and word or line .. " " .. word
  end
  if line ~= "" then lines[#lines + 1] = indent .. line end
end

-- "steps? integer   how many" in two columns: what it is called and is, what it means. A type may hold blanks.
local function entry(lines, text, width, column)
  local left, right = text:match "^(.-)%s%s+(.*)$"
  local name, kind, rest = (left or text):match "^(%S+)%s+(%S+)%s*(.*)$"
  if not left and rest and rest ~= "" and not kind:find "[,{(]" then left, right = name .. " " .. kind, rest end
  local head = "  " .. (left or text)
  head = head .. (" "):rep((column or 30) - #head)
  local body = {}
  wrap(body, right or "", "", math.max(20, width - #head - 1))
  lines[#lines + 1] = (head .. " " .. (body[1] or "")):gsub("%s+$", "")
  for i = 2, #body do lines[#lines + 1] = (" "):rep(#head + 1) .. body[i] end
end

local function with_returns(topic)
  local names = {}
  for _, text in ipairs(topic.returns) do names[#names + 1] = text:match "^%S+%s+([%a_][%w_]*)" or text end
  return topic.signature .. (#names > 0 and " -> " .. table.concat(names, ", ") or "")
end

function help.describe(topic, list, width)
  local lines = { topic.signature and with_returns(topic) or topic.name }
  wrap(lines, table.concat(topic.text, " "), "  ", width)
  for _, what in ipairs { topic.params, topic.fields } do
    if #what > 0 then lines[#lines + 1] = "" end
    for _, text in ipairs(what) do entry(lines, text, width) end
  end
  if #topic.example > 0 then lines[#lines + 1] = "" end
  for _, text in ipairs(topic.example) do lines[#lines + 1] = "    " .. text end
  local prefix, members = topic.name .. ":", {}
  for _, other in ipairs(list) do
    if not topic.signature and other.name:sub(1, #prefix) == prefix then members[#members + 1] = other end
  end
  if #members > 0 then lines[#lines + 1] = "" end
  for _, member in ipairs(members) do entry(lines, member.signature .. "  " .. member.summary, width) end
  return table.concat(lines, "\n")
end

-- What is listed: functions, by section. About: lines above them.
local function overview(list, shown, about, width)
  local lines = { about }
  local section
  for _, topic in ipairs(list) do
    if topic.signature and shown(topic) then
      if topic.section ~= section then
        section = topic.section
        lines[#lines + 1] = "\n" .. (section or "Functions")
      end
      entry(lines, topic.signature .. "  " .. topic.summary, width, 36)
    end
  end
  return table.concat(lines, "\n")
end

-- -- Finding --------------------------------------------------------------------------------------------------------
local function normal(name)
  return (name:lower():gsub(":", "."):gsub("%(.*$", ""):gsub("^%s+", ""):gsub("%s+$", ""))
end

-- A function comes before a class of the same name.
local function by_text(list, text)
  local wanted, ending, class = normal(text), {}, nil
  for _, topic in ipairs(list) do
    local name = normal(topic.name)
    if name == wanted and topic.signature then return topic end
    if name == wanted then class = class or topic
    elseif name:match "[^.]+$" == wanted then ending[#ending + 1] = topic end
  end
  if class then table.insert(ending, 1, class) end
  return ending[1], ending
end

-- What its metatable calls a value: "sim" of orrery.sim, "group" of "group kv".
local function class_of(value)
  local mt = debug.getmetatable(value)
  local name = type(mt) == "table" and rawget(mt, "__name")
  return type(name) == "string" and name:gsub("^orrery%.", ""):match "^%l[%w_]*" or nil
end

local function index(v, key)
  local ok, found = pcall(function() return v[key] end)
  return ok and found or nil
end

-- The name under which a value is known: it is a root ({ name, value }), or what a root has of a topic's name; or a
-- class.
local function name_of(value, list, roots)
  for _, root in ipairs(roots) do
    if rawequal(root.value, value) then return root.name end
    for _, topic in ipairs(list) do
      local member = topic.name:match("^" .. root.name .. "[.:]([%w_]+)$")
      if member and rawequal(index(root.value, member), value) then return topic.name end
    end
  end
  return type(value) ~= "function" and type(value) ~= "string" and class_of(value) or nil
end

-- What a value is documented to have: methods, and with them fields; nil where it isn't documented.
local function members(value, list)
  local class, methods, all = class_of(value), {}, {}
  if not class then return nil end
  for _, topic in ipairs(list) do
    local owner, member = topic.name:match "^(.*)[.:]([%w_]+)$"
    if owner == class then
      methods[#methods + 1], all[#all + 1] = member, member
    elseif topic.name == class then
      for _, field in ipairs(topic.fields) do all[#all + 1] = field:match "^[%w_]+" end
    end
  end
  if #all > 0 then return methods, all end
end

-- The name of what Lua itself brings: of a value, or of "string.format".
local function own_of_lua(value)
  local function is_it(name, v) return rawequal(v, value) or name == value end
  for _, name in ipairs(options.keys(package.loaded)) do
    local library = package.loaded[name]
    if type(library) == "table" and (name == "_G" or rawequal(_G[name], library)) and not name:find "^orrery" then
      if is_it(name, library) then return name end
      for key, v in next, library do
        local full = (name == "_G" and "" or name .. ".") .. tostring(key)
        if type(v) == "function" and is_it(full, v) then return full end
      end
    end
  end
end

local function unknown(list, text)
  local names = {}
  for _, topic in ipairs(list) do
    names[#names + 1] = topic.name
    names[#names + 1] = topic.name:match "[^.:]+$"
  end
  return ("no help on '%s'%s; help() lists what there is"):format(text, options.hint(text, names))
end

-- known: { about = function () -> text, roots = function () -> array of { name, value }, shown = function (topic) ->
-- boolean, width = function }. -> { ask = what `help` is at the prompt, names = function () -> every topic,
-- members = function (value) -> methods, all names | nil }
function help.new(known)
  local list
  local function topics()
    list = list or (help.parse(read_types()))
    return list
  end
  local function ask(...)
    local value, width = ..., math.min(known.width(), 100)
    if select("#", ...) == 0 then return overview(topics(), known.shown, known.about(), width) end
    local name = type(value) == "string" and value or name_of(value, topics(), known.roots())
    local topic, more = nil, {}
    if name then topic, more = by_text(topics(), name) end
    if topic then
      local text = help.describe(topic, topics(), width)
      for i = 2, #(more or {}) do text = text .. (i == 2 and "\n\nalso: " or ", ") .. more[i].name end
      return text
    end
    local prefix = name and name .. "."
    local function is_within(other) return prefix ~= nil and other.name:sub(1, #prefix) == prefix end
    for _, other in ipairs(topics()) do
      if is_within(other) then return overview(topics(), is_within, name, width) end
    end
    local lua = own_of_lua(value)
    if lua then return lua .. " is Lua's own: see its manual" end
    if type(value) == "string" then return unknown(topics(), value) end
    return ("no help on this %s; help() lists what there is"):format(type(value))
  end
  local function names()
    local out = {}
    for _, topic in ipairs(topics()) do out[#out + 1] = topic.name end
    return out
  end
  return { ask = ask, names = names, members = function(value) return members(value, topics()) end }
end

return help
