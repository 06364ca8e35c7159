#!lua
-- KEYS[1] hash of the owner's positions, ARGV patterns of its other keys.
-- One script: positions without their cells, or the reverse, would be a wrong
-- state to resume from.
for _, pattern in ipairs(ARGV) do
  for _, key in ipairs(redis.call('KEYS', pattern)) do
    redis.call('UNLINK', key)
  end
end
redis.call('DEL', KEYS[1])
