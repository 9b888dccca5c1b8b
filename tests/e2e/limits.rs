//! Many clients, and the limits that keep one of them from taking everything.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::Command;

use socket2::{Domain, Socket, Type};

use crate::harness::{Client, Server, eventually, field, info_field, request};

#[test]
fn ten_thousand_clients() {
    const CLIENTS: usize = 10_000;
    redloop::sys::process::raise_open_files(CLIENTS as u64 + 500);
    let server = Server::start(&["--maxclients", "10100"]);
    let before = server.resident();
    let mut streams: Vec<TcpStream> =
        (0..CLIENTS).map(|_| TcpStream::connect(("127.0.0.1", server.port)).expect("connected")).collect();
    let mut control = server.client();
    eventually("all are in", || control.ask("CLIENT ID").trim_start_matches(':').parse::<usize>().is_ok());
    for (n, stream) in streams.iter_mut().enumerate() {
        stream.write_all(format!("*2\r\n$4\r\nECHO\r\n$5\r\n{n:05}\r\n").as_bytes()).expect("sent");
    }
    for (n, stream) in streams.iter_mut().enumerate() {
        let mut reply = [0; 11];
        stream.read_exact(&mut reply).expect("answered");
        assert_eq!(reply, *format!("$5\r\n{n:05}\r\n").as_bytes());
    }
    let each = (server.resident() - before) / CLIENTS;
    assert!(each < 2048, "an idle client takes {each} bytes");
    drop(streams);
    eventually("all are gone", || control.ask("CLIENT LIST").lines().count() == 1);
}

#[test]
fn too_many_clients() {
    let server = Server::start(&["--maxclients", "2"]);
    let (mut c, mut d) = (server.client(), server.client());
    assert_eq!((c.ask("PING"), d.ask("PING")), ("+PONG".into(), "+PONG".into()));
    let mut e = server.client();
    assert_eq!(e.read_to_end(), b"-ERR max number of clients reached\r\n");
    drop(d);
    eventually("there is room again", || server.client().try_ask_ping());
}

/// A client of this address, which is one of the machine's own.
fn client_from(server: &Server, address: &str) -> Client {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    let own: SocketAddr = format!("{address}:0").parse().expect("an address");
    let there = SocketAddr::from(([127, 0, 0, 1], server.port));
    socket.bind(&own.into()).and_then(|()| socket.connect(&there.into())).expect("connected");
    Client::of(socket.into())
}

#[test]
fn reserved_places() {
    const FULL: &[u8] = b"-ERR max number of clients reached\r\n";
    let server = Server::start(&["--maxclients", "4", "--maxclients-reserved", "2"]);
    // Without subnets nothing is reserved.
    let mut clients: Vec<_> = (0..3).map(|_| server.client()).collect();
    assert!(clients.iter_mut().all(|client| client.ask("PING") == "+PONG"));
    let c = &mut clients[0];
    for (value, error) in
        [("127.0.0.1/99", "Invalid IP address or CIDR subnet"), ("x/24", "Invalid IP address or CIDR subnet")]
    {
        let reply = c.ask(&format!("CONFIG SET priority-subnets {value}"));
        assert!(reply.starts_with("-ERR CONFIG SET failed") && reply.contains(error), "{reply}");
    }
    assert_eq!(c.ask_words(&["CONFIG", "SET", "priority-subnets", "127.0.0.2, 10.0.0.0/8"]), "+OK");
    assert_eq!(c.ask("CONFIG GET priority-subnets"), "[$priority-subnets, $127.0.0.2, 10.0.0.0/8]");
    // Those who are there stay; another finds no place, but one from the subnet does.
    assert_eq!(server.client().read_to_end(), FULL);
    let mut operator = client_from(&server, "127.0.0.2");
    assert_eq!(operator.ask("PING"), "+PONG");
    assert_eq!(info_field(&mut operator, "connected_priority_clients"), "1");
    assert_eq!(client_from(&server, "127.0.0.2").read_to_end(), FULL);
    assert_eq!(info_field(&mut operator, "rejected_connections"), "2");
    assert_eq!(info_field(&mut operator, "rejected_priority_connections"), "1");
    // What it takes of the reserved places is not counted against the others.
    clients.truncate(1);
    let mut second = server.client();
    eventually("there is one place for all", || {
        second.try_ask_ping() || {
            second = server.client();
            false
        }
    });
    assert_eq!(server.client().read_to_end(), FULL);
    // Whatever the subnets are by then, it was counted when it came.
    assert_eq!(operator.ask("CONFIG SET priority-subnets 127.0.0.1"), "+OK");
    drop(operator);
    eventually("it is no longer counted", || info_field(&mut second, "connected_priority_clients") == "0");
    // More reserved places than there are: none for the others.
    assert_eq!(second.ask("CONFIG SET maxclients-reserved 100 priority-subnets 127.0.0.2"), "+OK");
    drop(clients);
    assert_eq!(server.client().read_to_end(), FULL);
    assert_eq!(client_from(&server, "127.0.0.2").ask("PING"), "+PONG");
}

#[test]
fn a_client_that_found_no_descriptor_left_gets_the_next() {
    let server = Server::start(&[]);
    let mut c = server.client();
    assert_eq!(c.ask("PING"), "+PONG");
    let is_free =
        |number: &u32| !std::fs::exists(format!("/proc/{}/fd/{number}", server.id())).is_ok_and(|it| it);
    let free = (0..).find(is_free).expect("there is one");
    let limit = format!("--nofile={free}:{free}");
    let set = Command::new("prlimit").args(["--pid", &server.id().to_string(), &limit]).status();
    assert!(set.is_ok_and(|status| status.success()), "prlimit (util-linux) is there");
    let mut d = server.client();
    d.send("PING");
    server.wait_for_log(&["Accepting client connection"]);
    drop(c);
    assert_eq!(d.read(), "+PONG");
}

#[test]
fn idle_clients() {
    let server = Server::start(&["--timeout", "1"]);
    let mut c = server.client();
    let mut s = server.client();
    assert_eq!(c.ask("PING"), "+PONG");
    assert!(s.ask("SUBSCRIBE ch").starts_with('['));
    assert!(c.is_closed());
    assert_eq!(s.ask("PING"), "[$pong, $]");
}

#[test]
fn output_limits() {
    let server = Server::start(&["--client-output-buffer-limit", "normal 100000 0 0 pubsub 200000 0 0"]);
    let mut c = server.client();
    assert_eq!(c.ask_words(&[b"SET".as_slice(), b"small", &[b'x'; 50_000]]), "+OK");
    assert_eq!(c.ask_words(&[b"SET".as_slice(), b"big", &[b'x'; 150_000]]), "+OK");
    assert_eq!(c.ask("GET small").len(), 50_001);
    // Of a reply beyond the limit nothing comes.
    c.send("GET big");
    assert!(c.is_closed());
    server.wait_for_log(&["scheduled to be closed ASAP for overcoming of output buffer limits"]);
    let mut drawer = server.client();
    assert_eq!(drawer.ask("HSET h a b"), ":1");
    drawer.send("HRANDFIELD h -999999999");
    assert!(drawer.is_closed());
    // A subscriber that doesn't read: what the sockets hold, and then the limit.
    let (mut slow, mut p) = (server.client(), server.client());
    assert!(slow.ask("SUBSCRIBE ch").starts_with('['));
    let message = vec![b'm'; 100_000];
    eventually("the slow one is closed", || {
        p.ask_words(&[b"PUBLISH".as_slice(), b"ch", &message]);
        p.ask("PUBSUB NUMSUB ch") == "[$ch, :0]"
    });
}

#[test]
fn soft_output_limit() {
    let server = Server::start(&["--client-output-buffer-limit", "pubsub 0 100000 1"]);
    let (mut slow, mut p) = (server.client(), server.client());
    assert!(slow.ask("SUBSCRIBE ch").starts_with('['));
    let message = vec![b'm'; 100_000];
    eventually("output waits", || {
        p.ask_words(&[b"PUBLISH".as_slice(), b"ch", &message]);
        field(&p.ask("CLIENT LIST TYPE pubsub"), "omem").parse::<usize>().expect("omem") > 100_000
    });
    eventually("it took too long", || p.ask("PUBSUB NUMSUB ch") == "[$ch, :0]");
}

/// Memory is what counts: a long value of which a part has gone out is held as a whole until all of it has.
#[test]
fn a_value_that_is_half_out_counts_as_a_whole() {
    const SIZE: usize = 32 << 20;
    let server = Server::start(&[]);
    let (mut slow, mut c) = (server.client(), server.client());
    assert_eq!(c.ask_words(&[b"SET".as_slice(), b"k", &vec![b'x'; SIZE]]), "+OK");
    assert_eq!(slow.ask("CLIENT SETNAME slow"), "+OK");
    slow.send("GET k");
    let mut own = String::new();
    eventually("a part is out", || {
        let all = c.ask("CLIENT LIST");
        own = all.lines().find(|line| line.contains("name=slow")).expect("connected").into();
        field(&own, "tot-net-out").parse::<usize>().expect("a number") > 1000
    });
    let number = |name| field(&own, name).parse::<usize>().expect("a number");
    let (held, sent) = (number("omem"), number("tot-net-out"));
    assert!(held >= SIZE && sent < SIZE, "{held} bytes held, {sent} sent");
    assert_eq!(slow.read_bulk().len(), SIZE);
    eventually("nothing is held", || {
        let all = c.ask("CLIENT LIST");
        let own = all.lines().find(|line| line.contains("name=slow")).expect("connected");
        field(own, "omem") == "0"
    });
}

#[test]
fn query_buffer_limit() {
    let server = Server::start(&["--client-query-buffer-limit", "1048576"]);
    let mut c = server.client();
    assert_eq!(c.ask_words(&[b"SET".as_slice(), b"k", &vec![b'x'; 1_000_000]]), "+OK");
    let mut d = server.client();
    let _ = d.stream.write_all(&request(&[b"SET".as_slice(), b"k", &vec![b'x'; 1_048_576]]));
    assert!(d.is_closed());
    // What waits behind MULTI counts.
    let mut d = server.client();
    assert_eq!(d.ask("MULTI"), "+OK");
    let mut closed = false;
    for _ in 0..20 {
        closed |= d.stream.write_all(&request(&[b"SET".as_slice(), b"k", &vec![b'x'; 100_000]])).is_err();
        closed |= !closed && d.try_read().is_none();
    }
    assert!(closed);
    assert_eq!(c.ask("PING"), "+PONG");
}

#[test]
fn clients_that_take_too_much_are_gone_before_the_next_request() {
    const LIMIT: usize = 1_000_000;
    let server = Server::start(&["--maxmemory-clients", &LIMIT.to_string()]);
    let (mut subscriber, mut publisher) = (server.client(), server.client());
    assert_eq!(subscriber.ask("CLIENT SETNAME reader"), "+OK");
    assert_eq!(subscriber.ask("SUBSCRIBE c"), "[$subscribe, $c, :1]");
    let publish = "return redis.call('PUBLISH', 'c', string.rep('x', 200000))";
    for published in 0.. {
        assert!(published < 1000, "the kernel takes all of it");
        publisher.ask_words(&["EVAL", publish, "0"]);
        let list = publisher.ask("CLIENT LIST");
        let Some(line) = list.lines().find(|line| line.contains("name=reader")) else { break };
        let memory: usize = field(line, "tot-mem").parse().expect("a number");
        assert!(memory < LIMIT, "after {published}: {memory}");
    }
}

#[test]
fn clients_that_take_too_much_together() {
    let server = Server::start(&["--maxmemory-clients", "9mb"]);
    let mut control = server.client();
    let mut holders: Vec<_> = [1, 8, 12].map(|quarters| (quarters, server.client())).into();
    // Requests that are never whole, of so many quarters of a megabyte; their buffers have two, four and four. With the third it is
    // too much for all together, and the third is protected.
    for (quarters, holder) in &mut holders {
        assert_eq!(holder.ask(&format!("CLIENT SETNAME holder{quarters}")), "+OK");
        if *quarters == 12 {
            assert_eq!(holder.ask("CLIENT NO-EVICT ON"), "+OK");
        }
        holder.raw(format!("*2\r\n$4\r\nECHO\r\n${}\r\n", 16 << 20).as_bytes());
        holder.raw(&vec![b'x'; *quarters << 18]);
    }
    assert!(holders[1].1.is_closed(), "the largest that may go");
    let log = server.wait_for_log(&["Evicting client: id="]);
    let line = log.lines().find(|line| line.contains("Evicting client:")).expect("waited for");
    assert_eq!((field(line, "name").as_str(), field(line, "cmd").as_str()), ("holder8", "client|setname"));
    assert!(control.ask("INFO stats").contains("evicted_clients:1"));
    let names = control.ask("CLIENT LIST");
    assert!(names.contains("name=holder1") && names.contains("name=holder12"), "{names}");
    // A share of maxmemory: no limit without that; then a tenth of ten megabytes, which is less than the one that is left takes.
    drop(holders.pop());
    eventually("the protected one is gone", || !control.ask("CLIENT LIST").contains("holder12"));
    for line in
        ["CONFIG SET maxmemory-clients 0", "CONFIG SET maxmemory-clients 10%", "CONFIG SET maxmemory 0"]
    {
        assert_eq!(control.ask(line), "+OK");
    }
    assert!(control.ask("INFO stats").contains("evicted_clients:1"));
    assert_eq!(control.ask("CONFIG SET maxmemory 10mb"), "+OK");
    assert!(holders[0].1.is_closed());
    assert_eq!(control.ask("CONFIG GET maxmemory-clients"), "[$maxmemory-clients, $10%]");
    assert!(control.ask("INFO stats").contains("evicted_clients:2"));
}
