//! Requests that make random values of every type and form.

use redloop::base::rng::Rng;

fn text(rng: &mut Rng, longest: u64) -> Vec<u8> {
    let len = rng.below(longest) as usize;
    match rng.below(4) {
        0 => (rng.next_u64() as i64 >> rng.below(64)).to_string().into_bytes(),
        1 => format!("item:{}", rng.below(5000)).into_bytes(),
        2 => vec![b'a' + rng.below(26) as u8; len],
        _ => {
            let mut bytes = vec![0; len];
            rng.fill(&mut bytes);
            bytes
        }
    }
}

/// Requests that make a random value at `key`, also one with deadlines of fields if `field_deadlines`.
pub fn recipe(rng: &mut Rng, key: &str, field_deadlines: bool) -> Vec<Vec<Vec<u8>>> {
    let count = [1, 5, 60, 700][rng.below(4) as usize];
    let longest = [12, 60, 300][rng.below(3) as usize];
    let words = |name: &str| vec![name.as_bytes().to_vec(), key.as_bytes().to_vec()];
    let mut requests = Vec::new();
    match rng.below(8) {
        0 => requests.push([words("SET"), vec![text(rng, 20_000)]].concat()),
        1 => requests.push([words("SET"), vec![rng.next_u64().to_string().into_bytes()]].concat()),
        2 => {
            let mut request = words("RPUSH");
            request.extend((0..count).map(|_| text(rng, longest)));
            if rng.below(3) == 0 {
                request.push(vec![b'x'; 9000]);
            }
            requests.push(request);
        }
        3 => {
            let mut request = words("SADD");
            let wide = 1 << rng.below(60);
            request.extend((0..count).map(|_| (rng.below(wide) as i64 - 50).to_string().into_bytes()));
            requests.push(request);
        }
        4 => {
            let mut request = words("SADD");
            request.extend((0..count).map(|_| text(rng, longest)));
            requests.push(request);
        }
        5 => {
            let mut request = words("ZADD");
            for _ in 0..count {
                let score = [rng.unit() * 1e9, rng.below(100) as f64, 1e-7, -1e300][rng.below(4) as usize];
                request.extend([score.to_string().into_bytes(), text(rng, longest)]);
            }
            requests.push(request);
        }
        6 => {
            let mut request = words("HSET");
            let fields: Vec<Vec<u8>> = (0..count).map(|_| text(rng, longest)).collect();
            request.extend(fields.iter().flat_map(|field| [field.clone(), text(rng, longest)]));
            requests.push(request);
            if field_deadlines && rng.below(2) == 0 {
                for field in fields.iter().step_by(1 + rng.below(4) as usize) {
                    let mut request = words("HPEXPIREAT");
                    let moment = 4_000_000_000_000 + rng.below(1 << 40);
                    request.push(moment.to_string().into_bytes());
                    request.extend([b"FIELDS".to_vec(), b"1".to_vec(), field.clone()]);
                    requests.push(request);
                }
            }
        }
        _ => stream_recipe(rng, key, count, longest, &mut requests),
    }
    requests
}

fn stream_recipe(rng: &mut Rng, key: &str, count: u64, longest: u64, requests: &mut Vec<Vec<Vec<u8>>>) {
    let mut push =
        |line: String| requests.push(line.split(' ').map(|word| word.as_bytes().to_vec()).collect());
    for n in 1..=count {
        if rng.below(3) == 0 {
            push(format!("XADD {key} {n}-{n} a {n} b {}", rng.below(50)));
        } else {
            push(format!(
                "XADD {key} {n}-{n} field{} {}",
                n % 3,
                "v".repeat(1 + rng.below(longest) as usize)
            ));
        }
    }
    for _ in 0..count / 5 {
        let id = 1 + rng.below(count);
        push(format!("XDEL {key} {id}-{id}"));
    }
    if rng.below(2) == 0 {
        push(format!("XGROUP CREATE {key} group 0"));
        push(format!("XGROUP CREATE {key} untouched 3 ENTRIESREAD 2"));
        push(format!("XGROUP CREATECONSUMER {key} group idle"));
        for n in 0..3 {
            let some = 1 + rng.below(count);
            push(format!("XREADGROUP GROUP group consumer{n} COUNT {some} STREAMS {key} >"));
        }
        push(format!("XACK {key} group 2-2 3-3"));
    }
}
