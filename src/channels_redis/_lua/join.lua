-- Make a node a member of groups, and say that it lives. O(groups).
-- KEYS[1] node  KEYS[2 ...] groups
-- ARGV[1] member  ARGV[2] expiry (ms)  ARGV[3] group expiry (ms)
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('SET', KEYS[1], now, 'PX', ARGV[2])
for i = 2, #KEYS do
  redis.call('ZADD', KEYS[i], now, ARGV[1])
  redis.call('PEXPIRE', KEYS[i], ARGV[3])
end
return 1
