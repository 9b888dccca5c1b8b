//! Quotas: what users and databases may take: requests and bytes a second (token buckets), keys and memory (limits of what is stored).
//!
//! ```text
//! level ── rises by the rate, up to what a second allows ──▶ a request takes its share
//!       ── too low: the request is refused, and takes nothing; or it waits, and takes its share at once:
//!          the level falls below zero, and when it would be back is when the request's turn comes
//! ```
//!
//! So requests that wait are served in the order in which they came, each is looked at once more, and none has to compete with
//! those that come later. Time is an argument, in microseconds; it knows no clients and no keyspace.
//!
//! Requests for the same quotas at about the same time, as in a pipeline, are added up, and taken from the buckets together
//! ([`Tally`]), as of the time of the first: so a bucket may be fuller by what [`TALLY_US`] bring, a thousandth of the limit.

use std::collections::HashMap;

/// Whose quota it is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Subject {
    /// The name of an ACL user.
    User(Vec<u8>),
    Database(u32),
}

/// What happens to a request beyond a limit of requests or bytes a second.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Over {
    #[default]
    Refuse,
    Delay,
}

/// Limits; 0 is none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// Bytes and keys stored.
    pub memory: u64,
    pub keys: u64,
    /// A second.
    pub requests: u64,
    pub bytes: u64,
    pub over: Over,
}

/// The greatest rate: what a second allows, in millionths, is far from the end of its integer.
pub const MAX_RATE: u64 = 1 << 40;
/// The longest time that one request can make later ones wait, seconds.
const MAX_DEBT_SECONDS: i64 = 3600;
/// Requests are added up for so long, microseconds.
const TALLY_US: u64 = 1000;
/// The least level whatever the rate is, millionths.
const LEAST_LEVEL: i64 = i64::MIN / 2;
/// Parts of a unit that levels are counted in: a rate of one a second is one part a microsecond.
const PARTS: i64 = 1_000_000;

/// A token bucket that holds what a second allows. Without a rate everything may be taken.
#[derive(Clone, Debug)]
struct Bucket {
    rate: i64,
    /// In millionths of a unit, as of `filled_us`.
    level: i64,
    filled_us: u64,
    /// What the level doesn't fall below.
    least: i64,
}

impl Bucket {
    fn new(rate: u64, now_us: u64) -> Self {
        let rate = rate.min(MAX_RATE) as i64;
        let least = (-MAX_DEBT_SECONDS * PARTS).saturating_mul(rate).max(LEAST_LEVEL);
        Bucket { rate, level: rate * PARTS, filled_us: now_us, least }
    }

    #[inline]
    fn refill(&mut self, now_us: u64) {
        if now_us < self.filled_us {
            // A clock that was set back gives nothing, and takes nothing; readings may be a little out of order.
            self.filled_us = if self.filled_us - now_us > PARTS as u64 { now_us } else { self.filled_us };
            return;
        }
        let elapsed = (now_us - self.filled_us).min(PARTS as u64 * MAX_DEBT_SECONDS as u64) as i64;
        self.level = self.level.saturating_add(elapsed.saturating_mul(self.rate)).min(self.rate * PARTS);
        self.filled_us = now_us;
    }

    /// How much may be taken now. (What is more than a second allows may be taken of a full bucket at once.)
    fn room(&mut self, now_us: u64) -> u64 {
        if self.rate == 0 {
            return u64::MAX;
        }
        self.refill(now_us);
        (self.level / PARTS).max(0) as u64
    }

    /// Microseconds until `amount` may be taken; more than a second allows needs no more than a full bucket.
    fn wait_us(&self, amount: u64) -> u64 {
        if self.rate == 0 {
            return 0;
        }
        let needed = amount.min(self.rate as u64) as i64 * PARTS;
        let missing = needed.saturating_sub(self.level).max(0) as u64;
        missing.div_ceil(self.rate as u64)
    }

    #[inline]
    fn take(&mut self, amount: u64) {
        if self.rate > 0 {
            let amount = i64::try_from(amount).unwrap_or(i64::MAX).saturating_mul(PARTS);
            self.level = self.level.saturating_sub(amount).max(self.least);
        }
    }
}

/// What was counted since the quota exists, or since CONFIG RESETSTAT.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Use {
    pub requests: u64,
    pub bytes: u64,
    /// Requests beyond a limit that were refused, and those that had to wait, with the time that they were told to, microseconds.
    pub refused: u64,
    pub delayed: u64,
    pub delayed_us: u64,
}

/// What is stored that a quota counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stored {
    pub keys: u64,
    pub bytes: u64,
}

/// What was stored at some time, and how many keys may have been added since, at most.
#[derive(Clone, Copy, Debug, Default)]
struct SeenStored {
    stored: Stored,
    at_us: u64,
    added: u64,
}

/// The quota of a user or a database.
#[derive(Clone, Debug)]
pub struct Quota {
    pub subject: Subject,
    pub limits: Limits,
    used: Use,
    requests: Bucket,
    bytes: Bucket,
    seen: SeenStored,
}

impl Quota {
    /// Whether a request that adds at most so many keys is certainly within the limits of what is stored, as far as that was looked
    /// at since `now_us`: by `look`, if it wasn't yet.
    #[inline]
    fn has_storage_room(&mut self, keys: u64, now_us: u64, look: impl FnOnce(&Subject) -> Stored) -> bool {
        if self.seen.at_us != now_us {
            self.seen = SeenStored { stored: look(&self.subject), at_us: now_us, added: 0 };
        }
        self.seen.added += keys;
        let SeenStored { stored, added, .. } = self.seen;
        let Limits { keys: most, memory, .. } = self.limits;
        (most == 0 || stored.keys + added <= most) && (memory == 0 || stored.bytes < memory)
    }

    /// How long a request of this many bytes would have to wait, and whether that is for requests (or else for bytes).
    fn wait_us(&mut self, bytes: u64, now_us: u64) -> (u64, bool) {
        self.requests.refill(now_us);
        self.bytes.refill(now_us);
        let (for_requests, for_bytes) = (self.requests.wait_us(1), self.bytes.wait_us(bytes));
        (for_requests.max(for_bytes), for_requests >= for_bytes)
    }

    fn take(&mut self, requests: u64, bytes: u64) {
        self.requests.take(requests);
        self.bytes.take(bytes);
        self.used.requests += requests;
        self.used.bytes += bytes;
    }
}

/// The number of a quota in its [`Quotas`].
pub type QuotaIndex = u32;

/// What is kept of a client whose requests count for quotas.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Account {
    /// The quota of its user.
    pub user: Option<QuotaIndex>,
    /// Bytes sent to it that were counted.
    pub counted_output: u64,
    /// Its request waits, and was counted: when its turn is, Unix microseconds.
    pub due_us: Option<u64>,
}

/// What becomes of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It was counted.
    Pass,
    /// It is beyond the limit of requests (or else of bytes) of a quota, and wasn't counted.
    Refuse { quota: QuotaIndex, of_requests: bool, wait_us: u64 },
    /// It was counted, and may run after this time.
    Wait { wait_us: u64 },
}

/// The quotas that a request counts for: its user's, its database's.
pub type Subjects = [Option<QuotaIndex>; 2];

/// What requests for the same quotas at about the same time have used, and isn't taken from their buckets yet.
#[derive(Clone, Copy, Debug, Default)]
struct Tally {
    subjects: Subjects,
    at_us: u64,
    requests: u64,
    bytes: u64,
    /// What all the buckets had when it was begun. Both are 0 where none has been.
    requests_room: u64,
    bytes_room: u64,
}

/// All quotas.
#[derive(Clone, Debug, Default)]
pub struct Quotas {
    quotas: Vec<Quota>,
    by_subject: HashMap<Subject, QuotaIndex>,
    tally: Tally,
}

impl Quotas {
    /// Quotas with these limits. One that was there before goes on: with its level and its counts.
    pub fn replace(&mut self, limits: impl Iterator<Item = (Subject, Limits)>, now_us: u64) {
        self.settle();
        let before = std::mem::take(self);
        for (subject, limits) in limits {
            let (requests, bytes) = (Bucket::new(limits.requests, now_us), Bucket::new(limits.bytes, now_us));
            let mut quota = Quota {
                subject: subject.clone(),
                limits,
                used: Use::default(),
                requests,
                bytes,
                seen: SeenStored::default(),
            };
            if let Some(old) = before.find(&subject).map(|index| before.get(index)) {
                quota.used = old.used;
                for (bucket, old) in [(&mut quota.requests, &old.requests), (&mut quota.bytes, &old.bytes)] {
                    if bucket.rate == old.rate {
                        *bucket = old.clone();
                    }
                }
            }
            self.by_subject.insert(subject, self.quotas.len() as QuotaIndex);
            self.quotas.push(quota);
        }
    }

    #[inline]
    pub fn is_empty(&self) -> bool {
        self.quotas.is_empty()
    }

    pub fn iter(&self) -> impl Iterator<Item = &Quota> {
        self.quotas.iter()
    }

    pub fn find(&self, subject: &Subject) -> Option<QuotaIndex> {
        self.by_subject.get(subject).copied()
    }

    /// The quota of this number.
    pub fn get(&self, index: QuotaIndex) -> &Quota {
        &self.quotas[index as usize]
    }

    /// Whether some database has a quota.
    pub fn has_databases(&self) -> bool {
        self.quotas.iter().any(|quota| matches!(quota.subject, Subject::Database(_)))
    }

    /// Whether some quota limits what is stored.
    pub fn limits_storage(&self) -> bool {
        self.quotas.iter().any(|quota| quota.limits.keys > 0 || quota.limits.memory > 0)
    }

    /// What has been counted for a quota.
    pub fn used(&self, index: QuotaIndex) -> Use {
        let mut used = self.quotas[index as usize].used;
        if self.tally.subjects.contains(&Some(index)) {
            used.requests += self.tally.requests;
            used.bytes += self.tally.bytes;
        }
        used
    }

    /// Counts a request of this many bytes for each of `subjects`, if it is certainly within the limits of all. One that isn't is
    /// to be looked at by itself ([`Self::admit`]).
    pub fn pass(&mut self, subjects: Subjects, bytes: u64, now_us: u64) -> bool {
        self.pass_along(subjects, bytes, now_us) || self.begin_tally(subjects, bytes, now_us)
    }

    /// The same, if it can be counted along with those before it.
    #[inline]
    pub fn pass_along(&mut self, subjects: Subjects, bytes: u64, now_us: u64) -> bool {
        self.is_tallied(subjects, now_us) && self.add(bytes)
    }

    #[inline]
    fn is_tallied(&self, subjects: Subjects, now_us: u64) -> bool {
        // A clock that was set back is beyond any time.
        now_us.wrapping_sub(self.tally.at_us) < TALLY_US && self.tally.subjects == subjects
    }

    /// Adds a request to the tally, if there is room.
    #[inline]
    fn add(&mut self, bytes: u64) -> bool {
        let tally = &mut self.tally;
        let has_room =
            tally.requests < tally.requests_room && bytes <= tally.bytes_room.saturating_sub(tally.bytes);
        if has_room {
            tally.requests += 1;
            tally.bytes += bytes;
        }
        has_room
    }

    /// Takes from the buckets what was added up, and begins again with a request.
    fn begin_tally(&mut self, subjects: Subjects, bytes: u64, now_us: u64) -> bool {
        self.settle();
        let mut tally = Tally {
            subjects,
            at_us: now_us,
            requests_room: u64::MAX,
            bytes_room: u64::MAX,
            ..Tally::default()
        };
        for index in subjects.into_iter().flatten() {
            let quota = &mut self.quotas[index as usize];
            tally.requests_room = tally.requests_room.min(quota.requests.room(now_us));
            tally.bytes_room = tally.bytes_room.min(quota.bytes.room(now_us));
        }
        self.tally = tally;
        self.add(bytes)
    }

    /// Takes from the buckets what was added up.
    fn settle(&mut self) {
        let Tally { subjects, requests, bytes, .. } = std::mem::take(&mut self.tally);
        for index in subjects.into_iter().flatten() {
            self.quotas[index as usize].take(requests, bytes);
        }
    }

    /// Whether a request that adds at most so many keys is certainly within the limits of what is stored; see
    /// [`Quota::has_storage_room`]. A request that isn't is to be looked at by itself.
    #[inline]
    pub fn have_storage_room(
        &mut self,
        subjects: Subjects,
        keys: u64,
        now_us: u64,
        look: impl Fn(&Subject) -> Stored,
    ) -> bool {
        let mut named = subjects.into_iter().flatten();
        named.all(|index| self.quotas[index as usize].has_storage_room(keys, now_us, &look))
    }

    /// Counts a request of this many bytes for each of `subjects`, unless it is refused.
    pub fn admit(&mut self, subjects: Subjects, bytes: u64, now_us: u64) -> Verdict {
        self.settle();
        let mut wait = 0;
        for index in subjects.into_iter().flatten() {
            let (own, of_requests) = self.quotas[index as usize].wait_us(bytes, now_us);
            if own > 0 && self.quotas[index as usize].limits.over == Over::Refuse {
                self.quotas[index as usize].used.refused += 1;
                return Verdict::Refuse { quota: index, of_requests, wait_us: own };
            }
            wait = wait.max(own);
        }
        for index in subjects.into_iter().flatten() {
            let quota = &mut self.quotas[index as usize];
            if wait > 0 && quota.wait_us(bytes, now_us).0 > 0 {
                quota.used.delayed += 1;
                quota.used.delayed_us += wait;
            }
            quota.take(1, bytes);
        }
        if wait == 0 { Verdict::Pass } else { Verdict::Wait { wait_us: wait } }
    }

    /// Counts bytes that were sent, whatever the limit says.
    pub fn count_output(&mut self, subjects: Subjects, bytes: u64, now_us: u64) {
        if self.is_tallied(subjects, now_us) {
            self.tally.bytes = self.tally.bytes.saturating_add(bytes);
            return;
        }
        self.settle();
        for index in subjects.into_iter().flatten() {
            let quota = &mut self.quotas[index as usize];
            quota.bytes.refill(now_us);
            quota.bytes.take(bytes);
            quota.used.bytes += bytes;
        }
    }

    /// Notes that a request was refused for what is stored.
    pub fn count_refusal(&mut self, index: QuotaIndex) {
        self.quotas[index as usize].used.refused += 1;
    }

    /// Sets all counts back to zero.
    pub fn reset_counts(&mut self) {
        self.settle();
        self.quotas.iter_mut().for_each(|quota| quota.used = Use::default());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::rng::Rng;

    const SECOND: u64 = 1_000_000;

    fn quotas(limits: &[Limits]) -> Quotas {
        let mut quotas = Quotas::default();
        let named =
            limits.iter().enumerate().map(|(number, limits)| (Subject::Database(number as u32), *limits));
        quotas.replace(named, 0);
        quotas
    }

    fn limits(requests: u64, bytes: u64, over: Over) -> Limits {
        Limits { requests, bytes, over, ..Limits::default() }
    }

    #[test]
    fn what_a_second_allows_comes_at_once_and_then_by_the_rate() {
        let mut quotas = quotas(&[limits(10, 0, Over::Refuse)]);
        let one = [Some(0), None];
        for _ in 0..10 {
            assert_eq!(quotas.admit(one, 1000, 5), Verdict::Pass);
        }
        let refused = |wait_us| Verdict::Refuse { quota: 0, of_requests: true, wait_us };
        assert_eq!(quotas.admit(one, 1, 5), refused(100_000));
        assert_eq!(quotas.admit(one, 1, 100_004), refused(1));
        assert_eq!(quotas.admit(one, 1, 100_005), Verdict::Pass);
        assert_eq!(quotas.admit(one, 1, 100_005), refused(100_000), "what was refused has taken nothing");
        let used = quotas.used(0);
        assert_eq!((used.requests, used.refused, used.bytes), (11, 3, 10_001));
        // Never more than a second's worth.
        let passed = (0..100).filter(|_| quotas.admit(one, 1, 900 * SECOND) == Verdict::Pass).count();
        assert_eq!(passed, 10);
        // A clock that was set back.
        assert_eq!(quotas.admit(one, 1, SECOND), refused(100_000));
    }

    #[test]
    fn those_that_wait_have_their_turns_in_order() {
        let mut quotas = quotas(&[limits(2, 0, Over::Delay)]);
        let waits: Vec<u64> = (0..6)
            .map(|_| match quotas.admit([Some(0), None], 1, 0) {
                Verdict::Wait { wait_us } => wait_us,
                verdict => u64::from(verdict != Verdict::Pass),
            })
            .collect();
        assert_eq!(waits, [0, 0, 500_000, 1_000_000, 1_500_000, 2_000_000]);
        let used = quotas.used(0);
        assert_eq!((used.requests, used.delayed, used.delayed_us), (6, 4, 5_000_000));
    }

    #[test]
    fn more_than_a_second_allows_needs_a_full_bucket_and_is_paid_for_later() {
        let mut quotas = quotas(&[limits(0, 1000, Over::Refuse)]);
        let one = [Some(0), None];
        assert_eq!(quotas.admit(one, 1, 0), Verdict::Pass);
        let refused = |wait_us| Verdict::Refuse { quota: 0, of_requests: false, wait_us };
        assert_eq!(quotas.admit(one, 5000, 0), refused(1000));
        assert_eq!(quotas.admit(one, 5000, 1000), Verdict::Pass);
        assert_eq!(quotas.admit(one, 1, 1000), refused(4_001_000));
        // Replies count as well, and can't be refused any more.
        quotas.count_output(one, 1000, 1000);
        assert_eq!(quotas.admit(one, 1, 1000), refused(5_001_000));
        // A request without end doesn't lock its user out for ever.
        quotas.count_output(one, u64::MAX / 4, 1000);
        assert_eq!(quotas.admit(one, 1, 1000), refused(3_600_001_000));
    }

    #[test]
    fn a_request_counts_for_its_user_and_its_database_or_for_none() {
        let mut quotas = quotas(&[limits(100, 0, Over::Delay), limits(1, 0, Over::Refuse)]);
        let both = [Some(0), Some(1)];
        assert_eq!(quotas.admit(both, 1, 0), Verdict::Pass);
        assert!(matches!(quotas.admit(both, 1, 0), Verdict::Refuse { quota: 1, .. }));
        assert_eq!((quotas.used(0).requests, quotas.used(1).requests), (1, 1));
        assert_eq!(quotas.admit([None, None], 1, 0), Verdict::Pass);
    }

    #[test]
    fn a_quota_that_stays_keeps_its_level() {
        let mut quotas = quotas(&[limits(1, 0, Over::Refuse)]);
        let one = [Some(0), None];
        assert_eq!(quotas.admit(one, 1, 0), Verdict::Pass);
        let again = |requests| [(Subject::Database(0), limits(requests, 50, Over::Refuse))].into_iter();
        quotas.replace(again(1), 0);
        assert!(matches!(quotas.admit(one, 1, 0), Verdict::Refuse { .. }));
        quotas.replace(again(2), 0);
        assert_eq!(quotas.admit(one, 1, 0), Verdict::Pass);
        assert_eq!((quotas.used(0).requests, quotas.used(0).refused), (2, 1));
        quotas.replace(std::iter::empty(), 0);
        assert!(quotas.is_empty() && quotas.find(&Subject::Database(0)).is_none());
    }

    #[test]
    fn the_greatest_rates_overflow_nothing() {
        let mut quotas = quotas(&[limits(u64::MAX, u64::MAX, Over::Delay)]);
        for now_us in [0, u64::MAX / 2, u64::MAX] {
            assert_eq!(quotas.admit([Some(0), None], 1, now_us), Verdict::Pass);
            quotas.count_output([Some(0), None], u64::MAX / 8, now_us);
            assert!(matches!(quotas.admit([Some(0), None], 1, now_us), Verdict::Wait { .. }));
        }
    }

    /// A bucket of each, looked at and taken from for every request by itself, as a model.
    #[test]
    fn requests_that_pass_together_count_as_each_by_itself() {
        let mut rng = Rng::new(3);
        for round in 0..300 {
            let limits = [0, 1].map(|_| {
                let over = if rng.below(2) == 0 { Over::Refuse } else { Over::Delay };
                limits(rng.below(30), rng.below(4) * 100, over)
            });
            let (mut together, mut single) = (quotas(&limits), quotas(&limits));
            let mut now_us = 1;
            for step in 0..300 {
                now_us += [0, 0, 0, TALLY_US, 90_000][rng.below(5) as usize];
                let subjects = [[Some(0), None], [None, Some(1)], [Some(0), Some(1)], [None, None]]
                    [rng.below(4) as usize];
                let bytes = 1 + rng.below(50) * rng.below(12);
                match rng.below(20) {
                    0 => {
                        together.count_output(subjects, bytes, now_us);
                        single.count_output(subjects, bytes, now_us);
                    }
                    1 => {
                        let both =
                            || limits.iter().enumerate().map(|(db, it)| (Subject::Database(db as u32), *it));
                        together.replace(both(), now_us);
                        single.replace(both(), now_us);
                    }
                    2 => [&mut together, &mut single].into_iter().for_each(Quotas::reset_counts),
                    _ => {
                        let passed = together.pass(subjects, bytes, now_us);
                        let verdict =
                            if passed { Verdict::Pass } else { together.admit(subjects, bytes, now_us) };
                        assert_eq!(
                            verdict,
                            single.admit(subjects, bytes, now_us),
                            "round {round}, step {step}"
                        );
                    }
                }
                for index in [0, 1] {
                    assert_eq!(together.used(index), single.used(index), "round {round}, step {step}");
                }
            }
        }
    }

    #[test]
    fn nothing_passes_beyond_what_is_there() {
        let mut quotas = quotas(&[limits(5, 100, Over::Refuse), limits(3, 0, Over::Refuse)]);
        assert!((0..5).all(|_| quotas.pass([Some(0), None], 10, 1)));
        assert!(!quotas.pass([Some(0), None], 1, 1), "too many requests");
        assert!(quotas.pass([Some(0), None], 40, 200_001));
        quotas.count_output([Some(0), None], 30, 200_001);
        // 20 were taken back by the time, 40 and 30 taken since.
        assert!(!quotas.pass([Some(0), None], 1, 200_001) && !quotas.pass([Some(0), Some(1)], 1, 200_001));
        assert_eq!((0..9).filter(|_| quotas.pass([None, Some(1)], 1000, 200_001)).count(), 3);
    }

    #[test]
    fn a_flood_gets_the_limit_and_a_thousandth_at_most() {
        let mut quotas = quotas(&[limits(100_000, 0, Over::Refuse)]);
        let one = [Some(0), None];
        let passes = |quotas: &mut Quotas, now_us| {
            quotas.pass(one, 1, now_us) || quotas.admit(one, 1, now_us) == Verdict::Pass
        };
        // A million requests a second, for a second.
        let passed = (0..1_000_000).filter(|now_us| passes(&mut quotas, *now_us)).count();
        assert!((199_999..=200_200).contains(&passed), "{passed}");
        // As many as are allowed, evenly: all of them.
        assert!((0..100_000).all(|number| passes(&mut quotas, 10 * SECOND + number * 10)));
    }
}
