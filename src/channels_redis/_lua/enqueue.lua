-- Put one message into the queue of a normal channel, once however often it is repeated.
-- KEYS[1] queue  KEYS[2] waiters  KEYS[3] the sender's latest number
-- ARGV[1] sender's number  ARGV[2] envelope  ARGV[3] capacity  ARGV[4] expiry (ms)
-- ARGV[5] inbox prefix  ARGV[6] stamp  ARGV[7] bell  ARGV[8] how long a waiter counts (ms)
-- ARGV[9] age (ms) of a message that is given back: it goes to the front, whatever the capacity;
--         a new one has none
-- Returns 1, or 0 if the channel is full.
local latest = redis.call('GET', KEYS[3])
if latest and tonumber(latest) >= tonumber(ARGV[1]) then return 1 end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local function sent(entry) return tonumber(string.sub(entry, 1, 14)) or now end
local head = redis.call('LINDEX', KEYS[1], 0)
while head and sent(head) + ARGV[4] <= now do
  redis.call('LPOP', KEYS[1])
  head = redis.call('LINDEX', KEYS[1], 0)
end
local length = redis.call('LLEN', KEYS[1])
if ARGV[9] then
  redis.call('LPUSH', KEYS[1], string.format('%014d', now - ARGV[9]) .. ARGV[2])
elseif length >= tonumber(ARGV[3]) then
  return 0
else
  redis.call('RPUSH', KEYS[1], string.format('%014d', now) .. ARGV[2])
end
redis.call('PEXPIRE', KEYS[1], ARGV[4])
redis.call('SET', KEYS[3], ARGV[1], 'PX', 60000)
if length == 0 then -- a reader that found messages comes again by itself
  for _, id in ipairs(redis.call('ZRANGEBYSCORE', KEYS[2], now - ARGV[8], '+inf')) do
    redis.call('XADD', ARGV[5] .. id, '*', 's', ARGV[6], 'e', ARGV[7])
    redis.call('PEXPIRE', ARGV[5] .. id, ARGV[4])
  end
end
return 1
