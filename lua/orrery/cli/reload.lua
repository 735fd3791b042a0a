-- reload.lua - orrery reload: the scripts of a cluster file, as they are now, take over on its live nodes.
--
-- Each node is asked at its own address, and reads its own files. What is wrong with them is found here first, before
-- any node is asked. Then the groups are watched until they run what their nodes do.
local cluster = require "orrery.cluster"
local connect = require "orrery.connect"
local options = require "orrery.options"
local prepare = require "orrery.cli.prepare"

local patience = 10                 -- seconds for groups to go over
local pause = 0.1

local function say(text)
  io.stdout:write(text, "\n")
  io.stdout:flush()
end

-- Asks node `member`: its handle, or nil where it wasn't reached; and whether it runs the new scripts.
local function reload(member, opts)
  local node, message = connect.new(member.at, { timeout = opts.timeout })
  if not node then
    message = message:gsub("^orrery%.connect: ", "")
    io.stderr:write(("orrery: node %s is not reached: %s\n"):format(member.id, message))
    return nil, false
  end
  local ok, why = node:reload()
  if ok then
    say(("node %s reloaded"):format(member.id))
  else
    io.stderr:write(("orrery: node %s goes on as it was: %s\n"):format(member.id, why))
  end
  return node, ok == true
end

-- { GROUP = { how many replicas run their node's scripts, how many don't, the code of the former } }
local function look(nodes)
  local groups = {}
  for _, node in ipairs(nodes) do
    for name, status in pairs(node:status().groups) do
      if status.code then
        local g = groups[name] or { new = 0, old = 0 }
        groups[name] = g
        if status.next_code then g.old = g.old + 1 else g.new, g.code = g.new + 1, status.code end
      end
    end
  end
  return groups
end

local function settled(groups)
  for _, g in pairs(groups) do if g.old > 0 then return false end end
  return true
end

-- Until all replicas run what their nodes do, or there is no more patience.
local function watch(nodes)
  local until_time, groups = os.time() + patience, look(nodes)
  while not settled(groups) and os.time() < until_time do
    nodes[1]:step(pause)
    groups = look(nodes)
  end
  for _, name in ipairs(options.keys(groups)) do
    local g = groups[name]
    if g.old == 0 then
      say(("group %s runs bundle %s"):format(name, g.code:sub(1, 8)))
    else
      say(("group %s goes on with what it ran before: the log of its leader says why"):format(name))
    end
  end
  return settled(groups)
end

local function run(opts, arguments, context)
  local ready, message = prepare.cluster(arguments[1], opts, opts.node)
  if not ready then return context.wrong(message) end
  local nodes, all = {}, true
  for _, member in ipairs(ready.value.nodes) do
    if not opts.node or member.id == opts.node then
      local node, ok = reload(member, opts)
      nodes[#nodes + 1], all = node, all and ok
    end
  end
  if all and not opts.node then
    all = watch(nodes)
  elseif #nodes > 0 then
    say "groups go over once every voter has the new scripts"
  end
  for _, node in ipairs(nodes) do node:close() end
  return all and 0 or 1
end

return {
  usage = "orrery reload CLUSTER.lua [--node ID] [--timeout SECONDS]",
  about = "has the scripts of a cluster file, as they are now, take over on its live nodes",
  notes = [[
Each node that `orrery up` or `orrery run` has started reads its own files anew; connections, groups and leaders stay,
tasks of the old scripts have 5 s. A node whose new scripts don't run goes on with the old ones, and says why. A group
goes over to the new code at one entry of its log, once all its voters have it. Exit status: 0 all nodes run the new
scripts, and their groups too; 1 some don't; 2 wrong use, or scripts that don't run here.]],
  arguments = { "CLUSTER.lua" },
  options = {
    { "--node", "ID", "this node alone" },
    { "--timeout", "SECONDS", "how long a node may take to answer (10 by default)", kind = "seconds" },
  },
  run = run,
}
