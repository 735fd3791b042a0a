-- notes.lua - what happened in a simulation while its core ran: what nodes logged, their lives, what was violated.
local arguments = require "orrery.sim.arguments"
local faults = require "orrery.faults"
local travel = require "orrery.travel"

local notes = {}
local methods, private = {}, {}      -- private: for the other files of the simulation
notes.methods, notes.private = methods, private
local ns = 1000000000
local lines_max = 1000

-- The first thing that was violated counts; run tells it when it happens, check() ever after.
local function set_violation(self, text, over)
  self.violation = self.violation or text
  if over then self.properties[over].over = true end
end

-- over: which of the properties it is.
function private:violated(property, why, over)
  if travel.is_replay(self) then return end             -- the tape knows
  local text = ("%s, seed %d, at %.3f: %s%s"):format(self.name, self.seed, self:now(), property,
    why and ": " .. tostring(why) or "")
  self.fresh = text
  set_violation(self, text .. self.again, over)
  travel.record(self, set_violation, text .. self.again, over)
end

-- What an oracle saw, as `property: why`.
local function saw(self, note)
  local property, why = note.text:match "^([%w_]+): (.*)$"
  self:violated(property, why)
end

function notes.take(self)
  for _, note in ipairs(self.core:notes()) do
    local at = ("%.6f"):format(note.at / ns)
    local lines = self.lines
    lines[#lines + 1] = { node = note.node, text = ("%s %s %s %s"):format(at, note.node, note.kind, note.text) }
    if #lines > 2 * lines_max then self.lines = table.move(lines, lines_max + 1, #lines, 1, {}) end
    if self.verbose then self.verbose(note) end
    if note.kind == "down" then
      self.deaths[note.node] = { at = note.at, code = note.code, why = note.text }
    elseif note.kind == "up" then
      self.deaths[note.node] = nil
    elseif note.kind == "violated" then
      saw(self, note)
    end
  end
end

private.take_notes = notes.take

-- To be judged as what oracles saw is: the first one counts.
function private:violate(property, why)
  self:tell_core("violate", property, why)
  notes.take(self)
end

local lines_meta = { __tostring = function(self) return table.concat(self, "\n") end }

-- The last lines that nodes logged, and their lives: all, or one node's.
function methods:log(id)
  faults.opened(self, "log")
  if id ~= nil then arguments.node(self, "sim:log", id, 2) end
  local out, from = setmetatable({}, lines_meta), math.max(1, #self.lines - lines_max + 1)
  for i = from, #self.lines do
    local line = self.lines[i]
    if id == nil or line.node == id then out[#out + 1] = line.text end
  end
  return out
end

return notes
