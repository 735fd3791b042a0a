-- cli_spec.lua - the program: exit statuses, what wrong use is told (one line, on stderr), scripts.
local core = require "orrery.core"

local folder = dofile "spec/lua/folder.lua"()
local program = assert(core.process.program())

teardown(function() folder:remove() end)

-- Exit status, stdout and stderr of orrery ARGUMENTS (as a shell reads them), run in the folder.
local function orrery(arguments, before)
  local command = ("cd '%s' && %s '%s' %s >out 2>err </dev/null"):format(folder.path, before or "", program, arguments)
  local _, how, code = os.execute(command)
  assert.equal("exit", how)
  return code, folder:read "out", folder:read "err"
end

-- Wrong use: status 2, nothing on stdout, this one line on stderr.
local function is_wrong(expected, arguments)
  local code, out, err = orrery(arguments)
  assert.equal("orrery: " .. expected .. "\n", err)
  assert.equal("", out)
  assert.equal(2, code)
end

local function free_ports(n)
  local ports, port = {}, 20000 + core.process.pid() % 10000
  while #ports < n do
    port = port + 1
    if core.process.can_listen("127.0.0.1", tostring(port)) then ports[#ports + 1] = port end
  end
  return ports
end

local function write_cluster(extra, node_extra)
  local p = free_ports(4)
  folder:write("node.lua", [[local kv = node:replicate("kv", { machine = "kv" }) node:listen("resp", kv:resp())]])
  folder:write("c.lua", ([[
return orrery.cluster { name = "kv", node = "node.lua", %s
  nodes = {
    { id = "a", at = "127.0.0.1:%d", resp = "127.0.0.1:%d" },
    { id = "b", at = "127.0.0.1:%d", resp = "127.0.0.1:%d" %s },
  } }]]):format(extra or "", p[1], p[2], p[3], p[4], node_extra or ""))
  return p
end

describe("the program", function()
  it("says what it is", function()
    local code, out = orrery "--version"
    assert.equal(0, code)
    assert.matches("^orrery %d+%.%d+%.%d+ %(.+%)\n$", out)
    for _, command in ipairs { "up", "run", "sim", "check", "repl", "clock", "lint", "bench", "ntp" } do
      assert.equal(out, select(2, orrery(command .. " --version")))
    end
  end)

  it("helps, and each command does", function()
    local code, out = orrery "--help"
    assert.equal(0, code)
    for _, command in ipairs { "up", "run", "sim", "check", "repl", "clock", "lint", "bench", "ntp" } do
      assert.matches("\n  " .. command .. " +%l", out)
      local status, text = orrery(command .. " --help")
      assert.equal(0, status)
      assert.matches("^usage: orrery " .. command, text)
      assert.matches("\n  %-%-help", text)
      for line in text:gmatch "[^\n]+" do assert.is_true(#line <= 120, line) end
    end
  end)

  it("is helpless without a command: help, and status 2", function()
    local code, out = orrery ""
    assert.equal(2, code)
    assert.matches("^usage: orrery COMMAND", out)
  end)
end)

describe("wrong use", function()
  setup(function() write_cluster() end)

  local cases = {
    { "upp", "unknown command 'upp' (nearest: 'up'); orrery --help lists them" },
    { "transmogrify", "unknown command 'transmogrify'; orrery --help lists them" },
    { "--hlep", "unknown option '--hlep' (nearest: '--help')" },
    { "repl c.lua d.lua", "repl: 'd.lua' is one argument too many; orrery repl --help lists them" },
    { "check none.jsonl", "check: none.jsonl: No such file or directory" },
    { "clock replay", "clock: TRACE or ADDR is missing; orrery clock --help lists them" },
    { "clock replay none", "clock: none: No such file or directory" },
    { "clock replay .", "clock: .: Is a directory" },
    { "clock replya x", "clock: unknown 'replya' (nearest: 'replay'); orrery clock --help says more" },
    { "clock watch 127.0.0.1:1",
      "clock: orrery.connect: no connection to 127.0.0.1:1: Connection refused" },
    { "clock watch 127.0.0.1:1 --mode ntp", "clock: --mode is for replay; orrery clock --help says more" },
    { "clock replay none --every 1", "clock: --every is for watch; orrery clock --help says more" },
    { "clock replay none --links", "clock: --links is for watch; orrery clock --help says more" },
    { "clock watch x", "clock: an address is expected, HOST:PORT (got 'x')" },
    { "clock replay a b", "clock: several traces at once are for --plot" },
    { "clock replay a --peers 65", "clock: --peers must be from 1 to 64 (got '65'); orrery clock --help lists them" },
    { "clock replay a --peers=0", "clock: --peers must be from 1 to 64 (got '0'); orrery clock --help lists them" },
    { "clock replay a --mode x", "clock: --mode must be ntp or pacemaker (got 'x'); orrery clock --help lists them" },
    { "clock replay a --plto", "clock: unknown option '--plto' (nearest: '--plot'); orrery clock --help lists them" },
    { "none.lua", "cannot read none.lua: No such file or directory" },
    { "up", "up: CLUSTER.lua is missing; orrery up --help lists them" },
    { "up c.lua d.lua", "up: 'd.lua' is one argument too many; orrery up --help lists them" },
    { "up c.lua --dta x", "up: unknown option '--dta' (nearest: '--data'); orrery up --help lists them" },
    { "up c.lua --data", "up: --data needs a value: --data DIR; orrery up --help lists them" },
    { "up c.lua --debug=yes", "up: --debug takes no value; orrery up --help lists them" },
    { "up c.lua --set rate", "up: --set must be NAME=VALUE (got 'rate'); orrery up --help lists them" },
    { "up none.lua", "none.lua: No such file or directory" },
    { "run c.lua", "run: --node ID is missing; orrery run --help lists the options" },
    { "run c.lua --node bb", "c.lua has no node 'bb' (nearest: 'b')" },
    { "run c.lua --node z", "c.lua has no node 'z' (it has a, b)" },
    { "up c.lua --data c.lua", "c.lua: Not a directory" },
    { "sim c.lua --seeds 3", "sim: --seeds must be A:B with A <= B (got '3'); orrery sim --help lists them" },
    { "sim c.lua --seeds 3:2", "sim: --seeds must be A:B with A <= B (got '3:2'); orrery sim --help lists them" },
    { "sim c.lua --seed x", "sim: --seed must be a whole number (got 'x'); orrery sim --help lists them" },
    { "sim c.lua --for -1", "sim: --for must be a number of seconds (got '-1'); orrery sim --help lists them" },
    { "sim c.lua --seed 1 --seeds 1:2", "sim: --seed and --seeds exclude each other" },
    { "sim c.lua --faults some", "sim: --faults must be none, default, swarm or FILE.lua (got 'some')" },
    { "sim c.lua --faults f.lua", "sim: f.lua: No such file or directory" },
    { "sim c.lua --workload x", 'sim: there is no workload "x"; there are broadcast, counter, echo, g-set, kv, ' ..
      "lock, log, pn-counter, queue, register, unique-ids, and your own files (FILE.lua)" },
    { "sim c.lua --shrink f.lua", "sim: --shrink needs faults that strike: --faults default or swarm" },
    { "sim c.lua --faults c.lua --shrink f", "sim: --shrink is of faults that a seed draws: --faults default, swarm" },
    { "sim c.lua --without ,", "sim: --without must be ID,ID,... (got ','); orrery sim --help lists them" },
    { "sim c.lua --without bb", "c.lua: --without: there is no node \"bb\" (nearest: 'b')" },
    { "sim c.lua --without a,b", "c.lua: --without: no node would be left" },
    { "sim c.lua --seeds 1:2 --events e", "sim: --events is of one seed: --seed N" },
    { "ntp", "ntp: ADDR is missing; orrery ntp --help says more" },
    { "ntp a:b", "ntp: 'a:b' is no server: HOST, HOST:PORT, [IPv6]:PORT, or pool:HOST for several" },
    { "ntp 127.0.0.1 --sampels 2",
      "ntp: unknown option '--sampels' (nearest: '--samples'); orrery ntp --help lists them" },
    { "ntp 127.0.0.1 --samples 0", "ntp: --samples must be 1 to 1000 (got '0'); orrery ntp --help lists them" },
    { "ntp 127.0.0.1 --timeout x",
      "ntp: --timeout must be 0.001 to 3600 seconds (got 'x'); orrery ntp --help lists them" },
    { "ntp 127.0.0.1 --from 127.0.0.2", "ntp: --from is for --serve" },
    { "ntp --serve 127.0.0.1", "ntp: --serve must be [HOST]:PORT, HOST an IP address (got '127.0.0.1')" },
    { "ntp --serve a.example:1", "ntp: --serve must be [HOST]:PORT, HOST an IP address (got 'a.example:1')" },
    { "ntp --serve :1 --from a,,b", "ntp: '' is no server: HOST, HOST:PORT, [IPv6]:PORT, or pool:HOST for several" },
    { "ntp --serve :1 127.0.0.1", "ntp: '127.0.0.1' is one argument too many: --from 127.0.0.1 follows it" },
    { "ntp --serve :1 --json", "ntp: --serve and --json don't go together" },
    { "ntp --serve 192.0.2.1:1", "ntp: 192.0.2.1:1: Cannot assign requested address" },
    { "bench nothing", "bench: no benchmark 'nothing'" },
    { "bench ring --trace file", "bench: --trace is for detectors" },
    { "bench kv --report", "bench: --report is for placement" },
  }
  for _, case in ipairs(cases) do
    it("is told: orrery " .. case[1], function() is_wrong(case[2], case[1]) end)
  end

  it("of a cluster file is one line with its place", function()
    folder:write("bad.lua", 'return orrery.cluster {\n  name = "kv",\n  confg = {},\n}\n')
    is_wrong("bad.lua:3: orrery.cluster: 'confg' is unknown (nearest: 'config')", "up bad.lua")
    is_wrong("bad.lua:3: orrery.cluster: 'confg' is unknown (nearest: 'config')", "run bad.lua --node a")
    is_wrong("bad.lua:3: orrery.cluster: 'confg' is unknown (nearest: 'config')", "sim bad.lua")
    folder:write("bad.lua", "return orrery.cluster {\n  name = = 1 }")
    is_wrong("bad.lua:2: unexpected symbol near '='", "up bad.lua")
  end)

  it("of a script is one line with its place, before any process starts", function()
    write_cluster("", ', node = "other.lua"')
    folder:write("other.lua", "\nnode:replicat('kv', {})")
    is_wrong("other.lua:2: node.replicat is unknown (nearest: 'replicate')", "up c.lua")
    is_wrong("other.lua:2: node.replicat is unknown (nearest: 'replicate')", "sim c.lua")
    os.remove(folder.path .. "/other.lua")
    is_wrong("c.lua:4: orrery.cluster: 'nodes[2].node' must be a script that can be read " ..
      "(other.lua: No such file or directory)", "up c.lua")
    write_cluster()
  end)

  it("of the simulator: clients whom nobody serves", function()
    write_cluster("", ', node = "other.lua"')
    folder:write("node.lua", 'node:replicate("kv", { machine = "kv" })')
    folder:write("other.lua", 'node:replicate("kv", { machine = "kv" })')
    is_wrong('sim: the workload kv needs node:listen("resp", group:resp()) on at least one node (or --workload none)',
      "sim c.lua --for 1")
    assert.equal(0, (orrery "sim c.lua --for 1 --workload none"))
    folder:write("other.lua", 'node:listen("resp", node:replicate("kv", { machine = "kv" }):resp())')
    assert.equal(0, (orrery "sim c.lua --for 1"))
    write_cluster()
  end)

  it("takes every limit that the file's check takes", function()
    for _, limits in ipairs { "message = 1024, op = 64, memory = 2^20", "message = 2^30, op = 2^30, memory = 2^40" } do
      write_cluster(("limits = { %s },"):format(limits))
      local code, _, err = orrery "sim c.lua --for 0.1 --workload none"
      assert.same({ 0, "" }, { code, err })
    end
    write_cluster()
  end)

  it("of a file that eats memory is one line with its name", function()
    local before = "ulimit -v 2000000;"                         -- so that a failure is none of the machine
    local function is_told(expected, arguments)
      local code, _, err = orrery(arguments, before)
      assert.equal("orrery: " .. expected .. "\n", err)
      assert.equal(2, code)
    end
    if program:find "/asan/" then before = "" end               -- the sanitizer reserves more than that
    folder:write("eats.lua", "local s = 'x' for i = 1, 60 do s = s .. s end")
    is_told("eats.lua: used more than 268435456 bytes of memory", "up eats.lua")
    write_cluster("limits = { memory = 8000000 },", ', node = "other.lua"')
    folder:write("other.lua", "local t = {} while true do t[#t + 1] = ('x'):rep(1000000) .. #t end")
    is_told("other.lua: used more than 8000000 bytes of memory", "sim c.lua")
    is_told("other.lua: used more than 8000000 bytes of memory", "run c.lua --node b")
    write_cluster()
  end)

  it("of an address is one line with its place", function()
    local p = write_cluster()
    folder:write("blocker.lua", [[return orrery.cluster { name = "blocker", node = "empty.lua", nodes = {
      { id = "x", at = "127.0.0.1:]] .. p[4] .. [[" } } }]])
    folder:write("empty.lua", "")
    local nursery <close> = assert(core.process.nursery())
    local pid = assert(nursery:spawn {
      program, "run", folder.path .. "/blocker.lua", "--node", "x", "--data", folder.path .. "/d" })
    for _ = 1, 600 do                                           -- until it listens
      if not core.process.can_listen("127.0.0.1", tostring(p[4])) then break end
      nursery:wait(0.05)
    end
    local text = ("c.lua:4: orrery.cluster: 'nodes[2].resp' is 127.0.0.1:%d, which is in use"):format(p[4])
    is_wrong(text, "up c.lua")
    is_wrong(text, "run c.lua --node b")
    nursery:kill(pid, "KILL")
    repeat until nursery:wait(30) == "exit"
    folder:write("far.lua", [[return orrery.cluster { name = "far", node = "empty.lua", nodes = {
      { id = "x", at = "192.0.2.1:80" }, { id = "y", at = "somewhere.example:80" } } }]])
    is_wrong("far.lua:2: orrery.cluster: 'nodes[1].at' is 192.0.2.1:80, which is no address of this machine",
      "run far.lua --node x")
    is_wrong("far.lua:2: orrery.cluster: 'nodes[2].at' is somewhere.example:80, which is no IP address, and names " ..
      "are not looked up", "run far.lua --node y")
  end)

  it("of a data directory is one line", function()
    folder:write("file", "")
    local code, _, err = orrery "run c.lua --node a --data file/x"
    assert.equal(2, code)
    assert.equal("orrery: file: Not a directory\n", err:gsub("file/x", "file"))
  end)
end)

describe("orrery bench", function()
  it("lists what there is", function()
    local code, out = orrery "bench"
    assert.equal(0, code)
    for _, name in ipairs { "kv", "sim", "sim_raw", "kv_machine", "wal", "loop_echo", "placement" } do
      assert.matches("\n  " .. name .. " +%l", out)
    end
    assert.matches('^{"benchmark":"kv","about":"', select(2, orrery "bench --json"))
  end)
end)

describe("a script", function()
  it("gets its arguments as lua5.4 gives them", function()
    folder:write("s.lua", [[#!/usr/bin/env orrery
print(arg[0], #arg, arg[1], ...) print(require "orrery".version)]])
    local code, out = orrery "s.lua one 'two words' --version"
    assert.equal(0, code)
    assert.equal("s.lua\t3\tone\tone\ttwo words\t--version\n0.1.0\n", out)
  end)

  it("needs no suffix", function()
    folder:write("plain", "print 'plain'")
    assert.equal("plain\n", select(2, orrery "plain"))
    assert.equal("plain\n", select(2, orrery "./plain"))
  end)

  it("gives its exit status", function()
    folder:write("s.lua", "os.exit(7)")
    assert.equal(7, (orrery "s.lua"))
    folder:write("s.lua", "os.exit(true, true)")
    assert.equal(0, (orrery "s.lua"))
  end)

  it("fails with a traceback and 1", function()
    folder:write("s.lua", "local function f() error 'oh' end\nf()")
    local code, out, err = orrery "s.lua"
    assert.equal(1, code)
    assert.equal("", out)
    assert.matches("^orrery: s.lua:1: oh\nstack traceback:\n", err)
    assert.matches("s.lua:2: in main chunk", err)
    folder:write("s.lua", "error(setmetatable({}, { __tostring = function() return 'my own' end }))")
    assert.equal("orrery: my own\n", select(3, orrery "s.lua"))
    folder:write("s.lua", "error {}")
    assert.matches("^orrery: %(error object is a table value%)", select(3, orrery "s.lua"))
    folder:write("s.lua", "local =")
    assert.equal("orrery: s.lua:1: <name> expected near '='\n", select(3, orrery "s.lua"))
  end)

  it("sees one global of ours", function()
    folder:write("s.lua", [[
      local stock = {}
      for name in ([=[_G _VERSION arg assert collectgarbage coroutine debug dofile error getmetatable io ipairs load
        loadfile math next os package pairs pcall print rawequal rawget rawlen rawset require select setmetatable string
        table tonumber tostring type utf8 warn xpcall]=]):gmatch "%S+" do stock[name] = true end
      for name in pairs(_G) do if not stock[name] then print(name) end end]])
    assert.equal("orrery\n", select(2, orrery "s.lua"))
    folder:write("s.lua", "print(orrery == require 'orrery', orrery.raft { id = 'a', voters = { 'a' } })")
    assert.equal("true\torrery.raft(a follower term=0 commit=0)\n", select(2, orrery "s.lua"))
  end)
end)
