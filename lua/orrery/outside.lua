-- outside.lua - tasks outside a simulation's nodes: coroutines that wait in virtual time while others run.
--
-- They run between two steps of the simulation, in the order in which they were begun. What a task waits for is a
-- function that says whether it is there; it is asked after each piece of news that the core tells (an answer, a
-- client's bytes, the end of a node), and at the task's own deadline. Times are ns.
local outside = {}
local methods = {}
local meta = { __index = methods, __name = "orrery.outside" }
local for_ever = math.maxinteger

function outside.new(core) return setmetatable({ core = core, tasks = {} }, meta) end

-- f() is a task from the next turn on. An error in it is raised out of whoever runs virtual time.
function methods:spawn(f)
  self.tasks[#self.tasks + 1] = { thread = coroutine.create(f), deadline = self.core:now() }
end

-- In a task: until done() or the deadline; what done() says then.
function methods:wait(done, deadline)
  if done() then return true end
  coroutine.yield(done, deadline)
  return done()
end

local function never() return false end

function methods:sleep_until(deadline)
  coroutine.yield(never, deadline)
end

function methods:any() return #self.tasks > 0 end

-- When a task goes on at the latest.
function methods:deadline()
  local first = for_ever
  for _, task in ipairs(self.tasks) do first = math.min(first, task.deadline) end
  return first
end

local function resume(self, i)
  local task = self.tasks[i]
  local ok, done, deadline = coroutine.resume(task.thread)
  if not ok then
    table.remove(self.tasks, i)
    error(done, 0)
  elseif coroutine.status(task.thread) == "dead" then
    table.remove(self.tasks, i)
    return i
  end
  task.done, task.deadline = done, deadline
  return i + 1
end

local function is_ready(task, now) return task.deadline <= now or task.done() end

-- Is anybody's waiting over?
function methods:ready()
  local now = self.core:now()
  for _, task in ipairs(self.tasks) do if is_ready(task, now) then return true end end
  return false
end

-- Lets those go on whose waiting is over, until there is none.
function methods:turn()
  local now = self.core:now()
  while self:ready() do
    local i = 1
    while i <= #self.tasks do i = is_ready(self.tasks[i], now) and resume(self, i) or i + 1 end
  end
end

function methods:close()
  for _, task in ipairs(self.tasks) do coroutine.close(task.thread) end
  self.tasks = {}
end

return outside
