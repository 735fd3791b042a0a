-- host.lua FOLDER PORT WAY - a program with a node on a thread of its own in it. It has a loop of its own, forks, and
-- leaves in one of several WAYs: "close" what it has, "return", "exit" without ending its Lua state, "exit-closed", or
-- with an "error". Prints `ok` before it leaves.
local folder, port, way = ...
local orrery = require "orrery"
local posix = require "posix"

local function write(name, text)
  local file = assert(io.open(folder .. "/" .. name, "w"))
  file:write(text)
  file:close()
  return folder .. "/" .. name
end

write("node.lua", [[
node:on("double", function(x) return 2 * x end)
node:on("slow", function() node:channel():get() end)
node:on("leave", function() node:stop "enough" end)]])
local path = write("cluster.lua", ([[return orrery.cluster { name = "x", node = "node.lua",
  nodes = { { id = "a", at = "127.0.0.1:%d" } } }]]):format(port))
local function start() return assert(orrery.start(path, { id = "a", data = folder .. "/data", thread = true })) end

-- Its own loop: the descriptor says when there is something to take, and says nothing when there is not.
local a = start()
local ready
a:on("ready", function() ready = true end)
while not ready do
  assert(posix.poll(a:fd(), math.min(a:deadline(), 20)) or a:deadline() == 0, "no news in 20 s")
  a:step(0)
end
assert(not posix.poll(a:fd(), 0), "news that nobody has")
assert(a:status().ready and a.state and not posix.poll(a:fd(), 0.05), "a look is no news")
assert(a:call("double", 4) == 8 and a:step(0))
assert(not posix.poll(a:fd(), 0.05), "an answer that was taken is no news")

-- In a child the node is not there, which it says, and nothing waits for it; the parent's goes on.
local pid = posix.fork()
if pid == 0 then
  local ok, message = pcall(a.call, a, "double", 1)
  local told = not ok and message:find("forked", 1, true)
  a:close()
  a = nil
  os.exit(told and 7 or 8, true)
end
assert(posix.wait(pid) == 7, "the child")
assert(a:call("double", 21) == 42)

-- It stops: that is news, once.
local why
a:on("stop", function(reason) why = reason end)
a:cast "leave"
while not why do
  assert(posix.poll(a:fd(), 20), "no news of its end in 20 s")
  a:step(0)
end
assert(why == "left", why)
a:close()

local b = start()                   -- another one in its place, left as it is, with a call under way
local asked = b.core:ask("a", "slow", 60000000000)
assert(not asked:over() and b:call("double", 3) == 6)
print "ok"
io.stdout:flush()
if way == "close" then b:close() end
if way == "exit" then os.exit(0, false) end
if way == "exit-closed" then os.exit(0, true) end
if way == "error" then error "as asked" end
