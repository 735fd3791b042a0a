-- raft_net.lua - bare Raft cores by hand: a network that carries when told, disks that write when told and outlive
-- their node, a trace of what was said, in text.
--
--     local net = dofile "spec/lua/raft_net.lua" (3)             -- n1, n2, n3
--     net:elect "n1"; net:propose("n1", "x"); net:pump()
--     net.cut.n1 = true                                          -- neither hears nor is heard
--     net.held.n1 = true                                         -- its disk writes nothing now; net:written "n1"
--     net:crash "n1"; net:start "n1"                             -- from what its disk has
local orrery = require "orrery"

local Net = {}
Net.__index = Net

function Net:start(id)
  local disk = self.disk[id]
  local options = {
    id = id, voters = self.ids, seed = tonumber(id:match "%d+"), now = self.now,
    boot = { term = disk.term, vote = disk.vote, entries = disk.entries, snapshot = disk.snapshot },
  }
  for key, v in pairs(self.options) do options[key] = v end
  self.r[id] = assert(orrery.raft(options))
  self.pending[id] = {}
  self.applied[id] = disk.snapshot and { disk.snapshot.data } or {}
end

function Net:crash(id)
  self.r[id]:close()
  self.r[id] = nil
end

-- -- Disks ----------------------------------------------------------------------------------------------------------
local function first_index(disk) return disk.snapshot and disk.snapshot.index + 1 or 1 end

local function write(disk, w)
  disk.term, disk.vote = w.term, w.vote
  if w.snapshot then disk.snapshot, disk.entries = w.snapshot, {} end
  local before = first_index(disk) - 1
  if w.truncate_after then
    while #disk.entries + before > w.truncate_after do table.remove(disk.entries) end
  end
  for _, e in ipairs(w.entries) do
    assert(e.index == #disk.entries + before + 1, "a write with a gap")
    table.insert(disk.entries, e)
  end
end

-- Everything that it was given to write is written, and reported.
function Net:written(id)
  while #self.pending[id] > 0 do
    local w = table.remove(self.pending[id], 1)
    write(self.disk[id], w)
    assert(self.r[id]:stored(self.now, w.id))
  end
  self:collect(id)
end

-- Takes what a node has to say: messages go on the wire, commits are applied. Whether there was anything.
function Net:collect(id)
  local r, any = self.r[id], false
  for rd in function() return r and r:ready() end do
    any = true
    for _, m in ipairs(rd.messages) do table.insert(self.wire, m) end
    for _, read in ipairs(rd.reads) do table.insert(self.reads, read) end
    for _, e in ipairs(rd.commits) do
      if e.kind == "snapshot" then self.applied[id] = {} end
      if e.data ~= "" then table.insert(self.applied[id], e.data) end
      assert(r:applied(self.now, e.index))
    end
    if rd.write then table.insert(self.pending[id], rd.write) end
    if not self.held[id] then self:written(id) end
  end
  return any
end

-- -- The network ----------------------------------------------------------------------------------------------------
local function line(m)
  local words = { ("%s>%s %s term=%d"):format(m.from, m.to, m.type, m.term) }
  local function say(...) table.insert(words, (string.format(...))) end
  if m.last_log_index then say("last=%d/%d", m.last_log_index, m.last_log_term) end
  if m.granted ~= nil then say(m.granted and "granted" or "refused") end
  if m.prev_log_term then
    say("prev=%d/%d commit=%d", m.prev_log_index, m.prev_log_term, m.leader_commit)
    local terms = {}
    for i, e in ipairs(m.entries) do terms[i] = e.data == "" and e.term or ("%d:%s"):format(e.term, e.data) end
    say("[%s]", table.concat(terms, " "))
  end
  if m.success then say("match=%d", m.match_index) end
  if m.success == false then say("refused hint=%d/%d", m.hint_index or 0, m.hint_term or 0) end
  if m.last_index then say("last=%d/%d offset=%d%s", m.last_index, m.last_term, m.offset, m.done and " done" or "") end
  if m.read_index then say("read_index=%d", m.read_index) end
  return table.concat(words, " ")
end

function Net:note(format, ...) table.insert(self.trace, (string.format(format, ...))) end

function Net:deliver(m)
  if self.cut[m.from] or self.cut[m.to] or not self.r[m.to] then return end
  self:note("%s", line(m))
  assert(self.r[m.to]:recv(self.now, m))
end

-- Carries until nobody has anything to say.
function Net:pump()
  repeat
    local busy = false
    for _, id in ipairs(self.ids) do busy = self:collect(id) or busy end
    local wire = self.wire
    self.wire = {}
    for _, m in ipairs(wire) do self:deliver(m) end
  until not busy and #wire == 0
end

-- Time goes on by so much: who is due ticks.
function Net:run(by)
  local till = self.now + by
  while true do
    local at = till
    for _, r in pairs(self.r) do at = math.min(at, r:deadline()) end
    self.now = math.max(self.now, at)
    local due = false
    for _, id in ipairs(self.ids) do
      local r = self.r[id]
      if r and r:deadline() <= self.now then
        due = true
        r:tick(self.now)
      end
    end
    self:pump()
    if not due and self.now >= till then return end
  end
end

function Net:elect(id)
  self.r[id]:campaign(self.now)
  self:pump()
end

function Net:propose(id, data)
  local index = assert(self.r[id]:propose(self.now, data))
  self:collect(id)
  return index
end

-- A message by hand to a node; what it says to that, once all is stored.
function Net:ask(id, m)
  m.from, m.to = m.from or "n2", id
  self.wire = {}
  assert(self.r[id]:recv(self.now, m))
  self:collect(id)
  local said = self.wire
  self.wire = {}
  return said[#said], said
end

function Net:status(id) return self.r[id]:status() end

function Net:leader()
  local found
  for _, id in ipairs(self.ids) do
    if self.r[id] and self.r[id]:status().role == "leader" then
      assert(not found, "two leaders")
      found = id
    end
  end
  return found
end

-- "1 1 4": the terms of its disk's log.
function Net:log(id)
  local terms = {}
  for i, e in ipairs(self.disk[id].entries) do terms[i] = e.term end
  return table.concat(terms, " ")
end

function Net:note_logs()
  for _, id in ipairs(self.ids) do
    local s = self.r[id] and self.r[id]:status()
    self:note("  %s %-9s term=%d commit=%d log: %s", id, s and s.role or "down", s and s.term or self.disk[id].term,
      s and s.commit or 0, self:log(id))
  end
end

-- The trace is that of the file; RAFT_REWRITE=1 writes it anew (then read the difference).
function Net:is_golden(name)
  local path = ("spec/lua/golden/%s.txt"):format(name)
  local text = table.concat(self.trace, "\n") .. "\n"
  if os.getenv "RAFT_REWRITE" then
    local file = assert(io.open(path, "w"))
    file:write(text)
    file:close()
  end
  local file = assert(io.open(path))
  local golden = file:read "a"
  file:close()
  return text == golden, text
end

-- n nodes. disks: by id { term =, vote =, entries = }, or terms alone: "1 1 4"; options: for all of them.
return function(n, disks, options)
  local net = setmetatable({ ids = {}, now = 0, wire = {}, cut = {}, held = {}, pending = {}, applied = {}, reads = {},
    disk = {}, r = {}, trace = {}, options = options or {} }, Net)
  for i = 1, n do
    local id = "n" .. i
    net.ids[i] = id
    local disk = disks and disks[id] or {}
    if type(disk) == "string" then
      local entries = {}
      for term in disk:gmatch "%d+" do entries[#entries + 1] = { index = #entries + 1, term = tonumber(term) } end
      disk = { entries = entries, term = entries[#entries] and entries[#entries].term }
    end
    net.disk[id] = { term = disk.term, vote = disk.vote, entries = disk.entries or {}, snapshot = disk.snapshot }
  end
  for _, id in ipairs(net.ids) do net:start(id) end
  return net
end
