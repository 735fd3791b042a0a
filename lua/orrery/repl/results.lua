-- results.lua - what the prompt says of values and of errors.
local show = require "orrery.show"
local chunk = require "orrery.repl.chunk"

local results = {}

local gap, frames_most = "   ", 8
local own = debug.getinfo(1, "S").source:match "^@(.*/)repl/[^/]*$"      -- .../lua/orrery/

-- Text of several lines is printed as it is: a matrix, a report.
local function text_of(v, width)
  if type(v) == "string" and v:find "\n." and not v:find "[^%C\n]" then return (v:gsub("\n$", "")) end
  return show.fit(v, { width = width, items = 200, depth = 6 })
end

-- Values as text, or nil where there are none. A failure, nil and why, is one line.
function results.text(width, n, ...)
  local values = { ... }
  if n == 0 then return nil end
  local parts, failure = {}, n > 1 and values[1] == nil and type(values[2]) == "string"
  for i = 1, n do
    local v = values[i]
    parts[i] = failure and type(v) == "string" and v:gsub("\n%s*", " ") or text_of(v, width)
  end
  local line = table.concat(parts, gap)
  if failure or #line <= width and not line:find("\n", 1, true) then return line end
  return table.concat(parts, "\n")
end

-- A wrong call at the prompt is reported at its caller's place; where the call was the last thing done, that is ours.
local function message_of(err)
  if type(err) == "string" then
    local place, text = err:match "^([^\n:]+):%d+: (.*)$"
    return own and place == own .. "repl.lua" and text or err
  end
  local mt = debug.getmetatable(err)
  if type(mt) == "table" and mt.__tostring then
    local ok, text = pcall(tostring, err)
    if ok then return text end
  end
  return "error object: " .. show.fit(err, { width = 100, items = 20, depth = 3 })
end

-- How many frames there are above what was typed, seen from the caller. What was typed may have ended in a call, and
-- is gone by then; below it is the prompt itself.
local function depth_of_prompt()
  for level = 3, 1000 do
    local info = debug.getinfo(level, "S")
    if not info then break end
    if info.what == "main" and info.source == "=" .. chunk.name then return level - 3 end
    if own and info.source == "@" .. own .. "repl.lua" then return level - 3 end
  end
  return math.huge
end

-- For xpcall: the message, and below it the way to it; without what is ours, and what led to the prompt.
function results.explain(err)
  local lines, left = { (message_of(err)) }, depth_of_prompt()
  for frame in debug.traceback("", 2):gmatch "\n\t([^\n]+)" do
    local ours = own and frame:sub(1, #own) == own or frame:find "^%[C%]: in %?" or frame:find "function 'error'"
      or frame:find "^%(%.%.%.tail"
    if left == 0 then break end
    left = left - 1
    if #lines > frames_most then
      lines[#lines + 1] = "  ..."
      break
    elseif not ours then
      lines[#lines + 1] = "  " .. frame
    end
  end
  return table.concat(lines, "\n")
end

return results
