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

---Bytes of a value (MessagePack): nil, booleans, integers, floats, strings, tables of these without metatable or cycle,
---64 deep; a map, or a table with maps as fields. Equal values give equal bytes, in every process. A table is an array
---when its keys are 1..n. Anything else raises by its path: `value.items[3].f is a function`.
---
---    orrery.pack { 1, 2 }                               --> "\x92\x01\x02"
---@param value any
---@return string bytes
function orrery.pack(value) end

---The value that packed bytes are, of Orrery's or others' making. Strings and binaries both are strings. Refused: nil
---in a table, a key that comes twice, integers above 2^63-1, any other extension than a map.
---
---    orrery.unpack("\x92\x01\x02")                      --> { 1, 2 }
---@param bytes string
---@return any value
---@return string? message              why there is none
---@return string? code                 "invalid"
function orrery.unpack(bytes) end

---A hash of bytes, 64 bits (XXH3), the same everywhere; of any value: orrery.hash(orrery.pack(v)).
---
---    orrery.hash "key" % 16                             --> 3
---@param bytes string
---@return integer hash
function orrery.hash(bytes) end

---An ordered map kept in C, for states beyond some 10 MB: integers, floats, strings, booleans as keys; values are
---packed as by orrery.pack, copied in and out: what you change put back. `m[k]`, `m[k] = v` (nil removes), `#m`,
---`pairs(m)` in order: positive integers, other integers, floats, strings bytewise, booleans. A loop gives at each step
---the least key above the last one, so what is added ahead is visited. "range" can't be a key: it is the method.
---@class orrery.Map
---@field [integer|number|string|boolean] any
local Map = {}

---Keys and values from one key to another, both included; nil: no bound.
---
---    for name, user in users:range("a", "b") do print(name, user.mail) end
---@param from? integer|number|string|boolean
---@param to? integer|number|string|boolean
---@return fun(): any, any
function Map:range(from, to) end

---An empty map.
---
---    local users = orrery.map()
---    users.ann = { mail = "ann@example.org" }
---@return orrery.Map map
function orrery.map() end

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

-- -- Bare Raft -------------------------------------------------------------------------------------------------------
---What one Raft core starts from. `n1` and the like are names: letters, digits, `_`, `.`, `-`, at most 32.
---@class orrery.RaftOptions
---@field id string                     one of `voters`
---@field voters string[]               1 to 64
---@field learners? string[]            must be empty: not available yet
---@field election_timeout? seconds     1.0 by default: who hears no leader for once to twice that, stands
---@field heartbeat? seconds            0.1 by default; less than `election_timeout`
---@field pre_vote? boolean             true by default: asks whether it could win before it raises its term
---@field check_quorum? boolean         true by default: a leader that hears no quorum for `election_timeout` steps down
---@field seed? integer                 of its chance, 1 by default: the timeouts
---@field boot? orrery.RaftBoot         what its disk has; {} by default: nothing
---@field now? seconds                  0 by default

---@class orrery.RaftBoot
---@field term? integer                 the last entry's by default
---@field vote? string                  whom it voted for in `term`
---@field commit? integer               known to be committed: handed out again to be applied; the snapshot's by default
---@field entries? orrery.RaftEntry[]   `index` may be left out: they follow each other
---@field snapshot? orrery.RaftSnapshot

---@class orrery.RaftEntry
---@field index integer                 from 1
---@field term integer
---@field kind "data"|"noop"            of a leader's own first entry: "noop"; in `commits` also "snapshot": load `data`
---@field data string                   "" for a noop

---@class orrery.RaftSnapshot           of everything through `index`
---@field index integer
---@field term integer
---@field voters? string[]              this node's by default, and instead of them at boot
---@field learners? string[]            {}
---@field data? string                  "" by default

---@alias orrery.RaftMessageType
---| "prevote"|"prevote_reply"|"vote"|"vote_reply"|"append"|"append_reply"|"snapshot"|"snapshot_reply"
---| "read"|"read_reply"|"timeout_now"

---One message, as the paper has it; `type` says which fields there are. Fields of ours are there where they say what
---their absence wouldn't, and may be left out of a message made by hand: `forced` (no stickiness), `round` (of the
---confirmation of reads), `want_reply` (true by default), a reply's `prev_log_index`, a refusal's hints. What a table
---has beyond them is ignored.
---@class orrery.RaftMessage
---@field type orrery.RaftMessageType
---@field from string
---@field to string
---@field term integer                  a prevote's and its granted reply's: the one that it would stand for
---@field last_log_index? integer       prevote, vote
---@field last_log_term? integer
---@field forced? boolean
---@field granted? boolean              prevote_reply, vote_reply
---@field prev_log_index? integer       append
---@field prev_log_term? integer
---@field entries? orrery.RaftEntry[]   append; a heartbeat has none
---@field leader_commit? integer
---@field round? integer
---@field want_reply? boolean
---@field success? boolean              append_reply
---@field match_index? integer          what of the leader's log is on this disk
---@field hint_index? integer           refused: the logs agree no later than here,
---@field hint_term? integer            where this log has this term
---@field last_index? integer           snapshot, snapshot_reply
---@field last_term? integer
---@field offset? integer               of `data`; in the reply: bytes that have come
---@field data? string
---@field done? boolean                 the last part
---@field size? integer                 of the whole
---@field voters? string[]
---@field learners? string[]
---@field tag? integer                  read, read_reply: which reads
---@field read_index? integer

---To be made durable, all of it, then `r:stored(now, write.id)`. `term` and `vote` replace what was there.
---@class orrery.RaftWrite
---@field id integer
---@field term integer
---@field vote? string
---@field entries orrery.RaftEntry[]
---@field truncate_after? integer       first cut the log off after this index
---@field snapshot? orrery.RaftSnapshot in the place of the whole log

---@class orrery.RaftRead: { tag: any, index?: integer, message?: string, code?: string }

---@class orrery.RaftReady
---@field write? orrery.RaftWrite
---@field messages orrery.RaftMessage[] whatever they claim is durable: send at once, or late, twice, never
---@field commits orrery.RaftEntry[]    to be applied in order, then `r:applied`
---@field reads orrery.RaftRead[]       may be served once applied through `index`; none: refused, `message`, `code`

---@class orrery.RaftProgress: { match: integer, next: integer, snapshot: boolean }

---@class orrery.RaftStatus
---@field id string
---@field role "follower"|"precandidate"|"candidate"|"leader"|"learner"
---@field term integer
---@field vote? string
---@field leader? string                as this node knows it
---@field commit integer
---@field applied integer
---@field first integer                 of the log
---@field last integer
---@field stored integer                the log is on the disk up to here
---@field voters string[]
---@field voters_outgoing string[]      {}
---@field learners string[]             {}
---@field progress? table<string, orrery.RaftProgress>  a leader's view of the others
---@field error? string                 why it takes no part any more: a write failed

---One Raft core by hand: no tasks, no waiting, no clock, no disk. What happens to messages and writes is the script's
---choice: carried, late, twice, in another order, never. Entries that the core wants back from its log it keeps in
---memory itself, as they were in `write`. Wrong use raises; what cannot be done gives nil, message, code.
---
---    local r = orrery.raft { id = "n1", voters = { "n1", "n2", "n3" } }
---@param options orrery.RaftOptions
---@return orrery.Raft? r
---@return string? message
---@return string? code
function orrery.raft(options) end

---@class orrery.Raft
local Raft = {}

---Time goes on; what is due is done. Late and early calls do no harm.
---
---    r:tick(r:deadline())
---@param now seconds                    0 to 1e9; time that goes back stands still
---@return true
function Raft:tick(now) end

---When to call tick next; math.huge: never. A node whose vote is not stored yet has none.
---
---    now = math.min(a:deadline(), b:deadline())
---@return seconds at
function Raft:deadline() end

---Stands for the next term at once: no pre-vote, and voters don't mind that they hear a leader.
---
---    r:campaign(0)
---@param now seconds
---@return true? ok
---@return string? message
---@return string? code                  "denied": a write failed, it takes no part
function Raft:campaign(now) end

---A message came.
---
---    r:recv(0, { type = "vote", from = "n2", to = "n1", term = 1, last_log_index = 0, last_log_term = 0 })
---@param now seconds
---@param message orrery.RaftMessage
---@return true? ok
---@return string? message
---@return string? code                  "invalid", "corrupt": nobody who keeps to the protocol sends it
function Raft:recv(now, message) end

---Appends to the log. At most a thousand entries wait for their commit.
---
---    local index, message, code = r:propose(1, "x = 1")
---@param now seconds
---@param bytes string
---@return integer? index
---@return string? message
---@return string? code                  "no_leader", "overloaded"
function Raft:propose(now, bytes) end

---Asks for a read; on any node. The answer is in `reads`, sooner or later.
---
---    r:read_index(1, "my read")
---@param now seconds
---@param tag any                        not nil; given back
---@return true? ok
---@return string? message
---@return string? code                  "no_leader", "overloaded"
function Raft:read_index(now, tag) end

---All that there is to do, each thing once; nil: nothing. Whatever depends on a write that isn't reported waits for it.
---
---    local rd = r:ready()
---    if rd and rd.write then r:stored(now, rd.write.id) end
---@return orrery.RaftReady? ready
function Raft:ready() end

---A write is durable; they are reported in the order of their ids. With an error it has failed: then this node takes no
---part any more, until one is made from what its disk has. A snapshot alone that failed is asked for anew.
---
---    r:stored(1, rd.write.id)
---    r:stored(1, rd.write.id, "disk on fire")
---@param now seconds
---@param id integer
---@param error? string
---@return true? ok
---@return string? message
---@return string? code                  "invalid": not the oldest write under way
function Raft:stored(now, id, error) end

---Commits through `index` are applied. At most 256 are handed out ahead of that.
---
---    r:applied(1, rd.commits[#rd.commits].index)
---@param now seconds
---@param index integer
---@return true? ok
---@return string? message
---@return string? code                  "invalid": it wasn't handed out
function Raft:applied(now, index) end

---    assert(r:status().role == "leader")
---@return orrery.RaftStatus status
function Raft:status() end

---Gives its memory back at once. Twice is once; what is called afterwards raises.
---
---    local r <close> = orrery.raft { id = "a", voters = { "a" } }
function Raft:close() end

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
