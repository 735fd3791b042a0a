-- run.lua - orrery run: one node of a cluster file, in the foreground.
local cluster = require "orrery.cluster"
local core = require "orrery.core"
local prepare = require "orrery.cli.prepare"

local function say(text)
  io.stdout:write(text, "\n")
  io.stdout:flush()
end

-- Turns until the node answers, or stops before it does.
local function until_ready(live)
  while live:step(0.02) do
    if live:status().ready then return true end
  end
end

-- The scripts of the file as they are now take over, where nothing is wrong with them.
local function reload(live, opts, arguments)
  local ready, message = prepare.cluster(arguments[1], opts, opts.node)
  if ready then live:reload(ready.text(opts.node)) else live:refuse(message) end
end

local function run(opts, arguments, context)
  if not opts.node then return context.wrong "run: --node ID is missing; orrery run --help lists the options" end
  local ready, message = prepare.cluster(arguments[1], opts, opts.node)
  if not ready then return context.wrong(message) end
  message = prepare.addresses(ready.value, opts.node)
  if message then return context.wrong(message) end
  local data, why = prepare.directory(ready.value, opts)
  if not data then return context.wrong(why) end
  local dir = data .. "/" .. opts.node
  local live <close>, failure, code = core.live.new {
    plan = ready.text(opts.node), id = opts.node, path = package.path, dir = dir, signals = true, debug = opts.debug,
  }
  if not live then
    if code == "busy" then failure = dir .. " is in use by another process" end
    return context.wrong(failure)
  end
  say(prepare.line(cluster.node(ready.value, opts.node), core.process.pid()))
  if until_ready(live) then say "ready" end
  local status, reason = live:run()
  while status == nil do
    reload(live, opts, arguments)
    status, reason = live:run()
  end
  if status ~= 0 then io.stderr:write(("orrery: node %s: %s\n"):format(opts.node, reason)) end
  return status
end

return {
  usage = "orrery run CLUSTER.lua --node ID [--data DIR] [--set NAME=VALUE]... [--debug]",
  about = "runs one node of a cluster file in the foreground",
  notes = [[
Its data are in DIR/ID. It prints one line, `node ID pid PID at ADDRESS resp ADDRESS`, then `ready` once the cluster
answers. SIGINT and SIGTERM stop it cleanly: a leader hands over first. Exit status: 0 stopped, 2 wrong use or a
directory that another process or another node has, 3 damaged data, 4 the disk.]],
  arguments = { "CLUSTER.lua" },
  options = {
    { "--node", "ID", "which node of the file this is" },
    { "--data", "DIR", "where the data are: DIR/ID (default: NAME-data here, by the cluster's name)" },
    prepare.set_option,
    { "--debug", nil, "logs more" },
  },
  run = run,
}
