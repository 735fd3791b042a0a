-- asks.lua - what a simulation asks of its nodes from outside: what waits for an answer, on the tape of its travels.
--
-- Methods of a simulation, for the files that make one up.
local travel = require "orrery.travel"

local asks = {}
local lines_max = 1000

-- The last calls from outside, for those who look on (in ns).
function asks:begin_call(n, node, text)
  local calls = self.calls
  calls[#calls + 1] = { n = n, at = self.core:now(), node = node, text = text }
  if #calls > 2 * lines_max then self.calls = table.move(calls, lines_max + 1, #calls, 1, {}) end
end

function asks:end_call(n, code)
  for i = #self.calls, 1, -1 do
    local call = self.calls[i]
    if call.n == n and not call.till then
      call.till, call.code = self.core:now(), code or nil
      return
    end
  end
end

-- What was asked is kept by its number: it may be asked again, on the way back.
local function ask_core(self, n, verb, id, ...)
  local asked, message, code = self.core[verb](self.core, id, ...)
  local what, group = ...
  self.n_asks, self.asks[n] = n, asked
  self:begin_call(n, id, verb == "ask" and what or ("%s:%s"):format(group, what))
  if not asked then self:end_call(n, code) end
  return asked, message, code
end

local function close_ask(self, n, code)
  local asked = self.asks[n]
  self.asks[n] = nil
  self:end_call(n, code)
  if asked then asked:close() end
end

local Ask = {}
Ask.__index = Ask
function Ask:over() return self.sim.asks[self.n]:over() end
function Ask:results()
  local results = table.pack(self.sim.asks[self.n]:results())
  local refused = not results[1] and results[3] or results[2] == nil and results[4]
  self.code = type(refused) == "string" and refused or false
  return table.unpack(results, 1, results.n)
end
function Ask:close() travel.perform(self.sim, close_ask, self.n, self.code) end
Ask.__close = Ask.close

-- verb: "ask" or "submit" -> what waits for the answer; nil, message, code
function asks:ask(verb, ...)
  local n = self.n_asks + 1
  local asked, message, code = travel.perform(self, ask_core, n, verb, ...)
  if not asked then return nil, message, code end
  return setmetatable({ sim = self, n = n, code = "given up" }, Ask)
end

local function do_core(self, verb, ...) return self.core[verb](self.core, ...) end

-- What the core's verb returns; kept.
function asks:tell_core(verb, ...) return travel.perform(self, do_core, verb, ...) end

return asks
