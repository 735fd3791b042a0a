-- raft_paper_spec.lua - the claims of the Raft paper's section 5 one by one, quoted, and the thesis' additions, on bare
-- cores. Entries of a boot given by their terms alone are empty data; who writes what when is raft_net.lua's.
local new = dofile "spec/lua/raft_net.lua"
local orrery = require "orrery"

local function vote(term, index, last_term, from)
  return { type = "vote", from = from, term = term, last_log_index = index, last_log_term = last_term }
end
local function append(term, index, prev_term, entries, commit)
  return { type = "append", term = term, prev_log_index = index, prev_log_term = prev_term, entries = entries or {},
    leader_commit = commit or 0 }
end
local function data(net, id)
  return table.concat(net.applied[id], " ")
end

describe("5.1", function()
  it("'current terms are exchanged whenever servers communicate; if one server's current term is smaller ..., then " ..
    "it updates its current term to the larger value'", function()
    local net = new(3)
    net:ask("n1", append(7, 0, 0))
    assert.equal(7, net:status "n1".term)
    net:ask("n1", { type = "vote_reply", term = 9, granted = false })
    assert.equal(9, net:status "n1".term)
    assert.equal(9, net.disk.n1.term)
  end)

  it("'If a candidate or leader discovers that its term is out of date, it immediately reverts to follower state'",
    function()
      local net = new(3)
      net:elect "n1"
      assert.equal("leader", net:status "n1".role)
      net:ask("n1", { type = "append_reply", term = 5, success = false })
      assert.equal("follower", net:status "n1".role)
      net.r.n1:campaign(0)
      net:collect "n1"
      assert.equal("candidate", net:status "n1".role)
      net:ask("n1", { type = "vote_reply", term = 9, granted = false })
      assert.equal("follower", net:status "n1".role)
    end)

  it("'If a server receives a request with a stale term number, it rejects the request'", function()
    local net = new(3, { n1 = { term = 5, entries = { { term = 1 } } } })
    local reply = net:ask("n1", vote(4, 9, 4))
    assert.same({ "vote_reply", false, 5 }, { reply.type, reply.granted, reply.term })
    reply = net:ask("n1", append(4, 1, 1))
    assert.same({ "append_reply", false, 5 }, { reply.type, reply.success, reply.term })
    assert.is_nil(net:status "n1".leader)
  end)
end)

describe("5.2", function()
  it("'When servers start up, they begin as followers', and remain so 'as long as it receives valid RPCs'", function()
    local net = new(3)
    for step = 1, 100 do
      net.now = step * 0.5
      net:ask("n1", append(1, 0, 0))
      net.r.n1:tick(net.now)
      assert.equal("follower", net:status "n1".role)
    end
  end)

  it("'If a follower receives no communication over a period of time called the election timeout, then it assumes " ..
    "there is no viable leader and begins an election'", function()
    local net = new(3, nil, { pre_vote = false })
    local at = net.r.n1:deadline()
    net.r.n1:tick(at - 0.001)
    assert.equal("follower", net:status "n1".role)
    net.r.n1:tick(at)
    assert.equal("candidate", net:status "n1".role)
  end)

  it("'a follower increments its current term and transitions to candidate state. It then votes for itself and " ..
    "issues RequestVote RPCs in parallel to each of the other servers', not before that vote is on its disk", function()
    local net = new(3)
    net.held.n1 = true
    net.r.n1:campaign(0)
    net:collect "n1"
    local s = net:status "n1"
    assert.same({ "candidate", 1, "n1" }, { s.role, s.term, s.vote })
    assert.equal(0, #net.wire)
    net:written "n1"
    assert.same({ term = 1, vote = "n1" }, { term = net.disk.n1.term, vote = net.disk.n1.vote })
    assert.equal(2, #net.wire)
    local to = {}
    for i, m in ipairs(net.wire) do
      assert.same({ "vote", 1, 0, 0 }, { m.type, m.term, m.last_log_index, m.last_log_term })
      to[i] = m.to
    end
    table.sort(to)
    assert.same({ "n2", "n3" }, to)
  end)

  it("'A candidate wins an election if it receives votes from a majority of the servers in the full cluster for the " ..
    "same term'", function()
    local net = new(5)
    net.r.n1:campaign(0)
    net:collect "n1"
    local function voted(from, term, granted)
      net:ask("n1", { type = "vote_reply", from = from, term = term, granted = granted })
      return net:status "n1".role
    end
    assert.equal("candidate", voted("n2", 1, true))
    assert.equal("candidate", voted("n2", 1, true))               -- twice is once
    assert.equal("candidate", voted("n3", 0, true))               -- of another term
    assert.equal("candidate", voted("n3", 1, false))
    assert.equal("leader", voted("n4", 1, true))
  end)

  it("'Each server will vote for at most one candidate in a given term, on a first-come-first-served basis', also " ..
    "after a crash", function()
    local net = new(3)
    assert.is_true(net:ask("n1", vote(1, 0, 0, "n2")).granted)
    assert.is_false(net:ask("n1", vote(1, 0, 0, "n3")).granted)
    assert.is_true(net:ask("n1", vote(1, 0, 0, "n2")).granted)    -- the same again
    net:crash "n1"
    net:start "n1"
    assert.is_false(net:ask("n1", vote(1, 0, 0, "n3")).granted)
    assert.is_true(net:ask("n1", vote(1, 0, 0, "n2")).granted)
  end)

  it("a vote is on the disk before it leaves", function()
    local net = new(3)
    net.held.n1 = true
    assert.is_nil(net:ask("n1", vote(1, 0, 0)))
    net:written "n1"
    assert.same({ "n2", true }, { net.disk.n1.vote, net.wire[1].granted })
  end)

  it("'it then sends heartbeat messages to all of the other servers to establish its authority'", function()
    local net = new(3)
    net:elect "n1"
    net:run(0.35)
    local beats = 0
    net.trace = {}
    net:run(0.5)
    for _, line in ipairs(net.trace) do if line:find "append term=1 .*%[%]$" then beats = beats + 1 end end
    assert.equal(10, beats)                                       -- five, to two others
    for _, id in ipairs(net.ids) do assert.equal("n1", net:status(id).leader) end
  end)

  it("'If the leader's term ... is at least as large as the candidate's current term, then the candidate recognizes " ..
    "the leader as legitimate'; 'smaller ..., then the candidate rejects the RPC and continues in candidate " ..
    "state'", function()
    local net = new(3, { n1 = { term = 4 } })
    net.r.n1:campaign(0)
    net:collect "n1"
    assert.is_false(net:ask("n1", append(4, 0, 0)).success)
    assert.equal("candidate", net:status "n1".role)
    net:ask("n1", append(5, 0, 0))
    assert.same({ "follower", "n2" }, { net:status "n1".role, net:status "n1".leader })
  end)

  it("'each candidate will time out and start a new election by incrementing its term'", function()
    local net = new(3, nil, { pre_vote = false })
    net.cut.n2, net.cut.n3 = true, true
    net.r.n1:campaign(0)
    net:pump()
    for term = 2, 5 do
      net.now = net.r.n1:deadline()
      net.r.n1:tick(net.now)
      net:pump()
      assert.same({ "candidate", term }, { net:status "n1".role, net:status "n1".term })
    end
  end)

  it("'Raft uses randomized election timeouts': once to twice the timeout, of the seed", function()
    local least, greatest = math.huge, 0
    for seed = 1, 200 do
      local options = { id = "a", voters = { "a", "b", "c" }, seed = seed, election_timeout = 2 }
      local at = orrery.raft(options):deadline()
      assert.equal(at, orrery.raft(options):deadline())
      least, greatest = math.min(least, at), math.max(greatest, at)
    end
    assert.is_true(least >= 2 and least < 2.1 and greatest > 3.9 and greatest <= 4)
  end)
end)

describe("5.3", function()
  it("'The leader appends the command to its log as a new entry, then issues AppendEntries RPCs in parallel'; 'A " ..
    "log entry is committed once the leader ... has replicated it on a majority of the servers'", function()
    local net = new(3)
    net:elect "n1"
    net.held.n2, net.held.n3 = true, true
    assert.equal(2, net:propose("n1", "x"))
    net:pump()
    assert.equal(1, net:status "n1".commit)                       -- sent, and on one disk
    net:written "n2"
    net:pump()
    assert.equal(2, net:status "n1".commit)                       -- on two of three
    assert.equal("x", data(net, "n1"))
    net:written "n3"
    net:pump()
    assert.same({ "x", "x" }, { data(net, "n2"), data(net, "n3") })
  end)

  it("counts the leader's own disk like any other", function()
    local net = new(3)
    net:elect "n1"
    net.held.n1, net.held.n2 = true, true
    net:propose("n1", "x")
    net:pump()
    assert.equal(1, net:status "n1".commit)                       -- on n3's disk alone
    net.held.n1 = nil
    net:written "n1"
    net:pump()
    assert.equal(2, net:status "n1".commit)
  end)

  it("'Once a follower learns that a log entry is committed, it applies the entry to its local state machine (in " ..
    "log order)'", function()
    local net = new(3)
    net:elect "n1"
    for i = 1, 20 do net:propose("n1", tostring(i)) end
    net:pump()
    for _, id in ipairs(net.ids) do
      assert.equal("1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20", data(net, id))
    end
  end)

  it("'If the follower does not find an entry in its log with the same index and term, then it refuses the new " ..
    "entries'",
    function()
      local net = new(3, { n1 = "1 1 2" })
      local new_entry = { { term = 3 } }
      assert.is_false(net:ask("n1", append(3, 5, 2, new_entry)).success)       -- missing
      assert.is_false(net:ask("n1", append(3, 3, 3, new_entry)).success)       -- of another term
      assert.equal("1 1 2", net:log "n1")
      local reply = net:ask("n1", append(3, 3, 2, new_entry))
      assert.same({ true, 4 }, { reply.success, reply.match_index })
      assert.equal("1 1 2 3", net:log "n1")
    end)

  it("'If an existing entry conflicts with a new one (same index but different terms), delete the existing entry " ..
    "and all that follow it', and nothing else deletes any", function()
    local net = new(3, { n1 = "1 1 2 2 2" })
    local entries = { { term = 1 }, { term = 2 } }
    assert.is_true(net:ask("n1", append(3, 1, 1, entries)).success)            -- an old one: no conflict, all stays
    assert.equal("1 1 2 2 2", net:log "n1")
    assert.is_true(net:ask("n1", append(3, 2, 1)).success)
    assert.equal("1 1 2 2 2", net:log "n1")
    net:ask("n1", append(3, 3, 2, { { term = 3 } }))
    assert.equal("1 1 2 3", net:log "n1")
  end)

  it("'set commitIndex = min(leaderCommit, index of last new entry)': what an append didn't show to agree is not " ..
    "committed by it", function()
    local net = new(3, { n1 = "1 1 2 2" })
    net:ask("n1", append(3, 1, 1, {}, 4))
    assert.equal(1, net:status "n1".commit)
    net:ask("n1", append(3, 1, 1, { { term = 1 }, { term = 3 } }, 9))
    assert.equal(3, net:status "n1".commit)
    net:ask("n1", append(3, 3, 3, {}, 2))                         -- an old one
    assert.equal(3, net:status "n1".commit)
  end)

  it("'the leader retries AppendEntries RPCs indefinitely', and twice or late does no harm", function()
    local net = new(3)
    net:elect "n1"
    net.cut.n2, net.cut.n3 = true, true
    net:propose("n1", "x")
    net:run(0.5)
    net.cut = {}
    local seen = {}
    local deliver = net.deliver
    function net.deliver(self, m)
      table.insert(seen, m)
      deliver(self, m)
      deliver(self, m)
    end
    net:run(1)
    assert.same({ "x", "x", "x" }, { data(net, "n1"), data(net, "n2"), data(net, "n3") })
    net.deliver = deliver
    for i = #seen, 1, -1 do net:deliver(seen[i]) end
    net:run(1)
    for _, id in ipairs(net.ids) do assert.same({ "x", 2 }, { data(net, id), net:status(id).last }) end
  end)

  it("'the leader decrements nextIndex and retries', for followers that answer no more than the paper's do", function()
    local net = new(3, { n1 = "1 1 2 3 4" })
    net.r.n1:campaign(0)
    net:collect "n1"
    net:ask("n1", { type = "vote_reply", term = 5, granted = true })
    assert.same({ match = 0, next = 6, snapshot = false }, net:status "n1".progress.n2)
    for prev = 4, 1, -1 do
      local _, said = net:ask("n1", { type = "append_reply", term = 5, success = false })
      local sent
      for _, m in ipairs(said) do if m.to == "n2" then sent = m end end
      assert.same({ "append", prev, prev + 1 }, { sent.type, sent.prev_log_index, sent.entries[1].index })
    end
    net:ask("n1", { type = "append_reply", term = 5, success = true, match_index = 6 })
    assert.equal(6, net:status "n1".progress.n2.match)
    assert.equal(6, net:status "n1".commit)
  end)

  it("'the follower can include the term of the conflicting entry', so that whole terms are skipped", function()
    local net = new(3, { n1 = ("1 "):rep(3) .. ("5 "):rep(3), n2 = ("1 "):rep(3) .. ("2 "):rep(40) })
    net.disk.n3.term = 5
    net:elect "n1"
    local asked = 0
    for _, line in ipairs(net.trace) do if line:find "^n1>n2 append.*%[.*5" then asked = asked + 1 end end
    assert.is_true(asked <= 3)
    net:run(0.2)
    assert.equal(net:log "n1", net:log "n2")
  end)

  it("'a leader never overwrites or deletes entries in its own log' (Leader Append-Only): who says so contradicts",
    function()
      local net = new(3)
      net:elect "n1"
      local m = append(1, 0, 0, { { term = 1, data = "other" } })
      m.from, m.to = "n2", "n1"
      local ok, message, code = net.r.n1:recv(0, m)
      assert.same({ nil, "corrupt" }, { ok, code })
      assert.equal("orrery.raft:recv: this append contradicts what is committed, or who leads the term", message)
      assert.equal("1", net:log "n1")
    end)

  it("acknowledges what is on its disk, not what has come", function()
    local net = new(3)
    net.held.n1 = true
    net:ask("n1", append(1, 0, 0, { { term = 1, data = "a" }, { term = 1, data = "b" } }))
    assert.equal(0, #net.wire)                                    -- not even the term is stored
    net:written "n1"
    local last = net.wire[#net.wire]
    assert.same({ true, 2 }, { last.success, last.match_index })
  end)
end)

describe("5.4.1", function()
  it("'the voter denies its vote if its own log is more up-to-date than that of the candidate': by the later last " ..
    "term, then by the length", function()
    local cases = {
      -- candidate's last index, term; granted by a voter whose log is 1 1 3
      { 3, 3, true }, { 4, 3, true }, { 1, 4, true }, { 2, 3, false }, { 9, 2, false }, { 0, 0, false },
    }
    for _, case in ipairs(cases) do
      local net = new(3, { n1 = "1 1 3" })
      assert.equal(case[3], net:ask("n1", vote(5, case[1], case[2])).granted)
    end
  end)

  it("so 'the leader ... contains all committed entries': who lacks one isn't elected", function()
    local net = new(3)
    net:elect "n1"
    net.cut.n3 = true
    net:propose("n1", "x")
    net:pump()
    net.cut = { n1 = true }
    net:elect "n3"
    assert.not_equal("leader", net:status "n3".role)
    net:elect "n2"
    assert.equal("leader", net:status "n2".role)
    assert.equal("x", data(net, "n3"))
  end)
end)

describe("5.4.2", function()
  it("'only log entries from the leader's current term are committed by counting replicas; once an entry from the " ..
    "current term has been committed in this way, then all prior entries are committed indirectly'", function()
    local net = new(3, { n1 = { term = 3, entries = { { term = 1 }, { term = 2, data = "old" } } } })
    net.r.n1:campaign(0)
    net:collect "n1"
    net:ask("n1", { type = "vote_reply", term = 4, granted = true })
    net:ask("n1", { type = "append_reply", term = 4, success = true, match_index = 2 })
    assert.equal(0, net:status "n1".commit)                       -- on a majority, and yet not committed
    net:ask("n1", { type = "append_reply", term = 4, success = true, match_index = 3 })
    assert.equal(3, net:status "n1".commit)
    assert.equal("old", data(net, "n1"))
  end)
end)

describe("5.5", function()
  it("'If a follower or candidate crashes, then future RequestVote and AppendEntries RPCs sent to it will fail. " ..
    "Raft handles these failures by retrying indefinitely'", function()
    local net = new(3)
    net:elect "n1"
    net:crash "n3"
    net:propose("n1", "while it was down")
    net:run(5)
    net:start "n3"
    net:run(2)
    assert.equal("while it was down", data(net, "n3"))
    assert.equal(1, net:status "n3".term)
  end)

  it("'If a server crashes after completing an RPC but before responding, then it will receive the same RPC again " ..
    "after it restarts', and 'ignores those entries in the new request'", function()
    local net = new(3)
    local m = append(1, 0, 0, { { term = 1, data = "once" } })
    net:ask("n1", m)
    net:crash "n1"
    net:start "n1"
    assert.is_true(net:ask("n1", m).success)
    assert.equal("1", net:log "n1")
  end)

  it("a leader that crashes and comes back follows who leads now, without what nobody had", function()
    local net = new(3)
    net:elect "n1"
    net.cut.n1 = true
    net:propose("n1", "lost")
    net:crash "n1"
    net:elect "n2"
    net:propose("n2", "kept")
    net:pump()
    net.cut = {}
    net:start "n1"
    net:run(1)
    assert.same({ "kept", "follower", "n2" }, { data(net, "n1"), net:status "n1".role, net:status "n1".leader })
  end)
end)

describe("5.6", function()
  it("'broadcastTime << electionTimeout': with messages carried at once there is one election, and none " ..
    "after", function()
    local net = new(5)
    net:run(3)
    local leader = assert(net:leader())
    local term = net:status(leader).term
    net:run(60)
    assert.same({ leader, term }, { net:leader(), net:status(leader).term })
  end)

  it("'when the leader crashes, the system will be unavailable for roughly the election timeout'", function()
    for seed = 1, 20 do
      local net = new(5, nil, { seed = seed })
      net:run(10)
      local before = assert(net:leader())
      net:crash(before)
      local at = net.now
      repeat net:run(0.05) until net:leader() or net.now > at + 10
      assert.is_true(net.now - at < 4, "seed " .. seed)
    end
  end)

  it("safety does not depend on it: messages slower than the timeout elect nobody, or one in a term", function()
    local net, leads = new(3), {}
    local late = {}
    function net.deliver(_, m) table.insert(late, { at = net.now + 1.7, m = m }) end
    for _ = 1, 400 do
      net:run(0.05)
      while late[1] and late[1].at <= net.now do
        local m = table.remove(late, 1).m
        net.r[m.to]:recv(net.now, m)
      end
      for _, id in ipairs(net.ids) do
        local s = net:status(id)
        if s.role == "leader" then
          assert.is_true(leads[s.term] == nil or leads[s.term] == id)
          leads[s.term] = id
        end
      end
    end
  end)
end)

describe("thesis", function()
  it("9.6, pre-vote: who can't hear the leader raises no term and disturbs nobody", function()
    local net = new(3)
    net:elect "n1"
    net.cut.n3 = true
    net:run(20)
    assert.same({ "precandidate", 1 }, { net:status "n3".role, net:status "n3".term })
    net.cut = {}
    net:run(2)
    assert.same({ "n1", 1, "follower" }, { net:leader(), net:status "n1".term, net:status "n3".role })
  end)

  it("9.6: without it a term is lost each time", function()
    local net = new(3, nil, { pre_vote = false })
    net:elect "n1"
    net.cut.n3 = true
    net:run(20)
    local term = net:status "n3".term
    assert.is_true(term > 5)
    net.cut = {}
    net:run(5)
    assert.is_true(net:status(net:leader()).term > term)
  end)

  it("9.6: a pre-vote changes nothing on the voter's disk, and is refused while a leader is heard", function()
    local net = new(3)
    local m = { type = "prevote", term = 1, last_log_index = 0, last_log_term = 0 }
    local reply = net:ask("n1", m)
    assert.same({ "prevote_reply", true, 1 }, { reply.type, reply.granted, reply.term })
    assert.is_nil(net.disk.n1.term)
    net:ask("n1", append(1, 0, 0, nil))
    m.term, m.from = 2, "n3"
    assert.is_false(net:ask("n1", m).granted)
    net.now = 1.5
    assert.is_true(net:ask("n1", m).granted)
  end)

  it("6.2, check quorum: 'a leader ... steps down if an election timeout elapses without a successful round of " ..
    "heartbeats to a majority'", function()
    local net = new(3)
    net:elect "n1"
    net.cut.n2, net.cut.n3 = true, true
    net:run(0.9)
    assert.equal("leader", net:status "n1".role)
    net:run(0.3)
    assert.not_equal("leader", net:status "n1".role)
    net = new(3, nil, { check_quorum = false })
    net:elect "n1"
    net.cut.n2, net.cut.n3 = true, true
    net:run(60)
    assert.equal("leader", net:status "n1".role)
  end)

  it("4.2.3: a vote is not considered within an election timeout of hearing a leader", function()
    local net = new(3)
    net:ask("n1", append(1, 0, 0, nil))
    assert.is_nil(net:ask("n1", vote(5, 9, 4, "n3")))
    assert.equal(1, net:status "n1".term)
    net.now = 1
    assert.is_true(net:ask("n1", vote(5, 9, 4, "n3")).granted)
  end)

  it("6.4, ReadIndex: the leader answers with its commit index when a quorum confirmed it after the read " ..
    "came", function()
    local net = new(3)
    net:elect "n1"
    net:propose("n1", "x")
    net:pump()
    net.held.n2, net.held.n3 = nil, nil
    assert(net.r.n1:read_index(0, "mine"))
    net:collect "n1"
    assert.equal(0, #net.reads)
    net:pump()
    assert.same({ { tag = "mine", index = 2 } }, net.reads)
  end)

  it("6.4: followers ask the leader", function()
    local net, tag = new(3), {}
    net:elect "n1"
    assert(net.r.n2:read_index(0, tag))
    net:pump()
    assert.same({ { tag = tag, index = 1 } }, net.reads)
    assert.equal(tag, net.reads[1].tag)
  end)

  it("6.4: not before an entry of its own term is committed", function()
    local net = new(3)
    net.r.n1:campaign(0)
    net:collect "n1"
    net:ask("n1", { type = "vote_reply", term = 1, granted = true })
    assert(net.r.n1:read_index(0, 1))
    net:collect "n1"
    local round = 0                                               -- whatever it asked to have confirmed is
    for _, m in ipairs(net.wire) do round = math.max(round, m.round or 0) end
    net:ask("n1", { type = "append_reply", term = 1, success = true, match_index = 0, round = round })
    assert.equal(0, #net.reads)
    local _, said = net:ask("n1", { type = "append_reply", term = 1, success = true, match_index = 1 })
    for _, m in ipairs(said) do round = math.max(round, m.round or 0) end
    net:ask("n1", { type = "append_reply", term = 1, success = true, match_index = 1, round = round })
    assert.same({ { tag = 1, index = 1 } }, net.reads)
  end)

  it("6.4: a leader that was deposed and doesn't know answers no read", function()
    local net = new(3)
    net:elect "n1"
    net.cut.n1 = true
    net:elect "n2"
    assert.equal("leader", net:status "n1".role)
    assert(net.r.n1:read_index(0, "stale"))
    net:pump()
    assert.equal(0, #net.reads)
    net:run(5)
    assert.same({ tag = "stale", code = "no_leader", message = "no leader is known" }, net.reads[1])
    assert.same({ nil, "orrery.raft:read_index: no leader is known", "no_leader" }, { net.r.n1:read_index(9, "x") })
  end)
end)

describe("a golden trace:", function()
  local function same(net, name)
    local is, text = net:is_golden(name)
    assert.is_true(is, ("differs from golden/%s.txt (RAFT_REWRITE=1 writes it anew):\n%s"):format(name, text))
  end

  it("figure 7, whatever a follower's log is like when a leader comes to power, it becomes the leader's", function()
    local net = new(7, {
      n1 = "1 1 1 4 4 5 5 6 6 6",
      n2 = "1 1 1 4 4 5 5 6 6", n3 = "1 1 1 4", n4 = "1 1 1 4 4 5 5 6 6 6 6",
      n5 = { term = 7, entries = { { term = 1 }, { term = 1 }, { term = 1 }, { term = 4 }, { term = 4 }, { term = 5 },
        { term = 5 }, { term = 6 }, { term = 6 }, { term = 6 }, { term = 7 }, { term = 7 } } },
      n6 = "1 1 1 4 4 4 4", n7 = "1 1 1 2 2 2 3 3 3 3 3",
    })
    for _, id in ipairs(net.ids) do net.disk[id].term = 7 end
    for _, id in ipairs(net.ids) do
      net:crash(id)
      net:start(id)
    end
    net:note_logs()
    net:elect "n1"
    net:run(0.1)
    net:note_logs()
    for _, id in ipairs(net.ids) do assert.equal("1 1 1 4 4 5 5 6 6 6 8", net:log(id)) end
    same(net, "figure7")
  end)

  -- (a) S1 leads term 2 and has written to S2; (b) S5 leads term 3 and has written to itself; (c) S1 leads term 4 and
  -- brings its entry of term 2 to S3: it lies on a majority.
  local function figure8()
    local net = new(5)
    net:elect "n1"
    net:note "(a) an entry of the leader n1 reaches n2 alone"
    net.cut.n3, net.cut.n4, net.cut.n5 = true, true, true
    net:propose("n1", "two")
    net:pump()
    net:note_logs()
    net:note "(b) n1 is down; n5 leads by n3 and n4"
    net.cut = { n1 = true, n2 = true }
    net:elect "n5"
    net.wire = {}
    net:note_logs()
    return net
  end

  it("figure 8, an entry that nobody heard of gives way to a later leader's", function()
    local net = figure8()
    net:note "all are back: n5's log is longer in terms"
    net.cut = {}
    net:run(0.3)
    net:note_logs()
    for _, id in ipairs(net.ids) do
      assert.equal("1 2", net:log(id))
      assert.equal("", data(net, id))
    end
    same(net, "figure8")
  end)

  it("figure 8 (c) to (e), an old entry on a majority is not committed until one of the leader's own term " ..
    "is", function()
    local terms = { n1 = "1 2", n2 = "1 2", n3 = "1", n4 = "1", n5 = "1 3" }
    local function start()
      local net = new(5, terms)
      for _, id in ipairs(net.ids) do net.disk[id].term = 3 end
      for _, id in ipairs(net.ids) do
        net:crash(id)
        net:start(id)
      end
      net.cut.n5 = true
      net.held.n1 = true
      net:note "(c) n1 leads term 4; its own entry is on no disk yet, that of term 2 comes to n3"
      net.r.n1:campaign(0)
      net:collect "n1"
      net:written "n1"
      net.cut.n4 = nil
      local deliver = net.deliver
      function net.deliver(self, m)
        if m.type == "append" then
          while #m.entries > 0 and m.entries[#m.entries].term == 4 do table.remove(m.entries) end
        end
        deliver(self, m)
      end
      net:pump()
      net:note_logs()
      assert.equal(0, net:status "n1".commit)
      net.deliver = deliver
      return net
    end
    local net = start()
    net:note "(d) n1 crashes; n5 is elected, and overwrites the entry of term 2"
    net:crash "n1"
    net.cut = {}
    net.now = 3
    net:elect "n5"
    net:elect "n5"
    net:run(0.3)
    net:note_logs()
    for _, id in ipairs { "n2", "n3", "n4", "n5" } do assert.matches("^1 3", net:log(id)) end
    same(net, "figure8d")
    net = start()
    net:note "(e) n1's entry of term 4 reaches a majority: both are committed, and n5 can't be elected"
    net.held.n1 = nil
    net:written "n1"
    net:run(0.3)
    assert.equal(3, net:status "n1".commit)
    net:crash "n1"
    net.cut = {}
    net.now = 3
    net:elect "n5"
    assert.not_equal("leader", net:status "n5".role)
    net:note_logs()
    same(net, "figure8e")
  end)

  it("a leader that is cut off goes on for a while, to no effect; what it wrote gives way", function()
    local net = new(3)
    net:elect "n1"
    net:note "n1 is cut off, and writes"
    net.cut.n1 = true
    net:propose("n1", "lost")
    net:run(3)
    net:note_logs()
    net:note "the others have elected one, who writes"
    local leader = assert(net:leader())
    net:propose(leader, "kept")
    net:pump()
    net:note "n1 is back"
    net.cut = {}
    net:run(0.3)
    net:note_logs()
    for _, id in ipairs(net.ids) do assert.equal("kept", data(net, id)) end
    same(net, "partitioned_leader")
  end)
end)
