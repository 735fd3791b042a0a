-- cluster.lua - cluster files: orrery.cluster{...}, every check of it, and reading one from disk.
--
-- A cluster value is plain data with all defaults filled in; it is the same on every node, so a cluster file sees
-- Lua's pure library and `orrery` only: no node, no os, no io, nothing to assign globals to. What is wrong with one is
-- told in one line, FILE:LINE: orrery.cluster: 'PATH' what was expected (got what came); the line comes from
-- source.lua, for a value knows none.
local environment = require "orrery.environment"
local later = require "orrery.later"
local options = require "orrery.options"
local source = require "orrery.source"
local topology = require "orrery.topology"

local cluster = {}
local meta = { __name = "orrery.cluster" }

function meta:__tostring()
  return ("orrery.cluster(%s %d node%s)"):format(self.name, #self.nodes, #self.nodes == 1 and "" or "s")
end

-- Where each value came from: { file, text, line }. No part of the value, which is the same wherever it stands.
local origins = setmetatable({}, { __mode = "k" })

-- -- Kinds of fields ------------------------------------------------------------------------------------------------
-- Host (without brackets) and port of "host:port", or nil.
function cluster.address(v)
  if type(v) ~= "string" then return nil end
  local host, port = v:match "^%[([%x:.]+)%]:(%d+)$"
  if not host then host, port = v:match "^([%w.-]+):(%d+)$" end
  local number = port and #port <= 5 and math.tointeger(port)
  if not number or number < 1 or number > 65535 then return nil end
  if host:find "^[%d.]+$" then
    local parts = { host:match "^(%d+)%.(%d+)%.(%d+)%.(%d+)$" }
    if #parts == 0 then return nil end
    for _, part in ipairs(parts) do if #part > 3 or math.tointeger(part) > 255 then return nil end end
  end
  return host, number
end

local wildcards = { ["0.0.0.0"] = true, ["::"] = true }

local function listen_address(v)
  if cluster.address(v) then return v end
  return nil, '"host:port"'
end

local function dial_address(v)
  local host = cluster.address(v)
  if host and not wildcards[host] then return v end
  return nil, host and '"host:port" that others can dial' or '"host:port"'
end

-- Of a pool's addresses so many are asked, each a server of its own. The core and the simulator know them as
-- HOST:PORT/1 and so on.
local pool_places, servers_max = 4, 16

-- Host, port and whether it is a pool; or nil and what was expected.
local function server_of(v)
  local form = '"host", "host:port", "[IPv6]:port", or "pool:name" for several servers of one name'
  if type(v) ~= "string" then return nil, form end
  local pool, text = v:match "^(pool:)(.*)$"
  text = text or v
  local host, port = cluster.address(text)
  if not host then host, port = cluster.address(text .. ":123") end
  if not host or wildcards[host] then return nil, form end
  if host:find "^[%d.]+$" or host:find(":", 1, true) then
    if pool then return nil, 'a name behind "pool:", which stands for several addresses' end
    return host, port, false
  end
  if #host > 63 then return nil, "a host of at most 63 characters" end
  for label in (host .. "."):gmatch "(.-)%." do
    if not label:find "^%w" or not label:find "%w$" then return nil, form end
  end
  return host, port, pool ~= nil
end

local function server_name(v)
  local host, expected = server_of(v)
  if host then return v end
  return nil, expected
end

local function script_path(v)
  local bad = type(v) ~= "string" or v == "" or v:find "^/" or v:find "%z" or ("/" .. v .. "/"):find("/../", 1, true)
  if not bad then return v end
  return nil, "the path of a script beside this file"
end

-- A copy of what may travel (3.5): nil, booleans, numbers, strings, tables of these, 64 deep, no cycle, no metatable.
local function plain(v, depth, above, path)
  if type(v) ~= "table" then
    if type(v) == "boolean" or type(v) == "number" or type(v) == "string" then return v end
    path.got = v
    return nil, "plain data: true, false, numbers, strings, tables of these"
  end
  path.got = v
  if above[v] then return nil, "plain data without a cycle" end
  if depth > 64 then return nil, "at most 64 tables deep" end
  if getmetatable(v) ~= nil then return nil, "plain data without a metatable" end
  local out = {}
  above[v] = true
  for _, key in ipairs(options.keys(v)) do
    path[depth + 1] = key
    if type(key) == "table" or type(key) == "function" then return nil, "plain data: keys are strings or numbers" end
    local copy, expected = plain(v[key], depth + 1, above, path)
    if expected then return nil, expected end
    out[key], path[depth + 1] = copy, nil
  end
  above[v] = nil
  return out
end

local function plain_table(v)
  if type(v) ~= "table" then return nil, "a table of plain data" end
  local path = {}
  local copy, expected = plain(v, 0, {}, path)
  if expected then return nil, expected, path end
  return copy
end

local function secret_map(v)
  if type(v) ~= "table" then return nil, 'a table { name = "env:VAR" or "file:PATH" }' end
  for _, key in ipairs(options.keys(v)) do
    local from = v[key]
    local fits = type(from) == "string" and (from:find "^env:[%a_][%w_]*$" or from:find "^file:." or from:find "^sim:.")
    if type(key) ~= "string" or not fits then
      return nil, '"env:VAR" or "file:PATH": a secret is named here, never written', { key, got = "something else" }
    end
  end
  return plain_table(v)
end

local function listener_map(v)
  if type(v) ~= "table" then return nil, 'a table { NAME = "host:port" }' end
  for _, key in ipairs(options.keys(v)) do
    if type(key) ~= "string" or not key:find "^[a-z][a-z0-9_-]*$" or #key > 32 then
      return nil, "a listener's name: [a-z][a-z0-9_-]*, at most 32", { key, got = key }
    elseif not cluster.address(v[key]) then
      return nil, '"host:port"', { key, got = v[key] }
    end
  end
  return plain_table(v)
end

local function links_value(v)
  if topology.is(v) then return v end
  return nil, "a topology (orrery.topology.mesh() and so on)"
end

local function count(default)
  return { "integer", min = 1, max = 2^53 | 0, default = default }
end

local function bytes(min, max, default)
  return { "integer", min = min, max = max, default = default }
end

-- -- The fields (API 2.1) -------------------------------------------------------------------------------------------
local id_rule = {
  "string", pattern = "^[a-z][a-z0-9_-]*$", max = 32, required = true,
  expected = "an id: [a-z][a-z0-9_-]*, at most 32 characters",
}
local role_rule = {
  "string", pattern = "^[a-z][a-z0-9_-]*$", max = 32,
  expected = "a role's name: [a-z][a-z0-9_-]*, at most 32 characters",
}
local node_fields = {
  id = id_rule,
  at = { dial_address, required = true },
  zone = { "string", max = 64, default = "", expected = "a string of at most 64 characters" },
  roles = { "table", each = role_rule, most = 64, default = {}, expected = "an array of names" },
  weight = { "number", above = 0, max = 1000000, default = 1 },
  config = { plain_table, default = {} },
  node = { script_path },
  resp = { listen_address },
  listen = { listener_map, default = {} },
}
-- Of members, too, what isn't given is the node's own, and the whole: a file without it is what it was.
local members_fields = {
  at_once = { "boolean" },
  detector = { "choice", of = { "swim", "phi", "deadline" }, default = "swim" },
  probe = { "seconds" }, probe_timeout = { "seconds" },
  indirect = { "integer", min = 0, max = 16 },
  suspicion = { "integer", min = 1, max = 16 }, suspicion_max = { "integer", min = 1, max = 100 },
  gossip = { "seconds" }, sync = { "seconds" }, forget = { "seconds" }, silence = { "seconds" },
  phi = { "number", above = 0, max = 100 },
  keys = { "table", default = {}, expected = "an array of names in 'secrets'", most = 8, each = { "string" } },
}
-- Of limits, message and op have no default here: what isn't given is the node's own (node.h). Their bounds are those
-- of core/node/names.c.
local fields = {
  name = {
    "string", pattern = "^[a-z0-9-]+$", max = 63, required = true,
    expected = "a name: [a-z0-9-], at most 63 characters",
  },
  node = { script_path },
  nodes = {
    "table", required = true, expected = "an array of nodes", least = 1, most = 10000,
    each = { "table", expected = 'a node { id = "a", at = "host:port" }', fields = node_fields },
  },
  links = { links_value },
  config = { plain_table, default = {} },
  secrets = { secret_map, default = {} },
  limits = { "table", default = {}, fields = {
    message = bytes(1024, 1 << 30), op = bytes(64, 1 << 30), calls = count(1000), steps = count(10000000),
    memory = bytes(1 << 20, 1 << 40, 1 << 28),
  } },
  timing = { "table", default = {}, fields = {
    call = { "seconds", default = 2 },
    election = { "seconds", default = 0.25 },
    heartbeat = { "seconds", default = 0.05 },
  } },
  clock = { "table", or_false = true, default = {}, expected = "a table, or false", fields = {
    ntp = { "table", default = {}, expected = "an array of servers", most = servers_max, each = { server_name } },
    mode = { "choice", of = { "ntp", "pacemaker" }, default = "ntp" },
    bound_max = { "seconds", default = 0.1 },
    drift_max = { "number", above = 0, max = 0.001 },       -- no default, as limits.message; nor has
    skew_max = { "seconds" },
    at_once = { "boolean" },
    discipline = { "boolean" },
  } },
  members = { "table", fields = members_fields },
}

-- -- What spans several fields --------------------------------------------------------------------------------------
local function problem(text, ...)
  return { path = { ... }, text = text }
end

-- resp = A is short for listen = { resp = A }; afterwards only `listen` counts, and `resp` is kept for reading.
local function settle_listeners(nodes)
  for i, node in ipairs(nodes) do
    if node.resp and node.listen.resp and node.listen.resp ~= node.resp then
      return problem(("is %q here and %q in listen: one of them is enough"):format(node.resp, node.listen.resp),
        "nodes", i, "resp")
    end
    node.listen.resp = node.listen.resp or node.resp
    node.resp = node.listen.resp
  end
end

local function check_ids(nodes)
  local first = {}
  for i, node in ipairs(nodes) do
    if first[node.id] then
      return problem(("must be an id of its own (got %q, which is nodes[%d] already)"):format(node.id, first[node.id]),
        "nodes", i, "id")
    end
    first[node.id] = i
  end
end

-- Every address of the file is one listener. A wildcard's may recur on another node: that is another machine.
local function check_addresses(nodes)
  local taken = {}
  local function take(address, i, ...)
    local host, port = cluster.address(address)
    host = host:lower()
    if host == "localhost" then host = "127.0.0.1" end
    local key = ("%s %d %s"):format(host, port, wildcards[host] and i or "")
    if taken[key] then
      return problem(("must be an address of its own (got %q, which is '%s' already)"):format(address, taken[key]),
        "nodes", i, ...)
    end
    taken[key] = options.path { "nodes", i, ... }
  end
  for i, node in ipairs(nodes) do
    local bad = take(node.at, i, "at")
    for _, name in ipairs(options.keys(node.listen)) do
      local key = name ~= "resp" and name or nil      -- resp = A is where most files have it
      bad = bad or take(node.listen[name], i, key and "listen" or "resp", key)
    end
    if bad then return bad end
  end
end

local function check_scripts(value)
  if value.node then return nil end
  for i, node in ipairs(value.nodes) do
    if not node.node then
      return problem("is missing, must be the path of a script beside this file (or each node has its own)",
        i == 1 and "node" or "nodes", i > 1 and i or nil, i > 1 and "node" or nil)
    end
  end
end

local function check_links(value)
  local known, set = {}, {}
  for i, node in ipairs(value.nodes) do known[i], set[node.id] = node.id, true end
  for _, id in ipairs(value.links:named()) do
    if not set[id] then
      return problem(("must link nodes of this file (got %q%s)"):format(id, options.hint(id, known)), "links")
    end
  end
end

local function check_timing(timing)
  if timing.heartbeat < timing.election then return nil end
  return problem(("must be below timing.election (got %s >= %s)"):format(timing.heartbeat, timing.election),
    "timing", "heartbeat")
end

-- Who is asked twice would count twice.
local function check_servers(clock)
  local first, count = {}, 0
  for i, name in ipairs(clock and clock.ntp or {}) do
    local host, port, pool = server_of(name)
    local key = ("%s %d"):format(host:lower(), port)
    if first[key] then
      return problem(("must be a server of its own (got %q, which is clock.ntp[%d] already)"):format(name, first[key]),
        "clock", "ntp", i)
    end
    first[key] = i
    count = count + (pool and pool_places or 1)
    if count > servers_max then
      return problem(("must come to at most %d servers, a pool being %d (got %q behind %d)"):format(servers_max,
        pool_places, name, count - (pool and pool_places or 1)), "clock", "ntp", i)
    end
  end
end

local function check_discipline(clock)
  if not clock or not clock.discipline or #clock.ntp > 0 then return nil end
  return problem("needs NTP servers in clock.ntp: without them the cluster's time is the median of the machines' own "
    .. "clocks, and would follow itself", "clock", "discipline")
end

local function check_members(members, secrets)
  if not members then return nil end
  local probe = members.probe or 1
  if members.probe_timeout and members.probe_timeout >= probe then
    return problem(("must be below members.probe (got %s >= %s)"):format(members.probe_timeout, probe), "members",
      "probe_timeout")
  end
  for i, name in ipairs(members.keys) do
    if not secrets[name] then
      return problem(("must be the name of one of 'secrets' (got %q%s)"):format(name,
        options.hint(name, options.keys(secrets))), "members", "keys", i)
    end
  end
end

-- Who says how his clocks are wants to know the time, who says how members are watched wants to know who they are: its
-- nodes ask each other from their start on.
local function settle_clock(value, given)
  if given and value.clock.at_once == nil then value.clock.at_once = true end
end

local function settle_members(value)
  if value.members and value.members.at_once == nil then value.members.at_once = true end
end

-- The value with all defaults, or nil and what is wrong with it: { path, text }.
function cluster.check(given)
  if type(given) ~= "table" then
    return nil, problem(("must be called with a table (got %s)"):format(options.got(given)))
  end
  local value, bad = options.fill(given, fields)
  if not value then return nil, bad end
  -- Defaults that are tables go through the same rules, so each node has its own.
  value.links = value.links or topology.mesh()
  settle_clock(value, given.clock)
  settle_members(value)
  bad = settle_listeners(value.nodes) or check_ids(value.nodes) or check_addresses(value.nodes) or check_scripts(value)
    or check_links(value) or check_timing(value.timing) or check_servers(value.clock)
    or check_discipline(value.clock) or check_members(value.members, value.secrets)
  if bad then return nil, bad end
  return setmetatable(value, meta)
end

function cluster.is(v)
  return getmetatable(v) == meta
end

-- -- Telling where --------------------------------------------------------------------------------------------------
local function read(path)
  local file, message = io.open(path, "rb")
  if not file then return nil, message end
  local text, why = file:read "a"
  file:close()
  if not text then return nil, ("%s: %s"):format(path, why) end
  return text
end
cluster.read = read

local function message_at(origin, bad)
  local text = options.message(bad, "orrery.cluster")
  if not origin then return text end
  local line = origin.text and source.line(origin.text, "cluster", bad.path) or origin.line
  return ("%s:%d: %s"):format(origin.file, line, text)
end

-- "FILE:LINE: orrery.cluster: 'PATH' TEXT" for something found wrong with a cluster later on.
function cluster.complain(value, text, ...)
  return message_at(origins[value], problem(text, ...))
end

-- The directory of the file that the value was written in, with a slash at the end, or "".
function cluster.directory(value)
  local origin = origins[value]
  return origin and origin.file:match "^.*/" or ""
end

function cluster.file(value)
  return origins[value] and origins[value].file
end

local function new(given, origin)
  local value, bad = cluster.check(given)
  if not value then error(message_at(origin, bad), 0) end
  origins[value] = origin
  return value
end

-- orrery.cluster{...} of a plain script: raises where something is wrong. (Who calls it in tail position isn't known.)
function cluster.new(given)
  local info = debug.getinfo(2, "Sl")
  local file = info and info.source:match "^@(.*)"
  return new(given, file and { file = file, line = info.currentline, text = read(file) })
end

-- The part of topology.lua that users see.
-- `open`: to be changed before it is guarded.
function cluster.topology(open)
  local members = environment.copy_of(topology, "is", "revive")
  return open and members or later.guard("orrery.topology", members, {})
end

-- -- Files ----------------------------------------------------------------------------------------------------------
local function file_environment(origin)
  local env = environment.pure()
  env.orrery = later.guard("orrery", {
    cluster = function(given) return new(given, origin) end, topology = cluster.topology(),
  }, later.orrery)
  return environment.close(env, "a cluster file")
end

local steps_max, bytes_max = 100000000, 1 << 28

-- One line that begins with the path, if it doesn't yet.
local function with_path(path, message)
  local line = message:gsub("\n", " ")
  return line:find(path .. ":", 1, true) == 1 and line or path .. ": " .. line
end

local function load_file(path)
  local text, why = read(path)
  if not text then return nil, why end
  local chunk, message = load(text:gsub("^#[^\n]*", "", 1), "@" .. path, "t",
    file_environment { file = path, line = 1, text = text })
  if not chunk then return nil, with_path(path, message) end
  local ok, result = environment.bounded(chunk, steps_max, bytes_max)
  if not ok then
    return nil, with_path(path, type(result) == "string" and result or "raised " .. options.got(result))
  end
  if not cluster.is(result) then
    return nil, ("%s:1: must return orrery.cluster{...} (got %s)"):format(path, options.got(result))
  end
  return result
end

-- The cluster of a file, or nil and one line for people.
function cluster.load(path)
  local ok, value, message = environment.limited(load_file, bytes_max, path)
  if ok then return value, message end
  return nil, ("%s: %s"):format(path, value)
end

-- -- Asking a cluster -----------------------------------------------------------------------------------------------
function cluster.ids(value)
  local ids = {}
  for i, node in ipairs(value.nodes) do ids[i] = node.id end
  return ids
end

-- The node of that id and its place, or nil.
function cluster.node(value, id)
  for i, node in ipairs(value.nodes) do if node.id == id then return node, i end end
end

-- The cluster without those nodes, an array of ids; or nil and what is wrong. What is left of its links must be what
-- they were.
function cluster.without(value, gone)
  local ids, kept, nodes, out = cluster.ids(value), {}, {}, {}
  for _, id in ipairs(gone) do
    if not cluster.node(value, id) then return nil, ("there is no node %q%s"):format(id, options.hint(id, ids)) end
    out[id] = true
  end
  for _, node in ipairs(value.nodes) do
    if not out[node.id] then kept[#kept + 1], nodes[#nodes + 1] = node.id, node end
  end
  if #kept == 0 then return nil, "no node would be left" end
  local links = value.links:among(ids, kept)
  if not links then
    return nil, ("without %s the others would not be linked as they are"):format(table.concat(gone, ", "))
  end
  local part = {}
  for key, v in pairs(value) do part[key] = v end
  part.nodes, part.links = nodes, links
  origins[part] = origins[value]
  return setmetatable(part, meta)
end

-- The NTP servers, as the worlds call them: "HOST:PORT"; of a pool "HOST:PORT/1" and so on.
function cluster.servers(value)
  local servers = {}
  for _, name in ipairs(value.clock and value.clock.ntp or {}) do
    local host, port, pool = server_of(name)
    local address = (host:find(":", 1, true) and "[%s]:%d" or "%s:%d"):format(host, port)
    for place = 1, pool and pool_places or 1 do
      servers[#servers + 1] = pool and ("%s/%d"):format(address, place) or address
    end
  end
  return servers
end

-- The script of a node, as the file names it.
function cluster.script(value, node)
  return node.node or value.node
end

-- Ids that bear a role, in the file's order.
function cluster.role(value, name)
  local ids = {}
  for _, node in ipairs(value.nodes) do
    for _, role in ipairs(node.roles) do if role == name then ids[#ids + 1] = node.id end end
  end
  return ids
end

-- Plain data of an earlier value (show.literal, load) becomes a cluster again.
function cluster.revive(data)
  data.links = topology.revive(data.links)
  return setmetatable(data, meta)
end

return cluster
