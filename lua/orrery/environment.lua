-- environment.lua - what scripts and cluster files see: Lua's libraries, with nothing of os, io, debug or package, and
-- without what differs between processes. A closed environment is read-only, and so are its libraries: they are
-- everybody's, and a pure function must not find there what another one left.
--
-- README, "What makes replicas differ", is the table of what is changed, and why.
local core = require "orrery.core"
local options = require "orrery.options"
local view = require "orrery.view"

local environment = { seed = core.environment.seed }

local function copy_of(library, ...)
  local copy = {}
  for key, v in pairs(library) do copy[key] = v end
  for _, key in ipairs { ... } do copy[key] = nil end
  return copy
end
environment.copy_of = copy_of

local function over(t, more)
  for key, v in pairs(more) do t[key] = v end
  return t
end

-- -- The libraries --------------------------------------------------------------------------------------------------
-- Each function of `t` with these names, its cost that of its arguments and results.
local function counted(t, names)
  for name in names:gmatch "%S+" do t[name] = core.environment.counted(t[name]) end
  return t
end

local function strings()
  local t = counted(copy_of(string, "dump"), "byte char pack reverse sub unpack")
  over(t, core.pattern).format = core.names.format
  return t
end

local function maths()
  local t = copy_of(math, "random", "randomseed")
  for name in ("exp log sin cos tan asin acos atan"):gmatch "%a+" do
    local complaint = "math.%s: not in a pure function: last bits differ between C libraries"
    t[name] = core.pure.forbid(t[name], complaint:format(name))
  end
  return t
end

local libraries = {
  math = maths(), string = strings(), table = over(copy_of(table), core.sort),
  utf8 = counted(copy_of(utf8), "char codepoint len offset"),
  coroutine = over(copy_of(coroutine), core.budget.coroutine),
}

-- What ("x"):rep and the like are while a script runs in somebody else's state.
environment.strings = libraries.string

local base = {
  assert = assert, error = error, ipairs = ipairs, rawequal = rawequal, rawget = rawget, rawlen = rawlen,
  select = select, tonumber = core.environment.counted(tonumber), type = type,
  next = view.next, pairs = core.ordered.pairs, pcall = core.budget.pcall, tostring = core.names.tostring,
}
local more = {
  xpcall = core.budget.xpcall, getmetatable = core.environment.getmetatable,
  setmetatable = core.environment.setmetatable, rawset = core.environment.rawset,
}

-- In a node's own state: Lua's libraries there, in place, so that Orrery's own Lua is bounded and in order, too.
function environment.install()
  for _, name in ipairs { "string", "table", "coroutine" } do over(_G[name], libraries[name]) end
  debug.getmetatable "".__index = libraries.string      -- ("").dump isn't there either
  math.random = core.environment.random
  pairs, next, pcall = base.pairs, core.ordered.next, base.pcall
  xpcall, tostring = more.xpcall, base.tostring
end

-- The part that has the same result everywhere: for cluster files.
function environment.pure()
  local env = copy_of(base)
  for _, name in ipairs { "math", "string", "table", "utf8" } do env[name] = copy_of(libraries[name]) end
  return env
end

-- For node scripts: chance too (environment.seed), and text, never bytecode, can be loaded.
function environment.script()
  local env = over(environment.pure(), more)
  env.math.random, env.coroutine = core.environment.random, copy_of(libraries.coroutine)
  function env.load(chunk, name, mode, ...)
    if mode ~= nil and mode ~= "t" then error("load: only text can be loaded, mode must be \"t\"", 2) end
    local globals = env
    if select("#", ...) > 0 then globals = ... end
    return core.budget.load(chunk, name, "t", globals)
  end
  return env
end

-- -- Closing --------------------------------------------------------------------------------------------------------
local function seal(t, name)
  for key, v in pairs(t) do
    if type(v) == "function" then core.pure.library(v, name .. "." .. key) end
  end
  local sealed = setmetatable({}, {
    __metatable = false, __index = t,
    __newindex = function(_, key) error(("%s is read-only (assigning %s)"):format(name, tostring(key)), 2) end,
    __pairs = function() return base.pairs(t) end,
  })
  core.pure.library(sealed, name)
  return sealed
end

local function no_node()
  error("a pure function has no node: it depends on its arguments alone", 2)
end
local nodeless = setmetatable({}, { __metatable = false, __index = no_node, __newindex = no_node, __call = no_node,
  __pairs = no_node, __tostring = no_node, __len = no_node })

-- What pure functions may use of `orrery`; whatever else is a function there raises.
local pure_names = { pack = true, unpack = true, hash = true, show = true, map = true, resp = true }

function environment.of_orrery(members)
  for name, v in pairs(members) do
    if pure_names[name] then
      core.pure.library(v, "orrery." .. name)
    elseif type(v) == "function" then                   -- v is called last: its complaints count levels
      members[name] = function(...)
        if core.pure.active() then error(("orrery.%s: not in a pure function"):format(name), 2) end
        return v(...)
      end
    end
  end
  return members
end

-- Closes it, in place. `where` names its kind in complaints. Its node is hidden from pure functions; after a call of
-- core.pure.hidden with the second result it is gone.
function environment.close(env, where)
  if env.print then
    env.print = core.pure.forbid(env.print, "print: not in a pure function: each replica would do it")
  end
  env._G = env
  local known, globals = options.keys(env), {}
  for _, key in ipairs(known) do
    local v = env[key]
    if libraries[key] then v = seal(v, key) elseif type(v) == "function" then core.pure.library(v, key) end
    globals[key], env[key] = v, nil
  end
  core.pure.library(env, "_ENV")
  if globals.orrery then core.pure.library(globals.orrery, "orrery") end
  if globals.node then core.pure.hide(globals, "node", nodeless) end
  setmetatable(globals, { __index = function(_, key)
    error(("%s has no global %s%s"):format(where, tostring(key), options.hint(key, known)), 2)
  end })
  setmetatable(env, {
    __metatable = false, __index = globals,
    __newindex = function(_, key)
      local complaint = rawget(globals, key) == nil and "%s makes no globals: write local %s" or "%s can't change %s"
      error(complaint:format(where, tostring(key)), 2)
    end,
    __pairs = function() return base.pairs(globals) end,
  })
  return env, globals
end

-- -- Bounds ---------------------------------------------------------------------------------------------------------
-- A complaint in words: of memory Lua itself says only that there isn't enough.
local function in_words(message, bytes_max)
  if message ~= "not enough memory" then return message end
  return ("used more than %d bytes of memory"):format(bytes_max)
end

-- As pcall(f, ...), while this state may not grow by more than so many bytes: what eats memory is told so, and takes
-- neither this process nor the machine with it.
function environment.limited(f, bytes_max, ...)
  local results = table.pack(core.memory.limit(bytes_max, f, ...))
  if not results[1] then results[2] = in_words(results[2], bytes_max) end
  return table.unpack(results, 1, results.n)
end

local function run_through(f, ...)
  local thread = coroutine.create(f)
  local ok, result = coroutine.resume(thread, ...)
  return ok, result, coroutine.status(thread) ~= "dead"
end

-- Runs f(...) with a bound on its instructions; what loops is told so, and not waited for. As pcall, without results
-- beyond the first. The bound on memory is somebody else's; bytes_max is what to tell where it is met.
function environment.bounded(f, steps_max, bytes_max, ...)
  local of_strings = debug.getmetatable ""
  local index = of_strings.__index
  of_strings.__index = libraries.string         -- ("x"):rep, too
  local ran, ok, result, waits = core.budget.run(steps_max, run_through, f, ...)
  of_strings.__index = index
  if not ran then return false, in_words(ok, bytes_max) end
  if ok and waits then return false, "nothing may wait or yield while a file loads" end
  return ok, ok and result or in_words(result, bytes_max)
end

return environment
