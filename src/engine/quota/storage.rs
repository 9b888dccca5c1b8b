//! Quotas of what is stored: keys and bytes of a database, or of those that a user may use.
//!
//! A request that may add something (its command has `denyoom`) is refused where a limit of bytes is reached, or where it would
//! make more keys than a limit allows; one that changes keys which are there, or removes them, never is for their number. Whose
//! keys those are isn't recorded anywhere: a user's are all keys of the databases that the rules of the user allow.

use crate::base::ids::ClientId;
use crate::base::number;
use crate::engine::Engine;
use crate::engine::acl::Acl;
use crate::engine::clients::session::state;
use crate::engine::command::keys;
use crate::engine::command::spec::{flag, key};
use crate::engine::command::table::CommandId;
use crate::keyspace::{Database, Keyspace};
use crate::resp::{Args, CommandError};
use crate::services::quota::{Limits, Quota, QuotaIndex, Stored, Subject};

use super::quota_error;

/// Keys looked at in a slice of the walk that counts collections.
const KEYS_A_SLICE: usize = 500;

impl Engine {
    /// Has collections counted in the databases of which a quota limits the bytes.
    pub(super) fn refresh_counted_collections(&mut self) {
        let count = self.data.keyspace.count();
        let mut wanted = vec![false; count];
        for quota in self.clients.quotas.quotas.iter().filter(|quota| quota.limits.memory > 0) {
            match quota.subject {
                Subject::Database(number) if (number as usize) < count => wanted[number as usize] = true,
                Subject::Database(_) => {}
                // Its rules may come to allow others.
                Subject::User(_) => wanted.fill(true),
            }
        }
        for (db, wanted) in wanted.into_iter().enumerate() {
            self.data.keyspace.count_collections(db, wanted);
        }
    }

    /// Goes on counting collections; true while there is more to count.
    pub(in crate::engine) fn count_collections(&mut self) -> bool {
        self.clients.quotas.limits_storage && self.data.keyspace.count_some_collections(KEYS_A_SLICE)
    }

    /// What a quota counts.
    pub fn stored_of(&self, quota: &Quota) -> Stored {
        stored_of(&self.data.keyspace, &self.acl, &quota.subject)
    }

    /// Whether a request is certainly within what its session's quotas allow to be stored. Databases are added up once for the
    /// requests of a batch: so these may exceed a limit of bytes together, but not one of keys.
    pub(super) fn has_storage_room(
        &mut self,
        client: ClientId,
        id: CommandId,
        args: Args<'_>,
        flags: u64,
    ) -> bool {
        let known = &self.commands.known;
        if id == known.move_key || id == known.copy {
            return false;
        }
        if flags & flag::DENYOOM == 0 {
            return true;
        }
        let subjects = self.clients.quotas.subjects(self.clients.sessions.live(client));
        let (keyspace, acl) = (&self.data.keyspace, &self.acl);
        let look = |subject: &Subject| stored_of(keyspace, acl, subject);
        self.clients.quotas.quotas.have_storage_room(subjects, args.len() as u64, self.frame.now_us, look)
    }

    /// Why a request may not add to what is stored, and by which quota. `flags`: those of its command and of what it would run.
    pub(in crate::engine) fn storage_refusal(
        &self,
        client: ClientId,
        id: CommandId,
        args: Args<'_>,
        flags: u64,
    ) -> Option<(QuotaIndex, CommandError)> {
        let session = self.clients.sessions.live(client);
        let moves = id == self.commands.known.move_key;
        if !self.clients.quotas.limits_storage
            || !session.is(state::QUOTA)
            || flags & flag::DENYOOM == 0 && !moves
        {
            return None;
        }
        let [user, _] = self.clients.quotas.subjects(session);
        let db = self.target_database(id, args).unwrap_or(session.db);
        // What is moved from one database to another is the user's as before.
        let user = user.filter(|_| !moves);
        let subjects = [user, self.clients.quotas.of_database(db)];
        subjects.into_iter().flatten().find_map(|index| {
            let quota = self.clients.quotas.quotas.get(index);
            let Limits { memory, keys: most, .. } = quota.limits;
            let Stored { keys, bytes } = self.stored_of(quota);
            let refusal = |what: String| Some((index, quota_error(&quota.subject, &what)));
            if memory > 0 && bytes >= memory {
                return refusal(format!(" holds {bytes} bytes of {memory} allowed"));
            }
            // The keys of a request are looked up only if there may be too many.
            if most > 0
                && keys + self.most_new_keys(client, id, args) as u64 > most
                && keys + self.new_keys(client, id, args, db) as u64 > most
            {
                return refusal(format!(" holds {keys} keys of {most} allowed"));
            }
            None
        })
    }

    /// The database that COPY or MOVE names.
    fn target_database(&self, id: CommandId, args: Args<'_>) -> Option<u32> {
        let known = &self.commands.known;
        let at = match () {
            () if id == known.move_key => 2,
            () if id == known.copy => {
                1 + (3..args.len()).find(|at| args.at(*at).eq_ignore_ascii_case(b"db"))?
            }
            () => return None,
        };
        args.get(at).and_then(number::parse_i64).and_then(|db| u32::try_from(db).ok())
    }

    /// More keys than this a request, or the transaction that it executes, doesn't make.
    fn most_new_keys(&self, client: ClientId, id: CommandId, args: Args<'_>) -> usize {
        match &self.clients.sessions.live(client).transaction {
            Some(transaction) if id == self.commands.known.exec => {
                transaction.queue.iter().map(|(_, request)| request.as_args().len()).sum()
            }
            _ => args.len(),
        }
    }

    /// How many of the keys that a request, or the transaction that it executes, may make are not there.
    fn new_keys<'a>(&'a self, client: ClientId, id: CommandId, args: Args<'a>, db: u32) -> usize {
        let Some(database) = self.data.keyspace.databases().get(db as usize) else { return 0 };
        let mut new: Vec<&'a [u8]> = Vec::new();
        let mut found = Vec::new();
        let mut look = |id: CommandId, args: Args<'a>| {
            let command = self.commands.get(id);
            if id == self.commands.known.move_key {
                new.push(args.at(1));
            } else if command.flags & flag::DENYOOM != 0 {
                keys::find(command.spec, args, &mut found);
                let made = found.iter().filter(|at| at.flags & (key::INSERT | key::UPDATE) != 0);
                new.extend(made.map(|at| args.at(at.index)));
            }
        };
        match &self.clients.sessions.live(client).transaction {
            Some(transaction) if id == self.commands.known.exec => {
                transaction.queue.iter().for_each(|(id, request)| look(*id, request.as_args()));
            }
            _ => look(id, args),
        }
        new.sort_unstable();
        new.dedup();
        let table = database.table();
        new.into_iter().filter(|key| table.find(table.hash(key), key).is_none()).count()
    }
}

/// What is stored in the databases that a quota is about.
fn stored_of(keyspace: &Keyspace, acl: &Acl, subject: &Subject) -> Stored {
    let databases = keyspace.databases();
    let add = |sum: Stored, db: &Database| match db.len() as u64 {
        0 => sum,
        keys => Stored { keys: sum.keys + keys, bytes: sum.bytes + db.memory_usage() as u64 },
    };
    let all = |numbers: &[u32]| {
        let named = numbers.iter().filter_map(|number| databases.get(*number as usize));
        named.fold(Stored::default(), add)
    };
    match subject {
        Subject::Database(number) => all(&[*number]),
        Subject::User(name) => {
            let Some(user) = acl.users.get(name) else { return Stored::default() };
            let mut allowed = user.selectors().map(|selector| selector.databases());
            match (allowed.next(), allowed.next()) {
                // One selector: no need to ask of each database.
                (Some(None), _) => databases.iter().fold(Stored::default(), add),
                (Some(Some(only)), None) => all(only),
                _ => {
                    let may_use = |db: &&Database| {
                        user.selectors().any(|selector| selector.allows_database(Some(db.index)))
                    };
                    databases.iter().filter(may_use).fold(Stored::default(), add)
                }
            }
        }
    }
}
