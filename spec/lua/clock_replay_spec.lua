-- clock_replay_spec.lua - orrery clock replay: its answers, what a malformed trace is told, and the plot.
local clocks = require "orrery.look.clocks"
local core = require "orrery.core"
local new_peers = dofile "spec/lua/clock_peers.lua"
local orrery = require "orrery"
local parse = dofile "spec/lua/svg.lua"

local folder = dofile "spec/lua/folder.lua"()
local program = assert(core.process.program())
teardown(function() folder:remove() end)

local s = 1000000000

-- Exit status, stdout and stderr of orrery ARGUMENTS, as a shell reads them, run in the folder.
local function run(arguments, input)
  local command = ("cd '%s' && '%s' %s >out 2>err <'%s'"):format(folder.path, program, arguments, input or "/dev/null")
  local _, how, code = os.execute(command)
  assert.equal("exit", how)
  return code, folder:read "out", folder:read "err"
end

-- What a recorder writes down of peers 0 to 2: exchanges, losses, a sensor, queries; in from..till nobody answers.
local function recorded(n, from, till)
  local lines = {}
  local function say(...) lines[#lines + 1] = (...):format(select(2, ...)) end
  local recorder = {}
  local w = new_peers(recorder)
  function recorder.sample(_, peer, t1, t2, t3, t4)
    say("X %d %d %d %d %d . nan -inf 1 0 1000", peer, t1, t2, t3, t4)
  end
  for i = 1, n do
    for peer = 0, 2 do
      if i >= from and i < till then say("L %d . %d", peer, w:here()) else w:ask(peer) end
    end
    say("S %d %d", w:here(), 40000 + i)
    say("Q %d %d %d", w.time, w:here(), w.time)
    w.time = w.time + s
  end
  return table.concat(lines, "\n") .. "\n", w
end

local function lines_of(text)
  local lines = {}
  for line in text:gmatch "[^\n]+" do lines[#lines + 1] = line end
  return lines
end

describe("orrery clock replay", function()
  local text = recorded(60, 61, 61)
  folder:write("trace", text)

  it("answers each query, as the clock would have then", function()
    local code, out, err = run "clock replay trace --peers 3"
    assert.same({ 0, "" }, { code, err })
    local answers, n = lines_of(out), 0
    assert.equal(60, #answers)
    for truth, here in text:gmatch "\nQ (%d+) (%d+) %d+" do
      n = n + 1
      local offset, earliest, latest, sd, rate, state, good =
        answers[n]:match("^" .. here .. " (%S+) (%S+) (%S+) (%S+) (%S+) (%S+) (%S+)$")
      assert.is_truthy(offset, answers[n])
      if n < 3 then assert.same({ "-", "-", "-", "-", "-", "unsync", "0" },
        { offset, earliest, latest, sd, rate, state, good })
      else
        assert.same({ "sync", "7" }, { state, good })
        local true_offset = math.tointeger(truth) - math.tointeger(here)
        assert.is_true(math.tointeger(earliest) <= true_offset and true_offset <= math.tointeger(latest))
        assert.is_true(math.tointeger(earliest) <= math.tointeger(offset))
        assert.is_true(math.tointeger(offset) <= math.tointeger(latest))
        assert.matches("^%d+%.%d$", sd)
        assert.matches("^%-?%d+%.%d%d%d$", rate)
      end
    end
    assert.equal(60, n)
    assert.is_true(math.abs(tonumber(answers[60]:match "(%S+) sync") - 12000) < 1500)
  end)

  it("reads what is true from nowhere", function()
    local _, expected = run "clock replay trace --peers 3"
    folder:write("blind", (text:gsub("Q %d+ (%d+) %d+", "Q x %1 y 1 2 3"):gsub(" %. nan %-inf ", " a b c ")))
    assert.same({ 0, expected, "" }, { run "clock replay blind --peers 3" })
  end)

  it("takes the standard input, a last line without its newline, empty lines and comments", function()
    local _, expected = run "clock replay trace --peers 3"
    folder:write("odd", "# a comment\n\n" .. text:gsub("\n", "\r\n", 40):gsub(" ", "\t ", 40):sub(1, -2))
    assert.same({ 0, expected, "" }, { run("clock replay - --peers 3 --poll 16 --mode ntp", folder.path .. "/odd") })
  end)

  it("knows no peers beforehand unless it is told", function()
    local code, out = run "clock replay trace"
    assert.same({ 0, 60 }, { code, #lines_of(out) })
    assert.matches(" sync 7\n$", out)
  end)

  it("says nothing of nothing", function()
    folder:write("empty", "")
    assert.same({ 0, "", "" }, { run "clock replay empty" })
    folder:write("queries", "Q . -5 .\nQ . 9223372036854775807 .\nQ . -9223372036854775808 .\n")
    local tail = " - - - - - unsync 0\n"
    assert.same({ 0, "-5" .. tail .. "9223372036854775807" .. tail .. "-9223372036854775808" .. tail, "" },
      { run "clock replay queries --peers 64" })
  end)

  it("says that it can't write", function()
    local command = ("cd '%s' && '%s' clock replay trace --peers 3 2>err >/dev/full"):format(folder.path, program)
    assert.same({ 2, "orrery: clock: standard output: No space left on device\n" },
      { select(3, os.execute(command)), folder:read "err" })
  end)
end)

describe("a malformed line", function()
  local stamp = "must be a whole number of 64 bits"
  local natural = "must be a number, not negative, in its range"
  local rows = {
    { "X", "X has 11 fields, not 0" },
    { "X 0 1 2 3 4 . . . 1 0", "X has 11 fields, not 10" },
    { "X 0 1 2 3 4 . . . 1 0 0 0", "X has 11 fields, not more" },
    { "L 0 .", "L has 3 fields, not 2" },
    { "L 0 . 5 5", "L has 3 fields, not more" },
    { "S 5", "S has 2 fields, not 1" },
    { "S 5 5 5", "S has 2 fields, not more" },
    { "Q . 5", "Q has 3 fields, not 2" },
    { "X 0 nan 2 3 4 . . . 1 0 0", "t1 " .. stamp },
    { "X 0 1 inf 3 4 . . . 1 0 0", "t2 " .. stamp },
    { "X 0 1 2 3.5 4 . . . 1 0 0", "t3 " .. stamp },
    { "X 0 1 2 3 1e9 . . . 1 0 0", "t4 " .. stamp },
    { "X 0 9223372036854775808 2 3 4 . . . 1 0 0", "t1 " .. stamp },
    { "X 0 -9223372036854775809 2 3 4 . . . 1 0 0", "t1 " .. stamp },
    { "X 0 18446744073709551617 2 3 4 . . . 1 0 0", "t1 " .. stamp },
    { "X 0 0x10 2 3 4 . . . 1 0 0", "t1 " .. stamp },
    { "X 0 - 2 3 4 . . . 1 0 0", "t1 " .. stamp },
    { "X 0 --1 2 3 4 . . . 1 0 0", "t1 " .. stamp },
    { "X 0 +1 2 3 4 . . . 1 0 0", "t1 " .. stamp },
    { "X -1 1 2 3 4 . . . 1 0 0", "peer " .. natural },
    { "X 4294967296 1 2 3 4 . . . 1 0 0", "peer " .. natural },
    { "X a 1 2 3 4 . . . 1 0 0", "peer " .. natural },
    { "X 0 1 2 3 4 . . . 256 0 0", "stratum " .. natural },
    { "X 0 1 2 3 4 . . . 1.5 0 0", "stratum " .. natural },
    { "X 0 1 2 3 4 . . . 1 -1 0", "root_delay " .. natural },
    { "X 0 1 2 3 4 . . . 1 0 nan", "root_dispersion " .. natural },
    { "X 0 1 2 3 4 . . . 1 0 1..5", "root_dispersion " .. natural },
    { "L 0 . x", "t1 " .. stamp },
    { "S x 5", "local " .. stamp },
    { "S 5 2147483648", "millicelsius " .. stamp },
    { "Q . 1.0 .", "local " .. stamp },
    { "Q . 9223372036854775808 .", "local " .. stamp },
    { "W 1 2", "a line begins with X, L, S or Q" },
    { "XX 0 1 2 3 4 . . . 1 0 0", "a line begins with X, L, S or Q" },
    { "x 0 1 2 3 4 . . . 1 0 0", "a line begins with X, L, S or Q" },
    { "\0\1\255\254X 0", "a line begins with X, L, S or Q" },
    { "X\0 0 1 2 3 4 . . . 1 0 0", "a line begins with X, L, S or Q" },
    { "X 0 1\0 2 3 4 . . . 1 0 0", "t1 " .. stamp },
    { "X 3 1 2 3 4 . . . 1 0 0", "peer 3 is one more than there is room for" },
    { ("X"):rep(5000), "the line is longer than 4096 bytes" },
  }
  for _, row in ipairs(rows) do
    it(("is told: %s (%s)"):format(row[2], row[1]:sub(1, 40):gsub("%c", "?")), function()
      folder:write("bad", "Q . 5 .\nL 0 . 6\n" .. row[1] .. "\nQ . 7 .\n")
      assert.same({ 2, "5 - - - - - unsync 0\n", "orrery: clock: bad:3: " .. row[2] .. "\n" },
        { run "clock replay bad --peers 3" })
    end)
  end

  it("is told of the standard input, too, and ends a plot", function()
    folder:write("bad", "Q . 5 .\n\nX\n")
    assert.same({ 2, "5 - - - - - unsync 0\n", "orrery: clock: -:3: X has 11 fields, not 0\n" },
      { run("clock replay -", folder.path .. "/bad") })
    assert.same({ 2, "", "orrery: clock: bad:3: X has 11 fields, not 0\n" }, { run "clock replay bad --plot" })
  end)

  it("of megabytes without a newline is told soon", function()
    folder:write("junk", ("\xa5\0"):rep(4000000))
    assert.same({ 2, "", "orrery: clock: junk:1: the line is longer than 4096 bytes\n" }, { run "clock replay junk" })
  end)

  it("changes nothing", function()
    local c = orrery.clock { peers = { 0 } }
    local w = new_peers(c)
    w:run({ 0 }, 10)
    local before = c:now(w:here())
    for _, row in ipairs(rows) do
      if row[2]:find "^[%lX]" and #row[1] < 100 and not row[1]:find "^X 3 " then
        local answer, _, code = c:replay(row[1])
        assert.same({ nil, "invalid" }, { answer, code })
      end
    end
    assert.same(before, c:now(w:here()))
  end)
end)

describe("a plot of clocks", function()
  folder:write("held", (recorded(300, 100, 200)))
  folder:write("short", (recorded(60, 61, 61)))

  it("is drawn in the terminal, with what was not in sync", function()
    local code, out, err = run "clock replay held --peers 3 --plot"
    assert.same({ 0, "" }, { code, err })
    local lines = lines_of(out)
    assert.equal(10, #lines)
    assert.matches("^held: sync, offset 17899999%d+%.%d+ s %-1[12]%.%d+ ppm, at the end %-%d%S* µs to %+%d%S* µs$",
      lines[1])
    assert.matches("[%d.]+ µs ┤", lines[2])
    assert.matches("^ +[×~ ]*~~~~[~ ]+$", lines[8])
    assert.matches("^ +0%.000 s +299%.%d%d%d s$", lines[9])
    for i = 2, 7 do assert.equal(utf8.len(lines[2]), utf8.len(lines[i])) end
  end)

  it("is drawn as SVG, a panel for each trace", function()
    assert.same({ 0, "", "" }, { run "clock replay held short --plot two.svg" })
    local svg = folder:read "two.svg"
    local names = parse(svg)
    assert.is_true(names.path >= 4)
    assert.matches("held: interval", svg)
    assert.matches("held: holdover", svg)
    assert.matches("short: offset", svg)
    assert.same({ 0, "", "" }, { run "clock replay --plot=one.svg short" })
    assert.is_true(parse(folder:read "one.svg").path < names.path)
  end)

  it("fails in one line", function()
    folder:write("silent", "L 0 . 5\n")
    assert.same({ 2, "", "orrery: clock: clocks.draw: nobody asked the clock of silent\n" },
      { run "clock replay silent --plot" })
    folder:write("back", "Q . 5 .\nQ . 4 .\n")
    assert.same({ 2, "", "orrery: clock: back:2: its queries go back in time: no plot\n" },
      { run "clock replay back --plot" })
    assert.same({ 2, "", "orrery: clock: nowhere/x.svg: No such file or directory\n" },
      { run "clock replay short --plot nowhere/x.svg" })
  end)

  it("is of any clocks' points, marks steps, and has what was unknown", function()
    local points = {}
    for i = 1, 100 do
      local at = i * s
      local known = i < 20 or i > 30
      local offset = (1 << 60) + 100 * i + (i > 30 and 5000000 or 0)
      points[i] = clocks.point(at, known and { offset = offset, earliest = at + offset - 900,
        latest = at + offset + 1100, state = i > 90 and "holdover" or "sync", epoch = i > 30 and 1 or 0 })
    end
    assert.same({ time = 25 * s, state = "unsync" }, points[25])
    local drawn = clocks.draw({ { name = "a <b>", points = points } }, { width = 50 })
    local below = lines_of(tostring(drawn))[8]
    assert.equal("┊", below:match "┊")
    assert.matches("××××", below)
    assert.matches("~~~$", below)
    local panel = drawn.panels[1]
    for _, c in ipairs(panel.columns) do
      if c.offset then assert.is_true(c.low <= c.offset and c.offset <= c.high) end
    end
    assert.is_true(panel.low < -4900000 and panel.high > 0)      -- the second epoch is the longer one
    local path = folder.path .. "/a.svg"
    assert.is_true(clocks.draw({ { name = "a <b>", points = points } }, { path = path }))
    local svg = folder:read "a.svg"
    assert.is_true(parse(svg).rect >= 3)
    assert.matches("step, epoch 1", svg)
    assert.matches("a &lt;b&gt;: unsync", svg)
  end)

  it("is of years, too", function()
    local points = {}
    for i = 0, 10 do
      points[i + 1] = { time = i * 900000000 * s, offset = 7, earliest = 6, latest = 8, state = "sync" }
    end
    local drawn = clocks.draw({ { name = "a", points = points } }, { width = 20 })
    assert.equal(0, drawn.panels[1].columns[1].offset)
    assert.equal(0, drawn.panels[1].columns[40].offset)
  end)

  it("is of one moment, too, and of what nobody ever knew", function()
    assert.matches("a: unsync, nothing is known", tostring(clocks.draw { { name = "a", points = {
      { time = 5, state = "unsync" } } } }))
    assert.matches("a: sync, offset 0%.000000007 s", tostring(clocks.draw { { name = "a", points = {
      { time = 5, offset = 7, earliest = 7, latest = 7, state = "sync" } } } }))
    assert.same({ nil, "clocks.draw: there are no clocks", "unavailable" }, { clocks.draw {} })
  end)
end)
