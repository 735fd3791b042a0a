-- cli.lua - the program's command line: finds the command, reads its options, gives the exit status.
--
-- A command is a module in cli/: { usage, about, options, arguments, run(opts, arguments, context) -> status }. What is
-- said of wrong use is one line on stderr, and the status is 2. Anything that is no command but a file is a Lua script.
local args = require "orrery.cli.args"
local core = require "orrery.core"
local options = require "orrery.options"

local commands = { "up", "run", "reload", "sim", "check", "repl", "clock", "lint", "bench", "ntp" }
local later = { job = true }

local function every_name()
  local names = table.move(commands, 1, #commands, 1, {})
  for name in pairs(later) do names[#names + 1] = name end
  return names
end

local function wrong(text)
  io.stderr:write("orrery: ", text, "\n")
  return 2
end

local function help()
  local lines = { "usage: orrery COMMAND [OPTION]...    or    orrery FILE.lua [ARG]...", "" }
  for _, name in ipairs(commands) do
    lines[#lines + 1] = ("  %-6s %s"):format(name, require("orrery.cli." .. name).about)
  end
  lines[#lines + 1] = "  FILE   runs a Lua script as lua5.4 would, with orrery = require \"orrery\" done"
  lines[#lines + 1] = ""
  lines[#lines + 1] = "orrery COMMAND --help says more; orrery --version which this is."
  print(table.concat(lines, "\n"))
  return 0
end

local function command(name, given, context)
  local module = require("orrery.cli." .. name)
  local opts, arguments, message = args.parse(given, module)
  if not opts then return wrong(("%s: %s; orrery %s --help lists them"):format(name, message, name)) end
  if opts.help then
    print(args.help(module))
    return 0
  end
  if opts.version then
    print(context.version)
    return 0
  end
  return module.run(opts, arguments, context)
end

local function is_file(path)
  local file = io.open(path, "rb")
  if not file then return false end
  local readable = file:read(0) ~= nil or file:seek "end" == 0
  file:close()
  return readable
end

-- argv as C has it (argv[0] is the program), build: how it was compiled.
return function(argv, build)
  local first = argv[1]
  local context = { version = ("orrery %s (%s)"):format(core.version, build), wrong = wrong }
  if first == nil then
    help()
    return 2
  elseif first == "--help" or first == "-h" then
    return help()
  elseif first == "--version" then
    print(context.version)
    return 0
  end
  for _, name in ipairs(commands) do
    if first == name then return command(name, table.move(argv, 2, #argv, 1, {}), context) end
  end
  if later[first] then
    return wrong(("%s is not available in this version (%s)"):format(first, core.version))
  elseif first:find "^%-" then
    return wrong(("unknown option '%s'%s"):format(first, options.hint(first, { "--help", "--version" })))
  elseif is_file(first) then
    return require "orrery.cli.script"(argv)
  elseif first:find "%.lua$" or first:find("/", 1, true) then
    local _, why = io.open(first, "rb")
    return wrong(("cannot read %s"):format(why or first))
  end
  return wrong(("unknown command '%s'%s; orrery --help lists them"):format(first, options.hint(first, every_name())))
end
