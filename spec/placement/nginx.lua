-- nginx.lua - is orrery.ring{hash="nginx"} what nginx's `hash ... consistent` is?
--
--     orrery nginx.lua make DIRECTORY PORT     writes nginx.conf, and requests: a line for each key of each list
--     orrery nginx.lua compare DIRECTORY       holds answers (spec/placement/ask.py's) against our owners
--
-- Servers answer with their names. Those without a port would listen on port 80, so they don't: nginx's header says
-- where it would have asked. A server that is down leaves its keys to the next point's.
local orrery = require "orrery"
local keys_a_list = 4000

local function tcp(n, weight, port)
  local nodes = {}
  for i = 1, n do nodes[i] = { id = "127.0.0.1:" .. port + i, weight = weight(i) } end
  return nodes
end
local function named(n, form, weight)
  local nodes = {}
  for i = 1, n do nodes[i] = { id = form:format(i), weight = weight(i) } end
  return nodes
end
local function one() return 1 end

local function lists_of(directory, port)
  local lists = {
    { about = "five servers", nodes = tcp(5, one, port) },
    { about = "twelve of different weights", nodes = tcp(12, function(i) return 1 + i * 7 % 5 end, port) },
    { about = "forty, two much heavier", nodes = tcp(40, function(i) return i % 20 == 3 and 25 or 1 end, port) },
    { about = "seven on sockets", nodes = named(7, "unix:" .. directory .. "/%d.sock", one) },
    { about = "nine without a port", nodes = named(9, "127.0.0.%d", function(i) return 1 + i % 3 end), silent = true },
    { about = "twelve, three of them down", nodes = tcp(12, function(i) return 1 + i % 3 end, port),
      down = { [2] = true, [7] = true, [8] = true } },
  }
  for _, list in ipairs(lists) do
    list.is_down = {}
    for i in pairs(list.down or {}) do list.is_down[list.nodes[i].id] = true end
  end
  return lists
end

local function write(path, text)
  local file <close> = assert(io.open(path, "w"))
  file:write(text)
end

local function upstream(i, list)
  local lines = { ("upstream list%d { hash $arg_k consistent; keepalive 8;"):format(i) }
  for k = #list.nodes, 1, -1 do
    local node = list.nodes[k]
    lines[#lines + 1] = ("server %s weight=%d max_fails=0%s;"):format(node.id, node.weight,
      list.is_down[node.id] and " down" or "")
  end
  return table.concat(lines, "\n") .. "\n}\n"
end

local function servers_of(lists)
  local text, seen = {}, {}
  for _, list in ipairs(lists) do
    for _, node in ipairs(list.silent and {} or list.nodes) do
      if not seen[node.id] then
        seen[node.id] = true
        text[#text + 1] = ('server { listen %s; location / { return 200 "%s"; } }\n'):format(node.id, node.id)
      end
    end
  end
  return table.concat(text)
end

local function conf(directory, lists)
  local text = { "daemon off; master_process off; worker_rlimit_nofile 1024;\n",
    ("pid %s/nginx.pid; error_log %s/error.log crit;\n"):format(directory, directory),
    "events { worker_connections 512; }\nhttp {\naccess_log off; keepalive_requests 10000000;\n" }
  for _, kind in ipairs { "client_body", "proxy", "fastcgi", "uwsgi", "scgi" } do
    text[#text + 1] = ("%s_temp_path %s/%s;\n"):format(kind, directory, kind)
  end
  text[#text + 1] = servers_of(lists)
  for i, list in ipairs(lists) do text[#text + 1] = upstream(i, list) end
  text[#text + 1] = ("server { listen unix:%s/front.sock; proxy_http_version 1.1; proxy_next_upstream off;\n"):format(
    directory) .. 'proxy_set_header Connection ""; add_header X-Asked $upstream_addr always;\n'
  for i in ipairs(lists) do
    text[#text + 1] = ("location /%d { proxy_pass http://list%d; }\n"):format(i, i)
  end
  return table.concat(text) .. "} }\n"
end

local function make(directory, port)
  local lists, requests = lists_of(directory, port), {}
  write(directory .. "/nginx.conf", conf(directory, lists))
  for i in ipairs(lists) do
    for k = 1, keys_a_list do requests[#requests + 1] = ("/%d?k=user:%d:%x"):format(i, k, k * 2654435761) end
  end
  write(directory .. "/requests", table.concat(requests, "\n") .. "\n")
  write(directory .. "/port", port)
end

-- Whom nginx asks for the key: the first of those that come to own it who isn't down.
local function expected(list, key)
  for id in list.ring:walk(key) do if not list.is_down[id] then return id end end
end

local function compare(directory)
  local file = assert(io.open(directory .. "/port"))
  local lists = lists_of(directory, file:read "n")
  file:close()
  for _, list in ipairs(lists) do
    list.ring, list.asked, list.wrong = orrery.ring { nodes = list.nodes, hash = "nginx" }, 0, 0
  end
  for line in io.lines(directory .. "/answers") do
    local i, key, asked, body = line:match "^/(%d+)%?k=(%S+) (%S+) ?(.*)$"
    local list = lists[tonumber(i)]
    local got = list.silent and asked:gsub(":80$", "") or body
    list.asked = list.asked + 1
    if got ~= expected(list, key) then
      list.wrong = list.wrong + 1
      if list.wrong == 1 then print(("key %s: %s by nginx, %s by us"):format(key, got, expected(list, key))) end
    end
  end
  local passed = 0
  for _, list in ipairs(lists) do
    local good = list.wrong == 0 and list.asked == keys_a_list
    passed = passed + (good and 1 or 0)
    print(("%s: nginx, %s: %d keys, %d with another owner"):format(good and "ok" or "not ok", list.about, list.asked,
      list.wrong))
  end
  print(("%d passed, %d failed"):format(passed, #lists - passed))
  return passed == #lists
end

if arg[1] == "make" then make(arg[2], math.tointeger(arg[3]))
elseif not compare(arg[2]) then os.exit(1) end
