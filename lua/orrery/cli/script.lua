-- script.lua - orrery FILE.lua [ARG...]: a plain script, as lua5.4 runs it; it finds the global `orrery`.
local function handler(message)
  if type(message) == "string" then return debug.traceback(message, 2) end
  local mt = getmetatable(message)
  if type(mt) == "table" and mt.__tostring then return tostring(message) end
  return debug.traceback(("(error object is a %s value)"):format(type(message)), 2)
end

return function(argv)
  local path = argv[1]
  local arg = {}
  for i = 0, #argv do arg[i - 1] = argv[i] end
  _G.arg, _G.orrery = arg, require "orrery"
  local chunk, message = loadfile(path)
  if not chunk then
    io.stderr:write("orrery: ", message, "\n")
    return 1
  end
  local ok, trace = xpcall(chunk, handler, table.unpack(arg))
  if ok then return 0 end
  io.stderr:write("orrery: ", trace, "\n")
  return 1
end
