-- repl.lua - the prompt: reads a line, or several that belong together, runs it, says what came of it; again.
--
-- It knows no terminal. A session is handed in:
--   read(prompt)      a line; nil, "end"; or nil, "interrupt", whether nothing stood in the line
--   prompt()          the text before the cursor; "" where nobody looks
--   write(text), complain(text)      a line for people; an error
--   guard(f, handler)                calls f() so that Ctrl-C can end it: "done", ...; "failed" or "interrupted", text
--   width()           columns;  env: where `_` is kept;  remember(line)
--   interrupted(ask)  Ctrl-C came while a line was read, ^C is there; ask: nothing was typed, and once more leaves
local chunk = require "orrery.repl.chunk"
local results = require "orrery.repl.results"

local repl = {}

-- The results are shown within the guard: a value's __tostring is the user's code, too, and may never end.
local function show_results(session, ...)
  local n = select("#", ...)
  if n > 0 then session.env._ = (...) end
  local text = results.text(session.width(), n, ...)
  if text then session.write(text) end
end

-- True if it ran to its end.
local function run(session, f)
  local how, text = session.guard(function() show_results(session, f()) end, results.explain)
  if how == "done" then return true end
  text = tostring(text)
  session.complain(how == "interrupted" and "\n" .. (text:match(chunk.name .. ":%d+: interrupted") or how) or text)
  return false
end

local function keep(session, lines)
  local joined = #lines > 1 and chunk.joined(lines)
  for _, line in ipairs(joined and { joined } or lines) do session.remember(line) end
end

-- One input: lines until they are a whole. "ran", "failed", "end"; or "interrupt", and whether nothing had been typed.
local function step(session)
  local lines, prompt = {}, session.prompt()
  while true do
    local line, why, empty = session.read(prompt)
    if not line and why == "interrupt" then return why, empty and #lines == 0 end
    if not line and #lines == 0 then return "end" end
    lines[#lines + 1] = line
    local text = table.concat(lines, "\n")
    local f, message = chunk.compile(text)
    if not f and not message and not line then message = chunk.name .. ": the input ends in the middle of a chunk" end
    if f or message then
      keep(session, lines)
      if f then return run(session, f) and "ran" or "failed" end
      session.complain(message)
      return "failed"
    end
    prompt = (" "):rep(#prompt - 3) .. (prompt == "" and "" or ">> ")
  end
end

-- Until the end of the input. -> how many inputs failed
function repl.run(session)
  local failures, asked = 0, false
  while true do
    local how, empty = step(session)
    if how == "end" then return failures end
    if how == "failed" then failures = failures + 1 end
    local again = how == "interrupt" and empty and asked
    asked = how == "interrupt" and empty
    if how == "interrupt" then session.interrupted(asked and not again) end
    if again then return failures end
  end
end

return repl
