-- Take the oldest message of a normal channel, once however often it is repeated; where there is
-- none, the node is told when one comes.
-- KEYS[1] queue  KEYS[2] waiters  KEYS[3] what this sender took last
-- ARGV[1] sender's number  ARGV[2] node  ARGV[3] expiry (ms)
-- Returns {age in ms, envelope}, or nil.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local function sent(entry) return tonumber(string.sub(entry, 1, 14)) or now end
local last = redis.call('HMGET', KEYS[3], 'number', 'entry')
local entry
if last[1] == ARGV[1] then
  entry = last[2]
else
  entry = redis.call('LPOP', KEYS[1])
  while entry and sent(entry) + ARGV[3] <= now do
    entry = redis.call('LPOP', KEYS[1])
  end
  if entry then
    redis.call('HSET', KEYS[3], 'number', ARGV[1], 'entry', entry)
    redis.call('PEXPIRE', KEYS[3], 60000)
  end
end
if entry then return {now - sent(entry), string.sub(entry, 15)} end
-- Who has not asked for so long has gone; the key itself stays as long as anybody asks.
redis.call('ZREMRANGEBYSCORE', KEYS[2], '-inf', now - ARGV[3])
redis.call('ZADD', KEYS[2], now, ARGV[2])
redis.call('PEXPIRE', KEYS[2], ARGV[3])
return false
