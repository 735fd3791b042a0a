-- resp.lua - commands in Redis's protocol, answered by a script: orrery.resp.
--
-- What a command's function returns becomes the reply (bindings/orrb_listen.c): a string, an integer, nil and false
-- (null), true (1), an array, { ok = "OK" }, { err = "ERR what is wrong" }; nil, message, code is an error.
local options = require "orrery.options"

local resp = {}

local serve_options = { pipeline = { "boolean", default = false } }
local served = setmetatable({}, { __mode = "k" })

-- What resp.serve made of `service`: { commands = { { name, f }, ... }, calls_max }; nil: it is none.
function resp.served(service) return served[service] end

-- Commands of one client that may be under way together, where the service says so.
local PIPELINED = 256

function resp.serve(commands, more)
  local what = "orrery.resp.serve"
  if type(commands) ~= "table" then
    error(("%s: a table of functions by command is expected (got %s)"):format(what, options.got(commands)), 2)
  end
  local list, seen = {}, {}
  for name, f in pairs(commands) do
    if type(name) ~= "string" or not name:find "^[^%c ]+$" or #name > 63 then
      error(("%s: a command's name must be printing characters without blanks, 1 to 63 (got %s)"):format(what,
        options.got(name)), 2)
    elseif type(f) ~= "function" then
      error(("%s: '%s' must be a function (got %s)"):format(what, name, options.got(f)), 2)
    elseif seen[name:lower()] then
      error(("%s: '%s' and '%s' are one command"):format(what, seen[name:lower()], name), 2)
    end
    seen[name:lower()] = name
    list[#list + 1] = { name:lower(), f }
  end
  if #list == 0 then error(what .. ": no command is given", 2) end
  table.sort(list, function(a, b) return a[1] < b[1] end)
  local pipeline = options.check(more == nil and {} or more, serve_options, what, 2).pipeline
  local service = setmetatable({}, {
    __name = "orrery.resp.service", __metatable = false,
    __tostring = function() return ("orrery.resp.service(%d commands)"):format(#list) end,
  })
  served[service] = { commands = list, calls_max = pipeline and PIPELINED or 1 }
  return service
end

-- The integer that a client wrote, or Redis's error as the reply of the command that asks.
function resp.integer(text)
  local n = text
  if type(text) == "string" and (text == "0" or text:find "^%-?[1-9]%d*$") then n = tonumber(text) end
  if math.type(n) ~= "integer" then error({ err = "ERR value is not an integer or out of range" }, 0) end
  return n
end

-- A reply is plain data, which anybody could change: so each gets his own.
function resp.open()
  local t = { serve = resp.serve, integer = resp.integer }
  return setmetatable({}, {
    __name = "orrery.resp", __metatable = false,
    __index = function(_, key)
      if key == "OK" then return { ok = "OK" } end
      if t[key] == nil then
        error(("orrery.resp.%s is unknown%s"):format(tostring(key), options.hint(key, { "OK", "integer", "serve" })), 2)
      end
      return t[key]
    end,
    __newindex = function(_, key) error(("orrery.resp is read-only (assigning %s)"):format(tostring(key)), 2) end,
    __tostring = function() return "orrery.resp" end,
  })
end

return resp
