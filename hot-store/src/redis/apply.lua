#!lua
-- Applies one batch: all of it, or nothing where a position is not as expected.
-- KEYS     hash of the owner's positions, then the hashes of ARGV[2]: named so
--          that a cluster that moves the slot lets the script run wholly or not
-- ARGV[1]  the change notice (MessagePack), published as it is:
--          { version, owner, { partition, from, to, ... },
--            { time to live in ms, { key, value, ... }, ... }, { deleted key, ... } }
-- ARGV[2]  what watchers are not told (MessagePack):
--          { { hash, { field, value, ... }, { deleted field, ... }, ... },
--            { time to live in ms, { key, value, ... }, ... }, { deleted key, ... } }
-- ARGV[3]  channel of change notices
-- ARGV[4]  "here", or "elsewhere" where values lie in other slots and are written
-- Returns nil, or { index of the advance, stored position } of a conflict.
-- Numbers travel as text: Lua's would lose digits of large offsets.
local call = redis.call
local notice = cmsgpack.unpack(ARGV[1])
local advances = notice[3]

for i = 1, #advances, 3 do
  local stored = call('HGET', KEYS[1], advances[i])
  if stored and stored ~= advances[i + 1] then
    return { (i - 1) / 3, stored }
  end
end

-- A command takes at most a few thousand arguments from Lua's stack.
local function in_parts(command, key, list)
  for first = 1, #list, 1000 do
    call(command, key, unpack(list, first, math.min(first + 999, #list)))
  end
end

-- First what can fail, on a key that somebody gave another type.
local private = cmsgpack.unpack(ARGV[2])
local cells = private[1]
for i = 1, #cells, 3 do
  in_parts('HSET', cells[i], cells[i + 1])
  in_parts('HDEL', cells[i], cells[i + 2])
end
for i = 1, #advances, 3 do
  if advances[i + 1] ~= advances[i + 2] then
    call('HSET', KEYS[1], advances[i], advances[i + 2])
  end
end

local function write(sets, deletes)
  for i = 1, #sets, 2 do
    local time_to_live_ms, values = sets[i], sets[i + 1]
    for v = 1, #values, 2 do
      call('SET', values[v], values[v + 1], 'PX', time_to_live_ms)
    end
  end
  for i = 1, #deletes do
    call('DEL', deletes[i])
  end
end

if ARGV[4] == 'here' then
  write(notice[4], notice[5])
  write(private[2], private[3])
end
call('PUBLISH', ARGV[3], ARGV[1])
return nil
