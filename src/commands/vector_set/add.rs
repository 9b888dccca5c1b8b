//! VADD: adds an element, or gives it another vector.

use super::cost;
use super::vector_args::{self, GivenVector};
use crate::base::number;
use crate::commands::support::args::is;
use crate::engine::{Call, Done, Outcome, Propagation, Wait};
use crate::keyspace::{VectorResult, event};
use crate::resp::{Args, CommandError};
use crate::structures::hnsw::{DEFAULT_M, Graph, MAX_M, MIN_M, Quantization, Scratch};
use crate::value::vector_set::{Prepared, Shape, VectorSet};

/// Effort of finding neighbours, unless the request says another.
const DEFAULT_EF: usize = 200;
const MAX_EF: i64 = 1_000_000;

/// What a VADD asks for.
struct Addition<'a> {
    vector: Vec<f32>,
    reduced: Option<usize>,
    name: &'a [u8],
    attribute: Option<&'a [u8]>,
    quantization: Quantization,
    m: usize,
    ef: usize,
    /// Where the request has CAS: if the element is added by another client while its neighbours are looked for, that one counts.
    check_and_set: Vec<usize>,
}

impl<'a> Addition<'a> {
    fn parse(args: Args<'a>, command: &str) -> Result<Self, CommandError> {
        let GivenVector { components, reduced, words } = vector_args::parse(args, 2, true)?;
        let name = args.get(2 + words).ok_or_else(|| CommandError::wrong_arity(command))?;
        let mut addition = Addition {
            vector: components,
            reduced,
            name,
            attribute: None,
            quantization: Quantization::Int8,
            m: DEFAULT_M,
            ef: DEFAULT_EF,
            check_and_set: Vec::new(),
        };
        let mut words = args.tail(3 + words).iter();
        while let Some(word) = words.next() {
            let at = args.len() - words.len() - 1;
            addition.option(word, at, &mut words)?;
        }
        Ok(addition)
    }

    fn option(
        &mut self,
        word: &[u8],
        at: usize,
        words: &mut (impl ExactSizeIterator<Item = &'a [u8]> + Clone),
    ) -> Result<(), CommandError> {
        let within = |value: &[u8], least: i64, most: i64, error| {
            let value = number::parse_i64(value).filter(|value| (least..=most).contains(value));
            value.map(|value| value as usize).ok_or(CommandError::text(error))
        };
        let mut value = None;
        if ["EF", "M", "SETATTR"].iter().any(|option| is(word, option)) {
            value = words.next();
        }
        match value {
            Some(value) if is(word, "EF") => self.ef = within(value, 1, MAX_EF, "ERR invalid EF")?,
            Some(value) if is(word, "M") => {
                self.m = within(value, MIN_M as i64, MAX_M as i64, "ERR invalid M")?;
            }
            Some(value) => self.attribute = Some(value),
            None if is(word, "CAS") => self.check_and_set.push(at),
            None if is(word, "NOQUANT") => self.quantization = Quantization::None,
            None if is(word, "BIN") => self.quantization = Quantization::Binary,
            None if is(word, "Q8") => self.quantization = Quantization::Int8,
            None => return Err(CommandError::text("ERR invalid option after element")),
        }
        Ok(())
    }

    fn lets_first_win(&self) -> bool {
        !self.check_and_set.is_empty()
    }

    /// Leaves CAS out of what is propagated: it says nothing there, and Redis can't load a log that has it (it blocks the client that loads).
    fn propagate(&self, args: Args<'_>, propagation: &mut Propagation) {
        if self.lets_first_win() {
            let words = args.iter().enumerate().filter(|(at, _)| !self.check_and_set.contains(at));
            propagation.rewrite_as(words.map(|(_, word)| word));
        }
    }

    fn shape(&self) -> Shape {
        let Addition { reduced, m, quantization, .. } = *self;
        Shape { input: self.vector.len(), reduced, m, quantization }
    }

    /// Checks that the element fits a set that is there.
    fn check(&self, set: &VectorSet) -> Result<(), CommandError> {
        let graph = set.graph();
        if graph.quantization() != self.quantization {
            return Err(CommandError::text("ERR asked quantization mismatch with existing vector set"));
        }
        if graph.m() != self.m {
            return Err(CommandError::text("ERR asked M value mismatch with existing vector set"));
        }
        let fits = match set.projection() {
            None => self.vector.len() == graph.dim(),
            Some(_) => self.reduced == Some(graph.dim()),
        };
        if !fits {
            return Err(vector_args::mismatch(self.vector.len(), set));
        }
        if self.reduced.is_some() && set.projection().is_none() {
            return Err(CommandError::text("ERR cannot add projection to existing set without projection"));
        }
        Ok(())
    }
}

pub(in crate::commands) fn vadd(call: &mut Call<'_>) -> Outcome {
    let mut addition = Addition::parse(call.args, call.name)?;
    if let Some(VectorResult::Place { uid, was_there, prepared }) = call.db.vectors.take_result() {
        let lets_first_win = addition.lets_first_win() && !was_there;
        // Where another set is there now, CAS lets what was first win; otherwise it is added as if it came now.
        let added = commit(call, &addition, (uid, lets_first_win), prepared);
        if let Some(added) = added.or(addition.lets_first_win().then_some(true)) {
            addition.propagate(call.args, call.propagation);
            call.reply.boolean(added);
            return Ok(Done::Replied);
        }
    }
    if give_away(call, &mut addition)? {
        return Ok(Done::Blocked(Box::new(Wait::for_vectors())));
    }
    addition.propagate(call.args, call.propagation);
    let mut scratch = std::mem::take(&mut call.db.vectors.scratch);
    let added = add(call, addition, &mut scratch);
    call.db.vectors.scratch = scratch;
    call.reply.boolean(added?);
    Ok(Done::Replied)
}

/// Lets a thread find the neighbours of an element, if that takes long.
fn give_away(call: &mut Call<'_>, addition: &mut Addition<'_>) -> Result<bool, CommandError> {
    let long_nanos = call.db.vectors.long_nanos;
    let Some(edit) = call.db.edit::<VectorSet>(call.args.at(1))? else { return Ok(false) };
    let nanos = cost::search(edit.peek().graph(), addition.ef);
    let set = (nanos >= long_nanos).then(|| edit.peek().clone());
    drop(edit);
    let Some(set) = set.filter(|_| cost::may_be_given_away(call, nanos)) else { return Ok(false) };
    addition.check(&set)?;
    let was_there = set.id(addition.name).is_some();
    let vector = vector_args::reduce(std::mem::take(&mut addition.vector), &set)?;
    let (level, ef) = (Graph::draw_level(|bound| call.db.rng.below(bound)), addition.ef);
    call.db.vectors.give(call.session.client, move |scratch| VectorResult::Place {
        uid: set.uid(),
        was_there,
        prepared: set.prepare(&vector, level, ef, scratch),
    });
    Ok(true)
}

/// Inserts an element whose neighbours were found in the set of this uid; whether it is new, or `None` if that set has gone. One that is
/// there stays as it is if what was first wins.
fn commit(
    call: &mut Call<'_>,
    addition: &Addition<'_>,
    (uid, lets_first_win): (u64, bool),
    prepared: Prepared,
) -> Option<bool> {
    let mut scratch = std::mem::take(&mut call.db.vectors.scratch);
    let set = call.db.edit::<VectorSet>(call.args.at(1)).ok().flatten();
    let added = set.filter(|edit| edit.peek().uid() == uid).map(|mut edit| {
        let found = edit.peek().find(addition.name);
        match found {
            Ok(_) if lets_first_win => return true,
            Ok(place) => edit.get().update_prepared(place, addition.attribute, prepared, &mut scratch),
            Err(place) => {
                let element = (addition.name, addition.attribute.unwrap_or_default());
                edit.get().insert(place, element, prepared, &mut scratch);
            }
        }
        edit.finish(1, event::VECTOR_SET);
        found.is_err()
    });
    call.db.vectors.scratch = scratch;
    added
}

/// Whether the element is new.
fn add(call: &mut Call<'_>, mut addition: Addition<'_>, scratch: &mut Scratch) -> Result<bool, CommandError> {
    let mut edit = call.db.edit_or_create::<VectorSet>(call.args.at(1))?;
    if edit.is_new() {
        *edit.get() = VectorSet::of_shape(addition.shape());
    } else {
        addition.check(edit.peek())?;
    }
    let vector = vector_args::reduce(std::mem::take(&mut addition.vector), edit.peek())?;
    let (set, rng, _) = edit.parts();
    let level = Graph::draw_level(|bound| rng.below(bound));
    let added = match set.find(addition.name) {
        Ok(place) => {
            set.update(place, &vector, addition.attribute, (level, addition.ef), scratch);
            false
        }
        Err(place) => {
            let prepared = set.prepare(&vector, level, addition.ef, scratch);
            let element = (addition.name, addition.attribute.unwrap_or_default());
            set.insert(place, element, prepared, scratch);
            true
        }
    };
    edit.finish(1, event::VECTOR_SET);
    Ok(added)
}
