-- diagram.lua - sim:diagram(path): a space-time diagram of a part of a run, as SVG.
--
-- Time goes right; each node is a line, whose colour is its role and that ends where it is down. A message is an arrow
-- from its sender's line at the time when it was sent to its receiver's when it came; one that was lost, or isn't there
-- yet, ends halfway, at a cross. What is cut is a band of its own on top, and between neighbours between their lines.
-- Calls from outside are brackets under the line of the node that was asked.
local facts = require "orrery.look.facts"
local faults = require "orrery.faults"
local options = require "orrery.options"
local svg = require "orrery.look.svg"
local timeline = require "orrery.look.timeline"

local diagram = {}
local ns = 1000000000
local left, right, top, row, gap, bottom = 84, 24, 46, 17, 96, 74
local half = 6                                          -- of a line's thickness
local least_width, most_width, of_message = 900, 3200, 5

local light = [[
.small{paint-order:stroke;stroke:#ffffff;stroke-width:3px;stroke-linejoin:round}
.leader{fill:#0969da}.candidate{fill:#bf8700}.precandidate{fill:#e3b341}.follower{fill:#afb8c1}.learner{fill:#8250df}
.plain{fill:#afb8c1}.paused{fill:#ffffff;opacity:.65}.down{stroke:#cf222e;stroke-width:1.5;stroke-dasharray:2 4}
.cut{fill:#cf222e;opacity:.13}.cutrow{fill:#cf222e;opacity:.75}.oncut{fill:#ffffff;font-size:10px}
.m{fill:none;stroke-width:1}.head0{stroke:none}.append{stroke:#1a7f37;fill:#1a7f37}
.beat{stroke:#8c959f;fill:#8c959f;opacity:.55}.vote{stroke:#bc4c00;fill:#bc4c00;stroke-width:1.6}
.call{stroke:#8250df;fill:#8250df}.snapshot{stroke:#0969da;fill:#0969da}.other{stroke:#d1a3c8;fill:#d1a3c8}
.lost{stroke-dasharray:4 3}.cross{stroke:#cf222e;stroke-width:2}.ok{stroke:#1a7f37;stroke-width:2;fill:none}
.no{stroke:#cf222e;stroke-width:2;fill:none}.open{stroke:#59636e;stroke-width:2;fill:none;stroke-dasharray:3 3}
.mark{stroke:#cf222e;stroke-width:2.5}
]]
local dark = [[
.small{stroke:#0d1117}
.leader{fill:#4493f8}.candidate{fill:#d29922}.precandidate{fill:#9e6a03}.follower{fill:#6e7681}.plain{fill:#6e7681}
.paused{fill:#0d1117}.cut,.cutrow{fill:#f85149}.cut{opacity:.2}.append{stroke:#3fb950;fill:#3fb950}
.beat{stroke:#7d8590;fill:#7d8590}.vote{stroke:#db6d28;fill:#db6d28}.call{stroke:#a371f7;fill:#a371f7}
.snapshot{stroke:#4493f8;fill:#4493f8}.other{stroke:#9a6a90;fill:#9a6a90}.cross,.mark,.down{stroke:#f85149}
.ok{stroke:#3fb950}.no{stroke:#f85149}.open{stroke:#9198a1}
]]

-- -- What is drawn --------------------------------------------------------------------------------------------------
local classes = {
  append = "append", append_reply = "append", heartbeat = "beat", prevote = "vote", prevote_reply = "vote",
  vote = "vote", vote_reply = "vote", timeout_now = "vote", read_index = "append", read_index_reply = "append",
  snapshot = "snapshot", snapshot_reply = "snapshot", call = "call", cast = "call", propose = "call", read = "call",
  reply = "call", cancel = "call", forward = "call", resend = "call", bytes = "call",
}
local never = { ping = true, hello = true }

-- An answer that says no more than the one before answers a heartbeat.
local function mark_beats(messages)
  local said = {}
  for _, e in ipairs(messages) do
    e.class = classes[e.what] or "other"
    if e.what == "append_reply" then
      local key = ("%s %s %s"):format(e.from, e.to, e.group)
      if said[key] == e.index and not e.refused then e.class = "beat" end
      said[key] = e.index
    end
  end
end

-- The messages to draw, at most `most`; and a sentence on those that aren't.
local function choose(messages, most)
  local drawn, quiet = {}, 0
  local plain = #messages > most
  for _, e in ipairs(messages) do
    if plain and e.class == "beat" and e.outcome == "delivered" then quiet = quiet + 1 else drawn[#drawn + 1] = e end
  end
  local left_out = math.max(0, #drawn - most)
  for i = #drawn, most + 1, -1 do drawn[i] = nil end
  local notes = {}
  if quiet > 0 then notes[#notes + 1] = ("%d heartbeats and answers that arrived aren't drawn"):format(quiet) end
  if left_out > 0 then notes[#notes + 1] = ("the last %d messages aren't drawn"):format(left_out) end
  return drawn, table.concat(notes, "; ")
end

local function messages_of(sim, from, till, most)
  local events, forgot = sim.core:trace(from, till, { message = true })
  local messages, clients = {}, false
  for _, e in ipairs(events) do
    if e.at >= from and not never[e.what] then
      messages[#messages + 1] = e
      clients = clients or e.from == "clients" or e.to == "clients"
    end
  end
  mark_beats(messages)
  local drawn, note = choose(messages, most)
  return drawn, note, clients, forgot
end

-- -- Places ---------------------------------------------------------------------------------------------------------
local function place(self, sim, clients)
  self.y, self.lines = {}, {}
  if clients then self.lines[1] = "clients" end
  for _, id in ipairs(sim.ids) do self.lines[#self.lines + 1] = id end
  local y = top + #self.cuts * row + 52
  for i, id in ipairs(self.lines) do self.y[id], self.index[id] = y + (i - 1) * gap, i end
  self.last = y + (#self.lines - 1) * gap
end

local function x_of(self, at)
  return left + (at - self.from) / (self.till - self.from) * self.width
end

local function within(self, i)
  if i.at > self.till or i.till and i.till < self.from then return nil end
  return math.max(i.at, self.from), math.min(i.till or self.till, self.till)
end

local function add(self, text) self.parts[#self.parts + 1] = text end

local function text_at(self, x, y, class, text, anchor)
  add(self, svg.tag("text", { "x", x, "y", y, "class", class, "text-anchor", anchor or "start" }, svg.text(text)))
end

-- -- Parts ----------------------------------------------------------------------------------------------------------
local function draw_axis(self)
  local y = self.last + 34
  local ticks, step = svg.ticks(self.from / ns, self.till / ns, self.width // 90)
  local digits = math.max(0, -math.floor(math.log(step, 10) + 1e-9))
  for _, at in ipairs(ticks) do
    local x = x_of(self, at * ns)
    add(self, svg.tag("line", { "class", "axis", "x1", x, "x2", x, "y1", top - 6, "y2", y }))
    text_at(self, x, y + 13, "small", ("%." .. digits .. "f s"):format(at), "middle")
  end
end

-- Cuts of the same time share a row: { at, till, both, first, second, last, ... }.
local function rows_of(cuts)
  local list, by_time = {}, {}
  for _, cut in ipairs(cuts) do
    local key = ("%d %s %s"):format(cut.at, cut.till, cut.both)
    if not by_time[key] then
      by_time[key] = { at = cut.at, till = cut.till, both = cut.both }
      list[#list + 1] = by_time[key]
    end
    table.insert(by_time[key], cut)
  end
  return list
end

local function word_of(cuts)
  local side, other = nil, nil
  if cuts.both then side, other = facts.sides(cuts) end
  if side then return table.concat(side, ", ") .. " ✕ " .. table.concat(other, ", ") end
  local words = {}
  for i, cut in ipairs(cuts) do words[i] = ("%s ✕%s %s"):format(cut.from, cut.both and "" or "→", cut.to) end
  return table.concat(words, ",  ")
end

local function title_of(cuts)
  local texts = {}
  for i, cut in ipairs(cuts) do texts[i] = cut.text end
  local till = cuts.till and ("to %.3f s"):format(cuts.till / ns) or "on"
  return svg.title(("%s: %.3f s %s"):format(table.concat(texts, ", "), cuts.at / ns, till))
end

-- Between the lines of neighbours.
local function draw_band(self, cut, x1, x2, about)
  local a, b = self.index[cut.from], self.index[cut.to]
  if not a or not b or math.abs(a - b) ~= 1 then return end
  local up = math.min(self.y[cut.from], self.y[cut.to])
  add(self, svg.tag("rect", { "x", x1, "y", up + half, "width", math.max(1, x2 - x1), "height", gap - 2 * half,
    "class", "cut" }, about))
end

local function draw_cuts(self)
  if #self.cuts > 0 then text_at(self, left - 12, top + 10.5, "small", "cut", "end") end
  for i, cuts in ipairs(self.cuts) do
    local from, till = within(self, cuts)
    local x1, x2, y = x_of(self, from), x_of(self, till), top + (i - 1) * row
    local about, word = title_of(cuts), word_of(cuts)
    local rect = { "x", x1, "y", y, "width", math.max(1, x2 - x1), "height", row - 3, "rx", 2, "class", "cutrow" }
    add(self, svg.tag("rect", rect, about))
    if x2 - x1 >= 8 + 7 * utf8.len(word) then text_at(self, x1 + 5, y + 10.5, "oncut", word)
    else text_at(self, x2 + 4, y + 10.5, "small", word) end
    for _, cut in ipairs(cuts) do draw_band(self, cut, x1, x2, about) end
  end
end

-- A line from one point towards another, with a head or, where the message did not come, a cross halfway.
local function draw_message(self, e)
  local y1, y2 = self.y[e.from], self.y[e.to]
  if not y1 or not y2 then return end
  local down = y2 > y1 and 1 or -1
  local came = e.outcome == "delivered" and e.till <= self.till
  local about = svg.title(("%.6f s  %s to %s: %s%s%s%s, %d bytes%s"):format(e.at / ns, e.from, e.to,
    (e.what:gsub("_", " ")), e.name and " " .. e.name or "", e.term and (", term %d"):format(e.term) or "",
    e.index and (", index %d"):format(e.index) or "", e.size,
    came and ("; came %.3f ms later"):format((e.till - e.at) / 1e6) or
      e.outcome == "lost" and ("; lost at %.3f s"):format(e.till / ns) or "; not there by the end"))
  local x1, x2 = x_of(self, e.at), x_of(self, came and e.till or e.at)
  y1, y2 = y1 + down * half, y2 - down * half
  if not came then
    -- Short, so that it is seen to come from its own line; the cross is what says that it never came.
    x2, y2 = x1 + 6, y1 + down * 24
  end
  local class = ("m %s%s"):format(e.class, came and "" or " lost")
  local parts = { about, svg.tag("line", { "class", class, "x1", x1, "y1", y1, "x2", x2, "y2", y2 }) }
  if came then
    local length = math.sqrt((x2 - x1) ^ 2 + (y2 - y1) ^ 2)
    local ux, uy = (x2 - x1) / length, (y2 - y1) / length
    local bx, by = x2 - 6 * ux, y2 - 6 * uy
    parts[#parts + 1] = svg.tag("path", { "class", "head0 " .. e.class, "d", ("M%s %sL%s %sL%s %sZ"):format(svg.n(x2),
      svg.n(y2), svg.n(bx - 2.6 * uy), svg.n(by + 2.6 * ux), svg.n(bx + 2.6 * uy), svg.n(by - 2.6 * ux)) })
  else
    parts[#parts + 1] = svg.tag("path", { "class", "cross", "d", ("M%s %sl5 5m0 -5l-5 5"):format(svg.n(x2 - 2.5),
      svg.n(y2 - 2.5)) })
  end
  add(self, "<g>" .. table.concat(parts) .. "</g>")
end

local function draw_roles(self, id, y)
  local free = -math.huge
  for _, i in ipairs(self.roles[id] or {}) do
    local from, till = within(self, i)
    if from then
      local x1, x2 = x_of(self, from), x_of(self, till)
      add(self, svg.tag("rect", { "class", i.role, "x", x1, "y", y - half, "width", math.max(1.5, x2 - x1), "height",
        2 * half }, svg.title(("%s: %s in term %d%s, %.3f s to %.3f s"):format(id, i.role, i.term,
          i.leader and i.role ~= "leader" and " of " .. i.leader or "", from / ns, till / ns))))
      local label = (i.role == "leader" and "leads, " or "") .. "term " .. i.term
      if x1 >= free and x2 - x1 > 4 and label ~= self.said then
        text_at(self, x1 + 1, y - half - 4, "small", label)
        free, self.said = x1 + 6 * #label + 8, label
      end
    end
  end
  self.said = nil
end

local function draw_lives(self, id, y)
  for _, i in ipairs(self.facts.downs[id] or {}) do
    local from, till = within(self, i)
    if from then
      local x1, x2 = x_of(self, from), x_of(self, till)
      add(self, svg.tag("rect", { "class", "page", "x", x1, "y", y - half, "width", math.max(1, x2 - x1), "height",
        2 * half }))
      add(self, svg.tag("line", { "class", "down", "x1", x1, "x2", x2, "y1", y, "y2", y }))
      if i.at >= self.from then
        add(self, svg.tag("path", { "class", "mark", "d", ("M%s %sl10 10m0 -10l-10 10"):format(svg.n(x1 - 5),
          svg.n(y - 5)) }, svg.title(("%s goes down at %.3f s: %s"):format(id, i.at / ns, i.why))))
        text_at(self, x1 + 8, y - half - 4, "small", i.why == "kill" and "killed" or i.why)
      end
    end
  end
  for _, i in ipairs(self.facts.pauses[id] or {}) do
    local from, till = within(self, i)
    if from then
      local x1, x2 = x_of(self, from), x_of(self, till)
      add(self, svg.tag("rect", { "class", "paused", "x", x1, "y", y - half + 2, "width", math.max(1, x2 - x1),
        "height", 2 * half - 4 }, svg.title(("%s is paused, %.3f s to %.3f s"):format(id, from / ns, till / ns))))
      text_at(self, x1 + 2, y + 4, "small", "paused")
    end
  end
end

local function draw_node(self, id)
  local y = self.y[id]
  text_at(self, left - 12, y + 5, "head", id, "end")
  if id == "clients" then
    add(self, svg.tag("line", { "class", "line", "x1", left, "x2", left + self.width, "y1", y, "y2", y }))
    return
  end
  add(self, svg.tag("rect", { "class", "plain", "x", left, "y", y - 1, "width", self.width, "height", 2 }))
  draw_roles(self, id, y)
  draw_lives(self, id, y)
end

local function draw_calls(self, sim)
  local free = {}
  for _, call in ipairs(sim.calls) do
    local from, till = within(self, call)
    local y = self.y[call.node]
    if from and y then
      local x1, x2 = x_of(self, from), math.max(x_of(self, till), x_of(self, from) + 2)
      local class = not call.till and "open" or call.code and "no" or "ok"
      local took = call.till and ("%s after %.3f ms"):format(call.code or "answered", (call.till - call.at) / 1e6)
        or "no answer yet"
      add(self, svg.tag("path", { "class", class, "d", ("M%s %sv6H%sv-6"):format(svg.n(x1), svg.n(y + half + 3),
        svg.n(x2)) }, svg.title(("%.3f s  %s is asked %s: %s"):format(call.at / ns, call.node, call.text, took))))
      local label = call.text .. (call.code and ": " .. call.code or "")
      if x1 >= (free[call.node] or -1) then
        text_at(self, x1, y + half + 20, "small", label)
        free[call.node] = x1 + 6 * #label + 8
      end
    end
  end
end

local legend = {
  { "leader", "leader" }, { "candidate", "candidate" }, { "precandidate", "asks for pre-votes" },
  { "follower", "follower" },
}
local arrows = { { "append", "entries" }, { "beat", "heartbeat" }, { "vote", "vote" }, { "call", "call" } }

local function draw_legend(self, note)
  local x, y = left, self.last + 62
  for _, item in ipairs(legend) do
    add(self, svg.tag("rect", { "class", item[1], "x", x, "y", y - 8, "width", 14, "height", 8 }))
    text_at(self, x + 18, y, "small", item[2])
    x = x + 30 + 6 * #item[2]
  end
  for _, item in ipairs(arrows) do
    add(self, svg.tag("line", { "class", "m " .. item[1], "x1", x, "x2", x + 16, "y1", y - 4, "y2", y - 4 }))
    text_at(self, x + 20, y, "small", item[2])
    x = x + 32 + 6 * #item[2]
  end
  add(self, svg.tag("path", { "class", "cross", "d", ("M%s %sl5 5m0 -5l-5 5"):format(svg.n(x), svg.n(y - 7)) }))
  text_at(self, x + 9, y, "small", "never came" .. (note ~= "" and ".  " .. note or ""))
end

-- -- The whole ------------------------------------------------------------------------------------------------------
local spec = {
  from = { "number", min = 0, default = 0 },
  till = { "number", min = 0 },
  group = { "string" },
  messages = { "integer", min = 0, max = 20000, default = 500 },
  width = { "integer", min = 300, max = 20000 },
}

local function in_ns(T) return math.floor(T * ns + 0.5) end

local function check_window(what, from, till)
  if till > from then return end
  error(("%s: 'till' must be after 'from' (got %g, %g)"):format(what, from / ns, till / ns), 3)
end

local function group_of(sim, given)
  local known = options.keys(sim.facts.roles)
  if given and not sim.facts.roles[given] and #known > 0 then
    error(("sim:diagram: no node has a group %s%s"):format(options.got(given), options.hint(given, known)), 3)
  end
  return given or known[1]
end

local function draw(self, sim, opts)
  local messages, note, clients, forgot = messages_of(sim, self.from, self.till, opts.messages)
  self.width = opts.width or math.max(least_width, math.min(most_width, #messages * of_message))
  local cuts = {}
  for _, cut in ipairs(timeline.cuts(sim)) do if within(self, cut) then cuts[#cuts + 1] = cut end end
  table.sort(cuts, function(a, b)
    if a.at ~= b.at then return a.at < b.at end
    return a.text < b.text
  end)
  self.cuts = rows_of(cuts)
  place(self, sim, clients)
  local about = ("%s, seed %d, %.3f s to %.3f s%s"):format(sim.name, sim.seed, self.from / ns, self.till / ns,
    self.group and ": group " .. self.group or "")
  text_at(self, left, 24, "head", about)
  if forgot then note = note .. (note == "" and "" or "; ") .. "messages of the beginning are forgotten" end
  draw_axis(self)
  draw_cuts(self)
  for _, e in ipairs(messages) do draw_message(self, e) end
  for _, id in ipairs(self.lines) do draw_node(self, id) end
  draw_calls(self, sim)
  draw_legend(self, note)
  return svg.page(left + self.width + right, self.last + bottom, about, self.parts, light, dark)
end

-- sim:diagram(path, { from = 0, till = now, group, messages = 500, width }) -> true; or nil, message, code.
function diagram.diagram(sim, path, opts)
  faults.opened(sim, "diagram")
  if type(path) ~= "string" then
    error(("sim:diagram: 'path' must be the path of a file (got %s)"):format(options.got(path)), 2)
  end
  local checked = options.check(opts == nil and {} or opts, spec, "sim:diagram", 2)
  sim.facts = facts.of(sim)
  local group = group_of(sim, checked.group)
  local self = { from = in_ns(checked.from), till = in_ns(checked.till or sim:now()), parts = {}, cuts = {}, index = {},
    facts = sim.facts, group = group, roles = sim.facts.roles[group] or {} }
  check_window("sim:diagram", self.from, self.till)
  return svg.write(path, draw(self, sim, checked))
end

return diagram
