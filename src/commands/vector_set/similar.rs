//! VSIM: the elements whose vectors are nearest to another.

use super::{cost, vector_args};
use crate::base::number;
use crate::commands::support::args::is;
use crate::commands::support::options::OptionReader;
use crate::engine::{Call, Done, Outcome, Wait};
use crate::keyspace::VectorResult;
use crate::resp::{Args, CommandError, Reply};
use crate::structures::hnsw::{Graph, Query, Scratch};
use crate::value::vector_set::VectorSet;
use crate::value::vector_set::filter::Filter;

/// Elements that are returned, unless the request says how many.
const DEFAULT_COUNT: usize = 10;
/// Effort of the search, unless the request says another.
const DEFAULT_EF: usize = 100;
const MAX_EF: i64 = 1_000_000;
/// Nodes that are looked around from with a filter, for each element that is wanted.
const EFFORT_AN_ELEMENT: usize = 100;

/// What a VSIM asks for, besides the vector.
#[derive(Debug)]
pub(super) struct Search {
    count: usize,
    ef: usize,
    /// Half of the largest distance.
    epsilon: f32,
    with_scores: bool,
    with_attributes: bool,
    is_exact: bool,
    /// On the event loop, however long it takes.
    on_loop: bool,
    filter: Option<Filter>,
    effort: usize,
}

impl Search {
    fn parse(args: Args<'_>, first: usize) -> Result<Search, CommandError> {
        let mut search = Search {
            count: DEFAULT_COUNT,
            ef: DEFAULT_EF,
            epsilon: 2.0,
            with_scores: false,
            with_attributes: false,
            is_exact: false,
            on_loop: false,
            filter: None,
            effort: 0,
        };
        let mut options = OptionReader::new(args, first);
        while let Some(word) = options.next() {
            search.option(word, &mut options)?;
        }
        if search.effort == 0 {
            search.effort = search.count.saturating_mul(EFFORT_AN_ELEMENT);
        }
        search.ef = search.ef.max(search.count);
        Ok(search)
    }

    fn option(&mut self, word: &[u8], options: &mut OptionReader<'_>) -> Result<(), CommandError> {
        let positive = |value: &[u8], most: i64, error| {
            let value = number::parse_i64(value).filter(|value| (1..=most).contains(value));
            value.map(|value| value as usize).ok_or(CommandError::text(error))
        };
        if is(word, "WITHSCORES") {
            self.with_scores = true;
        } else if is(word, "WITHATTRIBS") {
            self.with_attributes = true;
        } else if is(word, "TRUTH") {
            self.is_exact = true;
        } else if is(word, "NOTHREAD") {
            self.on_loop = true;
        } else if options.remaining() == 0 {
            return Err(CommandError::text("ERR syntax error in VSIM command"));
        } else if is(word, "COUNT") {
            self.count = positive(options.value()?, i64::MAX, "ERR invalid COUNT")?;
        } else if is(word, "EPSILON") {
            const INVALID: CommandError = CommandError::text("ERR invalid EPSILON");
            let epsilon = number::parse_f64(options.value()?).filter(|epsilon| *epsilon > 0.0);
            self.epsilon = epsilon.ok_or(INVALID)? as f32;
        } else if is(word, "EF") {
            self.ef = positive(options.value()?, MAX_EF, "ERR invalid EF")?;
        } else if is(word, "FILTER-EF") {
            self.effort = positive(options.value()?, i64::MAX, "ERR invalid FILTER-EF")?;
        } else if is(word, "FILTER") {
            self.filter = Some(compile(options.value()?)?);
        } else {
            return Err(CommandError::text("ERR syntax error in VSIM command"));
        }
        Ok(())
    }

    /// About how long it takes, ns.
    fn cost(&self, set: &VectorSet) -> usize {
        let graph = set.graph();
        let Some(filter) = &self.filter else {
            let returned = cost::returned(self.count.min(graph.len()));
            return match self.is_exact {
                true => graph.len() * cost::scanned(graph) + returned,
                false => cost::search(graph, self.ef) + returned,
            };
        };
        // Of a node all neighbours may have to be asked.
        let seen = if self.is_exact { graph.len() } else { self.effort.saturating_mul(graph.most_links()) };
        let seen = seen.min(graph.len());
        let bytes = set.attribute_bytes(seen);
        (seen * cost::visited(graph)).saturating_add(filter.nanos(seen, bytes))
    }

    /// Searches, and writes what is found.
    pub fn run(&self, set: &VectorSet, query: &Query, scratch: &mut Scratch, reply: &mut Reply) {
        let graph = set.graph();
        let mut accepts = |id| match (&self.filter, set.attribute(id)) {
            (None, _) => true,
            (Some(filter), Some(attribute)) => filter.accepts(attribute),
            (Some(_), None) => false,
        };
        let accept: Option<&mut dyn FnMut(u32) -> bool> =
            if self.filter.is_some() { Some(&mut accepts) } else { None };
        let found = if self.is_exact {
            graph.scan(query, self.count.min(graph.len()), accept)
        } else {
            graph.search(query, self.ef.min(graph.len()), scratch, accept, self.effort)
        };
        // What is no number is not too far.
        let is_too_far = |distance: f32| distance / 2.0 > self.epsilon;
        let near = |(distance, _): &&(f32, u32)| !is_too_far(*distance);
        self.write(set, found.iter().take(self.count).take_while(near).copied(), reply);
    }

    fn write(&self, set: &VectorSet, found: impl Iterator<Item = (f32, u32)>, reply: &mut Reply) {
        let both = self.with_scores && self.with_attributes && reply.is_resp3();
        let open = reply.open();
        let mut count = 0;
        for (distance, id) in found {
            reply.bulk(set.name(id));
            if both {
                reply.array(2);
            }
            if self.with_scores {
                reply.double(Graph::similarity(distance));
            }
            if self.with_attributes {
                match set.attribute(id) {
                    Some(attribute) => reply.bulk(attribute),
                    None => reply.null(),
                }
            }
            count += 1;
        }
        let parts = 1 + usize::from(self.with_scores) + usize::from(self.with_attributes);
        if parts > 1 && reply.is_resp3() {
            reply.close_map(open, count);
        } else {
            reply.close_array(open, count * parts);
        }
    }
}

fn compile(text: &[u8]) -> Result<Filter, CommandError> {
    Filter::compile(text).map_err(|place| {
        let place = if place >= text.len() { 0 } else { place };
        let rest = CommandError::quotable(&text[place..], usize::MAX);
        CommandError::new([b"ERR syntax error in FILTER expression near: ", rest].concat())
    })
}

/// The vector to search for, and the words that say it.
fn query(args: Args<'_>, set: &VectorSet) -> Result<(Query, usize), CommandError> {
    if is(args.at(2), "ELE") {
        let id = set.id(args.at(3)).ok_or(CommandError::text("ERR element not found in set"))?;
        return Ok((set.graph().query_of(id), 2));
    }
    let given = vector_args::parse(args, 2, false)?;
    let mut vector = given.components;
    // One that is reduced already is taken as it is.
    if vector.len() != set.graph().dim() {
        vector = vector_args::reduce(vector, set)?;
    }
    if vector.len() != set.graph().dim() {
        return Err(vector_args::mismatch(vector.len(), set));
    }
    Ok((set.graph().prepare(&vector), given.words))
}

pub(in crate::commands) fn vsim(call: &mut Call<'_>) -> Outcome {
    let mut scratch = std::mem::take(&mut call.db.vectors.scratch);
    let outcome = search(call, &mut scratch);
    call.db.vectors.scratch = scratch;
    outcome
}

fn search(call: &mut Call<'_>, scratch: &mut Scratch) -> Outcome {
    let long_nanos = call.db.vectors.long_nanos;
    let Some(set) = call.db.read::<VectorSet>(call.args.at(1))? else {
        call.reply.array(0);
        return Ok(Done::Replied);
    };
    let (query, words) = query(call.args, set)?;
    let search = Search::parse(call.args, 2 + words)?;
    let nanos = if search.on_loop { 0 } else { search.cost(set) };
    if nanos < long_nanos {
        search.run(set, &query, scratch, call.reply);
        return Ok(Done::Replied);
    }
    let set = set.clone();
    if !cost::may_be_given_away(call, nanos) {
        search.run(&set, &query, scratch, call.reply);
        return Ok(Done::Replied);
    }
    let resp3 = call.reply.is_resp3();
    call.db.vectors.give(call.session.client, move |scratch| {
        let mut reply = Reply::new(Vec::new(), resp3);
        search.run(&set, &query, scratch, &mut reply);
        VectorResult::Reply(reply.into_bytes())
    });
    Ok(Done::Blocked(Box::new(Wait::for_vectors())))
}
