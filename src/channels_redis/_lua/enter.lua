-- Note that a connection of a member is in a topic; its node lives.
-- KEYS[4] here, of this node; the others and ARGV[1 ... 5] as in presence.lua
-- ARGV[6] node  ARGV[7] connection  ARGV[8] key  ARGV[9] shown
-- ARGV[10] how many bytes at the start of shown tell whether it has changed, -1 for all
-- ARGV[11] lease (ms)
local key, shown = ARGV[8], ARGV[9]
local before = redis.call('HGET', KEYS[4], ARGV[7])
if before and before ~= key then drop(before) end
local count, old = member(key)
if before ~= key or count == 0 then count = count + 1 end
redis.call('HSET', KEYS[4], ARGV[7], key)
if not old or string.sub(old, 1, ARGV[10]) ~= string.sub(shown, 1, ARGV[10]) then
  joined = {key, shown}
end
put(key, count, shown)
redis.call('ZADD', LEASES, now_ms() + ARGV[11], ARGV[6])
for _, name in ipairs({MEMBERS, LEASES, KEYS[4]}) do redis.call('PEXPIRE', name, ARGV[5]) end
tell()
return 1
