-- plan.lua - what a node is started from, as text: the cluster, which node it is, its peers, its scripts.
--
-- The text goes to the node's own Lua state, in any world, so that a node needs no file of ours to start. The bundle is
-- every script of the file and every module that they require from beside it. It is found by reading them, not by
-- running them, and so is the same for every node whatever its roles; hence a module's name must be written literally.
-- Nodes tell each other its hash. It covers what the file says to all nodes too, but neither nodes nor addresses:
-- members come from the log, and addresses may move.
local core = require "orrery.core"
local cluster = require "orrery.cluster"
local literal = require "orrery.show".literal
local options = require "orrery.options"

local plan = {}

-- Names of modules that a text requires literally.
local function required(text)
  local names = {}
  for name in text:gmatch "require%s*%(?%s*[\"']([%w_.-]+)[\"']" do names[#names + 1] = name end
  return names
end

local function module_path(name)
  return name:gsub("%.", "/") .. ".lua"
end

-- Adds the file and whatever it requires. A module that isn't there is no matter yet: the script may never ask for it.
local function add(files, directory, path)
  if files[path] then return true end
  local text, why = cluster.read(directory .. path)
  if not text then return nil, why end
  files[path] = text
  for _, name in ipairs(required(text)) do
    if name ~= "orrery" and not name:find "^orrery%." then add(files, directory, module_path(name)) end
  end
  return true
end

-- { files = { path = text }, hash = 32 hexadecimal digits }, or nil and one line for people.
function plan.bundle(value)
  local files, directory = {}, cluster.directory(value)
  local function script(path, ...)
    local ok, why = add(files, directory, path)
    if ok then return true end
    return nil, cluster.complain(value, ("must be a script that can be read (%s)"):format(why), ...)
  end
  local ok, message = true, nil
  if value.node then ok, message = script(value.node, "node") end
  for i, node in ipairs(value.nodes) do
    if ok and node.node then ok, message = script(node.node, "nodes", i, "node") end
  end
  if not ok then return nil, message end
  local common = { value.name, value.config, value.limits, value.timing, value.clock, files, value.members }
  return { files = files, hash = core.hash.text(literal(common)) }
end

-- What is the same on every node, as text: the scripts and what they find. Groups' logs bear it (orrb_code.c). sets:
-- what --set gave, over all configs.
local function record(value, bundle, sets)
  local hash = bundle.hash
  if next(sets) then hash = core.hash.text(hash .. literal(sets)) end
  return literal { cluster = value, sets = sets, files = bundle.files, hash = hash }
end

-- The text that node `id` is started from.
function plan.text(value, bundle, id, sets)
  return literal {
    id = id,
    directory = cluster.directory(value),
    peers = value.links:peers(cluster.ids(value), id),
    record = record(value, bundle, sets or {}),
  }
end

local function of_literal(text)
  return assert(load("return " .. text, "=plan", "t", {}))()
end

-- The plan whose record is another one: what node `id` was, or would have been, with those scripts.
function plan.of_record(text, id, directory)
  local data = of_literal(text)
  data.cluster = cluster.revive(data.cluster)
  data.id, data.directory, data.record = id, directory, text
  data.peers = data.cluster.links:peers(cluster.ids(data.cluster), id)
  return data
end

function plan.read(text)
  local own = of_literal(text)
  local data = of_literal(own.record)
  data.cluster = cluster.revive(data.cluster)
  data.id, data.directory, data.peers, data.record = own.id, own.directory, own.peers, own.record
  return data
end

-- What a node's script finds in node.config: the file's, over it the node's own, over both --set.
function plan.config(value, node, sets)
  local config = {}
  for _, layer in ipairs { value.config, node.config, sets or {} } do
    for _, key in ipairs(options.keys(layer)) do config[key] = layer[key] end
  end
  return config
end

return plan
