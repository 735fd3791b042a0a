-- folder.lua - a folder of a spec's own: local folder = dofile "spec/lua/folder.lua" (); folder:remove() in teardown.
local folder = {}
folder.__index = folder

function folder:write(name, text)
  local path = self.path .. "/" .. name
  os.execute(("mkdir -p '%s'"):format(path:match "^(.*)/"))
  local file = assert(io.open(path, "w"))
  file:write(text)
  file:close()
  return path
end

function folder:read(name)
  local file = assert(io.open(self.path .. "/" .. name))
  local text = file:read "a"
  file:close()
  return text
end

function folder:remove()
  os.execute(("rm -r '%s'"):format(self.path))
end

return function()
  local path = os.tmpname()
  os.remove(path)
  os.execute("mkdir " .. path)
  return setmetatable({ path = path }, folder)
end
