# Sidekiq, a job queue, with a process of its own on a fresh server: sidekiq_jobs.rb PORT.

require "sidekiq"
require "sidekiq/api"
require "timeout"

PATIENCE = 30

# A Sidekiq process has the address from the environment.
ENV["REDIS_URL"] ||= "redis://127.0.0.1:#{ARGV[0]}/0"
Redis.silence_deprecations = true
Sidekiq.configure_server do |config|
  config.options[:poll_interval_average] = 0.3
  config.logger.level = Logger::FATAL
end

# The jobs.

class Note
  include Sidekiq::Worker

  def perform(text)
    Sidekiq.redis { |r| r.rpush("notes", "#{text} #{Time.now.to_f}") }
  end
end

class Add
  include Sidekiq::Worker
  sidekiq_options queue: "sums"

  def perform(number)
    Sidekiq.redis { |r| r.incrby("sum", number) }
  end
end

class FailTwice
  include Sidekiq::Worker
  sidekiq_options retry: 5

  def perform(key)
    tries = Sidekiq.redis { |r| r.incr(key) }
    raise ArgumentError, "try #{tries} ☹" if tries <= 2
  end
end

class FailOnce
  include Sidekiq::Worker
  sidekiq_options retry: 0

  def perform(key)
    raise "no luck" unless Sidekiq.redis { |r| r.exists(key) } == 1
    Sidekiq.redis { |r| r.set("#{key}:done", 1) }
  end
end

class Wait
  include Sidekiq::Worker

  def perform(key)
    Sidekiq.redis { |r| r.incr("#{key}:started") }
    Sidekiq.redis { |r| r.blpop("#{key}:let", timeout: 60) }
    Sidekiq.redis { |r| r.set("#{key}:done", 1) }
  end
end

# What is done with them.

$checks = 0

def same(found, wanted, what)
  $checks += 1
  raise "check #{$checks}: #{what}: #{found.inspect} instead of #{wanted.inspect}" if found != wanted
end

def between(found, low, high, what)
  $checks += 1
  raise "check #{$checks}: #{what}: #{found.inspect} is not from #{low} to #{high}" unless found.between?(low, high)
end

def now
  Process.clock_gettime(Process::CLOCK_MONOTONIC)
end

def wait_until(what)
  limit = now + PATIENCE
  loop do
    found = yield
    return found if found
    raise "after check #{$checks}, waited too long for: #{what}" if now > limit
    sleep 0.01
  end
end

def redis(&block)
  Sidekiq.redis(&block)
end

$started = []

def start(*options)
  $started << spawn("sidekiq", "-r", File.expand_path(__FILE__), "-c", "4", "-q", "default", "-q", "sums", *options)
  $started.last
end

def stop(process)
  Process.kill("TERM", process)
  Process.wait($started.delete(process))
  same($?.exitstatus, 0, "end of the process")
end

def many
  200.times { |n| Add.perform_async(n) }
  Add.perform_bulk((0...1000).map { |n| [n] })
  same(Sidekiq::Queue.new("sums").size, 1200, "jobs")
  same(Sidekiq::Queue.all.map(&:name), ["sums"], "queues")
  process = start
  wait_until("all jobs") { Sidekiq::Queue.new("sums").size == 0 && redis { |r| r.get("sum") } == "519400" }
  stop(process)
  stats = Sidekiq::Stats.new
  same([stats.processed, stats.failed, stats.enqueued, stats.processes_size], [1200, 0, 0, 0], "statistics")
  same(Sidekiq::Stats::History.new(1).processed.values.first, 1200, "statistics of the day")
end

def retries
  FailTwice.perform_async("tries")
  FailOnce.perform_async("once")
  process = start
  wait_until("a dead job") { Sidekiq::DeadSet.new.size == 1 }
  dead = Sidekiq::DeadSet.new.first
  same([dead.klass, dead["error_class"], dead["error_message"]], ["FailOnce", "RuntimeError", "no luck"], "the dead job")
  (1..2).each do |try|
    job = wait_until("failure #{try}") { Sidekiq::RetrySet.new.find { |one| one["error_message"] == "try #{try} ☹" } }
    same([job["error_class"], job["retry_count"]], ["ArgumentError", try - 1], "the failure")
    between(job.at.to_f - Time.now.to_f, 1, 60, "time until the next try")
    same(Sidekiq::Stats.new.retry_size, 1, "jobs to retry")
    job.reschedule(Time.now)
  end
  wait_until("the third try") { redis { |r| r.get("tries") } == "3" && Sidekiq::RetrySet.new.size == 0 }
  redis { |r| r.set("once", 1) }
  Sidekiq::DeadSet.new.retry_all
  wait_until("the dead job, done") { redis { |r| r.exists("once:done") } == 1 }
  same(Sidekiq::DeadSet.new.size, 0, "dead jobs")
  stop(process)
  same(Sidekiq::Stats.new.failed, 3, "failures")
end

def schedule
  started = Time.now.to_f
  soon = Note.perform_in(1.5, "soon")
  later = Note.perform_at(started + 3600, "later")
  scheduled = Sidekiq::ScheduledSet.new
  same(scheduled.map(&:jid), [later, soon], "scheduled jobs, the last first")
  between(scheduled.find_job(later).at.to_f - started, 3590, 3610, "time of a job")
  same(scheduled.scan("soon").map(&:jid), [soon], "a job found by its arguments")
  process = start
  wait_until("the scheduled job") { redis { |r| r.llen("notes") } == 1 }
  between(redis { |r| r.lindex("notes", 0) }.split.last.to_f - started, 1.49, PATIENCE, "time until then")
  same(scheduled.map(&:jid), [later], "scheduled jobs")
  scheduled.find_job(later).reschedule(started)
  wait_until("the rescheduled job") { redis { |r| r.llen("notes") } == 2 }
  same(scheduled.size, 0, "scheduled jobs")
  stop(process)
end

# A process is stopped in the midst of a job, which goes back to its queue; the next process does it.
def graceful_stop
  jid = Wait.perform_async("stopped")
  # Idle threads wait in BRPOP for two seconds; none of them may take the job that is put back.
  process = start("-t", "3")
  wait_until("a running job") { redis { |r| r.get("stopped:started") } == "1" }
  _, _, work = wait_until("the running job among those at work") { Sidekiq::WorkSet.new.first }
  same([work["queue"], work["payload"]["jid"]], ["default", jid], "the job at work")
  # A heartbeat tells the jobs first, then the process.
  wait_until("a busy process") { Sidekiq::ProcessSet.new.first["busy"] == 1 }
  same(Sidekiq::ProcessSet.new.map { |one| [one["pid"], one["queues"]] }, [[process, %w[default sums]]], "processes")
  same(Sidekiq::Queue.new.size, 0, "jobs in the queue")
  stop(process)
  same(Sidekiq::ProcessSet.new.size, 0, "processes")
  same(Sidekiq::Queue.new.map(&:jid), [jid], "the job is in the queue again")
  redis { |r| r.rpush("stopped:let", 1) }
  process = start
  wait_until("the job, done") { redis { |r| r.exists("stopped:done") } == 1 }
  stop(process)
  same(redis { |r| r.get("stopped:started") }, "2", "times that the job has started")
  same(Sidekiq::Queue.new.size, 0, "jobs in the queue")
end

if $PROGRAM_NAME == __FILE__
  at_exit { $started.each { |process| Process.kill("KILL", process) } }
  Timeout.timeout(80) { [method(:many), method(:retries), method(:schedule), method(:graceful_stop)].each(&:call) }
  puts "checks: #{$checks}"
end
