// ioredis's client for Sentinel: follow.cjs PORT … (of the sentinels). Prints the port of the server after each write.
const Redis = require('ioredis');

const sentinels = process.argv.slice(2).map((port) => ({ host: '127.0.0.1', port: Number(port) }));
const primary = new Redis({
  sentinels,
  name: 'mymaster',
  connectTimeout: 1000,
  commandTimeout: 1000,
  sentinelRetryStrategy: () => 50,
  retryStrategy: () => 50,
  // A server that hangs keeps its connection open: the client listens for +switch-master, too.
  failoverDetector: true,
});
primary.on('error', () => {});
// A +switch-master that comes while it asks a sentinel ends the client for good (5.11).
primary.on('end', () => setTimeout(() => primary.connect().catch(() => {}), 50));

// Neither what fails out of sight nor what never comes back ends the test's client.
process.on('unhandledRejection', () => {});
const late = () => new Promise((_, reject) => setTimeout(reject, 5000, new Error('no reply')));

async function follow() {
  for (;;) {
    try {
      const written = primary.multi().incr('followed').config('GET', 'port').exec();
      const [, [, config]] = await Promise.race([written, late()]);
      console.log(config[1]);
    } catch {
      // It is tried again.
    }
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

follow();
