---@meta
-- types.lua - what cluster files and node scripts have, for editors that read LuaCATS. Not loaded by anything.
-- luacheck: ignore

---@alias seconds number

-- -- Cluster files ---------------------------------------------------------------------------------------------------
---A node of a cluster file.
---@class orrery.NodeFile
---@field id string                     `[a-z][a-z0-9_-]*`, at most 32; unique
---@field at string                     "host:port" that the other nodes dial
---@field zone? string                  "" by default
---@field roles? string[]               names; {} by default
---@field weight? number                1 by default
---@field config? table                 over the cluster's `config`, key by key
---@field node? string                  a script of its own
---@field resp? string                  short for `listen = { resp = ... }`
---@field listen? table<string, string> listeners: name = "host:port"

---What this version keeps to. `calls` is taken and checked, and bounds nothing yet.
---@class orrery.Limits
---@field message? integer              bytes of a message between nodes: 2^20 by default, 1024 to 2^30
---@field op? integer                   bytes of an operation: 2^23 + 2^16 by default (8 MiB and a key), 64 to 2^30
---@field calls? integer                1000 by default
---@field steps? integer                instructions of a script's top level: 10,000,000 by default
---@field memory? integer               bytes of a script's Lua state: 2^28 by default, 2^20 to 2^40

---@class orrery.ClusterFile
---@field name string                   `[a-z0-9-]`, 1 to 63: the cluster's identity
---@field node? string                  the script, beside this file; needed unless each node has its own
---@field nodes orrery.NodeFile[]       1 to 10,000
---@field links? orrery.Topology        which pairs may talk; mesh() by default
---@field config? table                 plain data: what scripts find in `node.config`
---@field secrets? table<string, string> name = "env:VAR" or "file:PATH"
---@field limits? orrery.Limits
---@field timing? { call?: seconds, election?: seconds, heartbeat?: seconds }   2, 0.25, 0.05 by default
---@field clock? { ntp?: string[], mode?: "ntp"|"pacemaker", bound_max?: seconds }

---A checked cluster, defaults filled in: plain data, the same on every node.
---@class orrery.Cluster: orrery.ClusterFile

---@class orrery.Pair: { [1]: string, [2]: string, delay?: seconds, loss?: number, bandwidth?: number }

---Which pairs of nodes may talk. `a + b` joins, `tostring(t)` draws.
---@class orrery.Topology
---@operator add(orrery.Topology): orrery.Topology
local Topology = {}

---All pairs among ids, each once, in a defined order.
---
---    orrery.topology.ring():list { "a", "b", "c" }      --> { { "a", "b" }, { "b", "c" }, { "a", "c" } }
---@param ids string[]
---@return orrery.Pair[] links
function Topology:list(ids) end

---Sorted ids of those that `id` has a link to.
---@param ids string[]
---@param id string
---@return string[] peers
function Topology:peers(ids, id) end

---A matrix of `ids`: o a link, . itself.
---@param ids string[]
---@return string picture
function Topology:draw(ids) end

---@class orrery
---@field version string                "0.1.0"
orrery = {}

---Checks a cluster; what is wrong is raised in one line, `FILE:LINE: orrery.cluster: 'FIELD' ...`.
---
---    return orrery.cluster { name = "kv", node = "node.lua", nodes = { { id = "a", at = "127.0.0.1:7401" } } }
---@param file orrery.ClusterFile
---@return orrery.Cluster cluster
function orrery.cluster(file) end

---Readable text of any value, the same for equal values.
---
---    orrery.show { "set", key = "k" }                   --> { "set", key = "k" }
---@param value any
---@return string text
function orrery.show(value) end

orrery.topology = {}

---Every pair.
---@return orrery.Topology
function orrery.topology.mesh() end

---Each with the next, the last with the first.
---@return orrery.Topology
function orrery.topology.ring() end

---Each with the next.
---@return orrery.Topology
function orrery.topology.line() end

---All with one; the file's first by default.
---@param opts? { center?: string }
---@return orrery.Topology
function orrery.topology.star(opts) end

---Each with its `arity` children, in the file's order.
---@param opts? { arity?: integer }     2 by default
---@return orrery.Topology
function orrery.topology.tree(opts) end

---These pairs; the figures are the simulator's.
---
---    orrery.topology.links { { "a", "b", delay = 0.02 }, { "b", "c" } }
---@param list orrery.Pair[]
---@return orrery.Topology
function orrery.topology.links(list) end

-- -- Node scripts ----------------------------------------------------------------------------------------------------
---@class orrery.GroupSpec
---@field machine "kv"                  the replicated state machine
---@field order? "raft"                 who orders the operations
---@field on? string|string[]           a role, or ids: where the replicas live; by default the file's first seven nodes
---@field reads? "index"
---@field election? seconds             the cluster's `timing.election` by default
---@field heartbeat? seconds

---@class orrery.Service

---@class orrery.GroupStatus
---@field role "follower"|"precandidate"|"candidate"|"leader"|"learner"
---@field leader? string                as this node knows it
---@field term integer
---@field commit integer
---@field applied integer
---@field digest integer                of the state here, at `applied`

---Replicas of a state machine.
---@class orrery.Group
---@field name string
local Group = {}

---What answers Redis clients with this group, for node:listen.
---@return orrery.Service service
function Group:resp() end

---@return orrery.GroupStatus? status
---@return string? message
---@return string? code                 "unavailable": the node has not started, or bears no replica
function Group:status() end

---@class orrery.Log
local Log = {}
---Values are written as orrery.show writes them, with a space between.
---@param ... any
function Log:debug(...) end
---@param ... any
function Log:info(...) end
---@param ... any
function Log:warn(...) end
---@param ... any
function Log:error(...) end

---The node that runs this script. Read-only.
---@class orrery.Node
---@field id string
---@field zone string
---@field roles table<string, true?>    roles.store is true or nil
---@field config table                  the cluster's, over it the node's, over both --set
---@field cluster orrery.Cluster
---@field peers string[]                ids that this node has a link to, sorted
---@field log orrery.Log
node = {}

---Ids that bear the role, this one among them, in the file's order.
---
---    for _, id in ipairs(node:role "store") do node.log:info(id) end
---@param name string
---@return string[] ids
function node:role(name) end

---Declares a group, the same on every node.
---
---    local kv = node:replicate("kv", { machine = "kv" })
---@param name string
---@param spec orrery.GroupSpec
---@return orrery.Group group
function node:replicate(name, spec) end

---What clients may hold of this node's memory. Who holds more is closed, and told why where he reads.
---@class orrery.ListenLimits
---@field client? integer              bytes of one client, 2^20 to 2^40: 2^28, or `clients` if that is less
---@field clients? integer             bytes of all clients of the listener together: 2^28

---@class orrery.ListenOptions
---@field limits? orrery.ListenLimits

---Serves the listener of that name in the cluster file.
---
---    node:listen("resp", kv:resp())
---    node:listen("resp", kv:resp(), { limits = { clients = 64 << 20 } })
---@param name string
---@param service orrery.Service
---@param options? orrery.ListenOptions
function node:listen(name, service, options) end
