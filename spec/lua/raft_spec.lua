-- raft_spec.lua - orrery.raft as an object: options, tables, writes, snapshots, the log that it keeps; what wrong use
-- is told; and that no script reaches an assertion of the core.
local orrery = require "orrery"
local new = dofile "spec/lua/raft_net.lua"

local three = { "n1", "n2", "n3" }
local function raft(options)
  options = options or {}
  options.id, options.voters = options.id or "n1", options.voters or three
  return orrery.raft(options)
end

-- Everything a node has to say, all its writes stored.
local function drain(r, now)
  local messages, writes, commits = {}, {}, {}
  for rd in function() return r:ready() end do
    for _, m in ipairs(rd.messages) do messages[#messages + 1] = m end
    for _, e in ipairs(rd.commits) do commits[#commits + 1] = e end
    if rd.write then
      writes[#writes + 1] = rd.write
      assert(r:stored(now or 0, rd.write.id))
    end
    if #rd.commits > 0 then assert(r:applied(now or 0, rd.commits[#rd.commits].index)) end
  end
  return messages, writes, commits
end

local function lead(r)
  assert(r:campaign(0))
  drain(r)
  assert(r:recv(0, { type = "vote_reply", from = "n2", to = "n1", term = r:status().term, granted = true }))
  return drain(r)
end

describe("orrery.raft", function()
  it("begins as a follower that knows nothing", function()
    local r = raft()
    assert.equal("orrery.raft(n1 follower term=0 commit=0)", tostring(r))
    assert.is_nil(r:ready())
    assert.same({ id = "n1", role = "follower", term = 0, commit = 0, applied = 0, first = 1, last = 0, stored = 0,
      voters = three, voters_outgoing = {}, learners = {} }, r:status())
    local at = r:deadline()
    assert.is_true(at >= 1 and at <= 2)
  end)

  it("takes its timing, chance and time from the options", function()
    assert.equal(raft { seed = 7 }:deadline(), raft { seed = 7 }:deadline())
    assert.not_equal(raft { seed = 7 }:deadline(), raft { seed = 8 }:deadline())
    local at = raft { election_timeout = 0.01, heartbeat = 0.001, now = 50 }:deadline()
    assert.is_true(at >= 50.01 and at <= 50.02)
  end)

  it("is due at its deadline, however late it is", function()
    for _, now in ipairs { 0, 0.1, 1 / 3, 1000.7, 1e6 + 0.3, 123456789.123, 999999990.7 } do
      for seed = 1, 50 do
        local r = raft { now = now, seed = seed }
        r:tick(r:deadline())
        assert.equal("precandidate", r:status().role)
      end
    end
  end)

  it("is never due when it leads alone", function()
    local r = raft { voters = { "n1" } }
    r:tick(r:deadline())
    drain(r, 2)
    assert.same({ "leader", math.huge }, { r:status().role, r:deadline() })
  end)

  it("gives a write its term and vote, entries and cut; a message its paper's fields", function()
    local r = raft { boot = { term = 2, entries = { { term = 1 }, { term = 2, data = "gone" } } } }
    assert(r:recv(0, { type = "append", from = "n2", to = "n1", term = 3, prev_log_index = 1, prev_log_term = 1,
      entries = { { index = 2, term = 3, kind = "noop" }, { index = 3, term = 3, data = "kept" } },
      leader_commit = 2 }))
    local rd = r:ready()
    assert.same({ id = 1, term = 3, truncate_after = 1, entries = {
      { index = 2, term = 3, kind = "noop", data = "" }, { index = 3, term = 3, kind = "data", data = "kept" } } },
      rd.write)
    assert.same({ {}, { { index = 1, term = 1, kind = "data", data = "" } }, {} },
      { rd.messages, rd.commits, rd.reads })
    assert(r:applied(0, 1))
    assert(r:stored(0, 1))
    rd = r:ready()
    assert.same({ { type = "append_reply", from = "n1", to = "n2", term = 3, success = true, match_index = 3 } },
      rd.messages)
    assert.same({ { index = 2, term = 3, kind = "noop", data = "" } }, rd.commits)
    assert.is_nil(rd.write)
  end)

  it("withholds whatever depends on a write, and takes reports in order and once", function()
    local r = raft()
    lead(r)
    assert.equal(2, r:propose(0, "a"))
    local first = r:ready().write
    assert.equal(3, r:propose(0, "b"))
    local second = r:ready().write
    assert.same({ nil, ("orrery.raft:stored: write %d comes before %d"):format(first.id, second.id), "invalid" },
      { r:stored(0, second.id) })
    assert.equal(1, r:status().stored)
    assert.is_true(r:stored(0, first.id))
    assert.is_true(r:stored(0, second.id))
    assert.equal(3, r:status().stored)
    assert.same({ nil, ("orrery.raft:stored: no write %d is under way"):format(first.id), "invalid" },
      { r:stored(0, first.id) })
  end)

  it("takes no part any more once a write failed", function()
    local r = raft()
    lead(r)
    r:propose(0, "a")
    assert.is_true(r:stored(0, r:ready().write.id, "on fire"))
    assert.same({ "follower", "the other side failed" }, { r:status().role, r:status().error })
    assert.equal(math.huge, r:deadline())
    assert.same({ nil, "orrery.raft:campaign: not allowed", "denied" }, { r:campaign(0) })
    assert.same({ nil, "orrery.raft:propose: this node does not lead", "no_leader" }, { r:propose(0, "x") })
  end)

  it("starts from what its disk had, and applies again what is known to be committed", function()
    local boot = { term = 4, vote = "n3", commit = 2, entries = { { term = 1, kind = "noop" }, { term = 2, data = "x" },
      { term = 4, data = "y" } } }
    local r = raft { boot = boot }
    local s = r:status()
    assert.same({ 4, "n3", 2, 0, 1, 3, 3 }, { s.term, s.vote, s.commit, s.applied, s.first, s.last, s.stored })
    local rd = r:ready()
    assert.same({ { index = 1, term = 1, kind = "noop", data = "" },
      { index = 2, term = 2, kind = "data", data = "x" } },
      rd.commits)
    assert.is_nil(rd.write)
  end)

  it("keeps the log that it sends from: thousands of entries, in memory or not", function()
    local net = new(3)
    net:elect "n1"
    net.cut.n3 = true
    local expected = {}
    for i = 1, 5000 do
      expected[i] = ("entry %d"):format(i)
      net:propose("n1", expected[i])
      if i % 100 == 0 then
        net.now = net.now + 0.01
        net:pump()
      end
    end
    net.cut = {}
    net:run(1)
    assert.same(expected, net.applied.n3)
    net:crash "n1"
    net:start "n1"
    net:run(3)
    assert.same(expected, net.applied.n1)
  end)

  it("refuses proposals once a thousand entries wait", function()
    local r = raft()
    lead(r)
    local n = 0
    while true do
      local index, message, code = r:propose(0, "x")
      if not index then
        assert.same({ "orrery.raft:propose: a queue is full; surely not done", "overloaded" }, { message, code })
        break
      end
      n = n + 1
      drain(r)
    end
    assert.is_true(n >= 990 and n <= 1000, n)
  end)

  it("sends a snapshot to who is behind its log, in parts, and installs one when it is stored", function()
    local big = ("0123456789abcdef"):rep(50000)                   -- 800,000 bytes: four parts
    local net = new(3, { n1 = { term = 5, snapshot = { index = 7, term = 4, data = big } }, n2 = { term = 5 } })
    for _, id in ipairs { "n2", "n3" } do net.disk[id].term = 5 end
    net:elect "n1"
    net:propose("n1", "after")
    net:run(1)
    local parts = 0
    for _, line in ipairs(net.trace) do if line:find "^n1>n2 snapshot " then parts = parts + 1 end end
    assert.equal(4, parts)
    for _, id in ipairs { "n2", "n3" } do
      assert.equal(big, net.disk[id].snapshot.data)
      assert.same({ 7, 4, three, {} }, { net.disk[id].snapshot.index, net.disk[id].snapshot.term,
        net.disk[id].snapshot.voters, net.disk[id].snapshot.learners })
      assert.same({ big, "after" }, net.applied[id])
      assert.same({ 8, 9 }, { net:status(id).first, net:status(id).last })
    end
    net:crash "n2"
    net:start "n2"
    net:run(1)
    assert.same({ big, "after" }, net.applied.n2)
  end)

  it("takes a snapshot made by hand, whose size nobody said", function()
    local r = raft { boot = { entries = { { term = 1 } } } }
    local function part(offset, data, done)
      assert(r:recv(0, { type = "snapshot", from = "n2", to = "n1", term = 3, last_index = 5, last_term = 2,
        offset = offset, data = data, done = done }))
      return drain(r)
    end
    local said, writes = part(0, "abc", false)
    assert.equal(1, #writes)                                      -- the term; nothing of the snapshot yet
    assert.is_nil(writes[1].snapshot)
    assert.same({ "snapshot_reply", 3, false }, { said[#said].type, said[#said].offset, said[#said].done })
    local commits
    said, writes, commits = part(3, "def", true)
    assert.same({ index = 5, term = 2, voters = three, learners = {}, data = "abcdef" }, writes[1].snapshot)
    assert.same({ { index = 5, term = 2, kind = "snapshot", data = "abcdef" } }, commits)
    assert.same({ "snapshot_reply", 6, true }, { said[#said].type, said[#said].offset, said[#said].done })
    assert.same({ 6, 5, 5 }, { r:status().first, r:status().last, r:status().applied })
    r:tick(5)
    lead(r)                                                       -- and can send it on, whole
    assert(r:recv(5, { type = "append_reply", from = "n3", to = "n1", term = r:status().term, success = false }))
    local sent
    for _, m in ipairs(drain(r, 5)) do if m.type == "snapshot" then sent = m end end
    assert.same({ 5, 2, 0, "abcdef", true, 6, "n3" },
      { sent.last_index, sent.last_term, sent.offset, sent.data, sent.done, sent.size, sent.to })
  end)

  it("asks for a snapshot anew that could not be stored", function()
    local r = raft()
    local m = { type = "snapshot", from = "n2", to = "n1", term = 1, last_index = 5, last_term = 1, offset = 0,
      data = "abc", done = true }
    assert(r:recv(0, m))
    local rd = r:ready()
    assert.is_truthy(rd.write.snapshot)
    r = raft { boot = { term = 1 } }
    assert(r:recv(0, m))
    rd = r:ready()
    assert(r:stored(0, rd.write.id, "no room"))
    assert.is_nil(r:status().error)
    assert.equal(0, r:status().last)
    assert(r:recv(0, m))
    assert(r:stored(0, r:ready().write.id))
    assert.equal(5, r:status().last)
  end)

  it("gives its memory back at once when it is closed, and says so", function()
    collectgarbage()
    local before = collectgarbage "count"
    for _ = 1, 2000 do raft():close() end
    collectgarbage()
    assert.is_true(collectgarbage "count" < before + 1000)
    local r
    do
      local held <close> = raft()
      r = held
    end
    assert.equal("orrery.raft(closed)", tostring(r))
    assert.has_error(function() r:tick(0) end, "orrery.raft: it is closed")
    r:close()
  end)

  it("is there under a bound on memory, and after it", function()
    local core = require "orrery.core"
    local ok, r = core.memory.limit(1 << 22, function()
      local r = raft()
      lead(r)
      return r
    end)
    assert.is_true(ok)
    assert.equal(2, r:propose(0, "x"))
    r:close()
    local what
    ok, what = core.memory.limit(1 << 22, function()
      local r2 <close> = raft()
      lead(r2)
      for i = 1, 900 do
        assert(r2:propose(0, ("x"):rep(10000)))
        drain(r2)
        if i % 100 == 0 then collectgarbage() end
      end
    end)
    assert.is_false(ok)
    assert.is_truthy(tostring(what):find "memory" or tostring(what):find "Cannot allocate", what)
  end)

  it("finds itself busy when a finalizer uses it while it makes tables", function()
    local r, told = raft { boot = { entries = { { term = 1 } } } }, {}
    lead(r)
    local function trap()
      setmetatable({}, { __gc = function() told[select(2, pcall(r.close, r)) or "closed"] = true end })
    end
    collectgarbage "generational"
    for _ = 1, 300 do
      r:propose(0, "x")
      trap()
      local ok = pcall(drain, r)
      if not ok then break end
    end
    collectgarbage "incremental"
    collectgarbage()
    assert.is_true(next(told) ~= nil)
  end)
end)

-- -- Bad input ------------------------------------------------------------------------------------------------------
describe("orrery.raft is told:", function()
  local cases = {
    { 7, "options must be a table (got 7)" },
    { {}, "'id' is missing, must be an id (letters, digits, '_', '.', '-'; at most 32)" },
    { { id = "a b", voters = { "a" } },
      [['id' must be an id (letters, digits, '_', '.', '-'; at most 32) (got "a b")]] },
    { { id = "a" }, "'voters' is missing, must be an array of ids" },
    { { id = "a", voters = {} }, "'voters' must have 1 to 64 elements (got 0)" },
    { { id = "a", voters = { "b" } }, [['id' must be one of 'voters' (got "a")]] },
    { { id = "a", voters = { "a", "b", "a" } }, [['voters[3]' is there twice ("a")]] },
    { { id = "a", voters = { "a" }, election_timout = 1 },
      "'election_timout' is unknown (nearest: 'election_timeout')" },
    { { id = "a", voters = { "a" }, election_timeout = 0.05 },
      "'election_timeout' must be > 'heartbeat' (got 0.05 s <= 0.1 s)" },
    { { id = "a", voters = { "a" }, heartbeat = -1 },
      "'heartbeat' must be a number of seconds above 0 and at most 3600 (got -1)" },
    { { id = "a", voters = { "a" }, pre_vote = 1 }, "'pre_vote' must be true or false (got 1)" },
    { { id = "a", voters = { "a" }, seed = 1.5 }, "'seed' must be an integer (got 1.5)" },
    { { id = "a", voters = { "a" }, now = 1e300 }, "'now' must be a number from 0 to 1000000000 (got 1e+300)" },
    { { id = "a", voters = { "a" }, boot = { trem = 1 } }, "'boot.trem' is unknown (nearest: 'term')" },
    { { id = "a", voters = { "a" }, boot = { term = 1, vote = "b" } },
      [['boot.vote' must be one of 'voters' (got "b")]] },
    { { id = "a", voters = { "a" }, boot = { vote = "a" } }, "'boot.vote' must be of a term ('boot.term' is 0)" },
    { { id = "a", voters = { "a" }, boot = { entries = { { term = 2 }, { term = 1 } } } },
      "'boot.entries[2].term' must not be below 2 (got 1)" },
    { { id = "a", voters = { "a" }, boot = { entries = { { term = 2, index = 2 } } } },
      "'boot.entries[1].index' must be at most 1 (got 2)" },
    { { id = "a", voters = { "a" }, boot = { entries = { { term = 2 }, { term = 2, index = 3 } } } },
      "'boot.entries[2].index' must be 2 (got 3)" },
    { { id = "a", voters = { "a" }, boot = { term = 1, entries = { { term = 2 } } } },
      "'boot.term' must not be below the log's, 2 (got 1)" },
    { { id = "a", voters = { "a" }, boot = { commit = 1 } }, "'boot.commit' must be at most 0 (got 1)" },
    { { id = "a", voters = { "a" }, boot = { entries = { { term = 1, kind = "config" } } } },
      [['boot.entries[1].kind' must be "data" or "noop" (got "config")]] },
    { { id = "a", voters = { "a" },
        boot = { snapshot = { index = 2, term = 3 }, entries = { { index = 2, term = 2 } } } },
      "'boot.entries[1].term' must be the snapshot's, 3 (got 2)" },
  }
  for _, case in ipairs(cases) do
    it(case[2], function()
      local line = debug.getinfo(1, "l").currentline + 1
      local ok, message = pcall(function() local r = orrery.raft(case[1]) return r end)
      assert.is_false(ok)
      assert.equal(("spec/lua/raft_spec.lua:%d: orrery.raft: %s"):format(line, case[2]), message)
    end)
  end

  it("learners are for later", function()
    assert.same({ nil, "orrery.raft: 'learners' must be empty: they are not available in this version of Orrery",
      "invalid" }, { orrery.raft { id = "a", voters = { "a" }, learners = { "b" } } })
  end)
end)

describe("r:recv is told:", function()
  local function with(more)
    local m = { type = "append", from = "n2", to = "n1", term = 2, prev_log_index = 0, prev_log_term = 0, entries = {},
      leader_commit = 0 }
    for key, v in pairs(more) do if v == "nothing" then m[key] = nil else m[key] = v end end
    return m
  end
  local raises = {
    { nil, "a message must be a table (got nothing)" },
    { "vote", [[a message must be a table (got "vote")]] },
    { {}, "'type' is missing, must be a string" },
    { with { type = 7 }, "'type' must be a string (got 7)" },
    { with { type = "apend" }, [['type' must be a message's, such as "append" or "vote_reply" (got "apend")]] },
    { with { from = "nothing" }, "'from' is missing, must be a string" },
    { with { to = {} }, "'to' must be a string (got a table)" },
    { with { term = "nothing" }, "'term' is missing, must be an integer from 0 to 2^62" },
    { with { term = -1 }, "'term' must be an integer from 0 to 2^62 (got -1)" },
    { with { term = 1.5 }, "'term' must be an integer from 0 to 2^62 (got 1.5)" },
    { with { term = "1" }, [['term' must be an integer from 0 to 2^62 (got "1")]] },
    { with { term = math.maxinteger }, "'term' must be an integer from 0 to 2^62 (got 9223372036854775807)" },
    { with { leader_commit = "nothing" }, "'leader_commit' is missing, must be an integer from 0 to 2^62" },
    { with { entries = 1 }, "'entries' must be an array of entries (got 1)" },
    { with { entries = { 1 } }, "'entries[1]' must be a table (got 1)" },
    { with { entries = { { index = 1 } } }, "'entries[1].term' is missing, must be an integer from 0 to 2^62" },
    { with { entries = { { term = 1, kind = "config" } } },
      [['entries[1].kind' must be "data" or "noop" (got "config")]] },
    { with { entries = { { term = 1, data = print } } }, "'entries[1].data' must be a string (got a function)" },
    { with { want_reply = 0 }, "'want_reply' must be true or false (got 0)" },
    { with { type = "vote" }, "'last_log_index' is missing, must be an integer from 0 to 2^62" },
    { with { type = "vote_reply" }, "'granted' is missing, must be true or false" },
    { with { type = "append_reply", success = true }, "'match_index' is missing, which a success has" },
    { with { type = "snapshot", last_index = 1, last_term = 1, offset = 0, data = 5 },
      "'data' must be a string (got 5)" },
    { with { type = "snapshot", last_index = 1, last_term = 1, offset = 0, data = "", done = true, voters = { "n9" } },
      "'voters' must be this node's: changes of members are not available yet" },
  }
  for _, case in ipairs(raises) do
    it(case[2], function()
      local r = raft()
      local line = debug.getinfo(1, "l").currentline + 1
      local ok, message = pcall(function() local done = r:recv(0, case[1]) return done end)
      assert.is_false(ok)
      assert.equal(("spec/lua/raft_spec.lua:%d: orrery.raft:recv: %s"):format(line, case[2]), message)
      assert.is_nil(r:ready())
    end)
  end

  local never = "nobody who keeps to the protocol sends this "
  local returns = {
    { with { to = "n2" }, "it is for n2, not for this node" },
    { with { from = "n1" }, "it is from n1, which is no other member" },
    { with { from = "elsewhere" }, "it is from elsewhere, which is no other member" },
    { with { entries = { { index = 2, term = 1 } } }, never .. "append" },
    { with { entries = { { term = 3 } } }, never .. "append" },
    { with { entries = { { term = 2 }, { term = 1 } } }, never .. "append" },
    { with { type = "snapshot", last_index = 0, last_term = 0, offset = 0, data = "", done = true },
      never .. "snapshot" },
    { with { type = "snapshot", last_index = 1, last_term = 9, offset = 0, data = "", done = true },
      never .. "snapshot" },
    { with { type = "snapshot", last_index = 1, last_term = 1, offset = 3, data = "a", done = true, size = 9 },
      never .. "snapshot" },
  }
  for _, case in ipairs(returns) do
    it(case[2] .. " (" .. case[1].type .. ")", function()
      local r = raft()
      assert.same({ nil, "orrery.raft:recv: " .. case[2], "invalid" }, { r:recv(0, case[1]) })
      assert.is_nil(r:ready())
    end)
  end

  it("whoever acknowledges what was never sent", function()
    local r = raft()
    lead(r)
    assert.same({ nil, "orrery.raft:recv: " .. never .. "append_reply", "invalid" },
      { r:recv(0, { type = "append_reply", from = "n2", to = "n1", term = 1, success = true, match_index = 100 }) })
  end)

  it("votes come too early from who was not asked yet", function()
    local r = raft()
    assert(r:campaign(0))                                         -- its own vote is not stored
    for _, from in ipairs { "n2", "n3" } do
      assert.is_true(r:recv(0, { type = "vote_reply", from = from, to = "n1", term = 1, granted = true }))
    end
    assert.equal("candidate", r:status().role)
  end)

  it("nothing by a metamethod", function()
    local r = raft()
    local m = setmetatable({}, { __index = function() error "asked" end })
    assert.has_error(function() r:recv(0, m) end, "orrery.raft:recv: 'type' is missing, must be a string")
  end)
end)

it("wrong arguments are told where they stand", function()
  local r = raft()
  local function told(text, f) assert.has_error(f, text) end
  local range = "now must be a number of seconds from 0 to 1e9"
  for _, now in ipairs { -1, 0 / 0, math.huge, 1e10 } do
    told(("bad argument #1 to 'tick' (%s)"):format(range), function() r:tick(now) end)
  end
  told("bad argument #1 to 'tick' (number expected, got no value)", function() r:tick() end)
  told("bad argument #2 to 'propose' (string expected, got nil)", function() r:propose(0, nil) end)
  told("bad argument #2 to 'read_index' (a tag is wanted, which the answer bears)", function() r:read_index(0) end)
  told("bad argument #2 to 'stored' (number expected, got no value)", function() r:stored(0) end)
  told("bad argument #2 to 'applied' (number has no integer representation)", function() r:applied(0, 1.5) end)
  told("bad argument #1 to 'status' (orrery.raft expected, got table)", function() r.status {} end)
  assert.same({ nil, "orrery.raft:applied: 7 was not among the commits", "invalid" }, { r:applied(0, 7) })
  assert.same({ nil, "orrery.raft:stored: no write -3 is under way", "invalid" }, { r:stored(0, -3) })
  assert.same({ nil, "orrery.raft:read_index: no leader is known", "no_leader" }, { r:read_index(0, 1) })
end)

-- -- Anything -------------------------------------------------------------------------------------------------------
-- Nodes that are lied to by chance: true messages, true messages with a field changed, messages out of nothing, inputs
-- in any order. What the core may do is refuse; an assertion or a bad access ends the process.
describe("whatever a script does,", function()
  local fields = { "term", "last_log_index", "last_log_term", "forced", "granted", "prev_log_index", "prev_log_term",
    "entries", "leader_commit", "round", "want_reply", "success", "match_index", "hint_index", "hint_term",
    "last_index", "last_term", "offset", "data", "done", "size", "tag", "read_index", "from", "to", "type", "voters" }
  local types = { "prevote", "prevote_reply", "vote", "vote_reply", "append", "append_reply", "snapshot",
    "snapshot_reply", "read", "read_reply", "timeout_now" }
  local random = math.random

  local function small() return random(0, 12) end
  local function entries()
    local list, term = {}, small()
    for i = 1, random(0, 4) do
      term = term + (random(4) == 1 and 1 or 0)
      list[i] = { term = term, data = random(2) == 1 and ("d"):rep(random(0, 30)) or nil,
        index = random(20) == 1 and small() or nil, kind = random(5) == 1 and "noop" or nil }
    end
    return list
  end
  local odd = {
    function() return random(0) & (1 << 62) - 1 end, function() return (1 << 62) - random(0, 2) end,
    function() return -1 end, function() return 1.5 end, function() return {} end, function() return "x" end,
    function() return true end, function() return nil end, function() return { { {} } } end,
  }
  local likely = {
    entries = entries, data = function() return ("s"):rep(random(0, 40)) end,
    type = function() return types[random(#types)] end,
    from = function() return three[random(3)] end, to = function() return three[random(3)] end,
    voters = function() return { "n1", "n2", "n3" } end,
  }
  for _, name in ipairs { "forced", "granted", "want_reply", "success", "done" } do
    likely[name] = function() return random(2) == 1 end
  end
  local function value(field)
    if random(12) == 1 then return odd[random(#odd)]() end
    return (likely[field] or small)()
  end
  local function out_of_nothing(to)
    local m = {}
    for _, field in ipairs(fields) do m[field] = value(field) end
    m.entries = random(3) > 1 and entries() or m.entries
    m.term = random(3) > 1 and small() or m.term
    m.to = random(20) == 1 and m.to or to
    return m
  end
  local function altered(m)
    local copy = {}
    for key, v in pairs(m) do copy[key] = v end
    local field = fields[random(#fields)]
    copy[field] = value(field)
    return copy
  end

  local function boot()
    if random(2) == 1 then return nil end
    local term, list = random(1, 3), {}
    for i = 1, random(0, 8) do
      list[i] = { term = term, data = tostring(i) }
      term = term + (random(3) == 1 and 1 or 0)
    end
    local b = { entries = list, commit = random(3) == 1 and random(0, #list) or nil }
    if random(3) == 1 then
      b.snapshot = { index = random(3, 6), term = 1, data = ("s"):rep(random(0, 9)) }
      b.entries, b.commit = {}, nil
    end
    return b
  end

  local function run(seed, steps)
    math.randomseed(seed)
    local r, wire, writes, commits, now = {}, {}, {}, {}, 0
    local counts = { taken = 0, refused = 0, raised = 0 }
    for i, id in ipairs(three) do
      r[id] = assert(raft { id = id, seed = seed + i, boot = boot(), pre_vote = random(4) > 1,
        check_quorum = random(4) > 1 })
      writes[id], commits[id] = {}, 0
    end
    local function input(ok, result)
      local how = not ok and "raised" or result and "taken" or "refused"
      counts[how] = counts[how] + 1
    end
    for _ = 1, steps do
      local id = three[random(3)]
      local n, what = r[id], random(100)
      if what <= 25 then
        local rd = n:ready()
        for _, m in ipairs(rd and rd.messages or {}) do wire[#wire + 1] = m end
        if rd and rd.write then table.insert(writes[id], rd.write.id) end
        if rd and #rd.commits > 0 then commits[id] = rd.commits[#rd.commits].index end
      elseif what <= 45 and #wire > 0 then                        -- any one, kept one time in three
        local at = random(#wire)
        local m = random(3) == 1 and wire[at] or table.remove(wire, at)
        input(pcall(r[m.to].recv, r[m.to], now, m))
      elseif what <= 52 and #wire > 0 then
        local m = altered(wire[random(#wire)])
        input(pcall(n.recv, n, now, m))
      elseif what <= 57 then
        input(pcall(n.recv, n, now, out_of_nothing(id)))
      elseif what <= 75 then
        if random(200) == 1 then input(pcall(n.stored, n, now, writes[id][1] or 1, "failed"))
        elseif random(10) == 1 then input(pcall(n.stored, n, now, random(-1, 9)))
        elseif writes[id][1] then input(pcall(n.stored, n, now, table.remove(writes[id], 1))) end
      elseif what <= 82 then
        input(pcall(n.applied, n, now, random(10) == 1 and small() or commits[id]))
      elseif what <= 87 then
        input(pcall(n.propose, n, now, ("p"):rep(random(0, 20))))
      elseif what <= 90 then
        input(pcall(n.read_index, n, now, random(2) == 1 and {} or "tag"))
      elseif what <= 91 then
        input(pcall(n.campaign, n, now))
      elseif what <= 98 then
        now = random(3) == 1 and math.min(n:deadline(), now + 3) or now + random() * 0.2
        input(pcall(n.tick, n, now))
      else
        local s, at = n:status(), n:deadline()
        assert(s.commit <= s.last and s.applied <= s.commit and at >= 0 and #tostring(n) > 0)
      end
      if #wire > 60 then table.remove(wire, 1) end
    end
    for _, id in ipairs(three) do r[id]:close() end
    return counts
  end

  it("the core refuses, and goes on", function()
    local sum = { taken = 0, refused = 0, raised = 0 }
    local runs = tonumber(os.getenv "RAFT_FUZZ" or 150)
    for seed = 1, runs do
      for how, n in pairs(run(seed, 400)) do sum[how] = sum[how] + n end
    end
    for how, n in pairs(sum) do assert.is_true(n > runs, how) end
  end)

  it("the same happens again", function()
    assert.same(run(5, 400), run(5, 400))
  end)
end)
