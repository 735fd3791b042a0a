-- prepare.lua - what up, run and sim have in common: the cluster of a file, checked, and its nodes' plans.
local cluster = require "orrery.cluster"
local core = require "orrery.core"
local node = require "orrery.node"
local options = require "orrery.options"
local plan = require "orrery.plan"

local prepare = {}

prepare.set_option = {
  "--set", "NAME=VALUE", "config.NAME of every node is VALUE: a number, true, false or text; may be repeated",
  many = true,
  kind = function(text)
    local name, value = text:match "^([%a_][%w_]*)=(.*)$"
    if not name then return nil, "NAME=VALUE" end
    return { name = name, value = value }
  end,
}

local function sets_of(list)
  local sets = {}
  for _, set in ipairs(list or {}) do
    local value = set.value
    if value == "true" or value == "false" then value = value == "true" else value = tonumber(value) or value end
    sets[set.name] = value
  end
  return sets
end

local function no_node(path, id, ids)
  local hint = options.hint(id, ids)
  if hint == "" then
    local more = #ids > 12
    hint = (" (it has %s%s)"):format(table.concat(ids, ", ", 1, math.min(#ids, 12)), more and ", ..." or "")
  end
  return ("%s has no node '%s'%s"):format(path, id, hint)
end

-- Of a cluster that was loaded from that path: as prepare.cluster.
function prepare.value(value, path, opts, only)
  local bundle, message = plan.bundle(value)
  if not bundle then return nil, message end
  local sets = sets_of(opts.set)
  local function text(id) return plan.text(value, bundle, id, sets) end
  local serves = {}
  for _, id in ipairs(only and { only } or cluster.ids(value)) do
    serves[id], message = node.rehearse(text(id), value.limits.memory)
    if message and message:find "^used more" then message = path .. ": " .. message end      -- before its script began
    if message then return nil, (message:gsub("\n%s*", " ")) end
  end
  return { value = value, ids = cluster.ids(value), text = text, serves = serves }
end

-- { value, ids, text(id), serves = { ID = { LISTENER = true } } }, or nil and one line for people.
-- Every script has been tried on a host that does nothing. opts.without: ids of nodes that are left out.
function prepare.cluster(path, opts, only)
  local value, message = cluster.load(path)
  if not value then return nil, message end
  if only and not cluster.node(value, only) then
    return nil, no_node(path, only, cluster.ids(value))
  end
  if opts.without then
    value, message = cluster.without(value, opts.without)
    if not value then return nil, ("%s: --without: %s"):format(path, message) end
  end
  return prepare.value(value, path, opts, only)
end

-- Nil, or what is wrong with an address that node `id` is to listen on.
function prepare.addresses(value, id)
  local member, i = cluster.node(value, id)
  local function try(address, ...)
    local host, port = cluster.address(address)
    local ok, why = core.process.can_listen(host, tostring(port))
    if not ok then return cluster.complain(value, ("is %s, which %s"):format(address, why), "nodes", i, ...) end
  end
  local message = try(member.at, "at")
  for name, address in pairs(member.listen) do
    if message then break end
    if name == "resp" then message = try(address, "resp") else message = try(address, "listen", name) end
  end
  return message
end

-- "node a pid 17 at 127.0.0.1:7401 resp 127.0.0.1:7501"
function prepare.line(member, pid)
  local parts = { ("node %s pid %d at %s"):format(member.id, pid, member.at) }
  local names = {}
  for name in pairs(member.listen) do names[#names + 1] = name end
  table.sort(names, function(a, b) return a == "resp" and b ~= "resp" or (a < b and b ~= "resp") end)
  for _, name in ipairs(names) do parts[#parts + 1] = name .. " " .. member.listen[name] end
  return table.concat(parts, " ")
end

-- The directory for the nodes' data, made with all above it; or nil and why not.
function prepare.directory(value, opts)
  local path = opts.data or value.name .. "-data"
  local at = path:sub(1, 1) == "/" and "/" or ""
  for part in path:gmatch "[^/]+" do
    at = at .. part
    local ok, message = core.process.make_directory(at)
    if not ok then return nil, message end
    at = at .. "/"
  end
  return path
end

return prepare
