// BullMQ, a job queue of some fifty Lua scripts, on a fresh server: bullmq.cjs PORT ioredis|redis.

const { fork } = require('node:child_process');
const { FlowProducer, Queue, QueueEvents, UnrecoverableError, Worker } = require('bullmq');
const { same, between, fails, until, run } = require('./checks.cjs');

const [port, library, abandoned] = [Number(process.argv[2]), process.argv[3], process.argv[4]];
const closed = [];

// Options of a connection, or a client of node-redis, which BullMQ duplicates where it needs more.
async function connection() {
  if (library === 'ioredis') return { port };
  const client = require('redis').createClient({ url: `redis://127.0.0.1:${port}` });
  client.on('error', (error) => console.error('node-redis:', error));
  await client.connect();
  return client;
}

async function open(Kind, ...args) {
  const options = { ...args.at(-1), connection: await connection() };
  const opened = new Kind(...args.slice(0, -1), options);
  opened.on?.('error', (error) => console.error(`${Kind.name}:`, error));
  opened.setMaxListeners?.(0);
  await opened.waitUntilReady?.();
  closed.push(opened);
  return opened;
}

async function close() {
  while (closed.length) await closed.pop().close();
}

async function manyJobs() {
  const queue = await open(Queue, 'many', {});
  const events = await open(QueueEvents, 'many', {});
  await open(Worker, 'many', async (job) => job.data.n * 2, { concurrency: 8 });
  const jobs = await queue.addBulk([...Array(200).keys()].map((n) => ({ name: 'double', data: { n } })));
  const doubled = await Promise.all(jobs.map((job) => job.waitUntilFinished(events, 10_000)));
  same(doubled, [...Array(200).keys()].map((n) => n * 2), 'values that jobs return');
  const counts = { waiting: 0, active: 0, completed: 200, failed: 0, delayed: 0 };
  same(await queue.getJobCounts(...Object.keys(counts)), counts, 'counts');
  same((await queue.getCompleted(0, 9)).length, 10, 'a page of jobs');
  same((await queue.clean(0, 150, 'completed')).length, 150, 'jobs cleaned');
  same(await queue.getCompletedCount(), 50, 'jobs left');
  await close();
}

async function events() {
  const queue = await open(Queue, 'told', {});
  const events = await open(QueueEvents, 'told', {});
  const told = [];
  for (const name of ['added', 'waiting', 'active', 'progress', 'completed']) {
    events.on(name, ({ jobId, data, returnvalue }) => told.push([name, jobId, data ?? returnvalue ?? null]));
  }
  const work = async (job) => {
    await job.updateProgress(50);
    await job.log('half of it');
    await job.updateData({ ...job.data, seen: true });
    return { done: job.id };
  };
  await open(Worker, 'told', work, {});
  const job = await queue.add('work', { a: [1, 'ü', null] }, { jobId: 'the-job' });
  same(await job.waitUntilFinished(events, 10_000), { done: 'the-job' }, 'value of a job');
  await until(() => told.length === 5, 'five events');
  const wanted = [['added', null], ['waiting', null], ['active', null], ['progress', 50], ['completed', { done: 'the-job' }]];
  same(told, wanted.map(([name, data]) => [name, 'the-job', data]), 'events in their order');
  same(await queue.getJobLogs('the-job'), { logs: ['half of it'], count: 1 }, 'log of a job');
  const kept = await queue.getJob('the-job');
  same(kept.data, { a: [1, 'ü', null], seen: true }, 'data of a job');
  same(kept.progress, 50, 'progress of a job');
  same(await kept.getState(), 'completed', 'state of a job');
  await kept.remove();
  same(await queue.getJob('the-job'), undefined, 'a removed job');
  await close();
}

async function delays() {
  const queue = await open(Queue, 'later', {});
  const started = [];
  await open(Worker, 'later', async (job) => started.push([job.name, Date.now() - job.timestamp]), {});
  const late = await queue.add('late', {}, { delay: 60_000 });
  await queue.add('second', {}, { delay: 400 });
  await queue.add('first', {}, { delay: 150 });
  await queue.add('at once', {});
  same(await late.getState(), 'delayed', 'state of a delayed job');
  await until(() => started.length === 3, 'three jobs');
  same(started.map(([name]) => name), ['at once', 'first', 'second'], 'order of delayed jobs');
  between(started[1][1], 148, 1500, 'delay of the first');
  between(started[2][1], 398, 2500, 'delay of the second');
  await late.promote();
  await until(() => started.length === 4, 'the promoted job');
  same(await queue.getDelayedCount(), 0, 'delayed jobs');
  await close();
}

async function retries() {
  const queue = await open(Queue, 'again', {});
  const events = await open(QueueEvents, 'again', {});
  const times = [];
  const work = async (job) => {
    times.push(Date.now());
    if (job.name === 'hopeless') throw new UnrecoverableError('no use');
    if (job.attemptsMade < job.data.failures) throw new Error(`failure ${job.attemptsMade}`);
    return job.attemptsMade;
  };
  await open(Worker, 'again', work, {});
  const options = { attempts: 3, backoff: { type: 'exponential', delay: 50 } };
  const job = await queue.add('flaky', { failures: 2 }, options);
  same(await job.waitUntilFinished(events, 10_000), 2, 'the third attempt');
  same(times.length, 3, 'attempts');
  between(times[1] - times[0], 48, 1500, 'first backoff');
  between(times[2] - times[1], 98, 1500, 'second backoff');
  const kept = await queue.getJob(job.id);
  same([kept.attemptsMade, kept.failedReason, kept.stacktrace.length], [3, 'failure 1', 2], 'what is kept of failures');
  const broken = await queue.add('broken', { failures: 4 }, options);
  await fails(broken.waitUntilFinished(events, 10_000), 'failure 2', 'the last failure');
  same(await queue.getFailedCount(), 1, 'failed jobs');
  same((await queue.getFailed())[0].failedReason, 'failure 2', 'reason of the failure');
  const hopeless = await queue.add('hopeless', {}, options);
  await fails(hopeless.waitUntilFinished(events, 10_000), 'no use', 'an error without a second attempt');
  same((await queue.getJob(hopeless.id)).attemptsMade, 1, 'attempts of it');
  await hopeless.remove();
  const failed = await queue.getJob(broken.id);
  await failed.updateData({ failures: 0 });
  await failed.retry();
  await until(async () => (await failed.getState()) === 'completed', 'a job retried by hand');
  same(await queue.getFailedCount(), 0, 'failed jobs');
  await close();
}

async function priorities() {
  const queue = await open(Queue, 'order', {});
  await queue.pause();
  same(await queue.isPaused(), true, 'a paused queue');
  const order = [];
  await open(Worker, 'order', async (job) => order.push(job.name), {});
  await queue.addBulk([3, 1, 2, 1].map((priority, n) => ({ name: `${priority}, job ${n}`, data: {}, opts: { priority } })));
  await queue.add('none, first', {});
  await queue.add('none, second', {});
  await queue.add('none, last in', {}, { lifo: true });
  const changed = await queue.add('5, then 2', {}, { priority: 5 });
  await changed.changePriority({ priority: 2 });
  same(await queue.getCountsPerPriority([0, 1, 2, 3, 5]), { 0: 3, 1: 2, 2: 2, 3: 1, 5: 0 }, 'counts by priority');
  same(order, [], 'nothing starts in a paused queue');
  await queue.resume();
  await until(() => order.length === 8, 'all jobs');
  const wanted = ['none, last in', 'none, first', 'none, second', '1, job 1', '1, job 3', '2, job 2', '5, then 2', '3, job 0'];
  same(order, wanted, 'order by priority');
  await close();
}

async function schedulers() {
  const queue = await open(Queue, 'ticks', {});
  const ticks = [];
  await open(Worker, 'ticks', async (job) => ticks.push([job.name, job.data.of, Date.now()]), {});
  const start = Date.now();
  await queue.upsertJobScheduler('clock', { every: 200, limit: 4 }, { name: 'tick', data: { of: 'clock' } });
  await queue.upsertJobScheduler('yearly', { pattern: '0 0 1 1 *', tz: 'UTC' }, { name: 'new year' });
  same(await queue.getJobSchedulersCount(), 2, 'schedulers');
  const { key, every, template } = await queue.getJobScheduler('clock');
  same([key, every, template.data], ['clock', 200, { of: 'clock' }], 'a scheduler');
  await until(() => ticks.length === 4, 'four ticks');
  same(ticks.map(([name, of]) => [name, of]), Array(4).fill(['tick', 'clock']), 'ticks');
  between(ticks[3][2] - start, 395, 5000, 'time of four ticks');
  const next = (await queue.getJobSchedulers()).find((scheduler) => scheduler.key === 'yearly').next;
  same(next, Date.UTC(new Date().getUTCFullYear() + 1, 0, 1), 'the next new year');
  same(await queue.removeJobScheduler('yearly'), true, 'a scheduler removed');
  same(await queue.removeJobScheduler('yearly'), false, 'a scheduler that is not there');
  same(await queue.getDelayedCount(), 0, 'its job is removed, too');
  await close();
}

async function flows() {
  const flow = await open(FlowProducer, {});
  const events = await open(QueueEvents, 'sums', {});
  const work = async (job) => {
    if (job.name === 'part') return job.data.n;
    const parts = Object.values(await job.getChildrenValues());
    return parts.reduce((sum, part) => sum + part, 0);
  };
  await open(Worker, 'parts', work, { concurrency: 3 });
  await open(Worker, 'sums', work, {});
  const part = (n) => ({ name: 'part', queueName: 'parts', data: { n } });
  const middle = { name: 'sum', queueName: 'sums', children: [part(10), part(20)] };
  const tree = await flow.add({ name: 'sum', queueName: 'sums', children: [part(1), part(2), middle] });
  same(tree.children.length, 3, 'children');
  same(await tree.job.waitUntilFinished(events, 10_000), 33, 'sum of a tree of jobs');
  const kept = await flow.getFlow({ id: tree.job.id, queueName: 'sums' });
  same(kept.children.map((child) => child.job.returnvalue).sort((a, b) => a - b), [1, 2, 30], 'values of the children');
  const { processed, unprocessed } = await tree.job.getDependencies();
  same([Object.values(processed).sort((a, b) => a - b), unprocessed], [[1, 2, 30], []], 'dependencies');
  await close();
}

async function limits() {
  const queue = await open(Queue, 'slowly', {});
  const times = [];
  await queue.addBulk([...Array(7).keys()].map((n) => ({ name: 'job', data: { n }, opts: { removeOnComplete: 2 } })));
  const start = Date.now();
  await open(Worker, 'slowly', async () => times.push(Date.now()), { limiter: { max: 3, duration: 200 }, concurrency: 5 });
  await until(() => times.length === 7, 'seven jobs');
  between(times[3] - start, 195, 3000, 'pause after three jobs');
  between(times[6] - start, 395, 5000, 'pause after six jobs');
  await until(async () => (await queue.getActiveCount()) === 0, 'no job is active');
  same(await queue.getCompletedCount(), 2, 'completed jobs that are kept');
  await close();
}

async function duplicates() {
  const queue = await open(Queue, 'once', {});
  const first = await queue.add('job', { n: 1 }, { deduplication: { id: 'the-one', ttl: 60_000 } });
  const second = await queue.add('job', { n: 2 }, { deduplication: { id: 'the-one', ttl: 60_000 } });
  same(second.id, first.id, 'a duplicate');
  same(await queue.getWaitingCount(), 1, 'jobs');
  same(await queue.removeDeduplicationKey('the-one'), 1, 'key removed');
  const third = await queue.add('job', { n: 3 }, { deduplication: { id: 'the-one', ttl: 60_000 } });
  same(third.id !== first.id, true, 'no duplicate any more');
  same((await queue.add('named', {}, { jobId: 'a' })).id, (await queue.add('named', {}, { jobId: 'a' })).id, 'the same id');
  same(await queue.getWaitingCount(), 3, 'jobs');
  await queue.drain();
  same(await queue.getWaitingCount(), 0, 'a drained queue');
  await close();
}

// Another process takes a job and is killed; a worker finds it stalled and does it.
async function stalled() {
  const queue = await open(Queue, 'lost', {});
  const events = await open(QueueEvents, 'lost', {});
  const told = [];
  events.on('stalled', ({ jobId }) => told.push(jobId));
  const job = await queue.add('job', {}, {});
  const child = fork(__filename, [port, library, 'abandoned']);
  const ended = new Promise((resolve) => child.once('exit', (_, signal) => resolve(signal)));
  same(await new Promise((resolve) => child.once('message', resolve)), job.id, 'the job that the other process took');
  same(await job.getState(), 'active', 'its state');
  child.kill('SIGKILL');
  same(await ended, 'SIGKILL', 'end of the other process');
  await open(Worker, 'lost', async () => 'done by the second', { stalledInterval: 100 });
  same(await job.waitUntilFinished(events, 10_000), 'done by the second', 'value of the job');
  same(told, [job.id], 'stalled jobs');
  await close();
}

async function takeAndHang() {
  const work = (job) => new Promise(() => process.send(job.id));
  await open(Worker, 'lost', work, { lockDuration: 200, lockRenewTime: 100, skipStalledCheck: true });
}

async function nothingLeft() {
  for (const name of ['many', 'told', 'later', 'again', 'order', 'ticks', 'parts', 'sums', 'slowly', 'once', 'lost']) {
    await (await open(Queue, name, {})).obliterate({ force: true });
  }
  const client = require('redis').createClient({ url: `redis://127.0.0.1:${port}` });
  await client.connect();
  same((await client.keys('bull:*')).sort(), [], 'keys');
  await client.close();
  await close();
}

if (abandoned) takeAndHang();
else run([manyJobs, events, delays, retries, priorities, schedulers, flows, limits, duplicates, stalled, nothingLeft]);
