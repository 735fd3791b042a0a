-- repl.lua - orrery repl: the prompt, on nothing, on a simulated cluster or on a live one; lines from a pipe without
-- one. While a prompt on a live cluster waits for a line, it looks on: what is watched is told above it.
local core = require "orrery.core"
local edit = require "orrery.edit"
local help = require "orrery.help"
local interrupt = require "orrery.interrupt"
local orrery = require "orrery"
local repl = require "orrery.repl"
local bare = require "orrery.repl.bare"
local complete = require "orrery.repl.complete"
local frame = require "orrery.repl.frame"
local history = require "orrery.repl.history"

local about = [[
What is typed is Lua: expressions are shown, _ is the last result, variables stay unless they are local. Tab completes,
the arrows go through what was typed before, Ctrl-C ends what runs, Ctrl-D leaves. help "topic" and help(f) say more.]]

local function width()
  return edit.columns() or 100
end

local function roots(on)
  local list = {
    { name = "orrery", value = orrery }, { name = "orrery.topology", value = orrery.topology },
    { name = "topology", value = orrery.topology.mesh() }, { name = "help", value = _G.help },
    { name = "cluster", value = _G.cluster },
  }
  if on and on.sim then
    list[#list + 1] = { name = "sim", value = on.sim }
    list[#list + 1] = { name = "handle", value = on.sim.nodes[on.ids[1]] }
  elseif on then
    list[#list + 1] = { name = "connected", value = on.live }
  end
  return list
end

-- Scripts' own verbs are not the prompt's, and those of a cluster only where there is one. where.on: on what the prompt
-- is, or nil; where.bare: it began on nothing.
local function is_shown(where)
  return function(topic)
    local on = where.on
    if topic.name:find "^sim:" or topic.name:find "^handle:" then return on ~= nil and on.sim ~= nil end
    if topic.name:find "^connected:" then return on ~= nil and on.live ~= nil end
    if topic.name == "cluster" then return where.bare end
    return topic.name:find "^orrery%." or topic.name == "help"
  end
end

-- -- Sessions -------------------------------------------------------------------------------------------------------
local function write(text)
  io.stdout:write(text, "\n")
end

local function complain(text)
  io.stdout:flush()
  io.stderr:write(text, "\n")
end

local function piped()
  return {
    env = _G, width = width, write = write, complain = complain, guard = edit.guard,
    prompt = function() return "" end,
    read = function()
      local line = io.read "L"
      if not line then return nil, "end" end
      return (line:gsub("\r?\n$", ""))
    end,
    remember = function() end, interrupted = function() end,
  }
end

-- idle(): what editor:read calls while it waits, or nil.
local function typed(editor, prompt, idle)
  local lines, add = history.open(history.path(os.getenv))
  for _, line in ipairs(lines) do editor:remember(line) end
  return {
    env = _G, width = width, write = write, complain = complain, guard = edit.guard, prompt = prompt,
    read = function(text)
      local line, why, empty = editor:read(text, idle)
      if why == "end" then write "" end
      return line, why, empty
    end,
    remember = function(line)
      editor:remember(line)
      add(line)
    end,
    interrupted = function(nothing_typed) write(nothing_typed and "  (again, or Ctrl-D, to leave)" or "") end,
  }
end

local function converse(known, where)
  local editor <close> = assert(edit.open(complete.completer(known)))
  local banner = ("orrery %s, %s. help() lists what there is; Ctrl-D leaves."):format(core.version, _VERSION)
  write(where.on and where.on.banner or banner)
  repl.run(typed(editor, function() return where.on and where.on.prompt() or "> " end, where.on and where.on.idle))
  return 0
end

-- At a prompt on nothing, `cluster` puts one there.
local function offer_cluster(where, known)
  where.bare = true
  _G.cluster = bare.new(_G, function(on)
    where.on = on
    table.move(on.ids, 1, math.max(#on.ids, #known.ids), 1, known.ids)
    write(on.banner)
  end)
end

-- -- The command ----------------------------------------------------------------------------------------------------
local function simulation(path, opts)
  return require "orrery.sim".new(path, opts)
end

local function is_address(text)
  return text:find "^.+:%d+$" ~= nil
end

local function run(opts, arguments, context)
  local path, on, message = arguments[1], nil, nil
  if #arguments > 1 then return context.wrong(("repl: '%s' is one argument too many; orrery repl --help lists them")
    :format(arguments[2])) end
  if opts.connect and path then return context.wrong "repl: --connect and CLUSTER.lua exclude each other" end
  if opts.connect and not is_address(opts.connect) then
    return context.wrong(("repl: --connect: an address is expected, HOST:PORT (got %q)"):format(opts.connect))
  end
  if not path and opts.seed then return context.wrong "repl: --seed is a simulation's: CLUSTER.lua is missing" end
  _G.orrery, interrupt.pending = orrery, edit.pending
  if path then
    on, message = frame.new(_G, path, { seed = opts.seed }, simulation)
    if not on then return context.wrong((message:gsub("^repl: ", ""))) end
  end
  if opts.connect then
    on, message = frame.connect(_G, opts.connect, orrery.connect)
    if not on then
      complain("orrery: repl: " .. message)
      return 1
    end
  end
  local where = { on = on, bare = false }
  local asked = help.new {
    about = function() return about end, width = width, shown = is_shown(where),
    roots = function() return roots(where.on) end,
  }
  local known = { env = _G, ids = on and on.ids or {}, topics = asked.names, members = asked.members, width = width }
  _G.help = function(...) write(asked.ask(...)) end
  if not on then offer_cluster(where, known) end
  if not edit.is_terminal() then return repl.run(piped()) == 0 and 0 or 1 end
  return converse(known, where)
end

return {
  usage = "orrery repl [CLUSTER.lua] [--seed N]    or    orrery repl --connect ADDR",
  about = "a prompt for Lua with orrery at hand, on a simulated cluster, a live one, or on nothing",
  notes = about .. "\n\n" .. [[
With CLUSTER.lua: sim is the simulation of that file, each node's id a variable, and the prompt shows the virtual time.
On nothing, c = cluster(5) makes a running cluster of five without a file: c:call("n1", "set", "k", "v"), c:kill "n2".
With --connect ADDR: live is the node whose address in the cluster file is ADDR ("127.0.0.1:7401"), on this machine; it
and the other nodes are variables, and are asked: a:call("add", 5), a:eval "counter:status()", a:status(). While the
prompt waits it looks on: live:watch "leader" tells of changes above it, live:timeline() what was seen so far.
Without a terminal, lines are read from stdin and run, results printed, and nothing else; exit status: 0, or 1 if one of
them failed, or no node lets this in at ADDR. 2 is wrong use. What is typed is kept in XDG_STATE_HOME/orrery/history
(~/.local/state/orrery/history).]],
  arguments = {}, more = true,
  options = {
    { "--seed", "N", "of the simulation (default: 1)", kind = "integer" },
    { "--connect", "ADDR", "of a node that runs on this machine: a prompt on its cluster" },
  },
  run = run,
}
