-- view.lua - read-only views of tables, to any depth: what a script is shown of what its node runs on.
--
-- A view is read as the table is: by index, with pairs, ipairs, # and table.concat. The tables in it are views, made
-- when they are asked for and then kept, so the same one comes each time. Lua's own next sees nothing in a view;
-- scripts get the one here instead.
local next = require "orrery.core".ordered.next
local options = require "orrery.options"

local view = {}
local behind = setmetatable({}, { __mode = "k" })       -- view -> table
local views = setmetatable({}, { __mode = "k" })        -- table -> view

-- The table behind a view; anything else is itself.
function view.behind(v)
  local t = behind[v]
  return t == nil and v or t
end

-- As Lua's, through views.
function view.next(v, key)
  local t = behind[v]
  if t == nil then return next(v, key) end
  local found = next(t, key)
  if found == nil then return nil end
  return found, v[found]
end

local function name_of(name, key)
  local part = options.path { key }
  return name .. (part:find "^%[" and "" or ".") .. part
end

-- The view of a table, called `name` in complaints; a value that is no table is itself.
function view.of(t, name)
  if type(t) ~= "table" then return t end
  if behind[t] ~= nil then return t end
  if views[t] then return views[t] end
  local mt = getmetatable(t)
  local self = {}
  behind[self], views[t] = t, self
  return setmetatable(self, {
    __metatable = false,
    __index = function(_, key) return view.of(t[key], name_of(name, key)) end,
    __newindex = function(_, key) error(("%s is read-only (assigning %s)"):format(name, options.path { key }), 2) end,
    __len = function() return #t end,
    __pairs = function() return view.next, self, nil end,
    __tostring = type(mt) == "table" and mt.__tostring and function() return tostring(t) end or nil,
    __add = type(mt) == "table" and mt.__add or nil,
  })
end

return view
