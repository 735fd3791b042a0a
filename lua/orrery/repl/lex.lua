-- lex.lua - where in a piece of Lua text strings and comments are; no more grammar than that.
local lex = {}

local function long_end(text, at)
  local level = text:match("^%[(=*)%[", at)
  if not level then return nil end
  local _, to = text:find("]" .. level .. "]", at + #level + 2, true)
  return to or #text + 1, to ~= nil
end

local function short_end(text, at)
  local quote = text:sub(at, at)
  local i = at + 1
  while i <= #text do
    local c = text:sub(i, i)
    if c == quote then return i, true end
    if c == "\n" then return i, true end                    -- an error of its own; not ours to report
    i = i + (c == "\\" and 2 or 1)
  end
  return #text + 1, false
end

-- Kind, end, whether it ended, and where its contents begin; for what begins at `at`, if that is anything.
local function piece(text, at)
  local two = text:sub(at, at + 1)
  if two == "--" then
    local to, closed = long_end(text, at + 2)
    if to then return "comment", to, closed end
    to = text:find("\n", at, true)
    return "comment", to or #text + 1, to ~= nil
  elseif two:find "^[\"']" then
    local to, closed = short_end(text, at)
    return "string", to, closed, at + 1
  end
  local to, closed = long_end(text, at)
  if to then return "string", to, closed, at + #text:match("^%[=*%[", at) end
end

-- What the end of the text is in: "code", "comment", or "string" and where its contents begin. And, third, the
-- places of the semicolons that are neither in strings nor in comments.
function lex.scan(text)
  local semicolons, at = {}, 1
  while true do
    at = text:find("[-\"'%[;]", at)
    if not at then return "code", nil, semicolons end
    local kind, to, closed, from = piece(text, at)
    if kind and not closed then return kind, from, semicolons end
    if text:sub(at, at) == ";" then semicolons[#semicolons + 1] = at end
    at = (to or at) + 1
  end
end

return lex
