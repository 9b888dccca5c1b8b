use super::*;
use crate::base::rng::Rng;

const QUANTIZATIONS: [Quantization; 3] = [Quantization::None, Quantization::Int8, Quantization::Binary];

/// A vector of components from -1 to 1.
fn random_vector(rng: &mut Rng, dim: usize) -> Vec<f32> {
    (0..dim).map(|_| rng.unit() as f32 * 2.0 - 1.0).collect()
}

fn add(graph: &mut Graph, vector: &[f32], rng: &mut Rng, scratch: &mut Scratch) -> u32 {
    let query = graph.prepare(vector);
    let level = Graph::draw_level(|bound| rng.below(bound));
    let place = graph.find_place(&query, 200, level, scratch);
    graph.insert(&query, place, scratch)
}

fn random_graph(nodes: usize, dim: usize, m: usize, quantization: Quantization, rng: &mut Rng) -> Graph {
    let (mut graph, mut scratch) = (Graph::new(dim, m, quantization), Scratch::new());
    for _ in 0..nodes {
        let vector = random_vector(rng, dim);
        add(&mut graph, &vector, rng, &mut scratch);
    }
    graph
}

/// Links are mutual, single, sorted and of nodes of the layer; each layer is connected; the entry point is the highest.
fn check_invariants(graph: &Graph) {
    assert_eq!(graph.ids().count(), graph.len());
    let highest = graph.ids().map(|id| graph.level(id)).max();
    assert_eq!(graph.max_level(), highest.unwrap_or(0));
    if graph.is_empty() {
        return;
    }
    assert!(graph.contains(graph.entry));
    assert_eq!(graph.level(graph.entry), graph.max_level());
    check_ranks(graph);
    for layer in 0..=graph.max_level() {
        for id in graph.ids().filter(|id| graph.level(*id) >= layer) {
            let links: Vec<(u32, f32)> = graph.links(id, layer).collect();
            assert!(links.is_sorted_by(|a, b| a.1 <= b.1 || a.1.is_nan() || b.1.is_nan()), "{links:?}");
            let distinct: std::collections::HashSet<u32> = links.iter().map(|link| link.0).collect();
            assert_eq!(distinct.len(), links.len());
            for (other, _) in links {
                assert!(other != id && graph.contains(other) && graph.level(other) >= layer);
                assert!(graph.is_linked(other, id, layer), "{other} - {id}");
            }
        }
        assert_eq!(graph.components(layer).len(), 1, "layer {layer} is connected");
    }
}

/// The share of the `count` nearest that a search finds, over some random queries.
fn recall(graph: &Graph, count: usize, ef: usize, rng: &mut Rng) -> f64 {
    const QUERIES: usize = 50;
    let mut scratch = Scratch::new();
    let (mut found, mut wanted) = (0, 0);
    for _ in 0..QUERIES {
        let query = graph.prepare(&random_vector(rng, graph.dim()));
        let exact = graph.scan(&query, count, None);
        let nearest = graph.search(&query, ef, &mut scratch, None, 0);
        let worst = exact.last().map_or(f32::INFINITY, |last| last.0);
        found += nearest.iter().take(count).filter(|(distance, _)| *distance <= worst).count();
        wanted += exact.len();
    }
    found as f64 / wanted as f64
}

#[test]
fn near_vectors_are_found() {
    let mut rng = Rng::new(1);
    for quantization in QUANTIZATIONS {
        let graph = random_graph(1000, 40, 16, quantization, &mut rng);
        check_invariants(&graph);
        let recall = recall(&graph, 10, 100, &mut rng);
        assert!(recall > 0.95, "{quantization:?}: {recall}");
    }
}

#[test]
fn churn_keeps_every_node_reachable() {
    for (seed, quantization) in (2..).zip(QUANTIZATIONS) {
        let mut rng = Rng::new(seed);
        let mut scratch = Scratch::new();
        let mut graph = random_graph(200, 8, 4, quantization, &mut rng);
        for step in 0..1500 {
            let ids: Vec<u32> = graph.ids().collect();
            if rng.below(2) == 0 && !ids.is_empty() {
                graph.remove(ids[rng.below(ids.len() as u64) as usize]);
            } else {
                let vector = random_vector(&mut rng, 8);
                add(&mut graph, &vector, &mut rng, &mut scratch);
            }
            if step % 50 == 0 {
                check_invariants(&graph);
            }
        }
        check_invariants(&graph);
        for id in graph.ids().collect::<Vec<_>>() {
            graph.remove(id);
            check_invariants(&graph);
        }
        assert!(graph.is_empty());
    }
}

/// Every node but the oldest of a layer has an older neighbour.
fn check_ranks(graph: &Graph) {
    for layer in 0..=graph.max_level() {
        let ids: Vec<u32> = graph.ids().filter(|id| graph.level(*id) >= layer).collect();
        let ranks: std::collections::HashSet<u32> = ids.iter().map(|id| graph.rank(*id, layer)).collect();
        assert_eq!(ranks.len(), ids.len());
        assert!(ranks.iter().all(|rank| *rank < graph.next_rank));
        assert_eq!(ids.iter().filter(|id| !graph.has_older(**id, NONE, layer)).count(), 1);
    }
}
