#!lua
-- KEYS[1] hash of the owner's positions, ARGV[1] pattern of its state hashes.
-- One script: positions without their cells, or the reverse, would be a wrong
-- state to resume from.
for _, key in ipairs(redis.call('KEYS', ARGV[1])) do
  redis.call('UNLINK', key)
end
redis.call('DEL', KEYS[1])
