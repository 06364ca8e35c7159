#!lua
-- Applies the part of a batch that lies in the owner's slot of a cluster: all of
-- it, or nothing where a position is not as expected.
-- KEYS     hash of the owner's positions, then the hashes of cells: named so that
--          a cluster that moves the slot lets the script run wholly or not
-- ARGV[1]  the change notice, published as it is
-- ARGV[2]  MessagePack:
--          { { partition, from, to, ... },
--            { hash, { field, value, ... }, { deleted field, ... }, ... } }
-- ARGV[3]  channel of change notices
-- Returns nil, or { index of the advance, stored position } of a conflict.
-- Numbers travel as text: Lua's would lose digits of large offsets.
local call = redis.call
local own = cmsgpack.unpack(ARGV[2])
local advances, cells = own[1], own[2]

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
for i = 1, #cells, 3 do
  in_parts('HSET', cells[i], cells[i + 1])
  in_parts('HDEL', cells[i], cells[i + 2])
end
for i = 1, #advances, 3 do
  if advances[i + 1] ~= advances[i + 2] then
    call('HSET', KEYS[1], advances[i], advances[i + 2])
  end
end
call('PUBLISH', ARGV[3], ARGV[1])
return nil
