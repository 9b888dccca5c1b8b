use std::collections::BTreeMap;
use std::ops::Bound;

use super::*;

const DIM: usize = 4;

type Model = BTreeMap<Vec<u8>, (Vec<f32>, Option<Vec<u8>>)>;

fn put(set: &mut VectorSet, model: &mut Model, number: u64, rng: &mut Rng, scratch: &mut Scratch) {
    let name = format!("element:{number}").into_bytes();
    let vector: Vec<f32> = (0..DIM).map(|_| rng.unit() as f32 - 0.5).collect();
    let attribute = (rng.below(3) == 0).then(|| format!("{{\"n\":{number}}}").into_bytes());
    let level = Graph::draw_level(|bound| rng.below(bound.min(4)));
    let given = attribute.as_deref().unwrap_or_default();
    match set.find(&name) {
        Ok(place) => set.update(place, &vector, Some(given), (level, 20), scratch),
        Err(place) => {
            let prepared = set.prepare(&vector, level, 20, scratch);
            set.insert(place, (&name, given), prepared, scratch);
        }
    }
    model.insert(name, (vector, attribute));
}

fn check(set: &VectorSet, model: &Model) {
    set.check_invariants();
    assert!(set.names_from(Bound::Unbounded).eq(model.keys().map(Vec::as_slice)));
    for (name, (vector, attribute)) in model {
        let id = set.id(name).expect("it is there");
        assert_eq!(set.attribute(id), attribute.as_deref());
        assert!(set.vector(id).iter().zip(vector).all(|(own, other)| (own - other).abs() < 1e-5));
    }
}

/// A set grows, is cut down to little while clones are held, and grows again.
#[test]
fn a_set_that_loses_elements_keeps_the_others_and_gives_memory_back() {
    let (mut rng, mut scratch) = (Rng::new(40), Scratch::new());
    let shape = Shape { input: DIM, reduced: None, m: 4, quantization: Quantization::None };
    let (mut set, mut model) = (VectorSet::of_shape(shape), Model::new());
    let mut clones = Vec::new();
    for _ in 0..2 {
        for _ in 0..1500 {
            put(&mut set, &mut model, rng.below(100_000), &mut rng, &mut scratch);
        }
        check(&set, &model);
        clones.push((set.clone(), model.clone()));
        let full = set.memory_usage();
        while model.len() > 20 {
            let at = rng.below(model.len() as u64) as usize;
            let name = model.keys().nth(at).expect("there are so many").clone();
            if rng.below(4) == 0 {
                let number = String::from_utf8_lossy(&name[8..]).parse().expect("a number");
                put(&mut set, &mut model, number, &mut rng, &mut scratch);
            } else {
                set.remove(set.find(&name).expect("it is there"));
                model.remove(&name);
            }
            if model.len() == 700 {
                clones.push((set.clone(), model.clone()));
            }
        }
        check(&set, &model);
        assert!(set.graph().bound() < 60);
        assert!(set.memory_usage() < full / 8, "{} of {full}", set.memory_usage());
    }
    clones.iter().for_each(|(set, model)| check(set, model));
}
