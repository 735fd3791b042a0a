-- raft-by-hand.lua: load it with dofile, or run it: orrery raft-by-hand.lua
local ids, n = { "n1", "n2", "n3" }, {}
for i, id in ipairs(ids) do n[id] = orrery.raft { id = id, voters = ids, seed = i } end
function pump(now, cut)                        -- carries messages until there is nothing left to do
  repeat
    local busy = false
    for _, id in ipairs(ids) do
      local r, rd = n[id], n[id]:ready()
      if rd then
        busy = true
        for _, m in ipairs(rd.messages) do
          if m.from ~= cut and m.to ~= cut then print(now, orrery.show(m)) n[m.to]:recv(now, m) end
        end
        if rd.write then r:stored(now, rd.write.id) end          -- try without: nothing that depends on it is ever sent
        if #rd.commits > 0 then r:applied(now, rd.commits[#rd.commits].index) end
      end
    end
  until not busy
end
n.n1:campaign(0)            pump(0)            -- n1 leads term 1
n.n1:propose(1, "lost")     pump(1, "n1")      -- n1 is cut off: it writes, nobody hears
n.n2:campaign(3)            pump(3, "n1")      -- n2 leads term 2 (paper, figure 8's first half)
n.n2:propose(4, "kept")     pump(4)            -- n1 is back: its entry of term 1 gives way
n.n2:tick(5)                pump(5)
for _, id in ipairs(ids) do print(n[id]) end   -- orrery.raft(n1 follower term=2 commit=3) ...
