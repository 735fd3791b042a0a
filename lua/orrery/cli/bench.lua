-- bench.lua - orrery bench: the benchmarks of the checkout that the program was built in, by name.
--
-- spec/bench/list has a line `NAME FILE - ABOUT` for each; `directory` for the `-` where the first argument is a place
-- to write in. A FILE.c is compiled first, against build/release, with those that follow it behind commas, as they lie
-- in spec/. The program lies in build/PRESET of the checkout.
local core = require "orrery.core"
local options = require "orrery.options"

local function listed(top)
  local list, names = {}, {}
  local file = io.open(top .. "/spec/bench/list", "r")
  for line in file and file:lines() or function() end do
    local name, source, more, writes, about = line:match "^(%S+) ([^%s,]+)(%S*) (%S+) (.*)$"
    if name then
      list[name] = { source = top .. "/spec/bench/" .. source, more = more, writes = writes == "directory",
        about = about }
      names[#names + 1] = name
    end
  end
  if file then file:close() end
  return list, names
end

local function quoted(word)
  return "'" .. word:gsub("'", "'\\''") .. "'"
end

-- What the shell is to run for a benchmark.
local function command(top, name, bench, arguments)
  local words, before = { quoted(bench.source) }, ""
  local work = quoted(top .. "/build/bench")
  if bench.source:find "%.c$" then
    local target, home = quoted(top .. "/build/bench/" .. name), quoted(top)
    local sources = quoted(bench.source) .. bench.more:gsub(",([^,]+)", function(file)
      return " " .. quoted(top .. "/spec/" .. file)
    end)
    words[1] = target
    before = ("mkdir -p %s && cc -O2 -ffp-contract=off -I%s/core/include -I%s/core -I%s/spec -o %s %s "):format(work,
      home, home, home, target, sources) .. home ..
      "/build/release/liborrery.a -levent_core -levent_pthreads -lxxhash -lmd -lz -lsodium -lm -lpthread || exit 2; "
  end
  if bench.writes then words[2] = work end
  for i = 2, #arguments do words[#words + 1] = quoted(arguments[i]) end
  return before .. "exec " .. table.concat(words, " ")
end

local function json_text(text)
  return '"' .. text:gsub('[%c"\\]', function(c) return ("\\u%04x"):format(c:byte()) end) .. '"'
end

local function status_of(_, how, code)
  return how == "exit" and code or 1
end

-- Runs it, and prints one object with the lines that it printed.
local function run_for_json(name, text)
  local pipe = assert(io.popen(text, "r"))
  local lines = {}
  for line in pipe:lines() do lines[#lines + 1] = json_text(line) end
  local status = status_of(pipe:close())
  print(('{"benchmark":%s,"status":%d,"lines":[%s]}'):format(json_text(name), status, table.concat(lines, ",")))
  return status
end

local function print_list(list, names, as_json)
  if not as_json then print(#names > 0 and "benchmarks:" or "no benchmarks here: they are of a checkout") end
  for _, name in ipairs(names) do
    if as_json then print(('{"benchmark":%s,"about":%s}'):format(json_text(name), json_text(list[name].about)))
    else print(("  %-12s %s"):format(name, list[name].about)) end
  end
  return 0
end

local function run(opts, arguments, context)
  local top = core.process.program():match "^(.*)/" .. "/../.."
  local list, names = listed(top)
  local name = arguments[1]
  if not name then return print_list(list, names, opts.json) end
  if not list[name] then
    return context.wrong(("bench: no benchmark '%s'%s"):format(name, options.hint(name, names)))
  end
  if opts.trace and name ~= "detectors" then return context.wrong "bench: --trace is for detectors" end
  if opts.trace then table.move({ "--trace", opts.trace }, 1, 2, #arguments + 1, arguments) end
  if opts.report and name ~= "placement" then return context.wrong "bench: --report is for placement" end
  if opts.report then arguments[#arguments + 1] = "--report" end
  local text = command(top, name, list[name], arguments)
  if opts.json then return run_for_json(name, text) end
  return status_of(os.execute(text))
end

return {
  usage = "orrery bench [NAME [ARGUMENT]...] [--report] [--json]",
  about = "runs a benchmark by name, or lists them",
  notes = [[
Benchmarks are of a checkout with build/release; the list says what ARGUMENTs each takes. Exit status: the
benchmark's own: 0 where it has bars and meets them, or has none, 1 where it misses one, 2 where it can't run.]],
  arguments = {}, more = true,
  options = {
    { "--json", nil, "one object {benchmark, status, lines}, or one {benchmark, about} for each in the list" },
    { "--report", nil, "of placement: each policy at several sizes" },
    { "--trace", "FILE", "of detectors: measured messages, a line `SECONDS DELAY_MS` or `SECONDS lost` for each" },
  },
  run = run,
}
