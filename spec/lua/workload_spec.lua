-- workload_spec.lua - workloads: what a definition must be, how clients work, the history, and how a run is judged.
local orrery = require "orrery"
local workload = require "orrery.workload"

local folder = dofile "spec/lua/folder.lua"()
teardown(function() folder:remove() end)
local counter, kv = "examples/counter/cluster.lua", "examples/kv/cluster.lua"
local echo = "examples/workloads/echo/cluster.lua"

local function yes() return true end

-- A workload of these functions, over what is harmless.
local function made(given)
  local all = {
    floor = 0, generate = function(client) return { f = "add", value = client:unique() } end,
    invoke = function(client, op) return client:call("add", op.value) end, check = yes,
  }
  for key, v in pairs(given) do all[key] = v end
  return orrery.workload(all)
end

-- Runs it for T seconds, then to its end: the runner, and the simulation, which is open until the spec's end.
local function run(path, value, T, opts)
  local sim = orrery.sim(path, opts)
  finally(function() sim:close() end)
  local runner = workload.attach(sim, value)
  assert(sim:run(T))
  sim:heal()
  runner:quiet()
  assert(sim:run_until(function() return runner:settled() end, 60))
  return runner, sim
end

local function complaint(given) return select(2, pcall(orrery.workload, given)):gsub("^[^ ]+:%d+: ", "") end

describe("a workload's definition", function()
  local function with(key, v)
    local given = { generate = yes, invoke = yes, check = yes }
    given[key] = v
    return (complaint(given))
  end

  it("is checked, and what is wrong is named", function()
    assert.equal("orrery.workload: options must be a table (got nothing)", (complaint()))
    assert.equal("orrery.workload: 'generate' is missing, must be a function", (complaint { invoke = yes }))
    assert.equal("orrery.workload: 'rates' is unknown (nearest: 'rate')", with("rates", 1))
    assert.equal("orrery.workload: 'rate' must be a number above 0 and at most 1000000.0 (got 0)", with("rate", 0))
    assert.equal("orrery.workload: 'clients' must be an integer from 1 to 1000 (got 1.5)", with("clients", 1.5))
    assert.equal("orrery.workload: 'invoke' must be a function (got a table)", with("invoke", {}))
    assert.matches("^orrery.workload: 'model' must be \"kv\", .*, or { init, step } %(got \"kvv\"%)$",
      with("model", "kvv"))
    assert.equal("orrery.workload: 'model' or 'check' is missing: nothing would be judged",
      (complaint { generate = yes, invoke = yes }))
  end)

  it("is found by its name, or in a file", function()
    for _, name in ipairs(workload.names) do
      local value = assert(workload.load(name))
      assert.equal(("orrery.workload(%s)"):format(name), tostring(value))
      assert.is_true(workload.is(value))
    end
    local path = folder:write("mine.lua",
      "return orrery.workload { generate = print, invoke = print, check = print }")
    assert.equal("orrery.workload(mine)", tostring(workload.load(path)))
    local none, why = workload.load "brodcast"
    assert.is_nil(none)
    assert.matches("^there is no workload \"brodcast\" %(nearest: 'broadcast'%); there are broadcast, counter, ", why)
  end)

  local function file_error(text)
    local path = folder:write("bad.lua", text)
    local value, why = workload.load(path)
    assert.is_nil(value)
    assert.equal(path, why:sub(1, #path))
    return why:sub(#path + 1)
  end

  it("in a file that is wrong is told with the file", function()
    assert.equal(": must return orrery.workload{...} (got 1)", file_error "return 1")
    assert.equal(": orrery.workload: 'flor' is unknown (nearest: 'floor')",
      file_error "return orrery.workload { generate = print, invoke = print, check = print, flor = 1 }")
    assert.matches("^:1: .* near 'return'$", file_error "return return")
    assert.equal(":2: boo", file_error "\nerror 'boo'")
    assert.matches("No such file", select(2, workload.load "nowhere/x.lua"))
  end)

  it("in a file has nothing that differs between processes", function()
    assert.matches(": a workload file has no global os$", file_error "return os.time()")
    assert.matches("a nil value %(field 'random'%)$", file_error "return math.random()")
    assert.equal(":1: a workload file makes no globals: write local x", file_error "x = 1")
    local keys = {}
    for i = 1, 40 do keys[i] = ("%q"):format("k" .. i) end
    table.sort(keys)
    local path = folder:write("order.lua", ([[
      local set, list = {}, {}
      for _, k in ipairs { %s } do set[k] = true end
      for k in pairs(set) do list[#list + 1] = ("%%q"):format(k) end
      error(table.concat(list, ", "), 0)]]):format(table.concat(keys, ", ")))
    assert.equal(path .. ": " .. table.concat(keys, ", "), select(2, workload.load(path)))
  end)
end)

describe("clients", function()
  it("keep the rate together, and overlap", function()
    local runner = run(counter, made { rate = 100, clients = 5 }, 10, { seed = 3 })
    local c = runner:counts()
    assert.is_true(c.ok > 850 and c.ok < 1100, c.ok)
    assert.equal(c.operations, c.ok + c.fail + c.info)
    local open, most = 0, 0
    for _, entry in ipairs(runner.history) do
      open = open + (entry.type == "invoke" and 1 or -1)
      most = math.max(most, open)
    end
    assert.equal(0, open)
    assert.is_true(most > 1)
  end)

  local function lines(seed, faults)
    local runner, sim = run(counter, made {}, 6, { seed = seed, faults = faults })
    local all = {}
    for i = 1, #runner.history do all[i] = runner.history:line(i) end
    return table.concat(all, "\n"), sim:digest()
  end

  it("do the same for the same seed, and something else for another", function()
    local first, digest = lines(5, "default")
    local again, same = lines(5, "default")
    assert.equal(first, again)
    assert.equal(digest, same)
    assert.not_equal(first, (lines(6, "default")))
  end)

  it("do the same, however virtual time is cut into pieces", function()
    local whole <close> = orrery.sim(counter, { seed = 8, faults = "default" })
    local pieces <close> = orrery.sim(counter, { seed = 8, faults = "default" })
    local watched <close> = orrery.sim(counter, { seed = 8, faults = "default" })
    for _, sim in ipairs { whole, pieces, watched } do workload.attach(sim, made {}) end
    watched:always("time passes", yes)
    whole:run(4)
    watched:run(4)
    for _ = 1, 40 do pieces:run(0.1) end
    assert.is_true(#whole:history() > 100)
    assert.equal(whole:digest(), pieces:digest())
    assert.equal(whole:digest(), watched:digest())
  end)

  it("talk to another node after a failure", function()
    local at = {}
    local value = made { clients = 1, invoke = function(client)
      at[#at + 1] = client.node
      return nil, "no", "denied"
    end }
    run(counter, value, 4)
    assert.is_true(#at > 50)
    for i = 2, #at do assert.not_equal(at[i - 1], at[i]) end
  end)

  it("are told what no node answers: killed, it is unknown; down, it surely wasn't done", function()
    folder:write("slow.lua", [[node:on("add", function() node:sleep(0.5) return 1 end)]])
    local path = folder:write("slow-cluster.lua", [[return orrery.cluster { name = "slow", node = "slow.lua",
      nodes = { { id = "a", at = "127.0.0.1:1" } } }]])
    local sim <close> = orrery.sim(path)
    sim:run(0.1)
    local runner = workload.attach(sim, made { clients = 1, rate = 1000 })
    sim:at(0.3):kill "a"
    sim:run(0.4)
    local called, killed, _, refused = table.unpack(runner.history)
    assert.same({ "invoke", "info", "fail" }, { called.type, killed.type, refused.type })
    assert.same({ 0, 0, 1, 1 }, { called.process, killed.process, runner.history[3].process, refused.process })
    assert.equal("unavailable", refused.error)
    assert.near(0.3, killed.time / 1e9, 1e-6)
  end)

  it("give up a node that says nothing: it is unknown", function()
    local sim <close> = orrery.sim(echo)
    sim:run(0.1)
    local runner = workload.attach(sim, made { clients = 1, timeout = 0.25,
      invoke = function(client) client:move "a" return client:call("echo", 1) end })
    sim:pause "a"
    sim:run(1)
    local called, ended = table.unpack(runner.history)
    assert.equal("info", ended.type)
    assert.near(1.1 * 0.25, (ended.time - called.time) / 1e9, 0.001)
  end)

  it("speak the Redis protocol", function()
    local seen = {}
    local value = made { clients = 1, generate = function(client) return { f = "x", value = client:unique() } end,
      invoke = function(client, op)
        if op.value == 1 then client:sleep(1) end
        local set = { client:redis("SET", "k", op.value) }
        local got = { client:redis("GET", "k") }
        seen[#seen + 1] = { set, got, { client:redis "NONSENSE" } }
        return true
      end }
    run(kv, value, 3)
    assert.is_true(#seen > 10)
    assert.same({ { "OK" }, { "1" } }, { seen[1][1], seen[1][2] })
    assert.same({ "refused" }, { seen[1][3][3] })
  end)

  it("take a refused connection for surely not done, a broken one for unknown", function()
    local sim <close> = orrery.sim(kv)
    local runner = workload.attach(sim, made { clients = 1, rate = 200, invoke = function(client, op)
      client:move "a"
      return client:redis("SET", "k", op.value)
    end })
    sim:run(2)
    local before = #runner.history
    sim:kill "a"
    sim:run(1)
    local kinds = {}
    for i = before + 1, #runner.history do
      local entry = runner.history[i]
      if entry.type ~= "invoke" then kinds[#kinds + 1] = entry.error or entry.type end
    end
    assert.equal("unavailable", kinds[#kinds])
    assert.is_true(kinds[1] == "unknown" or kinds[1] == "unavailable")
  end)

  it("can't talk to a listener that isn't there, or a node that isn't", function()
    local sim <close> = orrery.sim(counter)
    workload.attach(sim, made { invoke = function(client) return client:redis "PING" end })
    assert.error_matches(function() sim:run(1) end, "client:redis: node %l has no listener resp in the cluster file$")
    local other <close> = orrery.sim(counter)
    workload.attach(other, made { invoke = function(client) return client:move "d" end })
    assert.error_matches(function() other:run(1) end, "client:move: 'node' must be a node of the cluster")
    local third <close> = orrery.sim(counter)
    workload.attach(third, made { invoke = function(client) return client:cal "add" end })
    assert.error_matches(function() third:run(1) end, "client%.cal is unknown %(nearest: 'call'%)$")
  end)

  it("end where an operation is none", function()
    local sim <close> = orrery.sim(counter)
    workload.attach(sim, made { generate = function() return "add" end })
    assert.error_matches(function() sim:run(1) end,
      "^workload workload: an operation must be { f = , key = , value = } %(got \"add\"%)$")
  end)

  it("stop at the most operations that a run may have", function()
    local runner = run(counter, made { most = 30 }, 5)
    assert.is_true(runner:counts().operations >= 30 and runner:counts().operations < 34)
  end)
end)

describe("sim:assert_linearizable", function()
  local incr = { generate = function(_, random) return { f = "incr", value = random(9) } end,
    invoke = function(client, op) return client:call("add", op.value) end }

  it("judges the history so far by the workload's model, or another", function()
    local sim <close> = orrery.sim(counter)
    incr.model = "pn-counter"
    workload.attach(sim, made(incr))
    sim:run(3)
    assert.error_matches(function() sim:assert_linearizable() end,
      "sim:assert_linearizable: undecided: there is no last read")
    local report = sim:assert_linearizable "counter"
    assert.same({ "ok", "counter" }, { report.result, report.model })
    assert.is_true(report.operations > 100)
    assert.is_table(sim:check())
  end)

  it("raises what contradicts it, and sim:check() tells it too", function()
    local sim <close> = orrery.sim "examples/lost-update/cluster.lua"
    incr.model = "counter"
    workload.attach(sim, made(incr))
    sim:run(5)
    assert.error_matches(function() sim:assert_linearizable() end,
      "sim:assert_linearizable: violated: these 2 calls fit into no order:")
    assert.matches("lost%-update, seed 1, at 5%.%d+: linearizable: these 2 calls", select(2, sim:check()))
  end)

  it("takes a model of one's own", function()
    local sim <close> = orrery.sim(counter)
    incr.model = { init = 0, step = function(sum, op)
      return op.unknown or op.result == sum + op.value, sum + op.value
    end }
    workload.attach(sim, made(incr))
    sim:run(2)
    assert.equal("ok", sim:assert_linearizable().result)
  end)

  it("needs a workload, and a history of that model", function()
    local sim <close> = orrery.sim(counter)
    assert.error_matches(function() sim:assert_linearizable() end,
      "sim:assert_linearizable: no workload is attached to this simulation$")
    workload.attach(sim, made {})
    sim:run(1)
    assert.error_matches(function() sim:assert_linearizable "queue" end, "sim:assert_linearizable: ")
  end)
end)

describe("on the way back", function()
  local function lines(history)
    local all = {}
    for i = 1, #history do all[i] = history:line(i) end
    return all
  end

  -- The same run of a workload over both kinds of connections, with what travels in between.
  local function there(between)
    local sim = orrery.sim(kv, { seed = 4, faults = "default" })
    finally(function() sim:close() end)
    local runner = workload.attach(sim, made { final = function() return { f = "get", value = "k" } end, settle = 1,
      generate = function(client) return { f = "set", value = client:unique() } end,
      invoke = function(client, op)
        if op.f == "get" then return client:redis("GET", "k") or false end
        return client:redis("SET", "k", op.value)
      end })
    sim:run(3)
    sim:heal()
    runner:quiet()
    sim:run(2)
    if between then between(sim, runner) end
    assert(sim:run_until(function() return runner:settled() end, 60))
    return lines(runner.history), sim:digest()
  end

  it("clients do again what they did", function()
    local first, digest = there()
    assert.is_true(#first > 200)
    local before
    local again, same = there(function(sim, runner)
      before = lines(runner.history)
      assert(sim:back(3))
      assert.is_true(#runner.history < #before)
      assert(sim:seek(sim:now() + 3))
      assert.same(before, lines(runner.history))
    end)
    assert.same(first, again)
    assert.equal(digest, same)
  end)

  it("a branch has clients of its own", function()
    local first = there(function(sim, runner)
      assert(sim:back(3.5))
      local n = #runner.history
      local other <close> = sim:branch()
      assert.same(lines(runner.history), lines(other:history()))
      other:kill "a"
      other:run(1)
      assert.equal(n, #runner.history)
      assert.is_true(#workload.of(other).history > n)
      assert(sim:seek(sim:now() + 3.5))
    end)
    assert.same(first, (there()))
  end)

  it("before they began there are none", function()
    local sim <close> = orrery.sim(counter)
    sim:run(1)
    local runner = workload.attach(sim, made {})
    sim:run(1)
    assert(sim:back(1.5))
    assert.is_nil(workload.of(sim))
    assert.error_matches(function() runner:counts() end, "the workload is not at work at this time of the run$")
    assert(sim:seek(sim:now() + 1.5))
    assert.is_true(runner:counts().ok > 10)
  end)
end)

describe("a history", function()
  it("has each operation's beginning and end", function()
    local runner, sim = run(counter, made { clients = 1, invoke = function(client, op)
      if op.value == 1 then return 5 end
      if op.value == 2 then return nil end
      if op.value == 3 then return nil, "who knows", "unknown" end
      if op.value == 4 then return nil, "it raised", "failed" end
      return nil, client.node .. " says no", "denied"
    end, most = 5 }, 2)
    local ends = {}
    for call, done in sim:history():operations() do
      ends[#ends + 1] = { call.process, call.value, done.type, done.value, done.error }
    end
    assert.same({ { 0, 1, "ok", 5 }, { 0, 2, "ok" }, { 0, 3, "info", 3, "unknown" }, { 1, 4, "info", 4, "failed" },
      { 2, 5, "fail", 5, "denied" } }, ends)
    assert.equal(runner.history, sim:history())
  end)

  it("is written as lines of JSON", function()
    local history = require "orrery.history".new()
    history[1] = { process = 3, type = "invoke", f = "get", key = "x", time = 123 }
    history[2] = { process = 3, type = "ok", f = "get", key = 'a"\n\255', value = { 1, "ü", { b = 0.5, a = {} } },
      time = 124, node = "a" }
    local path = folder.path .. "/h.jsonl"
    assert.is_true(history:write(path))
    assert.equal('{"process":3,"type":"invoke","f":"get","key":"x","value":null,"time":123}\n' ..
      '{"process":3,"type":"ok","f":"get","key":"a\\u0022\\u000a\\u00ff","value":[1,"ü",{"a":[],"b":0.5}],' ..
      '"time":124,"node":"a"}\n', folder:read "h.jsonl")
    local ok, why = history:write(folder.path .. "/nowhere/h")
    assert.is_nil(ok)
    assert.matches("No such file", why)
  end)

  it("is of the workload that the simulation was made with", function()
    local path = folder:write("w.lua", [[return orrery.workload { generate = function() return { f = "add" } end,
      invoke = function(client) return client:call("add", 1) end, model = "counter" }]])
    for _, value in ipairs { "counter", path, made {} } do
      local sim <close> = orrery.sim(counter, { workload = value })
      sim:always("it ends", function(s) return s:now() < 0.5 end)
      sim:run(1)
      assert.is_true(#sim:history() > 10)
      local shown = type(value) == "string" and ("%q"):format(value) or "workload"
      local again = "again: orrery.sim(\"examples/counter/cluster.lua\", { seed = 1, workload = " .. shown .. " })"
      assert.is_truthy(select(2, sim:check()):find(again, 1, true), (select(2, sim:check())))
    end
  end)

  it("belongs to a simulation with a workload, and to one", function()
    local sim <close> = orrery.sim(counter)
    assert.has_error(function() sim:history() end, "sim:history: no workload is attached to this simulation")
    workload.attach(sim, made {})
    assert.has_error(function() workload.attach(sim, made {}) end,
      "workload.attach: the simulation has a workload already: workload")
    assert.has_error(function() workload.attach(sim, {}) end, "workload.attach: a workload is expected (got a table)")
  end)
end)

describe("the end of a run", function()
  it("lets what is under way end, and reads each node", function()
    local at = {}
    local runner, sim = run(counter, made {
      final = function(client) return { f = "get", key = client.node } end, settle = 2,
      invoke = function(client, op)
        at[#at + 1] = op.f == "get" and client:now() or nil
        return client:call(op.f, op.value)
      end,
    }, 5)
    local finals = {}
    for call, done in sim:history():operations() do
      if call.final then finals[#finals + 1] = { call.key, done.node, done.type, done.final } end
    end
    assert.same({ { "a", "a", "ok", true }, { "b", "b", "ok", true }, { "c", "c", "ok", true } }, finals)
    assert.is_true(at[1] >= 7)
    local n = #runner.history
    sim:run(3)
    assert.equal(n, #runner.history)
  end)

  it("asks a node until it answers; one that never does is a violation", function()
    local value = made { final = function() return { f = "get" } end, settle = 0,
      invoke = function(client, op) return client:call(op.f, op.value) end }
    local sim <close> = orrery.sim(counter)
    local runner = workload.attach(sim, value)
    sim:run(2)
    runner:quiet()
    sim:kill "c"
    sim:at(sim:now() + 5):restart "c"
    assert(sim:run_until(function() return runner:settled() end, 60))
    assert.is_true(runner:judge())
    local other <close> = orrery.sim(counter)
    runner = workload.attach(other, value)
    other:run(2)
    runner:quiet()
    other:kill "c"
    assert(other:run_until(function() return runner:settled() end, 60))
    assert.same({ nil, "liveness", "a final read has no answer: c: not available here now" }, { runner:judge() })
  end)

  it("is judged by the workload's check, and by its floor", function()
    local function judged(given, T) return { run(counter, made(given), T):judge() } end
    assert.same({ true }, judged({ floor = 50 }, 3))
    assert.same({ nil, "workload", "so it is" }, judged({ check = function() return false, "so it is" end }, 1))
    local told = judged({ floor = 500 }, 1)
    assert.same({ nil, "floor" }, { told[1], told[2] })
    assert.matches("^only %d+ operations were done, at least 500 prove something$", told[3])
    local given
    judged({ check = function(history, sim) given = { #history > 20, sim:now() > 1 } return true end }, 1)
    assert.same({ true, true }, given)
  end)
end)
