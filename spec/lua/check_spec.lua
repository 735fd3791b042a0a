-- check_spec.lua - orrery.check and orrery check: what is accepted, what isn't, how it is told, and wrong use.
local check = require "orrery.check"
local folder = dofile "spec/lua/folder.lua"()
teardown(function() folder:remove() end)

local program = assert(require "orrery.core".process.program())

-- A history out of lines "PROCESS TYPE F KEY [VALUE]"; a value is Lua.
local function history(text)
  local entries = {}
  for line in text:gmatch "[^\n]+" do
    local process, type, f, key, value = line:match "^%s*(%-?%d+) (%l+) (%l+) (%S+) ?(.*)$"
    if process then
      entries[#entries + 1] = {
        process = math.tointeger(process), type = type, f = f, key = key ~= "-" and key or nil,
        value = assert(load("return " .. (value ~= "" and value or "nil")))(), time = #entries * 1000,
      }
    end
  end
  return entries
end

local function judged(text, opts)
  return assert(check.history(history(text), opts))
end

local function write(entries)
  local lines = {}
  for i, entry in ipairs(entries) do lines[i] = check.line(entry) end
  return folder:write("h.jsonl", table.concat(lines, "\n") .. "\n")
end

local function orrery(arguments)
  local pipe = assert(io.popen(("%s check %s 2>&1"):format(program, arguments)))
  local out = pipe:read "a"
  local _, _, status = pipe:close()
  return status, out
end

local stale = [[
  1 invoke set x 1
  1 ok set x
  2 invoke set x 2
  4 invoke get y
  4 ok get y
  2 ok set x
  3 invoke get x
  3 ok get x 1]]

describe("orrery.check", function()
  it("is the module's function", function()
    assert.equal(check.history, require "orrery".check)
  end)

  it("draws a stale read, and says why", function()
    local r = judged(stale, { model = "kv" })
    assert.equal("violated", r.result)
    assert.equal("linearizable", r.property)
    assert.same({ 1, 3, 7 }, r.lines)
    assert.matches("process 1 +|%-%-set x 1%-%-|\nprocess 2 +|%-%-set x 2%-%-|\n" ..
      "process 3 +|%-%-get x %-> 1%-%-|", r.text)
    assert.matches("then it is 2, and get x %-> 1 can neither follow nor wait", r.text)
    for line in r.text:gmatch "[^\n]+" do assert.is_nil(line:find " y") end
  end)

  it("takes the order within each process alone, when asked", function()
    assert.equal("ok", judged(stale, { sequential = true }).result)
    local r = judged(stale .. "\n3 invoke get x\n3 ok get x 2\n3 invoke get x\n3 ok get x 1", { sequential = true })
    assert.equal("violated", r.result)
    assert.equal("sequential", r.property)
  end)

  it("knows what a call of unknown fate may do, and one that failed may not", function()
    local text = "1 invoke set x 1\n1 %s set x\n2 invoke get x\n2 ok get x %s"
    assert.equal("ok", judged(text:format("info", "1")).result)
    assert.equal("ok", judged(text:format("info", "nil")).result)
    assert.equal("violated", judged(text:format("fail", "1")).result)
    assert.equal("ok", judged(text:format("fail", "nil")).result)
  end)

  it("follows the order that the history bears", function()
    local entries = history "1 invoke set x 1\n2 invoke set x 2\n1 ok set x\n2 ok set x\n3 invoke get x\n3 ok get x 1"
    entries[3].order, entries[4].order = 2, 1
    local r = assert(check.history(entries))
    assert.equal("ok", r.result)
    assert.is_true(r.witnessed)
    entries[3].order, entries[4].order = 1, 2
    r = assert(check.history(entries))
    assert.equal("violated", r.result)
    assert.matches("in the order that it bears %(another order fits%)", r.text)
    assert.equal("ok", assert(check.history(entries, { witness = false })).result)
  end)

  it("says that it is undecided when its budget is out", function()
    local entries = {}
    for i = 1, 12 do
      entries[#entries + 1] = { process = i, type = "invoke", f = "append", key = "x", value = ("%d."):format(i) }
    end
    for i = 1, 12 do entries[#entries + 1] = { process = i, type = "ok", f = "append", key = "x" } end
    for _, type in ipairs { "invoke", "ok" } do
      local text = type == "ok" and "12.11.10.9.8.7.6.5.4.3.2.1." or nil
      entries[#entries + 1] = { process = 1, type = type, f = "get", key = "x", value = text }
    end
    assert.equal("ok", assert(check.history(entries, { model = "strings" })).result)
    local r = assert(check.history(entries, { model = "strings", budget = 5 }))
    assert.equal("undecided", r.result)
    assert.matches("no order of its 13 calls was found", r.text)
  end)

  local verdicts = {
    { "counter", "ok", "1 invoke incr c 5\n2 invoke read c\n2 ok read c 5\n1 ok incr c" },
    { "counter", "violated", "1 invoke incr c 5\n2 invoke read c\n2 ok read c 4\n1 ok incr c" },
    { "counter", "violated", "1 invoke incr c\n1 ok incr c 1\n1 invoke incr c\n1 ok incr c 3" },
    { "counter", "ok", "1 invoke incr c 2\n1 ok incr c 2\n1 invoke incr c 2\n1 ok incr c 2\n1 invoke read c\n" ..
      "1 ok read c 4" },
    { "queue", "ok", "1 invoke enqueue q 1\n2 invoke enqueue q 2\n1 ok enqueue q\n2 ok enqueue q\n" ..
      "1 invoke dequeue q\n1 ok dequeue q 2\n1 invoke dequeue q\n1 ok dequeue q 1\n1 invoke dequeue q\n" ..
      "1 ok dequeue q" },
    { "queue", "violated", "1 invoke enqueue q 1\n1 ok enqueue q\n2 invoke enqueue q 2\n2 ok enqueue q\n" ..
      "1 invoke dequeue q\n1 ok dequeue q 2" },
    { "queue", "violated", "1 invoke enqueue q 1\n1 ok enqueue q\n1 invoke dequeue q\n1 ok dequeue q 1\n" ..
      "2 invoke dequeue q\n2 ok dequeue q 1" },
    { "lock", "ok", "1 invoke acquire l\n1 ok acquire l 1\n1 invoke release l\n2 invoke acquire l\n" ..
      "2 ok acquire l 2\n" ..
      "1 ok release l" },
    { "lock", "violated", "1 invoke acquire l\n1 ok acquire l 1\n2 invoke acquire l\n2 ok acquire l 2" },
    { "fenced-lock", "ok", "1 invoke acquire l\n1 ok acquire l 1\n2 invoke acquire l\n2 ok acquire l 2" },
    { "fenced-lock", "violated", "1 invoke acquire l\n1 ok acquire l 2\n2 invoke acquire l\n2 ok acquire l 2" },
    { "strings", "ok", "1 invoke append s 'a'\n1 ok append s\n2 invoke put s 'b'\n2 ok put s\n1 invoke get s\n" ..
      "1 ok get s 'b'" },
    { "strings", "violated", "1 invoke append s 'a'\n1 ok append s\n2 invoke append s 'b'\n2 ok append s\n" ..
      "1 invoke get s\n1 ok get s 'ba'" },
    { "kv", "violated", "1 invoke cas x { nil, 5 }\n1 ok cas x true\n2 invoke del x\n2 ok del x false" },
    { "g-set", "ok", "1 invoke add - 1\n1 ok add -\n2 invoke add - 2\n2 info add -\n1 invoke read -\n" ..
      "1 ok read - { 1, 2 }" },
    { "g-set", "lost", "1 invoke add - 1\n1 ok add -\n1 invoke read -\n1 ok read - {}" },
    { "g-set", "made up", "1 invoke add - 1\n1 ok add -\n1 invoke read -\n1 ok read - { 1, 7 }" },
    { "g-set", "undecided", "1 invoke add - 1\n1 ok add -" },
    { "broadcast", "diverged", "1 invoke broadcast - 1\n1 info broadcast -\n1 invoke read -\n1 ok read - { 1 }\n" ..
      "2 invoke read -\n2 ok read - {}" },
    { "pn-counter", "ok", "1 invoke add - 5\n1 ok add -\n2 invoke add - -2\n2 info add -\n1 invoke read -\n" ..
      "1 ok read - 3" },
    { "pn-counter", "lost", "1 invoke add - 5\n1 ok add -\n2 invoke add - -2\n2 info add -\n1 invoke read -\n" ..
      "1 ok read - 4" },
    { "pn-counter", "made up", "1 invoke read -\n1 ok read - 4\n1 invoke add - 4\n1 ok add -" },
    { "unique-ids", "ok", "1 invoke generate -\n1 ok generate - 5\n1 invoke generate -\n1 ok generate - '5'" },
    { "unique-ids", "not unique", "1 invoke generate -\n2 invoke generate -\n1 ok generate - 5\n2 ok generate - 5" },
    { "log", "ok", "1 invoke send k 'a'\n1 ok send k 0\n1 invoke send k 'b'\n1 ok send k 3\n2 invoke poll k\n" ..
      "2 ok poll k { { 0, 'a' }, { 3, 'b' } }\n2 invoke poll k\n2 ok poll k {}" },
    { "log", "lost", "1 invoke send k 'a'\n1 ok send k 0\n1 invoke send k 'b'\n1 ok send k 1\n2 invoke poll k\n" ..
      "2 ok poll k { { 1, 'b' } }" },
    { "log", "reordered", "1 invoke send k 'a'\n1 ok send k 0\n1 invoke send k 'b'\n1 ok send k 1\n2 invoke poll k\n" ..
      "2 ok poll k { { 1, 'b' }, { 0, 'a' } }" },
    { "log", "offsets go back", "1 invoke send k 'a'\n1 ok send k 5\n1 invoke send k 'b'\n1 ok send k 1" },
    { "log", "two records at one offset", "1 invoke send k 'a'\n2 invoke send k 'b'\n1 ok send k 5\n2 ok send k 5" },
    { "log", "made up", "2 invoke poll k\n2 ok poll k { { 1, 'b' } }" },
    { "log", "lost", "1 invoke send k 'a'\n1 ok send k 0\n2 invoke send k 'b'\n2 info send k\n1 invoke send k 'c'\n" ..
      "1 ok send k 9\n2 invoke poll k 0\n2 ok poll k { { 9, 'c' } }" },
  }
  for i, case in ipairs(verdicts) do
    it(("judges %s: %s (%d)"):format(case[1], case[2], i), function()
      local r = judged(case[3], { model = case[1] })
      local known = case[2] == "ok" or case[2] == "violated" or case[2] == "undecided"
      assert.equal(case[2], known and r.result or r.property)
      assert.equal(r.result == "ok", r.text == nil)
    end)
  end

  it("takes a model of one's own, which may change the state that it is given", function()
    local stack = {
      init = {},
      step = function(s, op)
        if op.f == "push" then
          s[#s + 1] = op.value
          return true, s
        end
        local top = table.remove(s)
        return op.unknown or op.result == top, s
      end,
    }
    local text = "1 invoke push - 1\n2 invoke push - 2\n1 ok push -\n2 ok push -\n1 invoke pop -\n1 ok pop - %d\n" ..
      "1 invoke pop -\n1 ok pop - %d"
    assert.equal("ok", judged(text:format(1, 2), { model = stack }).result)
    assert.equal("ok", judged(text:format(2, 1), { model = stack }).result)
    local r = judged(text:format(2, 2), { model = stack })
    assert.equal("violated", r.result)
    assert.equal("own", r.model)
  end)

  it("raises what a model raises, and what is wrong with it", function()
    local text = "1 invoke a -\n1 ok a -"
    assert.has_error(function() judged(text, { model = { step = function() error("mine", 0) end } }) end, "mine")
    assert.error_matches(function() judged(text, { model = { step = function() return true, print end } }) end,
      "state is a function")
    assert.error_matches(function() judged(text, { model = { init = 1 } }) end, "'step' is missing")
    assert.error_matches(function() judged(text, { model = "vk" }) end, "'model' must be")
    assert.error_matches(function() check.history(7) end, "'history' must be an array of entries, or a path %(got 7%)")
    assert.error_matches(function() check.history { 7 } end, "'history%[1%]' must be an entry %(got 7%)")
    assert.error_matches(function() check.line(7) end, "'entry' must be a table %(got 7%)")
    assert.error_matches(function() check.history { { process = 1, type = "invoke", f = "x", value = print } } end,
      "a history can't have a function")
    local _, message = check.history { { process = 1, type = "ok", f = "get" } }
    assert.equal("entry 1: process 1 completes a call that it has not invoked", message)
    assert.error_matches(function() check.history({}, { budgt = 1 }) end, "'budgt' is unknown %(nearest: 'budget'%)")
  end)

  it("agrees with all orders on random tiny histories of a model of one's own", function()
    local function step(top, op)
      if op.f == "raise" then return true, math.max(top, op.value) end
      return op.result == top
    end
    local function fits(calls, placed, top)
      local all = true
      for i, c in ipairs(calls) do
        if not placed[i] then
          all = false
          local first = true
          for j, other in ipairs(calls) do first = first and (placed[j] or j == i or other.ends > c.begins) end
          local ok, new = step(top, c)
          if first and ok then
            placed[i] = true
            if fits(calls, placed, new or top) then return true end
            placed[i] = nil
          end
        end
      end
      return all
    end
    local seen = { ok = 0, violated = 0 }
    local random = 12345
    local function below(n)
      random = (random * 1103515245 + 12345) % 2147483648
      return random // 65536 % n
    end
    for _ = 1, 1500 do
      local entries, open, calls = {}, {}, {}
      while #entries < 10 do
        local p = 1 + below(3)
        local c = open[p]
        if not c then
          c = { f = below(2) == 0 and "raise" or "top", value = 1 + below(3), begins = #entries + 1 }
          if c.f == "top" then c.value, c.result = nil, below(4) end
          open[p], calls[#calls + 1] = c, c
          entries[#entries + 1] = { process = p, type = "invoke", f = c.f, value = c.value }
        else
          open[p], c.ends = nil, #entries + 1
          entries[#entries + 1] = { process = p, type = "ok", f = c.f, value = c.result }
        end
      end
      for p = 1, 3 do
        if open[p] then
          open[p].ends = #entries + 1
          entries[#entries + 1] = { process = p, type = "ok", f = open[p].f, value = open[p].result }
        end
      end
      local expected = fits(calls, {}, 0) and "ok" or "violated"
      for _, reads in ipairs { { "top" }, {} } do
        local r = assert(check.history(entries, { model = { init = 0, step = step, reads = reads } }))
        assert.equal(expected, r.result)
      end
      seen[expected] = seen[expected] + 1
    end
    assert.is_true(seen.ok > 50 and seen.violated > 50)
  end)
end)

describe("transactions", function()
  local cases = {
    { "ok", "1 invoke txn - {{'r','x'},{'append','x',1}}\n1 ok txn - {{'r','x',{}},{'append','x',1}}\n" ..
      "2 invoke txn - {{'r','x'}}\n2 ok txn - {{'r','x',{1}}}" },
    { "G0", "1 invoke txn - {{'append','x',1},{'append','y',1}}\n" ..
      "2 invoke txn - {{'append','x',2},{'append','y',2}}\n" ..
      "1 ok txn - {{'append','x',1},{'append','y',1}}\n2 ok txn - {{'append','x',2},{'append','y',2}}\n" ..
      "3 invoke txn - {{'r','x'},{'r','y'}}\n3 ok txn - {{'r','x',{1,2}},{'r','y',{2,1}}}" },
    { "G1a", "1 invoke txn - {{'append','x',1}}\n1 fail txn - {{'append','x',1}}\n2 invoke txn - {{'r','x'}}\n" ..
      "2 ok txn - {{'r','x',{1}}}" },
    { "G1b", "1 invoke txn - {{'append','x',1},{'append','x',2}}\n2 invoke txn - {{'r','x'}}\n" ..
      "2 ok txn - {{'r','x',{1}}}\n1 ok txn - {{'append','x',1},{'append','x',2}}" },
    { "G1c", "1 invoke txn - {{'append','x',1},{'r','y'}}\n2 invoke txn - {{'append','y',1},{'r','x'}}\n" ..
      "1 ok txn - {{'append','x',1},{'r','y',{1}}}\n2 ok txn - {{'append','y',1},{'r','x',{1}}}" },
    { "G-single", "1 invoke txn - {{'r','x'},{'r','y'}}\n2 invoke txn - {{'append','x',1},{'append','y',1}}\n" ..
      "2 ok txn - {{'append','x',1},{'append','y',1}}\n1 ok txn - {{'r','x',{}},{'r','y',{1}}}\n" ..
      "3 invoke txn - {{'r','x'}}\n3 ok txn - {{'r','x',{1}}}" },
    { "G2", "1 invoke txn - {{'r','x'},{'append','y',1}}\n2 invoke txn - {{'r','y'},{'append','x',1}}\n" ..
      "1 ok txn - {{'r','x',{}},{'append','y',1}}\n2 ok txn - {{'r','y',{}},{'append','x',1}}\n" ..
      "3 invoke txn - {{'r','x'},{'r','y'}}\n3 ok txn - {{'r','x',{1}},{'r','y',{1}}}" },
    { "G-single", "1 invoke txn - {{'r','x'},{'append','x',1}}\n2 invoke txn - {{'r','x'},{'append','x',2}}\n" ..
      "1 ok txn - {{'r','x',{}},{'append','x',1}}\n2 ok txn - {{'r','x',{}},{'append','x',2}}\n" ..
      "3 invoke txn - {{'r','x'}}\n3 ok txn - {{'r','x',{1}}}" },
    { "internal", "1 invoke txn - {{'append','x',1},{'r','x'}}\n1 ok txn - {{'append','x',1},{'r','x',{}}}" },
    { "incompatible order", "1 invoke txn - {{'append','x',1}}\n2 invoke txn - {{'append','x',2}}\n" ..
      "1 ok txn - {{'append','x',1}}\n2 ok txn - {{'append','x',2}}\n1 invoke txn - {{'r','x'}}\n" ..
      "1 ok txn - {{'r','x',{1,2}}}\n1 invoke txn - {{'r','x'}}\n1 ok txn - {{'r','x',{2,1}}}" },
    { "duplicate append", "1 invoke txn - {{'append','x',1}}\n1 ok txn - {{'append','x',1}}\n" ..
      "1 invoke txn - {{'r','x'}}\n1 ok txn - {{'r','x',{1,1}}}" },
    { "made up", "1 invoke txn - {{'r','x'}}\n1 ok txn - {{'r','x',{1}}}" },
  }
  for i, case in ipairs(cases) do
    it(("that are %s are found so (%d)"):format(case[1], i), function()
      local r = judged(case[2])
      assert.equal("append", r.model)
      assert.equal(case[1], r.property or r.result)
    end)
  end

  local late = "1 invoke txn - {{'append','x',1}}\n1 ok txn - {{'append','x',1}}\n2 invoke txn - {{'r','x'}}\n" ..
    "2 ok txn - {{'r','x',{}}}\n3 invoke txn - {{'r','x'}}\n3 ok txn - {{'r','x',{1}}}"
  it("may be late, unless real time counts; the reason of each step is told", function()
    assert.equal("ok", judged(late).result)
    local r = judged(late, { strict = true })
    assert.equal("G-single-realtime", r.property)
    assert.matches('T%d before T%d: T%d read "x" as %[%], without the 1 that T%d appended  %(rw%)', r.text)
    assert.matches("T%d was over %(line 2%) before T%d began %(line 3%)  %(rt%)", r.text)
  end)

  it("lose nothing that was acknowledged, where real time counts or a read is the last", function()
    local lost = "1 invoke txn - {{'append','x',1}}\n1 ok txn - {{'append','x',1}}\n2 invoke txn - {{'r','x'}}\n" ..
      "2 ok txn - {{'r','x',{}}}"
    assert.equal("ok", judged(lost).result)
    assert.equal("violated", judged(lost, { strict = true }).result)
    local entries = history(lost)
    entries[4].final = true
    assert.equal("lost append", assert(check.history(entries)).property)
  end)
end)

describe("orrery check", function()
  it("says ok, violated, undecided by its status", function()
    local path = write(history(stale))
    local status, out = orrery(path)
    assert.equal(1, status)
    assert.matches("^violated: kv %(linearizable%)\n", out)
    status, out = orrery(path .. " --sequential")
    assert.equal(0, status)
    assert.matches("^ok: kv: 4 operations", out)
    status = orrery(write(history "1 invoke add - 1\n1 ok add -") .. " --model g-set")
    assert.equal(3, status)
  end)

  it("reads a model of one's own from a file, and gives its report as JSON", function()
    local path = write(history "1 invoke add - 1\n1 ok add - 1")
    local model = folder:write("m.lua", [[
      return { init = 0, step = function(s, op) return op.result == s + 1, s + 1 end }]])
    local status, out = orrery(("%s --model %s --json"):format(path, model))
    assert.equal(0, status)
    assert.matches('"result":"ok"', out, 1, true)
    assert.matches('"operations":1', out, 1, true)
  end)

  local function wrong(text, message, more)
    local status, out = orrery(folder:write("bad.jsonl", text) .. (more or ""))
    assert.equal(2, status)
    assert.is_truthy(out:find(message, 1, true), out)
    assert.equal(1, select(2, out:gsub("\n", "")))
  end
  local invoke = '{"process":1,"type":"invoke","f":"get","key":"x"}\n'
  local cases = {
    { "{\n", "line 1, column 2: expected a string" },
    { invoke .. "nonsense\n", "line 2, column 1: expected an object" },
    { invoke .. '{"process":1,"type":"okay","f":"get"}', 'expected "invoke", "ok", "fail" or "info" as type' },
    { invoke .. invoke, "line 2: process 1 invokes before its call of line 1 is over" },
    { '{"process":1,"type":"ok","f":"get"}', "line 1: process 1 completes a call that it has not invoked" },
    { invoke .. '{"process":1,"type":"ok","f":"set"}', "line 2: process 1 completes 'set', and line 1 invoked 'get'" },
    { invoke .. '{"process":1,"type":"ok","f":"get","key":"y"}', "completes a call of another key than line 1" },
    { '{"type":"invoke","f":"get"}', "line 1: 'process' is missing" },
    { '{"process":1.5,"type":"invoke","f":"get"}', "expected a whole number within 64 bits" },
    { '{"process":1,"type":"invoke","f":"get","value":' .. ("["):rep(70), "less nesting: 64 levels at most" },
    { '{"process":1,"type":"invoke","f":"fly"}', "which one is it?" },
    { '{"process":1,"type":"invoke","f":"fly"}', "line 1: 'fly' is no call of model kv", " --model kv" },
    { '{"process":1,"type":"invoke","f":"cas","key":1,"value":2}', "line 1: the value of cas must be [expected, new]" },
    { invoke, "--model must be kv, register", " --model nonsense" },
    { '{"process":1,"type":"invoke","f":"txn","value":[["append","x",1],["append","x",1]]}', "must differ" },
  }
  for i, case in ipairs(cases) do
    it(("names the line that is wrong (%d)"):format(i), function() wrong(case[1], case[2], case[3]) end)
  end

  it("passes over those who are no clients, blank lines and what it doesn't know", function()
    local status, out = orrery(folder:write("n.jsonl", '{"process":"nemesis","type":"info","f":"kill","x":[{}]}\n\n' ..
      '  {"f":"get","type":"invoke","process":-7,"extra":{"a":[1,2.50,"\\u00e9\\n"]}}\n'))
    assert.equal(0, status)
    assert.matches("^ok: kv: 1 operations", out)
  end)
end)
