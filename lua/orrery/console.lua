-- console.lua - inside a node: what is asked of the node itself, not of its script; and eval.
--
-- A verb is a message whose name begins with a NUL, which no handler of a script's can bear, and which C lets through
-- from visitors alone (orrery/visit.h: programs of this machine). It is a task and may wait; what it returns is the
-- answer. To add one, add it to `verbs`: lua/orrery/connect.lua asks for it by its name.
--
-- eval sees by name the locals of the script that its handlers use, and those that these functions use: the upvalues
-- of what the script handed to node:on, every, after, spawn and listen while it loaded, or to node:on later. Of two
-- with one name the first wins. It runs between two events, so it waits for nothing.
local chunk = require "orrery.repl.chunk"
local core = require "orrery.core"
local options = require "orrery.options"
local show = require "orrery.show".show

local console = {}
local verbs = {}
local running_at_once = 100             -- of one verb
local text_most = 1 << 16               -- bytes of what is evaluated
local functions_most = 10000            -- that are looked at for their locals

-- -- What eval sees -------------------------------------------------------------------------------------------------
local function is_of_script(self, f)
  local source = debug.getinfo(f, "S").source
  return self.plan.files[source:match "^@(.*)$"] ~= nil
end

-- Where each local is: { function, number of its upvalue }.
local function find_locals(self)
  local found, queue, seen = {}, table.move(self.noted, 1, #self.noted, 1, {}), {}
  local i = 1
  while queue[i] and i <= functions_most do
    local f = queue[i]
    i = i + 1
    for n = 1, not seen[f] and is_of_script(self, f) and 255 or 0 do
      local name, v = debug.getupvalue(f, n)
      if not name then break end
      if not found[name] and name ~= "_ENV" then found[name] = { f, n } end
      if type(v) == "function" and not seen[v] then queue[#queue + 1] = v end
    end
    seen[f] = true
  end
  return found
end

-- The environment of one eval.
local function scope(self)
  local found, globals = find_locals(self), {}
  for name, v in pairs(self.env) do globals[name] = v end
  globals._G = nil
  local function unknown(what, name)
    local known = options.keys(globals)
    for _, other in ipairs(options.keys(found)) do known[#known + 1] = other end
    error(what:format(tostring(name), options.hint(name, known)), 3)
  end
  return setmetatable({}, {
    __metatable = false,
    __index = function(_, name)
      local at = found[name]
      if at then return (select(2, debug.getupvalue(at[1], at[2]))) end
      if globals[name] ~= nil then return globals[name] end
      unknown("eval sees no %s%s", name)
    end,
    __newindex = function(_, name, v)
      local at = found[name]
      if not at then unknown("eval makes no globals: there is no local %s to be set%s", name) end
      debug.setupvalue(at[1], at[2], v)
    end,
  })
end

-- -- Running it -----------------------------------------------------------------------------------------------------
-- As it is where it can travel, else as text.
local function as_it_travels(v)
  if type(v) ~= "table" and type(v) ~= "function" and type(v) ~= "userdata" and type(v) ~= "thread" then return v end
  return pcall(core.value.pack, v) and v or show(v)
end

local function in_text(v)
  return type(v) == "string" and v or show(v)
end

local function evaluate(self, text)
  local f, message = chunk.compile(text, { name = "eval", load = core.budget.load, env = scope(self) })
  if not f then error(message or "eval:1: the text ends in the middle of a chunk", 0) end
  local results = table.pack(f())
  for i = 1, results.n do results[i] = as_it_travels(results[i]) end
  return table.unpack(results, 1, results.n)
end

local function told(ok, ...)
  if ok then return true, ... end
  return false, in_text((...)), "failed"
end

-- true, results; or false, message, code. Within nine tenths of what an event may take: the rest is for the answer.
local function eval(self, text)
  if not self.env or self.loading then return false, "its script has not run yet", "unavailable" end
  if #text > text_most then return false, ("a text of at most %d bytes is expected"):format(text_most), "invalid" end
  local steps = self.plan.cluster.limits.steps * 9 // 10
  return told(self.host.console.at_once(core.budget.run, steps, evaluate, self, text))
end

-- -- The verbs ------------------------------------------------------------------------------------------------------
-- true, results; or false, message, code: results may look like a failure.
function verbs.eval(self, text)
  if type(text) ~= "string" then return false, "a text is expected", "invalid" end
  return eval(self, text)
end

-- Who this is, and who the others are: { id, cluster, call, nodes = array of { id, at } }.
function verbs.nodes(self)
  local value, list = self.plan.cluster, {}
  for i, member in ipairs(value.nodes) do list[i] = { id = member.id, at = member.at } end
  return { id = self.own.id, cluster = value.name, call = value.timing.call, nodes = list }
end

function verbs.status(self)
  return self.host.console.status()
end

-- What it knows of the others; it takes no part for being asked.
function verbs.members(self)
  return self.host.members.list()
end

function verbs.groups(self)
  return self.host.console.status().groups
end

-- A copy, in which what can't travel is the name of its kind.
local function plain(v, depth, within)
  local kind = type(v)
  if kind == "function" or kind == "userdata" or kind == "thread" then return "(" .. kind .. ")" end
  if kind ~= "table" then return v end
  if within[v] or depth == 0 then return within[v] and "(cycle)" or "(deeper)" end
  within[v] = true
  local copy = {}
  local ok = pcall(function()
    for key, item in core.ordered.next, v do copy[key] = plain(item, depth - 1, within) end
  end)
  within[v] = nil
  return ok and copy or "(table with keys that have no order)"
end

function verbs.state(self)
  return plain(self.state, 60, {})
end

local function group_of(self, name)
  local group = self.groups[name]
  if group then return group end
  return nil, ("%s has no group %s%s"):format(self.own.id, options.got(name),
    options.hint(name, options.keys(self.groups))), "invalid"
end

local function check_asked(group, name, T, value)
  if not group.lua then return ("group %s: its machine is none of Lua's"):format(name) end
  if type(value) ~= "table" then return ("group %s: a table is expected (got %s)"):format(name, options.got(value)) end
  if T ~= nil and (type(T) ~= "number" or not (T > 0 and T < math.huge)) then return "seconds are expected" end
end

local function ask_group(verb)
  return function(self, name, T, value)
    local group, message, code = group_of(self, name)
    if not group then return nil, message, code end
    message = check_asked(group, name, T, value)
    if message then return nil, message, "invalid" end
    return group.object[verb](group.object, value, { timeout = T })
  end
end
verbs.propose, verbs.read = ask_group "propose", ask_group "read"

function verbs.peek(self, name, q)
  local group, message, code = group_of(self, name)
  if not group then return nil, message, code end
  message = check_asked(group, name, nil, q)
  if message then return nil, message, "invalid" end
  return group.object:peek(q)
end

-- Where in the log.
function verbs.snapshot(self, name)
  local group, message, code = group_of(self, name)
  if not group then return nil, message, code end
  return group.object:snapshot()
end

-- What it came to its role by, at most n causes; the node's time now.
function verbs.causes(self, name, n)
  local group, message, code = group_of(self, name)
  if not group then return nil, message, code end
  if math.type(n) ~= "integer" then return nil, "an integer is expected", "invalid" end
  return self.host.groups.causes(self.handles[name], n)
end

-- The files of this node are to be read anew: true once their scripts run; or nil, message, code.
function verbs.reload(self)
  return self.ask_reload()
end

-- -- Opening --------------------------------------------------------------------------------------------------------
local noted_by = { on = true, every = true, after = true, spawn = true, listen = true }

local function note(self, name, ...)
  for i = 1, select("#", ...) do
    local f = select(i, ...)
    if type(f) == "function" then self.noted[#self.noted + 1] = f end
  end
end

-- A handler of that name that comes later takes the place of the one before.
local function note_handler(self, name, f)
  if type(f) ~= "function" or type(name) ~= "string" then return end
  local at = self.noted_at[name] or #self.noted + 1
  self.noted[at], self.noted_at[name] = f, at
end

-- Sees what the script hands to these methods of `node`, which stay the last that is called: complaints count levels.
function console.watch(self, members)
  self.noted, self.noted_at = {}, {}
  for name in pairs(noted_by) do
    local f = members[name]
    members[name] = function(...)
      if name == "on" then note_handler(self, select(2, ...)) elseif self.loading then note(self, ...) end
      return f(...)
    end
  end
end

-- self: the node of node.lua.
function console.open(self)
  for name, verb in pairs(verbs) do
    self.host.rpc.on("\0" .. name, function(...) return verb(self, ...) end, running_at_once)
  end
end

-- From now on eval is in its script.
function console.take(self)
  self.host.console.evaluator(function(text)
    return self.host.rpc.packed(eval(self, text))
  end)
end

return console
