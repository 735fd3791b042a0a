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
-- tail call: its caller is told what is wrong.
function subscription.new(all, events, event, f)
  local known = false
  for _, name in ipairs(events) do known = known or name == event end
  if not known then
    error(("node:on: 'event' must be %s (got %s%s)"):format(options.either(events), options.got(event),
      options.hint(event, events)), 2)
  elseif type(f) ~= "function" then
    error(("node:on %s: a function is expected (got %s)"):format(event, options.got(f)), 2)
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
