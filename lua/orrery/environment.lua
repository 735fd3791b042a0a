-- environment.lua - what scripts and cluster files see: Lua's pure library, nothing of os, io, debug or package.
--
-- Each environment has copies of the library's tables, so that nobody can change them for others, and is closed: making
-- a global raises, and so does asking for one that isn't there, which is nearly always a misspelt local.
local core = require "orrery.core"
local options = require "orrery.options"

local environment = {}

local pure = {
  "assert", "error", "ipairs", "next", "pairs", "pcall", "rawequal", "rawget", "rawlen", "select", "tonumber",
  "tostring", "type",
}
local more = { "xpcall", "getmetatable", "setmetatable", "rawset" }

local function copy_of(library, ...)
  local copy = {}
  for key, v in pairs(library) do copy[key] = v end
  for _, key in ipairs { ... } do copy[key] = nil end
  return copy
end
environment.copy_of = copy_of

-- The part that has the same result everywhere: for cluster files.
function environment.pure()
  local env = {
    math = copy_of(math, "random", "randomseed"), string = copy_of(string, "dump"),
    table = copy_of(table), utf8 = copy_of(utf8),
  }
  for _, name in ipairs(pure) do env[name] = _G[name] end
  return env
end

-- For node scripts: chance too (the caller has seeded it), and text, never bytecode, can be loaded.
function environment.script()
  local env = environment.pure()
  env.math.random, env.coroutine = math.random, copy_of(coroutine)
  for _, name in ipairs(more) do env[name] = _G[name] end
  function env.load(chunk, name, mode, upvalue)
    if mode ~= nil and mode ~= "t" then error("load: only text can be loaded, mode must be \"t\"", 2) end
    return load(chunk, name, "t", upvalue or env)
  end
  return env
end

-- Closes it. `where` names its kind in complaints.
function environment.close(env, where)
  env._G = env
  local known = options.keys(env)
  return setmetatable(env, {
    __metatable = false,
    __index = function(_, key)
      error(("%s has no global %s%s"):format(where, tostring(key), options.hint(key, known)), 2)
    end,
    __newindex = function(_, key)
      error(("%s makes no globals: write local %s"):format(where, tostring(key)), 2)
    end,
  })
end

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

-- Runs f(...) with a bound on its instructions; what loops is told so, and not waited for. As pcall, without results
-- beyond the first. The bound on memory is somebody else's; bytes_max is what to tell where it is met.
function environment.bounded(f, steps_max, bytes_max, ...)
  local thread = coroutine.create(f)
  local steps, stride = 0, math.min(steps_max, 1000000)
  debug.sethook(thread, function()
    steps = steps + stride
    if steps >= steps_max then error(("ran for more than %d instructions"):format(steps_max), 2) end
  end, "", stride)
  local ok, result = coroutine.resume(thread, ...)
  if ok and coroutine.status(thread) ~= "dead" then return false, "nothing may wait or yield while a file loads" end
  return ok, ok and result or in_words(result, bytes_max)
end

return environment
