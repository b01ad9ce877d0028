-- Erase what is kept of a topic, and who is there; those who listen are told that these have gone.
-- KEYS[1 ... 3] and ARGV[1 ... 4] as in presence.lua  KEYS[4] position  KEYS[5] stream
left = redis.call('HKEYS', MEMBERS)
tell()
for _, node in ipairs(redis.call('ZRANGE', LEASES, 0, -1)) do
  redis.call('DEL', HERE .. node)
end
redis.call('DEL', unpack(KEYS))
return 1
