-- client.lua - a Redis client in a simulation: an endpoint outside the nodes that waits in virtual time.
--
--     local c <close> = sim:client { to = "a" }
--     c:call("SET", "k", "v")                            --> "OK"
local options = require "orrery.options"

local client = {}
client.__index = client
client.__name = "orrery.client"

function client:__tostring()
  return ("orrery.client(%s to %s)"):format(self.name, self.to)
end

-- The reply at `at`: value, position after it; nothing while it isn't there as a whole. An error is { error = text }.
local function parse(text, at)
  local stop = text:find("\r\n", at, true)
  if not stop then return end
  local kind, line, after = text:sub(at, at), text:sub(at + 1, stop - 1), stop + 2
  if kind == "+" then return line, after end
  if kind == "-" then return { error = line }, after end
  if kind == ":" then return math.tointeger(line), after end
  local n = math.tointeger(line)
  if n < 0 then return false, after end
  if kind == "$" then
    if #text < after + n + 1 then return end
    return text:sub(after, after + n - 1), after + n + 2
  end
  local list = {}
  for i = 1, n do
    list[i], after = parse(text, after)
    if not after then return end
  end
  return list, after
end

local function command(...)
  local words, parts = table.pack(...), {}
  for i = 1, words.n do
    local word = words[i]
    if type(word) ~= "string" and math.type(word) ~= "integer" then
      error(("client:call: word %d must be a string or an integer (got %s)"):format(i, options.got(word)), 3)
    end
    parts[i] = ("$%d\r\n%s\r\n"):format(#tostring(word), word)
  end
  if words.n == 0 then error("client:call: a command is expected", 3) end
  return ("*%d\r\n%s"):format(words.n, table.concat(parts))
end

-- A reply's value; nil where Redis has none; nil, message, code: an error, or no reply (then whether it happened isn't
-- known). Runs virtual time until it is there.
function client:call(...)
  local bytes = command(...)
  local ok, message, code = self.core:send(bytes)
  if not ok then return nil, message, code end
  local reply, after, state
  self.sim:wait(function()
    local more
    more, state = self.core:take()
    self.input = self.input .. more
    reply, after = parse(self.input, 1)
    return after or state == "closed"
  end, self.timeout)
  if not after then
    local why = state == "closed" and "the connection was closed" or ("no reply in %g s"):format(self.timeout)
    return nil, ("%s: %s"):format(self.to, why), "unknown"
  end
  self.input = self.input:sub(after)
  if type(reply) == "table" and reply.error then return nil, reply.error, "failed" end
  if reply == false then return nil end
  return reply
end

function client:close() self.core:close() end
client.__close = client.close

function client.new(sim, core, name, to, timeout)
  return setmetatable({ sim = sim, core = core, name = name, to = to, timeout = timeout, input = "" }, client)
end

return client
