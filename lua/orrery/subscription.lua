-- subscription.lua - who is told of a handle's events: what its on() gives, until that is closed.
local options = require "orrery.options"

local subscription = {}
local methods = {}

function methods:close()
  self.closed = true
  for i, s in ipairs(self.all) do if s == self then return table.remove(self.all, i) and nil end end
end

local meta = {
  __name = "orrery.subscription", __metatable = false, __index = methods, __close = methods.close,
  __tostring = function(self) return ("orrery.subscription(%s)"):format(self.event) end,
}

-- One more in `all`: f(...) at each tell of that event, one of `events`. A method on() returns what this returns, as a
-- tail call: its caller is told what is wrong; or says who it is, and at what level that caller is.
function subscription.new(all, events, event, f, what, level)
  local known = false
  what, level = what or "node:on", level or 2
  for _, name in ipairs(events) do known = known or name == event end
  if not known then
    error(("%s: 'event' must be %s (got %s%s)"):format(what, options.either(events), options.got(event),
      options.hint(event, events)), level)
  elseif type(f) ~= "function" then
    error(("%s %s: a function is expected (got %s)"):format(what, event, options.got(f)), level)
  end
  local s = setmetatable({ event = event, f = f, all = all, closed = false }, meta)
  all[#all + 1] = s
  return s
end

-- Those that are there now are told; one that is closed meanwhile is not.
function subscription.tell(all, event, ...)
  for _, s in ipairs(table.move(all, 1, #all, 1, {})) do
    if s.event == event and not s.closed then s.f(...) end
  end
end

return subscription
