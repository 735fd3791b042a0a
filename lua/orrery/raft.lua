-- raft.lua - orrery.raft{...}: one Raft core by hand, for experiments and specs. Checks and completes the options; the
-- object itself is core.raft's (bindings/orrb_raft.c).
local core = require "orrery.core"
local options = require "orrery.options"

local what = "orrery.raft"
local most = 1 << 62

local name = { "string", pattern = "^%w[%w_.-]*$", max = 32,
  expected = "an id (letters, digits, '_', '.', '-'; at most 32)" }
local voters = { "table", each = name, least = 1, most = 64, required = true, expected = "an array of ids" }
local learners = { "table", each = name, least = 0, most = 64, default = {}, expected = "an array of ids" }
local count = { "integer", min = 0, max = most }
local from_one = { "integer", min = 1, max = most, required = true }

local entry = { "table", fields = {
  index = { "integer", min = 1, max = most },
  term = from_one,
  kind = { "choice", of = { "data", "noop" }, default = "data" },
  data = { "string", default = "" },
} }

local spec = {
  id = { name[1], pattern = name.pattern, max = name.max, expected = name.expected, required = true },
  voters = voters,
  learners = learners,
  election_timeout = { "seconds", default = 1.0 },
  heartbeat = { "seconds", max = 3600, default = 0.1 },
  pre_vote = { "boolean", default = true },
  check_quorum = { "boolean", default = true },
  seed = { "integer", default = 1 },
  now = { "number", min = 0, max = 1000000000, default = 0 },
  boot = { "table", default = {}, fields = {
    term = count, vote = { "string" }, commit = count,
    entries = { "table", each = entry, default = {}, least = 0, most = 1 << 24, expected = "an array of entries" },
    snapshot = { "table", fields = {
      index = from_one, term = from_one, data = { "string", default = "" },
      voters = { "table", each = name, least = 1, most = 64, expected = "an array of ids" }, learners = learners,
    } },
  } },
}

-- What is wrong with the members, or nil.
local function members_problem(o)
  local seen = {}
  for i, id in ipairs(o.voters) do
    if seen[id] then return ("'voters[%d]' is there twice (%s)"):format(i, options.got(id)) end
    seen[id] = true
  end
  if not seen[o.id] then return ("'id' must be one of 'voters' (got %s)"):format(options.got(o.id)) end
  local vote = o.boot.vote
  if vote and not seen[vote] then return ("'boot.vote' must be one of 'voters' (got %s)"):format(options.got(vote)) end
end

-- Fills in indices; what is wrong with the log, or nil.
local function log_problem(boot)
  local snapshot = boot.snapshot or { index = 0, term = 0 }
  local first = boot.entries[1] and boot.entries[1].index or snapshot.index + 1
  local term = first == snapshot.index + 1 and snapshot.term or 0
  if first > snapshot.index + 1 then
    return ("'boot.entries[1].index' must be at most %d (got %d)"):format(snapshot.index + 1, first)
  end
  for i, e in ipairs(boot.entries) do
    local path, index = ("boot.entries[%d]"):format(i), first + i - 1
    e.index = e.index or index
    if e.index ~= index then return ("'%s.index' must be %d (got %d)"):format(path, index, e.index) end
    if e.term < term then return ("'%s.term' must not be below %d (got %d)"):format(path, term, e.term) end
    term = e.term
    if e.index == snapshot.index and term ~= snapshot.term then
      return ("'%s.term' must be the snapshot's, %d (got %d)"):format(path, snapshot.term, term)
    end
  end
  local last = math.max(first + #boot.entries - 1, snapshot.index)
  term = math.max(term, snapshot.term)
  boot.term, boot.commit = boot.term or term, boot.commit or snapshot.index
  if boot.term < term then return ("'boot.term' must not be below the log's, %d (got %d)"):format(term, boot.term) end
  if boot.vote and boot.term == 0 then return "'boot.vote' must be of a term ('boot.term' is 0)" end
  if boot.commit > last then return ("'boot.commit' must be at most %d (got %d)"):format(last, boot.commit) end
end

local raft = {}

function raft.new(given)
  local o = options.check(given, spec, what)
  local snapshot = o.boot.snapshot
  if #o.learners > 0 or snapshot and #snapshot.learners > 0 then
    return nil, what .. ": 'learners' must be empty: they are not available in this version of Orrery", "invalid"
  end
  o.voters = snapshot and snapshot.voters or o.voters
  local problem = members_problem(o) or log_problem(o.boot)
  if not problem and o.election_timeout <= o.heartbeat then
    problem = ("'election_timeout' must be > 'heartbeat' (got %s s <= %s s)"):format(o.election_timeout, o.heartbeat)
  end
  if problem then error(what .. ": " .. problem, 2) end
  return core.raft.new(o)
end

return raft
