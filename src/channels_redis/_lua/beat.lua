-- Say that a node lives.
-- KEYS[1] node  KEYS[2] inbox
-- ARGV[1] expiry (ms)
-- Returns {1 if it was known, 0 if its memberships may be gone; the time in ms}
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local known = redis.call('EXISTS', KEYS[1])
redis.call('SET', KEYS[1], now, 'PX', ARGV[1])
redis.call('PEXPIRE', KEYS[2], ARGV[1])
return {known, now}
