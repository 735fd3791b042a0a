-- reload_spec.lua - new code on a live cluster: scripts that take over on nodes, groups that go over at one entry.
local folder = dofile "spec/lua/folder.lua"()
teardown(function() folder:remove() end)
local orrery = require "orrery"

local count = 0
local file = [[
  return orrery.cluster { name = "t", node = "node.lua", %s nodes = {
    { id = "a", at = "127.0.0.1:1", listen = { line = "127.0.0.1:11" }, resp = "127.0.0.1:21" },
    { id = "b", at = "127.0.0.1:2", listen = { line = "127.0.0.1:12" }, resp = "127.0.0.1:22" },
    { id = "c", at = "127.0.0.1:3", listen = { line = "127.0.0.1:13" }, resp = "127.0.0.1:23" } } }]]

-- A simulation of three nodes with this script, a second old, and a function that changes the files.
local function begin(text, given)
  given = given or {}
  count = count + 1
  local name = "r" .. count
  local function put(script, more) folder:write(name .. "/node.lua", script)
    return folder:write(name .. "/cluster.lua", file:format(more or given.more or "timing = { call = 10 },"))
  end
  local sim = orrery.sim(put(text), { seed = given.seed or 1, faults = given.faults })
  sim:run(given.run or 1)
  return sim, put
end

local function everywhere(sim)
  for _, id in ipairs { "a", "b", "c" } do assert(sim:reload(id)) end
end

-- A counter; `version` of its code adds so much more for each op, and its state has another shape.
local function counter(version, more)
  return ([[
    local plus, version = %d, %d
    local g = node:replicate("c", {
      version = version,
      init = function() return { version = version, n = 0 } end,
      upgrade = function(s, from) return { version = version, n = s.n, was = (s.was or "") .. from } end,
      apply = { add = function(s, op) s.n = s.n + op.by + plus return s.n, s.version end },
      query = { get = function(s) return s.n, s.version, s.was end },
    })
    node:on("add", function(by) return g:propose { "add", by = by } end)
    node:on("get", function() return g:read { "get" } end)
    node:on("status", function() return g:status() end)
    g:on("upgrade", function(status) node.state.told = (node.state.told or "") .. status.version end)
    %s]]):format(1000 * (version - 1), version, more or "")
end

describe("a group's code", function()
  it("changes at one entry, once every voter runs the new scripts", function()
    local sim, put = begin(counter(1))
    local _ <close> = sim
    assert.same({ 1, 1 }, { sim:call("a", "add", 1) })
    put(counter(2))
    local leader = sim:leader "c"
    local last = leader == "a" and "b" or "a"
    for _, id in ipairs { "a", "b", "c" } do if id ~= last then assert(sim:reload(id)) end end
    sim:run(1)
    assert.same({ 2, 1 }, { sim:call("a", "add", 1) })                 -- one has not got them
    local status = sim:call(leader, "status")
    assert.equal("leader", status.role)
    assert.equal(1, status.version)
    assert.matches("^%x+$", status.next_code)
    assert(sim:reload(last))
    sim:run(0.2)
    assert.same({ 1003, 2 }, { sim:call("a", "add", 1) })
    for _, id in ipairs { "a", "b", "c" } do
      local now = sim.nodes[id]:group("c"):status()
      assert.equal(2, now.version)
      assert.equal(status.next_code, now.code)
      assert.is_nil(now.next_code)
      assert.equal("2", sim.nodes[id].state.told)
      assert.same({ 1003, 2, "1" }, { sim:call(id, "get") })
    end
    assert(sim:check())
  end)

  it("does not change where only handlers do, but for its name", function()
    local sim, put = begin(counter(1))
    local _ <close> = sim
    local before = sim:call("a", "status")
    put(counter(1, "node:on('hello', function() return 'hello' end)"))
    everywhere(sim)
    sim:run(0.2)
    assert.equal("hello", sim:call("b", "hello"))
    local after = sim:call("a", "status")
    assert.not_equal(before.code, after.code)
    assert.equal(before.leader, after.leader)
    assert.equal(before.term, after.term)                              -- connections, groups and leaders stay
    assert.same({ 1, 1 }, { sim:call("a", "add", 1) })
  end)

  it("comes with the log to who was away, whatever its own files are", function()
    local sim, put = begin(counter(1))
    local _ <close> = sim
    assert(sim:call("a", "add", 1))
    put(counter(2))
    everywhere(sim)
    sim:run(0.2)
    sim:kill "c"
    put(counter(1))
    assert(sim:reload "c")                                             -- only its files: it is down
    assert(sim:call("a", "add", 1))
    sim:restart "c"
    sim:run(2)
    assert.same({ 1002, 2, "1" }, { sim:call("c", "get") })
    local status = sim.nodes.c:group("c"):status()
    assert.equal(2, status.version)
    assert.is_string(status.next_code)
    assert.matches("c warn group c: these scripts have version 1 of its state, it has 2 already", tostring(sim:log "c"))
    assert.matches("a warn c runs other scripts than this node: bundle %x+, here %x+", tostring(sim:log "a"))
    assert(sim:check())
  end)

  it("comes with a snapshot to who was away for long", function()
    local much = [[node:on("much", function(n)
      for i = 1, n do g:propose { "add", by = 1, ("x"):rep(2000) } end
      return true
    end)]]
    local sim, put = begin(counter(1), { seed = 16 })                  -- small segments, many snapshots
    local _ <close> = sim
    put(counter(2, much))
    everywhere(sim)
    sim:run(0.5)
    sim:kill "c"
    put(counter(1))
    assert(sim:reload "c")
    for _ = 1, 20 do
      assert(sim:call("a", "much", 50))
      sim:run(0.5)                                                     -- a snapshot each time
    end
    sim:restart "c"
    sim:run(3)
    assert.same({ sim:call("a", "get") }, { sim:call("c", "get") })
    local _, loaded = tostring(sim:log "c"):gsub("c info group c: loaded the snapshot at %d%d%d", "")
    assert.equal(1, loaded)
    sim:kill "c"                                                       -- it is its own now
    sim:restart "c"
    sim:run(2)
    assert.same({ sim:call("a", "get") }, { sim:call("c", "get") })
    assert.equal(2, sim.nodes.c:group("c"):status().version)
    assert(sim:check())
  end)

  it("is that of who leads first, where nodes begin with different scripts", function()
    local led = {}
    for seed = 1, 12 do
      local sim, put = begin(counter(1), { seed = seed, run = 0 })
      local _ <close> = sim
      put(counter(2))
      assert(sim:reload "c")
      assert(sim:run_until(function() return sim:leader "c" end, 5))
      local first = sim:leader "c"
      led[first == "c" and "c" or "another"] = true
      local version = first == "c" and 2 or 1
      sim:run(1)
      for _, id in ipairs { "a", "b", "c" } do
        assert.equal(version, sim.nodes[id]:group("c"):status().version, id .. " of seed " .. seed)
      end
      local n, has = sim:call("c", "add", 1)
      assert.same({ 1 + 1000 * (version - 1), version }, { n, has })
      assert(sim:check())
    end
    assert.same({ c = true, another = true }, led)
  end)

  it("stays what it was where upgrade raises, and says so", function()
    local sim, put = begin(counter(1))
    local _ <close> = sim
    assert(sim:call("a", "add", 1))
    put((counter(2):gsub("upgrade = .-\n", "upgrade = function(s) s.n = 99 error 'no' end,\n", 1)))
    everywhere(sim)
    sim:run(3)
    assert.same({ 2, 1 }, { sim:call("a", "add", 1) })                 -- of the old code, on the old state
    assert.matches("error group c: does not take bundle %x+: node.lua:%d+: no", tostring(sim:log "a"))
    assert.equal(1, sim:call("a", "status").version)
    put(counter(3))                                                    -- the next one does better
    everywhere(sim)
    sim:run(1)
    assert.same({ 2, 3, "1" }, { sim:call("c", "get") })
    assert(sim:check())
  end)

  it("never goes back to an older version of the state", function()
    local sim, put = begin(counter(2))
    local _ <close> = sim
    put(counter(1))
    local ok, message, code = sim:reload "a"
    assert.is_nil(ok)
    assert.equal("a: node:replicate c: 'version' must not go down (its state has version 2)", message)
    assert.equal("invalid", code)
    assert.same({ 1001, 2 }, { sim:call("a", "add", 1) })
  end)

  it("must fit into an op", function()
    local sim, put = begin(counter(1), { more = "limits = { op = 20000 }," })
    local _ <close> = sim
    put(counter(1) .. "--" .. ("x"):rep(20000))
    local ok, message = sim:reload "a"
    assert.is_nil(ok)
    assert.matches("node.lua:2: node:replicate c: the scripts are %d+ bytes with what the cluster file says; "
      .. "an op may have 20000 %(limits.op%)", message)
  end)
end)

describe("scripts that take over", function()
  it("begin anew, while what runs of the old ones has five seconds", function()
    local old = [[
      local n = 0
      node.state.old = true
      local function noted() return setmetatable({}, { __close = function() node:cast("b", "closed") end }) end
      node:on("count", function() n = n + 1 return n end)
      node:on("slow", function(T) local _ <close> = noted() node:sleep(T) return "old" end)
      node:on("gone", function() return "here" end)
      node:every(0.1, function() node.state.old_ticks = (node.state.old_ticks or 0) + 1 end)
      node:on("later", function() node:after(2, function() node:cast("b", "late", "old") end) return true end)]]
    local new = [[
      local n = 0
      node.state.answers = {}
      node:on("count", function() n = n + 1 return n end)
      node:on("slow", function() return "new" end)
      node:on("late", function(who) node.state.late = who end)
      node:on("closed", function() node.state.closed = (node.state.closed or 0) + 1 end)
      node:on("ask", function(T)
        node:spawn(function()
          local answer, _, code = node:call({ "a", timeout = 20 }, "slow", T)
          node.state.answers[T] = answer or code
        end)
      end)
      node:every(0.1, function() node.state.ticks = (node.state.ticks or 0) + 1 end)]]
    local sim, put = begin(old)
    local _ <close> = sim
    assert.same({ 1, 2 }, { sim:call("a", "count"), (sim:call("a", "count")) })
    put(new)
    assert(sim:reload "b")
    assert(sim:call("a", "later"))
    assert(sim:cast("b", "ask", 4))
    assert(sim:cast("b", "ask", 6))
    sim:run(0.05)
    local old_ticks = sim.nodes.a.state.old_ticks
    assert.is_true(old_ticks > 5)
    assert(sim:reload "a")
    assert.is_nil(sim.nodes.a.state.old)                               -- node.state begins anew
    assert.equal(1, sim:call("a", "count"))                            -- and so do locals
    local _, message, code = sim:call("a", "gone")
    assert.same({ "a: gone: there is no such handler", "invalid" }, { message, code })
    assert.equal("new", sim:call("a", "slow", 1))
    sim:run(3)
    assert.equal("old", sim.nodes.b.state.late)
    assert.is_nil(sim.nodes.a.state.old_ticks)                         -- every: not any more
    sim:run(4)
    assert.same({ [4] = "old", [6] = "unknown" }, sim.nodes.b.state.answers)
    assert.equal(2, sim.nodes.b.state.closed)                          -- the one that ended, the one that was ended
    assert.is_true(sim.nodes.a.state.ticks > 50)
  end)

  it("end at once when they are replaced once more", function()
    local sim, put = begin [[
      node:on("slow", function() local _ <close> = setmetatable({}, { __close = function() node:cast("b", "end") end })
        node:sleep(9) end)
      node:on("end", function() node.state.ended = true end)]]
    local _ <close> = sim
    sim:cast("a", "slow")
    sim:run(0.1)
    put "node:on('x', function() return 1 end)"
    assert(sim:reload "a")
    sim:run(1)
    assert.is_nil(sim.nodes.b.state.ended)
    put "node:on('x', function() return 2 end)"
    assert(sim:reload "a")
    sim:run(0.1)
    assert.is_true(sim.nodes.b.state.ended)
    assert.equal(2, sim:call("a", "x"))
  end)

  it("may not be called upon by those that they replaced", function()
    local sim, put = begin [[
      local s = node:on("x", function() return "old" end)
      node:on("try", function()
        node:sleep(1)
        s:close()
        local _, message = pcall(node.on, node, "x", function() return "old" end)
        node:cast("b", "told", message)
      end)
      node:on("told", function(message) node.state.told = message end)]]
    local _ <close> = sim
    sim:cast("a", "try")
    sim:run(0.1)
    put "node:on('x', function() return 'new' end)"
    assert(sim:reload "a")
    sim:run(2)
    assert.matches("node:on: other scripts have replaced these", sim.nodes.b.state.told)
    assert.equal("new", sim:call("a", "x"))
  end)

  it("must run: else those that were there go on", function()
    local sim, put = begin "node:on('x', function() return 'old' end) node:every(1, function() end)"
    local _ <close> = sim
    for script, complaint in pairs {
      ["node:on('x', function("] = "node.lua:1: <name> or '...' expected near <eof>",
      ["node:on('x', function() return 'new' end) error 'not today'"] = "node.lua:1: not today",
      ["node:on('x', function() return 'new' end) node:every(0.1, function() node.state.bad = true end)\nx = 1"] =
        "node.lua:2: a node script makes no globals: write local x",
      ["node:spawn(function() node.state.bad = true end) while true do end"] =
        "node.lua:1: ran for more than 10000000 instructions",
      ["local g = node:replicate('g', { apply = function() end })"] =
        "node.lua:1: node:replicate g: a node that runs can't bear new groups: start it again",
      ["node:listen('line', function() end)"] =
        "node.lua:1: node:listen line: a node that runs can't listen anew: start it again",
      ["node:sleep(1)"] = "node.lua:1: node:sleep waits, so it must be called from a task: a handler, or node:spawn(f)",
    } do
      put(script)
      local ok, message, code = sim:reload "a"
      assert.is_nil(ok, script)
      assert.equal("a: " .. complaint, (message:gsub("/%S*/", "")))
      assert.equal("invalid", code)
      sim:run(0.5)
      assert.equal("old", sim:call("a", "x"))
      assert.same({}, sim.nodes.a.state)
      assert.matches("warn the scripts that run go on: ", tostring(sim:log "a"))
    end
    put("node:on('x', function() return 'new' end)", "timing = { call = 3 }, config = { n = 1 },")
    assert(sim:reload "a")
    assert.equal("new", sim:call("a", "x"))
  end)

  it("are for the same nodes, links and listeners", function()
    local sim, put = begin "node:listen('line', function() end)"
    local _ <close> = sim
    local path = put "node:listen('line', function() end)"
    local text = folder:read(path:sub(#folder.path + 2))
    for _, change in ipairs {
      { '127.0.0.1:2"', '127.0.0.1:9"', "nodes, links or listeners are not what they were: start the nodes again, one "
        .. "after the other" },
      { 'id = "c"', 'id = "d"', "nodes, links or listeners are not what they were" },
      { 'name = "t"', 'name = "u"', "this node is of cluster t, the file is of u" },
    } do
      folder:write(path:sub(#folder.path + 2), (text:gsub(change[1], change[2], 1)))
      local ok, message = sim:reload "a"
      assert.is_nil(ok)
      assert.matches("a: " .. change[3], message, 1, true)
    end
    folder:write(path:sub(#folder.path + 2), text)
    put "node.log:info 'nobody listens'"
    local _, message = sim:reload "a"
    assert.equal("a: nobody listens on line any more, as the scripts did so far: start the node again", message)
    local _, why = pcall(sim.reload, sim, "d")
    assert.matches("sim:reload: 'node' must be a node of the cluster", why)
    _, why = pcall(sim.reload, sim, "a", 7)
    assert.matches("sim:reload: 'path' must be a cluster or the path of one %(got 7%)", why)
    assert.same({ nil, "/nowhere.lua: No such file or directory", "invalid" },
      { (function() local a, b, c = sim:reload("a", "/nowhere.lua") return a, (b:gsub("cannot read ", "")), c end)() })
  end)

  it("answer the listeners that there are", function()
    local function script(word) return ([[
      node:listen("line", function(conn) for line in conn:lines() do conn:write("%s " .. line .. "\n") end end)
      node:listen("resp", orrery.resp.serve { HELLO2 = function(x) return "%s " .. x end%s })]]):format(word, word,
        word == "new" and ", MORE = function() return 'more' end" or "") end
    local sim, put = begin(script "old")
    local _ <close> = sim
    local client = sim:client { to = "a" }
    assert.equal("old x", client:call("HELLO2", "x"))
    local line = sim.core:client("l1", "127.0.0.1:11")
    local function ask(c, text)
      c:send(text .. "\n")
      sim:run(0.1)
      local bytes = c:take()
      return bytes
    end
    sim:run(0.1)
    assert.equal("old 1\n", ask(line, "1"))
    put(script "new")
    assert(sim:reload "a")
    assert.equal("new x", client:call("HELLO2", "x"))                  -- a connection is nobody's script's
    assert.equal("more", client:call "MORE")
    assert.equal("old 2\n", ask(line, "2"))                            -- this one is a task, and has its five seconds
    local another = sim.core:client("l2", "127.0.0.1:11")
    sim:run(0.1)
    assert.equal("new 3\n", ask(another, "3"))
    sim:run(6)
    assert.equal("new 4\n", ask(another, "4"))
    assert.not_equal("old 5\n", ask(line, "5"))
  end)
end)

-- Nodes get the next scripts at any time, while they crash, are cut off and lose messages.
describe("new code under faults", function()
  local function script(version)
    return ([[
      local version = %d
      local g = node:replicate("c", {
        version = version,
        init = function() return { seen = {}, version = version, path = "" } end,
        upgrade = function(s, from) s.version, s.path = version, s.path .. from .. ">" .. version .. " " return s end,
        apply = function(s, op)
          s.seen[op.id] = (s.seen[op.id] or 0) + 1
          return s.version
        end,
        query = { all = function(s) return s.seen, s.version, s.path end },
      })
      node:on("add", function(id) return g:propose { id = id, pad = ("x"):rep(1000) } end)
      node:on("all", function() return g:read { "all" } end)
      node:on("status", function() return g:status() end)]]):format(version)
  end

  local function run(seed)
    local sim, put = begin(script(1), { seed = seed, more = "timing = { call = 2 }," })
    local _ <close> = sim
    local random = orrery.hash
    local function draw(n, what) return random(seed .. " " .. what) % n + 1 end
    local ids, taken, version = { "a", "b", "c" }, {}, 1
    local last = 0
    for i = 1, 60 do
      local what, id = draw(9, "what" .. i), ids[draw(3, "who" .. i)]
      if what == 1 and version < 4 then version = version + 1 put(script(version)) end
      if what <= 3 then sim:reload(id) end
      if what == 4 then sim:kill(id) end
      if what == 5 or what == 4 and i % 2 == 0 then sim:restart(ids[draw(3, "up" .. i)]) end
      if what == 6 then sim:between(sim:now(), sim:now() + 1):partition({ id }, { ids[id == "a" and 2 or 1] }) end
      if what == 7 then sim:between(sim:now(), sim:now() + 0.5):lose(0.2) end
      local done = sim:call(ids[draw(3, "ask" .. i)], "add", "k" .. i)
      if done then
        taken["k" .. i] = true
        assert.is_true(done >= last, "the version went back")
        last = done
      end
      sim:run(0.1)
    end
    sim:heal()
    put(script(4))
    for _, id in ipairs(ids) do sim:restart(id) end
    sim:run(2)
    for _, id in ipairs(ids) do assert(sim:reload(id)) end
    sim:run(4)
    local seen, at, path = sim:call("a", "all")
    assert.is_table(seen, at)
    assert.equal(4, at)
    local from = "1"
    for a, b in path:gmatch "(%d)>(%d) " do
      assert.equal(from, a)
      from = b
    end
    assert.equal("4", from)
    for key in pairs(taken) do assert.is_truthy(seen[key], key .. " is lost") end
    for key, times in pairs(seen) do assert.equal(1, times, key .. " was done twice") end
    for _, id in ipairs(ids) do
      local status = sim.nodes[id]:group("c"):status()
      assert.equal(4, status.version, id)
      assert.equal(sim.nodes.a:group("c"):status().digest, status.digest, id)
    end
    assert(sim:check())
    return path, sim:digest()
  end

  it("changes once everywhere, and loses nothing", function()
    local paths = {}
    for seed = 1, tonumber(os.getenv "ORR_SEEDS" or 40) do
      local ok, path = pcall(run, seed)
      local why = type(path) == "table" and path.message or path
      if not ok then error(("seed %d: %s"):format(seed, tostring(why)), 0) end
      paths[path] = (paths[path] or 0) + 1
    end
    local kinds = 0
    for _ in pairs(paths) do kinds = kinds + 1 end
    assert.is_true(kinds > 1)           -- some skipped a version
  end)

  it("is the same run again", function()
    assert.same({ run(7) }, { run(7) })
  end)
end)
