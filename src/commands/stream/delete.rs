//! XDELEX and XACKDEL: deletion of entries that minds which groups refer to them.

use crate::commands::stream::support as parts;
use crate::commands::support::args::is;
use crate::commands::support::options::OptionReader;
use crate::engine::{Call, Done, Outcome};
use crate::keyspace::event;
use crate::resp::{Args, CommandError, Reply};
use crate::value::stream::{Deletion, References, Stream, StreamId};

const NO_ENTRY: i64 = -1;
const DELETED: i64 = 1;
const REFERENCED: i64 = 2;

/// KEEPREF, DELREF or ACKED.
pub(super) fn references(word: &[u8]) -> Option<References> {
    [("KEEPREF", References::Keep), ("DELREF", References::Delete), ("ACKED", References::Acked)]
        .into_iter()
        .find_map(|(name, references)| is(word, name).then_some(references))
}

/// The options of both commands.
struct Options<'a> {
    references: References,
    ids: Args<'a>,
    count: usize,
}

impl<'a> Options<'a> {
    /// Parses the arguments from index `at` on.
    fn parse(args: Args<'a>, at: usize) -> Result<Self, CommandError> {
        const POSITIVE: &str = "ERR Number of IDs must be a positive integer";
        let (mut given, mut ids) = (None, None);
        let mut words = OptionReader::new(args, at);
        while let Some(word) = words.next() {
            if given.is_none()
                && let Some(references) = references(word)
            {
                given = Some(references);
            } else if words.remaining() > 0 && is(word, "IDS") {
                let count = words.at_least(1, POSITIVE)?;
                if count > words.remaining() {
                    return Err(CommandError::text(
                        "ERR The `numids` parameter must match the number of arguments",
                    ));
                }
                ids = Some((args.tail(words.index()), count));
                words = OptionReader::new(args, words.index() + count);
            } else {
                return Err(CommandError::SYNTAX);
            }
        }
        let (ids, count) = ids.ok_or(CommandError::text("ERR IDS option is required"))?;
        Ok(Options { references: given.unwrap_or_default(), ids, count })
    }

    fn ids(&self) -> impl Iterator<Item = &'a [u8]> {
        self.ids.iter().take(self.count)
    }

    /// All ids are checked first: an invalid one must not leave others deleted.
    fn check_ids(&self) -> Result<(), CommandError> {
        self.ids().try_for_each(|id| parts::id(id).map(drop))
    }

    fn reply_nothing(&self, reply: &mut Reply) -> Outcome {
        reply.array(self.count);
        (0..self.count).for_each(|_| reply.integer(NO_ENTRY));
        Ok(Done::Replied)
    }
}

pub(super) fn xdelex(call: &mut Call<'_>) -> Outcome {
    let edit = call.db.edit::<Stream>(call.args.at(1))?;
    let options = Options::parse(call.args, 2)?;
    let Some(mut edit) = edit else { return options.reply_nothing(call.reply) };
    options.check_ids()?;
    let stream = edit.get();
    let ids: Vec<StreamId> = options.ids().filter_map(|id| parts::id(id).ok()).collect();
    let (deletions, forgotten) = stream.delete_all(&ids, options.references);
    let mut deleted = 0;
    call.reply.array(options.count);
    for deletion in deletions {
        deleted += usize::from(deletion == Deletion::Deleted);
        call.reply.integer(match deletion {
            Deletion::Missing => NO_ENTRY,
            Deletion::Deleted => DELETED,
            Deletion::Referenced => REFERENCED,
        });
    }
    if deleted > 0 {
        edit.finish(deleted, event::XDEL);
    } else {
        // References to entries that are gone can be deleted, too.
        edit.finish_metadata(forgotten, &[]);
    }
    Ok(Done::Replied)
}

pub(super) fn xackdel(call: &mut Call<'_>) -> Outcome {
    let (key, name) = (call.args.at(1), call.args.at(2));
    // A lookup for reading: a missing key counts as a miss and is a `keymiss` event.
    let edit = match call.db.lookup_read(key) {
        Some(_) => call.db.edit::<Stream>(key)?,
        None => None,
    };
    let options = Options::parse(call.args, 3)?;
    let Some(mut edit) = edit.filter(|edit| edit.peek().groups.get(name).is_some()) else {
        return options.reply_nothing(call.reply);
    };
    options.check_ids()?;
    let stream = edit.get();
    let mut acknowledge = |id: &StreamId| {
        let group = stream.groups.get_mut(name);
        group.and_then(|group| group.acknowledge(*id)).is_some()
    };
    let ids: Vec<StreamId> = options.ids().filter_map(|id| parts::id(id).ok()).collect();
    let were_pending: Vec<bool> = ids.iter().map(&mut acknowledge).collect();
    let to_delete = ids.iter().zip(&were_pending).filter(|(_, was_pending)| **was_pending);
    let to_delete: Vec<StreamId> = to_delete.map(|(id, _)| *id).collect();
    let (deletions, _) = stream.delete_all(&to_delete, options.references);
    let acknowledged = deletions.len();
    let deleted = deletions.iter().filter(|deletion| **deletion == Deletion::Deleted).count();
    call.reply.array(options.count);
    let mut deletions = deletions.into_iter();
    for was_pending in were_pending {
        call.reply.integer(match was_pending.then(|| deletions.next()).flatten() {
            None => NO_ENTRY,
            Some(Deletion::Referenced) => REFERENCED,
            // One that is no longer in the stream counts as deleted.
            Some(_) => DELETED,
        });
    }
    if deleted > 0 {
        edit.finish(acknowledged, event::XDEL);
    } else {
        edit.finish_metadata(acknowledged, &[]);
    }
    Ok(Done::Replied)
}

#[cfg(test)]
#[path = "delete_tests.rs"]
mod tests;
