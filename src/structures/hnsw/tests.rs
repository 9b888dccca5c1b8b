use std::cell::Cell;
use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, Ordering};

use super::*;
use crate::base::rng::Rng;

thread_local! {
    /// Distances of two nodes that were computed.
    static COMPARISONS: Cell<usize> = const { Cell::new(0) };
}

pub(super) fn count_comparison() {
    COMPARISONS.set(COMPARISONS.get() + 1);
}

/// How many distances of two nodes `work` computes.
fn comparisons_of(work: impl FnOnce()) -> usize {
    let before = COMPARISONS.get();
    work();
    COMPARISONS.get() - before
}

const QUANTIZATIONS: [Quantization; 3] = [Quantization::None, Quantization::Int8, Quantization::Binary];

/// Where vectors of a test come from.
#[derive(Clone, Copy, Debug)]
enum Source {
    Uniform,
    /// About one of ten directions.
    Clustered,
    /// Five different vectors.
    Duplicates,
    /// A step further on a circle each time.
    Ordered(u32),
}

impl Source {
    fn vector(&mut self, dim: usize, rng: &mut Rng) -> Vec<f32> {
        let uniform =
            |rng: &mut Rng| -> Vec<f32> { (0..dim).map(|_| rng.unit() as f32 * 2.0 - 1.0).collect() };
        match self {
            Source::Uniform => uniform(rng),
            Source::Clustered => {
                let centre = uniform(&mut Rng::new(rng.below(10)));
                centre.iter().zip(uniform(rng)).map(|(centre, noise)| centre + 0.1 * noise).collect()
            }
            Source::Duplicates => uniform(&mut Rng::new(rng.below(5))),
            Source::Ordered(step) => {
                *step += 1;
                let angle = *step as f32 / 500.0;
                (0..dim).map(|i| (angle + i as f32).sin()).collect()
            }
        }
    }
}

const SOURCES: [Source; 4] = [Source::Uniform, Source::Clustered, Source::Duplicates, Source::Ordered(0)];

fn add(graph: &mut Graph, vector: &[f32], rng: &mut Rng, scratch: &mut Scratch) -> u32 {
    let query = graph.prepare(vector);
    let level = Graph::draw_level(|bound| rng.below(bound.min(4)));
    let place = graph.find_place(&query, 100, level, scratch);
    graph.insert(&query, place, scratch)
}

fn graph_of(
    nodes: usize,
    dim: usize,
    m: usize,
    quantization: Quantization,
    source: Source,
    rng: &mut Rng,
) -> Graph {
    let (mut graph, mut scratch, mut source) = (Graph::new(dim, m, quantization), Scratch::new(), source);
    for _ in 0..nodes {
        let vector = source.vector(dim, rng);
        add(&mut graph, &vector, rng, &mut scratch);
    }
    graph
}

/// All that were given out are of nodes or vacant, and blocks know whose they are.
fn check_numbers(graph: &Graph) {
    let some = |number: u32| Some(number).filter(|number| *number != NONE);
    let mut before = NONE;
    let mut vacant_count = 0;
    for id in std::iter::successors(some(graph.vacant), |id| some(graph.links.row(*id)[0])) {
        assert!(id < graph.numbers && !graph.contains(id) && graph.links.row(id)[1] == before);
        before = id;
        vacant_count += 1;
    }
    assert_eq!(graph.len() + vacant_count, graph.numbers as usize);
    let (mut used, mut before) = (0, NONE);
    for id in graph.ids() {
        for block in std::iter::successors(some(graph.node(id).upper), |block| some(graph.above(*block))) {
            assert_eq!(graph.upper.row(block)[graph.width + 2], id);
            used += 1;
        }
    }
    for block in std::iter::successors(some(graph.vacant_block), |block| some(graph.above(*block))) {
        let row = graph.upper.row(block);
        assert!(block < graph.blocks && row[graph.width + 1] == before && row[graph.width + 2] == NONE);
        before = block;
        used += 1;
    }
    assert_eq!(used, graph.blocks);
}

/// Links are mutual, single, sorted and of nodes of the layer; each layer is connected; the entry point is the highest.
fn check_invariants(graph: &Graph) {
    check_numbers(graph);
    assert_eq!(graph.ids().count(), graph.len());
    let highest = graph.ids().map(|id| graph.level(id)).max();
    assert_eq!(graph.max_level(), highest.unwrap_or(0));
    if graph.is_empty() {
        return;
    }
    assert!(graph.contains(graph.entry));
    assert_eq!(graph.level(graph.entry), graph.max_level());
    for layer in 0..=graph.max_level() {
        let ids: Vec<u32> = graph.ids().filter(|id| graph.level(*id) >= layer).collect();
        for id in &ids {
            let links: Vec<(u32, f32)> = graph.links(*id, layer).collect();
            assert!(links.is_sorted_by(|a, b| a.1 <= b.1), "{links:?}");
            let distinct: HashSet<u32> = links.iter().map(|link| link.0).collect();
            assert_eq!(distinct.len(), links.len());
            for (other, _) in links {
                assert!(other != *id && graph.contains(other) && graph.level(other) >= layer);
                assert!(graph.is_linked(other, *id, layer), "{other} - {id}");
            }
        }
        assert_eq!(graph.components(layer).len(), 1, "layer {layer} is connected");
        let ranks: HashSet<u32> = ids.iter().map(|id| graph.rank(*id, layer)).collect();
        assert_eq!(ranks.len(), ids.len());
        assert!(ranks.iter().all(|rank| *rank < graph.next_rank));
        let oldest = ids.iter().filter(|id| !graph.has_older(**id, NONE, layer)).count();
        assert_eq!(oldest, 1, "all but one have an older neighbour in layer {layer}");
    }
}

/// The share of the ten nearest that a search finds, over some queries.
fn recall(graph: &Graph, ef: usize, mut source: Source, rng: &mut Rng) -> f64 {
    const QUERIES: usize = 50;
    let mut scratch = Scratch::new();
    let (mut found, mut wanted) = (0, 0);
    for _ in 0..QUERIES {
        let query = graph.prepare(&source.vector(graph.dim(), rng));
        let exact = graph.scan(&query, 10, None);
        let nearest = graph.search(&query, ef, &mut scratch, None, 0);
        let worst = exact.last().map_or(f32::INFINITY, |last| last.0);
        found += nearest.iter().take(10).filter(|(distance, _)| *distance <= worst).count();
        wanted += exact.len();
    }
    found as f64 / wanted as f64
}

#[test]
fn near_vectors_are_found() {
    let mut rng = Rng::new(1);
    for quantization in QUANTIZATIONS {
        for source in SOURCES {
            let graph = graph_of(300, 24, 16, quantization, source, &mut rng);
            check_invariants(&graph);
            let recall = recall(&graph, 50, source, &mut rng);
            assert!(recall > 0.97, "{quantization:?} {source:?}: {recall}");
        }
    }
}

#[test]
fn churn_keeps_every_node_reachable_and_near_ones_found() {
    for (seed, source) in (2..).zip(SOURCES) {
        let (mut rng, mut scratch, mut drawn) = (Rng::new(seed), Scratch::new(), source);
        let mut graph = graph_of(150, 8, 4, Quantization::Int8, source, &mut rng);
        for step in 0..400 {
            let ids: Vec<u32> = graph.ids().collect();
            let removed = ids[rng.below(ids.len() as u64) as usize];
            match rng.below(4) {
                // The entry point is removed more often than by chance.
                0 => graph.remove(if rng.below(8) == 0 { graph.entry } else { removed }),
                1 => {
                    let vector = drawn.vector(8, &mut rng);
                    add(&mut graph, &vector, &mut rng, &mut scratch);
                }
                _ => {
                    graph.remove(removed);
                    let vector = drawn.vector(8, &mut rng);
                    add(&mut graph, &vector, &mut rng, &mut scratch);
                }
            }
            if step % 80 == 0 {
                check_invariants(&graph);
            }
        }
        check_invariants(&graph);
        let recall = recall(&graph, 50, source, &mut rng);
        assert!(recall > 0.95, "{source:?}: {recall}");
        for (number, id) in graph.ids().collect::<Vec<_>>().into_iter().enumerate() {
            graph.remove(id);
            if number % 10 == 0 || graph.len() < 20 {
                check_invariants(&graph);
            }
        }
        assert!(graph.is_empty());
        add(&mut graph, &[1.0; 8], &mut rng, &mut scratch);
        check_invariants(&graph);
    }
}

/// Against a model: the vectors by number, which follow what is moved.
#[test]
fn numbers_and_memory_come_down_with_the_nodes() {
    for (seed, source) in (20..).zip(SOURCES) {
        let (mut rng, mut scratch, mut drawn) = (Rng::new(seed), Scratch::new(), source);
        let mut graph = graph_of(1500, 8, 4, Quantization::Int8, source, &mut rng);
        let mut model: HashMap<u32, (Vec<u8>, usize)> =
            graph.ids().map(|id| (id, (graph.raw(id).to_vec(), graph.level(id)))).collect();
        let (full, kept, kept_model) = (graph.memory(), graph.clone(), model.clone());
        while graph.len() > 10 {
            if rng.below(4) == 0 {
                let id = add(&mut graph, &drawn.vector(8, &mut rng), &mut rng, &mut scratch);
                model.insert(id, (graph.raw(id).to_vec(), graph.level(id)));
            } else {
                // The highest numbers now and then, so that the last ones are vacant.
                let from = if rng.below(3) == 0 { graph.bound() * 3 / 4 } else { 0 };
                let from = from + rng.below(u64::from(graph.bound() - from)) as u32;
                let Some(id) = graph.ids_from(from).next() else { continue };
                graph.remove(id);
                model.remove(&id);
                let mut moves = 0;
                graph.compact(|old, id| {
                    let node = model.remove(&old).expect("a node is moved");
                    assert!(model.insert(id, node).is_none(), "to where there is none");
                    moves += 1;
                });
                assert!(moves <= 2, "{moves}");
            }
            assert!(graph.numbers as usize <= graph.len() + graph.len() / 4 + 32);
            if graph.len().is_multiple_of(100) {
                check_invariants(&graph);
            }
        }
        check_invariants(&graph);
        let blocks = (graph.blocks - graph.vacant_blocks) as usize;
        assert!(graph.vacant_blocks as usize <= blocks / 4 + 32);
        assert!(graph.memory() < full / 10, "{} of {full}", graph.memory());
        for (graph, model) in [(&graph, &model), (&kept, &kept_model)] {
            check_invariants(graph);
            assert_eq!(graph.len(), model.len());
            for (id, (raw, level)) in model {
                assert_eq!((graph.raw(*id), graph.level(*id)), (&raw[..], *level));
            }
        }
        let recall = recall(&graph, 50, source, &mut rng);
        assert!(recall > 0.95, "{source:?}: {recall}");
    }
}

#[test]
fn a_place_found_before_nodes_were_moved_is_used_as_far_as_it_is_true() {
    let mut rng = Rng::new(30);
    let mut scratch = Scratch::new();
    for removed in [500..800, 200..1000] {
        let mut graph = graph_of(1000, 8, 4, Quantization::Int8, Source::Uniform, &mut rng);
        let query = graph.prepare(&Source::Uniform.vector(8, &mut rng));
        let place = graph.clone().find_place(&query, 500, 2, &mut scratch);
        for id in removed.clone().rev() {
            graph.remove(id);
            graph.compact(|_, _| ());
        }
        assert!(graph.bound() < 950);
        // The numbers that were given back are those of other nodes now.
        for _ in removed {
            add(&mut graph, &Source::Uniform.vector(8, &mut rng), &mut rng, &mut scratch);
        }
        assert_eq!(graph.bound(), 1000);
        let is_true = |found: &(f32, u32)| graph.distance_to(&query, found.1) == found.0;
        assert!(!place.layers[0].iter().all(is_true));
        let checked = graph.checked(&query, place.clone(), &mut scratch);
        assert!(checked.layers[0].len() > 10 && checked.layers[0].iter().all(is_true));
        assert_eq!(checked.removed, place.removed, "it was not looked for again");
        graph.insert(&query, place, &mut scratch);
        check_invariants(&graph);
    }
}

#[test]
fn the_entry_point_may_be_removed_each_time() {
    let mut rng = Rng::new(7);
    let mut graph = graph_of(150, 4, 4, Quantization::None, Source::Clustered, &mut rng);
    while !graph.is_empty() {
        graph.remove(graph.entry);
        check_invariants(&graph);
    }
    assert!(graph.search(&graph.prepare(&[1.0; 4]), 10, &mut Scratch::new(), None, 0).is_empty());
    assert!(graph.scan(&graph.prepare(&[1.0; 4]), 10, None).is_empty());
}

#[test]
fn small_and_large_dimensions_and_zero_vectors_work() {
    let mut rng = Rng::new(8);
    for quantization in QUANTIZATIONS {
        for dim in [1, 2, 63, 65, MAX_DIM] {
            let mut scratch = Scratch::new();
            let nodes = if dim == MAX_DIM { 6 } else { 60 };
            let mut graph = graph_of(nodes, dim, 4, quantization, Source::Uniform, &mut rng);
            let zero = add(&mut graph, &vec![0.0; dim], &mut rng, &mut scratch);
            add(&mut graph, &vec![f32::NAN; dim], &mut rng, &mut scratch);
            assert_eq!(graph.norm(zero), 1.0);
            let query = graph.query_of(0);
            let nearest = graph.search(&query, 100, &mut scratch, None, 0);
            assert_eq!(nearest.len(), graph.len());
            assert!(nearest[0].0.abs() < 1e-3, "{quantization:?} {dim}");
            graph.remove(zero);
            assert_eq!(graph.vector(0).len(), dim);
            assert_eq!(graph.raw(0).len(), quantization.bytes(dim));
        }
    }
}

#[test]
fn a_vector_comes_back_with_its_length() {
    let (mut graph, mut scratch) = (Graph::new(3, 0, Quantization::Int8), Scratch::new());
    assert_eq!(graph.m(), DEFAULT_M);
    let id = add(&mut graph, &[3.0, -4.0, 12.0], &mut Rng::new(1), &mut scratch);
    assert_eq!(graph.norm(id), 13.0);
    assert_eq!(graph.query_of(id).norm(), 13.0);
    for (own, expected) in graph.vector(id).iter().zip([3.0, -4.0, 12.0]) {
        assert!((own * 13.0 - expected).abs() < 0.06);
    }
}

#[test]
fn filters_pass_through_what_they_refuse() {
    let mut rng = Rng::new(9);
    let graph = graph_of(600, 16, 16, Quantization::Int8, Source::Uniform, &mut rng);
    let mut scratch = Scratch::new();
    let query = graph.prepare(&Source::Uniform.vector(16, &mut rng));
    let mut seldom = |id| id % 10 == 3;
    let found = graph.search(&query, 20, &mut scratch, Some(&mut seldom), usize::MAX);
    let exact = graph.scan(&query, 20, Some(&mut seldom));
    assert_eq!(
        found.iter().map(|found| found.1).collect::<Vec<_>>(),
        exact.iter().map(|found| found.1).collect::<Vec<_>>()
    );
    let mut asked = 0;
    let mut count = |_| {
        asked += 1;
        false
    };
    assert!(graph.search(&query, 20, &mut scratch, Some(&mut count), 3).is_empty());
    assert!((4..=3 * 32 + 1).contains(&asked), "{asked}");
}

#[test]
fn a_pool_and_a_heap_find_the_same() {
    let mut rng = Rng::new(10);
    for source in SOURCES {
        let graph = graph_of(400, 12, 6, Quantization::None, source, &mut rng);
        let mut scratch = Scratch::new();
        for ef in [1, 5, 60, 1000, 5000] {
            let query = graph.prepare(&Source::Uniform.vector(12, &mut rng));
            let pool = graph.search(&query, ef, &mut scratch, None, 0);
            let heap = graph.search(&query, ef, &mut scratch, Some(&mut |_| true), usize::MAX);
            let distances = |found: &[(f32, u32)]| found.iter().map(|found| found.0).collect::<Vec<_>>();
            assert_eq!(distances(&pool), distances(&heap), "{source:?} {ef}");
            assert_eq!(pool.len(), ef.min(400));
            assert!(scratch.room() <= 512, "{}", scratch.room());
        }
    }
}

#[test]
fn a_place_found_earlier_is_used_as_far_as_it_still_exists() {
    let mut rng = Rng::new(11);
    let mut scratch = Scratch::new();
    for kept in [0, 5, 150] {
        let mut graph = graph_of(200, 8, 4, Quantization::Int8, Source::Clustered, &mut rng);
        let query = graph.prepare(&Source::Clustered.vector(8, &mut rng));
        let place = graph.clone().find_place(&query, 100, 3, &mut scratch);
        for id in graph.ids().skip(kept).collect::<Vec<_>>() {
            graph.remove(id);
        }
        // Some numbers are those of other nodes now.
        for _ in 0..20 {
            add(&mut graph, &Source::Uniform.vector(8, &mut rng), &mut rng, &mut scratch);
        }
        let id = graph.insert(&query, place, &mut scratch);
        check_invariants(&graph);
        assert_eq!(graph.level(id), 3);
        assert_eq!(graph.search(&query, 50, &mut scratch, None, 0)[0].0, graph.distance_to(&query, id));
    }
    let empty = Graph::new(8, 4, Quantization::Int8);
    let query = empty.prepare(&[1.0; 8]);
    let place = empty.find_place(&query, 100, 0, &mut scratch);
    let mut graph = graph_of(30, 8, 4, Quantization::Int8, Source::Uniform, &mut rng);
    graph.insert(&query, place, &mut scratch);
    check_invariants(&graph);
}

#[test]
fn a_clone_in_another_thread_stays_that_moment() {
    let mut rng = Rng::new(12);
    let mut graph = graph_of(300, 16, 8, Quantization::Int8, Source::Uniform, &mut rng);
    let mut scratch = Scratch::new();
    for _ in 0..5 {
        let (clone, done) = (graph.clone(), AtomicBool::new(false));
        let query = graph.prepare(&Source::Uniform.vector(16, &mut rng));
        let nearest = graph.search(&query, 40, &mut scratch, None, 0);
        let links: Vec<Vec<(u32, f32)>> = graph.ids().map(|id| graph.links(id, 0).collect()).collect();
        std::thread::scope(|scope| {
            let searching = scope.spawn(|| {
                let mut scratch = Scratch::new();
                let mut searches = 0;
                while !done.load(Ordering::Acquire) || searches < 2 {
                    assert_eq!(clone.search(&query, 40, &mut scratch, None, 0), nearest);
                    searches += 1;
                }
                assert_eq!(
                    clone.ids().map(|id| clone.links(id, 0).collect::<Vec<_>>()).collect::<Vec<_>>(),
                    links
                );
            });
            for _ in 0..100 {
                let ids: Vec<u32> = graph.ids().collect();
                graph.remove(ids[rng.below(ids.len() as u64) as usize]);
                add(&mut graph, &Source::Uniform.vector(16, &mut rng), &mut rng, &mut scratch);
            }
            done.store(true, Ordering::Release);
            searching.join().expect("the clone doesn't change");
        });
        check_invariants(&graph);
    }
}

/// Nodes that are linked with nothing, of ranks from 0.
fn unlinked(nodes: usize) -> Graph {
    let mut graph = Graph::new(1, MIN_M, Quantization::None);
    for _ in 0..nodes {
        graph.add_node(&graph.prepare(&[1.0]), 0);
    }
    graph.entry = 0;
    graph
}

#[test]
fn an_orphan_finds_a_place_where_no_link_can_be_dropped() {
    // Stars: a centre that is the only older neighbour of as many as it can be linked with.
    let slots = 2 * MIN_M as u32;
    for orphan in [1, 5, slots + 1] {
        let mut graph = unlinked(slots as usize + 2);
        for other in (1..slots + 2).filter(|id| *id != orphan) {
            graph.link(0, other, 0.0, 0);
        }
        assert!(!graph.has_room(0, 0));
        graph.adopt(orphan, 0, 0);
        check_invariants(&graph);
    }
    // Below each point of the star another star.
    let mut graph = unlinked((1 + slots + slots * (slots - 1)) as usize + 1);
    let mut next = slots + 1;
    for other in 1..=slots {
        graph.link(0, other, 0.0, 0);
        for _ in 1..slots {
            graph.link(other, next, 0.0, 0);
            next += 1;
        }
    }
    graph.adopt(next, 0, 0);
    check_invariants(&graph);
}

#[test]
fn removing_the_centre_of_a_star_joins_its_points() {
    let slots = 2 * MIN_M as u32;
    let mut graph = unlinked(slots as usize + 1);
    for other in 1..=slots {
        graph.link(0, other, 0.0, 0);
    }
    graph.remove(0);
    check_invariants(&graph);
}

#[test]
fn ranks_begin_again_when_they_are_used_up() {
    let mut rng = Rng::new(13);
    let mut graph = graph_of(100, 4, 4, Quantization::None, Source::Uniform, &mut rng);
    graph.next_rank = u32::MAX - 5;
    let mut scratch = Scratch::new();
    for _ in 0..20 {
        add(&mut graph, &Source::Uniform.vector(4, &mut rng), &mut rng, &mut scratch);
        check_invariants(&graph);
    }
    assert!(graph.next_rank < 200);
}

#[test]
fn numbers_are_used_again_and_drawn_at_random() {
    let mut rng = Rng::new(14);
    let mut graph = graph_of(100, 4, 4, Quantization::None, Source::Uniform, &mut rng);
    for id in (0..100).filter(|id| id % 10 != 0) {
        graph.remove(id);
    }
    assert_eq!(graph.ids_from(35).collect::<Vec<_>>(), [40, 50, 60, 70, 80, 90]);
    let drawn: HashSet<Option<u32>> = (0..300).map(|_| graph.random_id(|bound| rng.below(bound))).collect();
    assert_eq!(drawn, (0..10).map(|id| Some(10 * id)).collect());
    for _ in 0..90 {
        assert!(add(&mut graph, &[1.0; 4], &mut rng, &mut Scratch::new()) < 100);
    }
    assert_eq!(Graph::new(4, 4, Quantization::None).random_id(|_| 0), None);
}

#[test]
fn memory_is_that_of_the_chunks_and_is_freed_in_parts() {
    let mut rng = Rng::new(15);
    let mut graph = graph_of(1000, 64, 16, Quantization::Int8, Source::Uniform, &mut rng);
    let each = graph.memory() / 1000;
    // 64 of the vector, 128 of links, 20 of scale and node; upper layers, and room in the last chunks.
    assert!((64 + 128 + 20..340).contains(&each), "{each}");
    let clone = graph.clone();
    let calls = (0..).find(|_| graph.free_some(1)).expect("it ends");
    assert!(calls > 10, "{calls}");
    assert!(graph.is_empty() && graph.memory() < 2000);
    check_invariants(&clone);
}

/// A graph as it is saved: for each node its raw vector, norm, range and links by layer.
type Saved = Vec<(u64, Vec<u8>, f32, f32, Vec<Vec<u64>>)>;

fn saved(graph: &Graph) -> Saved {
    let key = |id: u32| 1000 + 3 * u64::from(id);
    let layers = |id| -> Vec<Vec<u64>> {
        (0..=graph.level(id)).map(|layer| graph.links(id, layer).map(|link| key(link.0)).collect()).collect()
    };
    graph
        .ids()
        .map(|id| (key(id), graph.raw(id).to_vec(), graph.norm(id), graph.quant_range(id), layers(id)))
        .collect()
}

fn load(saved: &Saved, dim: usize, m: usize, quantization: Quantization) -> Result<Graph, Malformed> {
    let mut loader = Loader::new(dim, m, quantization);
    for (id, raw, norm, range, layers) in saved {
        let layers: Vec<&[u64]> = layers.iter().map(Vec::as_slice).collect();
        loader.node(*id, raw, *norm, *range, &layers)?;
    }
    loader.finish()
}

#[test]
fn what_was_saved_is_loaded() {
    let mut rng = Rng::new(16);
    for quantization in QUANTIZATIONS {
        let mut graph = graph_of(200, 10, 4, quantization, Source::Uniform, &mut rng);
        for id in (0..200).step_by(3) {
            graph.remove(id);
        }
        let mut saved = saved(&graph);
        saved.reverse();
        let loaded = load(&saved, 10, 4, quantization).expect("it is a graph");
        check_invariants(&loaded);
        assert_eq!((loaded.len(), loaded.max_level()), (graph.len(), graph.max_level()));
        let links = |graph: &Graph| -> usize { graph.ids().map(|id| graph.links(id, 0).count()).sum() };
        assert_eq!(links(&loaded), links(&graph));
        for (own, other) in graph.ids().zip(loaded.ids().collect::<Vec<_>>().into_iter().rev()) {
            assert_eq!(graph.raw(own), loaded.raw(other));
            assert_eq!(graph.vector(own), loaded.vector(other));
            assert_eq!(graph.norm(own), loaded.norm(other));
            assert_eq!(graph.level(own), loaded.level(other));
        }
        let query = graph.prepare(&[1.0; 10]);
        let distances =
            |graph: &Graph| graph.scan(&query, 10, None).into_iter().map(|found| found.0).collect::<Vec<_>>();
        assert_eq!(distances(&graph), distances(&loaded));
    }
    assert!(load(&Vec::new(), 10, 4, Quantization::Int8).expect("an empty one").is_empty());
}

#[test]
fn what_is_no_graph_is_refused() {
    let node = |id: u64, layers: &[&[u64]]| {
        (id, vec![1u8, 2], 1.0, 1.0, layers.iter().map(|l| l.to_vec()).collect())
    };
    let load = |saved: Saved| load(&saved, 2, 4, Quantization::Int8).map(|graph| graph.len());
    assert_eq!(load(vec![node(1, &[&[2]]), node(2, &[&[1]])]), Ok(2));
    assert_eq!(load(vec![node(1, &[&[2]]), node(2, &[&[]])]), Err(Malformed::OneWayLink));
    assert_eq!(load(vec![node(1, &[&[2, 2]]), node(2, &[&[1, 1]])]), Err(Malformed::Link));
    assert_eq!(load(vec![node(1, &[&[1]])]), Err(Malformed::Link));
    assert_eq!(load(vec![node(1, &[&[7]])]), Err(Malformed::Link));
    assert_eq!(load(vec![node(1, &[&[2], &[2]]), node(2, &[&[1]])]), Err(Malformed::Link));
    assert_eq!(load(vec![node(1, &[&[]]), node(1, &[&[]])]), Err(Malformed::DuplicateId));
    assert_eq!(load(vec![node(1, &[])]), Err(Malformed::Level));
    assert_eq!(load(vec![node(1, &[&[] as &[u64]; 18])]), Err(Malformed::Level));
    let mut short = node(1, &[&[]]);
    short.1.pop();
    assert_eq!(load(vec![short]), Err(Malformed::Vector));
}

#[test]
fn what_was_saved_in_pieces_is_joined() {
    let mut rng = Rng::new(17);
    // Nodes without links, and groups that fill all slots of theirs: 9 nodes of 8 links.
    for group in [1u64, 2, 9, 12] {
        let mut saved = Saved::new();
        for id in 0..90 * group {
            let first = id / group * group;
            let links: Vec<u64> = (first..first + group).filter(|other| *other != id).collect();
            let raw = (0..4).map(|_| rng.next_u64() as u8).collect();
            saved.push((id, raw, 1.0, 0.5, vec![links.clone(), if group > 4 { vec![] } else { links }]));
        }
        let graph = load(&saved, 4, 4, Quantization::Int8).expect("it is a graph");
        check_invariants(&graph);
        assert_eq!(graph.len() as u64, 90 * group);
    }
}

#[test]
fn linking_and_removal_are_bounded_whatever_m() {
    let mut rng = Rng::new(18);
    let mut scratch = Scratch::new();
    let mut graph = Graph::new(8, MAX_M, Quantization::Int8);
    assert_eq!((graph.m(), graph.most_links()), (MAX_M, 512));
    let most = graph.comparisons();
    let mut worst = 0;
    for _ in 0..650 {
        let query = graph.prepare(&Source::Clustered.vector(8, &mut rng));
        let place = graph.find_place(&query, 1000, Graph::draw_level(|bound| rng.below(bound)), &mut scratch);
        worst = worst.max(comparisons_of(|| _ = graph.insert(&query, place, &mut scratch)));
    }
    // Beside covering, places among links: of 256 new ones, on both sides, nine steps each.
    assert!(worst > most / 4 && worst < 4 * most + 256 * 2 * 10, "{worst} of {most}");
    let linked: Vec<usize> = graph.ids().map(|id| graph.linked(id, 0).len()).collect();
    assert!(linked.iter().all(|links| *links > 64) && linked.iter().any(|links| *links > 400), "{linked:?}");
    worst = 0;
    while graph.len() > 20 {
        let id = graph.random_id(|bound| rng.below(bound)).expect("a node");
        let links = graph.linked(id, 0).len();
        let compared = comparisons_of(|| graph.remove(id));
        assert!(compared <= 2 * most + 2 * links, "{compared} of {most} for {links}");
        worst = worst.max(compared);
        if graph.len().is_multiple_of(200) {
            check_invariants(&graph);
            let recall = recall(&graph, 50, Source::Clustered, &mut rng);
            assert!(recall > 0.97, "{recall}");
        }
    }
    assert!(worst > most / 4, "{worst} of {most}");
    check_invariants(&graph);
}

#[test]
fn a_node_on_which_many_depend_is_removed_with_bounded_work() {
    for (quantization, bytes) in [(Quantization::Int8, 64), (Quantization::None, 256)] {
        let raw = |id: u64| (0..bytes).map(|at| if at % 4 == 0 { (id * 7 + at) as u8 } else { 0 }).collect();
        let mut star: Saved = (1..=500).map(|id| (id, raw(id), 1.0, 0.5, vec![vec![0]])).collect();
        star.push((0, raw(0), 1.0, 0.5, vec![(1..=500).collect()]));
        let mut graph = load(&star, 64, MAX_M, quantization).expect("it is a graph");
        let centre = graph.ids().find(|id| graph.linked(*id, 0).len() == 500).expect("the centre");
        let compared = comparisons_of(|| graph.remove(centre));
        check_invariants(&graph);
        // Places among links beside.
        assert!(compared < graph.comparisons() + 500 * 20, "{compared}");
    }
}
