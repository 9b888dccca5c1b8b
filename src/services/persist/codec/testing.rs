//! What tests of serialized values share: random values, and all that a value says as lines of text.

use crate::base::rng::Rng;
use crate::structures::hnsw::{Quantization, Scratch};
use crate::structures::table::{EntryValue, NewValue};
use crate::value::hash::Hash;
use crate::value::list::{End, List};
use crate::value::set::Set;
use crate::value::stream::{Group, NewId, Retention, Stream, StreamId};
use crate::value::vector_set::{Shape, VectorSet};
use crate::value::zset::Zset;
use crate::value::{Limits, Value, embedded};

/// Everything a value says, in an order that doesn't depend on its form.
pub fn contents(value: &EntryValue<'_, Value>) -> Vec<String> {
    let mut lines: Vec<String> = match value {
        EntryValue::Embedded(tag, bytes) => {
            return contents(&EntryValue::Object(&embedded::decode(*tag, bytes)));
        }
        EntryValue::Int(number) => vec![number.to_string()],
        EntryValue::Bytes(bytes) => vec![bytes.escape_ascii().to_string()],
        EntryValue::Object(Value::List(list)) => {
            let mut index = 0;
            let mut lines = Vec::new();
            list.range(0, list.len(), End::Back, |item| {
                lines.push(format!("{index:08} {}", item.to_cow().escape_ascii()));
                index += 1;
            });
            lines
        }
        EntryValue::Object(Value::Set(set)) => {
            set.iter().map(|member| member.to_cow().escape_ascii().to_string()).collect()
        }
        EntryValue::Object(Value::Zset(zset)) => {
            zset.iter().map(|(member, score)| format!("{} {score}", member.to_cow().escape_ascii())).collect()
        }
        EntryValue::Object(Value::Hash(hash)) => {
            let line = |f: crate::value::hash::Field<'_>| {
                let (name, value) = (f.name.to_cow(), f.value.to_cow());
                format!("{} {} {:?}", name.escape_ascii(), value.escape_ascii(), f.deadline)
            };
            hash.iter().map(line).collect()
        }
        EntryValue::Object(Value::Stream(stream)) => stream_contents(stream),
        EntryValue::Object(Value::VectorSet(set)) => vector_set_contents(set),
    };
    lines.sort();
    lines
}

fn vector_set_contents(set: &VectorSet) -> Vec<String> {
    let graph = set.graph();
    let input = set.projection().map(|projection| projection.apply(&vec![1.5; projection.input()]));
    let mut lines = vec![format!(
        "{} {} {:?} {} {input:?}",
        graph.dim(),
        graph.m(),
        graph.quantization(),
        graph.max_level()
    )];
    for id in graph.ids() {
        let (name, attribute) = (set.name(id).escape_ascii(), set.attribute(id).map(<[u8]>::escape_ascii));
        let vector = (graph.raw(id), graph.norm(id), graph.quant_range(id));
        let neighbours = |layer| {
            let mut names: Vec<_> = graph.links(id, layer).map(|(other, _)| set.name(other)).collect();
            names.sort_unstable();
            names
        };
        let links: Vec<_> = (0..=graph.level(id)).map(neighbours).collect();
        lines.push(format!(
            "{name} {} {vector:?} {links:?}",
            attribute.map_or_else(String::new, |it| it.to_string())
        ));
    }
    lines
}

fn stream_contents(stream: &Stream) -> Vec<String> {
    let log = &stream.log;
    let mut lines = vec![format!(
        "{:?} {:?} {:?} {} {}",
        log.last_id(),
        log.first_id(),
        log.max_deleted_id(),
        log.entries_added(),
        log.len()
    )];
    for entry in log.range(StreamId::ZERO, StreamId::MAX) {
        let fields: Vec<_> = entry.fields().map(|(f, v)| (f.to_vec(), v.to_vec())).collect();
        lines.push(format!("{:?} {fields:?}", entry.id));
    }
    for (name, group) in stream.groups.iter() {
        lines.push(format!("{name:?} {:?} {:?}", group.last_delivered(), group.entries_read()));
        for (id, consumer) in group.consumers() {
            let pending: Vec<_> = group
                .pending_with(id, StreamId::ZERO)
                .map(|(id, p)| (id, p.delivered_ms, p.deliveries))
                .collect();
            let (name, seen, active) = (consumer.name(), consumer.seen_ms, consumer.active_ms);
            lines.push(format!("{name:?} {seen} {active} {pending:?}"));
        }
    }
    lines.push(format!("{:?}", stream.retention()));
    if let Some(requests) = stream.requests() {
        lines.push(format!("{} {}", requests.added(), requests.duplicates()));
        for (name, records) in requests.iter() {
            lines.push(format!("{name:?} {:?}", records.collect::<Vec<_>>()));
        }
    }
    lines
}

/// Panics unless the invariants of the value hold.
pub fn check_invariants(value: &NewValue<'_, Value>) {
    let NewValue::Object(value) = value else { return };
    match &**value {
        Value::List(list) => list.check_invariants(),
        Value::Set(set) => set.check_invariants(),
        Value::Zset(zset) => zset.check_invariants(),
        Value::Hash(hash) => hash.check_invariants(),
        Value::Stream(stream) => stream.check_invariants(),
        Value::VectorSet(set) => set.check_invariants(),
    }
}

/// A string of any kind.
pub fn text(rng: &mut Rng, longest: u64) -> Vec<u8> {
    match rng.below(4) {
        0 => (rng.next_u64() as i64 >> rng.below(64)).to_string().into_bytes(),
        1 => format!("item {}", rng.below(1000)).into_bytes(),
        2 => vec![b'a' + rng.below(26) as u8; rng.below(longest) as usize],
        _ => {
            let mut bytes = vec![0; rng.below(longest) as usize];
            rng.fill(&mut bytes);
            bytes
        }
    }
}

/// Limits that small values exceed.
pub fn small_limits() -> Limits {
    Limits {
        hash_max_listpack_entries: 12,
        hash_max_listpack_value: 30,
        set_max_intset_entries: 12,
        set_max_listpack_entries: 12,
        set_max_listpack_value: 30,
        zset_max_listpack_entries: 12,
        zset_max_listpack_value: 30,
        list_max_listpack_size: 6,
        stream_node_max_entries: 5,
        ..Limits::default()
    }
}

fn add_requests(stream: &mut Stream, rng: &mut Rng, limits: &Limits) {
    stream.set_default_retention(Retention {
        seconds: 1 + rng.below(200) as u32,
        identifiers: 1 + rng.below(30) as u32,
    });
    let retention = stream.retention();
    for n in 0..rng.below(60) {
        let (producer, identifier) =
            (format!("p{}", rng.below(4)), [format!("{n} ").into_bytes(), text(rng, 20)].concat());
        let requests = stream.requests_mut();
        requests.record(producer.as_bytes(), &identifier, StreamId::new(n, 1), retention, &limits.hasher);
        if rng.below(3) == 0 {
            requests.count_duplicate();
        }
    }
}

/// A stream with groups, and with requests of producers in half of the cases.
pub fn random_stream(rng: &mut Rng, limits: &Limits, count: u64) -> Stream {
    let mut stream = Stream::new();
    let mut ids = Vec::new();
    for n in 0..count {
        let words: Vec<Vec<u8>> = (0..2 + 2 * rng.below(3)).map(|_| text(rng, 40)).collect();
        let fields: Vec<(&[u8], &[u8])> = words.chunks(2).map(|pair| (&pair[0][..], &pair[1][..])).collect();
        let id = NewId::Exact(StreamId::new(1 + n / 3, 1 + n));
        ids.push(stream.log.append(id, fields.iter().copied(), limits).expect("above"));
    }
    for id in ids.iter().filter(|_| rng.below(6) == 0) {
        stream.log.delete(*id);
    }
    for name in [b"g1".as_slice(), b"group of some length that repeats repeats repeats"] {
        let mut group = Group::new(StreamId::ZERO, if rng.below(2) == 0 { Some(0) } else { None });
        let consumers: Vec<_> = (0..1 + rng.below(3))
            .filter_map(|n| group.create_consumer(format!("consumer {n}").as_bytes(), 1000 + n as i64))
            .collect();
        for id in &ids {
            if rng.below(2) == 0 {
                continue;
            }
            let consumer = consumers[rng.below(consumers.len() as u64) as usize];
            group.deliver(&stream.log, *id, consumer, 5000, rng.below(4) == 0);
            if rng.below(3) == 0 {
                group.redeliver(*id, 6000);
            }
        }
        stream.groups.create(name, group);
    }
    if rng.below(2) == 0 {
        add_requests(&mut stream, rng, limits);
    }
    stream
}

/// A vector set of any shape, from which some elements were removed.
pub fn random_vector_set(rng: &mut Rng, count: u64) -> VectorSet {
    let input = 1 + rng.below(40) as usize;
    let reduced = (rng.below(3) == 0).then(|| 1 + rng.below(input as u64) as usize);
    let quantization = [Quantization::None, Quantization::Int8, Quantization::Binary][rng.below(3) as usize];
    let m = 4 + rng.below(5) as usize;
    let mut set = VectorSet::of_shape(Shape { input, reduced, m, quantization });
    let mut scratch = Scratch::new();
    let has_attributes = rng.below(2) == 0;
    for n in 0..count {
        let vector: Vec<f32> = (0..set.graph().dim()).map(|_| rng.unit() as f32 - 0.5).collect();
        let Err(place) = set.find(&n.to_le_bytes()) else { panic!("a new name") };
        let attribute = if has_attributes { text(rng, 30) } else { Vec::new() };
        let prepared = set.prepare(&vector, rng.below(3) as usize, 20, &mut scratch);
        set.insert(place, (&n.to_le_bytes(), &attribute), prepared, &mut scratch);
    }
    for n in (1..count).filter(|_| rng.below(5) == 0).collect::<Vec<_>>() {
        let place = set.find(&n.to_le_bytes()).expect("a name");
        set.remove(place);
    }
    set
}

/// A collection of any type and form.
pub fn random_value(rng: &mut Rng, limits: &Limits) -> Value {
    let count = 1 + rng.below(40);
    let longest = if rng.below(2) == 0 { 20 } else { 60 };
    match rng.below(7) {
        6 => Value::VectorSet(Box::new(random_vector_set(rng, count))),
        0 => {
            let mut list = List::new();
            (0..count).for_each(|_| list.push(End::Back, &text(rng, longest), limits));
            Value::List(list)
        }
        1 => {
            let mut set = Set::new();
            for _ in 0..count {
                set.insert(&text(rng, longest), limits);
            }
            Value::Set(set)
        }
        2 => {
            let mut set = Set::new();
            for _ in 0..count {
                set.insert(rng.below(99).to_string().as_bytes(), limits);
            }
            Value::Set(set)
        }
        3 => {
            let mut zset = Zset::new();
            for _ in 0..count {
                let score =
                    [rng.unit() * 1e6, rng.below(10) as f64, f64::NEG_INFINITY][rng.below(3) as usize];
                zset.insert(&text(rng, longest), score, limits);
            }
            Value::Zset(zset)
        }
        4 => {
            let mut hash = Hash::new();
            let volatile = rng.below(2) == 0;
            for _ in 0..count {
                let field = text(rng, longest);
                hash.set(&field, &text(rng, longest), false, limits);
                if volatile && rng.below(2) == 0 {
                    hash.set_deadline(&field, Some(1 + rng.below(1 << 40)));
                }
            }
            Value::Hash(hash)
        }
        _ => Value::Stream(Box::new(random_stream(rng, limits, count))),
    }
}
