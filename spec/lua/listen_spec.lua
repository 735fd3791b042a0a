-- listen_spec.lua - listeners that a script answers: commands in Redis's protocol, plain connections; simulated.
local orrery = require "orrery"

local folder = dofile "spec/lua/folder.lua"()
teardown(function() folder:remove() end)

local function cluster_of(script)
  folder:write("n.lua", script)
  return folder:write("c.lua", [[return orrery.cluster { name = "t", node = "n.lua", nodes = {
    { id = "a", at = "127.0.0.1:1", resp = "127.0.0.1:2" } } }]])
end

local function refused(script)
  local ok, message = pcall(function()
    local sim <close> = orrery.sim(cluster_of(script))
    sim:run(1)
  end)
  assert.is_false(ok)
  return message
end

describe("examples/luakv", function()
  it("answers as Redis does, on every node", function()
    local sim <close> = orrery.sim("examples/luakv/cluster.lua", { seed = 3 })
    sim:run(2)
    local a <close> = sim:client { to = "a" }
    local b <close> = sim:client { to = "b" }
    assert.equal("OK", a:call("SET", "k", "5"))
    assert.equal(6, b:call("INCR", "k"))
    assert.equal("6", a:call("GET", "k"))
    assert.is_nil((a:call("GET", "none")))
    assert.same({ 0, 1 }, { (a:call("SETNX", "k", "x")), (a:call("SETNX", "m", "x")) })
    local function error_of(...) return (select(2, a:call(...))) end
    assert.matches("value is not an integer or out of range", error_of("INCR", "m"))
    assert.matches("value is not an integer or out of range", error_of("SETEX", "t", "soon", "v"))
    assert.matches("wrong number of arguments for 'get' command", error_of "GET")
    assert.matches("unknown command 'NOPE', with args beginning with: 'x'", error_of("NOPE", "x"))
    assert.equal("OK", a:call("SETEX", "t", "1", "v"))
    assert.equal("v", b:call("GET", "t"))
    sim:run(2)
    a:call("SET", "later", "1")
    assert.is_nil((b:call("GET", "t")))
  end)
end)

describe("orrery.resp.serve", function()
  it("makes replies of what functions return", function()
    local sim <close> = orrery.sim(cluster_of [[
      node:listen("resp", orrery.resp.serve({
        STRING = function() return "s" end, INTEGER = function() return 7 end, NOTHING = function() end,
        YES = function() return true end, NO = function() return false end, FLOAT = function() return 0.5 end,
        OK = function() return orrery.resp.OK end, LIST = function(...) return { ... } end,
        ERR = function() return { err = "MINE is this" } end,
        FAIL = function() return nil, "gone astray", "unknown" end,
        OWN = function() return nil, "not here", "elsewhere" end,
        RAISE = function() error "no" end, BAD = function() return print end,
        SLOW = function() node:sleep(0.5) return "slow" end,
      }, { pipeline = true }))]])
    sim:run(1)
    local c <close> = sim:client { to = "a" }
    assert.same({ "s", 7, "OK", 1, "0.5" },
      { (c:call "STRING"), (c:call "INTEGER"), (c:call "OK"), (c:call "YES"), (c:call "FLOAT") })
    assert.is_nil((c:call "NOTHING"))
    assert.is_nil((c:call "NO"))
    assert.same({ "a", "b" }, (c:call("LIST", "a", "b")))
    assert.equal("slow", (c:call "SLOW"))
    for name, text in pairs {
      ERR = "MINE is this", FAIL = "UNKNOWN gone astray", OWN = "ERR not here", RAISE = "n.lua:%d+: no",
      BAD = "ERR a function can't be a reply",
    } do
      local value, message = c:call(name)
      assert.is_nil(value)
      assert.matches(text, message)
    end
  end)

  it("refuses what makes no sense, and says where", function()
    for script, text in pairs {
      ['node:listen("resp", 7)'] = "node:listen resp: the service must be a function, orrery.resp.serve",
      ['orrery.resp.serve { GET = 7 }'] = "'GET' must be a function",
      ['orrery.resp.serve { GET = print, get = print }'] = "are one command",
      ['orrery.resp.serve {}'] = "no command is given",
      ['orrery.resp.serve({ A = print }, { pipelin = true })'] = "pipeline",
      ['print(orrery.resp.serv)'] = "orrery.resp.serv is unknown",
    } do assert.matches(text, refused(script), 1, true) end
  end)
end)

describe("node:listen with a function", function()
  it("is a task for each connection", function()
    local sim <close> = orrery.sim(cluster_of [[
      node:listen("resp", function(conn)
        for line in conn:lines() do          -- *1, $n, and the command: enough of RESP to be asked by its client
          local size = tonumber(line:match "^%$(%d+)$")
          if size then
            local word = conn:read(size)
            conn:read(2)
            conn:write("+" .. word:rep(3) .. "\r\n")
            if word == "END" then conn:close() return end
          end
        end
      end)]])
    sim:run(1)
    local one <close> = sim:client { to = "a" }
    local two <close> = sim:client { to = "a" }
    assert.equal("xyzxyzxyz", (one:call "xyz"))
    assert.equal(("y"):rep(300000), (two:call(("y"):rep(100000))))
    assert.equal("ENDENDEND", (one:call "END"))
    sim:run(1)
    assert.is_nil((one:call "more"))
    assert.equal("aaa", (two:call "a"))
  end)
end)
