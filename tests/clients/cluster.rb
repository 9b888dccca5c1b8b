# A cluster client of Ruby: cluster.rb PORT, of redis-rb. Ends with an error at the first surprise.
# After its checks it writes numbers, one after the other, until its input ends, and tells how many that were acknowledged are lost. The cluster
# changes meanwhile.

require 'redis'

PORT = Integer(ARGV[0])
KEYS = 2000
$checks = 0

def same(found, wanted)
  $checks += 1
  abort "redis-rb, check #{$checks}: #{found.inspect} instead of #{wanted.inspect}" unless found == wanted
end

def key(number)
  "redis-rb:#{number}"
end

r = Redis.new(cluster: ["redis://127.0.0.1:#{PORT}"], reconnect_attempts: 3, timeout: 2)
KEYS.times { |number| same(r.set(key(number), number), 'OK') }
500.times { |number| same(r.get(key(number)), number.to_s) }
tag = '{redis-rb}'
same(r.mset("#{tag}a", 1, "#{tag}b", 2), 'OK')
same(r.mget("#{tag}a", "#{tag}b", "#{tag}none"), ['1', '2', nil])
same(r.pipelined { |pipe| 3.times { pipe.incr("#{tag}a") } }, [2, 3, 4])
same(r.multi { |transaction| 2.times { transaction.incr("#{tag}b") } }, [3, 4])
same(r.eval("return redis.call('incrby', KEYS[1], ARGV[1])", keys: ["#{tag}c"], argv: [5]), 5)
begin
  r.mget(key(1), key(2), key(3))
  same('a reply', 'an error')
rescue Redis::Cluster::CrossSlotPipeliningError, Redis::BaseError => error
  same(error.message.match?(/slot|same node/i), true)
end
# Replicas serve reads to those who ask for that.
reader = Redis.new(cluster: ["redis://127.0.0.1:#{PORT}"], replica: true)
values = []
deadline = Time.now + 10
values = Array.new(100) { |number| reader.get(key(number)) } until values == Array.new(100, &:to_s) || Time.now > deadline
same(values, Array.new(100, &:to_s))

over = false
Thread.new { $stdin.read; over = true }
$stdout.sync = true
puts 'READY'
written = []
failed = 0
number = 0
until over
  sleep 0.002
  begin
    r.set("redis-rb:run:#{number}", number)
    written << number
  rescue Redis::BaseError
    failed += 1
    sleep 0.05
  end
  number += 1
end
lost = written.reject { |number| r.get("redis-rb:run:#{number}") == number.to_s }
puts "#{lost.size} lost of #{written.size}, #{failed} failed, checks: #{$checks}"
