-- follow.lua - tasks that follow what a group applies here: g:changes, g:watch. What is kept for them, and who waits,
-- is bindings/orrb_feed.c's.
local kv = require "orrery.kv"
local options = require "orrery.options"

local follow = {}
local kept = 1 << 20                   -- bytes of the past, for each group that is followed
local piece = 1 << 16                  -- bytes of keys and values that are looked up at a time

-- self: the node of node.lua. Called by a method of a group: complaints are the script's line's.
local function begin(self, what, handle, from, prefix)
  if self.loading then error(what .. ": only in a task: the top level declares", 4) end
  local reader = self.host.groups.follow(handle, from, kept, prefix)
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

-- -- Keys ------------------------------------------------------------------------------------------------------------
-- After a gap come the present values, piece by piece, in the order of the keys' positions. A piece is looked up when
-- all that was applied before has been given; a change of a key behind what was looked up is left out, for a piece to
-- come has it. `position` is where the next piece begins; nil: all were given.
local Watch = {}
Watch.__index = Watch
Watch.__name = "orrery.watch"
Watch.__metatable = false

function Watch:close() self.reader:close() end
Watch.__close = Watch.close
function Watch:__tostring() return ("orrery.watch(%s %s)"):format(self.name, options.got(self.prefix)) end

-- The next piece; false: it can't be looked up now.
local function look_up(w)
  local found = w.groups.peek(w.handle, false, w.groups.kv("list", nil, w.position, piece, w.prefix))
  if not found then return false end
  w.position = found[1] ~= 0 and found[1] or nil
  w.present, w.at = found[2], 1
  if #found[2] == 0 and w.position then w.sleep(0) end      -- others run between two looks at many other keys
  return true
end

local function next_present(w)
  local present, at = w.present, w.at
  if not present or not present[at] then return nil end
  w.at = at + 3
  return { key = present[at], value = kv.value_of(present[at + 1]), version = present[at + 2], kind = "set" }
end

local function told(w, index, kind, position, key, value)
  if kind == "gap" then
    w.position, w.present = 0, nil
    return { kind = "gap", version = index }
  elseif w.position and not math.ult(position, w.position) then
    return nil
  end
  return { key = key, value = value and kv.value_of(value), version = index, kind = kind }
end

function Watch:__call()
  while true do
    local change, wait = next_present(self), not self.position
    if change then return change end
    local index, kind, position, key, value = self.groups.poll(self.reader)
    if index == false and not wait then wait = not look_up(self)
    elseif index == nil then return nil end
    if index == false and wait then index, kind, position, key, value = self.reader() end
    change = index and told(self, index, kind, position, key, value)
    if change then return change end
  end
end

local watch_spec = { from = { "integer", min = 0 } }

function follow.watch(self, name, handle, prefix, opts)
  local what = name .. ":watch"
  if type(prefix) ~= "string" then
    error(("%s: 'prefix' must be a string (got %s)"):format(what, options.got(prefix)), 3)
  end
  local from = options.check(opts == nil and {} or opts, watch_spec, what, 3).from
  local reader, message, code = begin(self, what, handle, from, prefix)
  if not reader then return nil, message, code end
  local w = setmetatable({ name = name, prefix = prefix, reader = reader, handle = handle, groups = self.host.groups,
    sleep = self.host.tasks.sleep }, Watch)
  return w, nil, nil, w
end

return follow
