-- What the scripts of presence share; it stands before each of them.
-- members: hash of a member's key to "<connections>:<shown>". leases: sorted set of nodes by the time
-- (ms) at which they end. here: one hash for each node, of its connections to their keys. version:
-- the number of the latest change; it begins with the time (us), which runs faster than changes come,
-- so that one which was forgotten does not begin again with a number that somebody knows.
-- KEYS[1] members  KEYS[2] leases  KEYS[3] version
-- ARGV[1] PUBLISH or SPUBLISH  ARGV[2] channel  ARGV[3] head of what is published
-- ARGV[4] prefix of here  ARGV[5] how long keys live that nobody renews (ms)
local MEMBERS, LEASES, VERSION = KEYS[1], KEYS[2], KEYS[3]
local CHANNEL, HERE = ARGV[2], ARGV[4]
local joined, left = {}, {}
local function now_us()
  local time = redis.call('TIME')
  return time[1] * 1000000 + time[2]
end
local function now_ms() return math.floor(now_us() / 1000) end
local function version()
  local number = redis.call('GET', VERSION)
  if not number then
    number = string.format('%.0f', now_us())
    redis.call('SET', VERSION, number)
  end
  redis.call('PEXPIRE', VERSION, ARGV[5])
  return number
end
local function member(key)
  local entry = redis.call('HGET', MEMBERS, key)
  if not entry then return 0, nil end
  local count, shown = string.match(entry, '^(%d+):(.*)$')
  return tonumber(count), shown
end
local function put(key, count, shown)
  redis.call('HSET', MEMBERS, key, string.format('%d:', count) .. shown)
end
-- Takes one connection from a member; notes the member's end.
local function drop(key)
  local count, shown = member(key)
  if count > 1 then
    put(key, count - 1, shown)
  elseif redis.call('HDEL', MEMBERS, key) == 1 then
    left[#left + 1] = key
  end
end
-- Ends what belongs to nodes whose lease has run out.
local function sweep(now)
  local dead = redis.call('ZRANGEBYSCORE', LEASES, '-inf', now)
  for _, node in ipairs(dead) do
    for _, key in ipairs(redis.call('HVALS', HERE .. node)) do drop(key) end
    redis.call('DEL', HERE .. node)
    redis.call('ZREM', LEASES, node)
  end
  if #dead > 0 and redis.call('EXISTS', LEASES) == 0 then
    for _, key in ipairs(redis.call('HKEYS', MEMBERS)) do left[#left + 1] = key end
    redis.call('DEL', MEMBERS)
  end
end
-- Publishes what was noted, as one change.
local function tell()
  if #joined == 0 and #left == 0 then return end
  version()
  local number = redis.call('INCR', VERSION)
  redis.call(ARGV[1], CHANNEL, ARGV[3] .. cmsgpack.pack({number, joined, left}))
  joined, left = {}, {}
end
