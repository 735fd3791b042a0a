-- frame.lua - what a prompt on a cluster has besides: a variable for each node; of a simulated one sim, and the time.
local cluster = require "orrery.cluster"
local connect = require "orrery.connect"

local frame = {}

local function list(ids)
  if #ids == 1 then return ids[1] .. " is its node" end
  if #ids <= 10 then return table.concat(ids, ", ") .. " are its nodes" end
  return ("%s, %s, ... %s are its nodes"):format(ids[1], ids[2], ids[#ids])
end

-- owner: the variable in whose `nodes` all of them are.
local function with_hidden(text, hidden, owner)
  if #hidden == 0 then return text end
  return ('%s\n%s: as %s.nodes["%s"] only, for there is no such variable, or it is taken.'):format(text,
    table.concat(hidden, ", "), owner, hidden[1])
end

local function banner(name, ids, seed, hidden)
  local text = ("%s: %d node%s, seed %d. sim is the simulation; %s; help() lists the verbs."):format(name, #ids,
    #ids == 1 and "" or "s", seed, list(ids))
  return with_hidden(text, hidden, "sim")
end

-- Puts the nodes into env; ids that are no names, or names of something else, are given back.
local function declare(env, nodes, ids)
  local hidden = {}
  for _, id in ipairs(ids) do
    if rawget(env, id) == nil and load(("local %s"):format(id), "=", "t") then env[id] = nodes[id]
    else hidden[#hidden + 1] = id end
  end
  return hidden
end

-- The time of whatever `sim` is by now; of the simulation itself, where it is none.
local function now(env, sim)
  local ok, time = pcall(function() return rawget(env, "sim"):now() end)
  return ok and type(time) == "number" and time or sim:now()
end

-- The simulation of a cluster file, in env. opts: seed, config. make: what builds it (specs bring their own).
-- -> { sim, ids, banner, prompt() }, or nil and one line.
function frame.new(env, path, opts, make)
  local value, message = cluster.load(path)
  if not value then return nil, message end
  local ok, sim, why = pcall(make, path, opts)
  if not ok then return nil, tostring(sim) end
  if not sim then return nil, tostring(why) end
  return frame.of(env, sim, value.name, cluster.ids(value), opts.seed or 1)
end

-- The same of a simulation that is there.
function frame.of(env, sim, name, ids, seed)
  env.sim = sim
  local hidden = declare(env, sim.nodes, ids)
  return {
    sim = sim, ids = ids, banner = banner(name, ids, seed, hidden),
    prompt = function() return ("%.3f> "):format(now(env, sim)) end,
  }
end

-- The live cluster whose node answers at this address, in env: the same without sim; `live` is that node.
-- -> { live, ids, banner, prompt(), idle() }, or nil and one line.
function frame.connect(env, address, make)
  local live, message = make(address)
  if not live then return nil, (message:gsub("^orrery%.connect: ", "")) end
  local ids = live.ids
  env.live = live
  local hidden = declare(env, live.nodes, ids)
  local text = ("%s: connected to %s at %s, which is live; %s; help() lists the verbs."):format(live.cluster, live.id,
    address, list(ids))
  return {
    live = live, ids = ids, banner = with_hidden(text, hidden, "live"),
    prompt = function() return live.cluster .. "> " end,
    idle = function() return connect.idle(live) end,
  }
end

return frame
