-- file.lua - fault files: the verbs of a simulation as lines of text, played and written.
--
--     between(3.2, 4.1):cut("a", "b")            every(2):reset("a", "b")
--     at(5):restart(any(1), "empty")             when("leader"):kill(leader)
--
-- A file is Lua whose globals are the moments, the selectors, and the verbs (which are done at once, as the file is
-- read: at the run's beginning). A time that is past then is now. What it plans is the run's until heal().
local options = require "orrery.options"

local file = {}
local ns = 1000000000

-- -- Playing --------------------------------------------------------------------------------------------------------
local selectors = { "all", "any", "leader", "follower", "role" }
local plain = { "assert", "error", "ipairs", "pairs", "select", "tonumber", "tostring", "type", "string", "table" }

-- A method of the simulation as a global. Tail calls: a complaint points at the file's line.
local function global(sim, f)
  return function(...) return f(sim, ...) end
end

-- The simulation starts a little after 0, when its nodes are up.
local function not_past(sim, T)
  return type(T) == "number" and math.max(T, sim:now()) or T
end

local function environment(sim, methods, verbs)
  local env = { math = {} }
  for _, name in ipairs(plain) do env[name] = _G[name] end
  for name, f in pairs(math) do if not name:find "^random" then env.math[name] = f end end
  for name in pairs(verbs) do env[name] = global(sim, methods[name]) end
  for _, name in ipairs(selectors) do env[name] = methods[name] end
  env.at = function(T) return methods.at(sim, not_past(sim, T)) end
  env.between = function(from, till) return methods.between(sim, not_past(sim, from), till) end
  env.every = global(sim, methods.every)
  env.when = global(sim, methods.when)
  local known = options.keys(env)
  return setmetatable(env, { __index = function(_, key)
    error(("%s is unknown%s"):format(tostring(key), options.hint(key, known)), 2)
  end })
end

local function read(path)
  local f, why = io.open(path, "r")
  if not f then return nil, why end
  local text = f:read "a"
  f:close()
  return text
end

-- A path or the text itself: true; or nil and what is wrong, with its line.
function file.play(sim, given, methods, verbs)
  local text, name = given, "=faults"
  if given:find "%.lua$" and not given:find "\n" then
    local why
    text, why = read(given)
    if not text then return nil, why end
    name = "@" .. given
  end
  local chunk, why = load(text, name, "t", environment(sim, methods, verbs))
  if not chunk then return nil, why end
  local before = sim.planning
  sim.planning = "file"
  local ok, message = pcall(chunk)
  sim.planning = before
  if ok then return true end
  return nil, (tostring(message):gsub("^(.-:%d+: )sim:", "%1"))
end

-- -- Writing --------------------------------------------------------------------------------------------------------
-- "3.2" of ns: exact, and no longer than needed.
local function seconds(t)
  local text = ("%d.%09d"):format(t // ns, t % ns):gsub("0+$", "")
  return (text:gsub("%.$", ""))
end

local function value(v)
  if type(v) == "table" then
    local parts = {}
    for i, x in ipairs(v) do parts[i] = value(x) end
    return #parts > 0 and "{ " .. table.concat(parts, ", ") .. " }" or "{}"
  end
  if math.type(v) == "float" then
    local short = ("%.9f"):format(v):gsub("0+$", ""):gsub("%.$", "")
    return tonumber(short) == v and short or ("%.17g"):format(v)
  end
  return type(v) == "string" and ("%q"):format(v) or tostring(v)
end

-- A strike as sim.core:strikes() gives it, in a line.
function file.line(strike)
  local arguments = {}
  for i, v in ipairs(strike) do arguments[i] = value(v) end
  local moment = ("at(%s)"):format(seconds(strike.at))
  if strike.till then moment = ("between(%s, %s)"):format(seconds(strike.at), seconds(strike.till)) end
  return ("%s:%s(%s)"):format(moment, strike.verb, table.concat(arguments, ", "))
end

-- The fault file of these strikes: a line for each, in the order in which they come.
function file.write(strikes)
  local order, lines = {}, {}
  for i, strike in ipairs(strikes) do order[i] = { at = strike.at, i = i, line = file.line(strike) } end
  table.sort(order, function(a, b)
    if a.at ~= b.at then return a.at < b.at end
    return a.i < b.i
  end)
  for i, item in ipairs(order) do lines[i] = item.line .. "\n" end
  return table.concat(lines)
end

return file
