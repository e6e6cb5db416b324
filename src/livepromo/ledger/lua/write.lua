-- write: replaces rows of one ledger partition, and what is known of its progress, if the table stands where the writer thinks.
--
-- KEYS[1]    applied: how far into the ledger the rows reach
-- KEYS[2]    progress: a hash
-- KEYS[3..]  rows
-- ARGV[1]    applied as the writer thinks it is; empty: nothing applied yet
-- ARGV[2]    applied as it is to be
-- ARGV[3]    "fresh": progress begins anew, or "goes on"
-- ARGV[4]    how many fields of progress follow
-- ARGV[5..]  fields of progress, name and value by turns; then a value for each row, in the order of KEYS; empty: removed
-- returns    "written", or "stale": nothing has changed
-- cost       one GET, and a SET or HSET for everything written; 2,000 rows take about 2 ms of the server

if (redis.call('GET', KEYS[1]) or '') ~= ARGV[1] then
  return 'stale'
end

-- The hash comes first: it is the only key of which Redis could refuse the type, and nothing is written before it. `applied` comes last.
local first_value = 5 + 2 * tonumber(ARGV[4])
if ARGV[3] == 'fresh' then
  -- A full server refuses a SET, but no DEL, nor anything that a script does after its first write: so it is asked with a SET that changes nothing.
  redis.call('SET', KEYS[1], ARGV[1])
  redis.call('DEL', KEYS[2])
end
for at = 5, first_value - 1, 2 do
  redis.call('HSET', KEYS[2], ARGV[at], ARGV[at + 1])
end
for at = 3, #KEYS do
  local value = ARGV[first_value + at - 3]
  if value == '' then
    redis.call('DEL', KEYS[at])
  else
    redis.call('SET', KEYS[at], value)
  end
end
redis.call('SET', KEYS[1], ARGV[2])
return 'written'
