-- args.lua - options and arguments of one command, as its module describes them.
--
-- options: array of { "--name", "VALUE" or nil, "what it does", kind =, many = true, hidden = true }. kind:
-- "integer", "seconds", or a function (text) -> value | nil, expected. maybe = PATTERN: it may stand alone, and is true
-- then; the next word is its value where it fits. arguments: array of names, all required.
local options = require "orrery.options"

local args = {}

local common = {
  { "--help", nil, "prints this" },
  { "--version", nil, "prints version and build" },
}

local kinds = {
  integer = function(text)
    local n = text:find "^%d+$" and math.tointeger(text)
    if n then return n end
    return nil, "a whole number"
  end,
  seconds = function(text)
    local n = tonumber(text)
    if n and n > 0 and n < 1e9 then return n end
    return nil, "a number of seconds"
  end,
}

local function describe(module)
  local known, names = {}, {}
  for _, list in ipairs { module.options, common } do
    for _, option in ipairs(list) do known[option[1]], names[#names + 1] = option, option[1] end
  end
  return known, names
end

local function store(opts, option, text)
  local key, value = option[1]:sub(3):gsub("-", "_"), text
  local kind = type(option.kind) == "function" and option.kind or kinds[option.kind]
  if kind then
    local expected
    value, expected = kind(text)
    if value == nil then return ("%s must be %s (got '%s')"):format(option[1], expected, text) end
  end
  if not option.many then
    opts[key] = value
  else
    opts[key] = opts[key] or {}
    table.insert(opts[key], value)
  end
end

-- opts, arguments; or nil, nil and what is wrong.
function args.parse(given, module)
  local known, names = describe(module)
  local opts, arguments, i, only_arguments = {}, {}, 1, false
  local function complain(text) return nil, nil, text end
  while i <= #given do
    local word = given[i]
    local name, value = word:match "^(%-%-[^=]+)=(.*)$"
    local option = known[name or word]
    if only_arguments or word == "-" or not word:find "^%-" then
      arguments[#arguments + 1] = word
    elseif word == "--" then
      only_arguments = true
    elseif not option then
      return complain(("unknown option '%s'%s"):format(name or word, options.hint(name or word, names)))
    elseif not option[2] then
      if value then return complain(("%s takes no value"):format(name)) end
      opts[option[1]:sub(3):gsub("-", "_")] = true
    else
      local fits = not option.maybe or (given[i + 1] or ""):find(option.maybe)
      if not value and fits then i, value = i + 1, given[i + 1] end
      if not value and option.maybe then value = true end
      if not value then return complain(("%s needs a value: %s %s"):format(option[1], option[1], option[2])) end
      local wrong = store(opts, option, value)
      if wrong then return complain(wrong) end
    end
    i = i + 1
  end
  if opts.help or opts.version then return opts, arguments end
  if #arguments < #module.arguments then return complain(("%s is missing"):format(module.arguments[#arguments + 1])) end
  if #arguments > #module.arguments and not module.more then
    return complain(("'%s' is one argument too many"):format(arguments[#module.arguments + 1]))
  end
  return opts, arguments
end

function args.help(module)
  local lines = { "usage: " .. module.usage, "", module.about:sub(1, 1):upper() .. module.about:sub(2) .. "." }
  if module.notes then lines[#lines + 1] = module.notes end
  lines[#lines + 1] = ""
  for _, list in ipairs { module.options, common } do
    for _, option in ipairs(list) do
      local left = option[1] .. (option[2] and " " .. option[2] or "")
      if not option.hidden then lines[#lines + 1] = ("  %-22s %s"):format(left, option[3]) end
    end
  end
  return table.concat(lines, "\n")
end

return args
