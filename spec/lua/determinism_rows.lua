-- determinism_rows.lua MODE - every row of README's table "What makes replicas differ", run once: a line NAME = RESULT.
--
-- MODE is `stock` (Lua's own libraries), `here` (a script's environment) or `pure` (a pure function in it). A row is
-- the text of a function's body; `differs` says that stock Lua was seen to give different results in other processes.
local rows = {
  { "order of pairs and next", differs = true, [[
    local t, list = {}, {}
    for i = 1, 200 do t["key" .. i], t[i * 1.5], t[-i * i] = i, i, i end
    t[true], t[false] = 1, 1
    for k, v in pairs(t) do list[#list + 1] = tostring(k) .. v end
    local k, v = next(t)
    while k ~= nil do
      list[#list + 1] = tostring(k) .. v
      k, v = next(t, k)
    end
    return table.concat(list, " ")]] },
  { "keys that come or go in a walk", differs = true, [[
    local t, list = {}, {}
    for i = 1, 50 do t["key" .. i] = i end
    for k in pairs(t) do
      list[#list + 1] = k
      t[k .. "x"], t["key" .. #list] = 1, nil
      if #list > 500 then break end
    end
    return table.concat(list, " ")]] },
  { "equal elements in table.sort", differs = true, [[
    local t, n, sum = {}, 20000, 0
    for i = 1, n do t[i] = { key = (i < n / 2 and i or n - i) // 4, i = i } end
    table.sort(t, function(a, b) return a.key < b.key end)
    for i = 1, n do sum = (sum * 31 + t[i].i) & 0xffffffff end
    return sum]] },
  { "names of references", differs = true, [[
    return tostring {} .. ("%s %p "):format({}, {}) .. tostring(pairs) .. tostring(coroutine.create(next))
      .. tostring(select(2, pcall(error, {}))) .. ("%s"):format(coroutine.running())]] },
  { "weak tables", differs = false, [[
    local t, n = setmetatable({}, { __mode = "k" }), 0
    for i = 1, 20000 do t[{}] = i end
    for _ in next, t do n = n + 1 end
    return n]] },
  { "__gc", differs = false, [[
    local n = 0
    for _ = 1, 20000 do setmetatable({}, { __gc = function() n = n + 1 end }) end
    return n]] },
  { "chance", differs = true, [[return math.random() .. " " .. math.random(10) .. " " .. math.random(0)]] },
  { "last bits of functions", [[
    local list = {}
    for _, name in ipairs { "exp", "log", "sin", "cos", "tan", "asin", "acos", "atan" } do
      list[#list + 1] = tostring(select(2, pcall(math[name], 0.3)))
    end
    return table.concat(list, " ")]] },
  { "classes of characters", [[
    local all = {}
    for i = 0, 255 do all[i + 1] = string.char(i) end
    all = table.concat(all)
    local list = { #all:upper(), all:upper():byte(1, -1) }
    for class in ("acdglpsuwx"):gmatch "." do
      list[#list + 1] = (all:gsub("%" .. class, "")):gsub(".", function(c) return c:byte() .. "," end)
    end
    return table.concat(list, " ")]] },
  { "patterns that take their time", here = "ran for more than", steps = 1000000, [[
    return ("a"):rep(60):find(("a*"):rep(30) .. "b")]] },
  { "functions that take their time", here = "ran for more than", steps = 1000000, [[
    return table.move({}, 1, 1 << 62, 2)]] },
  { "loops that catch their end", here = "ran for more than", steps = 1000000, [[
    while true do
      pcall(coroutine.wrap(function() pcall(load, function() while true do end end) end))
    end]] },
  { "memory that runs out", bytes = 1 << 25, pure = "memory ran out in apply", here = "caught", [[
    local t = {}
    pcall(function() for i = 1, 1e6 do t[i] = ("x"):rep(1000000) .. i end end)
    t = nil
    return "caught"]] },
  { "state that is left behind", here = "read%-only.*can't change.*makes no globals.*read%-only", [[
    local list = {}
    for _, text in ipairs { "math.x = 1", "pairs = 1", "x = 1", "rawset(string, 'x', 1)" } do
      list[#list + 1] = select(2, pcall(load(text)))
    end
    return table.concat(list, " ")]] },
  { "the depth at which a stack overflows", [[
    local n = 0
    local function down() n = n + 1 return 1 + down() end
    local ok, message = pcall(down)
    return n .. message]] },
  { "what is not there", here = "^nil nil nil nil nil nil$", [[
    local list = {}
    for _, name in ipairs { "os", "io", "debug", "package", "collectgarbage" } do
      list[#list + 1] = tostring(select(2, pcall(load("return " .. name))))
      list[#list] = list[#list]:find "has no global" and "nil" or "there"
    end
    return table.concat(list, " ") .. " " .. tostring(string.dump)]] },
}

local function call(mode, row)
  local text = row[2]
  if mode == "stock" then
    if row.here then return "not run" end
    return pcall(load(text, "=row"))
  end
  local core, environment = require "orrery.core", require "orrery.environment"
  environment.seed(7)
  local f = assert(load(text, "=row", "t", environment.close(environment.script(), "a script")))
  local of_strings = debug.getmetatable ""
  of_strings.__index = environment.strings
  local function run()
    if mode == "pure" then return core.pure.call(row.steps or 12000000, 7, f) end
    return core.budget.run(row.steps or 12000000, f)
  end
  local ran, ok, result = core.memory.limit(row.bytes or 1 << 28, run)
  of_strings.__index = string
  return ran and ok, result
end

if not ... or ... == "rows" then return rows end
for _, row in ipairs(rows) do
  local _, result = call(..., row)
  io.write(row[1], " = ", (tostring(result):gsub("[^ -~]", " ")), "\n")
end
