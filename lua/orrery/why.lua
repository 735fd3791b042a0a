-- why.lua - why a replica's role, term and leader are what they are: its causes as lines for people, and as fields.
--
-- The causes come from the protocol (core/consensus/raft/raft_why.c); here they get words.
local options = require "orrery.options"

local why = {}
local default, most = 10, 32

local ballot_words = {
  prevote = { yes = "%s agreed", no = "%s refused (it hears a leader, or has more of the log)",
    silent = "%s has said nothing" },
  vote = { yes = "%s gave it", no = "%s refused (it voted for another, or has more of the log)",
    silent = "%s has said nothing" },
}

-- "b agreed, c has said nothing"; and whom it asked. hint(id, when): what was known of the way there, or nil.
local function ballots(cause, hint)
  local names, parts = options.keys(cause.ballots or {}), {}
  for i, id in ipairs(names) do
    local said = cause.ballots[id]
    local known = said == "silent" and hint(id, cause.last)
    parts[i] = ballot_words[cause.kind][said]:format(id) .. (known and " (" .. known .. ")" or "")
  end
  if #names == 0 then return "nobody else", "it is the only voter" end
  return table.concat(names, ", "), table.concat(parts, ", ")
end

local function seconds(T) return ("%.3f s"):format(T or 0) end

local texts = {}
function texts.start(c) return ("began, in term %d"):format(c.term) end
function texts.silence(c, hint)
  if not c.peer then return ("heard from no leader for %s"):format(seconds(c.waited)) end
  local known = hint(c.peer, c.at)
  return ("heard nothing from its leader %s for %s%s"):format(c.peer, seconds(c.waited), known and ": " .. known or "")
end
function texts.prevote(c, hint)
  local whom, said = ballots(c, hint)
  return ("asked %s for a pre-vote: %s; term stays %d"):format(whom, said, c.term - 1)
end
function texts.vote(c, hint)
  local whom, said = ballots(c, hint)
  return ("stood in term %d, and asked %s for a vote: %s"):format(c.term, whom, said)
end
function texts.won(c) return ("leads term %d"):format(c.term) end
function texts.leader(c) return ("heard from %s, which leads term %d"):format(c.peer, c.term) end
function texts.term(c) return ("heard of term %d from %s, and entered it"):format(c.term, c.peer) end
function texts.voted(c) return ("voted for %s in term %d"):format(c.peer, c.term) end
function texts.alone(c) return ("led, but heard from no majority for %s"):format(seconds(c.waited)) end
function texts.asked_to_lead(c)
  return c.peer and ("was asked to lead by %s"):format(c.peer) or "was told to stand"
end
function texts.hands_over(c) return ("asked %s to lead in its place"):format(c.peer) end
function texts.mute(c) return ("takes no part any more: %s"):format(c.status) end

-- The last one may be the same as the one before; elsewhere that has been seen to.
local function merge(causes)
  local last, before = causes[#causes], causes[#causes - 1]
  if not before or last.text ~= before.text or last.kind ~= before.kind then return end
  before.count, before.last = before.count + last.count, last.last
  causes[#causes] = nil
end

local Causes = { __name = "orrery.causes" }
function Causes.__tostring(self)
  local lines = {}
  for _, c in ipairs(self) do
    lines[#lines + 1] = ("  %.3f  %s  %s"):format(c.at, c.id, c.text)
    if c.count == 2 then lines[#lines + 1] = ("  %.3f  %s  the same, once more"):format(c.last, c.id) end
    if c.count > 2 then
      lines[#lines + 1] = ("  %.3f  %s  the same, %d more times"):format(c.last, c.id, c.count - 1)
    end
  end
  return table.concat(lines, "\n")
end

function why.check(n, what, level)
  if n == nil then return default end
  if math.type(n) == "integer" and n >= 1 then return math.min(n, most) end
  error(("%s: 'n' must be an integer from 1 up (got %s)"):format(what, options.got(n)), level + 1)
end

-- causes: what C gave, n + 1 of them at most. shift: from the node's time to that which is shown.
function why.new(id, n, causes, shift, hint)
  hint = hint or function() end
  for _, c in ipairs(causes) do
    c.id, c.at, c.last = id, c.at + shift, c.last + shift
    c.text = texts[c.kind](c, hint)
  end
  merge(causes)
  if #causes > n then table.remove(causes, 1) end
  return setmetatable(causes, Causes)
end

return why
