-- chunk.lua - what is typed at the prompt, as functions: expressions give their values, statements may end in one.
--
--     > 1 + 1                    an expression
--     > sim:run(1); sim          statements, and an expression after the last semicolon
--
-- It may be compiled otherwise, too: how = { name, load, env }.
local lex = require "orrery.repl.lex"

local chunk = {}

chunk.name = "prompt"

local at_prompt = { name = chunk.name, load = load }
local semicolons_most = 100                         -- each is a try, and takes as long as there is text

local function try(text, how)
  if how.env == nil then return how.load(text, "=" .. how.name, "t") end
  return how.load(text, "=" .. how.name, "t", how.env)
end

-- The last expression may see the locals before it, so both are one function; yet what stands before the semicolon must
-- be whole by itself, or a `return` would end up inside a loop.
local function ending_in_expression(text, how)
  local _, _, semicolons = lex.scan(text)
  for i = #semicolons, math.max(1, #semicolons - semicolons_most), -1 do
    local left, right = text:sub(1, semicolons[i]), text:sub(semicolons[i] + 1)
    local f = right:find "%S" and try(left, how) and try(left .. " return " .. right, how)
    if f then return f end
  end
end

-- A string in quotes goes on in the next line only after a backslash.
local function is_unfinished(message, text)
  return message:find "<eof>'?$" and (not message:find ": unfinished string near" or text:find "\\$")
end

-- The function; or nil and what is wrong; or nil, nil: more lines are needed.
function chunk.compile(text, how)
  how = how or at_prompt
  local f, as_expression = try("return " .. text, how)
  f = f or ending_in_expression(text, how)
  if f then return f end
  local message
  f, message = try(text, how)
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
  return (try(text, at_prompt) or try("return " .. text, at_prompt)) and text or nil
end

return chunk
