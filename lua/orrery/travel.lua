-- travel.lua - time travel: the tape of what is done to a simulation from outside, and playing it again.
--
-- A run is its seed and the calls made on it, each at its place: after so many steps, at that time. So the way back is
-- a new core with the same seed that is led along the tape, and the way sideways (a branch) is another simulation that
-- is. Nothing is kept but the tape. What is on it: every call that changes the run, and that a planned item was done;
-- not how time was made to pass. Each entry bears the digest of its place, so a run that can't be repeated (a function
-- of the user's that draws from elsewhere) is noticed there and told.
--
--     sim.tape = { entry, ..., played = how many are behind us, reach = how far the history that we are in is known }
--
-- perform(sim, f, ...) does f(sim, ...) and keeps it; f must do the same each time, with nothing but sim and arguments.
local core = require "orrery.core"
local interrupt = require "orrery.interrupt"

local travel = {}
local ns = 1000000000
local slice = ns // 10                                  -- virtual time between two looks at Ctrl-C
local patience = 3                                      -- wall seconds until it says how far it is

-- travels: nil or false keeps nothing, for runs that nobody looks back in.
function travel.new_tape(travels) return { played = 0, reach = 0, travels = travels or false } end

-- Arguments stay what they were, whatever becomes of the caller's tables. Objects and functions are themselves.
local function copied(v)
  if type(v) ~= "table" or getmetatable(v) ~= nil then return v end
  local copy = {}
  for key, item in pairs(v) do copy[key] = copied(item) end
  return copy
end

-- -- Recording ------------------------------------------------------------------------------------------------------
-- From here on it is another history: what came after this moment in the old one is forgotten.
function travel.fork(sim)
  local tape = sim.tape
  if tape.replaying then return end
  tape.reach = 0
  for i = #tape, tape.played + 1, -1 do tape[i] = nil end
end

local function place(sim)
  return { steps = sim.core:steps(), at = sim.core:now(), digest = sim.core:digest() }
end

-- Keeps that f(sim, ...) was done at the place `entry`.
local function keep(sim, entry, f, ...)
  travel.fork(sim)
  local tape = sim.tape
  entry.f, entry.n = f, select("#", ...)
  for i = 1, entry.n do entry[i] = copied((select(i, ...))) end
  tape.played = tape.played + 1
  tape[tape.played] = entry
end

local function is_off(tape) return tape.replaying or tape.inside or not tape.travels end

-- For what has been done already, here.
function travel.record(sim, f, ...)
  if not is_off(sim.tape) then keep(sim, place(sim), f, ...) end
end

local function inside(sim, f, ...)
  local tape = sim.tape
  tape.inside = true
  local _ <close> = setmetatable({}, { __close = function() tape.inside = false end })
  return table.pack(f(sim, ...))
end

-- f(sim, ...), kept; what it calls meanwhile isn't. One that raises has done nothing.
function travel.perform(sim, f, ...)
  if is_off(sim.tape) then return f(sim, ...) end
  local entry = place(sim)
  local results = inside(sim, f, ...)
  keep(sim, entry, f, ...)
  return table.unpack(results, 1, results.n)
end

-- Whether something that is noticed now is told by an entry, too, when this is played again.
function travel.is_replay(sim) return sim.tape.replaying and not sim.tape.inside end

-- -- Playing --------------------------------------------------------------------------------------------------------
local function diverged(sim)
  error(("the run can't be repeated: by %.3f it went another way. A function that was given to the simulation must " ..
    "depend on nothing but the simulation"):format(sim.core:now() / ns), 0)
end

-- A function that says now and then how far it is.
local function progress(sim, till)
  local last = core.process.clock()
  return function()
    local now = core.process.clock()
    if now - last < patience then return end
    last = now
    sim.tell(("played again up to %.3f of %.3f; Ctrl-C stops there"):format(sim.core:now() / ns, till / ns))
  end
end

-- Each says false where Ctrl-C ended it on the way.
local function walk(sim, steps, at, say)
  while not interrupt.pending() do
    local there = sim.core:walk(steps, at)
    if there == nil then diverged(sim) end
    sim:take_notes()
    if there then return true end
    say()
  end
  return false
end

-- Everything through that instant; what waits for news waits on the tape.
local function pass(sim, at)
  repeat sim.core:run(at) until not sim.core:news()
  sim:take_notes()
end

local function run(sim, at, say)
  while sim.core:now() < at do
    pass(sim, math.min(at, sim.core:now() + slice))
    if interrupt.pending() then return false end
    say()
  end
  pass(sim, at)
  return true
end

local function play_entry(sim, entry)
  if sim.core:digest() ~= entry.digest then diverged(sim) end
  sim.tape.played = sim.tape.played + 1
  inside(sim, entry.f, table.unpack(entry, 1, entry.n))
end

-- Along the tape through entry `through`, then to `at`: exactly to that step of it, or to its end.
local function play(sim, through, at, steps)
  local tape, say = sim.tape, progress(sim, at)
  tape.replaying, sim.running = true, true
  local _ <close> = setmetatable({}, { __close = function() tape.replaying, sim.running = false, false end })
  while tape.played < through do
    local entry = tape[tape.played + 1]
    if not walk(sim, entry.steps, entry.at, say) then return false end
    play_entry(sim, entry)
  end
  if steps then return walk(sim, steps, at, say) end
  return run(sim, at, say)
end

-- The last entry that isn't after `at`.
local function through(tape, at)
  local n = #tape
  while n > 0 and tape[n].at > at do n = n - 1 end
  return n
end

-- Leads the simulation to the end of the instant `at` of the history that it is in, as far as that is known: true, or
-- false: Ctrl-C. renew(sim): gives it a new core and the rest as at the beginning.
function travel.seek(sim, at, renew)
  local tape = sim.tape
  tape.reach = math.max(tape.reach, sim.core:now())
  if at < sim.core:now() then
    renew(sim)
    tape.played = 0
  end
  at = math.min(at, tape.reach)
  return play(sim, through(tape, at), at)
end

-- Leads `other`, which is at its beginning, to where sim is, by the same way. false: Ctrl-C.
function travel.follow(sim, other)
  table.move(sim.tape, 1, sim.tape.played, 1, other.tape)
  return play(other, sim.tape.played, sim.core:now(), sim.core:steps())
end

return travel
