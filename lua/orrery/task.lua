-- task.lua - what scripts do with tasks: spawn, timers, channels. The scheduler is bindings/orrb_task.c.
--
-- A wait among tasks is a ticket: core.ticket() announces it, core.park() begins it, core.wake(task, ticket) ends it
-- and says false where that task is no longer in it (it was cancelled), so that what was meant for it goes to the next.
local options = require "orrery.options"

local task = {}

-- -- Tasks -------------------------------------------------------------------------------------------------------
local Task = {}
Task.__index = Task
Task.__name = "orrery.task"
Task.__metatable = false

-- A waiter is held while its task waits: where that is cancelled, it leaves.
local Waiter = {}
Waiter.__index = Waiter
function Waiter.__close(w)
  if w.over or not w.of.waiters then return end
  for i, other in ipairs(w.of.waiters) do
    if other == w then return table.remove(w.of.waiters, i) end
  end
end

local nothing = { n = 0 }

local function settle(t, ...)
  t.results = select("#", ...) == 0 and nothing or table.pack(...)
  local waiters = t.waiters
  if not waiters then return end
  t.waiters = nil
  for i = 1, #waiters do
    waiters[i].over = true
    t.core.wake(waiters[i].task, waiters[i].ticket)
  end
end

local function run(t, f, ...) return settle(t, f(...)) end

function Task:wait()
  if not self.results then
    local w <close> = setmetatable({ of = self }, Waiter)
    w.task, w.ticket = self.core.ticket "task:wait"
    if w.task == self.task then self.core.complain("task:wait", "can't wait for its own task") end
    self.waiters = self.waiters or {}
    self.waiters[#self.waiters + 1] = w
    self.core.park()
  end
  return table.unpack(self.results, 1, self.results.n)
end

function Task:cancel()
  if not self.results then self.core.cancel(self.task, self.serial) end
end
Task.close, Task.__close = Task.cancel, Task.cancel

function Task:__tostring()
  return ("orrery.task(%d %s)"):format(self.serial, self.results and "ended" or "live")
end

-- -- Timers: a task that sleeps --------------------------------------------------------------------------------------
local Timer = {}
Timer.__index = Timer
Timer.__name = "orrery.timer"
Timer.__metatable = false

function Timer:close()
  self.closed = true
  if self.sleeping then self.loop:cancel() end
end
Timer.__close = Timer.close
function Timer:__tostring() return ("orrery.timer(%s)"):format(self.closed and "closed" or "open") end

-- -- Channels --------------------------------------------------------------------------------------------------------
local Channel = {}
Channel.__index = Channel
Channel.__name = "orrery.channel"
Channel.__metatable = false

-- A queue: [first] .. [last]. left: how many in it have given up.
local function new_queue(channel) return { first = 1, last = 0, left = 0, channel = channel } end
local function push(q, v)
  local last = q.last + 1
  q.last, q[last] = last, v
end
local function pop(q)
  local first = q.first
  local v = q[first]
  q.first, q[first] = first + 1, nil
  return v
end

-- The first that still waits is woken, and given back.
local function pop_waiting(core, q)
  while q.first <= q.last do
    local w = pop(q)
    if not w.task then
      q.left = q.left - 1
    elseif core.wake(w.task, w.ticket) then
      return w
    end
  end
end

-- Who waits in a queue: { queue, task, ticket, value, got }. got: a getter has its value, a putter's was taken.
-- queue is false when it goes on by itself, task when it gave up.
local Waiting = {}
Waiting.__index = Waiting

-- Of a task that was cancelled while it waited: what it had been given goes on to the next, or its place is given up.
function Waiting.__close(w)
  local q = w.queue
  if not q or not w.task then return end
  w.task = false
  if w.got then
    if q == q.channel.getters then q.channel:give_back(w.value) end
    return
  end
  q.left = q.left + 1
  if q.left < 16 or 2 * q.left < q.last - q.first then return end
  local to = q.first
  for at = q.first, q.last do
    local other = q[at]
    q[at] = nil
    if other.task then q[to], to = other, to + 1 end
  end
  q.last, q.left = to - 1, 0
end

local function wait_in(channel, q, what, value)
  local w <close> = setmetatable({ queue = q, task = false, ticket = false, value = value, got = false }, Waiting)
  w.task, w.ticket = channel.core.ticket(what)
  push(q, w)
  channel.core.park()
  w.queue = false
  return w
end

local function closed(what) return nil, what .. ": the channel is closed", "closed" end

function Channel:put(value)
  if value == nil then error("channel:put: a value is expected (got nil)", 2) end
  if self.closed then return closed "channel:put" end
  local getter = pop_waiting(self.core, self.getters)
  if getter then
    getter.value, getter.got = value, true
  elseif self.held < self.room then
    self.held = self.held + 1
    push(self.items, value)
  else
    local w = wait_in(self, self.putters, "channel:put", value)
    if not w.got then return closed "channel:put" end
  end
  return true
end

local function take(channel)
  local putter = pop_waiting(channel.core, channel.putters)
  if not putter then return nil end
  putter.got = true
  return putter.value
end

function Channel:get()
  if self.held > 0 then
    local value = pop(self.items)
    local more
    if self.held <= self.room then more = take(self) end
    if more ~= nil then push(self.items, more) else self.held = self.held - 1 end
    return value
  end
  local value = take(self)
  if value ~= nil then return value end
  if self.closed then return closed "channel:get" end
  local w = wait_in(self, self.getters, "channel:get")
  if not w.got then return closed "channel:get" end
  return w.value
end

-- As if it had not been got: before all others.
function Channel:give_back(value)
  local getter = pop_waiting(self.core, self.getters)
  if getter then
    getter.value, getter.got = value, true
  else
    self.held = self.held + 1
    self.items.first = self.items.first - 1
    self.items[self.items.first] = value
  end
end

-- What was put stays to be got; who waits to put is told `closed`.
function Channel:close()
  self.closed = true
  for _, q in ipairs { self.getters, self.putters } do
    while pop_waiting(self.core, q) do end
  end
end
Channel.__close = Channel.close
function Channel:__tostring() return ("orrery.channel(%d of %d)"):format(self.held, self.room) end

-- -- All of it, for one node -----------------------------------------------------------------------------------------
local function check_function(f, what)
  if type(f) ~= "function" then error(("%s: a function is expected (got %s)"):format(what, options.got(f)), 3) end
end

local function check_seconds(seconds, what)
  if type(seconds) ~= "number" or seconds ~= seconds or seconds < 0 then
    error(("%s: seconds are expected, a number from 0 up (got %s)"):format(what, options.got(seconds)), 3)
  end
end

-- core: bindings/orrb_task.c's functions; report(text) tells a failure that nobody waits for; life.over: other scripts
-- have taken over, and nothing is begun periodically any more.
function task.open(core, report, life)
  local api = {}

  -- A task, or nil: too many live.
  local function begin(f, ...)
    local t = setmetatable({ core = core, task = false, serial = false, results = false }, Task)  -- sized at once
    t.task, t.serial = core.spawn(t, run, t, f, ...)
    return t.task and t
  end

  local function overloaded(what)
    return nil, ("%s: %d tasks live, as many as limits.memory allows"):format(what, core.room()), "overloaded"
  end

  function api.spawn(f, ...)
    check_function(f, "node:spawn")
    local t = begin(f, ...)
    if t then return t end
    return overloaded "node:spawn"
  end

  -- As spawn, within the deadline of the present task.
  function api.fork(f, ...)
    local t = begin(f, ...)
    if not t then return overloaded "task" end
    core.inherit(t.task, t.serial)
    return t
  end

  function api.sleep(seconds)
    check_seconds(seconds, "node:sleep")
    return core.sleep(seconds)
  end

  local function new_timer(what, seconds, f, loop)
    check_seconds(seconds, what)
    check_function(f, what)
    local timer = setmetatable({ sleeping = true }, Timer)
    timer.loop = begin(loop, timer)
    if not timer.loop then return overloaded(what) end
    return timer
  end

  function api.after(seconds, f)
    return new_timer("node:after", seconds, f, function(timer)
      core.sleep(seconds)
      timer.sleeping, timer.closed = false, true
      return f()                                -- in the task of the timer: there is room for it
    end)
  end

  -- Never two at once; what was missed meanwhile is left out.
  function api.every(seconds, f)
    if seconds == 0 then error("node:every: seconds must be above 0 (got 0)", 2) end
    return new_timer("node:every", seconds, f, function(timer)
      local due, full = core.now(), false
      while not timer.closed do
        due = due + seconds
        local now = core.now()
        if due <= now then due = due + ((now - due) // seconds + 1) * seconds end
        timer.sleeping = true
        core.sleep(due - now)
        timer.sleeping = false
        if life.over then return end
        local t = begin(f)
        if t then t:wait() elseif not full then report((select(2, overloaded "node:every"))) end
        full = not t
        if t and t.failed then report(t.failed) end
      end
    end)
  end

  function api.channel(room)
    if room == nil then room = 0 end
    if math.type(room) ~= "integer" or room < 0 then
      error(("node:channel: an integer from 0 up is expected (got %s)"):format(options.got(room)), 2)
    end
    local channel = setmetatable({
      core = core, room = room, held = 0, items = false, getters = false, putters = false, closed = false,
    }, Channel)
    channel.items, channel.getters, channel.putters = new_queue(channel), new_queue(channel), new_queue(channel)
    return channel
  end

  -- A task failed (`failed`) or was cancelled. Who waits for it is told; nobody: the log is.
  core.settle(function(t, message, code, trace)
    local text = trace and message .. "\n" .. trace or message
    if not t then
      if code == "failed" then report(text) end
      return
    end
    if code == "failed" then
      t.failed = text
      if not t.waiters or #t.waiters == 0 then report(text) end
    end
    settle(t, nil, message, code)
  end)
  return api
end

return task
