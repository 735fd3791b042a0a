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

---What a node keeps to.
---@class orrery.Limits
---@field message? integer              bytes of a message between nodes: 2^20 by default, 1024 to 2^30
---@field op? integer                   bytes of an operation: 2^23 + 2^16 by default (8 MiB and a key), 64 to 2^30
---@field calls? integer                handlers that may run at a time: 1000 by default
---@field steps? integer                instructions of the top level, of a task between two waits, of an apply: 10^7
---@field memory? integer               bytes of a script's Lua state, and 2560 for each task that may live: 2^28
---                                     by default, 2^20 to 2^40

---How well the cluster's time is to be known.
---@class orrery.ClockOptions
---@field ntp? string[]                 NTP servers, "host", "host:port" or "pool:name": the cluster's time is theirs
---                                     then, while fewer than half of them lie; {} by default: it is the median of the
---                                     members' clocks. A pool is four servers, an address of the name's each: what it
---                                     lacks of them is silent. At most 16 in all. Names are looked up by each node,
---                                     again when a server falls silent; in a simulation a name is just a name, and a
---                                     pool's servers are "name/1" to "name/4"
---@field mode? "ntp"|"pacemaker"       how the likely value is estimated: "ntp" by default
---@field bound_max? seconds            what is known less well (half the interval) isn't known: 0.1 by default
---@field drift_max? number             no machine's clock runs farther off: 0.0005 by default, at most 0.001. The less
---                                     the narrower; but whoever slews a clock faster makes answers wrong
---@field skew_max? seconds             node.hlc refuses stamps that are further ahead of the time: 0.5 by default
---@field discipline? boolean           each node steers its machine's clock by the NTP servers: set once, at its start,
---                                     where it is more than 5 ms off, slewed from then on, by 250 ppm at most beside
---                                     what its oscillator needs. One such node a machine, and nobody else who does the
---                                     same there (chronyd, ntpd, systemd-timesyncd). Takes CAP_SYS_TIME; else the log
---                                     says so, and nothing else changes. false by default: no clock is touched
---@field at_once? boolean              nodes ask from their start on: true by default where `clock` is given, otherwise
---                                     from the first use on

---How nodes watch each other (node.members). All of it may be left out; a file that has `members` makes its nodes take
---part from their start on.
---@class orrery.MembersOptions
---@field at_once? boolean              false: only from the first use on; true by default
---@field detector? "swim"|"phi"|"deadline"   "swim" by default: probes, and what others say. The other two go by
---                                     heartbeats to all: each node judges by itself, and bears n messages a `probe`
---@field probe? seconds                one probe each: 1 by default. Detection takes about 5 of them, and 30 at most
---@field probe_timeout? seconds        then others are asked: half of `probe` by default
---@field indirect? integer             so many others: 3 by default
---@field suspicion? integer            a suspect has so many probes, times log10 of the members, to say that it lives:
---                                     4 by default, if others suspect it too; else
---@field suspicion_max? integer        so many times longer: 6 by default
---@field gossip? seconds               news travel so often: 0.2 by default
---@field sync? seconds                 all is compared with somebody: 30 by default
---@field forget? seconds               who failed or left is forgotten: a day by default
---@field phi? number                   "phi": failed from there on: 8 by default
---@field silence? seconds              "deadline": failed after so long: 5 by default
---@field keys? string[]                names in `secrets`: messages bear a code, made with the first, and those of all
---                                     are believed. {} by default: none is asked for

---@class orrery.ClusterFile
---@field name string                   `[a-z0-9-]`, 1 to 63: the cluster's identity
---@field node? string                  the script, beside this file; needed unless each node has its own
---@field nodes orrery.NodeFile[]       1 to 10,000
---@field links? orrery.Topology        which pairs may talk; mesh() by default
---@field config? table                 plain data: what scripts find in `node.config`
---@field secrets? table<string, string> name = "env:VAR" or "file:PATH" (of 4 KiB at most, beside this file, without
---                                     its last line break), read by each node at its start; in a simulation each is
---                                     its own description
---@field limits? orrery.Limits
---@field timing? { call?: seconds, election?: seconds, heartbeat?: seconds }   2, 0.25, 0.05 by default
---@field clock? orrery.ClockOptions|false   false: no node knows the cluster's time
---@field members? orrery.MembersOptions

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

---@class orrery.resp
---@field OK table                      the reply +OK: { ok = "OK" }
orrery.resp = {}

---Commands of Redis's protocol for node:listen. Each command is a task; how many arguments it takes comes from its
---function's parameters. Results become the reply: a string, an integer, nil or false (null), true (1), an array,
---{ ok = ... }, { err = "CODE text" }; nil, message, code an error. A client's commands run one after the other; with
---pipeline they begin in order and may overlap.
---
---    node:listen("resp", orrery.resp.serve { GET = function(key) return kv:read { "get", key = key } end })
---@param commands table<string, function>
---@param options? { pipeline?: boolean }
---@return orrery.Service service
function orrery.resp.serve(commands, options) end

---The integer that a client wrote; where it wrote none, Redis's error is the reply of the command that asks.
---
---    orrery.resp.integer "12"                           --> 12
---@param text string|integer
---@return integer n
function orrery.resp.integer(text) end

---What orrery.check found.
---@class orrery.Report
---@field result string                 "ok", "violated", or "undecided": the budget was out, or there was no last read
---@field text? string                  why it isn't "ok": the fewest calls that contradict each other, drawn, and why
---@field property? string              what was violated: "linearizable", "sequential", "lost", "G-single", ...
---@field lines integer[]               of the calls in text: the entries that invoke them
---@field model string                  that it was judged by
---@field operations integer            calls in the history
---@field keys integer                  keys that were judged, each alone where that is enough
---@field reads integer                 reads, and those whose time overlaps that of a write of their key: how hard
---@field overlapping_reads integer     the history was
---@field witnessed boolean             it followed the order that the history bears, and did not search
---@field steps integer                 work done

---Judges a history: could a service that is what it claims to be have answered so? A history is an array of entries, or
---the path of a file with one as JSON on each line; each call is an entry that invokes it, and one that ends it: "ok"
---with its result as value, "fail" (surely not done), "info" (may have been, now or ever). Their order is what counts.
---`order` of an ending entry is its place in the system's own order, if that is known: then no order is searched for.
---A model is a name (see orrery check --help), or one of your own: `step` says whether a call may happen in a state,
---and the state after it (none: unchanged); `op` has f, key, value, result, process, unknown. nil, message, code: the
---history can't be read, or isn't one of that model. `require "orrery.check"` has this as `history`, `line(entry)`, an
---entry as JSON, and `models()`, their names.
---
---    orrery.check({
---      { process = 1, type = "invoke", f = "set", key = "x", value = 1 },
---      { process = 1, type = "ok", f = "set", key = "x" },
---      { process = 2, type = "invoke", f = "get", key = "x" },
---      { process = 2, type = "ok", f = "get", key = "x", value = 1 },
---    }, { model = "kv" }).result                        --> "ok"
---    orrery.check("history.jsonl", { model = { init = 0, reads = { "top" }, step = function(top, op)
---      if op.f == "raise" then return true, math.max(top, op.value) end
---      return op.result == top
---    end } })
---@param history table[]|string
---@param opts? { model?: string|table, witness?: boolean, budget?: integer, sequential?: boolean, strict?: boolean }
---@return orrery.Report? report
---@return string? message
---@return string? code                 "invalid": line or entry so and so is wrong
function orrery.check(history, opts) end

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

-- -- Clocks ----------------------------------------------------------------------------------------------------------
---Times of bare clocks are integers in ns: a double is only good to 0.24 µs at today's date.
---@alias nanoseconds integer

---A peer: a name of the script's own, or a number from 0 to 2^32 - 1. `"7"` and `7` are two peers.
---@alias orrery.ClockPeerId string|integer

---@class orrery.ClockOptions
---@field mode? "ntp"|"pacemaker"       "ntp" by default; "pacemaker" learns a network's queues
---@field peers? integer|orrery.ClockPeerId[]  how many there may be, 1 to 64 (16 by default); or who they are: then
---                                     the first answer waits for all of them, and nobody is right for being first
---@field precision? nanoseconds        of reading the local clock: 30 by default
---@field max_drift? integer            ppb by which the oscillator may leave its estimated frequency: 1000 by default
---@field poll_min? integer             log2 s, -6 to 17: what next keeps to; 4 by default
---@field poll_max? integer             10 by default
---@field seed? integer                 of the chance in next: 1 by default

---@class orrery.ClockPeerOptions
---@field trust? boolean                while there are such peers, they alone have a vote
---@field noselect? boolean             measured and shown, but without a vote and never followed
---@field now? nanoseconds              the local clock; the last that was given by default

---What the reply said, and when it was handed over.
---@class orrery.ClockSample
---@field stratum? integer              1 by default
---@field root_delay? nanoseconds       0 by default, as the next three
---@field root_dispersion? nanoseconds
---@field leap? integer                 0 to 3, as in the packet: 3 is "not synchronised"
---@field error? nanoseconds            how far the stamps may be off, beside the clock's precision
---@field now? nanoseconds              t4 by default. Give it where replies may be handed over late: one whose t4 is
---                                     more than 1 s before what was known is else taken for a clock that was set back

---What became of a sample. From "bad_order" on nothing was learned from it.
---@alias orrery.ClockVerdict "used"|"held_out"|"step"|"bad_order"|"bad_range"|"bad_delay"|"bad_root"|"bad_sync"

---@class orrery.ClockTime
---@field state "sync"|"holdover"|"unsync"   "unsync": no promise, the figures are for people; "holdover": the promise
---                                     stands, but no true peer was heard for eight of its polls
---@field offset nanoseconds            reference minus local, the likely value
---@field earliest nanoseconds          reference time now is at least this; within an epoch it never goes back
---@field latest nanoseconds            and at most this
---@field likely nanoseconds            five standard deviations of the offset: of symmetric paths, not promised
---@field rate integer                  of the local clock against reference, 1e-12: positive is fast
---@field epoch integer                 counts steps: intervals of different epochs may contradict each other
---@field stratum integer               one more than the best true peer's; 16: not synchronised
---@field good orrery.ClockPeerId[]     the true peers

---@class orrery.ClockPeer
---@field role "new"|"true"|"false"|"observed"   "new": too few exchanges, and offset to out_percent are missing;
---                                     "false": a falseticker, left out; "observed": noselect
---@field offset? nanoseconds           by this peer alone, reference minus local
---@field sd? nanoseconds               its standard deviation
---@field earliest? nanoseconds         by this peer alone
---@field latest? nanoseconds
---@field rate? integer                 1e-12: positive is fast
---@field delay? nanoseconds            the least round trip of late
---@field jitter? nanoseconds           the median of what others took more
---@field out_percent? integer          how much of the jitter is on the way out: 50 is even
---@field reach integer                 bits of the last eight polls, the newest lowest: 1 was answered usably
---@field poll integer                  log2 s
---@field lost integer                  requests without a reply
---@field trust boolean
---@field noselect boolean
---@field verdicts table<orrery.ClockVerdict, integer>   how many samples of each

---What time it is and how wrong that may be, from exchanges with peers, by hand: nothing here reads a clock, waits or
---sends. `local` is a clock that nobody steers, counted in ns. Reference time is between `earliest` and `latest` while
---fewer than half of the peers lie, the oscillator keeps to `max_drift`, and what peers say of their own error is true.
---
---    local c <close> = assert(orrery.clock { peers = { "a", "b", "c" } })
---@param options? orrery.ClockOptions
---@return orrery.Clock? clock
---@return string? message
---@return string? code
function orrery.clock(options) end

---@class orrery.Clock
local Clock = {}

---A peer more. Peers that nobody has added are added by their first sample, or the first that is lost.
---
---    c:add("ntp1", { trust = true })                    --> true
---@param peer orrery.ClockPeerId
---@param opts? orrery.ClockPeerOptions
---@return true? ok
---@return string? message
---@return string? code                 `conflict`: it is there; `overloaded`: there is no room
function Clock:add(peer, opts) end

---A peer less.
---
---    c:remove("ntp1")                                   --> true
---@param peer orrery.ClockPeerId
---@param now? nanoseconds              the local clock; the last that was given by default
---@return true? ok
---@return string? message
---@return string? code                 `invalid`: there is no such peer
function Clock:remove(peer, now) end

---An exchange: the local clock when the request left and when the reply came, the peer's in between.
---
---    c:sample("a", 1000, 501600, 501700, 2300, { stratum = 2, root_delay = 40000 })     --> "used"
---@param peer orrery.ClockPeerId
---@param t1 nanoseconds                local: the request left
---@param t2 nanoseconds                the peer's: it came
---@param t3 nanoseconds                the peer's: the reply left
---@param t4 nanoseconds                local: it came
---@param opts? orrery.ClockSample
---@return orrery.ClockVerdict? verdict
---@return string? message
---@return string? code                 `overloaded`: a new peer, and no room
function Clock:sample(peer, t1, t2, t3, t4, opts) end

---A request that had no reply.
---
---    c:lost("a", 16000000000)                           --> true
---@param peer orrery.ClockPeerId
---@param now nanoseconds               the local clock
---@return true? ok
---@return string? message
---@return string? code                 `overloaded`: a new peer, and no room
function Clock:lost(peer, now) end

---A reading of a sensor near the oscillator. How the frequency follows it is learned in an hour or so, and then used.
---Readings that cannot be are left out.
---
---    c:temperature(16000000000, 41500)                  --> true
---@param now nanoseconds               the local clock
---@param millicelsius integer
---@return true ok
function Clock:temperature(now, millicelsius) end

---The local clock was set by `delta`, or without it by nobody knows how much (a machine that was suspended or moved). A
---new epoch: no interval until peers are heard anew; the frequency is kept.
---
---    c:step(0)                                          --> true
---@param now nanoseconds               the local clock after it
---@param delta? nanoseconds
---@return true ok
function Clock:step(now, delta) end

---What time it is, and how wrong that may be.
---
---    local t = c:now(17000000000)
---    print(t.state, t.earliest, t.latest)
---@param now nanoseconds               the local clock
---@return orrery.ClockTime? time
---@return string? message
---@return string? code                 `unavailable`: not even a guess
function Clock:now(now) end

---Has `t` surely passed? Also false while nobody knows.
---
---    if c:after(now, lease_end) then close() end
---@param now nanoseconds               the local clock
---@param t nanoseconds                 reference time
---@return boolean surely
function Clock:after(now, t) end

---Is `t` surely to come? Also false while nobody knows.
---
---    if c:before(now, lease_end) then write() end
---@param now nanoseconds               the local clock
---@param t nanoseconds                 reference time
---@return boolean surely
function Clock:before(now, t) end

---Commit-wait: how long until `t` has surely passed, if nothing more is heard; 0: it has. Ask again after it: an epoch
---may have begun.
---
---    sleep(c:wait(now, commit_time))
---@param now nanoseconds               the local clock
---@param t nanoseconds                 reference time
---@return nanoseconds? left
---@return string? message
---@return string? code                 `unavailable`: nobody can say
function Clock:wait(now, t) end

---What is known of a peer.
---
---    c:peer("a").role                                   --> "true"
---@param peer orrery.ClockPeerId
---@param now? nanoseconds              the local clock; the last that was given by default
---@return orrery.ClockPeer? info
---@return string? message
---@return string? code                 `invalid`: there is no such peer
function Clock:peer(peer, now) end

---Who the peers are, in the order of their places.
---
---    c:peers()                                          --> { "a", "b", "c" }
---@return orrery.ClockPeerId[] peers
function Clock:peers() end

---When to ask this peer next: four times at 2 s, then as often as bound and wander ask for.
---
---    c:next(now, "a")
---@param now nanoseconds               the local clock
---@param peer orrery.ClockPeerId
---@return nanoseconds? at              by the local clock
---@return string? message
---@return string? code                 `invalid`: there is no such peer
function Clock:next(now, peer) end

---What outlives a restart: frequency, temperature's share, jitter. Peers are known again by their names.
---
---    local saved = c:save()
---@return string saved
function Clock:save() end

---Into a clock that has heard nothing yet; of peers, those that were added.
---
---    c:load(saved)                                      --> true
---@param saved string
---@return true? ok
---@return string? message
---@return string? code                 `corrupt`: not what save wrote; `invalid`: an exchange was heard already
function Clock:load(saved) end

---A line of a recorded trace, as `orrery clock replay` reads it: true, or the answer to a query. Peers are numbers.
---
---    c:replay "Q . 17000000000 ."
---@param line string                   without its newline
---@return string|true? answer
---@return string? message
---@return string? code                 `invalid`: it is malformed; `overloaded`: a new peer, and no room
function Clock:replay(line) end

---Gives its memory back at once. Twice is once; what is called afterwards raises.
---
---    c:close()
function Clock:close() end

---A hash ring: which nodes own a key, so that few keys move when nodes come and go. It follows from its nodes alone:
---the same whatever their order, on any machine. Nothing is asked and nobody is told: it is plain data.
---
---    local r = orrery.ring { nodes = { "a", { id = "b", weight = 2, zone = "eu/1" }, "c" } }
---    print(r:owner "user:17", table.unpack(r:owners("user:17", 2)))
---@param options orrery.RingOptions
---@return orrery.Ring ring
function orrery.ring(options) end

---Jump consistent hash: one of `buckets`, from 0. With one more bucket, one key of so many moves, to the new one. An
---integer key is taken as it is, a string is hashed.
---
---    print(orrery.jump("user:17", 10))
---@param key string|integer
---@param buckets integer
---@return integer bucket
function orrery.jump(key, buckets) end

---Whose is a key, by one policy or another: which nodes own it, whom to try next, what moves. With the same look-ups
---as a ring. "jump" goes by the order of the nodes, and knows no weights; "rendezvous" moves the fewest keys and takes
---longer the more nodes there are; "maglev" is a table, even and quick; "multiprobe" has a point for each node.
---
---    local p = orrery.placement { policy = "rendezvous", nodes = { "a", { id = "b", weight = 2 }, "c" } }
---    print(p:owner "user:17", table.unpack(p:owners("user:17", 2)))
---@param options orrery.PlacementOptions
---@return orrery.Placement placement
function orrery.placement(options) end

---@class orrery.PlacementOptions
---@field policy? "ring"|"jump"|"rendezvous"|"maglev"|"multiprobe"  "ring" by default
---@field nodes (string|orrery.RingNode)[]
---@field vnodes? integer               of the ring, as in orrery.RingOptions,
---@field hash? string                  likewise
---@field slots? integer                of maglev: a prime, better a hundred times the nodes; 65537 by default
---@field probes? integer               of multiprobe: 21 by default

---@class orrery.RingOptions
---@field nodes (string|orrery.RingNode)[]
---@field vnodes? integer               points of a node with weight 1; 160 by default
---@field hash? "xxh3"|"ketama"|"ketama-unweighted"|"libketama"|"nginx"  whose ring; "xxh3", our own, by default.
--- "ketama": libmemcached's KETAMA_WEIGHTED, "ketama-unweighted" its KETAMA with MD5; "nginx": `hash ... consistent`.
--- Ids are then servers as they are written there, "10.0.0.7:11212", and weights are whole numbers.

---@class orrery.RingNode
---@field id string
---@field weight? number                so much of the space beside the others; 1 by default, up to 1000 (with the
--- ketamas up to 2^32 - 1)
---@field zone? string                  failure domains, the widest first: "eu/hall 2/rack 7"; by default its own

---@class orrery.RingMove
---@field before string                 whose the places are
---@field after string                  whose they will be
---@field from integer                  the first place, and
---@field to integer                    the last one; 64 bits, so they may be negative: math.ult compares

---@class orrery.RingDiff: { [integer]: orrery.RingMove }
---@field moved number                  the fraction of the space that moves,
---@field least number                  and what must, for the shares to become the others

---@class orrery.Ring
local Ring = {}

---Whose the key is.
---
---    local id = r:owner "user:17"
---@param key string
---@return string id
function Ring:owner(key) end

---The owner and n - 1 more, for replicas: distinct nodes, in as many zones as can be. Fewer where there are no more.
---
---    local ids, zones = r:owners("user:17", 3)
---@param key string
---@param n integer
---@return string[] ids
---@return integer zones                in so many of the widest zones they are
function Ring:owners(key, n) end

---The owner, and then who would own the key if those before were gone.
---
---    for id in r:walk "user:17" do print(id) end
---@param key string
---@return fun(): string?
function Ring:walk(key) end

---The first node from the key's owner on whose load is below its part of all load and a little: by its weight, `slack`
---more at most (Mirrokni, Thorup, Zadimoghaddam: consistent hashing with bounded loads).
---
---    r:bounded("user:17", { a = 3, b = 0, c = 1 })
---@param key string
---@param loads table<string, integer>  by id, in any unit that adds up; 0 for who isn't in it
---@param slack? number                 0.25 by default
---@return string id
function Ring:bounded(key, loads, slack) end

---The fraction of the space that is each node's.
---
---    for id, part in pairs(r:share()) do print(id, part) end
---@return table<string, number>
function Ring:share() end

---The ranges of places that change hands from this ring to the other, which must hash keys as this one does.
---
---    local was = r:copy()
---    print(#was:diff(r:add "d"), was:diff(r).moved)
---@param other orrery.Ring
---@return orrery.RingDiff moves
function Ring:diff(other) end

---One node more, in this ring itself. Raises where it is there already.
---
---    r:add { id = "e", weight = 0.5 }
---@param node string|orrery.RingNode
---@return orrery.Ring ring             the same
function Ring:add(node) end

---One node less. Raises where there is no such node, or it is the last one.
---
---    r:remove "a"
---@param id string
---@return orrery.Ring ring             the same
function Ring:remove(id) end

---Another ring of the same nodes.
---
---    local was = r:copy()
---@return orrery.Ring
function Ring:copy() end

---The circle with its owners, and their shares, as text; with a path, a picture in that file (SVG; not in scripts of
---nodes, which have no files).
---
---    print(r:diagram())
---    r:diagram "ring.svg"
---@param path? string
---@return table|true|nil diagram       which is its text
---@return string? message
---@return string? code                 `unavailable`: the file can't be written
function Ring:diagram(path) end

---@class orrery.Placement
local Placement = {}

---Whose the key is.
---
---    local id = p:owner "user:17"
---@param key string
---@return string id
function Placement:owner(key) end

---The owner and n - 1 more, for replicas: distinct nodes, in as many zones as can be. Fewer where there are no more.
---
---    local ids, zones = p:owners("user:17", 3)
---@param key string
---@param n integer
---@return string[] ids
---@return integer zones                in so many of the widest zones they are
function Placement:owners(key, n) end

---The owner, and then whom to try next.
---
---    for id in p:walk "user:17" do print(id) end
---@param key string
---@return fun(): string?
function Placement:walk(key) end

---The fraction of all keys that is each node's.
---
---    for id, part in pairs(p:share()) do print(id, part) end
---@return table<string, number>
function Placement:share() end

---The fraction of keys whose owner in the other is another one, exactly where both are rings or tables, else of 65,536.
---
---    local was = p:copy()
---    local moved, least = was:moved(p:add "d")
---@param other orrery.Placement
---@return number moved
---@return number least                 what must, for the shares to become the other's
function Placement:moved(other) end

---One node more, in this placement itself; with "jump" the last one. Raises where it is there already.
---
---    p:add "e"
---@param node string|orrery.RingNode
---@return orrery.Placement placement   the same
function Placement:add(node) end

---One node less. Raises where there is no such node, or it is the last one.
---
---    p:remove "a"
---@param id string
---@return orrery.Placement placement   the same
function Placement:remove(id) end

---Another placement of the same nodes.
---
---    local was = p:copy()
---@return orrery.Placement
function Placement:copy() end

---@class orrery.HlcOptions
---@field skew_max? nanoseconds         a message further ahead of `latest` is refused: 500000000 by default
---@field ahead? nanoseconds            how far before the time the stored limit may be: 10^9 by default, at least 10^6
---@field limit? integer                the last that was stored; 0: none ever was, or nothing is kept

---@class orrery.HlcStatus
---@field last integer                  the stamp that was given last, or seen in a message that was taken
---@field limit integer                 stamps below it are known to be stored
---@field asked integer                 and below it asked to be
---@field skew_max nanoseconds
---@field ahead nanoseconds
---@field refused integer               messages

---An offset between two clocks that somebody measured. Its path's asymmetry moves it by half.
---@class orrery.MeshEdge
---@field from string|integer           a name, or a number of the script's own
---@field to string|integer
---@field offset nanoseconds            to's clock minus from's
---@field sd nanoseconds                its standard deviation, at least 1
---@field age? nanoseconds              since it was measured: 0 by default

---@class orrery.MeshOptions
---@field edges orrery.MeshEdge[]       of 2 to 64 nodes
---@field anchor? string|integer        against whose clock: the first edge's `from` by default
---@field max_drift? integer            ppb by which an offset may become wrong with its age: 1000 by default
---@field max_age? nanoseconds          older ones aren't used: all are by default

---@class orrery.Mesh
---@field anchor string|integer
---@field nodes table<string|integer, { offset: nanoseconds, sd: nanoseconds }>   that links in use lead to
---@field links orrery.ClockLink[]      as the edges, in their order; in ns here, and without age

---What measured offsets of clocks say together: around a loop they must add up to nothing, so that all of them know
---more than each, and the one that fits no others is named. Shown as text. Two edges between two nodes are two edges:
---who measures a link from both its ends should give it once, for its asymmetry is in both.
---
---    local g = orrery.mesh { edges = {
---      { from = "a", to = "b", offset = 1200, sd = 300 }, { from = "b", to = "c", offset = -400, sd = 250 },
---      { from = "a", to = "c", offset = 830, sd = 300 } } }
---    print(g, g.nodes.c.offset)
---@param options orrery.MeshOptions
---@return orrery.Mesh mesh
function orrery.mesh(options) end

---A hybrid logical clock by hand. A stamp is an integer of 64 bits: 48 of time since 1970 in units of 2^-16 s, 16 of a
---counter. What happened before has the lesser stamp: on one node, over messages, steps of the wall clock and restarts.
---Stamps compare as integers; of 2038 and later only by math.ult(a, b), for Lua's integers have a sign.
---
---    local h = orrery.hlc {}
---@param options? orrery.HlcOptions
---@return orrery.Hlc hlc
function orrery.hlc(options) end

---@class orrery.Hlc
local Hlc = {}

---A stamp for what happens now, or for a message that is sent: greater than all before it.
---
---    local stamp = h:now(1790000000000000000)
---@param wall nanoseconds              the best reading of the time, since 1970
---@return integer? stamp
---@return string? message
---@return string? code                 `unavailable`: there are none after the last (2106)
function Hlc:now(wall) end

---A message with a stamp came: its receipt's stamp, greater than that and all before.
---
---    local stamp, message, code = h:recv(1790000000000000000, heard)
---@param wall nanoseconds
---@param stamp integer                 the message's
---@param latest? nanoseconds           upper bound of the time; `wall` by default
---@return integer? stamp
---@return string? message
---@return string? code                 `denied`: it is more than skew_max ahead of `latest`; nothing has changed
function Hlc:recv(wall, stamp, latest) end

---The stamp's time and its counter.
---
---    h:parts(7687991459840000001)                       --> 1790000000000000000, 1
---@param stamp integer
---@return nanoseconds time             since 1970
---@return integer counter
function Hlc:parts(stamp) end

---The least stamp of a time, rounded down to its unit of 15.3 µs.
---
---    h:of(1790000000000000000)                          --> 7687991459840000000
---@param wall nanoseconds
---@return integer stamp
function Hlc:of(wall) end

---The limit that is to be stored now, each told once; nothing: none is. Write it to the disk, then say so with stored.
---
---    local limit = h:store(wall)
---    if limit and write(limit) then h:stored(limit) end
---@param wall nanoseconds
---@return integer? limit
function Hlc:store(wall) end

---A limit is on the disk.
---
---    h:stored(limit)                                    --> true
---@param limit integer
---@return true? ok
---@return string? message
---@return string? code                 `invalid`: nobody asked for it
function Hlc:stored(limit) end

---A write of a limit failed: store asks anew.
---
---    h:unstored()                                       --> true
---@return true ok
function Hlc:unstored() end

---May a stamp of this node be seen outside? Only then is a restart sure not to give it again.
---
---    if h:usable(stamp) then send(stamp) end
---@param stamp integer
---@return boolean usable
function Hlc:usable(stamp) end

---How far it is ahead of the wall clock; 0: not at all. After a restart let it get below the others' skew_max.
---
---    h:ahead(1790000000000000000)                       --> 0
---@param wall nanoseconds
---@return nanoseconds ahead
function Hlc:ahead(wall) end

---Where it stands.
---
---    h:status().refused                                 --> 0
---@return orrery.HlcStatus status
function Hlc:status() end

-- -- Simulations -----------------------------------------------------------------------------------------------------
---@class orrery.SimOptions
---@field seed? integer                 1 by default: the same seed and calls are the same run, to the last byte
---@field faults? "none"|"default"|"swarm"|string  "none" by default; "default": every kind that must hurt nobody, until
---                                     sim:heal(); "swarm": a random half of them, at random strengths, by the seed;
---                                     the path of a fault file, FILE.lua: verbs with the moments as globals
---@field workload? string|orrery.Workload  whose clients are at work: a name, the path of a file, or the value
---@field trace? string                 the path of a file that the event log goes to

---Whom a verb is about: an id, an array of ids, or what a function of the simulation gives when the moment comes; nil:
---nobody. sim.leader, sim.all, sim.any(2), sim.follower and sim.role "store" are such functions.
---@alias orrery.Who string|string[]|fun(sim: orrery.Sim): string|string[]|nil

---@class orrery.StartOptions
---@field id string                     which node of the file this is
---@field data? string                  where the data are: DIR/ID; NAME-data here by default, by the cluster's name
---@field timeout? seconds              what a call may take; the cluster's timing.call by default
---@field thread? boolean               true: it turns by itself, on a thread of its own; false by default
---@field log? "error"|"warn"|"info"|"debug"   what goes to stderr; "warn" by default

---A node inside this program. It turns while something here waits, and in step(T); with `thread = true`, by itself.
---Then `peek`, `status` and `state` wait for its thread, at most the timeout; a `cast` is true once it is handed over.
---@class orrery.Started
---@field id string
---@field state table                   a copy of its script's node.state; {} once it has stopped
---@field nodes table<string, orrery.Started>   the others, as it sees them: call, cast, status
Started = {}

---Starts a node inside this program: its log is read when this returns. No signal handler; no thread that runs Lua but
---the one that is asked for. A host that forks does so first: in a child the node isn't there.
---
---    local a <close> = assert(orrery.start("examples/counter/cluster.lua", { id = "a" }))
---    local b <close> = assert(orrery.start("examples/counter/cluster.lua", { id = "b", thread = true }))
---@param cluster orrery.Cluster|string a cluster, or the path of its file
---@param opts orrery.StartOptions
---@return orrery.Started? node
---@return string? message
---@return string? code                 `invalid`: the file, its scripts; `unavailable`: its directory, its addresses
function orrery.start(cluster, opts) end

---What its handler returns. Turns the node until then.
---
---    a:call("add", 5)                                   --> 5
---@param name string
---@param ... any
---@return any ...
function Started:call(name, ...) end

---No answer, no promise.
---
---    a:cast("add", 5)                                   --> true
---@param name string
---@param ... any
---@return true? ok
---@return string? message
---@return string? code
function Started:cast(name, ...) end

---Takes the scripts of its cluster file anew, or those of another path, as sim:reload does.
---
---    a:reload()                                         --> true
---@param path? string
---@return true? ok
---@return string? message              what is wrong with them: the scripts that run go on
---@return string? code
function Started:reload(path) end

---A group with a machine in Lua: propose, read and peek (of a table, for `query`), status.
---A group with a machine in Lua: propose, read and peek (of a table, for `query`), status, snapshot, why.
---
---    a:group("counter"):propose { by = 5 }              --> 5
---@param name string
---@return orrery.Group group
function Started:group(name) end

---What it says of itself, and of its groups.
---
---    a:status().groups.counter.role                     --> "leader"
---@return orrery.NodeStatus status
function Started:status() end

---What it knows of the others, as node.members:list() has it; {} where it takes no part, and isn't asked to.
---
---    #a:members()                                       --> 3
---@return table[]? members
---@return string? message
---@return string? code                 `timeout`: its thread doesn't answer; `closed`
function Started:members() end

---Runs text in the node, between two of its turns: the values of an expression, or statements; of statements that end
---in one after a semicolon, that one's. It sees by name `node`, `orrery`, and the locals of the script that its
---handlers use, and may set those. It can't wait, has the budget of an event, and makes no globals. What can't travel
---comes as orrery.show's text.
---
---    a:eval "counter:status().role"                     --> "leader"
---@param text string
---@return any ...                      or nil, message, code: `failed` with what it raised
function Started:eval(text) end

---f() once the cluster answers ("ready"); f(why) when the node has stopped by itself ("stop"). Between two turns.
---
---    a:on("stop", function(why) print(why) end)
---@param event "ready"|"stop"
---@param f function
---@return orrery.Subscription subscription
function Started:on(event, f) end

---One turn, after at most T; 0, as by default: what is to do now. False once the node has stopped.
---
---    while a:step(0.1) do end
---@param T? seconds
---@return boolean alive
function Started:step(T) end

---Readable when step(0) has something to do; only to be polled.
---
---    poll(a:fd(), a:deadline())
---@return integer? fd
---@return string? message
---@return string? code
function Started:fd() end

---In how many seconds a step should come at the latest, whatever fd() says.
---
---    a:deadline()                                       --> 0.05
---@return seconds? T
---@return string? message
---@return string? code
function Started:deadline() end

---Ends the node at once, as a crash would; what was acknowledged is on its disk.
---
---    a:close()
function Started:close() end

---@class orrery.ConnectOptions
---@field timeout? seconds              what connecting and a call may take; the cluster's timing.call by default

---A live node, seen by a program outside its cluster, on the same machine. What waits turns a loop of the handle's own.
---A connection that was lost is made anew when something is asked: what was under way on it is `unknown`.
---@class orrery.Connected
---@field id string                     the node's
---@field address string
---@field cluster string                its name
---@field ids string[]                  of all nodes, in the file's order
---@field state table                   a copy of its script's node.state, made anew each time; {} where it isn't there
---@field nodes table<string, orrery.Connected>   all by id, this one too; each at its own address, once it is asked
Connected = {}

---Connects to the node whose address in the cluster file this is. The node lets in programs of its own machine alone,
---100 of them at a time; there is no TLS in this version.
---
---    local a <close> = assert(orrery.connect("127.0.0.1:7401", { timeout = 2 }))
---@param address string                "host:port"
---@param opts? orrery.ConnectOptions
---@return orrery.Connected? node
---@return string? message
---@return string? code                 `unavailable`: nobody is there; `denied`: not from here; `overloaded`: too many
function orrery.connect(address, opts) end

---What its handler returns. node:from() is "(visitor)" there.
---
---    a:call("add", 5)                                   --> 5
---@param name string
---@param ... any
---@return any ...                      or nil, message, code: `unknown` where it was sent and no answer came
function Connected:call(name, ...) end

---No answer, no promise.
---
---    a:cast("add", 5)                                   --> true
---@param name string
---@param ... any
---@return true? ok
---@return string? message
---@return string? code
function Connected:cast(name, ...) end

---A group with a machine in Lua: propose, read and peek (of a table, for `query`), status.
---
---    a:group("counter"):propose { by = 5 }              --> 5
---@param name string
---@return orrery.Group group
function Connected:group(name) end

---What it says of itself, and of its groups.
---
---    a:status().groups.counter.role                     --> "leader"
---@return orrery.NodeStatus status
function Connected:status() end

---What it knows of the others, as node.members:list() has it; {} where it takes no part, and isn't asked to.
---
---    #a:members()                                       --> 3
---@return table[]? members
---@return string? message
---@return string? code
function Connected:members() end

---What each node says of each other, as sim:members has it: a row is who says it, as far as it is reached. With a path,
---a picture in that file (SVG).
---
---    print(live:matrix())
---@param path? string
---@return { ids: string[], rows: table<string, table<string, table>> }|true|nil matrix   which is its text
---@return string? message
---@return string? code                 `unavailable`: the file can't be written
function Connected:matrix(path) end

---Has the node read its files anew: handlers, locals and node.state begin anew, what runs of the old scripts has 5 s.
---Its groups go over when all their voters have the new scripts.
---
---    assert(a:reload())
---@return true? ok
---@return string? message              what is wrong with them: the scripts that run go on
---@return string? code
function Connected:reload() end

---As the eval of a node that orrery.start gave.
---
---    a:eval "counter:status().role"                     --> "leader"
---@param text string
---@return any ...                      or nil, message, code: `failed` with what it raised
function Connected:eval(text) end

---Tells, on the standard output and with the wall time, when that changes in the cluster: "leader", "roles", "term",
---"commit", "applied" (the greatest of any replica), "a.role", "a.state.votes". Nodes are looked at ten times a second
---while something waits here, in step(), and while a prompt waits; each watch tells at most two lines a second.
---
---    live:watch "leader"
---    live:watch "a.state"
---@param what string
---@param group? string                 needed where there are several groups
---@return orrery.Watch? watch
---@return string? message
---@return string? code
function Connected:watch(what, group) end

---Ends what was watched, by any handle of the cluster: that, or all.
---
---    live:unwatch "leader"
---@param what? any
---@return integer ended
function Connected:unwatch(what) end

---What was seen of the cluster since the prompt began, or the first watch, timeline or plot: an array of events, and
---their text with wall times. Kinds: leader, up, down, restart; and, where they are named, commit, apply. What comes
---and goes within a tenth of a second is not seen; of commit and apply, and of the others, at least the last 5000 are
---kept.
---
---    print(live:timeline { kinds = { "leader", "down" } })
---@param opts? orrery.TimelineOptions
---@return orrery.Event[]? events       at: seconds since then
---@return string? message
---@return string? code
function Connected:timeline(opts) end

---Charts of what was seen, as sim:plot draws them: "term", "commit", "applied", "lag".
---
---    print(live:plot("term", "commit", "lag"))
---@param ... string|orrery.PlotOptions
---@return table|true? charts
---@return string? message
---@return string? code
function Connected:plot(...) end

---f(why) when the connection was lost or the node has closed it; told while something waits here, or in step().
---
---    a:on("close", function(why) print(why) end)
---@param event "close"
---@param f function
---@return orrery.Subscription subscription
function Connected:on(event, f) end

---One turn of the connection's loop, after at most T; 0, as by default: what is to do now. Is there a connection?
---
---    while a:step(0.1) do end
---@param T? seconds
---@return boolean up
function Connected:step(T) end

---Readable when step(0) has something to do; only to be polled.
---
---    poll(a:fd(), a:deadline())
---@return integer? fd
---@return string? message
---@return string? code
function Connected:fd() end

---In how many seconds a step should come at the latest, whatever fd() says.
---
---    a:deadline()                                       --> math.huge
---@return seconds? T
---@return string? message
---@return string? code
function Connected:deadline() end

---Leaves; with it the handles of the other nodes that came from it. Twice is once.
---
---    a:close()
function Connected:close() end

---What a run was: seed, virtual_s, events, digest, faults (how often each struck), properties (how many were watched).
---@alias orrery.SimReport table<string, any>

---What hurts and mends. Each gives true; or nil, message, code; or, on a moment, the moment.
---@class orrery.Verbs
---@class orrery.Moment: orrery.Verbs

---@class orrery.TimelineOptions
---@field from? number                  seconds; 0 by default
---@field till? number                  now by default
---@field nodes? string[]               those that are about these nodes
---@field kinds? string[]               leader, snapshot, kill, restart, pause, resume, cut, heal, call: the default;
---                                    and message, commit, apply; those of a live cluster: Connected:timeline

---Something that happened; the fields are those that it has.
---@class orrery.Event
---@field at number                     seconds
---@field wall? number                  of a live cluster: seconds since 1970
---@field till? number                  of a call: when it was answered
---@field kind string                   as in orrery.TimelineOptions
---@field text string                   in words
---@field cause? string                 what it came from, in words
---@field node? string                  to whom it happened
---@field from? string                  of a message
---@field to? string
---@field what? string                  a message's kind, a role
---@field group? string
---@field term? integer
---@field index? integer

---@class orrery.DiagramOptions
---@field from? number                  seconds; 0 by default
---@field till? number                  now by default
---@field group? string                 whose roles are shown; the first by default
---@field messages? integer             at most so many are drawn, heartbeats that arrived last; 500 by default
---@field width? integer                of the picture; by how many messages there are, by default

---@class orrery.PlotOptions
---@field from? number                  seconds; 0 by default
---@field till? number                  now by default
---@field group? string                 one group needs no name
---@field path? string                  writes SVG there, instead of text
---@field width? integer                characters; the terminal's by default

---@class orrery.ClocksOptions
---@field from? number                  seconds; 0 by default
---@field till? number                  now by default
---@field path? string                  writes SVG there, instead of text
---@field width? integer                characters; the terminal's by default

---@class orrery.RtoOptions
---@field tries? integer                5 by default, one after the other
---@field limit? seconds                how long one may take; 30 by default
---@field write? table                  what a write is: { NAME, ... }, a message of the nodes; Redis' SET by default

---What is looked at while virtual time runs.
---@class orrery.Watch
---@field close fun(self: orrery.Watch)   ends it

---A cluster's nodes on virtual time, in this process. A verb is done now; on a moment, when that comes.
---@class orrery.Sim: orrery.Verbs
---@field nodes table<string, orrery.Handle>   by id
Sim = {}

---Makes a simulation; what is wrong with the cluster or its scripts is raised, in one line.
---
---    local sim <close> = orrery.sim("examples/kv/cluster.lua", { seed = 17 })
---@param cluster orrery.Cluster|string a cluster, or the path of its file
---@param opts? orrery.SimOptions
---@return orrery.Sim sim
function orrery.sim(cluster, opts) end

---Seconds since the beginning.
---
---    sim:now()                                          --> 1.5
---@return seconds now
function Sim:now() end

---Goes on for T seconds. Where something is violated it ends there, with nil and what.
---
---    assert(sim:run(5))
---@param T seconds
---@return true? ok
---@return string? message
---@return string? code
function Sim:run(T) end

---Goes on for n events that touch a node: a message, a timer, a completion of its disk.
---
---    sim:step()
---@param n? integer            1 by default
---@return true? ok
---@return string? message
---@return string? code
function Sim:step(n) end

---Goes on until the event happens, or f(sim) is true.
---
---    sim:run_until("leader", 5)
---    sim:run_until(function(s) return s:leader() == "a" end)
---@param event "leader"|"commit"|"apply"|"kill"|"restart"|fun(sim: orrery.Sim): boolean
---@param limit? seconds        60 by default
---@return true? ok
---@return string? message
---@return string? code
function Sim:run_until(event, limit) end

---The same run at the end of the instant T, past or to come: everything that was done to it up to then is in it.
---Seeking goes along the history that there is; whatever else is done to the simulation begins another one there. It is
---played again from its beginning, so it takes a while where much has happened: Ctrl-C ends it on the way, and it can
---go on. Functions that were given to the simulation are asked again, and must depend on nothing but the simulation.
---
---    sim:seek(1.5)
---@param T seconds
---@return true? ok
---@return string? message
---@return string? code                 `cancelled`: Ctrl-C; `violated`, where it went on into what was not known
function Sim:seek(T) end

---The same run, T seconds ago: sim:seek(sim:now() - T).
---
---    sim:back(3.5)
---@param T seconds
---@return true? ok
---@return string? message
---@return string? code
function Sim:back(T) end

---Another simulation, independent of this one, at the same step of the same run: for what might have been.
---
---    local other <close> = sim:branch()
---    other:heal()
---    other:run(1)
---@return orrery.Sim? other
---@return string? message
---@return string? code
function Sim:branch() end

---What the node's handler of that name returns; nil, message, code. Runs virtual time until the answer is there, at
---most the cluster's timing.call.
---
---    sim:call("a", "add", 5)
---@param id string
---@param name string
---@param ... any
---@return any results
function Sim:call(id, name, ...) end

---A message without an answer.
---
---    sim:cast("a", "hello")
---@param id string
---@param name string
---@param ... any
---@return true? ok
---@return string? message
---@return string? code
function Sim:cast(id, name, ...) end

---From now on the node has the scripts of this cluster file, and runs them if it is up: handlers, locals and node.state
---begin anew, what runs of the old ones has 5 s. Its groups' code changes when all their voters have the new scripts.
---
---    sim:reload "a"
---@param id string
---@param path? orrery.Cluster|string   the file that the simulation was made from, by default
---@return true? ok
---@return string? message              what is wrong with them: the scripts that run go on
---@return string? code                 `invalid`; `unavailable`: it is paused
function Sim:reload(id, path) end

---Runs text in a node, between two events; a part of the run, so the same script with the same seed is the same run. As
---the eval of a node that orrery.start gave.
---
---    sim:eval("a", "counter:peek().n")                  --> 5
---@param id string
---@param text string
---@return any ...                      or nil, message, code: `failed` with what it raised; `unavailable`: it is down
function Sim:eval(id, text) end

---The moment T: its verbs are done then.
---
---    sim:at(3.2):partition({ "a" }, { "b", "c" })
---@param T seconds
---@return orrery.Moment moment
function Sim:at(T) end

---Its verbs are done at the first and undone at the second: a link mended, a killed node restarted, a disk quick
---again.
---
---    sim:between(5, 9):slow_disk("b", 0.2):cut("a", "c")
---@param from seconds
---@param till seconds
---@return orrery.Moment moment
function Sim:between(from, till) end

---Its verbs are done each T seconds, first in T.
---
---    sim:every(2):reset("a", "b")
---@param T seconds
---@return orrery.Moment moment
function Sim:every(T) end

---The next such event, of that group where one is named: leader, commit, apply, snapshot, upgrade, kill, restart.
---
---    sim:when("leader", "kv"):kill(sim.leader "kv")
---@param event string
---@param group? string
---@return orrery.Moment moment
function Sim:when(event, group) end

---The id of the node that leads, as the newest one that is up says; nil: none. One group needs no name. sim.leader, and
---sim.leader(group), is whoever leads when a moment comes.
---
---    sim:kill(sim:leader "kv")
---    sim:at(3):kill(sim.leader)
---@param group? string
---@return string? id
function Sim:leader(group) end

---The ids of all nodes; sim.all is whom a verb is about then.
---
---    sim:at(3):kill(sim.all)
---@return string[] ids
function Sim:all() end

---k nodes, drawn by the seed; sim.any(k): drawn when the moment comes.
---
---    sim:every(2):restart(sim.any(1))
---@param k? integer            1 by default
---@return string[] ids
function Sim:any(k) end

---A node of the group that is up and doesn't lead it, drawn by the seed; {}: there is none. sim.follower, and
---sim.follower(group), is drawn when the moment comes.
---
---    sim:at(3):pause(sim.follower)
---@param group? string
---@return string[] ids
function Sim:follower(group) end

---The nodes that bear the role; sim.role(name) when the moment comes.
---
---    sim:kill(sim:role "store")
---@param name string
---@return string[] ids
function Sim:role(name) end

---Whom each node's messages reach: o yes, x that way is cut, - one of the two is down, blank: they have no link.
---
---    print(sim:matrix())
---@return string picture
function Sim:matrix() end

---What each node's membership says of each other: a row is who says it. a alive, s suspect, f failed, l left, - not
---heard of, . itself; ~ behind it: reached over others, = heard by its stream, ! no answer to the last question. Nobody
---takes part for being looked at. With a path, a picture in that file (SVG).
---
---    print(sim:members())
---    sim:members().rows.a.b.state                       --> "alive"
---@param path? string
---@return { ids: string[], rows: table<string, table<string, table>> }|true|nil matrix   which is its text
---@return string? message
---@return string? code                 `unavailable`: the file can't be written
function Sim:members(path) end

---16 hexadecimal digits over every byte that was delivered so far.
---
---    assert(sim:digest() == other:digest())
---@return string digest
function Sim:digest() end

---Tells, on the standard output and with the virtual time, when that changes, looking after each event that touched a
---node: "leader", "roles", "term", "commit", "applied" (the greatest of any replica), "a.role", "a.state.votes", or a
---function.
---
---    sim:watch "leader"
---    sim:watch "a.state"
---    sim:watch(function(s) return s.nodes.b:status().peers_up end)
---@param what string|fun(sim: orrery.Sim): any
---@param group? string                 needed where there are several groups
---@return orrery.Watch watch
function Sim:watch(what, group) end

---Ends what was watched by sim:watch: that, or all.
---
---    sim:unwatch "leader"
---@param what? any
---@return integer ended
function Sim:unwatch(what) end

---What happened, in order and in words, with the causes of elections: an array of events, and their text. The last
---65536 events are known, messages among them; sim:seek goes to where older ones are.
---
---    print(sim:timeline { from = 1, kinds = { "leader", "cut", "call" } })
---@param opts? orrery.TimelineOptions
---@return orrery.Event[] events
function Sim:timeline(opts) end

---What an event came from, step by step: why that node led, why this call took so long. Of a kind ("leader", "call") it
---is the last one. Where a replica has forgotten, the run is played again up to then, on a branch.
---
---    print(sim:why "leader")
---    print(sim:why(sim:timeline { kinds = { "call" } }[1]))
---@param event orrery.Event|string
---@return table? reasons
---@return string? message
---@return string? code
function Sim:why(event) end

---Draws a space-time diagram as SVG: nodes are lines, coloured by role, messages arrows, what never came ends at a
---cross, cuts are bands. The mouse finds a word on everything.
---
---    sim:diagram("cut.svg", { from = 1, till = 3 })
---@param path string
---@param opts? orrery.DiagramOptions
---@return true? ok
---@return string? message
---@return string? code
function Sim:diagram(path, opts) end

---Charts of figures of a group over time: "term", "commit", "applied", "lag" (behind what anybody knows as committed).
---The last argument may be options; with `path` it is true, and they are in that file as SVG.
---
---    print(sim:plot("term", "commit", "lag"))
---    sim:plot("lag", { path = "lag.svg" })
---@param ... string|orrery.PlotOptions
---@return table|true? charts
---@return string? message
---@return string? code
function Sim:plot(...) end

---What each node was told of the cluster's time (node:time), against the true time, with the bounds: in the terminal,
---or with `path` as SVG.
---
---    print(sim:clocks())
---    sim:clocks { from = 5, till = 20, path = "clocks.svg" }
---@param opts? orrery.ClocksOptions
---@return table|true? charts
---@return string? message
---@return string? code
function Sim:clocks(opts) end

---The last 1000 lines that nodes logged, and their ups and downs; tostring gives the text.
---
---    print(sim:log "b")
---@param id? string            this node's alone
---@return string[] lines
function Sim:log(id) end

---A Redis client of a node, of its listener resp unless another is named; what it asks runs virtual time until the
---reply is there, at most `timeout` (5).
---
---    local c <close> = sim:client { to = "a" }
---@param opts { to: string, listener?: string, timeout?: seconds }
---@return orrery.Client client
function Sim:client(opts) end

---What the clients of its workload did and saw so far, in order (orrery.workload).
---
---    sim:history():write("history.jsonl")
---@return orrery.History history
function Sim:history() end

---f(sim) must be true after each event that touches a node; false and why: violated.
---
---    sim:always("a stays up", function(s) return s.nodes.a:status().state == "up" end)
---@param name string
---@param f fun(sim: orrery.Sim): boolean, string?
function Sim:always(name, f) end

---Goes on until f(sim) is true; if that takes more than T, it is violated.
---
---    sim:eventually("somebody leads", 5, function(s) return s:leader() ~= nil end)
---@param name string
---@param T seconds
---@param f fun(sim: orrery.Sim): boolean, string?
---@return true? ok
---@return string? message
---@return string? code
function Sim:eventually(name, T, f) end

---What the run was; or nil and what was violated first, with the seed and how to see it again.
---
---    assert(sim:check())
---@return orrery.SimReport? report
---@return string? message
---@return string? code
function Sim:check() end

---Judges what the clients of the workload saw so far, by the workload's model or by another one (orrery.check). Raises
---the calls that contradict each other; then sim:check() says so, too.
---
---    sim:assert_linearizable()
---@param model? string|table
---@return orrery.Report report
function Sim:assert_linearizable(model) end

---Goes on until every replica that is up has applied all that was committed anywhere when this was called, at most T.
---Raises who is behind; then sim:check() says so, too.
---
---    sim:heal()
---    sim:assert_converges(5)
---@param T number                      seconds
---@return true ok
function Sim:assert_converges(T) end

---The seconds until a write that was begun after the verb is answered: recovery time. It is tried on a branch, several
---times one after the other; the simulation stays where it is.
---
---    local median, longest = sim:rto "kill leader"
---    sim:rto(function(s) s:partition({ "a" }, { "b", "c" }) end, { write = { "add", 1 } })
---@param verb string|fun(sim: orrery.Sim)   "kill leader", "cut a b"; or what does it
---@param opts? orrery.RtoOptions
---@return number? median
---@return number|string longest
---@return number[]|string all          of each try
function Sim:rto(verb, opts) end

---Ends it; its nodes' Lua states are closed. `local sim <close>` does it, too.
---
---    sim:close()
function Sim:close() end

---Neither hears the other.
---
---    sim:cut("a", "b")
---@param a orrery.Who
---@param b orrery.Who
---@return true? ok
---@return string? message
---@return string? code
function Sim:cut(a, b) end

---One way only.
---
---    sim:cut_way("a", { "b", "c" })
---@param from orrery.Who
---@param to orrery.Who
---@return true? ok
---@return string? message
---@return string? code
function Sim:cut_way(from, to) end

---Cuts between the sets; nodes that none names stand together.
---
---    sim:partition({ "a", "b" }, { "c" })
---@param ... orrery.Who
---@return true? ok
---@return string? message
---@return string? code
function Sim:partition(...) end

---Links as they were in the beginning: all, or those between the two. heal() ends `faults`, too, and starts what is
---down then.
---
---    sim:heal("a", "b")
---@param a? orrery.Who
---@param b? orrery.Who
---@return true? ok
---@return string? message
---@return string? code
function Sim:heal(a, b) end

---How long the way takes; with the amount alone: of all links.
---
---    sim:delay(0.05)
---    sim:delay("a", "b", 0.05)
---@overload fun(self: orrery.Sim, amount: seconds): true?, string?, string?
---@param from orrery.Who
---@param to orrery.Who
---@param amount seconds
---@return true? ok
---@return string? message
---@return string? code
function Sim:delay(from, to, amount) end

---The mean of what it takes beyond its delay; with the amount alone: of all links.
---
---    sim:jitter(0.01)
---    sim:jitter("a", "b", 0.01)
---@overload fun(self: orrery.Sim, amount: seconds): true?, string?, string?
---@param from orrery.Who
---@param to orrery.Who
---@param amount seconds
---@return true? ok
---@return string? message
---@return string? code
function Sim:jitter(from, to, amount) end

---Bytes a second, 0: no limit; with the amount alone: of all links.
---
---    sim:bandwidth(20000)
---    sim:bandwidth("a", "b", 20000)
---@overload fun(self: orrery.Sim, amount: integer): true?, string?, string?
---@param from orrery.Who
---@param to orrery.Who
---@param amount integer
---@return true? ok
---@return string? message
---@return string? code
function Sim:bandwidth(from, to, amount) end

---The share of datagrams that are lost, and of a stream's pieces that are late because of that; with the amount
---alone: of all links.
---
---    sim:lose(0.3)
---    sim:lose("a", "b", 0.3)
---@overload fun(self: orrery.Sim, amount: number): true?, string?, string?
---@param from orrery.Who
---@param to orrery.Who
---@param amount number
---@return true? ok
---@return string? message
---@return string? code
function Sim:lose(from, to, amount) end

---The share of datagrams that come twice; with the amount alone: of all links.
---
---    sim:duplicate(0.1)
---    sim:duplicate("a", "b", 0.1)
---@overload fun(self: orrery.Sim, amount: number): true?, string?, string?
---@param from orrery.Who
---@param to orrery.Who
---@param amount number
---@return true? ok
---@return string? message
---@return string? code
function Sim:duplicate(from, to, amount) end

---The share of datagrams that others overtake; with the amount alone: of all links.
---
---    sim:reorder(0.1)
---    sim:reorder("a", "b", 0.1)
---@overload fun(self: orrery.Sim, amount: number): true?, string?, string?
---@param from orrery.Who
---@param to orrery.Who
---@param amount number
---@return true? ok
---@return string? message
---@return string? code
function Sim:reorder(from, to, amount) end

---The share of datagrams and pieces of streams of which bits flip; with the amount alone: between all nodes. A node
---drops the connection by which they come.
---
---    sim:mutate(0.001)
---    sim:mutate("a", "b", 0.01)
---@overload fun(self: orrery.Sim, amount: number): true?, string?, string?
---@param from orrery.Who
---@param to orrery.Who
---@param amount number
---@return true? ok
---@return string? message
---@return string? code
function Sim:mutate(from, to, amount) end

---The share of datagrams and pieces of streams (whole frames) that come once more, later; with the amount alone:
---between all nodes. Only for protocols that bear it.
---
---    sim:replay(0.001)
---    sim:replay("a", "b", 0.01)
---@overload fun(self: orrery.Sim, amount: number): true?, string?, string?
---@param from orrery.Who
---@param to orrery.Who
---@param amount number
---@return true? ok
---@return string? message
---@return string? code
function Sim:replay(from, to, amount) end

---Breaks the streams between them, or all.
---
---    sim:reset("a", "b")
---@param a? orrery.Who
---@param b? orrery.Who
---@return true? ok
---@return string? message
---@return string? code
function Sim:reset(a, b) end

---What is on its way waits for so long, and then goes on.
---
---    sim:stall("a", "b", 0.3)
---@param from orrery.Who
---@param to orrery.Who
---@param T seconds
---@return true? ok
---@return string? message
---@return string? code
function Sim:stall(from, to, T) end

---A congested way: at most so many bytes a second, and four times the jitter.
---
---    sim:between(3, 4):slow("a", "b", 20000)
---@param from orrery.Who
---@param to orrery.Who
---@param amount integer
---@return true? ok
---@return string? message
---@return string? code
function Sim:slow(from, to, amount) end

---Both figures of a way at once.
---
---    sim:far("a", "b", 0.05, 0.01)
---@param from orrery.Who
---@param to orrery.Who
---@param delay seconds
---@param jitter seconds
---@return true? ok
---@return string? message
---@return string? code
function Sim:far(from, to, delay, jitter) end

---Power loss: what was not synced goes, or stays in part.
---
---    sim:kill "a"
---@param node orrery.Who
---@return true? ok
---@return string? message
---@return string? code
function Sim:kill(node) end

---Kills it if it is up, and starts it, with the disk as it is, as it was at its last start, or empty.
---
---    sim:restart("a", "empty")
---@param node orrery.Who
---@param disk? "kept"|"old"|"empty"
---@return true? ok
---@return string? message
---@return string? code
function Sim:restart(node, disk) end

---Starts it if it is down.
---
---    sim:start "a"
---@param node orrery.Who
---@param disk? "kept"|"old"|"empty"
---@return true? ok
---@return string? message
---@return string? code
function Sim:start(node, disk) end

---As SIGSTOP.
---
---    sim:pause "a"
---@param node orrery.Who
---@return true? ok
---@return string? message
---@return string? code
function Sim:pause(node) end

---As SIGCONT.
---
---    sim:resume "a"
---@param node orrery.Who
---@return true? ok
---@return string? message
---@return string? code
function Sim:resume(node) end

---It crashes at its k-th next event, as it is about to send for the k-th time, or when its k-th next write was
---submitted, written, or synced. Of a moment that lasts: it is started at the end, with that disk.
---
---    sim:crash_at("a", "written", 3)
---    sim:between(5, 6):crash_at("a", "send", 1, "process")
---@param node orrery.Who
---@param effect "event"|"send"|"submitted"|"written"|"synced"
---@param k? integer            1 by default
---@param how? "power"|"process"|"power_silent"|"process_silent"   a process's page cache stays; silent: no peer hears
---@param disk? "kept"|"old"|"empty"
---@return true? ok
---@return string? message
---@return string? code
function Sim:crash_at(node, effect, k, how, disk) end

---The k-th next opportunity for a fault is taken: delay, mutate, replay, loss, duplicate, reorder, write_error,
---read_error, sync_error, sync_hang, misdirected, stale, alloc, turn_cut, short_read.
---
---    sim:strike("a", "sync_hang")
---@param node orrery.Who
---@param fault string
---@param k? integer            1 by default
---@return true? ok
---@return string? message
---@return string? code
function Sim:strike(node, fault, k) end

---The k-th next allocation fails.
---
---    sim:fail_alloc("a", 100)
---@param node orrery.Who
---@param k? integer
---@return true? ok
---@return string? message
---@return string? code
function Sim:fail_alloc(node, k) end

---Every operation of its disk takes that long.
---
---    sim:slow_disk("b", 0.2)
---@param node orrery.Who
---@param T seconds
---@return true? ok
---@return string? message
---@return string? code
function Sim:slow_disk(node, T) end

---Its disk takes so many times as long for everything.
---
---    sim:wear_disk("b", 3)
---@param node orrery.Who
---@param times number
---@return true? ok
---@return string? message
---@return string? code
function Sim:wear_disk(node, times) end

---Flips a bit of that byte of a file, as it is on the disk; where there is none, nothing.
---
---    sim:flip_bit("b", "node", 10)
---@param node orrery.Who
---@param path string
---@param at integer
---@return true? ok
---@return string? message
---@return string? code
function Sim:flip_bit(node, path, at) end

---The chance of a fault at each opportunity, at this node alone: delay, loss, write_error, ... as strike has them.
---
---    sim:between(2, 5):rate("a", "read_error", 0.01)
---@param node orrery.Who
---@param fault string
---@param rate number
---@return true? ok
---@return string? message
---@return string? code
function Sim:rate(node, fault, rate) end

---Bits of what is on its disk flip, so many a second, wherever. What the budget of `faults` says is not asked.
---
---    sim:between(2, 5):rot("b", 0.5)
---@param node orrery.Who
---@param rate number
---@return true? ok
---@return string? message
---@return string? code
function Sim:rot(node, rate) end

---The share of its writes that land elsewhere in their file.
---
---    sim:misdirect("b", 0.001)
---@param node orrery.Who
---@param rate number
---@return true? ok
---@return string? message
---@return string? code
function Sim:misdirect(node, rate) end

---The share of its writes that never land, though they are reported: what is read afterwards is stale.
---
---    sim:stale("b", 0.001)
---@param node orrery.Who
---@param rate number
---@return true? ok
---@return string? message
---@return string? code
function Sim:stale(node, rate) end

---Its disk's syncs don't come to an end.
---
---    sim:between(2, 5):hang_disk "b"
---@param node orrery.Who
---@return true? ok
---@return string? message
---@return string? code
function Sim:hang_disk(node) end

---The k-th next such operation fails.
---
---    sim:fail_disk("b", "sync")
---@param node orrery.Who
---@param operation "read"|"write"|"sync"
---@param k? integer
---@return true? ok
---@return string? message
---@return string? code
function Sim:fail_disk(node, operation, k) end

---Its disk has room for so many bytes more.
---
---    sim:fill_disk("b", 4096)
---@param node orrery.Who
---@param bytes? integer        0 by default
---@return true? ok
---@return string? message
---@return string? code
function Sim:fill_disk(node, bytes) end

---Its wall clock shows that many seconds since 1970.
---
---    sim:set_clock("b", 1.6e9)
---@param node orrery.Who
---@param T seconds
---@return true? ok
---@return string? message
---@return string? code
function Sim:set_clock(node, T) end

---Its wall clock jumps.
---
---    sim:step_clock("b", -30)
---@param node orrery.Who
---@param T seconds
---@return true? ok
---@return string? message
---@return string? code
function Sim:step_clock(node, T) end

---Its wall clock stands, and goes on from there: it is late then.
---
---    sim:between(2, 5):freeze_clock "b"
---@param node orrery.Who
---@return true? ok
---@return string? message
---@return string? code
function Sim:freeze_clock(node) end

---An NTP server of the cluster file says another time by so much, and doesn't know it.
---
---    sim:between(5, 60):lie("ntp2", 3.0)
---@param server string|string[]        as the cluster file names it
---@param T seconds
---@return true? ok
---@return string? message
---@return string? code
function Sim:lie(server, T) end

---Its clocks run so many millionths too fast.
---
---    sim:drift("b", 200)
---@param node orrery.Who
---@param ppm number
---@return true? ok
---@return string? message
---@return string? code
function Sim:drift(node, ppm) end

---The rate of its clocks walks at random: in the square root of an hour by so many millionths, as a deviation. It
---comes no farther off than `most` millionths: the cluster file's `drift_max` (500), where nothing else is said.
---
---    sim:between(10, 600):wander("b", 50)
---@param node orrery.Who
---@param ppm number
---@param most? number
---@return true? ok
---@return string? message
---@return string? code
function Sim:wander(node, ppm, most) end

---It gets warmer and colder, by so many kelvin around 25 degrees in T seconds (an hour), with some noise; the rate of
---its clocks follows by so many ppb for each kelvin (100). The node's sensor shows it: a node that asks for the time
---learns what its oscillator makes of the temperature.
---
---    sim:heat(sim.all, 5, 3600, 150)
---@param node orrery.Who
---@param kelvin number
---@param T? seconds
---@param ppb? number
---@return true? ok
---@return string? message
---@return string? code
function Sim:heat(node, kelvin, T, ppb) end

---state ("up", "down", "paused"), why (it ended by itself), groups (by name), and while it is up: recovered, ready,
---disenfranchised, disk_full, peers_up, clients, visitors, incarnation, and clock (orrery.ClockStatus) where it asks.
---@class orrery.NodeStatus
---@field state "up"|"down"|"paused"
---@field groups table<string, orrery.GroupStatus>

---A node seen from outside.
---@class orrery.Handle
---@field id string
---@field state table                   a copy of its script's node.state; {} while it is down
---@field nodes table<string, orrery.Handle>
Handle = {}

---What it says of itself, and of its groups.
---
---    sim.nodes.a:status().groups.kv.role
---@return orrery.NodeStatus status
function Handle:status() end

---What it knows of the others, as node.members:list() has it; {} where it takes no part, and isn't asked to.
---
---    #sim.nodes.a:members()                             --> 3
---@return table[]? members
---@return string? message
---@return string? code                 `unavailable`: it is down
function Handle:members() end

---The group of that name, as this node sees it.
---
---    sim.nodes.a:group("kv"):status().term
---@param name string
---@return orrery.Group group
function Handle:group(name) end

---sim:kill of this node.
---
---    sim.nodes.a:kill()
---@return true? ok
---@return string? message
---@return string? code
function Handle:kill() end

---sim:pause of this node.
---
---    sim.nodes.a:pause()
---@return true? ok
---@return string? message
---@return string? code
function Handle:pause() end

---sim:resume of this node.
---
---    sim.nodes.a:resume()
---@return true? ok
---@return string? message
---@return string? code
function Handle:resume() end

---sim:restart of this node.
---
---    sim.nodes.a:restart "old"
---@param disk? "kept"|"old"|"empty"
---@return true? ok
---@return string? message
---@return string? code
function Handle:restart(disk) end

---sim:call of this node.
---
---    sim.nodes.a:call("add", 5)
---@param name string
---@param ... any
---@return any results
function Handle:call(name, ...) end

---sim:eval of this node.
---
---    sim.nodes.a:eval "counter:peek().n"                --> 5
---@param text string
---@return any ...
function Handle:eval(text) end

---sim:cast of this node.
---
---    sim.nodes.a:cast("hello")
---@param name string
---@param ... any
---@return true? ok
---@return string? message
---@return string? code
function Handle:cast(name, ...) end

---A Redis client in a simulation.
---@class orrery.Client
Client = {}

---The reply: a string, an integer, an array; nil where Redis has none; or nil, message and "failed" (an error reply)
---or "unknown".
---
---    c:call("SET", "k", "v")                            --> "OK"
---@param ... string|integer
---@return string|integer|table|nil reply
---@return string? message
---@return string? code
function Client:call(...) end

---Closes the connection.
---
---    c:close()
function Client:close() end

-- -- Workloads -------------------------------------------------------------------------------------------------------
---An operation of a client.
---@class orrery.Op
---@field f string                      what is done: "get", "set", ...
---@field key? any                      operations on different keys have nothing to do with each other
---@field value? any

---What a workload is. generate says what a client does next (nil: nothing now), by chance of `random`, which is as
---math.random, of the client's own stream of the seed. invoke does it: what came; or nil, message, code: "unknown" and
---"failed" leave open whether it was done ("info" in the history), with any other code it surely wasn't ("fail"); then
---the client goes to another node. Both may wait. All that a run remembers is in client.state and client.shared, so one
---workload serves many runs.
---@class orrery.WorkloadOptions
---@field clients? integer              4
---@field rate? number                  operations that begin in a second, over all clients: 50
---@field generate fun(client: orrery.WorkloadClient, random: fun(low?: integer, high?: integer): number): orrery.Op?
---@field invoke fun(client: orrery.WorkloadClient, op: orrery.Op): any, string?, string?
---@field final? fun(client: orrery.WorkloadClient): orrery.Op what each node is asked at the end, until it answers
---@field settle? seconds               that much time between the last operation and `final`: 15
---@field timeout? seconds              what a call or command may take; the cluster's timing.call by default
---@field model? string|table           judges the history: a name of orrery.check's, or { init, step }
---@field check? fun(history: orrery.History, sim: orrery.Sim): boolean?, string?    likewise: false and what is wrong
---@field floor? integer                fewer operations that were done prove nothing: 100
---@field most? integer                 that many in a run: 100,000
---@class orrery.Workload
---@field name string

---Clients that do operations on a cluster in a simulation, and how to tell whether what they saw was right. Workload
---files return one; `require "orrery.workload"` has load(name or path) and attach(simulation, workload).
---
---    return orrery.workload {
---      generate = function(client) return { f = "echo", value = client:unique() } end,
---      invoke = function(client, op) return client:call("echo", op.value) end,
---      check = function(history)
---        for call, done in history:operations() do
---          if done and done.type == "ok" and done.value ~= call.value then return false, "not what was said" end
---        end
---        return true
---      end,
---    }
---@param options orrery.WorkloadOptions
---@return orrery.Workload workload
function orrery.workload(options) end

---What a workload's functions have of the world: a client outside the nodes. What waits lets the other clients and the
---cluster go on.
---@class orrery.WorkloadClient
---@field id integer            1 and up
---@field node string           the node it talks to now; another one after each operation that wasn't done
---@field nodes string[]        all
---@field state table           its own, empty at first
---@field shared table          of all clients of the run, empty at first
WorkloadClient = {}

---Waits. What the handler of client.node returns.
---
---    local n, message, code = client:call("add", 5)
---@param name string
---@param ... any
---@return any ...
function WorkloadClient:call(name, ...) end

---Waits. A Redis command to client.node's listener resp: the reply. The code is "unknown" where none came, or one that
---says so; "refused" where an error came, "unavailable" where no connection did: surely not done.
---
---    local value, message, code = client:redis("GET", "k")
---@param ... string|integer
---@return string|integer|table|nil reply
---@return string? message
---@return string? code
function WorkloadClient:redis(...) end

---Waits for T seconds.
---
---    client:sleep(random() * 5)
---@param T seconds
function WorkloadClient:sleep(T) end

---Seconds of virtual time.
---
---    client:now()                                       --> 1.5
---@return seconds now
function WorkloadClient:now() end

---An integer that nobody else in the run is given: 1, 2, ...
---
---    return { f = "set", key = "k", value = client:unique() }
---@return integer n
function WorkloadClient:unique() end

---Talks to that node from now on; without one, to another one, by chance.
---
---    client:move "b"
---@param node? string
function WorkloadClient:move(node) end

---Hangs up; the next command connects anew.
---
---    client:close()
function WorkloadClient:close() end

---What was done and seen, in order: "invoke", then "ok", "fail" or "info" (of unknown fate) for the same process. An
---end bears what came as value, the node that was asked, and the code of a failure as error; times are ns.
---@class orrery.HistoryEntry
---@field process integer
---@field type "invoke"|"ok"|"fail"|"info"
---@field f string
---@field key any
---@field value any
---@field time integer
---@field node? string
---@field error? string
---@field final? true                   a final read
---@class orrery.History
---@field [integer] orrery.HistoryEntry
History = {}

---An iterator over operations, in the order of their beginning: how each began, and how it ended (nil: it didn't).
---
---    for call, done in history:operations() do print(call.f, done and done.type) end
---@return fun(): orrery.HistoryEntry?, orrery.HistoryEntry? next
function History:operations() end

---Writes it, a line of JSON for each entry.
---
---    history:write("history.jsonl")
---@param path string
---@return true? ok
---@return string? message
function History:write(path) end

---The i-th entry as a line of JSON.
---
---    print(history:line(1))
---@param i integer
---@return string line
function History:line(i) end

-- -- The prompt ------------------------------------------------------------------------------------------------------
---At the prompt only: prints what there is to know of a topic; without one, what topics there are.
---
---    help()
---    help "sim.run"
---    help(orrery.show)
---@param topic? any                    its name, a function, an object
function help(topic) end

-- -- Node scripts ----------------------------------------------------------------------------------------------------
---Where in the log, and when by the group's own time, an op stands. `time` never goes back, whoever leads.
---@class orrery.At
---@field index integer
---@field term integer
---@field time seconds

---@alias orrery.Apply fun(state: table, op: table, at: orrery.At): any, any, any
---@alias orrery.Query fun(state: table, question: table, at: orrery.At): any, any, any

---Either `machine`, or `apply` with what goes with it: pure functions (README, "What makes replicas differ").
---@class orrery.GroupSpec
---@field machine? "kv"                 a state machine written in C
---@field init? fun(): table            the first state; {} by default
---@field apply? orrery.Apply|table<string, orrery.Apply>   or by the op's name, op[1]; its results are the op's
---@field query? orrery.Query|table<string, orrery.Query>   for read and peek; changes nothing
---@field version? integer              of the state's shape: 1 by default
---@field upgrade? fun(state: table, from: integer): table  a state of an older version becomes one of this
---@field snapshot? fun(state: table): (fun(): any)    parts of a snapshot, plain values, as a for loop takes them
---@field restore? fun(parts: fun(): any): table       the state again, from those parts
---@field steps? integer                instructions of one apply: the cluster's `limits.steps` by default
---@field order? "raft"                 who orders the operations
---@field on? string|string[]           a role, or ids: where the replicas live; by default the file's first seven nodes
---@field reads? "index"|"lease"       index, the default: the leader asks a majority first. lease: they have promised
---@field election? seconds             the cluster's `timing.election` by default
---@field heartbeat? seconds

---@class orrery.Service

---@class orrery.GroupStatus
---@field role "follower"|"precandidate"|"candidate"|"leader"|"learner"
---@field leader? string                as this node knows it
---@field term integer
---@field commit integer
---@field applied integer
---@field lag integer                   committed and not yet applied here
---@field digest integer                of the state here, at `applied`
---@field lease? seconds                the leader: so long it answers reads alone
---@field age? seconds                  so old the copy here is at most, where that is known
---@field version? integer              of a machine of the script's: that of the code which the group runs
---@field code? string                  of such a machine: 16 digits of the hash of the scripts that the group runs
---@field next_code? string             where this node's scripts are others: theirs

---@class orrery.ProposeOptions
---@field timeout? seconds              the cluster's `timing.call` by default

---@class orrery.ReadOptions
---@field timeout? seconds
---@field consistency? "strong"|"bounded"     bounded: any copy that is not older than `max_age`
---@field max_age? seconds              by the cluster's time; where no copy is young enough it is a strong read

---@class orrery.SetOptions
---@field ttl? seconds                  until the key is gone, by the group's own time
---@field nx? boolean                   only where the key is not there
---@field xx? boolean                   only where it is
---@field version? integer              only where it is the key's version; else nil, message, "conflict"
---@field timeout? seconds              the cluster's `timing.call` by default

---One cause. `kind`: "start"; "silence" (of the leader, or of any); "prevote" and "vote" (it stood, and how the others
---answered); "won"; "leader" (it heard from the term's leader); "term" (it heard of a later one); "voted"; "alone" (it
---led, and heard from no majority); "asked_to_lead", "hands_over"; "mute" (it takes no part any more).
---@class orrery.Cause
---@field kind string
---@field id string                     the node
---@field at seconds                    by the node's clock, from outside by the simulation's
---@field last seconds                  the last time, where it was the same several times in a row
---@field count integer                 how often
---@field term integer                  that it speaks of
---@field peer? string                  of whom
---@field waited? seconds               how long nothing was heard
---@field status? string                why it is mute
---@field ballots? table<string, "yes"|"no"|"silent">
---@field text string

---@class orrery.Causes: orrery.Cause[]

---@class orrery.WatchOptions
---@field from? integer                 the first version that is wanted: by default from now on

---@class orrery.Change
---@field kind "set"|"del"|"expire"|"gap"
---@field version integer               of a gap: what was left out is not above it
---@field key? string                   none in a gap
---@field value? any                    of a set

---Replicas of a state machine. Methods that wait are called from tasks.
---@class orrery.Group
---@field name string
local Group = {}

---Waits. The key's value; nil where there is none. Machine "kv".
---
---    local value, message, code = kv:get "name"
---    local title = kv:get("title", { max_age = 1 })   -- of any copy that is not older than a second
---@async
---@param key string
---@param more? orrery.ReadOptions
---@return any value
---@return string? message
---@return string? code
function Group:get(key, more) end

---Waits. Any plain value but nil. Redis clients see strings as they are and numbers as their text. Machine "kv".
---
---    if kv:set("lock", node.id, { nx = true, ttl = 5 }) then work() end
---@async
---@param key string
---@param value any
---@param options? orrery.SetOptions
---@return boolean? set                 false: `nx` or `xx` did not hold
---@return string? message
---@return string? code
function Group:set(key, value, options) end

---Waits. Whether the key was there. Machine "kv".
---
---    kv:del "name"
---@async
---@param key string
---@return boolean? removed
---@return string? message
---@return string? code
function Group:del(key) end

---Waits. The number after adding to it; a missing key is 0. Machine "kv".
---
---    local hits = kv:add("hits", 1)
---@async
---@param key string
---@param n? number                     1 by default
---@return number? sum
---@return string? message
---@return string? code                 "invalid": the value is no number
function Group:add(key, n) end

---Waits. Keys with their values, both bounds included, in order. Keys that come or go meanwhile may be in it or not.
---It looks at every key that the machine has. Machine "kv".
---
---    for key, value in kv:scan("user:", "user:~") do print(key, value) end
---@async
---@param from? string
---@param to? string
---@return fun(): string?, any each
---@return string? message
---@return string? code
function Group:scan(from, to) end

---An iterator that waits: the changes of keys that begin with `prefix`, in order, as they are applied here. `version`
---is the index in the log: changes of one entry have the same. A gap means that something was left out: all that was
---known is void, the present values follow, each once, as "set", and then changes again; no order is kept among keys
---there. It comes where `from` is no longer kept (so `from = 0` gives what there is, and then what changes), to a
---reader that is too slow, when all keys are removed at once (FLUSHALL), and when a snapshot of the leader's replaces
---the state. What is kept: the last MiB of keys and values, from the first watch of the group on. A new time to live is
---a "set" of the same value; an "expire" comes when the key is removed, maybe later than it was last seen. Machine
---"kv", where a replica is here.
---
---    for change in assert(kv:watch "user:") do
---      node.log:info(change.kind, change.key, change.value)
---    end
---@param prefix string                 "" for all keys
---@param options? orrery.WatchOptions
---@return fun(): orrery.Change? each
---@return string? message
---@return string? code                 "unavailable": no replica is here
function Group:watch(prefix, options) end

---Runs `f` as a task whenever this replica's role, term or leader changed, it has taken a snapshot, or went over to
---other code (when the group did, when it read so in its log).
---
---    counter:on("leader", function(status) node.log:info("led by", status.leader) end)
---@param event "leader"|"snapshot"|"upgrade"
---@param f fun(status: orrery.GroupStatus)
---@return orrery.Subscription subscription
function Group:on(event, f) end

---Waits. What `apply` returned, once the op is durable on a quorum. Only `unknown` and `failed` leave open whether it
---was done.
---
---    local n, message, code = counter:propose { "add", by = 5 }
---@async
---@param op table
---@param options? orrery.ProposeOptions
---@return any ...
function Group:propose(op, options) end

---Waits. A linearizable read: what `query` returned, or a pure function of the state, where a replica is here.
---
---    local n = counter:read(function(state) return state.n end)
---@async
---@param question table|fun(state: table, at: orrery.At): any
---@param options? orrery.ReadOptions
---@return any ...
function Group:read(question, options) end

---The same on the copy here, however old; without a question a copy of the whole state.
---
---    node.log:info("n is about", counter:peek().n)
---@param question? table|fun(state: table, at: orrery.At): any
---@return any ...
function Group:peek(question) end

---Why this replica's role, term and leader are what they are: the last causes, the oldest first. As text it is a line
---for each. From outside, too; in a simulation it knows of links that are cut.
---
---    print(counter:why())
---@param n? integer                    10 by default, 32 at most
---@return orrery.Causes? causes
---@return string? message
---@return string? code                 "unavailable": no replica is here
function Group:why(n) end

---Waits. Takes a snapshot of the state here, although none is due, and gives its index once it is on the disk: it holds
---all that was applied here when it was asked for. It gets its name when a majority is known to have the same state, or
---half a minute later. From outside, too.
---
---    local index, message, code = counter:snapshot()
---@async
---@return integer? index
---@return string? message
---@return string? code                 "unavailable": no replica is here, or a snapshot is being loaded; "full"
function Group:snapshot() end

---An iterator that waits: each op that is applied here, in order, once, with what `apply` returned, `nil, message,
---code` too. Ops of one entry of the log have the same index. Where something was left out it gives `index, "gap"`: all
---ops through that index that it has not given are lost to it, and in the state that `peek` shows (`at.index` says how
---far that goes). So it is at the beginning, where `from` is no longer kept; for a reader that is too slow; and when a
---snapshot of the leader's replaces the state. A group is followed from the first call on: from then on the last MiB of
---ops and results is kept, at least the last op. Ops that the log gives again after a start are given again. It ends
---when it is closed, as the loop does when it is left. Of a group with `apply`, where a replica is here.
---
---    for index, op, n in assert(counter:changes()) do
---      if op ~= "gap" then node.log:info(index, "adds", op.by, "makes", n) end
---    end
---@param from? integer                 the first index that is wanted: by default from now on
---@return fun(): integer?, table|"gap", ... each
---@return string? message
---@return string? code                 "unavailable": no replica is here
function Group:changes(from) end

---What answers Redis clients with this group, for node:listen. Of a group with machine = "kv".
---
---    node:listen("resp", kv:resp())
---@return orrery.Service service
function Group:resp() end

---
---    print(orrery.show(kv:status()))
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

---What is known of the cluster's time: seconds since 1970 by the (lower) median of the clocks of its members, the
---file's first 15 nodes, whichever of them are wrong, down or cut off; or by its NTP servers.
---@class orrery.ClockStatus
---@field state "synchronised"|"holdover"|"unsynchronised"   holdover: a majority was heard, but not lately
---@field epoch integer                 counts steps back
---@field earliest? seconds             with latest, time and bound: nil where nobody can say
---@field latest? seconds
---@field time? seconds                 the likely value
---@field bound? seconds                half of the interval
---@field offset? seconds               time minus this machine's wall clock
---@field why? string                   it isn't known
---@field off string[]                  ids of members that are surely more than clock.bound_max away; false servers
---@field members table<string, orrery.ClockMember>   by id; NTP servers by address

---@class orrery.ClockMember
---@field role "known"|"off"|"unsteady"|"unknown"   unsteady: its machine's clock was set, or it was started again; or
---                                     it has no time
---@field own boolean                   this node itself
---@field offset? seconds               its clock minus the cluster's time: positive is ahead
---@field off? seconds                  so far away it surely is
---@field bound? seconds                how well its clock is known
---@field delay? seconds                the least round trip to it of late
---@field age? seconds                  since it was heard

---@class orrery.NodeClock
local NodeClock = {}

---Has T surely passed? False while the time isn't known.
---
---    if node.clock:after(lease.ends) then take() end
---@param T seconds
---@return boolean
function NodeClock:after(T) end

---Is T surely still to come? False while the time isn't known.
---
---    if node.clock:before(mine) then act() end
---@param T seconds
---@return boolean
function NodeClock:before(T) end

---Waits until T has surely passed, also through times when nobody can say.
---
---    local _, latest = node:time()
---    kv:set("stamp", latest)
---    node.clock:wait(latest)                  -- whoever reads the time from now on reads a later one
---@async
---@param T seconds
---@return true? passed
---@return string? message
---@return string? code                 "timeout": the task has no time left; "unavailable": clock = false
function NodeClock:wait(T) end

---What is known, of whom, and who is wrong.
---
---    print(orrery.show(node.clock:status()))
---@return orrery.ClockStatus status
function NodeClock:status() end

---What the members' links are worth: every few seconds members tell each other what they measured of the others'
---clocks, and around a loop of links offsets must add up to nothing. It is shown as text, which names the link that is
---asymmetric; it doesn't travel (it has a metatable), its parts do. Each node knows the links of those it is linked to.
---
---    local graph = assert(node.clock:graph())
---    for _, link in ipairs(graph.links) do
---      if link.verdict == "cut" then node.log:warn(link.from, link.to, 2 * link.residual) end
---    end
---@return orrery.ClockGraph? graph
---@return string? message              why there is none
---@return string? code                 "unavailable": clock = false or NTP servers; this node is no member
function NodeClock:graph() end

---Where the cluster file says `clock.discipline`: the machine's clock is set by the next correction, which is due at
---once, if it is more than 5 ms off. Else it is set at the node's start alone, and slewed from then on. Code `invalid`
---without discipline, `unavailable` where the clock can't be steered.
---
---    orrery.connect("10.0.0.1:7401"):eval "node.clock:step()"
---@return boolean? ok
---@return string? message
---@return string? code
function NodeClock:step() end

---@class orrery.ClockGraph
---@field anchor string                 this node: offsets are against its clock
---@field nodes table<string, { offset: seconds, sd: seconds }>   clocks that links in use lead to, by all of them
---                                     together; positive is ahead
---@field links orrery.ClockLink[]      that were measured of late; once for both ends
---@field datagrams table<string, integer>   told and heard; and dropped: wrong (damaged, of another cluster), strange
---                                     (of no member, or one that isn't known), late (overtaken, of a clock gone)

---@class orrery.ClockLink
---@field from string
---@field to string                     after `from` in the file
---@field offset seconds                as measured: to's clock minus from's
---@field sd seconds
---@field age seconds                   since it was measured
---@field verdict orrery.LinkVerdict
---@field checked boolean               false: no loop of links in use has it: nothing can be known of its asymmetry
---@field residual? seconds             of what is checked: offset minus what all others say; the way from -> to takes
---                                     twice as much longer than the way back (negative: less)

---cut: surely asymmetric, and left out; suspect: it or another one, nobody can say which; unused: too old, or of nodes
---that nothing joins to the anchor.
---@alias orrery.LinkVerdict "kept"|"cut"|"suspect"|"unused"

---f(epoch) when the time may have stepped back: what was after something may be before it again.
---
---    node.clock:on("step", function(epoch) node.log:warn("epoch", epoch) end)
---@param event "step"
---@param f async fun(epoch: integer)
---@return orrery.Subscription subscription
function NodeClock:on(event, f) end

---@class orrery.NodeHlcStatus
---@field last? integer                 the stamp that was given last, or seen in a message that was taken; nil: none
---@field limit? integer                stamps below it are sure not to be given again after a restart
---@field skew_max seconds
---@field ahead seconds                 `last` of the earliest that the time can be
---@field given integer                 stamps, since the node was started
---@field refused integer               messages, likewise

---The node's hybrid logical clock. What happened before has the lesser stamp: on one node, over messages, and over
---restarts, as long as the node keeps its disk; and a stamp is near the cluster's time (`node:time()`): at most
---`clock.skew_max` of the cluster file above the earliest that it can be. A stamp is an integer of 64 bits: 48 of time
---since 1970 in units of 2^-16 s, 16 of a counter. Until 2038 stamps compare by `<`; from then on Lua takes them for
---negative, and math.ult(a, b) compares them.
---@class orrery.NodeHlc
local NodeHlc = {}

---A stamp for what happens now, or for a message that is sent: greater than all before it. Waits where it must, at most
---`timing.call`: the first time, and after a second's pause, for one write to the disk; after a restart, and where the
---cluster's time has stepped back, until its stamps are no further ahead than others take.
---
---    local stamp = node.hlc:now()
---    node:cast(peer, "set", key, value, stamp)
---@async
---@return integer? stamp
---@return string? message
---@return string? code                 `unavailable`: the time isn't known; `timeout`; `full`: the disk; `corrupt`:
---                                     which stamps were given before is not known any more
function NodeHlc:now() end

---A message with a stamp came: its receipt's stamp, greater than that and all before. Waits as `now`.
---
---    node:on("set", function(key, value, sent)
---      local stamp, message, code = node.hlc:recv(sent)
---      if not stamp then return nil, message, code end
---      store(key, value, stamp)
---    end)
---@async
---@param stamp integer                 the message's
---@return integer? stamp
---@return string? message
---@return string? code                 `denied`: it is more than clock.skew_max ahead of the latest that the time can
---                                     be, and nothing has changed; or one of now's
function NodeHlc:recv(stamp) end

---The stamp's time, exactly, and its counter.
---
---    node.hlc:parts(7687991459840000001)                --> 1790000000.0, 1
---@param stamp integer
---@return seconds time                 since 1970
---@return integer counter
function NodeHlc:parts(stamp) end

---The stamp's time.
---
---    node.hlc:time(7687991459840000001)                 --> 1790000000.0
---@param stamp integer
---@return seconds time                 since 1970
function NodeHlc:time(stamp) end

---The least stamp of a time, rounded down to its unit of 15.3 µs: 0 before 1970, and for all times after 2106 one.
---
---    node.hlc:of(1790000000)                            --> 7687991459840000000
---@param T seconds                     since 1970
---@return integer stamp
function NodeHlc:of(T) end

---Where it stands.
---
---    node.hlc:status().refused                          --> 0
---@return orrery.NodeHlcStatus status
function NodeHlc:status() end

---The node that runs this script. Read-only.
---What a node knows of another one, or of itself (`own`).
---@class orrery.Member
---@field id string
---@field state "alive"|"suspect"|"failed"|"left"
---@field zone string                   as all below, what it says of itself
---@field at string
---@field tags table
---@field version string                of its scripts: the first 8 digits of their hash
---@field start integer                 the number of its start; together with the next one its incarnation
---@field refuted integer               how often it said since that it lives, or something new of itself
---@field since seconds                 of that state, by `node:now()`
---@field own? true
---@field rtt? seconds                  of probes, smoothed; nil: none was answered yet
---@field way? "direct"|"indirect"|"stream"|"none"   how it answered the last probe: "indirect" is a cut link between
---                                     the two, "stream" a network that carries no datagrams; nil: not probed yet
---@field event? string                 of on(): which
---@field by? string                    of on(): who suspected it first, nil: this node

---The evidence, also as text: print it.
---@class orrery.MemberWhy: orrery.Member
---@field now seconds
---@field probes { at: seconds, way: string, rtt?: seconds, asked?: integer, nacks?: integer }[] the last 8, the oldest
---                                     first; so many others were asked, so many said that they had no answer either
---@field awareness integer             0: this node itself is healthy; else it waits so many times longer
---@field suspected_by? string          who said so first
---@field confirmed? integer            so many others did
---@field suspected? seconds            when
---@field fails? seconds                when it will be declared failed, if it doesn't say that it lives
---@field phi? number                   detector "phi"
---@field text string

---Which nodes of the file are there, and alive. A node takes part from the first use on, or once another one's message
---finds it: it is enough if one node's script asks.
---@class orrery.NodeMembers
local NodeMembers = {}

---All that were heard of, in the order of ids, this node among them; those too that failed or left.
---
---    for _, m in ipairs(node.members:list()) do node.log:info(m.id, m.state, m.rtt) end
---@return orrery.Member[]
function NodeMembers:list() end

---nil: not heard of yet.
---
---    if node.members:state "b" == "failed" then take_over() end
---@param id string
---@return "alive"|"suspect"|"failed"|"left"|nil
function NodeMembers:state(id) end

---What speaks for its state.
---
---    print(node.members:why "b")
---@param id string
---@return orrery.MemberWhy? why
---@return string? message
---@return string? code                 `unavailable`: it was not heard of yet
function NodeMembers:why(id) end

---The likely round trip between two members (between this node and `a`), whether or not they ever talked to each other:
---by network coordinates that all keep.
---
---    local rtt, error = node.members:rtt("b", "c")
---@param a string
---@param b? string
---@return seconds? rtt
---@return number|string error          as a fraction, by their own account; or a message
---@return string? code                 `unavailable`: one of them has not been heard from yet
function NodeMembers:rtt(a, b) end

---Counts: `alive`, `suspect`, `failed`, `left`, `awareness`, `untold` (news that are still being told), packets, and
---what was dropped: `malformed`, `other_cluster`, `wrong_key`, `stranger`, `late`, `stale`. {} until it takes part.
---
---    node.members:status().wrong_key                    --> 0
---@return table
function NodeMembers:status() end

---What others see in this node's `tags`: any plain table, up to 512 bytes packed.
---
---    node.members:tag { load = 3 }
---@param tags table
---@return true? ok
---@return string? message
---@return string? code                 `invalid`: too long
function NodeMembers:tag(tags) end

---Rotates keys while the cluster runs: "add" the new one on all nodes, then "use" it on all, then "remove" the old one.
---
---    node.members:key("add", "new")                     -- "new" is one of the file's `secrets`
---@param verb "add"|"use"|"remove"
---@param name string
---@return true? ok
---@return string? message
---@return string? code                 `invalid`: there is no such key, or it is the one in use
function NodeMembers:key(verb, name) end

---f(member) is a task for each: "join" (it wasn't here), "suspect", "alive" (it was suspected, or failed, and lives),
---"fail", "leave", "change" (other tags, another version; another life, so soon that nobody missed it).
---
---    node.members:on("fail", function(m) node.log:warn(m.id, "is gone, says", m.by or "this node") end)
---@param event "join"|"suspect"|"alive"|"fail"|"leave"|"change"
---@param f async fun(member: orrery.Member)
---@return orrery.Subscription
function NodeMembers:on(event, f) end

---@class orrery.Node
---@field id string
---@field zone string
---@field roles table<string, true?>    roles.store is true or nil
---@field config table                  the cluster's, over it the node's, over both --set
---@field cluster orrery.Cluster
---@field peers string[]                ids that this node has a link to, sorted
---@field log orrery.Log
---@field clock orrery.NodeClock
---@field hlc orrery.NodeHlc
---@field members orrery.NodeMembers
---@field state table                   the script's own, seen at the prompt and by specs; neither kept nor sent
node = {}

---The text of one of the cluster file's `secrets`.
---
---    local token = assert(node:secret "api")
---@param name string
---@return string? text
---@return string? message
---@return string? code                 `unavailable`: the variable isn't set, the file can't be read
function node:secret(name) end

---Ids that bear the role, this one among them, in the file's order.
---
---    for _, id in ipairs(node:role "store") do node.log:info(id) end
---@param name string
---@return string[] ids
function node:role(name) end

---A hash ring that follows who is alive: in it is who bears the role (without one: everybody) and is alive or suspect,
---as `node.members` says, and this node itself always, if it bears it. Weights and zones are the cluster file's. Before
---membership knows of anybody a node is alone in its ring: for a moment after its start it takes every key for its own.
---Rings of the same options are the same one.
---
---    local r = node:ring { role = "cache" }
---    r:on("change", function(change) node.log:info(change.after, change.before:diff(change.after).moved) end)
---@param options? orrery.NodeRingOptions
---@return orrery.NodeRing ring
function node:ring(options) end

---@class orrery.NodeRingOptions
---@field role? string                  only nodes that bear it
---@field vnodes? integer               and what else orrery.ring takes but `nodes`
---@field hash? "xxh3"|"ketama"|"ketama-unweighted"|"libketama"|"nginx"

---@class orrery.RingChange
---@field before orrery.NodeRing        as it was; these two stay as they are, and have no `on`
---@field after orrery.NodeRing

---A ring that follows. Empty it is only where this node isn't one of its own: then keys have no owners.
---@class orrery.NodeRing
NodeRing = {}

---f(change) as a task for each change, in order; what changes while f is at work is told as one.
---
---    r:on("change", function(change) print(#change.before, #change.after) end)
---@param event "change"
---@param f fun(change: orrery.RingChange)
---@return orrery.Subscription subscription
function NodeRing:on(event, f) end

---As orrery.ring's; nil where the ring is empty.
---
---    r:owner "user:17"                                  --> "b"
---@param key string
---@return string? id
function NodeRing:owner(key) end

---As orrery.ring's; {} and 0 where the ring is empty.
---
---    local ids, zones = r:owners("user:17", 2)
---@param key string
---@param n integer
---@return string[] ids
---@return integer zones
function NodeRing:owners(key, n) end

---As orrery.ring's: of the nodes that there were when it began.
---
---    for id in r:walk "user:17" do print(id) end
---@param key string
---@return fun(): string?
function NodeRing:walk(key) end

---As orrery.ring's; nil where the ring is empty.
---
---    r:bounded("user:17", { a = 3, b = 0 })
---@param key string
---@param loads table<string, integer>
---@param slack? number
---@return string? id
function NodeRing:bounded(key, loads, slack) end

---As orrery.ring's.
---
---    r:share().a                                        --> 0.34
---@return table<string, number>
function NodeRing:share() end

---As orrery.ring's. Where one of both is empty, `moved` is 1, and there are no ranges.
---
---    change.before:diff(change.after).moved             --> 0.1
---@param other orrery.NodeRing|orrery.Ring
---@return orrery.RingDiff moves
function NodeRing:diff(other) end

---As orrery.ring's, without files.
---
---    a:eval "ring:diagram()"
---@return table|string diagram         which is its text
function NodeRing:diagram() end

---An orrery.ring of the nodes in it now; nil where there are none.
---
---    local was = r:copy()
---@return orrery.Ring? ring
function NodeRing:copy() end

---Whom a message goes to: an id, or ids in order and/or a role, with options. `call` takes the first, or the least busy
---of the role, and the next one after a failure that is surely not done; of a role those last that membership says
---have failed or left. With `key` it is the owner of that key by the hash ring of these nodes, and the one who owns
---it next only where it isn't reached (`unavailable`) or is known to be away; a `scatter` needs one answer then.
---@class orrery.To
---@field [integer] string
---@field role? string
---@field key? string                   only the owner of this key among them
---@field balance? "least"|"two"|"ring" whom of a role first: who has the fewest calls of this node, as by default; the
---                                     better of two at random; the key's owner, unless it has more than its part
---@field slack? number                 "ring": by how much a node may have more than its part; 0.25 by default
---@field eject? boolean|orrery.Eject   leaves nodes out that fail; true: as by default
---@field timeout? seconds              the cluster's `timing.call` by default; never more than the task has left
---@field tries? integer                how many are asked at most, one after the other; each once by default
---@field need? integer|"all"|"majority"  scatter: so many good answers are enough
---@field hedge? number                 scatter with `need`: another node is asked when one is slower than this share
---@field order? "arrival"|"given"      scatter: in which order each() gives them

---Who fails so many times in a row (`unavailable`, `timeout`, `unknown`, `overloaded`) is asked last for a while: for
---`time`, after the next failures for twice as long, and so on up to 30 times; then by one call, which decides.
---@class orrery.Eject
---@field failures? integer             5 by default
---@field time? seconds                 10 by default
---@field most? number                  at most this share of the nodes is left out: 0.5 by default

---@class orrery.Subscription
---@field close fun(self: orrery.Subscription)

---Handles messages of a name: each is a task; what it returns is the answer. A second handler of a name replaces it.
---There may be 4096 names.
---
---    node:on("add", function(by) return counter:propose { "add", by = by } end)
---@param name string
---@param f async fun(...: any): any
---@param options? { limit?: integer }  how many may run at a time: 1000 by default
---@return orrery.Subscription subscription
function node:on(name, f, options) end

---Waits. The results of the handler there. `unknown`: sent, and no answer came; `failed`: the handler raised; every
---other code means surely not done.
---
---    local n, message, code = node:call({ role = "store", timeout = 0.5 }, "get", "key")
---@async
---@param to string|orrery.To
---@param name string
---@param ... any
---@return any ...
function node:call(to, name, ...) end

---No answer, no promise.
---
---    node:cast({ "b", "c" }, "seen", message)
---@param to string|orrery.To
---@param name string
---@param ... any
---@return true? sent
---@return string? message
---@return string? code                 "overloaded", "unavailable"
function node:cast(to, name, ...) end

---Asks many at once. Closing it cancels what is still out.
---
---    local all <close> = node:scatter({ role = "stock", timeout = 0.1 }, "stock", sku)
---    for from, n in all:each() do total = total + (n or 0) end
---@param to string|orrery.To
---@param name string
---@param ... any
---@return orrery.Gather gather
function node:scatter(to, name, ...) end

---Who asked the present task, proven by its connection; nil in one that nobody asked, "(visitor)" for a program outside
---the cluster (orrery.connect).
---
---    node:on("who", function() return node:from() end)
---@return string? id
function node:from() end

---Seconds that the present task has left; math.huge without a deadline.
---
---    if node:left() < 0.1 then return nil, "too late", "timeout" end
---@return seconds left
function node:left() end

---Seconds of this node's clock, which never goes back. No time of day.
---
---    local begun = node:now()
---@return seconds now
function node:now() end

---The cluster's time, which is between these two.
---
---    local earliest, latest = node:time()
---    if earliest and earliest > ends then node.log:info "it has surely ended" end
---@return seconds? earliest
---@return seconds|string latest        or the message
---@return string? code                 "unavailable": it isn't known, or not within clock.bound_max
function node:time() end

---A task of the node's own: no deadline, nobody who asked. As many may live as limits.memory has room for, one for
---each 2560 bytes of it (104,857 by default); one more, or one more timer, is `overloaded` at once, and is not made.
---
---    local t = node:spawn(function() return node:call("b", "slow") end)
---    local result = t:wait()
---@param f async fun(...: any): any
---@param ... any
---@return orrery.Task? task
---@return string? message
---@return string? code                 "overloaded"
function node:spawn(f, ...) end

---Waits for so many seconds.
---
---    node:sleep(0.5)
---@async
---@param seconds seconds
function node:sleep(seconds) end

---One task, so many seconds from now.
---
---    local timer <close> = node:after(1, function() node.log:info "late" end)
---@param seconds seconds
---@param f async fun()
---@return orrery.Timer? timer
---@return string? message
---@return string? code                 "overloaded"
function node:after(seconds, f) end

---A task each so many seconds; never two at once, missed ones are left out.
---
---    node:every(1, function() node.log:info("n is about", counter:peek().n) end)
---@param seconds seconds
---@param f async fun()
---@return orrery.Timer? timer
---@return string? message
---@return string? code                 "overloaded"
function node:every(seconds, f) end

---A queue between tasks of this node, with room for so many values: 0 hands over from one task to another.
---
---    local jobs = node:channel(16)
---    node:spawn(function() while true do work(jobs:get()) end end)
---@param room? integer
---@return orrery.Channel channel
function node:channel(room) end

---Waits. Keeps a value of this node's own: true once it is on the disk.
---
---    local ok, message, code = node:save("seen", seen)
---@async
---@param name string                   1 to 60 bytes; those that begin with "orrery." are the node's own
---@param value any
---@return true? saved
---@return string? message
---@return string? code                 "full"
function node:save(name, value) end

---What was saved under that name; nil: nothing was.
---
---    local seen = node:load("seen") or {}
---@param name string
---@return any value
---@return string? message
---@return string? code                 "corrupt"
function node:load(name) end

---Leaves cleanly; tasks are closed.
---
---    node:stop("maintenance")
---@param reason? string
function node:stop(reason) end

---@class orrery.Task
---@field wait async fun(self: orrery.Task): any   its results
---@field cancel fun(self: orrery.Task)   ends it at its wait: its <close> variables are closed, nothing else of it runs
---@field close fun(self: orrery.Task)    as cancel

---@class orrery.Timer
---@field close fun(self: orrery.Timer)

---@class orrery.Channel
---@field put async fun(self: orrery.Channel, value: any): true?, string?, string?   waits for room; "closed"
---@field get async fun(self: orrery.Channel): any   waits for a value; nil, message, "closed" once it is empty
---@field close fun(self: orrery.Channel)

---@class orrery.Gather
---@field all async fun(self: orrery.Gather): any[]?, any, string?   good answers by target order, and the account
---@field first async fun(self: orrery.Gather): any   the first good answer; the others are cancelled
---@field each fun(self: orrery.Gather): function   for from, value, message, code: as they come, failures too
---@field account fun(self: orrery.Gather): orrery.Account
---@field cancel fun(self: orrery.Gather)
---@field close fun(self: orrery.Gather)   as cancel

---@class orrery.Account
---@field answered string[]
---@field late string[]
---@field failed table<string, { message: string, code: string }>
---@field missing string[]
---@field canceled string[]
---@field duplicates string[]

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

---A client's connection, in the task that is its own: that ends when the client goes, and when it ends the connection
---is closed.
---@class orrery.Connection
Connection = {}

---So many bytes, or fewer before the client's end; or a line, without its end ("l", the default). Waits.
---
---    local name = conn:read "l"
---@param what? integer|"l"
---@return string? bytes
---@return string? message
---@return string? code                 "closed": no more comes
function Connection:read(what) end

---Lines until the client's end. Waits.
---
---    for line in conn:lines() do conn:write(line .. "\n") end
---@return fun(): string?
function Connection:lines() end

---Waits while the client doesn't read.
---
---    assert(conn:write "hello\n")
---@param bytes string
---@return true? ok
---@return string? message
---@return string? code                 "closed"
function Connection:write(bytes) end

---What was written still goes out. Twice is once.
---
---    conn:close()
function Connection:close() end

---Serves the listener of that name in the cluster file: by a group, by commands, or by a function, which is a task for
---each connection.
---
---    node:listen("resp", kv:resp())
---    node:listen("resp", kv:resp(), { limits = { clients = 64 << 20 } })
---    node:listen("echo", function(conn) for line in conn:lines() do conn:write(line .. "\n") end end)
---@param name string
---@param service orrery.Service|fun(conn: orrery.Connection)
---@param options? orrery.ListenOptions
function node:listen(name, service, options) end

---At a prompt on nothing only: a simulation of n nodes n1, n2, ... that replicate a key-value store; they are
---variables, and it is `sim`. A second has passed, so they have a leader. Messages: get, set, del, add, scan.
---
---    c = cluster(5)
---    c:call("n1", "set", "greeting", "hello")           --> true
---    n5:call("get", "greeting")                         --> "hello"
---@param n? integer                    3 by default
---@param opts? orrery.SimOptions
---@return orrery.Sim sim
function cluster(n, opts) end
