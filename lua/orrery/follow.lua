-- follow.lua - tasks that follow what a group applies here: g:changes. What is kept for them is bindings/orrb_feed.c's.
local options = require "orrery.options"

local follow = {}
local kept = 1 << 20                   -- bytes of the past, for each group that is followed

-- self: the node of node.lua. Called by a method of a group: complaints are the script's line's.
local function begin(self, what, handle, from)
  if self.loading then error(what .. ": only in a task: the top level declares", 4) end
  local reader = self.host.groups.follow(handle, from, kept)
  if reader then return reader end
  return nil, ("%s: %s has no replica"):format(what, self.own.id), "unavailable"
end

function follow.changes(self, name, handle, from)
  local what = name .. ":changes"
  if from ~= nil and (math.type(from) ~= "integer" or from < 0) then
    error(("%s: 'from' must be an index, an integer from 0 up (got %s)"):format(what, options.got(from)), 3)
  end
  local reader, message, code = begin(self, what, handle, from)
  if not reader then return nil, message, code end
  return reader, nil, nil, reader
end

return follow
