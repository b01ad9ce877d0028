-- Keep one publication and give it to whoever listens, once however often it is repeated.
-- O(1), and O(n) for n that are dropped.
-- KEYS[1] position  KEYS[2] stream  KEYS[3] what this publication's id got
-- ARGV[1] run id of the server  ARGV[2] end of a new epoch  ARGV[3] body  ARGV[4] its size
-- ARGV[5] most entries  ARGV[6] most bytes  ARGV[7] ttl (ms)  ARGV[8] how long the id is known (ms)
-- ARGV[9] how long a topic is kept at least (ms)  ARGV[10] PUBLISH or SPUBLISH  ARGV[11] channel
-- ARGV[12] head of what is published
-- Returns "epoch:offset".
local here = stand(KEYS[1], KEYS[2], ARGV[1], ARGV[2])
local offset = string.format('%.0f', here[2] + 1)
local position = here[1] .. ':' .. offset
if not redis.call('SET', KEYS[3], position, 'PX', ARGV[8], 'NX') then
  return redis.call('GET', KEYS[3])
end
local now = now_ms()
local size, entries, most, ttl = tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6]), tonumber(ARGV[7])
redis.call('XADD', KEYS[2], offset .. '-0', 't', now, 's', size, 'b', ARGV[3])
local length, bytes, oldest = redis.call('XLEN', KEYS[2]), here[3] + size, here[4]
if length == 1 then bytes, oldest = size, now end
local kept = length
while kept > 1 and (kept > entries or bytes > most or oldest + ttl <= now) do
  -- The oldest, and the one that is the oldest then.
  local head = redis.call('XRANGE', KEYS[2], '-', '+', 'COUNT', 2)
  redis.call('XDEL', KEYS[2], head[1][1])
  kept, bytes, oldest = kept - 1, bytes - head[1][2][4], tonumber(head[2][2][2])
  if kept == 1 then bytes = size end
end
redis.call('HSET', KEYS[1], 'epoch', here[1], 'offset', offset, 'bytes', bytes, 'oldest', oldest,
  'ttl', ttl)
redis.call('PEXPIRE', KEYS[1], math.max(ttl, tonumber(ARGV[9])))
redis.call('PEXPIRE', KEYS[2], ttl)
redis.call(ARGV[10], ARGV[11], ARGV[12] .. position .. ' ' .. ARGV[3])
return position
