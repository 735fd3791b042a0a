-- repl_spec.lua - the prompt, without a terminal: what is a whole input, what is said of results and errors, what Tab
-- offers, help, the history's file, lines from a pipe.
local chunk = require "orrery.repl.chunk"
local complete = require "orrery.repl.complete"
local core = require "orrery.core"
local edit = require "orrery.edit"
local frame = require "orrery.repl.frame"
local help = require "orrery.help"
local history = require "orrery.repl.history"
local lex = require "orrery.repl.lex"
local repl = require "orrery.repl"
local results = require "orrery.repl.results"

local folder = dofile "spec/lua/folder.lua"()
local program = assert(core.process.program())
teardown(function() folder:remove() end)

-- A session over these lines (false: Ctrl-C in an empty line): what was written, with "! " before an error; prompts.
local function session(lines, env)
  local said, prompts, kept, at = {}, {}, {}, 0
  local failures = repl.run {
    env = env or _G, width = function() return 60 end, guard = edit.guard,
    prompt = function() return "> " end,
    read = function(prompt)
      at = at + 1
      prompts[at] = prompt
      if lines[at] == false then return nil, "interrupt", true end
      if lines[at] == nil then return nil, "end" end
      return lines[at]
    end,
    write = function(text) said[#said + 1] = text end,
    complain = function(text) said[#said + 1] = "! " .. text end,
    remember = function(line) kept[#kept + 1] = line end,
    interrupted = function(ask) said[#said + 1] = ask and "leave?" or "^C" end,
  }
  return said, prompts, kept, failures, at
end

describe("an input", function()
  local function values(text)
    local f = assert(chunk.compile(text), text)
    return f()
  end

  it("is an expression, statements, or statements that end in one", function()
    assert.equal(3, values "1 + 2")
    assert.equal(6, values "local x = 5; x + 1")
    assert.equal("b; c", values "local x = 'a; b'; 'b; c' -- d; e")
    assert.equal(0, select("#", values "local x = 5"))
    assert.equal(2, values "local n = 0 for i = 1, 2 do n = n + 1; n = n end; n")
    assert.equal(3, select("#", values "nil, nil, nil"))
    assert.equal(0, select("#", values "-- nothing"))
  end)

  it("never puts a return into a block", function()
    local n = 0
    local f = assert(chunk.compile "for i = 1, 3 do bump(i); bump(i) end")
    debug.setupvalue(f, 1, { bump = function() n = n + 1 end })
    f()
    assert.equal(6, n)
  end)

  it("is unfinished, whole, or wrong", function()
    for _, text in ipairs { "for i = 1, 2 do", "f(", "{ 1,", "1 +", "x =", "[[a", "--[[ a", "'a\\", "do\n  x()" } do
      local f, message = chunk.compile(text)
      assert.is_nil(f, text)
      assert.is_nil(message, text)
    end
    for _, text in ipairs { "x = = 1", "1 1", "end", "'a", "f(]", "goto x" } do
      local f, message = chunk.compile(text)
      assert.is_nil(f, text)
      assert.matches("^prompt:1: ", message)
    end
  end)

  it("is one line in the history where that is the same", function()
    assert.equal("for i = 1, 2 do print(i) end", chunk.joined { "for i = 1, 2 do", "print(i)", "end" })
    assert.is_nil(chunk.joined { "f( -- of", "1)" })
    assert.is_nil(chunk.joined { "x = [[", "]]" })
  end)

  it("is known to end in code, a comment or a string", function()
    local function state(text) return (lex.scan(text)) end
    assert.equal("code", state [==[f("a", 'b\'', [=[c]]d]=])]==])
    assert.equal("string", state [[f("a]])
    assert.equal("string", state [[f('a"]])
    assert.equal("string", state "[==[ a ]] ]=]")
    assert.equal("comment", state "--[[ a")
    assert.equal("comment", state "a -- b")
    assert.equal("code", state "a -- b\n")
    assert.equal("code", state [["\""]])
    local _, _, semicolons = lex.scan "a; 'b;' -- c;"
    assert.same({ 2 }, semicolons)
    assert.equal(3, (select(2, lex.scan [[f'x]])))
  end)
end)

describe("the prompt", function()
  it("shows results, keeps the last in _, and variables", function()
    local said = session { "1, 'a'", "_ + 1", "prompt_x = { 1, a = { b = true } }", "prompt_x", "_.a.b", "-- nothing" }
    assert.same({ '1   "a"', "2", "{ 1, a = { b = true } }", "true" }, said)
    _G.prompt_x = nil
  end)

  it("shows a failure on one line, text of several lines as it is", function()
    local said = session { "nil, 'a knows no leader', 'no_leader'", "nil", "nil, nil", "'a\\nb'", "'a\\0\\nb'",
      "'gr\\xc3\\xbc\\xc3\\x9f', '\\xff'" }
    assert.same({ "nil   a knows no leader   no_leader", "nil", "nil   nil", "a\nb", '"a\\x00\\nb"',
      '"gr\xc3\xbc\xc3\x9f"   "\\xff"' }, said)
  end)

  it("gives each of several results a line where they don't fit one", function()
    local said = session { "('x'):rep(40), ('y'):rep(40)" }
    assert.same({ ('"%s"\n"%s"'):format(("x"):rep(40), ("y"):rep(40)) }, said)
  end)

  it("goes on in more lines, with another prompt", function()
    local said, prompts, kept = session { "for i = 1, 2 do", "prompt_y = i", "end", "prompt_y" }
    assert.same({ "2" }, said)
    assert.same({ "> ", ">> ", ">> ", "> ", "> " }, { table.unpack(prompts) })
    assert.same({ "for i = 1, 2 do prompt_y = i end", "prompt_y" }, kept)
    _G.prompt_y = nil
  end)

  it("outlives errors and says where they come from, shortly", function()
    local said, _, _, failures = session {
      "error 'boom'", "function prompt_f() error 'deep' end function prompt_g() prompt_f() end", "prompt_g()",
      "error { 1 }", "error(setmetatable({}, { __tostring = function() return 'mine' end }))", "x = =",
      "setmetatable({}, { __tostring = function() error 'never shown' end })", "error()",
      "local function r(n) if n > 0 then r(n - 1) end error 'r' end; r(30)", "1 +",
    }
    assert.equal("! prompt:1: boom", said[1])
    assert.equal("! prompt:1: deep\n  prompt:1: in function 'prompt_f'\n  prompt:1: in function 'prompt_g'", said[2])
    assert.equal("! error object: { 1 }", said[3])
    assert.equal("! mine", said[4])
    assert.matches("^! prompt:1: unexpected symbol near '='", said[5])
    assert.matches("^! prompt:1: never shown", said[6])
    assert.equal("! error object: nil", said[7])
    assert.is_true(select(2, said[8]:gsub("\n", "")) < 10)
    assert.matches("^! prompt: the input ends in the middle", said[9])
    assert.equal(9, failures)
    _G.prompt_f, _G.prompt_g = nil, nil
  end)

  it("says nothing of its own places", function()
    local said = session { "require 'orrery'.show.x()", "require 'orrery'.topology.star { centre = 'a' }" }
    assert.matches("^! prompt:1: attempt to index", said[1])
    assert.equal("! topology.star: 'centre' is unknown (nearest: 'center')", said[2])
  end)

  it("is left by Ctrl-C twice, and only then", function()
    local said, _, _, _, at = session { false, "1", false, "f(", false, false, false, "2" }
    assert.same({ "leave?", "1", "leave?", "^C", "leave?", "^C" }, said)
    assert.equal(7, at)
  end)

  it("survives a stack that overflows", function()
    local said = session { "local function f() return 1 + f() end; f()", "'there'" }
    assert.matches("^! prompt:1: stack overflow", said[1])
    assert.equal('"there"', said[2])
  end)
end)

describe("Tab", function()
  local env = {
    sim = setmetatable({ nodes = { a = { status = print }, ["b-1"] = {} }, _hidden = 1, count = 5 },
      { __index = { run = print, restart = print, kill = print } }),
    list = { { first = 1 } }, simple = 1,
    proxy = setmetatable({}, { __pairs = function() return next, { seen = 1 }, nil end,
      __index = function(_, key) error("no " .. key) end }),
    text = "x", seven = 7,
  }
  local known = { env = env, ids = { "a", "b-1" }, topics = function() return { "orrery.show", "sim:run" } end,
    width = function() return 40 end,
    members = function(v) if v == 7 then return { "run" }, { "run", "seed" } end end }
  local function offers(before)
    return table.concat((complete.candidates(before, known)), " ")
  end

  it("offers globals and keywords, fields, methods", function()
    assert.equal("sim simple", offers "si")
    assert.equal("repeat return", offers "x = 1 re")
    assert.equal("count kill nodes restart run", offers "sim.")
    assert.equal("kill restart run", offers "sim:")
    assert.equal("restart run", offers "f(sim:r")
    assert.equal("_hidden", offers "sim._")
    assert.equal("a", offers "sim.nodes.")
    assert.equal("status", offers "sim.nodes.a:s")
    assert.equal("status", offers [[sim.nodes["a"].]])
    assert.equal("first", offers "list[1].")
    assert.equal("rep reverse", offers "text:re")
    assert.equal("seen", offers "proxy.")
    assert.equal("run", offers "seven:")
    assert.equal("run seed", offers "seven.")
    env.orrery = require "orrery"
    assert.equal("topology", offers "orrery.topo")
  end)

  it("offers nothing where it knows nothing", function()
    for _, before in ipairs { "", "f().", "none.", "1.", "a..", "sim.count.", "x::", "-- si", "12si", "proxy.none." } do
      assert.equal("", offers(before), before)
    end
    assert.equal("sim simple", offers "'a'..si")
  end)

  it("offers ids, topics and file names in strings", function()
    folder:write("t/kv.lua", "")
    folder:write("t/kw/x", "")
    folder:write("t/.dot", "")
    assert.equal("a b-1", offers "sim:kill('")
    assert.equal("b-1", offers 'sim:cut("a", "b')
    assert.equal("sim:run", offers 'help "s')
    local t = folder.path .. "/t/"
    assert.equal(t .. "kv.lua " .. t .. "kw/", offers(("dofile('%s"):format(t)))
    assert.equal(t .. ".dot", offers(("dofile('%s."):format(t)))
    assert.equal("", offers "dofile('/none/such/")
  end)

  it("inserts what is common, closes a string, lists the rest", function()
    local tab = complete.completer(known)
    assert.equal("m", tab "si")
    assert.same({ nil, "sim     simple" }, { tab "sim" })
    assert.equal('show"', tab 'help "orrery.')
    assert.equal(".lua'", tab(("dofile('%s/t/kv"):format(folder.path)))
    assert.equal("/", tab(("dofile('%s/t/kw"):format(folder.path)))
    assert.is_nil(tab "zzz")
  end)

  it("lists in columns, and not without end", function()
    assert.equal("a    d\nbbb  e\nc", complete.columns({ "a", "bbb", "c", "d", "e" }, 10))
    local many = { env = {}, ids = {}, topics = function() return {} end, width = function() return 80 end,
      members = function() end }
    for i = 1, 500 do many.env["name" .. i] = 1 end
    assert.matches("%.%.%. and 380 more$", (select(2, complete.completer(many) "name")))
  end)
end)

describe("help", function()
  local text = [[
---@meta
---@alias seconds number

-- -- The simulation -----------------------------------------------------
---A cluster in virtual time.
---@class orrery.Sim
---@field seed integer   of its chance
local Sim = {}

---Lets time go on. Ends early at a violation.
---
---    sim:run(1)
---@param seconds number   how long
---@return number now      the time then
function Sim:run(seconds) end

---Readable text.
---@param value any
---@return string text
function orrery.show(value) end
]]

  it("reads annotations", function()
    local list, by_name = help.parse(text)
    assert.same({ "sim", "sim:run", "orrery.show" }, { list[1].name, list[2].name, list[3].name })
    assert.equal("The simulation", by_name["sim:run"].section)
    assert.equal("Lets time go on.", by_name["sim:run"].summary)
    assert.equal([[
sim:run(seconds) -> now
  Lets time go on. Ends early at a violation.

  seconds number               how long

    sim:run(1)]], help.describe(by_name["sim:run"], list, 80))
    assert.equal([[
sim
  A cluster in virtual time.

  seed integer                 of its chance

  sim:run(seconds)             Lets time go on.]], help.describe(list[1], list, 80))
  end)

  local orrery = require "orrery"
  local asked = help.new {
    about = function() return "About." end, width = function() return 80 end,
    shown = function(topic) return topic.name:find "^orrery%." end,
    roots = function()
      return { { name = "orrery", value = orrery }, { name = "topology", value = orrery.topology.mesh() } }
    end,
  }

  it("lists the verbs, with what they do", function()
    local all = asked.ask()
    assert.matches("^About%.\n", all)
    assert.matches("\n  orrery%.show%(value%) +Readable text", all)
    for line in all:gmatch "[^\n]+" do assert.is_true(#line <= 80, line) end
  end)

  it("finds a name, its end, a function, an object", function()
    local show = asked.ask "orrery.show"
    assert.matches("^orrery%.show%(value%) %-> text\n", show)
    assert.matches("\n    orrery%.show { ", show)
    assert.equal(show, asked.ask(orrery.show))
    assert.equal(show, asked.ask "show")
    assert.equal(show, asked.ask "Orrery:Show()")
    assert.matches("^topology:list%(ids%) %-> links", asked.ask(orrery.topology.mesh().list))
    assert.matches("^topology\n", asked.ask(orrery.topology.ring()))
    assert.matches("^node:role%(name%)", asked.ask "node.role")
    assert.matches("\n  log orrery", asked.ask "node")
  end)

  it("knows what objects have", function()
    local methods, all = asked.members(setmetatable({}, { __name = "orrery.node" }))
    assert.is_truthy((" " .. table.concat(methods, " ") .. " "):find(" role ", 1, true))
    assert.is_truthy((" " .. table.concat(all, " ") .. " "):find(" zone ", 1, true))
    assert.is_nil(asked.members {})
    assert.is_nil(asked.members(setmetatable({}, { __name = "orrery.nonesuch" })))
  end)

  it("knows what it doesn't", function()
    assert.equal("no help on 'orrery.shwo' (nearest: 'orrery.show'); help() lists what there is",
      asked.ask "orrery.shwo")
    assert.equal("string.format is Lua's own: see its manual", asked.ask(string.format))
    assert.equal("print is Lua's own: see its manual", asked.ask "print")
    assert.equal("no help on this function; help() lists what there is", asked.ask(function() end))
    assert.equal("no help on this nil; help() lists what there is", asked.ask(nil))
  end)

  it("has a signature for every topic of types.lua", function()
    local n = 0
    for _, name in ipairs(asked.names()) do
      n = n + 1
      assert.is_string(asked.ask(name), name)
      assert.is_nil(asked.ask(name):find "^no help", name)
    end
    assert.is_true(n > 20)
  end)
end)

describe("the history", function()
  it("is where XDG says", function()
    local function path(env) return history.path(function(name) return env[name] end) end
    assert.equal("/s/orrery/history", path { XDG_STATE_HOME = "/s", HOME = "/h" })
    assert.equal("/h/.local/state/orrery/history", path { XDG_STATE_HOME = "relative", HOME = "/h" })
    assert.is_nil(path {})
  end)

  it("is kept, for its owner alone, without repetitions", function()
    local path = folder.path .. "/h/deep/history"
    local lines, add = history.open(path)
    assert.same({}, lines)
    for _, line in ipairs { "one", "two", "two", "  ", "a\nb", ("x"):rep(5000), "gr\xc3\xbc\xc3\x9f" } do add(line) end
    assert.same({ "one", "two", "gr\xc3\xbc\xc3\x9f" }, (history.open(path)))
    local listed = io.popen(("ls -ld '%s' '%s/h/deep'"):format(path, folder.path)):read "a"
    assert.matches("%-rw%-%-%-%-%-%-%-", listed)
    assert.matches("drwx%-%-%-%-%-%-", listed)
  end)

  it("is cut to its last lines", function()
    local path = folder.path .. "/long"
    local lines = {}
    for i = 1, 2 * edit.lines + 1 do lines[i] = "line " .. i end
    folder:write("long", table.concat(lines, "\n") .. "\n")
    local last = history.open(path)
    assert.equal(edit.lines, #last)
    assert.equal("line " .. 2 * edit.lines + 1, last[#last])
    assert.same(last, (history.open(path)))
    assert.equal(edit.lines, select(2, folder:read("long"):gsub("\n", "")))
  end)

  it("is none where it can't be", function()
    folder:write("file", "")
    for _, path in ipairs { folder.path .. "/file/history", folder.path } do
      local lines, add = history.open(path)
      assert.same({}, lines)
      add "x"
    end
    assert.same({}, (history.open(nil)))
  end)
end)

describe("a prompt on a cluster", function()
  local path
  setup(function()
    folder:write("node.lua", "")
    path = folder:write("c.lua", [[return orrery.cluster { name = "counter", node = "node.lua", nodes = {
      { id = "a", at = "127.0.0.1:1" }, { id = "n-1", at = "127.0.0.1:2" }, { id = "print", at = "127.0.0.1:3" } } }]])
  end)

  local function fake(_, opts)
    local sim = { t = 0, nodes = { a = "node a", ["n-1"] = "node n-1", print = "node print" }, seed = opts.seed }
    function sim:now() return self.t end
    function sim:run(seconds) self.t = self.t + seconds end
    return sim
  end

  it("has sim, its nodes as variables, the time in the prompt", function()
    local env = setmetatable({ print = print }, { __index = _G })
    local on = assert(frame.new(env, path, { seed = 7 }, fake))
    assert.equal("node a", env.a)
    assert.equal(print, env.print)
    assert.equal(7, env.sim.seed)
    local greeting = "^counter: 3 nodes, seed 7%. sim is the simulation; a, n%-1, print are its nodes; help%(%) "
    assert.matches(greeting, on.banner)
    assert.matches('\nn%-1, print: as sim%.nodes%["n%-1"%] only', on.banner)
    assert.equal("0.000> ", on.prompt())
    env.sim:run(1.5)
    assert.equal("1.500> ", on.prompt())
    env.sim = "something else"
    assert.equal("1.500> ", on.prompt())
  end)

  it("is refused in one line", function()
    assert.same({ nil, "c.lua: no" }, { frame.new({}, path, {}, function() return nil, "c.lua: no" end) })
    assert.same({ nil, "oh" }, { frame.new({}, path, {}, function() error("oh", 0) end) })
    local none, message = frame.new({}, folder.path .. "/none.lua", {}, fake)
    assert.is_nil(none)
    assert.matches("none%.lua: No such file", message)
  end)
end)

describe("a prompt on nothing", function()
  -- What these lines print.
  local function printed(...)
    folder:write("input", table.concat({ ... }, "\n") .. "\n")
    os.execute(("'%s' repl <'%s/input' >'%s/out' 2>&1"):format(program, folder.path, folder.path))
    return folder:read "out"
  end

  it("makes a running cluster with cluster(n), whose nodes are variables", function()
    assert.equal([[
kv: 5 nodes, seed 1. sim is the simulation; n1, n2, n3, n4, n5 are its nodes; help() lists the verbs.
true
"hello"
{ greeting = "hello", n = 5 }
true
2
]], printed("c = cluster(5)", 'c:call("n1", "set", "greeting", "hello")', 'n5:call("get", "greeting")',
      'n2:call("add", "n", 5); n2:call("scan")', "sim == c and c:leader() ~= nil", "(#cluster(2, { seed = 3 }).ids)")
      :gsub("kv: 2 nodes[^\n]*\n", ""))
  end)

  it("takes the nodes of the last one for variables, and has help", function()
    local out = printed("c = cluster(3); d = cluster(1)", "n1.sim == d, n2", "cluster(0)", "help(cluster)", "help()")
    assert.matches("true   nil\n", out, 1, true)
    assert.matches("cluster: 'n' must be an integer from 1 to 64 (got 0)", out, 1, true)
    assert.matches("cluster(n, opts) -> sim\n", out, 1, true)
    assert.matches("sim:back(T)", out, 1, true)
  end)
end)

describe("a run that is interrupted", function()
  local interrupt, orrery = require "orrery.interrupt", require "orrery"
  local sim
  before_each(function() sim = orrery.sim("examples/kv/cluster.lua", { seed = 2 }) end)
  after_each(function()
    interrupt.pending = function() return false end
    sim:close()
  end)

  local function at(seconds) interrupt.pending = function() return sim:now() >= seconds end end

  it("ends between two events, and is the same run when it goes on", function()
    at(1.5)
    assert.is_true(sim:run(1000))
    assert.is_true(sim:now() >= 1.5 and sim:now() < 2)
    at(math.huge)
    sim:run(5 - sim:now())
    local digest = sim:digest()
    sim:close()
    sim = orrery.sim("examples/kv/cluster.lua", { seed = 2 })
    sim:run(5)
    assert.equal(sim:digest(), digest)
  end)

  it("has violated nothing", function()
    at(1.5)
    sim:eventually("pigs fly", 100, function() return false end)
    assert.is_true(sim:now() < 2)
    at(math.huge)
    assert.is_truthy(sim:check())
    assert.is_true(sim:run(1))
  end)

  it("ends with properties that are watched, too", function()
    sim:always("true", function() return true end)
    at(1.5)
    sim:run(1000)
    assert.is_true(sim:now() < 2)
  end)
end)

describe("orrery repl without a terminal", function()
  local function orrery(input, arguments)
    folder:write("in", input)
    local command = ("cd '%s' && HOME='%s' '%s' repl %s <in >out 2>err"):format(folder.path, folder.path, program,
      arguments or "")
    local _, how, code = os.execute(command)
    assert.equal("exit", how)
    return code, folder:read "out", folder:read "err"
  end

  it("runs lines and prints results, nothing else", function()
    assert.same({ 0, "2\n1\n2\ntrue\n", "" }, { orrery "1 + 1\nfor i = 1, 2 do\r\n  print(i)\nend\n\norrery ~= nil" })
    assert.same({ 0, "", "" }, { orrery "" })
    local _, out = orrery "help 'orrery.show'"
    assert.matches("^orrery%.show%(value%)", out)
  end)

  it("goes on after errors, and its status tells of them", function()
    local code, out, err = orrery "error 'one'\n2\nx = = 3\n"
    assert.equal(1, code)
    assert.equal("2\n", out)
    assert.equal("prompt:1: one\nprompt:1: unexpected symbol near '='\n", err)
    assert.equal(1, (orrery "f("))
    assert.equal(3, (orrery "os.exit(3)"))
  end)

  it("takes a cluster", function()
    folder:write("node.lua", "")
    folder:write("one.lua", [[return orrery.cluster { name = "one", node = "node.lua", nodes = {
      { id = "a", at = "127.0.0.1:1" } } }]])
    assert.same({ 0, "one  seed 7  t 2.500  |  a up\na up\ntrue\n", "" },
      { orrery("sim:run(2.5); sim\na\nnode == nil\n", "one.lua --seed 7") })
    folder:write("node.lua", "nod:on()")
    local code, out, err = orrery("1", "one.lua")
    assert.same({ 2, "" }, { code, out })
    assert.matches("^orrery: node%.lua:1: [^\n]*\n$", err)
  end)

  it("keeps no history", function()
    orrery "1"
    assert.is_nil(io.open(folder.path .. "/.local/state/orrery/history"))
  end)

  it("is told wrong use in one line", function()
    for arguments, expected in pairs {
      ["a.lua b.lua"] = "repl: 'b.lua' is one argument too many; orrery repl --help lists them",
      ["--seed 1"] = "repl: --seed is a simulation's: CLUSTER.lua is missing",
      ["--connect nowhere"] = [[repl: --connect: an address is expected, HOST:PORT (got "nowhere")]],
      ["--connect 127.0.0.1:1 c.lua"] = "repl: --connect and CLUSTER.lua exclude each other",
      ["--connect 127.0.0.1:1 --seed 1"] = "repl: --seed is a simulation's: CLUSTER.lua is missing",
      ["none.lua"] = "none.lua: No such file or directory",
      ["--sed 1 c.lua"] = "repl: unknown option '--sed' (nearest: '--seed'); orrery repl --help lists them",
    } do
      assert.same({ 2, "", "orrery: " .. expected .. "\n" }, { orrery("", arguments) })
    end
  end)

  it("is there at once", function()
    local best = math.huge
    folder:write("in", "1")
    for _ = 1, 10 do
      local began = core.process.clock()
      os.execute(("'%s' repl <'%s/in' >'%s/out'"):format(program, folder.path, folder.path))
      best = math.min(best, core.process.clock() - began)
    end
    local bound = program:find "/asan/" and 1 or 0.1
    assert.is_true(best < bound, ("%.0f ms"):format(best * 1000))
  end)
end)
