-- chunk.lua - what is typed at the prompt, as functions: expressions give their values, statements may end in one.
--
--     > 1 + 1                    an expression
--     > sim:run(1); sim          statements, and an expression after the last semicolon
local lex = require "orrery.repl.lex"

local chunk = {}

chunk.name = "prompt"

local function try(text)
  return load(text, "=" .. chunk.name, "t")
end

-- The last expression may see the locals before it, so both are one function; yet what stands before the semicolon must
-- be whole by itself, or a `return` would end up inside a loop.
local function ending_in_expression(text)
  local _, _, semicolons = lex.scan(text)
  for i = #semicolons, 1, -1 do
    local left, right = text:sub(1, semicolons[i]), text:sub(semicolons[i] + 1)
    local f = right:find "%S" and try(left) and try(left .. " return " .. right)
    if f then return f end
  end
end

-- A string in quotes goes on in the next line only after a backslash.
local function is_unfinished(message, text)
  return message:find "<eof>'?$" and (not message:find ": unfinished string near" or text:find "\\$")
end

-- The function; or nil and what is wrong; or nil, nil: more lines are needed.
function chunk.compile(text)
  local f, as_expression = try("return " .. text)
  f = f or ending_in_expression(text)
  if f then return f end
  local message
  f, message = try(text)
  if f then return f end
  if is_unfinished(message, text) or is_unfinished(as_expression, text) then return nil, nil end
  return nil, message
end

-- The lines of one input as one line for the history, where that means the same; else nil.
function chunk.joined(lines)
  local text = table.concat(lines, " ")
  for _, line in ipairs(lines) do
    if line:find("--", 1, true) or line:find "%[=*%[" or line:find "\\$" then return nil end
  end
  return (try(text) or try("return " .. text)) and text or nil
end

return chunk
