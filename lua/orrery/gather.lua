-- gather.lua - one question to many nodes, answers as they come.
--
-- Each question is a task of its own, within the deadline of the one that scattered. With `need` only so many are asked
-- at first, and the next one for each that fails; with `hedge` also for each that is slower than that share of what its
-- node answered lately. What is over, or closed, cancels what is still out, and the callees hear of it.
local gather = {}

-- -- How long a node takes: the last answers of each ----------------------------------------------------------------
local KEPT = 64

local function remember(self, id, seconds)
  local times = self.latency[id]
  if not times then times = { at = 0 } self.latency[id] = times end
  times.at = times.at % KEPT + 1
  times[times.at] = seconds
end

-- What a share of the last answers took at most; nil before there were some.
local function quantile(self, id, share)
  local times = self.latency[id]
  if not times or #times < 8 then return nil end
  local sorted = table.move(times, 1, #times, 1, {})
  table.sort(sorted)
  return sorted[math.max(1, math.ceil(share * #sorted))]
end

-- -- The gather --------------------------------------------------------------------------------------------------
local Gather = {}
Gather.__index = Gather
Gather.__name = "orrery.gather"
Gather.__metatable = false

local function ask_next(g)
  local id = g.ids[g.asked + 1]
  if not id or g.over then return false end
  g.asked = g.asked + 1
  local slot = g.asked
  local task, message, code = g.owner.tasks.fork(function()
    local begun = g.owner.core.now()
    local result = g.owner:try(g.to, { id }, g.tries, g.deadline, g.name, g.bytes)
    g.tasks[slot] = nil
    if result[1] then remember(g.owner, id, g.owner.core.now() - begun) end
    g:arrived(slot, result)
  end)
  if not task then
    g:arrived(slot, { false, nil, message, code, n = 4 })
    return true
  end
  g.tasks[slot] = task
  if g.hedge then
    local wait = quantile(g.owner, id, g.hedge) or (g.deadline - g.owner.core.now()) / 10
    g.hedges[slot] = g.owner.tasks.fork(function()
      g.owner.core.sleep(wait)
      g.hedges[slot] = nil
      if g.tasks[slot] then ask_next(g) end
    end)
  end
  return true
end

function Gather:arrived(slot, result)
  local hedge = self.hedges[slot]
  self.hedges[slot] = nil
  if hedge then hedge:cancel() end
  self.results[slot] = result
  self.order[#self.order + 1] = slot
  self.out = self.out - 1
  if result[1] then self.good = self.good + 1
  elseif self.need then ask_next(self) end
  if self.need and self.good >= self.need then self:cancel() end
  self:wake()
end

function Gather:wake()
  local w = self.waiter
  self.waiter = nil
  if w then self.owner.core.wake(w.task, w.ticket) end
end

-- Is there nothing more to come?
local function complete(g)
  return g.over or next(g.tasks) == nil and (g.asked == #g.ids or g.need ~= nil and g.good >= g.need)
end

-- Held while it waits, so that a cancelled task waits no more.
local Waiter = {}
Waiter.__index = Waiter
function Waiter.__close(w) if w.gather.waiter == w then w.gather.waiter = nil end end

local function wait_for_more(g, what)
  if g.waiter then g.owner.core.complain(what, "can't wait: another task waits for this gather") end
  local w <close> = setmetatable({ gather = g }, Waiter)
  w.task, w.ticket = g.owner.core.ticket(what)
  g.waiter = w
  g.owner.core.park()
end

local function told(g, slot)
  local r = g.results[slot]
  if r[1] then return g.ids[slot], table.unpack(r, 2, r.n) end
  return g.ids[slot], nil, r[3], r[4]
end

function Gather:first()
  local seen = 0
  while true do
    while seen < #self.order do
      seen = seen + 1
      local r = self.results[self.order[seen]]
      if r[1] then
        self:cancel()
        return table.unpack(r, 2, r.n)
      end
    end
    if complete(self) then break end
    wait_for_more(self, "gather:first")
  end
  local last = self.results[self.order[#self.order]]
  if last then return nil, last[3], last[4] end
  return nil, "nobody answered", "canceled"
end

-- As they come, or in the targets' order where that was asked for; failures too.
function Gather:each()
  local given, i = self.in_order, 0
  return function()
    i = i + 1
    while true do
      local slot = given and i or self.order[i]
      if slot and self.results[slot] then return told(self, slot) end
      if complete(self) then
        while given and i <= self.asked and not self.results[i] do i = i + 1 end
        if given and self.results[i] then return told(self, i) end
        return nil
      end
      wait_for_more(self, "gather:each")
    end
  end, nil, nil, self
end

function Gather:all()
  while not complete(self) do wait_for_more(self, "gather:all") end
  local account, list = self:account(), {}
  if self.need and self.good < self.need then
    return nil, ("%d of the %d needed answered"):format(self.good, self.need), "unavailable"
  end
  for slot = 1, self.asked do
    local r = self.results[slot]
    if r and r[1] then list[#list + 1] = r[2] end
  end
  return list, account
end

function Gather:account()
  local a = { answered = {}, late = {}, failed = {}, missing = {}, canceled = {}, duplicates = {} }
  for slot, id in ipairs(self.ids) do
    local r = self.results[slot]
    if r and r[1] then a.answered[#a.answered + 1] = id
    else
      a.missing[#a.missing + 1] = id
      if r then a.failed[id] = { message = r[3], code = r[4] }
      elseif self.canceled[slot] then a.canceled[#a.canceled + 1] = id end
      if r and (r[4] == "unknown" or r[4] == "timeout") then a.late[#a.late + 1] = id end
    end
  end
  return a
end

function Gather:cancel()
  if self.over then return end
  self.over = true
  for slot = 1, self.asked do
    local t, hedge = self.tasks[slot], self.hedges[slot]
    self.tasks[slot], self.hedges[slot] = nil, nil
    if hedge then hedge:cancel() end
    if t then
      self.canceled[slot] = true
      t:cancel()
    end
  end
  self:wake()
end
Gather.close, Gather.__close = Gather.cancel, Gather.cancel

function Gather:__tostring()
  return ("orrery.gather(%s: %d of %d answered)"):format(self.name, self.good, #self.ids)
end

local function needed(need, n)
  if need == "all" then return n elseif need == "majority" then return n // 2 + 1 end
  return need
end

-- bytes: the arguments, packed.
function gather.new(owner, aimed, name, bytes)
  local n = #aimed.ids
  local g = setmetatable({
    owner = owner, to = aimed, ids = aimed.ids, name = name, bytes = bytes, need = needed(aimed.need, n),
    hedge = aimed.hedge, tries = aimed.tries or 1, in_order = aimed.order == "given",
    deadline = owner.core.now() + (aimed.timeout or owner.timeout),
    tasks = {}, hedges = {}, results = {}, order = {}, canceled = {}, asked = 0, good = 0, out = n,
  }, Gather)
  for _ = 1, g.need and math.min(g.need, n) or n do ask_next(g) end
  return g
end

return gather
