-- ntp_spec.lua - orrery ntp and core.ntp, against servers of ours and against nobody. What a synchronised server is
-- told apart by, and other people's programs, are spec/stages/34-ntp.sh's.
local core = require "orrery.core"

local folder = dofile "spec/lua/folder.lua"()
local program = assert(core.process.program())

teardown(function() folder:remove() end)

local function orrery(arguments)
  local command = ("cd '%s' && '%s' %s >out 2>err </dev/null"):format(folder.path, program, arguments)
  local _, how, code = os.execute(command)
  assert.equal("exit", how)
  return code, folder:read "out", folder:read "err"
end

-- Does f with a service on a free port: its handle, which turns while step() is called.
local function serving(options)
  options.serve = "127.0.0.1:0"
  local ntp = assert(core.ntp.new(options))
  return ntp, "127.0.0.1:" .. ntp:served().port
end

-- Both turn, until condition().
local function turn(handles, condition)
  local ends = core.process.clock() + 30
  while not condition() do
    assert.is_true(core.process.clock() < ends, "it did not come about in 30 s")
    for _, handle in ipairs(handles) do handle:step(0.002) end
  end
end

describe("core.ntp", function()
  it("tells servers' names from others", function()
    for _, name in ipairs { "a", "a:1", "192.0.2.1", "[::1]:9", "::1", "pool:a.example", "pool:a.example:9" } do
      assert.is_true(core.ntp.name_ok(name), name)
    end
    for _, name in ipairs { "", "a:b", "pool:", "pool", "a b", "[::1" } do
      assert.equal(name == "pool", core.ntp.name_ok(name), name)
    end
    assert.is_true(core.ntp.address_ok ":123")
    assert.is_false(core.ntp.address_ok "123")
  end)

  it("closes once, and is refused then", function()
    local ntp = serving {}
    ntp:close()
    ntp:close()
    assert.error_matches(function() ntp:step(0) end, "it is closed")
  end)

  it("refuses what it can't do", function()
    local ntp <close>, at = serving {}
    local second, message, code = core.ntp.new { serve = at }
    assert.is_nil(second)
    assert.equal(at .. ": Address already in use", message)
    assert.equal("failed", code)
    assert.error_matches(function() core.ntp.new() end, "table expected")
  end)

  it("hears a server say what it knows", function()
    local server <close>, at = serving {}
    local client <close> = assert(core.ntp.new { from = { at }, poll_min = -4, poll_max = -4, quiet = true })
    turn({ server, client }, function() return client:places()[1].verdict and not client:places()[1].waiting end)
    local place, served = client:places()[1], server:served()
    assert.equal(at, place.address)
    assert.equal(at, place.source)
    assert.is_true(served.answered >= 1)
    if served.synchronised then
      assert.equal("taken", place.verdict)
      assert.equal(10, place.stratum)
      assert.is_true(place.exchanges >= 1)
    else
      assert.equal("leap", place.verdict)
      assert.equal(0, place.exchanges)
      assert.is_nil(client:now())
    end
  end)

  it("tells why a name has no server", function()
    local client <close> = assert(core.ntp.new { from = { "no.such.name.invalid" }, quiet = true })
    turn({ client }, function() return client:places()[1].why end)
    assert.is_nil(client:places()[1].address)
  end)
end)

describe("orrery ntp", function()
  it("says what to do where nobody serves", function()
    local code, out, err = orrery "ntp 127.0.0.1:9 --samples 1"
    assert.equal(1, code)
    assert.equal("orrery: ntp: 127.0.0.1:9: Connection refused: check address and port\n", err)
    assert.matches("^address +stratum +refid +offset +bound +delay +jitter +root distance +verdict\n", out)
    assert.matches("\n127.0.0.1:9 +%- .* no answer\n$", out)
  end)

  it("says what to do where nobody answers", function()
    local silent <close>, at = serving {}            -- it never turns
    local code, _, err = orrery("ntp " .. at .. " --timeout 0.05 --samples 1")
    assert.equal(1, code)
    assert.equal(("orrery: ntp: %s: no answer in 0.05 s: check address and port, and that UDP gets through\n")
      :format(at), err)
    assert.equal(0, silent:served().answered)
  end)

  it("has a line of JSON for each server", function()
    local code, out, err = orrery "ntp 127.0.0.1:9 127.0.0.2:9 --json"
    assert.equal(1, code)
    assert.equal(2, select(2, err:gsub("\n", "")))
    local first, second = out:match "^({[^\n]*})\n({[^\n]*})\n$"
    assert.matches('^{"source":"127.0.0.1:9","address":"127.0.0.1:9","usable":false,"verdict":"no answer","error":"',
      first)
    assert.matches('"address":"127.0.0.2:9"', second, 1, true)
  end)

  it("serves until it is told to end", function()
    for _, signal in ipairs { "TERM", "INT" } do
      local nursery <close> = assert(core.process.nursery())
      local pid = assert(nursery:spawn { program, "ntp", "--serve", "127.0.0.1:0" })
      local said, at = ""
      repeat
        local event, _, pipe, text = nursery:wait(30)
        assert.equal("data", event)
        if pipe == "out" then said = said .. text end
        at = said:match "^serving time at (127%.0%.0%.1:%d+), pid %d+\n"
      until at
      local code, out, err = orrery(("ntp %s --samples 2 --json"):format(at))
      if code == 1 then
        assert.matches('"usable":false,"verdict":"unsynchronised"', out, 1, true)
        assert.equal(("orrery: ntp: %s: says that it is not synchronised: ask another server, or see what it follows\n")
          :format(at), err)
      else
        assert.equal(0, code)           -- a machine that somebody keeps in time
        assert.equal("", err)
      end
      nursery:kill(pid, signal)
      local ended, status
      repeat
        local event, _, a, b = nursery:wait(30)
        if event == "data" and a == "out" then said = said .. b end
        if event == "exit" then ended, status = a, b end
      until ended
      assert.same({ "exit", 0 }, { ended, status })
      assert.matches("\nstopped: %d answered %(0 interleaved%), 0 limited, 0 refused\n$", said)
    end
  end)
end)
