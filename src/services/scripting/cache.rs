//! The cache of scripts: found by their text or by their SHA-1. Those that only EVAL brought are forgotten when there are too
//! many, the one that wasn't used for longest first.

use hashbrown::HashTable;

use super::api::sha1_hex;
use super::exchange::FunctionId;
use super::shebang::Flags;
use crate::base::hash::KeyHasher;

/// Scripts of EVAL that are kept.
const MAX_EVALUATED: usize = 500;

/// The SHA-1 of a script, in lower-case hexadecimal digits.
pub type Sha1Hex = [u8; 40];

/// A compiled script.
#[derive(Debug)]
pub struct Script {
    pub text: Box<[u8]>,
    pub sha1: Sha1Hex,
    pub flags: Flags,
    pub function: FunctionId,
    /// The count of uses when it was used last.
    used: u64,
    /// SCRIPT LOAD brought it: it stays.
    loaded: bool,
}

/// See the module's description.
pub struct ScriptCache {
    scripts: Vec<Option<Script>>,
    free: Vec<usize>,
    by_text: HashTable<usize>,
    by_sha1: HashTable<usize>,
    /// Those of EVAL.
    evaluated: Vec<usize>,
    hasher: KeyHasher,
    uses: u64,
    pub evicted: u64,
    /// Bytes of the texts.
    text_bytes: usize,
}

impl ScriptCache {
    pub fn new(seed: u64) -> Self {
        ScriptCache {
            scripts: Vec::new(),
            free: Vec::new(),
            by_text: HashTable::new(),
            by_sha1: HashTable::new(),
            evaluated: Vec::new(),
            hasher: KeyHasher::new(seed),
            uses: 0,
            evicted: 0,
            text_bytes: 0,
        }
    }

    /// How many scripts there are.
    pub fn count(&self) -> usize {
        self.by_sha1.len()
    }

    /// Bytes that it takes without the interpreter's part.
    pub fn memory(&self) -> usize {
        self.text_bytes
            + self.scripts.capacity() * size_of::<Option<Script>>()
            + self.by_text.allocation_size()
            + self.by_sha1.allocation_size()
    }

    pub fn get(&self, index: usize) -> Option<&Script> {
        self.scripts.get(index).and_then(Option::as_ref)
    }

    fn has(&self, index: usize, wanted: impl Fn(&Script) -> bool) -> bool {
        self.get(index).is_some_and(wanted)
    }

    /// The script with a text.
    pub fn find_text(&self, text: &[u8]) -> Option<usize> {
        let hash = self.hasher.hash(text);
        self.by_text.find(hash, |index| self.has(*index, |script| &*script.text == text)).copied()
    }

    /// The script with a SHA-1, whose digits may be of either case.
    pub fn find_sha1(&self, sha1: &[u8]) -> Option<usize> {
        let mut sha1: Sha1Hex = sha1.try_into().ok()?;
        sha1.make_ascii_lowercase();
        let hash = self.hasher.hash(&sha1);
        self.by_sha1.find(hash, |index| self.has(*index, |script| script.sha1 == sha1)).copied()
    }

    /// Notes a use.
    pub fn touch(&mut self, index: usize) {
        self.uses += 1;
        if let Some(Some(script)) = self.scripts.get_mut(index) {
            script.used = self.uses;
        }
    }

    /// Adds a compiled script that isn't there. The function of one that had to go for it is to be released.
    pub fn add(
        &mut self,
        text: &[u8],
        flags: Flags,
        function: FunctionId,
        loaded: bool,
    ) -> (usize, Option<FunctionId>) {
        let gone = if !loaded && self.evaluated.len() >= MAX_EVALUATED { self.evict() } else { None };
        self.uses += 1;
        let script =
            Script { text: text.into(), sha1: sha1_hex(text), flags, function, used: self.uses, loaded };
        let (text_hash, sha1_hash) = (self.hasher.hash(text), self.hasher.hash(&script.sha1));
        self.text_bytes += text.len();
        let index = match self.free.pop() {
            Some(index) => {
                self.scripts[index] = Some(script);
                index
            }
            None => {
                self.scripts.push(Some(script));
                self.scripts.len() - 1
            }
        };
        let ScriptCache { scripts, by_text, by_sha1, hasher, .. } = self;
        let script = |index: &usize| scripts[*index].as_ref();
        by_text.insert_unique(text_hash, index, |index| {
            script(index).map_or(0, |script| hasher.hash(&script.text))
        });
        by_sha1.insert_unique(sha1_hash, index, |index| {
            script(index).map_or(0, |script| hasher.hash(&script.sha1))
        });
        if !loaded {
            self.evaluated.push(index);
        }
        (index, gone)
    }

    /// Has a script stay that EVAL brought: SCRIPT LOAD names it.
    pub fn keep(&mut self, index: usize) {
        if let Some(Some(script)) = self.scripts.get_mut(index)
            && !std::mem::replace(&mut script.loaded, true)
        {
            self.evaluated.retain(|evaluated| *evaluated != index);
        }
    }

    /// Forgets the script of EVAL that wasn't used for longest.
    fn evict(&mut self) -> Option<FunctionId> {
        let used = |index: &usize| self.get(*index).map_or(0, |script| script.used);
        let (at, _) = self.evaluated.iter().enumerate().min_by_key(|(_, index)| used(index))?;
        let index = self.evaluated.swap_remove(at);
        let script = self.scripts[index].take()?;
        self.free.push(index);
        self.evicted += 1;
        self.text_bytes -= script.text.len();
        for (table, hash) in [
            (&mut self.by_text, self.hasher.hash(&script.text)),
            (&mut self.by_sha1, self.hasher.hash(&script.sha1)),
        ] {
            if let Ok(entry) = table.find_entry(hash, |found| *found == index) {
                entry.remove();
            }
        }
        Some(script.function)
    }

    /// Forgets all scripts; their functions go with their interpreter.
    pub fn clear(&mut self) {
        let (seed_hasher, evicted) = (self.hasher, self.evicted);
        *self = ScriptCache { hasher: seed_hasher, evicted, ..ScriptCache::new(0) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn add(cache: &mut ScriptCache, number: u32, loaded: bool) -> Option<FunctionId> {
        let text = number.to_string();
        cache.add(text.as_bytes(), Flags::default(), FunctionId(number), loaded).1
    }

    #[test]
    fn scripts_of_eval_go_when_there_are_too_many() {
        let mut cache = ScriptCache::new(1);
        assert_eq!(add(&mut cache, 100_000, true), None);
        for number in 0..500 {
            assert_eq!(add(&mut cache, number, false), None);
        }
        let first = cache.find_text(b"0").expect("it is there");
        cache.touch(first);
        cache.keep(cache.find_text(b"2").expect("it is there"));
        assert_eq!(add(&mut cache, 500, false), None);
        assert_eq!(add(&mut cache, 501, false), Some(FunctionId(1)));
        assert_eq!(add(&mut cache, 502, false), Some(FunctionId(3)));
        assert_eq!((cache.count(), cache.evicted), (502, 2));
        for (text, is_there) in [("0", true), ("1", false), ("2", true), ("3", false), ("100000", true)] {
            assert_eq!(cache.find_text(text.as_bytes()).is_some(), is_there, "{text}");
            let sha1 = sha1_hex(text.as_bytes()).to_ascii_uppercase();
            assert_eq!(cache.find_sha1(&sha1).is_some(), is_there, "{text}");
        }
        assert!(cache.find_sha1(b"12").is_none());
        cache.clear();
        assert_eq!((cache.count(), cache.evicted, cache.find_text(b"0")), (0, 2, None));
    }
}
