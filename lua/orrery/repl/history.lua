-- history.lua - the lines of earlier prompts: one file for each user, that nobody else reads.
--
-- Each line is appended when it was typed, so prompts side by side and prompts that die lose nothing. Twice too long,
-- the file is cut to its last lines. What can't be read or written is no reason to complain: there is no history then.
local core = require "orrery.core"
local edit = require "orrery.edit"

local history = {}

local longest, most_bytes = 4096, 1 << 20

-- Where it is: by XDG's rules, in XDG_STATE_HOME if that is absolute, else in ~/.local/state; nil without a home.
function history.path(getenv)
  local state, home = getenv "XDG_STATE_HOME", getenv "HOME"
  if state and state:find "^/" then return state .. "/orrery/history" end
  return home and home:find "^/" and home .. "/.local/state/orrery/history" or nil
end

local function make_folders(path)
  for at in path:gmatch "()/" do
    if at > 1 and not core.process.make_directory(path:sub(1, at - 1), 448) then return false end      -- rwx------
  end
  return true
end

local function read(path)
  local file = io.open(path, "rb")
  local lines = {}
  if not file then return lines end
  local size = file:seek "end"
  if size and file:seek("set", math.max(0, size - most_bytes)) then
    if size > most_bytes then file:read "L" end                 -- the rest of a line
    for line in function() return (file:read "l") end do       -- nil for what is no file, too
      if line ~= "" and #line <= longest then lines[#lines + 1] = line end
    end
  end
  file:close()
  return lines, size
end

local function cut(path, lines)
  os.remove(path .. ".new")
  if edit.append(path .. ".new", table.concat(lines, "\n") .. "\n") then os.rename(path .. ".new", path) end
end

-- Of the file at path (nil: no file): its lines, oldest first, and a function that adds one.
function history.open(path)
  if not path or not make_folders(path) then return {}, function() end end
  local lines, size = read(path)
  local last = table.move(lines, math.max(1, #lines - edit.lines + 1), #lines, 1, {})
  if #lines > 2 * edit.lines or (size or 0) > most_bytes then cut(path, last) end
  local before = last[#last]
  return last, function(line)
    if line == before or not line:find "%S" or #line > longest or line:find "[\n\0]" then return end
    before = line
    edit.append(path, line .. "\n")
  end
end

return history
