<?php
// A cluster client of PHP: cluster.php PORT, of Predis. Ends with an error at the first surprise.
// After its checks it writes numbers, one after the other, until its input ends, and tells how many that were acknowledged are lost. The cluster
// changes meanwhile.

require 'Predis/Autoloader.php';
Predis\Autoloader::register();
error_reporting(E_ALL & ~E_DEPRECATED);
const KEYS = 2000;
$checks = 0;

function same($found, $wanted): void
{
    global $checks;
    $checks += 1;
    if ($found !== $wanted) {
        fwrite(STDERR, "Predis, check $checks: " . var_export($found, true) . ' instead of ' . var_export($wanted, true) . "\n");
        exit(1);
    }
}

function key_of(int $number): string
{
    return "predis:$number";
}

$r = new Predis\Client(["tcp://127.0.0.1:$argv[1]"], ['cluster' => 'redis']);
$numbers = range(0, KEYS - 1);
foreach ($numbers as $number) {
    same((string) $r->set(key_of($number), $number), 'OK');
}
foreach (array_slice($numbers, 0, 500) as $number) {
    same($r->get(key_of($number)), (string) $number);
}
// Over all nodes.
$piped = $r->pipeline(function ($pipe) use ($numbers) {
    foreach ($numbers as $number) {
        $pipe->get(key_of($number));
    }
});
same($piped, array_map('strval', $numbers));
$tag = '{predis}';
same((string) $r->mset(["{$tag}a" => 1, "{$tag}b" => 2]), 'OK');
same($r->incr("{$tag}a"), 2);
same($r->mget(["{$tag}a", "{$tag}b", "{$tag}none"]), ['2', '2', null]);
same($r->eval("return redis.call('incrby', KEYS[1], ARGV[1])", 1, "{$tag}c", 5), 5);
try {
    $r->lpush("{$tag}a", 'x');
    same('a reply', 'an error');
} catch (Predis\Response\ServerException $error) {
    same($error->getErrorType(), 'WRONGTYPE');
}

stream_set_blocking(STDIN, false);
echo "READY\n";
[$written, $failed] = [[], 0];
for ($number = 0; fread(STDIN, 1) !== '' || !feof(STDIN); $number += 1) {
    usleep(2000);
    try {
        $r->set("predis:run:$number", $number);
        $written[] = $number;
    } catch (Predis\PredisException $error) {
        $failed += 1;
        usleep(50000);
    }
}
$lost = array_filter($written, fn ($number) => $r->get("predis:run:$number") !== (string) $number);
echo count($lost) . ' lost of ' . count($written) . ", $failed failed, checks: $checks\n";
