-- Keep one publication and give it to whoever listens, once however often it is repeated.
-- O(1), and O(n) for n that are dropped.
-- KEYS[1] position  KEYS[2] stream  KEYS[3] what this publication's id got
-- ARGV[1] run id of the server  ARGV[2] end of a new epoch  ARGV[3] body  ARGV[4] its size
-- ARGV[5] most entries  ARGV[6] most bytes  ARGV[7] ttl (ms)  ARGV[8] how long the id is known (ms)
-- ARGV[9] how long a topic is kept at least (ms)  ARGV[10] PUBLISH or SPUBLISH  ARGV[11] channel
-- ARGV[12] head of what is published
-- Returns "epoch:offset".
local at = stand(KEYS[1], KEYS[2], ARGV[1], ARGV[2])
local offset = string.format('%.0f', at[2] + 1)
local position = at[1] .. ':' .. offset
if not redis.call('SET', KEYS[3], position, 'PX', ARGV[8], 'NX') then
  return redis.call('GET', KEYS[3])
end
local now, most, ttl = now_ms(), tonumber(ARGV[6]), tonumber(ARGV[7])
redis.call('XADD', KEYS[2], 'MAXLEN', ARGV[5], offset .. '-0', 't', now, 'c', at[4], 'b', ARGV[3])
local total, base, oldest = at[4] + ARGV[4], at[5], at[6]
-- What is known of the oldest may be of one that has been dropped: never too late, so look.
while total - base > most or oldest + ttl <= now do
  local head = redis.call('XRANGE', KEYS[2], '-', '+', 'COUNT', 2)
  local entry = head[1][2]
  base, oldest = tonumber(entry[4]), tonumber(entry[2])
  if not head[2] then break end
  if total - base > most or oldest + ttl <= now then
    redis.call('XDEL', KEYS[2], head[1][1])
    entry = head[2][2]
    base, oldest = tonumber(entry[4]), tonumber(entry[2])
  end
  if head[2][1] == offset .. '-0' then break end
end
write(KEYS[1], {at[1], offset, ttl, total, base, oldest})
redis.call('PEXPIRE', KEYS[1], math.max(ttl, tonumber(ARGV[9])))
redis.call('PEXPIRE', KEYS[2], ttl)
redis.call(ARGV[10], ARGV[11], ARGV[12] .. position .. ' ' .. ARGV[3])
return position
