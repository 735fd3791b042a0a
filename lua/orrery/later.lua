-- later.lua - names of the Lua surface that this version doesn't have: told apart from typing errors.
local options = require "orrery.options"
local core = require "orrery.core"

local later = { version = core.version }

local function set_of(text)
  local set = {}
  for word in text:gmatch "%S+" do set[word] = true end
  return set
end

later.orrery = set_of [[paxos job lines array records recipes bench]]
later.node = set_of [[shard register transaction lock singleton]]
later.sim = {}
later.handle = set_of [[on close why]]
later.started = set_of [[why]]
later.connected = set_of [[why]]
later.group = set_of [[members reconfigure transfer]]
later.handle_group = set_of [[members reconfigure transfer changes watch]]

-- Raises: WHAT.KEY isn't there yet, or was never.
function later.refuse(what, key, set, known, level)
  if set[key] then
    error(("%s%s is not available in this version of Orrery (%s)"):format(what, key, later.version), level + 1)
  end
  error(("%s%s is unknown%s"):format(what, tostring(key), options.hint(key, known)), level + 1)
end

-- `t`, read-only, with a metatable that explains what isn't in it.
function later.guard(name, t, set, separator)
  local known = options.keys(t)
  for key in pairs(set) do known[#known + 1] = key end
  return setmetatable({}, {
    __name = name,
    __index = function(_, key)
      local v = t[key]
      if v == nil then later.refuse(name .. (separator or "."), key, set, known, 2) end
      return v
    end,
    __newindex = function(_, key) error(("%s is read-only (assigning %s)"):format(name, tostring(key)), 2) end,
    __pairs = function(self) return function(_, key) return next(t, key) end, self, nil end,
    __tostring = function() return t.title or name end,
  })
end

return later
