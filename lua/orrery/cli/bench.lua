-- bench.lua - orrery bench: the benchmarks that lie beside the program in a build, by name.
local core = require "orrery.core"
local options = require "orrery.options"

-- Benchmarks are programs; the build lists them in a file, a line `NAME PROGRAM what it measures` each.
local function listed()
  local home = core.process.program():match "^(.*)/"
  local list, names = {}, {}
  local file = io.open(home .. "/bench/list", "r")
  for line in file and file:lines() or function() end do
    local name, program, about = line:match "^(%S+) (%S+) (.*)$"
    if name then
      list[name], names[#names + 1] = { program = home .. "/bench/" .. program, about = about }, name
    end
  end
  if file then file:close() end
  return list, names
end

local function run(opts, arguments, context)
  local list, names = listed()
  local name = arguments[1]
  if not name then
    print(#names == 0 and "no benchmarks are built beside this program" or "benchmarks:")
    for _, each in ipairs(names) do print(("  %-12s %s"):format(each, list[each].about)) end
    return 0
  elseif not list[name] then
    return context.wrong(("bench: no benchmark '%s'%s"):format(name, options.hint(name, names)))
  end
  local quoted = "'" .. list[name].program:gsub("'", "'\\''") .. "'"
  local ok, how, code = os.execute(quoted .. (opts.json and " --json" or ""))
  return ok and 0 or how == "exit" and code or 1
end

return {
  usage = "orrery bench [NAME] [--json]",
  about = "runs a benchmark by name, or lists them",
  arguments = {}, more = true,
  options = { { "--json", nil, "a line of JSON instead of text" } },
  run = run,
}
