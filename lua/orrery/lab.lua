-- lab.lua - one judged run: faults strike while clients work, then the cluster is left alone, then all is judged.
--
-- A run has two phases (lab.h). Safety: whatever strikes, nothing wrong may be seen. Liveness: nothing strikes any
-- more, and within a bound every node must answer, have applied all that was committed and know who is alive.
local core = require "orrery.core"
local faults = require "orrery.faults"
local sim = require "orrery.sim"
local workload = require "orrery.workload"

local lab = {}
local ns = 1000000000
local look = 0.05                   -- seconds, between two looks at the liveness phase
local patience = 20                 -- for a workload's last operations and final reads

local function say(note)
  if note.kind ~= "violated" then
    io.stderr:write(("%11.6f %s %-5s %s\n"):format(note.at / ns, note.node, note.kind, note.text))
  end
end

-- The path or the text of a fault file; nil: the simulator draws what strikes, and heals at the end by itself.
local function file_of(run) return run.faults and (run.faults.file or run.faults.text) or nil end

-- The simulation, its faults planned, its clients at work; or nil and one line.
local function make(run)
  local given = file_of(run)
  local made = {
    seed = run.seed, path = package.path, nodes = run.nodes, faults = not given and run.faults or nil,
    events = run.events, run = run.seconds, clients = run.clients, quiet = not run.faults, flip = run.flip,
  }
  local s, message = sim.assemble(run.value, made, { given = run.value, again = "",
    rages = run.faults and true or false, verbose = run.verbose and say })
  if not s then return nil, message end
  local ok = true
  if given then ok, message = faults.file(s, given) end
  if not ok then
    s:close()
    return nil, message
  end
  return s, run.workload and workload.attach(s, run.workload)
end

-- Who owes what, or nil.
local function debt(s, runner)
  local settled, who, owes = s.core:settled()
  if not settled then return who, owes end
  if runner and not runner:settled() then return "the workload", "has operations or final reads open" end
end

-- Within the bound everybody has answered and applied what was committed: true.
local function settle(s, when, runner)
  local bound = s.core:bound()
  local limit = runner and bound + runner.workload.settle + patience or bound
  for _ = 1, math.ceil(limit / look) do
    if not s:run(look) then return false end
    if not debt(s, runner) then return true end
  end
  local who, owes = debt(s, runner)
  s:violate("liveness", ("%s %s, %.1f s after %s"):format(who, owes, limit, when))
  return false
end

-- A protocol that bears f failures must go on without those f: that many nodes, which the seed names, lose their power
-- when the faults end, and come back once the others have answered. Each group is to keep a majority of its voters.
-- Disks that were damaged are failures enough.
local function minority(s, seed)
  local away, n = {}, (#s.ids - 1) // 2
  local first = core.hash.word("minority " .. seed) & 0xff
  for _, id in ipairs(s.ids) do if s.core:damaged(id) then n = n - 1 end end
  for i = 1, #s.ids do
    local id = s.ids[(first + i) % #s.ids + 1]
    if #away < n and s.core:bears(id, table.unpack(away)) then away[#away + 1] = id end
  end
  return away
end

-- The end of the faults ends no sync that hangs: those are waited for.
local function wait_for_disks(s)
  local last = 0
  for _, id in ipairs(s.ids) do last = math.max(last, s.core:hangs(id)) end
  local T = last / ns - s:now()
  return T <= 0 or s:run(T)
end

local function live_on(s, run, runner)
  if file_of(run) then s:heal() end
  if not wait_for_disks(s) then return end
  local away = run.faults and minority(s, run.seed) or {}
  for _, id in ipairs(away) do
    s:kill(id)
    s.core:excuse(id, true)
  end
  s.core:quiet()
  if runner then runner:quiet() end
  if #away > 0 and not settle(s, "the last fault, with a majority up") then return end
  for _, id in ipairs(away) do
    s:restart(id)
    s.core:excuse(id, false)
  end
  settle(s, #away > 0 and "all were up again" or "the last fault", runner)
end

local function judge_workload(s, runner)
  local ok, property, message = runner:judge()
  if not ok then s:violate(property, message) end
end

-- The workload's operations are the run's.
local function count(result, counts)
  result.operations, result.failed, result.unknown = counts.ok, counts.fail, counts.info
end

-- run: { value, nodes = { { id, plan, resp } }, seed, seconds, clients (of the kv workload), workload (of
-- workload.load), faults (false; what core.sim.new takes; { file = path }; or { text = a fault file's }), events,
-- verbose, record, flip }. What core.sim's judge gives, with `strikes` of chaos where they are to be recorded; or nil
-- and one line: it can't be run.
function lab.run(run)
  local s <close>, runner = make(run)
  if not s then return nil, runner end
  local works = run.clients > 0 or runner
  if s:run(run.seconds - s:now()) and (works or s.core:watched()) then live_on(s, run, runner) end
  if runner then judge_workload(s, runner) end
  local result = s.core:judge()
  if runner then count(result, runner:counts()) end
  if run.record then result.strikes = s.core:strikes() end
  return result
end

return lab
