-- Gives values their time to live, all from the same moment on.
-- KEYS  of the values
-- ARGV  { time to live in ms, how many of the keys have it, ... }
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local last = 0
for i = 1, #ARGV, 2 do
  local at = string.format('%.0f', now + ARGV[i])
  for key = last + 1, last + ARGV[i + 1] do
    redis.call('PEXPIREAT', KEYS[key], at)
  end
  last = last + ARGV[i + 1]
end
