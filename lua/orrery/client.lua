-- client.lua - a Redis client in a simulation: an endpoint outside the nodes that waits in virtual time.
--
--     local c <close> = sim:client { to = "a" }
--     c:call("SET", "k", "v")                            --> "OK"
local options = require "orrery.options"
local travel = require "orrery.travel"

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
      error(("client:call: word %d must be a string or an integer (got %s)"):format(i, options.got(word)), 4)
    end
    parts[i] = ("$%d\r\n%s\r\n"):format(#tostring(word), word)
  end
  if words.n == 0 then error("client:call: a command is expected", 4) end
  return ("*%d\r\n%s"):format(words.n, table.concat(parts))
end

-- What is done to a client is on the simulation's tape, by the client's number: on the way back it gets a new core.
local function open(sim, n, to, address, timeout)
  local name = "client " .. n
  local self = sim.clients[n] or setmetatable({ sim = sim, n = n, name = name, to = to, timeout = timeout }, client)
  sim.clients[n] = self
  self.core, self.input, self.busy = assert(sim.core:client(name, address)), "", false
  sim.n_clients = n
end

local function send(sim, n, bytes, words)
  sim.clients[n].busy = true
  sim:begin_call("client " .. n, sim.clients[n].to, words)
  return sim.clients[n].core:send(bytes)
end

-- All that came was taken, and of it this is left.
local function taken(sim, n, input, code)
  sim:end_call("client " .. n, code)
  local self = sim.clients[n]
  if self.core then self.core:take() end
  self.input, self.busy = input, false
end

local function close(sim, n)
  local self = sim.clients[n]
  if self.core then self.core:close() end
  self.core = false
end

-- Asks, and waits for nothing: true; or nil, message, code.
function client:start(...)
  local bytes = command(...)
  local ok, message, code = travel.perform(self.sim, send, self.n, bytes, table.concat({ ... }, " "):sub(1, 40))
  if ok then
    self.state, self.after = "connecting", false
    return true
  end
  travel.perform(self.sim, taken, self.n, self.input, code)
  return nil, message, code
end

-- Has the whole reply come, or will none come any more?
function client:over()
  local more
  more, self.state = self.core:take()
  self.input = self.input .. more
  local reply, after = parse(self.input, 1)
  self.reply, self.after = reply, after or false
  return self.after or self.state == "closed"
end

-- What call returns.
function client:finish()
  local reply, after = self.reply, self.after
  travel.perform(self.sim, taken, self.n, after and self.input:sub(after) or self.input, not after and "unknown")
  if not after then
    local why = self.state == "closed" and "the connection was closed" or ("no reply in %g s"):format(self.timeout)
    return nil, ("%s: %s"):format(self.to, why), "unknown"
  end
  if type(reply) == "table" and reply.error then return nil, reply.error, "failed" end
  if reply == false then return nil end
  return reply
end

-- A reply's value; nil where Redis has none; nil, message, code: an error, or no reply (then whether it happened isn't
-- known). Runs virtual time until it is there.
function client:call(...)
  if not self.core then error("client:call: the client is closed", 2) end
  if self.busy then
    return nil, self.to .. ": an earlier call of this client is still under way here: take a new one", "unavailable"
  end
  local ok, message, code = self:start(...)
  if not ok then return nil, message, code end
  self.sim:wait(function() return self:over() end, self.timeout)
  return self:finish()
end

function client:close()
  if self.core and not self.sim.closed then travel.perform(self.sim, close, self.n) end
end
client.__close = client.close

-- to: a node's id, whose listener has this address.
function client.new(sim, to, address, timeout)
  local n = sim.n_clients + 1
  sim.clients[n] = nil                                -- of a future that isn't any more
  travel.perform(sim, open, n, to, address, timeout)
  return sim.clients[n]
end

return client
