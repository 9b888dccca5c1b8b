#!/usr/bin/env python3
"""Kills a primary of a cluster (kill -9) and counts the seconds until writes to its slots are acknowledged again.

    tests/bench/cluster_failover.py COMMAND... [--rounds 3] [--timeout 15000] [--port 28000]

Each COMMAND starts a server of a kind ('target/release/redloop', 'valkey-server'); each kind has a cluster of three primaries and three
replicas, and all clusters go through a round at the same time, so that what disturbs one disturbs all. The times are those of
cluster-node-timeout; its default is 15000 ms.
"""
import argparse
import os
import shlex
import shutil
import statistics
import subprocess
import tempfile
import threading
import time

from slot_moves import Client, until


class Cluster:
    def __init__(self, command, base, timeout, root):
        self.command, self.ports, self.timeout, self.root = command, [base + n for n in range(6)], timeout, root
        self.processes = {port: self.start(port) for port in self.ports}
        for port in self.ports:
            until("a server", 10, lambda: Client(port).ask("PING"))
        clients = [Client(port) for port in self.ports]
        for number, client in enumerate(clients[:3]):
            client.ask("CLUSTER", "ADDSLOTSRANGE", number * 16384 // 3, (number + 1) * 16384 // 3 - 1)
        for number, client in enumerate(clients):
            client.ask("CLUSTER", "SET-CONFIG-EPOCH", number + 1)
            if number:
                clients[0].ask("CLUSTER", "MEET", "127.0.0.1", self.ports[number])
        until("all know all", 30, lambda: all("known_nodes:6" in client.ask("CLUSTER", "INFO") for client in clients))
        for number in range(3):
            clients[3 + number].ask("CLUSTER", "REPLICATE", clients[number].ask("CLUSTER", "MYID"))
        self.settle()

    def start(self, port):
        folder = os.path.join(self.root, str(port))
        os.makedirs(folder, exist_ok=True)
        words = ["--port", str(port), "--cluster-enabled", "yes", "--save", "", "--appendonly", "no", "--dir", folder]
        words += ["--cluster-node-timeout", str(self.timeout), "--repl-diskless-sync-delay", "0"]
        with open(os.path.join(folder, "log"), "a") as log:
            return subprocess.Popen(shlex.split(self.command) + words, stdout=log, stderr=log)

    def settle(self):
        def is_settled(port):
            info = Client(port).ask("INFO", "replication")
            ok = "cluster_state:ok" in Client(port).ask("CLUSTER", "INFO")
            return ok and ("connected_slaves:1" in info or "master_link_status:up" in info)

        until("a cluster in order", 60, lambda: all(is_settled(port) for port in self.ports))

    def owner(self, at):
        slots = Client(at).ask("CLUSTER", "SLOTS")
        return min(slots, key=lambda part: part[0])[2][1]

    def fail_over(self):
        """Seconds until the replica of the first slots' primary takes a write to them after it was killed."""
        killed = self.owner(self.ports[0])
        others = [port for port in self.ports if port != killed]
        self.processes[killed].kill()
        self.processes[killed].wait()
        begin = time.perf_counter()

        def is_written():
            for port in others:
                try:
                    # The slot of this name is 0 to 5460.
                    if Client(port, 2).ask("SET", "b", begin) == "OK":
                        return True
                except RuntimeError:
                    continue
            return False

        until("a failover", 120, is_written)
        seconds = time.perf_counter() - begin
        self.processes[killed] = self.start(killed)
        until("it is back", 30, lambda: Client(killed).ask("PING"))
        return seconds


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("commands", nargs="+")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--timeout", type=int, default=15000)
    parser.add_argument("--port", type=int, default=20600)
    options = parser.parse_args()
    root, clusters = tempfile.mkdtemp(), []
    try:
        for number, command in enumerate(options.commands):
            clusters.append(Cluster(command, options.port + 10 * number, options.timeout, root))
        times = {cluster.command: [] for cluster in clusters}

        def go(cluster):
            times[cluster.command].append(cluster.fail_over())

        for _ in range(options.rounds):
            for cluster in clusters:
                cluster.settle()
            threads = [threading.Thread(target=go, args=(cluster,)) for cluster in clusters]
            [thread.start() for thread in threads]
            [thread.join() for thread in threads]
            print("  ".join(f"{command}: {found[-1]:.2f} s" for command, found in times.items()), flush=True)
        for command, found in times.items():
            print(f"{command}: median {statistics.median(found):.2f} s, longest {max(found):.2f} s")
    finally:
        for cluster in clusters:
            for process in cluster.processes.values():
                process.kill()
                process.wait()
        shutil.rmtree(root, ignore_errors=True)


if __name__ == "__main__":
    main()
