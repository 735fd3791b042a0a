-- bench.lua - orrery bench: the benchmarks of the checkout that the program was built in, by name.
local core = require "orrery.core"
local options = require "orrery.options"

-- spec/bench/list has a line `NAME SCRIPT what it measures` for each. The program lies in build/PRESET of the checkout.
local function listed()
  local home = core.process.program():match "^(.*)/" .. "/../../spec/bench/"
  local list, names = {}, {}
  local file = io.open(home .. "list", "r")
  for line in file and file:lines() or function() end do
    local name, script, about = line:match "^(%S+) (%S+) (.*)$"
    if name then list[name], names[#names + 1] = { script = home .. script, about = about }, name end
  end
  if file then file:close() end
  return list, names
end

local function run(_, arguments, context)
  local list, names = listed()
  local name = arguments[1]
  if not name then
    print(#names > 0 and "benchmarks:" or "no benchmarks here: they belong to a checkout, not to what is installed")
    for _, each in ipairs(names) do print(("  %-12s %s"):format(each, list[each].about)) end
    return 0
  elseif not list[name] then
    return context.wrong(("bench: no benchmark '%s'%s"):format(name, options.hint(name, names)))
  end
  local _, how, code = os.execute("'" .. list[name].script:gsub("'", "'\\''") .. "'")
  return how == "exit" and code or 1
end

return {
  usage = "orrery bench [NAME]",
  about = "runs a benchmark by name, or lists them",
  arguments = {}, more = true,
  options = {},
  run = run,
}
