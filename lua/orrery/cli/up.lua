-- up.lua - orrery up: every node of a cluster file on this machine, a process each.
--
-- The children are `orrery run` of the same file. Their stdout is read for `ready`, their stderr is passed on with the
-- id in front. A child that dies is reported and not started anew: to see what a cluster does then is what one runs it
-- for. Children can't outlive this process, however it ends (orrb_process.c).
local core = require "orrery.core"
local prepare = require "orrery.cli.prepare"

local patience = 10                 -- seconds from SIGTERM to SIGKILL

local function say(text)
  io.stdout:write(text, "\n")
  io.stdout:flush()
end

local up = {}
up.__index = up

-- -- Children -------------------------------------------------------------------------------------------------------
function up:start(program, path, opts, data)
  for _, member in ipairs(self.value.nodes) do
    local argv = { program, "run", path, "--node", member.id, "--data", data }
    if opts.debug then argv[#argv + 1] = "--debug" end
    for _, set in ipairs(opts.set or {}) do
      argv[#argv + 1], argv[#argv + 2] = "--set", ("%s=%s"):format(set.name, set.value)
    end
    local pid, message = self.nursery:spawn(argv)
    if not pid then return message end
    self.children[pid] = { id = member.id, rest = { out = "", err = "" } }
    self.living = self.living + 1
    say(prepare.line(member, pid))
  end
end

local function pass_on(child, stream, text)
  if stream == "out" and text == "ready" then
    child.ready = true
  elseif stream == "err" then
    io.stderr:write(child.id, ": ", text, "\n")
  end                               -- its own `node ...` line was said when it was started
end

function up:data(pid, stream, bytes)
  local child = self.children[pid]
  local text = child.rest[stream] .. bytes
  local at = 1
  for line, next_at in text:gmatch "([^\n]*)\n()" do
    pass_on(child, stream, line)
    at = next_at
  end
  child.rest[stream] = text:sub(at)
  if #child.rest[stream] > 65536 then
    pass_on(child, stream, child.rest[stream])
    child.rest[stream] = ""
  end
end

function up:exit(pid, how, what)
  local child = self.children[pid]
  for _, stream in ipairs { "out", "err" } do
    if child.rest[stream] ~= "" then pass_on(child, stream, child.rest[stream]) end
  end
  self.children[pid] = nil
  self.living = self.living - 1
  if self.stopping then return end
  say(("node %s pid %d died: %s"):format(child.id, pid, how == "signal" and what or "exit status " .. what))
  if what == 2 and not self.said_ready then self:stop(2) end
  if self.living == 0 and not self.stopping then self.status = 1 end
end

-- -- The whole ------------------------------------------------------------------------------------------------------
function up:all(signal)
  for pid in pairs(self.children) do self.nursery:kill(pid, signal) end
end

function up:stop(status)
  if self.stopping then return end
  self.stopping, self.status = os.time() + patience + 1, status
  self:all "TERM"
end

function up:settle()
  local ready = self.living > 0
  for _, child in pairs(self.children) do ready = ready and child.ready end
  if ready and not self.said_ready and not self.stopping then
    self.said_ready = true
    say "ready"
  end
  if self.stopping and os.time() >= self.stopping then
    io.stderr:write(("orrery: %d node(s) did not stop within %d s: killed\n"):format(self.living, patience))
    self.stopping, self.status = math.huge, 1
    self:all "KILL"
  end
end

-- Until all have ended; gives the exit status.
function up:watch()
  local events = { data = self.data, exit = self.exit, signal = function() self:stop(0) end }
  while self.living > 0 do
    local event, a, b, c = self.nursery:wait(self.stopping and 0.2 or math.huge)
    if event then events[event](self, a, b, c) end
    self:settle()
  end
  return self.status
end

local function run(opts, arguments, context)
  local ready, message = prepare.cluster(arguments[1], opts)
  if not ready then return context.wrong(message) end
  for _, id in ipairs(ready.ids) do
    message = prepare.addresses(ready.value, id)
    if message then return context.wrong(message) end
  end
  local data, why = prepare.directory(ready.value, opts)
  if not data then return context.wrong(why) end
  local nursery <close> = assert(core.process.nursery())
  local self = setmetatable({ value = ready.value, nursery = nursery, children = {}, living = 0, status = 1 }, up)
  message = self:start(assert(core.process.program()), arguments[1], opts, data)
  if message then
    self:stop(1)
    io.stderr:write("orrery: ", message, "\n")
  end
  return self:watch()
end

return {
  usage = "orrery up CLUSTER.lua [--data DIR] [--set NAME=VALUE]... [--debug]",
  about = "starts every node of a cluster file on this machine, a process each",
  notes = [[
It prints a line `node ID pid PID at ADDRESS resp ADDRESS` for each (a pair NAME ADDRESS for each further listener),
then `ready` once the cluster answers. Their logs come on stderr, each line with the node's id in front. A node that
dies is reported (`node ID pid PID died: HOW`) and not restarted; `orrery run` with the same --data brings it back.
SIGINT and SIGTERM stop all; what has not stopped after 10 s is killed.]],
  arguments = { "CLUSTER.lua" },
  options = {
    { "--data", "DIR", "where the data are: DIR/ID (default: NAME-data here, by the cluster's name)" },
    prepare.set_option,
    { "--debug", nil, "logs more" },
  },
  run = run,
}
