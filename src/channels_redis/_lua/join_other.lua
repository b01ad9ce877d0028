-- Make a channel of another node, or a normal channel, a member of a group. The other node learns
-- it before any later message of the group, since both come through its inbox.
-- KEYS[1] group  KEYS[2] inbox of the other node and KEYS[3] its node key, or neither
-- ARGV[1] member  ARGV[2] expiry (ms)  ARGV[3] group expiry (ms)
-- ARGV[4] stamp  ARGV[5] envelope  ARGV[6] most entries of an inbox
-- Returns 1, or 0 if the inbox is full.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
if KEYS[2] then
  if redis.call('XLEN', KEYS[2]) >= tonumber(ARGV[6]) then return 0 end
  redis.call('XADD', KEYS[2], '*', 's', ARGV[4], 'e', ARGV[5])
  redis.call('PEXPIRE', KEYS[2], ARGV[2])
  redis.call('SET', KEYS[3], now, 'PX', ARGV[2], 'NX')
end
redis.call('ZADD', KEYS[1], now, ARGV[1])
redis.call('PEXPIRE', KEYS[1], ARGV[3])
return 1
